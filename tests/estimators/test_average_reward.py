"""The average-reward objective: its estimate's mean over all trajectories is the gradient of the closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.estimators import differential_advantage, likelihood_ratio_objective, soft_reward
from entrax.exact import plan
from entrax.problems import FiniteMDP
from tests.estimators.enumerated import (
    INITIAL,
    PHI,
    REWARD,
    STATES,
    STEPS,
    TRANSITION,
    WEIGHT,
    A,
    R,
    S,
    average_reward,
    expectation,
    log_policy,
    log_probability,
)

NEVER = np.zeros(STEPS, bool)


def mean_estimate(weight, trace, temperature, shift=0.0):
    """The estimate of each trajectory, weighted as if trajectories started in the stationary distribution.

    The value after the last step is the mean over its successors.
    """
    rho, (stationary, differential, _) = average_reward(weight, temperature)
    values = differential + shift
    here = values[S]
    following = jnp.concatenate([here[:, 1:], (TRANSITION @ values)[S[:, -1], A[:, -1]][:, None]], axis=1)

    def estimate(weight, states, actions, reward, value, next_value):
        log_prob = log_probability(weight, states, actions)
        soft = soft_reward(reward, log_prob, temperature)
        advantage = differential_advantage(soft, value, next_value, NEVER, NEVER, rho, trace)
        return likelihood_ratio_objective(log_prob, advantage) / STEPS

    each = jax.vmap(jax.grad(estimate), (None, 0, 0, 0, 0, 0))(weight, S, A, R, here, following)
    return (stationary / INITIAL)[S[:, 0]][:, None] * each


@pytest.mark.parametrize("trace", [0.0, 0.6, 1.0])
def test_the_mean_is_the_exact_gradient(trace):
    for temperature, shift in ((0.0, 0.0), (0.6, 5.0)):
        expected = jax.jit(jax.grad(lambda w, t=temperature: average_reward(w, t)[0]))(WEIGHT)
        found = jax.jit(mean_estimate)(WEIGHT, trace, temperature, shift)
        np.testing.assert_allclose(expectation(found), expected, atol=1e-12)
        assert np.abs(expected).max() > 0.01


def test_the_usual_discount_is_biased_and_tends_to_the_average_reward():
    """Σ d(s) Σ ∇π(a|s) Q_γ(s, a): the error falls like 1 - γ."""

    def usual(discount):
        _, (stationary, _, policy) = average_reward(WEIGHT)
        chain = jnp.einsum("sa,sat->st", policy, TRANSITION)
        values = jnp.linalg.solve(jnp.eye(STATES) - discount * chain, jnp.sum(policy * REWARD, axis=1))
        q = REWARD + discount * TRANSITION @ values
        return jax.grad(lambda w: stationary @ jnp.sum(jnp.exp(log_policy(w)) * q, axis=1))(WEIGHT)

    expected = jax.grad(lambda w: average_reward(w)[0])(WEIGHT)
    errors = [float(jnp.abs(usual(discount) - expected).max()) for discount in (0.5, 0.9, 0.99, 0.999)]
    assert errors[0] > 0.05 * float(jnp.abs(expected).max())
    np.testing.assert_allclose(np.array(errors[2:]) / errors[1:-1], 0.1, rtol=0.15)


def test_at_the_planned_optimum_the_soft_gradient_vanishes():
    """`exact.plan` of the average reward agrees in the gain, the values and the policy."""
    alpha = 0.6
    found = plan(FiniteMDP.from_dense(TRANSITION, REWARD, discount=1.0), alpha, objective="average")
    # Weights of the features that give the planned policy exactly: more features than differences of log π.
    differences = np.log(found.policy[:, 1]) - np.log(found.policy[:, 0])
    weight = np.linalg.lstsq(PHI[:, 1] - PHI[:, 0], differences, rcond=None)[0]
    np.testing.assert_allclose(jnp.exp(log_policy(weight)), found.policy, rtol=1e-8)
    rho, (stationary, differential, _) = average_reward(weight, alpha)
    assert found.average_reward is not None
    assert float(found.average_reward) == pytest.approx(float(rho), abs=1e-9)
    np.testing.assert_allclose(found.value - stationary @ found.value, differential, atol=1e-7)
    np.testing.assert_allclose(expectation(jax.jit(mean_estimate)(weight, 0.0, alpha), weight), 0.0, atol=1e-7)
