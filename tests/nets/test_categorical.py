"""Projection onto atoms: mass and mean are kept, and algorithm 1 of Bellemare et al. 2017 says how."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.nets.categorical import atoms_of, mean_of, project

LIMIT = 5.0


def distribution(count, seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(count))
    return jnp.asarray(p, jnp.float32)


@pytest.mark.parametrize("count", [2, 11, 101])
def test_within_the_support_mass_and_mean_are_kept(count):
    p = distribution(count, 0)
    values = jnp.asarray(np.random.default_rng(1).uniform(-LIMIT, LIMIT, count), jnp.float32)
    found = project(p, values, LIMIT)
    assert found.min() >= 0.0
    np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-6)
    np.testing.assert_allclose(found @ atoms_of(count, LIMIT), p @ values, rtol=1e-5, atol=1e-5)


def test_mass_beyond_the_support_lies_on_its_ends():
    p = distribution(5, 2)
    found = project(p, jnp.asarray([-9.0, -5.0, 6.0, 5.0, 1e30]), LIMIT)
    np.testing.assert_allclose(found, [p[0] + p[1], 0.0, 0.0, 0.0, p[2] + p[3] + p[4]], atol=1e-6)


def test_the_atoms_themselves_stay():
    p = distribution(11, 3)
    np.testing.assert_allclose(project(p, atoms_of(11, LIMIT), LIMIT), p, atol=1e-6)


def test_it_is_algorithm_1():
    count = 11
    p, atoms = distribution(count, 4), np.linspace(-LIMIT, LIMIT, count)
    values, expected = 0.7 + 0.9 * (atoms - 0.2), np.zeros(count)
    for probability, value in zip(np.asarray(p), values, strict=True):
        b = (np.clip(value, -LIMIT, LIMIT) + LIMIT) / (atoms[1] - atoms[0])
        low, high = int(np.floor(b)), int(np.ceil(b))
        if low == high:
            expected[low] += probability
        else:
            expected[low] += probability * (high - b)
            expected[high] += probability * (b - low)
    np.testing.assert_allclose(project(p, jnp.asarray(values, jnp.float32), LIMIT), expected, atol=1e-6)


def test_the_mean_of_logits():
    logits = jnp.asarray(np.random.default_rng(5).normal(size=(3, 7)), jnp.float32)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) @ np.linspace(-2, 2, 7)
    np.testing.assert_allclose(mean_of(logits, 2.0), expected, rtol=1e-5)
    assert np.array_equal(mean_of(logits[:, :1], 2.0), logits[:, 0])
    shifted = jax.vmap(project, (0, None, None))(jax.nn.softmax(logits), atoms_of(7, 2.0), 2.0)
    np.testing.assert_allclose(shifted @ atoms_of(7, 2.0), expected, rtol=1e-4)
