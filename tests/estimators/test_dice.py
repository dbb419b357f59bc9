"""DiCE: derivatives of the first, second and third order are unbiased, by enumeration."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.estimators import dice_objective, dice_return, magic_box
from tests.estimators.enumerated import (
    REWARD,
    WEIGHT,
    A,
    R,
    S,
    expectation,
    log_probability,
    objective,
    values_by_step,
    variance,
)


def sample(weight, states, actions, reward, baseline):
    return dice_return(log_probability(weight, states, actions), reward, 0.9, baseline)


def derivative(order):
    function = sample
    for _ in range(order):
        function = jax.jacfwd(function) if order > 1 else jax.grad(function)
    return function


@pytest.mark.parametrize("order", [1, 2, pytest.param(3, marks=pytest.mark.long)])
def test_every_order_is_unbiased_with_and_without_a_baseline(order):
    function: Any = objective
    for _ in range(order):
        function = jax.jacfwd(function)
    expected = np.asarray(jax.jit(function)(WEIGHT, 0.9))
    values = np.asarray(values_by_step(WEIGHT, 0.9))
    by_state = np.stack([values[t][S[:, t]] for t in range(3)], axis=1)
    estimates = jax.jit(jax.vmap(derivative(order), (None, 0, 0, 0, 0)))
    for baseline in (np.zeros(S.shape), by_state):
        mean = expectation(estimates(WEIGHT, S, A, R, baseline))
        np.testing.assert_allclose(mean, expected, atol=1e-11)
    assert np.abs(expected).max() > 0.1


def test_the_baseline_reduces_the_variance_of_the_gradient():
    values = np.asarray(values_by_step(WEIGHT, 0.9))
    by_state = np.stack([values[t][S[:, t]] for t in range(3)], axis=1)
    estimates = jax.jit(jax.vmap(derivative(1), (None, 0, 0, 0, 0)))
    assert (
        variance(estimates(WEIGHT, S, A, R, by_state)).sum() < variance(estimates(WEIGHT, S, A, R, 0 * by_state)).sum()
    )


def test_differentiating_the_surrogate_twice_is_wrong():
    """The second derivative of Σ ⊥R log π misses the product of the score with itself, which DiCE includes."""

    def surrogate(weight, states, actions, reward):
        return jnp.sum(reward) * jnp.sum(log_probability(weight, states, actions))

    naive = expectation(jax.jit(jax.vmap(jax.hessian(surrogate), (None, 0, 0, 0)))(WEIGHT, S, A, R))
    assert np.abs(naive - np.asarray(jax.jit(jax.hessian(objective))(WEIGHT, 1.0))).max() > 0.1


def test_the_value_is_the_sum_of_costs():
    weight = np.array([1.0, 0.9, 0.81])
    assert sample(WEIGHT, S[9], A[9], R[9], np.ones(3)) == pytest.approx(float(R[9] @ weight), rel=1e-12)
    assert magic_box(jnp.asarray(-3.0)) == 1.0


LATENTS, CHOICES = 3, 2


def latent_graph(params, z, actions):
    """z ~ p_θ; two actions a₁, a₂ ~ π_θ(·|z); costs f(z, a₁), g(a₂) θ and h(z), each with its own ancestors."""
    latent, policy, scale = params[:LATENTS], params[LATENTS:-1].reshape(LATENTS, CHOICES), params[-1]
    log_z = jax.nn.log_softmax(latent)[z]
    log_a = jax.nn.log_softmax(policy[z])[actions]
    cost = jnp.stack([jnp.asarray(REWARD)[z, actions[0]], jnp.asarray(REWARD)[0, actions[1]] * scale, 1.5 * z])
    return cost, jnp.concatenate([log_z[None], log_a])


INFLUENCES = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0]], bool)


def test_a_latent_node_besides_the_actions():
    rng = np.random.default_rng(5)
    params = jnp.asarray(rng.normal(size=LATENTS + LATENTS * CHOICES + 1))
    outcomes = list(itertools.product(range(LATENTS), range(CHOICES), range(CHOICES)))
    z, actions = np.array([o[0] for o in outcomes]), np.array([o[1:] for o in outcomes])

    def sampled(params, z, actions):
        cost, log_probs = latent_graph(params, z, actions)
        return dice_objective(cost, log_probs, INFLUENCES, np.array([0.4, -1.0, 2.0]))

    def exact(params):
        cost, log_p = jax.vmap(latent_graph, (None, 0, 0))(params, z, actions)
        return jnp.sum(jnp.exp(log_p.sum(axis=1)) * cost.sum(axis=1))

    _, log_p = jax.jit(jax.vmap(latent_graph, (None, 0, 0)))(params, z, actions)
    chance = np.exp(log_p.sum(axis=1))
    for derivative_of in (jax.grad, jax.hessian):
        expected = jax.jit(derivative_of(exact))(params)
        estimates = jax.jit(jax.vmap(derivative_of(sampled), (None, 0, 0)))(params, z, actions)
        np.testing.assert_allclose(np.tensordot(chance, estimates, axes=1), expected, atol=1e-12)
