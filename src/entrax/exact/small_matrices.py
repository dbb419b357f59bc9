"""Linear algebra of small matrices, made of elementary operations, so that `jax.vmap` runs many side by side.

LAPACK is not used for these: jaxlib 0.10 computes a batch of its calls in the threads that run the program, so that two
such batches at once wait for each other for ever on a machine with two cores.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Matrix = Float[Array, "_ _"]
Scalar = Float[Array, ""]
_UNROLLED = 4  # matrices up to this size are computed without a loop


class Eliminated(NamedTuple):
    """The solution of a system, and the sign and logarithm of the determinant of its matrix."""

    x: Matrix
    sign: Scalar
    log_determinant: Scalar


def eliminate(a: Matrix, b: Matrix) -> Eliminated:
    """Solve a x = b by Gauss-Jordan elimination with partial pivoting."""
    n = len(a)
    rows = jnp.arange(n)

    def step(carry: tuple[Matrix, Scalar, Scalar], i: Array) -> tuple[tuple[Matrix, Scalar, Scalar], None]:
        both, sign, log = carry
        column = both @ (jnp.arange(both.shape[1]) == i).astype(both.dtype)
        largest = jnp.argmax(jnp.where(rows >= i, jnp.abs(column), -1.0))
        here, there = (rows == i)[:, None], (rows == largest)[:, None]
        first, second = jnp.sum(jnp.where(here, both, 0.0), 0), jnp.sum(jnp.where(there, both, 0.0), 0)
        swapped = jnp.where(here, second, jnp.where(there, first, both))
        pivot = jnp.sum(jnp.where(rows == largest, column, 0.0))
        factors = jnp.where(rows == largest, jnp.sum(jnp.where(rows == i, column, 0.0)), column)
        row = second / pivot
        reduced = jnp.where(here, row, swapped - factors[:, None] * row)
        sign = sign * jnp.sign(pivot) * jnp.where(largest == i, 1.0, -1.0)
        return (reduced, sign, log + jnp.log(jnp.abs(pivot))), None

    start = (jnp.concatenate([a, b], axis=1), jnp.asarray(1.0), jnp.asarray(0.0))
    (both, sign, log), _ = jax.lax.scan(step, start, rows, unroll=n if n <= _UNROLLED else 1)
    return Eliminated(x=both[:, n:], sign=sign, log_determinant=log)


def solve(a: Matrix, b: Matrix) -> Matrix:
    """Return x with a x = b."""
    return eliminate(a, b).x


def inverse(a: Matrix) -> Matrix:
    """Return the inverse."""
    return solve(a, jnp.eye(len(a)))


def cholesky(a: Matrix) -> Matrix:
    """Return L, lower triangular, with L Lᵀ = a; NaN if `a` is not positive definite."""
    n = len(a)
    rows = jnp.arange(n)

    def step(rest: Matrix, i: Array) -> tuple[Matrix, Float[Array, " _"]]:
        column = jnp.where(rows >= i, rest @ (rows == i).astype(rest.dtype), 0.0)
        pivot = jnp.sum(jnp.where(rows == i, column, 0.0))
        scaled = column / jnp.sqrt(pivot)
        return rest - scaled[:, None] * scaled, scaled

    _, columns = jax.lax.scan(step, a, rows, unroll=n if n <= _UNROLLED else 1)
    return columns.T
