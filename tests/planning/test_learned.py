"""Trajectory sampling against closed forms, and planning with an ensemble that is the exact model."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.planning import CrossEntropy, Lookahead, PathIntegral, TrajectorySampling, ensemble_lookahead, model_of
from entrax.planning.learned import Particles
from entrax.policies.controller import FINISHED
from tests.nets.test_ensemble import known

SLOPES, STDS, GAIN, START = np.array([0.05, -0.3]), np.array([0.2, 0.5]), 0.4, 1.5
PLAN = np.array([0.5, -1.0, 0.3, 0.8])


def moments(sampling):
    """Mean and mean square of the state after the plan: s' = (1 + slope) s + gain a + std ε."""
    factors, variances = 1 + SLOPES, STDS**2
    if sampling == "tsinf":
        each = [chain(np.array([f]), np.array([v])) for f, v in zip(factors, variances, strict=True)]
        return np.mean(each, axis=0)
    return chain(factors, variances)


def chain(factors, variances):
    mean, square = START, START**2
    for a in GAIN * PLAN:
        square = np.mean(factors**2) * square + 2 * np.mean(factors) * mean * a + a**2 + np.mean(variances)
        mean = np.mean(factors) * mean + a
    return np.array([mean, square])


@pytest.mark.parametrize("sampling", ["ts1", "tsinf"])
def test_moments_of_trajectory_sampling_are_those_of_a_linear_model(sampling):
    model = TrajectorySampling(known(SLOPES, STDS, gain=GAIN), sampling)

    @eqx.filter_jit
    def after(key):
        state = Particles(jnp.full((20_000, 1), START), jnp.ones(20_000, bool))
        for action, step_key in zip(PLAN, jr.split(key, len(PLAN)), strict=True):
            state, _, _ = model(state, jnp.asarray([action], jnp.float32), step_key)
        return state.obs[:, 0]

    s = np.asarray(after(jr.key(0)), np.float64)
    found, exact = np.array([s.mean(), (s**2).mean()]), moments(sampling)
    error = np.array([s.std(), (s**2).std()]) / np.sqrt(len(s))
    assert (abs(found - exact) < 5 * error).all()
    other = moments("ts1" if sampling == "tsinf" else "tsinf")
    assert (abs(other - exact) > 5 * error).any()


def test_particles_keep_their_places_when_they_are_dealt_out():
    model = TrajectorySampling(known([0.0, 0.0], [1e-12, 1e-12]), "ts1")
    places = jnp.arange(8.0)[:, None]
    state, _, _ = model(Particles(places, jnp.ones(8, bool)), jnp.zeros(1), jr.key(3))
    np.testing.assert_allclose(state.obs, places, atol=1e-6)


def test_rewards_end_with_each_particle_and_the_plan_with_the_last():
    """Members move by ±1 and end beyond 1.5; the reward of a step is its mean move."""
    ensemble = known([0.0, 0.0], [1e-12, 1e-12], shift=(1.0, -1.0))
    model = TrajectorySampling(ensemble, "tsinf", lambda obs: obs[0] >= 1.5, lambda s, a, after: after[0] - s[0] + 3)
    state, rewards, ends = Particles(jnp.zeros((2, 1)), jnp.ones(2, bool)), [], []
    for key in jr.split(jr.key(0), 4):
        state, reward, end = model(state, jnp.zeros(1), key)
        rewards.append(float(reward))
        ends.append(bool(end))
    np.testing.assert_allclose(rewards, [3.0, 3.0, 1.0, 1.0], atol=1e-5)
    assert ends == [False] * 4
    both = TrajectorySampling(ensemble, "tsinf", lambda obs: jnp.abs(obs[0]) >= 1.5)
    state, ends = Particles(jnp.zeros((2, 1)), jnp.ones(2, bool)), []
    for key in jr.split(jr.key(0), 2):
        state, _, end = both(state, jnp.zeros(1), key)
        ends.append(bool(end))
    assert ends == [False, True]


@pytest.mark.parametrize("kind", [CrossEntropy, PathIntegral])
def test_a_planner_on_an_ensemble_that_is_the_model_is_the_planner_on_the_model(kind):
    slope, gain = -0.1, 0.7
    exact = model_of(lambda x, u: x + slope * x + gain * u, lambda x, u: x[0] ** 2 + 0.1 * u[0] ** 2)
    ensemble = known([slope] * 3, [1e-13] * 3, gain=gain)
    reward = lambda s, a, after: -(s[0] ** 2 + 0.1 * a[0] ** 2)  # noqa: E731
    lookaheads = [Lookahead(exact, 1, 6, discount=0.9)]
    for sampling in ("ts1", "tsinf"):
        lookaheads.append(
            ensemble_lookahead(ensemble, 1, 6, sampling=sampling, particles_per_elite=2, reward=reward, discount=0.9)
        )

    @eqx.filter_jit
    def decide(planner, obs):
        carry = planner.initial_carry()
        for _ in range(2):
            action, carry, info = planner.act(carry, obs, FINISHED, None, True)
        return action, carry.plan, info["value"]

    given = {"temperature": 0.3, "std": 0.6} if kind is PathIntegral else {}
    first, *others = (decide(kind(lookahead, samples=64, **given), jnp.array([2.0])) for lookahead in lookaheads)
    for other in others:
        for mine, theirs in zip(first, other, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_unknown_sampling_is_reported():
    with pytest.raises(UsageError, match="sampling"):
        ensemble_lookahead(known([0.0], [1.0]), 1, 3, sampling="ts2")
    with pytest.raises(UsageError, match="particles_per_elite"):
        ensemble_lookahead(known([0.0], [1.0]), 1, 3, particles_per_elite=0)
