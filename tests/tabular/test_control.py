"""Learners of Q against the exact answers of the same problems."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.exact import plan
from entrax.problems import FiniteMDP
from entrax.soft import soft_policy
from entrax.tabular import (
    Boltzmann,
    EpsilonGreedy,
    StepSize,
    expected_sarsa,
    psi_learning,
    q_learning,
    sarsa,
    soft_q_learning,
    soft_sarsa,
)
from tests.tabular.dense import LIVE, arrays, frozen_lake, optimum, value_of

SEEDS, STEPS = 4, 400_000
EVERYWHERE = EpsilonGreedy(1.0)
LAKE = frozen_lake()
LAKE_WITH_PRIOR = frozen_lake(prior=np.full((16, 4), 0.25))


def learned(learner, *arguments, steps=STEPS, seeds=SEEDS, **options):
    """A learner's result for several seeds, vmapped."""
    settled: dict[str, Any] = {"step_size": StepSize(power=0.75), **options}
    run = jax.vmap(lambda key: learner(*arguments, steps=steps, key=key, **settled))
    return run(jax.random.split(jax.random.key(0), seeds))


def furthest(found, truth):
    """The largest error over seeds, live states and, if any, actions."""
    return np.abs(np.asarray(found) - truth)[:, LIVE].max()


@pytest.mark.usefixtures("x64")
def test_the_dense_oracle_agrees_with_exact_plan():
    for mdp, temperature, convention in ((LAKE, 0.0, "entropy"), (LAKE, 0.1, "entropy"), (LAKE_WITH_PRIOR, 0.2, "kl")):
        solution = plan(mdp, temperature, convention=convention)
        np.testing.assert_allclose(solution.value, optimum(mdp, temperature)[1], atol=1e-8)


def test_q_learning_converges_to_the_hard_optimum():
    q, value = optimum(LAKE)
    result = learned(q_learning, LAKE, behaviour=EVERYWHERE, records=8)
    assert furthest(result.q, q) < 0.05
    assert furthest(result.value, value) < 0.05
    errors = np.abs(np.asarray(result.history) - q)[:, :, LIVE].max(axis=(2, 3)).mean(axis=0)
    assert errors[-1] < 0.7 * errors[0]
    assert value[0] == pytest.approx(0.180471578397, abs=1e-10)  # the known optimum of FrozenLake


@pytest.mark.parametrize("learner", [soft_q_learning, soft_sarsa])
def test_soft_learners_find_the_soft_optimum(learner):
    q, value = optimum(LAKE_WITH_PRIOR, 0.2)
    result = learned(learner, LAKE_WITH_PRIOR, 0.2, convention="kl")
    assert furthest(result.q, q) < 0.05
    assert furthest(result.value, value) < 0.02
    policy = jax.vmap(lambda row: soft_policy(row, 0.2, jnp.full(4, 0.25)))(q)
    assert furthest(result.policy, np.asarray(policy)) < 0.05
    assert np.abs(value - optimum(LAKE_WITH_PRIOR)[1]).max() > 0.1  # far from the hard optimum


def test_soft_q_learning_is_off_policy_in_the_entropy_convention():
    q, value = optimum(LAKE, 0.1)
    result = learned(soft_q_learning, LAKE, 0.1, behaviour=EVERYWHERE)
    assert value[0] > optimum(LAKE)[1][0] + 0.5
    assert furthest(result.q, q) < 0.1  # of values up to 2


def test_psi_learning_finds_the_hard_optimum_at_any_temperature():
    q, value = optimum(LAKE)
    for temperature in (0.1, 0.3):
        result = learned(psi_learning, LAKE, temperature, step_size=StepSize(power=0.7))
        assert furthest(result.value, value) < 0.06
        # Its policy becomes greedy: almost no probability for actions clearly worse than the best.
        worse = (q < q.max(axis=1, keepdims=True) - 0.1) & LIVE[:, None]
        assert np.asarray(result.policy)[:, worse].max() < 0.05
    soft = optimum(LAKE, 0.3)[1]
    assert furthest(result.value, soft) > 1


def epsilon_soft_optimum(mdp, epsilon):
    """V of the best ε-greedy policy, by policy iteration: what SARSA with a constant ε finds."""
    transition, reward, _ = arrays(mdp)
    policy = np.full(reward.shape, 1 / reward.shape[1])
    for _ in range(50):
        q = reward + mdp.discount * transition @ value_of(mdp, policy)
        best = q >= q.max(axis=1, keepdims=True) - 1e-12
        policy = (1 - epsilon) * best / best.sum(axis=1, keepdims=True) + epsilon / reward.shape[1]
    return q


@pytest.mark.parametrize("learner", [pytest.param(sarsa, marks=pytest.mark.long), expected_sarsa])
def test_sarsa_finds_the_values_of_its_behaviour(learner):
    result = learned(learner, LAKE, behaviour=EpsilonGreedy(0.4))
    q = np.asarray(result.q)
    assert furthest(q, epsilon_soft_optimum(LAKE, 0.4)) < 0.06
    assert np.abs(q.mean(axis=0) - optimum(LAKE)[0])[LIVE].max() > 0.1


def test_sarsa_finds_the_optimum_if_its_exploration_fades():
    fading = learned(sarsa, LAKE, behaviour=EpsilonGreedy(1.0, decay=50.0), step_size=StepSize(power=0.65))
    assert furthest(fading.value, optimum(LAKE)[1]) < 0.06


def test_soft_sarsa_under_another_behaviour_finds_that_behaviours_soft_value():
    result = learned(soft_sarsa, LAKE, 0.1, behaviour=EVERYWHERE)
    transition, reward, _ = arrays(LAKE)
    uniform = value_of(LAKE, np.full((16, 4), 0.25), 0.1)
    assert furthest(result.q, reward + LAKE.discount * transition @ uniform) < 0.05
    assert np.abs(uniform - optimum(LAKE, 0.1)[1])[LIVE].max() > 0.1


@pytest.mark.usefixtures("x64")
def test_soft_sarsa_and_soft_q_learning_are_one_while_the_policy_is_current():
    options: dict[str, Any] = {"steps": 5000, "seeds": 1, "convention": "kl"}
    one = learned(soft_q_learning, LAKE_WITH_PRIOR, 0.2, **options)
    other = learned(soft_sarsa, LAKE_WITH_PRIOR, 0.2, **options)
    np.testing.assert_allclose(one.q, other.q, atol=1e-13)
    np.testing.assert_array_equal(one.visits, other.visits)


def test_actions_that_are_masked_are_never_taken():
    mask = np.ones((16, 4), bool)
    mask[:, 3] = False
    for behaviour in (EpsilonGreedy(0.1), Boltzmann(0.5)):
        result = learned(q_learning, frozen_lake(mask=mask), behaviour=behaviour, steps=3000, seeds=1)
        assert np.asarray(result.visits)[0, :, 3].sum() == 0
        assert np.asarray(result.visits).sum() >= 3000
        assert np.asarray(result.policy)[0, :, 3].sum() == 0


def test_transitions_are_drawn_with_their_probabilities():
    """Empirical rewards and successors of one state: the value of a one-step problem is its mean reward."""
    mdp = FiniteMDP.from_transitions(
        [(0, 0, 0.2, 0, 1.0, True), (0, 0, 0.5, 0, -2.0, True), (0, 0, 0.3, 0, 5.0, True)], states=1, actions=1
    )
    result = q_learning(mdp, steps=50_000, key=jax.random.key(3), step_size=StepSize(power=1.0))
    error = np.sqrt((0.2 + 0.5 * 4 + 0.3 * 25 - 0.49) / 50_000)
    assert float(result.q[0, 0]) == pytest.approx(0.7, abs=4 * error)


def test_a_key_determines_the_table():
    run = functools.partial(q_learning, LAKE, steps=2000)
    one, other = run(key=jax.random.key(1)), run(key=jax.random.key(2))
    again = jax.jit(lambda key: run(key=key))(jax.random.key(1))
    np.testing.assert_array_equal(one.q, again.q)
    assert not np.array_equal(np.asarray(one.visits), np.asarray(other.visits))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: q_learning(frozen_lake(horizon=5), steps=10, key=jax.random.key(0)), "`horizon`"),
        (lambda: q_learning(LAKE, steps=0, key=jax.random.key(0)), "`steps`.*at least 1"),
        (
            lambda: soft_q_learning(LAKE, -1.0, steps=1, key=jax.random.key(0), behaviour=EVERYWHERE),
            "`temperature`.*at least 0",
        ),
        (lambda: q_learning(LAKE, steps=1, key=jax.random.key(0), observation=np.zeros(3, int)), "16 states"),
        (lambda: q_learning(LAKE, steps=1, key=jax.random.key(0), convention="KL"), "entropy or kl"),
        (lambda: Boltzmann(0.0), "above 0"),
        (lambda: EpsilonGreedy(1.5), "`epsilon`"),
        (lambda: StepSize(scale=2.0), "`scale`"),
    ],
)
def test_invalid_arguments_are_refused(call, words):
    with pytest.raises(EntraxError, match=words):
        call()
