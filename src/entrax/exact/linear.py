"""Differentiable linear systems of one policy, matrix-free for many states.

    discounted       (I − γ P) x = b                                                  (1)  solve_policy
    average reward   h − P h + g = b, h(first) = 0                                    (2)  solve_relative

In (2) the unknown x is h, with g in place of h(first). (2) is nonsingular exactly if P has one closed class. Then
g = μ·b with the stationary distribution μ, so μ solves the transposed system for b = 1 at the first state.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from entrax.exact.bellman import ByState, PolicyTransitions, Scalar, expectation, propagated_scale
from entrax.exact.krylov import LinearSolution, bicgstab

_DENSE = 1024  # the most states for a dense solve, which is fast and most accurate
_DIGITS = 1e-13  # the tolerance of an iterative solve, relative to the right-hand side
_MAX_PRODUCTS = 100_000
_REFINEMENTS = 2
_EPS = float(jnp.finfo(jnp.float64).eps)
_TINY = 1e-250

Operator = Callable[[Any], Any]


def residual_operator(rows: PolicyTransitions, discount: Scalar, x: ByState) -> ByState:
    """Return (I − γ P) x, the left side of (1)."""
    return x - discount * expectation(rows.successor, rows.weight, x)


def relative_operator(rows: PolicyTransitions, x: ByState, anchor: Any = 0) -> ByState:
    """Return h − P h + g, the left side of (2), with h = 0 and g stored at `anchor`."""
    h = x.at[anchor].set(0.0)
    return h - expectation(rows.successor, rows.weight, h) + x[anchor]


def solve_policy(rows: PolicyTransitions, discount: Scalar, b: ByState) -> ByState:
    """Solve (1), differentiably in all arguments."""
    return _solve(lambda x: residual_operator(rows, discount, x), b)


def solve_policy_by_scale(rows: PolicyTransitions, discount: Scalar, b: ByState) -> ByState:
    """Solve (1) with an accuracy relative to the scale of each state.

    If the solve is differentiated, `b` must not be traced.
    """
    if b.shape[0] <= _DENSE:
        return solve_policy(rows, discount, b)
    scale = jax.lax.stop_gradient(positive(propagated_scale(rows, jnp.abs(b))))
    return scale * _solve(lambda y: residual_operator(rows, discount, scale * y) / scale, b / scale)


def solve_scaled(
    operator: Operator, b: ByState, scale: ByState, tolerance: Scalar | float, max_products: Any
) -> LinearSolution:
    """Solve A x = b iteratively to |b − A x| ≤ `tolerance` · `scale` at each state.

    `residual` of the result is in units of `scale`.
    """
    scaled = b / scale
    size = jnp.max(jnp.abs(scaled))
    size = jnp.where(size > 0, size, 1.0)  # so that no square overflows
    solution = bicgstab(lambda y: operator(scale * y) / scale, scaled / size, tolerance / size, max_products)
    return LinearSolution(x=scale * (solution.x * size), residual=solution.residual * size, products=solution.products)


def positive(size: ByState) -> ByState:
    """Replace 0 by a number far below the positive sizes."""
    least = jnp.min(jnp.where(size > 0, size, jnp.inf))
    return jnp.where(size > 0, size, jnp.where(jnp.isfinite(least), jnp.maximum(_EPS * least, _TINY), 1.0))


def solve_policy_transposed(rows: PolicyTransitions, discount: Scalar, b: ByState) -> ByState:
    """Solve (I − γ Pᵀ) x = b; x is the discounted visits from distribution b."""
    return _solve(_transposed(lambda x: residual_operator(rows, discount, x), b), b)


def solve_relative(rows: PolicyTransitions, b: ByState) -> tuple[ByState, Scalar]:
    """Solve (2) for (h, g), differentiably in all arguments."""
    x = _solve(lambda x: relative_operator(rows, x), b)
    return x.at[0].set(0.0), x[0]


def stationary(rows: PolicyTransitions) -> ByState:
    """Return the stationary distribution μ = μ P."""
    first = jnp.zeros(rows.weight.shape[1]).at[0].set(1.0)
    return _solve(_transposed(lambda x: relative_operator(rows, x), first), first)


_solve_dense = jax.custom_batching.sequential_vmap(jnp.linalg.solve)
"""Solve one system after another under `vmap`, for the reason that small_matrices.py gives."""


def _transposed(operator: Operator, like: ByState) -> Operator:
    transpose = jax.linear_transpose(operator, like)
    return lambda x: transpose(x)[0]


def _solve(operator: Operator, b: ByState) -> ByState:
    return jax.lax.custom_linear_solve(operator, b, solve=_solve_values, transpose_solve=_solve_values)


def _solve_values(operator: Operator, b: ByState) -> ByState:
    if b.shape[0] <= _DENSE:
        matrix = jax.vmap(operator, out_axes=1)(jnp.eye(b.shape[0]))
        return _solve_dense(matrix, b)
    tolerance = _DIGITS * jnp.max(jnp.abs(b))
    x = bicgstab(operator, b, tolerance, _MAX_PRODUCTS).x
    for _ in range(_REFINEMENTS):  # iterative refinement, because the recurrence drifts from the true residual
        x = x + bicgstab(operator, b - operator(x), tolerance, _MAX_PRODUCTS).x
    return x
