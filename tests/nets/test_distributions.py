"""The tanh-Gaussian against numerical integration and float64 references."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.special import ndtr

from entrax.nets import TanhGaussian
from entrax.nets.distributions import log_det_tanh

LAWS = [(0.0, 1.0), (0.7, 0.3), (-5.0, 0.8), (6.0, 0.5), (0.4, 1e-3), (0.0, 4.0)]


def law(mean, std, dtype):
    mean, std = np.atleast_1d(mean), np.atleast_1d(std)
    return TanhGaussian(mean=jnp.asarray(mean, dtype), log_std=jnp.asarray(np.log(std), dtype))


def exact_log_prob(mean, std, u):
    """log N(u; mean, std²) - Σ log(1 - tanh²u) in float64, with 1 - tanh²u = 1/cosh²u, which does not cancel."""
    z = (u - mean) / std
    return np.sum(-0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi) + 2.0 * np.log(np.cosh(u)), axis=-1)


def grid(mean, std, points=20_001):
    """Actions in (-1, 1), dense where a law of this mean and deviation has its mass."""
    return np.tanh(np.linspace(mean - 8 * std, mean + 8 * std, points).clip(-17.0, 17.0))


@pytest.mark.parametrize(("mean", "std"), LAWS)
def test_density_in_float64_integrates_to_the_normal_distribution_function(mean, std):
    a = np.unique(grid(mean, std))
    with jax.enable_x64(True):
        density = np.exp(jax.vmap(law(mean, std, jnp.float64).log_prob)(jnp.asarray(a)[:, None]))
    integral = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(a))])
    distribution = ndtr((np.arctanh(a) - mean) / std)
    np.testing.assert_allclose(integral, distribution - distribution[0], atol=2e-5)
    if abs(mean) + 8 * std < 17.0:
        assert abs(integral[-1] - 1.0) < 2e-5


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.7, 0.3), (-1.5, 0.25), (0.4, 1e-3)])
def test_density_in_float32_integrates_to_one(mean, std):
    a = grid(mean, std).astype(np.float32)
    density = np.exp(jax.vmap(law(mean, std, jnp.float32).log_prob)(jnp.asarray(a)[:, None]), dtype=np.float64)
    assert abs(np.trapezoid(density, a.astype(np.float64)) - 1.0) < 2e-3


def test_density_of_two_dimensions_integrates_to_one():
    mean, std = np.array([0.6, -1.2]), np.array([0.5, 0.3])
    a, b = (grid(m, s, 201) for m, s in zip(mean, std, strict=True))
    actions = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1)
    with jax.enable_x64(True):
        density = np.exp(jax.vmap(jax.vmap(law(mean, std, jnp.float64).log_prob))(jnp.asarray(actions)))
    assert abs(np.trapezoid(np.trapezoid(density, b, axis=1), a) - 1.0) < 1e-3


def test_log_prob_of_many_entries_is_the_sum_over_entries():
    mean, std, action = np.array([0.3, -0.8, 2.0]), np.array([0.5, 1.0, 0.2]), np.array([0.1, -0.9, 0.97])
    together = law(mean, std, jnp.float32).log_prob(jnp.asarray(action, jnp.float32))
    expected = exact_log_prob(mean, std, np.arctanh(action))
    np.testing.assert_allclose(together, expected, rtol=1e-5)


@pytest.mark.parametrize("mean", [-20.0, -9.0, -3.0, 0.0, 3.0, 9.0, 20.0])
@pytest.mark.parametrize("std", [1e-3, 0.3, 1.0])
def test_log_prob_of_a_sample_is_exact_in_float32_however_far_out(mean, std):
    keys = jr.split(jr.key(0), 200)
    mean3 = np.full(3, mean)
    action, log_prob = jax.vmap(law(mean3, np.full(3, std), jnp.float32).sample_and_log_prob)(keys)
    noise = np.asarray(jax.vmap(lambda k: jr.normal(k, (3,)))(keys), np.float64)
    std32 = float(np.exp(np.float64(np.float32(np.log(std)))))
    u = mean3 + std32 * noise
    np.testing.assert_allclose(action, np.tanh(u), atol=2e-6)
    np.testing.assert_allclose(log_prob, exact_log_prob(mean3, std32, u), rtol=2e-6, atol=2e-5)


def test_log_prob_of_a_sample_is_the_density_of_its_action():
    with jax.enable_x64(True):
        pi = law([0.5, -2.0], [0.7, 0.4], jnp.float64)
        action, log_prob = jax.vmap(pi.sample_and_log_prob)(jr.split(jr.key(1), 500))
        np.testing.assert_allclose(jax.vmap(pi.log_prob)(action), log_prob, rtol=1e-8, atol=1e-8)


def test_log_prob_at_the_bounds_is_finite_with_finite_gradient():
    def at(mean, action):
        return TanhGaussian(mean=mean, log_std=jnp.zeros(1)).log_prob(action)

    for action in (-1.0, 1.0):
        value, slope = jax.value_and_grad(at)(jnp.zeros(1), jnp.full(1, action))
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


def test_samples_have_the_distribution_of_the_density():
    mean, std, n = 0.4, 0.6, 20_000
    action, _ = jax.vmap(law(mean, std, jnp.float32).sample_and_log_prob)(jr.split(jr.key(2), n))
    for quantile in (-0.5, 0.0, 0.3, 0.8):
        expected = ndtr((np.arctanh(quantile) - mean) / std)
        assert abs(np.mean(np.asarray(action) <= quantile) - expected) < 4.5 * np.sqrt(0.25 / n)


def test_sample_is_reparameterised():
    def entropy(log_std):
        pi = TanhGaussian(mean=jnp.zeros(1), log_std=log_std)
        return -jnp.mean(jax.vmap(lambda k: pi.sample_and_log_prob(k)[1])(jr.split(jr.key(3), 2000)))

    step = 1e-2
    slope = jax.grad(entropy)(jnp.full(1, -0.5))[0]
    secant = (entropy(jnp.full(1, -0.5 + step)) - entropy(jnp.full(1, -0.5 - step))) / (2 * step)
    np.testing.assert_allclose(slope, secant, rtol=1e-2)


def test_mode_is_the_squashed_mean():
    np.testing.assert_allclose(law([-1.0, 0.0, 30.0], [1.0, 1.0, 1.0], jnp.float32).mode(), np.tanh([-1.0, 0.0, 30.0]))


def test_log_det_tanh_is_exact_in_float32():
    u = np.concatenate([np.linspace(-40.0, 40.0, 801), [-1e-6, 1e-6]]).astype(np.float32)
    exact = -2.0 * np.log(np.cosh(u.astype(np.float64)))
    np.testing.assert_allclose(log_det_tanh(jnp.asarray(u)), exact, rtol=5e-7, atol=5e-7)


def test_log_det_tanh_has_the_gradient_of_its_equation():
    u = jnp.asarray([-30.0, -2.0, 0.0, 0.5, 30.0])
    slope = jax.vmap(jax.grad(lambda x: log_det_tanh(x[None])[0]))(u)
    np.testing.assert_allclose(slope, -2.0 * np.tanh(np.asarray(u, np.float64)), atol=1e-6)
