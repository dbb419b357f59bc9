"""The Stein direction against its definition, and its particles against multimodal densities integrated numerically."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.estimators import median_bandwidth, rbf_kernel, stein_direction
from entrax.nets.distributions import log_det_tanh

direction = jax.jit(stein_direction)


def by_definition(x, score, h):
    """Equation (1), one pair of numbers at a time."""
    n, d = x.shape
    phi = np.zeros((n, d))
    for i in range(n):
        for j in range(n):
            kappa = np.exp(-np.sum((x[j] - x[i]) ** 2) / h)
            for k in range(d):
                phi[i, k] += kappa * score[j, k] - 2.0 / h * (x[j, k] - x[i, k]) * kappa
    return phi / n


def median_of_pairs(x):
    pairs = sorted(np.linalg.norm(x[i] - x[j]) for i in range(len(x)) for j in range(i))
    return pairs[(len(pairs) - 1) // 2]


@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 3)])
def test_direction_and_bandwidth_equal_their_definition(n, d):
    rng = np.random.default_rng(n)
    x, score = rng.normal(size=(2, n, d))
    with jax.enable_x64(True):
        h = median_of_pairs(x) ** 2 / np.log(n + 1)
        found = float(jax.jit(median_bandwidth)(x))
        assert h * (1 - 1 / 128) < found <= h * (1 + 1e-6)
        np.testing.assert_allclose(direction(x, score), by_definition(x, score, found), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(direction(x, score, 0.7), by_definition(x, score, 0.7), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(rbf_kernel(x, 0.7)[0, 1], np.exp(-np.sum((x[0] - x[1]) ** 2) / 0.7), rtol=1e-14)
    x, score = x.astype(np.float32), score.astype(np.float32)
    np.testing.assert_allclose(direction(x, score), by_definition(x, score, found), rtol=1e-4, atol=1e-5)


def test_one_particle_climbs():
    np.testing.assert_allclose(stein_direction(jnp.ones((1, 2)), jnp.asarray([[3.0, -1.0]])), [[3.0, -1.0]])


@pytest.mark.parametrize(
    ("x", "h"),
    [
        (np.zeros((4, 2)), 1.0),  # all coincide
        (np.repeat([0.0, 3.0], [4, 1])[:, None], 36.0 / 10 / np.log(6)),  # four of five: 4 of 10 pairs are 3 apart
    ],
)
def test_coinciding_particles_have_a_finite_direction(x, h):
    x = x.astype(np.float32)
    np.testing.assert_allclose(median_bandwidth(x), h, rtol=1e-6)
    assert np.isfinite(direction(x, np.ones_like(x))).all()


def test_batches_of_particles_are_independent():
    x, score = jr.normal(jr.key(0), (2, 5, 6, 2))
    together = jax.jit(jax.vmap(stein_direction))(x, score)
    for i in range(5):
        np.testing.assert_allclose(together[i], direction(x[i], score[i]), rtol=1e-5, atol=1e-6)


SEEDS = 3


def descend(score, dimension, particles, steps, rate, before=lambda x: x):
    """Particles [seed, particle, dimension] after Stein variational gradient descent from normal draws.

    Uses Adagrad, as the paper does. `before` maps the normal draws to the initial particles.
    """

    def step(_, carry):
        x, total = carry
        direction = stein_direction(x, jax.vmap(jax.grad(score))(x))
        total = 0.95 * total + 0.05 * direction**2
        return x + rate * direction / (jnp.sqrt(total) + 1e-6), total

    @jax.jit
    @jax.vmap
    def run(key):
        x = before(jr.normal(key, (particles, dimension)))
        return jax.lax.fori_loop(0, steps, step, (x, jnp.zeros_like(x)))[0]

    return np.asarray(run(jr.split(jr.key(0), SEEDS)))


def wasserstein(x, grid, density):
    """Mean distance of particles on a line to the quantiles of a density known on a grid of equal steps."""
    mass = np.cumsum(density) / np.sum(density)
    quantiles = np.interp((np.arange(len(x)) + 0.5) / len(x), mass, grid)
    return np.mean(np.abs(np.sort(x) - quantiles))


def two_wells(a):
    """Q/α over [-1, 1] with its modes near the ends, where squashing matters most; the right one holds more."""
    return -5.0 * (a**2 - 0.7) ** 2 + 0.3 * a


def test_particles_driven_before_the_squashing_are_draws_from_exp_q():
    grid = np.linspace(-1, 1, 20001)[1:-1]
    expected, other = np.exp(two_wells(grid)), np.exp(two_wells(grid)) * (1 - grid**2)

    def before(u):
        return two_wells(jnp.tanh(u[0])) + jnp.sum(log_det_tanh(u))

    for u in descend(before, 1, particles=100, steps=800, rate=0.05):
        assert wasserstein(np.tanh(u[:, 0]), grid, expected) < 0.06
        assert wasserstein(np.tanh(u[:, 0]), grid, other) > 0.1

    # Adding the log-determinant to Q but differentiating by the action gives the fixed point of another density.
    def within(a):
        return two_wells(a[0]) + jnp.sum(jnp.log(1 - jnp.clip(a, -0.999, 0.999) ** 2))

    for a in descend(within, 1, particles=100, steps=800, rate=0.02, before=jnp.tanh):
        assert np.abs(a).max() < 1
        assert wasserstein(a[:, 0], grid, other) < 0.05
        assert wasserstein(a[:, 0], grid, expected) > 0.1


GOALS = np.array([[0.6, 0.0], [-0.6, 0.0], [0.0, 0.6], [0.0, -0.6]], np.float32)


def four_goals(a):
    """Q/α over the square [-1, 1]², four bumps of deviation 0.25."""
    return jax.nn.logsumexp(-jnp.sum((a - GOALS) ** 2, axis=-1) / (2 * 0.25**2))


def test_particles_find_four_modes_of_the_plane_in_proportion():
    line = np.linspace(-1, 1, 401)
    square = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(jax.vmap(four_goals)(square.astype(np.float32)))
    edges = np.linspace(-1.5, 1.5, 601)

    for u in descend(lambda u: four_goals(jnp.tanh(u)) + jnp.sum(log_det_tanh(u)), 2, 100, steps=800, rate=0.05):
        actions = np.tanh(u)
        nearest = np.argmin(np.linalg.norm(actions[:, None] - GOALS, axis=-1), axis=1)
        np.testing.assert_allclose(np.bincount(nearest, minlength=4) / 100, 0.25, atol=0.06)
        for angle in np.pi / 8 * np.arange(8):  # the marginals in all directions determine a density of the plane
            direction = np.array([np.cos(angle), np.sin(angle)])
            marginal, _ = np.histogram(square @ direction, edges, weights=density)
            assert wasserstein(actions @ direction, (edges[1:] + edges[:-1]) / 2, marginal) < 0.05
