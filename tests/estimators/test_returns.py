"""Returns and advantages against explicit sums, and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.estimators import (
    differential_return,
    discount_for,
    discounted_return,
    gae,
    lambda_return,
    n_step_return,
    reward_to_go,
)
from tests.estimators.enumerated import REWARD, STEPS, TRANSITION, WEIGHT, A, R, S, expectation, values_by_step

GAMMA = 0.9
_rng = np.random.default_rng(0)
REWARDS, VALUES, NEXT_VALUES = _rng.normal(size=(3, 9))
TERMINATED = np.array([0, 0, 1, 0, 0, 0, 0, 0, 0], bool)
TRUNCATED = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0], bool)
SEGMENT = (REWARDS, NEXT_VALUES, TERMINATED, TRUNCATED, GAMMA)
ENDS = (2, 5, 8)


def end_of(t):
    return next(end for end in ENDS if end >= t)


def n_step_by_definition(t, n):
    last = min(t + n - 1, end_of(t))
    total = sum(GAMMA ** (k - t) * REWARDS[k] for k in range(t, last + 1))
    return total + (0 if TERMINATED[last] else GAMMA ** (last - t + 1) * NEXT_VALUES[last])


def test_return_and_reward_to_go_are_their_sums():
    expected = [sum(GAMMA ** (k - t) * REWARDS[k] for k in range(t, 9)) for t in range(9)]
    np.testing.assert_allclose(reward_to_go(REWARDS, GAMMA), expected, rtol=1e-13)
    assert discounted_return(REWARDS, GAMMA) == pytest.approx(expected[0], rel=1e-13)
    expected = [sum(GAMMA ** (k - t) * REWARDS[k] for k in range(t, end_of(t) + 1)) for t in range(9)]
    np.testing.assert_allclose(reward_to_go(REWARDS, GAMMA, TERMINATED | TRUNCATED), expected, rtol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 4, 20])
def test_n_step_return_is_its_sum_and_crosses_no_end(n):
    expected = [n_step_by_definition(t, n) for t in range(9)]
    np.testing.assert_allclose(n_step_return(*SEGMENT, n), expected, rtol=1e-13)


def test_lambda_return_is_the_geometric_mean_of_n_step_returns():
    trace = 0.7
    expected = []
    for t in range(9):
        longest = end_of(t) - t + 1
        weights = [(1 - trace) * trace ** (n - 1) for n in range(1, longest)] + [trace ** (longest - 1)]
        expected.append(sum(w * n_step_by_definition(t, n + 1) for n, w in enumerate(weights)))
    np.testing.assert_allclose(lambda_return(*SEGMENT, trace), expected, rtol=1e-13)


@pytest.mark.parametrize("trace", [0.0, 0.6, 1.0])
def test_gae_is_the_lambda_return_less_the_value(trace):
    # next_value[t] equals value[t + 1], except where an episode ends.
    values = VALUES.copy()
    next_values = np.append(values[1:], 0.3)
    next_values[list(ENDS)] = NEXT_VALUES[list(ENDS)]
    advantage = gae(REWARDS, values, next_values, TERMINATED, TRUNCATED, GAMMA, trace)
    target = lambda_return(REWARDS, next_values, TERMINATED, TRUNCATED, GAMMA, trace)
    np.testing.assert_allclose(advantage, target - values, rtol=1e-12, atol=1e-13)


def test_truncation_keeps_the_bootstrap_and_termination_removes_it():
    never, always = np.zeros(1, bool), np.ones(1, bool)
    one = (np.array([1.0]), np.array([10.0]))
    assert lambda_return(*one, never, always, GAMMA, 1.0)[0] == pytest.approx(10.0)
    assert lambda_return(*one, always, never, GAMMA, 1.0)[0] == pytest.approx(1.0)


@pytest.mark.parametrize("trace", [0.0, 0.5, 1.0])
def test_the_mean_of_gae_with_the_true_value_is_the_advantage(trace):
    """Averages the first step over all trajectories that start with one state and action."""
    values = values_by_step(WEIGHT, GAMMA)
    path = jnp.stack([values[t][S[:, t]] for t in range(STEPS)], axis=1)
    following = jnp.concatenate([path[:, 1:], jnp.zeros((len(S), 1))], axis=1)
    never = np.zeros(STEPS, bool)
    first = jax.vmap(lambda r, v, nv: gae(r, v, nv, never, never, GAMMA, trace)[0])(R, path, following)
    advantage = REWARD + GAMMA * TRANSITION @ np.asarray(values[1]) - np.asarray(values[0])[:, None]
    for state, action in ((0, 0), (1, 1), (2, 0)):
        here = (S[:, 0] == state) & (A[:, 0] == action)
        assert expectation(here * first) / expectation(here) == pytest.approx(advantage[state, action], abs=1e-12)


def test_differential_return_sums_what_exceeds_the_average():
    np.testing.assert_allclose(differential_return(np.array([1.0, 2.0, 4.0]), 2.0, 0.5), [1.5, 2.5, 2.5])


def test_n_must_be_positive():
    with pytest.raises(EntraxError, match="at least 1"):
        n_step_return(*SEGMENT, 0)


@pytest.mark.parametrize(
    ("length", "expected"), [(None, 0.99), (25, 0.95), (100, 0.95), (200, 0.975), (1000, 0.995), (27_000, 0.995)]
)
def test_the_discount_follows_from_the_length_of_episodes(length, expected):
    assert discount_for(length) == pytest.approx(expected)
