"""Choices over discrete actions against the enumeration of every action."""

import itertools
import math

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.policies.choices import choices_of
from entrax.spec import Discrete, MultiDiscrete
from tests.agents import reference64 as ref

SPACES = [Discrete(4), MultiDiscrete((2, 3, 2)), MultiDiscrete((5,)), MultiDiscrete((1, 4))]


def actions(nvec):
    return np.array(list(itertools.product(*map(range, nvec))), np.int32)


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("action", SPACES, ids=str)
def test_everything_equals_its_sum_over_all_actions(action, joint):
    choices = choices_of(ref.discrete_spec(action), "dqn", joint_limit=100 if joint else 1)
    every = actions(choices.nvec)
    assert choices.most_entropy == pytest.approx(math.log(len(every)))
    # Numbers where no option exists must not matter.
    q = np.random.default_rng(0).normal(size=choices.shape).astype(np.float32)
    q = np.where(choices.mask, q, 50.0).astype(np.float32)

    q_of = np.array([choices.q_of(jnp.asarray(q), a) for a in every], np.float64)
    assert len(np.unique(q_of)) == len(every)
    for alpha in (0.0, 0.7):
        boltzmann = np.exp((q_of - q_of.max()) / alpha) if alpha else (q_of == q_of.max()) * 1.0
        boltzmann /= boltzmann.sum()
        entropy = -sum(p * math.log(p) for p in boltzmann if p > 0)
        value = boltzmann @ q_of + alpha * entropy
        policy = choices.policy(q, alpha)
        np.testing.assert_allclose(np.where(choices.mask, 0, policy), 0, atol=0)
        np.testing.assert_allclose(choices.soft_max(q, alpha), value, rtol=1e-5)
        np.testing.assert_allclose(choices.soft_value(q, policy, alpha), value, rtol=1e-5)
        np.testing.assert_allclose(choices.entropy(policy), entropy, atol=1e-6)
    np.testing.assert_array_equal(choices.best(jnp.asarray(q)), every[q_of.argmax()])
    np.testing.assert_allclose(choices.entropy(jnp.asarray(choices.uniform())), choices.most_entropy, rtol=1e-6)


@pytest.mark.parametrize("nvec", [(2, 3, 4), (7, 1, 3)])
def test_every_action_is_one_option_and_back(nvec):
    choices = choices_of(ref.discrete_spec(MultiDiscrete(nvec)), "dqn", joint_limit=24)
    options = [int(choices.of_action(a)[0]) for a in actions(nvec)]
    assert options == list(range(math.prod(nvec)))
    for option, action in enumerate(actions(nvec)):
        np.testing.assert_array_equal(choices.to_action(jnp.asarray([option])), action)


@pytest.mark.parametrize(("limit", "sizes"), [(6, (6,)), (5, (3, 2))])
def test_few_combinations_are_one_choice(limit, sizes):
    assert choices_of(ref.discrete_spec(MultiDiscrete((3, 2))), "dqn", limit).sizes == sizes


def test_an_option_of_probability_zero_is_never_drawn():
    choices = choices_of(ref.discrete_spec(MultiDiscrete((2, 3))), "dqn", 1)
    policy = jnp.asarray([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    drawn = np.array([choices.draw(policy, key)[0] for key in jr.split(jr.key(0), 50)])
    assert {tuple(a) for a in drawn.tolist()} == {(1, 0), (1, 2)}


def test_continuous_actions_are_refused():
    with pytest.raises(EntraxError, match="needs discrete actions"):
        choices_of(ref.SPEC, "dqn", 64)
