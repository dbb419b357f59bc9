"""Rewards by networks: a linear network is `fit`, and gradients are those of the objective."""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest

from entrax.exact import plan
from entrax.inverse import demonstrate, fit, fit_network, on_arrival
from entrax.problems import garnet


@pytest.mark.parametrize("objective", ["likelihood", "moments"])
def test_a_linear_network_has_the_linear_estimate(objective):
    mdp = garnet(6, 2, 2, seed=0, discount=0.8)
    phi = on_arrival(mdp, np.random.default_rng(0).normal(size=(6, 2)))
    true = replace(mdp, reward=np.einsum("sak,sakf->saf", mdp.probability, phi) @ [1.0, -1.0])
    demos = demonstrate(true, plan(true, 0.5).policy, 30, seed=0, steps=10)
    network = eqx.nn.Linear(2, 1, use_bias=False, key=jax.random.key(0))
    found = fit_network(mdp, demos, phi, network, temperature=0.5, objective=objective)
    linear = fit(mdp, demos, phi, temperature=0.5, objective=objective)
    assert found.converged
    np.testing.assert_allclose(found.network.weight[0], linear.weights, rtol=1e-4)
    assert found.log_likelihood == pytest.approx(linear.log_likelihood, abs=1e-4)
    assert found.log_likelihood_error < 1e-6


@pytest.mark.long
def test_a_network_finds_a_reward_that_is_not_linear():
    """A planted reward of 3 (x − ½)²: the policy is at least twice as near as that of a linear reward."""
    mdp = garnet(8, 3, 2, seed=2, discount=0.7)
    x = np.linspace(-1, 1, 24).reshape(8, 3, 1)
    true = replace(mdp, reward=3 * (x[..., 0] - 0.5) ** 2)
    policy = np.asarray(plan(true, 1.0).policy)
    demos = demonstrate(true, policy, 100, seed=0, steps=40)
    network = eqx.nn.MLP(1, 1, 16, 1, activation=jax.nn.tanh, key=jax.random.key(1))
    found = fit_network(mdp, demos, x, network, l2=0.01)
    line = fit(mdp, demos, x)
    error = np.abs(np.asarray(found.solution.policy) - policy).max()
    assert error < 0.5 * np.abs(np.asarray(line.solution.policy) - policy).max()
    assert found.log_likelihood > line.log_likelihood + 10
