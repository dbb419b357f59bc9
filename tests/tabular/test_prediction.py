"""TD(0), batch TD as certainty equivalence, and the conditions of convergence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.problems import FiniteMDP, chain, random_walk
from entrax.spec import Transition
from entrax.tabular import (
    EpsilonGreedy,
    StepSize,
    batch_monte_carlo,
    batch_td,
    reward_process,
    sample_transitions,
    td,
    unmet_conditions,
)
from tests.tabular.dense import EXPLORING, LIVE, frozen_lake, optimum, value_of

LAKE = frozen_lake()
UNIFORM = np.full((16, 4), 0.25)
POLICY = np.where(LIVE[:, None], np.random.default_rng(0).dirichlet(np.ones(4), 16), 0.25)


@pytest.mark.parametrize("convention", ["entropy", "kl"])
def test_the_reward_process_has_the_value_of_the_policy(convention):
    mdp = LAKE if convention == "entropy" else frozen_lake(prior=UNIFORM)
    process = reward_process(mdp, POLICY, 0.3, convention)
    np.testing.assert_allclose(optimum(process)[1], value_of(mdp, POLICY, 0.3), atol=1e-12)


@pytest.mark.parametrize("temperature", [0.0, 0.1])
def test_td_finds_the_value_of_its_policy(temperature):
    truth = value_of(LAKE, POLICY, temperature)
    keys = jax.random.split(jax.random.key(0), 4)
    run = jax.vmap(lambda key: td(LAKE, POLICY, temperature, steps=200_000, key=key, step_size=StepSize(power=0.7)))
    found = np.asarray(run(keys).value)
    assert np.abs(found - truth)[:, LIVE].max() < 0.05 * max(1, truth.max())
    assert truth.max() > 0.1


def test_batch_td_is_the_certainty_equivalent():
    """Its fixed point is the value of the estimated model, not of the true one."""
    data = sample_transitions(LAKE, POLICY, steps=800, key=jax.random.key(1))
    solved = batch_td(data, states=16, discount=0.95)
    model = FiniteMDP.from_data(
        state=data.obs,
        action=0,
        reward=data.reward,
        next_state=data.next_obs,
        terminated=data.terminated,
        unseen="mask",
        states=16,
        discount=0.95,
        initial=EXPLORING,
    )
    np.testing.assert_allclose(solved.value[LIVE], optimum(model)[1][LIVE], atol=1e-8)
    assert solved.error_bound < 1e-8
    assert np.all(np.isnan(solved.value[~LIVE]))
    assert np.abs(solved.value - value_of(LAKE, POLICY))[LIVE].max() > 0.01  # few data


def test_you_are_the_predictor():
    """Sutton's example: A, B with return 0; B seven times, six with return 1. For A, TD gives ¾ and MC gives 0."""
    data = Transition(
        obs=np.array([0] + [1] * 8),
        action=np.zeros(9, int),
        reward=np.array([0.0, 0, 1, 1, 1, 1, 1, 1, 0]),
        next_obs=np.array([1] + [2] * 8),
        terminated=np.array([False] + [True] * 8),
        truncated=np.zeros(9, bool),
    )
    np.testing.assert_allclose(batch_td(data, states=2, discount=1.0).value, [0.75, 0.75], atol=1e-8)
    np.testing.assert_allclose(batch_monte_carlo(data, states=2, discount=1.0), [0, 0.75])


def test_sampled_transitions_have_the_frequencies_of_the_problem():
    data = sample_transitions(LAKE, POLICY, steps=40_000, key=jax.random.key(2))
    here = data.obs == 14
    share = np.bincount(data.action[here], minlength=4) / here.sum()
    assert np.all(np.abs(share - POLICY[14]) < 4 * np.sqrt(POLICY[14] * (1 - POLICY[14]) / here.sum()))
    right = here & (data.action == 2)
    goal = (data.reward[right] == 1).mean()
    assert goal == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / right.sum()))
    going = ~data.terminated[:-1]
    np.testing.assert_array_equal(data.obs[1:][going], data.next_obs[:-1][going])


@pytest.mark.parametrize(
    ("mdp", "step_size", "behaviour", "words"),
    [
        (LAKE, StepSize(0.75), EpsilonGreedy(0.1), []),
        (LAKE, StepSize(1.1), EpsilonGreedy(0.1), ["infinite sum"]),
        (LAKE, StepSize(0.5), EpsilonGreedy(0.1), ["finite sum"]),
        (LAKE, StepSize(0.0), EpsilonGreedy(0.0), ["finite sum", "positive probability"]),
        (random_walk(6, cost=1.0), StepSize(), EpsilonGreedy(), ["discount"]),
        (frozen_lake(discount=1.0), StepSize(), EpsilonGreedy(), ["discount"]),
        (FiniteMDP.from_transitions([(0, 0, 1, 1, 0, False), (1, 0, 1, 1, 1, False)], initial=0, discount=0.9),
         StepSize(), EpsilonGreedy(), ["state 0"]),
        (FiniteMDP.from_transitions([(0, 0, 1, 1, 0, False), (1, 0, 1, 1, 1, True)], initial=0, discount=1.0),
         StepSize(), EpsilonGreedy(), []),
        (chain(4, discount=0.9), StepSize(), EpsilonGreedy(), []),
    ],
)  # fmt: skip
def test_unmet_conditions_are_named(mdp, step_size, behaviour, words):
    unmet = unmet_conditions(mdp, step_size, behaviour)
    assert len(unmet) == len(words)
    assert all(word in sentence for word, sentence in zip(words, unmet, strict=True))


@pytest.mark.parametrize("power", [0.4, 0.75, 1.0, 1.3])
def test_convergence_of_the_sums_of_step_sizes(power):
    """A series converges if its dyadic blocks tend to 0: compare an early block with a late one."""
    steps = StepSize(power, offset=3.0, scale=0.5)
    visits = np.arange(1, 2**22, dtype=float)
    eta = 0.5 * (3.0 / (2 + visits)) ** power
    assert float(steps(jnp.int32(7))) == pytest.approx(eta[6], rel=1e-5)
    for terms, converges in ((eta, not steps.sum_diverges), (eta**2, steps.squares_converge)):
        early, late = terms[2**10 : 2**11].sum(), terms[2**20 : 2**21].sum()
        assert (late < 0.5 * early) == converges


def test_an_invalid_policy_is_refused():
    with pytest.raises(EntraxError, match="distribution over actions"):
        sample_transitions(LAKE, 2 * UNIFORM, steps=5, key=jax.random.key(0))
    with pytest.raises(EntraxError, match="distribution over actions"):
        td(LAKE, UNIFORM[:, :2], steps=5, key=jax.random.key(0))
    mask = np.ones((16, 4), bool)
    mask[:, 0] = False
    with pytest.raises(EntraxError, match="does not allow"):
        reward_process(frozen_lake(mask=mask), UNIFORM)
    with pytest.raises(EntraxError, match="states from 0 to 3"):
        batch_td(sample_transitions(LAKE, UNIFORM, steps=99, key=jax.random.key(0)), states=4, discount=0.9)
