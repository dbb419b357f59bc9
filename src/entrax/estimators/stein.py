"""Stein variational gradient descent: the direction in which particles move to become draws from a density.

    φ(x_i) = 1/n Σ_j [κ(x_j, x_i) ∇ log p(x_j) + ∇_{x_j} κ(x_j, x_i)]              (1)  stein_direction
    κ(x, y) = exp(-|x - y|² / h)                                                    (2)  rbf_kernel
    h = m² / log(n + 1), m the median of |x_i - x_j| over pairs i < j               (3)  median_bandwidth

Among all directions of unit norm in the kernel's space φ lowers KL(particles ‖ p) fastest. The first term pulls towards
where p is high, the second pushes particles apart. `log p` may lack its constant, which the scores ∇ log p don't see.
With one particle (1) is gradient ascent on log p.

In (3) the median of an even number of pairs is the lower of the two in the middle. Its square is rounded down, by less
than one part in 128, which spares sorting. If more than half of the pairs coincide the mean of |x_i - x_j|² stands in
for it, and if all do h is 1, which then has no effect.

Source: Liu and Wang (2016), arXiv:1608.04471, algorithm 1; they write log n, which has no h for one particle.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike

Particles = Float[Array | np.ndarray, "particle dimension"]


def stein_direction(
    particles: Particles, scores: Particles, bandwidth: ScalarLike | None = None
) -> Float[Array, "particle dimension"]:
    """φ of equation (1) for every particle; `scores` are ∇ log p there, `bandwidth` is h, None for equation (3)."""
    particles = jnp.asarray(particles)
    h = median_bandwidth(particles) if bandwidth is None else bandwidth
    kernel = rbf_kernel(particles, h)
    attraction = kernel @ scores
    repulsion = 2.0 / h * (particles * jnp.sum(kernel, axis=1, keepdims=True) - kernel @ particles)
    return (attraction + repulsion) / len(particles)


def rbf_kernel(particles: Particles, bandwidth: ScalarLike) -> Float[Array, "particle particle"]:
    """κ of equation (2) for every pair; `bandwidth` is h, in squared units of the particles."""
    return jnp.exp(-_squared_distances(particles) / bandwidth)


def median_bandwidth(particles: Particles) -> Float[Array, ""]:
    """h of equation (3), in squared units of the particles."""
    squares = _squared_distances(particles)
    n = len(squares)
    if n == 1:
        return jnp.ones((), squares.dtype)
    pairs = n * (n - 1) // 2
    # All n² entries in order: the diagonal's zeros, then every pair twice.
    median = _order_statistic(squares, n + 2 * ((pairs - 1) // 2))
    typical = jnp.where(median > 0, median, jnp.sum(squares) / (2 * pairs))
    return jnp.where(typical > 0, typical / np.log(n + 1), 1)


def _squared_distances(particles: Particles) -> Float[Array, "particle particle"]:
    # By differences: |x|² + |y|² - 2 x·y would cancel where particles are close, which is where the kernel acts. The
    # short axis comes first, so that the sum over it runs along vectors.
    coordinates = jnp.asarray(particles).T
    return jnp.sum((coordinates[:, :, None] - coordinates[:, None, :]) ** 2, axis=0)


def _order_statistic(values: Float[Array, "..."], rank: int) -> Float[Array, ""]:
    """The value of the given rank, from 0, among numbers ≥ 0, rounded down by less than one part in 128.

    Such floating-point numbers are ordered as their bits are, so that the answer's bits can be found from the highest
    down by counting. The upper half of float32's 32 will do; sorting takes thirty times as long on a CPU.
    """
    bits = (jax.lax.bitcast_convert_type(values.astype(jnp.float32), jnp.int32) >> 16).astype(jnp.int16)
    found = jnp.zeros((), jnp.int16)
    for place in range(14, -1, -1):
        trial = found | jnp.int16(1 << place)
        found = jnp.where(jnp.sum(bits < trial) <= rank, trial, found)
    upper_half = found.astype(jnp.int32) << 16
    return jax.lax.bitcast_convert_type(upper_half, jnp.float32).astype(values.dtype)
