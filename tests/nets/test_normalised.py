"""Normalised networks against NumPy, and their own derivative against JAX's."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.nets.normalised import (
    EPSILON,
    Moments,
    NormalisedMLP,
    Scale,
    by_batch,
    by_both,
    by_running,
    in_ensemble,
    in_training,
    unchanged,
    unit_columns,
    with_unit_weights,
)

N, SIZE = 20, 3


def numbers(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(1.0, 2.0, shape), jnp.float32)


X = numbers(N, SIZE)
SCALE = Scale(gain=jnp.asarray([1.0, 2.0, -0.5]), offset=jnp.asarray([0.0, 3.0, 1.0]))
RUNNING = Moments(mean=jnp.asarray([0.0, 1.0, 2.0]), variance=jnp.asarray([1.0, 4.0, 0.25]))


def in_numpy(x, mean, variance):
    return SCALE.gain * (x - mean) / np.sqrt(variance + EPSILON) + SCALE.offset


def test_a_batch_is_standardised_by_its_own_moments_and_moves_the_running_ones():
    y, running = by_batch(X, SCALE, RUNNING, 0.25)
    np.testing.assert_allclose(y, in_numpy(X, np.mean(X, axis=0), np.var(X, axis=0)), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(running.mean, 0.75 * RUNNING.mean + 0.25 * np.mean(X, axis=0), rtol=1e-5)
    np.testing.assert_allclose(running.variance, 0.75 * RUNNING.variance + 0.25 * np.var(X, axis=0), rtol=1e-5)


def test_a_far_mean_does_not_spoil_the_variance():
    y, _ = by_batch(X + 4096.0, SCALE, RUNNING, 0.25)
    np.testing.assert_allclose(y, by_batch(X, SCALE, RUNNING, 0.25)[0], atol=2e-3)


def test_running_statistics_standardise_one_sample_as_a_batch_and_stay():
    y, running = by_running(X, SCALE, RUNNING)
    np.testing.assert_allclose(y, in_numpy(X, RUNNING.mean, RUNNING.variance), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(by_running(X[0], SCALE, RUNNING)[0], y[0], rtol=1e-6)
    assert running is RUNNING
    np.testing.assert_allclose(unchanged(X, SCALE, RUNNING)[0], X * SCALE.gain + SCALE.offset)


@pytest.mark.parametrize(("ratio", "shift"), [(1.0, 0.0), (1.5, 0.25), (1e6, 1e6)])
def test_renormalisation_lies_between_the_batch_and_the_running_statistics(ratio, shift):
    y, running = by_both(X, SCALE, RUNNING, 0.25, ratio, shift)
    mean, deviation = np.mean(X, axis=0), np.sqrt(np.var(X, axis=0) + EPSILON)
    before = np.sqrt(RUNNING.variance + EPSILON)
    r = np.clip(deviation / before, 1 / ratio, ratio)
    d = np.clip((mean - RUNNING.mean) / before, -shift, shift)
    expected = SCALE.gain * ((X - mean) / deviation * r + d) + SCALE.offset
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    same = by_batch(X, SCALE, RUNNING, 0.25)
    assert eqx.tree_equal(running, same[1])
    limits = {(1.0, 0.0): same[0], (1e6, 1e6): by_running(X, SCALE, RUNNING)[0]}
    if (ratio, shift) in limits:
        np.testing.assert_allclose(y, limits[ratio, shift], rtol=1e-4, atol=1e-4)


def plain(x, gain, offset):
    mean = jnp.mean(x, axis=0)
    return gain * (x - mean) / jnp.sqrt(jnp.mean((x - mean) ** 2, axis=0) + EPSILON) + offset


def test_the_derivative_is_that_of_the_formula():
    weights = numbers(N, SIZE, seed=1)

    def loss(function, x, gain, offset):
        return jnp.sum(weights * jnp.tanh(function(x, gain, offset)))

    def ours(x, gain, offset):
        return by_batch(x, Scale(gain=gain, offset=offset), RUNNING, 0.25)[0]

    gradients = [jax.grad(partial(loss, f), argnums=(0, 1, 2))(X, SCALE.gain, SCALE.offset) for f in (ours, plain)]
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_renormalisation_takes_its_corrections_as_constants():
    """Its derivative is then that of batch normalisation, times r."""
    weights, wide = numbers(N, SIZE, seed=1), Moments(mean=RUNNING.mean, variance=jnp.full(SIZE, 16.0))

    def loss(x, normalise):
        return jnp.sum(weights * normalise(x, SCALE, wide)[0])

    ours = jax.grad(loss)(X, partial(by_both, rate=0.25, ratio_limit=100.0, shift_limit=100.0))
    r = np.sqrt((np.var(X, axis=0) + EPSILON) / (16.0 + EPSILON))
    expected = jax.grad(loss)(X, partial(by_batch, rate=0.25)) * r
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)


def test_renormalisation_warms_up():
    early, late = (in_training("renorm", 0.25, 3.0, 5.0, jnp.asarray(flag)) for flag in (True, False))
    batch = by_batch(X, SCALE, RUNNING, 0.25)[0]
    np.testing.assert_allclose(early(X, SCALE, RUNNING)[0], batch, rtol=1e-5, atol=1e-5)
    assert np.abs(late(X, SCALE, RUNNING)[0] - batch).max() > 0.1


def test_an_ensemble_is_its_networks_side_by_side():
    networks = eqx.filter_vmap(lambda k: NormalisedMLP(SIZE, (4, 4), 2, k))(jr.split(jr.key(0), 3))
    running = networks.initial_running()
    mode = partial(by_batch, rate=0.25)
    outputs, after = in_ensemble(networks, running, X, mode)
    assert outputs.shape == (3, N, 2)
    for i in range(3):
        one, state = jax.tree.map(lambda x, i=i: x[i], (networks, running))
        alone, expected = one(X, state, mode)
        np.testing.assert_allclose(outputs[i], alone, rtol=1e-5, atol=1e-5)
        for x, y in zip(jax.tree.leaves(after), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(x[i], y, rtol=1e-5, atol=1e-6)


def test_weights_start_orthogonal_and_are_projected_to_columns_of_norm_1():
    network: Any = NormalisedMLP(6, (6, 6), 6, jr.key(0))
    first = network.layers[0].weight
    np.testing.assert_allclose(first.T @ first, 2.0 * np.eye(6), atol=1e-5)
    projected: Any = with_unit_weights(network)
    for before, after in zip((*network.layers, network.out), (*projected.layers, projected.out), strict=True):
        np.testing.assert_allclose(np.linalg.norm(after.weight, axis=0), 1.0, rtol=1e-5)
        np.testing.assert_allclose(after.weight * np.linalg.norm(before.weight, axis=0), before.weight, atol=1e-5)
    assert np.array_equal(projected.gain, network.gain)
    stack = numbers(2, 5, 3)
    np.testing.assert_allclose(np.linalg.norm(unit_columns(stack), axis=1), 1.0, rtol=1e-5)
