"""Linear systems of one policy: differentiable, dense where that is small, without matrices elsewhere.

    discounted       (I − γ P) x = b                                                  (1)  solve_policy
    average reward   h − P h + g = b, h(first) = 0, in x = h but for x(first) = g     (2)  solve_relative

(2) is nonsingular exactly when P has one closed class; then g is μ·b, with μ its stationary distribution, and so μ
solves the transposed system for b = 1 at the first state.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from entrax.exact.bellman import ByState, Rows, Scalar, expectation, spread
from entrax.exact.krylov import Solved, bicgstab

_DENSE = 1024  # states; up to here a dense solve is quick and as accurate as can be
_DIGITS = 1e-13  # of the right-hand side, asked of an iterative solve
_MAX_PRODUCTS = 100_000
_REFINEMENTS = 2
_EPS = float(jnp.finfo(jnp.float64).eps)
_TINY = 1e-250

Operator = Callable[[Any], Any]


def residual_operator(rows: Rows, discount: Scalar, x: ByState) -> ByState:
    """(I − γ P) x, the left side of (1)."""
    return x - discount * expectation(rows.successor, rows.weight, x)


def relative_operator(rows: Rows, x: ByState) -> ByState:
    """h − P h + g, the left side of (2)."""
    h = x.at[0].set(0.0)
    return h - expectation(rows.successor, rows.weight, h) + x[0]


def solve_policy(rows: Rows, discount: Scalar, b: ByState) -> ByState:
    """The solution of (1), differentiable in all of it."""
    return _solve(lambda x: residual_operator(rows, discount, x), b)


def solve_policy_by_scale(rows: Rows, discount: Scalar, b: ByState) -> ByState:
    """As `solve_policy`, and each state to its own scale. `b` must be known where the solve is differentiated."""
    if b.shape[0] <= _DENSE:
        return solve_policy(rows, discount, b)
    scale = jax.lax.stop_gradient(positive(spread(rows, jnp.abs(b))))
    return scale * _solve(lambda y: residual_operator(rows, discount, scale * y) / scale, b / scale)


def solve_scaled(
    rows: Rows, discount: Scalar, b: ByState, scale: ByState, tolerance: Scalar | float, max_products: Any
) -> Solved:
    """Solve (1) iteratively to |b − A x| ≤ `tolerance` · `scale` at each state; `residual` is in units of `scale`."""
    scaled = b / scale
    size = jnp.max(jnp.abs(scaled))
    size = jnp.where(size > 0, size, 1.0)  # so that no square overflows
    found = bicgstab(
        lambda y: residual_operator(rows, discount, scale * y) / scale, scaled / size, tolerance / size, max_products
    )
    return Solved(x=scale * (found.x * size), residual=found.residual * size, products=found.products)


def positive(size: ByState) -> ByState:
    """`size` with another number, far below the rest, in place of 0."""
    least = jnp.min(jnp.where(size > 0, size, jnp.inf))
    return jnp.where(size > 0, size, jnp.where(jnp.isfinite(least), jnp.maximum(_EPS * least, _TINY), 1.0))


def solve_policy_transposed(rows: Rows, discount: Scalar, b: ByState) -> ByState:
    """The solution of (I − γ Pᵀ) x = b: discounted visits of states, when b is where one starts."""
    return _solve(_transposed(lambda x: residual_operator(rows, discount, x), b), b)


def solve_relative(rows: Rows, b: ByState) -> tuple[ByState, Scalar]:
    """(h, g) of (2), differentiable in all of it."""
    x = _solve(lambda x: relative_operator(rows, x), b)
    return x.at[0].set(0.0), x[0]


def stationary(rows: Rows) -> ByState:
    """μ = μ P, summing to 1."""
    first = jnp.zeros(rows.weight.shape[1]).at[0].set(1.0)
    return _solve(_transposed(lambda x: relative_operator(rows, x), first), first)


def _transposed(operator: Operator, like: ByState) -> Operator:
    transpose = jax.linear_transpose(operator, like)
    return lambda x: transpose(x)[0]


def _solve(operator: Operator, b: ByState) -> ByState:
    return jax.lax.custom_linear_solve(operator, b, solve=_solve_plainly, transpose_solve=_solve_plainly)


def _solve_plainly(operator: Operator, b: ByState) -> ByState:
    if b.shape[0] <= _DENSE:
        matrix = jax.vmap(operator, out_axes=1)(jnp.eye(b.shape[0]))
        return jnp.linalg.solve(matrix, b)
    tolerance = _DIGITS * jnp.max(jnp.abs(b))
    x = bicgstab(operator, b, tolerance, _MAX_PRODUCTS).x
    for _ in range(_REFINEMENTS):  # the recurrence drifts from the true residual
        x = x + bicgstab(operator, b - operator(x), tolerance, _MAX_PRODUCTS).x
    return x
