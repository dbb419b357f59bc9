"""The cross-entropy method and random shooting on problems with a known optimum."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.planning import CrossEntropy, Lookahead, RandomShooting, model_of
from entrax.planning.shooting import evaluated, refit

ROOT = np.array([[1.0, 0.0], [0.5, 0.8]])
BEST = np.array([[0.4, -0.3], [0.1, 0.6], [-0.7, 0.2]])


def quadratic(bounds: str = "none") -> Lookahead:
    """The return is −Σ_t |ROOT (u_t − BEST_t)|²; the state counts the steps."""
    best = jnp.asarray(BEST)
    model = model_of(lambda t, u: t + 1, lambda t, u: jnp.sum((ROOT @ (u - best[t])) ** 2))
    return Lookahead(model, 2, 3, bounds=bounds)


@eqx.filter_jit
def improved(planner, keys):
    return jax.vmap(lambda key: planner.improve(jnp.zeros((3, 2)), jnp.zeros((), int), key))(keys)


@pytest.mark.parametrize("bounds", ["none", "clip"])
def test_the_cross_entropy_method_converges_to_the_optimum(bounds):
    keys, errors = jr.split(jr.key(0), 8), []
    for iterations in (4, 12, 36):
        planner = CrossEntropy(quadratic(bounds), samples=400, elites=80, iterations=iterations)
        result = improved(planner, keys)
        errors.append(np.abs(result.plan - BEST).max())
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 1e-3
    assert result.info["spread"].max() < 1e-3


def test_one_iteration_fits_the_elites():
    planner = CrossEntropy(quadratic(), samples=50, elites=10, momentum=0.3, smallest_std=0.2)
    mean, std, key = jnp.full((3, 2), 0.1), jnp.full((3, 2), 0.4), jr.key(1)
    fit = refit(planner, mean, std, jnp.zeros((), int), key)
    proposals, returns = evaluated(planner, mean, std, jnp.zeros((), int), key)
    elites = np.asarray(proposals)[np.argsort(-np.asarray(returns))[:10]]
    np.testing.assert_allclose(fit.mean, 0.3 * 0.1 + 0.7 * elites.mean(0))
    np.testing.assert_allclose(fit.std, 0.3 * 0.4 + 0.7 * np.maximum(elites.std(0), 0.2))
    np.testing.assert_allclose(fit.returns, np.sort(returns)[::-1][:10])


def test_random_shooting_takes_the_best_plan_and_improves_with_samples():
    keys, values = jr.split(jr.key(2), 20), []
    for samples in (10, 100, 1000):
        result = improved(RandomShooting(quadratic(), samples=samples, std=0.7), keys)
        value = jax.vmap(lambda plan: quadratic().returns(jnp.zeros((), int), plan, jr.key(0)))(result.plan)
        np.testing.assert_allclose(result.info["value"], value)
        values.append(value.mean())
    assert values[0] < values[1] < values[2] < 0


def test_rewards_after_termination_do_not_count():
    """The state counts steps; the episode ends after the second, whose reward still counts."""
    model = model_of(lambda t, u: t + 1, lambda t, u: jnp.where(t < 2, -1.0 * 10**t, jnp.nan), lambda t: t >= 2)
    ended = Lookahead(model, 1, 5, discount=0.5, final_reward=lambda t: jnp.full((), jnp.inf))
    assert ended.returns(jnp.zeros((), int), jnp.zeros((5, 1)), jr.key(0)) == 1 + 0.5 * 10
    model = model_of(lambda t, u: t + 1, lambda t, u: -1.0 * 10**t)
    cut = Lookahead(model, 1, 2, discount=0.5, final_reward=lambda t: 100.0 * t)
    assert cut.returns(jnp.zeros((), int), jnp.zeros((2, 1)), jr.key(0)) == 1 + 0.5 * 10 + 0.25 * 200


def test_usage_errors():
    with pytest.raises(UsageError, match="elites"):
        CrossEntropy(quadratic(), samples=5, elites=6)
    with pytest.raises(UsageError, match="momentum"):
        CrossEntropy(quadratic(), momentum=1.0)
    with pytest.raises(UsageError, match="horizon"):
        Lookahead(quadratic().model, 2, 0)
