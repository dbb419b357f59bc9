"""Action masks in networks and policies, against enumeration over the allowed actions."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import discrete_sac, dqn
from entrax.policies.choices import choices_of
from entrax.policies.controller import FINISHED
from entrax.policies.masks import Masked
from entrax.policies.stochastic import create_policy
from entrax.spec import Discrete, Leaf, MultiDiscrete, Spec, Transition


def spec_with(action):
    options = action.n if isinstance(action, Discrete) else sum(action.nvec)
    place = Leaf("observation/place", (2,), "float32", 2, (-1.0,) * 2, (1.0,) * 2)
    mask = Leaf("observation/action_mask", (options,), "int8", options, (0.0,) * options, (1.0,) * options)
    return Spec((place, mask), action)


FOUR = spec_with(Discrete(4))
PAIRS = spec_with(MultiDiscrete((3, 2)))


def observed(mask):
    return jnp.array([0.3, -0.5, *mask])


@pytest.mark.parametrize("joint_limit", [1, 64])
def test_the_allowed_options_are_those_whose_parts_are_all_allowed(joint_limit):
    choices = choices_of(PAIRS, "dqn", joint_limit)
    for mask in itertools.product([0, 1], repeat=5):
        first, second = (part if any(part) else (1,) * len(part) for part in (mask[:3], mask[3:]))
        allowed = np.asarray(choices.allowed(np.array(mask)))
        if joint_limit == 1:
            expected = [[*map(bool, first)], [*map(bool, second), False]]
        else:
            every = [bool(a and b) for a, b in itertools.product(mask[:3], mask[3:])]
            expected = [every if any(every) else [True] * 6]
        np.testing.assert_array_equal(allowed, expected)


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_values_of_dqn_are_those_over_the_allowed_actions(temperature):
    config = dqn.resolve(dqn.Config(hidden=(8,), temperature=temperature, double=False), FOUR)
    state = dqn.init(config, FOUR, jr.key(0))
    mask = np.array([0, 1, 0, 1])
    obs = observed(mask)
    assert isinstance(state.targets, Masked)
    q = np.asarray(state.targets.network(obs))[0][mask == 1]
    v = q.max() if temperature == 0 else temperature * np.log(np.sum(np.exp(q / temperature)))
    np.testing.assert_allclose(dqn.next_value(config, state, jnp.float32(temperature), obs), v, rtol=1e-5)


def test_exploration_by_dqn_is_uniform_over_the_allowed_actions():
    config = dqn.resolve(dqn.Config(hidden=(8,), final_exploration=0.5), FOUR)
    policy = dqn.policy(config, dqn.init(config, FOUR, jr.key(0)))
    np.testing.assert_allclose(np.sort(policy(observed([1, 1, 0, 0]), FINISHED)[0]), [0, 0, 0.25, 0.75], atol=1e-6)
    np.testing.assert_array_equal(policy.mode(observed([0, 0, 1, 0])), [2])


def test_soft_values_and_entropies_of_discrete_sac_leave_out_what_is_forbidden():
    config = discrete_sac.resolve(discrete_sac.Config(hidden=(8,)), FOUR)
    state = discrete_sac.init(config, FOUR, jr.key(1))
    mask = np.array([1, 0, 1, 1])
    obs = observed(mask)
    assert isinstance(state.params.policy, Masked)
    assert isinstance(state.params.critics, Masked)
    logits = np.asarray(state.params.policy.network(obs), np.float64)[0][mask == 1]
    p = np.exp(logits) / np.exp(logits).sum()
    q = np.asarray(state.params.critics.network(obs), np.float64).mean(axis=0)[0][mask == 1]
    h = -np.sum(p * np.log(p))
    pi = discrete_sac.policy(config, state)
    value, entropy = discrete_sac.soft_value(config, pi, state.params.critics, jnp.float32(0.3), obs)
    np.testing.assert_allclose([value, entropy], [p @ q + 0.3 * h, h], rtol=1e-5)


AGENTS: tuple[Any, ...] = (dqn, discrete_sac)


def test_an_update_after_an_episode_with_nothing_allowed_is_finite():
    for agent in AGENTS:
        config = agent.resolve(agent.Config(hidden=(8,)), FOUR)
        state = agent.init(config, FOUR, jr.key(0))
        batch = Transition(
            obs=jnp.stack([observed([1, 0, 0, 1]), observed([0, 0, 1, 0])]),
            action=jnp.array([[3], [2]], jnp.int32),
            reward=jnp.ones(2),
            next_obs=jnp.stack([observed([0, 0, 0, 0]), observed([0, 1, 0, 0])]),
            terminated=jnp.array([True, False]),
            truncated=jnp.zeros(2, bool),
        )
        updated, info = agent.update(config, state, batch, FINISHED, jr.key(1))
        assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves((updated, info)))
        assert all(abs(value) < 100 for value in jax.tree.leaves(info))


@pytest.mark.parametrize("joint_limit", [1, 64])
def test_softmax_policies_have_densities_and_gradients_over_the_allowed_actions(joint_limit):
    policy = create_policy(PAIRS, "ppo", (8,), joint_limit, jnp.zeros(()), jr.key(0))
    obs = observed([1, 0, 1, 0, 1])
    log_probs = [policy.log_prob(obs, jnp.array([a, 1])) for a in (0, 2)]
    np.testing.assert_allclose(np.sum(np.exp(log_probs)), 1.0, rtol=1e-6)
    np.testing.assert_allclose(policy.entropy(obs), -np.sum(np.exp(log_probs) * np.array(log_probs)), rtol=1e-5)
    for action in itertools.product(range(3), range(2)):
        drawable = action in ((0, 1), (2, 1))
        assert bool(jnp.exp(policy.log_prob(obs, jnp.array(action))) > 0) == drawable
    slope = jax.grad(lambda policy: policy.entropy(obs) + policy.log_prob(obs, jnp.array([0, 1])), allow_int=True)
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(slope(policy)))
