"""BiCGStab without matrices, inside a compiled loop: ten vectors of storage, whatever the number of iterations.

The recurrence drifts from the residual b − A x, and after a near-breakdown by any amount. So what it claims is checked
against b − A x itself; where that is not so, the solve goes on from the best x known, with another shadow residual.

Source: van der Vorst (1992), Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG for the solution of
nonsymmetric linear systems.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Vector = Float[Array, " n"]
Scalar = Float[Array, ""]
Operator = Callable[[Any], Any]


_BREAKDOWN = 1e-8  # the cosine of an angle that counts as a right one
_FAILURES = 3  # claims that proved false, before the solve is given up


class Solved(NamedTuple):
    """`x` with max|b − A x| = `residual`, computed from x, after `products` products with A."""

    x: Vector
    residual: Scalar
    products: Int[Array, ""]


class _State(NamedTuple):
    x: Vector
    r: Vector
    shadow: Vector
    direction: Vector
    rho: Scalar
    size: Scalar
    products: Int[Array, ""]
    checked: Bool[Array, ""]  # r is b − A x, computed from x
    best_x: Vector  # of those that were checked
    best_r: Vector
    failures: Int[Array, ""]


def bicgstab(operator: Operator, b: Vector, tolerance: Scalar | float, max_products: Int[Array, ""] | int) -> Solved:
    """Solve A x = b to max|b − A x| ≤ `tolerance`, or stop after about `max_products` products with A.

    `operator` is x ↦ A x. Two products are made an iteration. A solve that did not converge, as one to more digits
    than rounding allows, says so by `residual`, and returns the best x that it knows.
    """
    start = _State(
        x=jnp.zeros_like(b),
        r=b,
        shadow=b,
        direction=b,
        rho=_dot(b, b),
        size=jnp.max(jnp.abs(b)),
        products=jnp.asarray(0),
        checked=jnp.asarray(True),
        best_x=jnp.zeros_like(b),
        best_r=b,
        failures=jnp.asarray(0),
    )

    def going(s: _State) -> Array:
        return (s.size > tolerance) & (s.products < max_products) & (s.failures < _FAILURES)

    def step(s: _State) -> _State:
        return jax.lax.cond(going(s), lambda: _iterate(operator, s), lambda: _check(operator, b, tolerance, s))

    end = jax.lax.while_loop(lambda s: going(s) | ~s.checked, step, start)
    return Solved(x=end.x, residual=end.size, products=end.products)


def _check(operator: Operator, b: Vector, tolerance: Scalar | float, state: _State) -> _State:
    """Begin anew from b − A x, or from the best x so far where x is hardly better than that, or worse."""
    r = b - operator(state.x)
    size, best = jnp.max(jnp.abs(r)), jnp.max(jnp.abs(state.best_r))
    failures = state.failures + ~((size <= tolerance) | (size < 0.5 * best))
    better = size < best  # False for NaN
    x, r = jnp.where(better, state.x, state.best_x), jnp.where(better, r, state.best_r)
    # Another shadow than r, lest the same breakdown come again; unlike a random one it is never orthogonal to r.
    shadow = r * (1 + 0.5 * jnp.cos((1.7 + failures) * jnp.arange(r.shape[0])))
    return _State(
        x=x,
        r=r,
        shadow=shadow,
        direction=r,
        rho=_dot(shadow, r),
        size=jnp.where(better, size, best),
        products=state.products + 1,
        checked=jnp.asarray(True),
        best_x=x,
        best_r=r,
        failures=failures,
    )


def _iterate(operator: Operator, state: _State) -> _State:
    a_direction = operator(state.direction)
    projected, squared_shadow = _dot(state.shadow, a_direction), _dot(state.shadow, state.shadow)
    # Without a step along the direction there is still one of least residual along r.
    orthogonal = jnp.abs(projected) <= _BREAKDOWN * jnp.sqrt(squared_shadow * _dot(a_direction, a_direction))
    alpha = jnp.where(orthogonal, 0.0, _ratio(state.rho, projected))
    half = state.r - alpha * a_direction
    a_half = operator(half)
    omega = _ratio(_dot(a_half, half), _dot(a_half, a_half))
    x = state.x + alpha * state.direction + omega * half
    r = half - omega * a_half
    rho = _dot(state.shadow, r)
    beta = _ratio(rho, state.rho) * _ratio(alpha, omega)
    direction = r + beta * (state.direction - omega * a_direction)
    # Where the shadow has become orthogonal to the residual, the recurrence can only stall: begin it anew from r.
    squared = _dot(r, r)
    restart = orthogonal | (jnp.abs(rho) <= _BREAKDOWN * jnp.sqrt(squared * squared_shadow))
    restart |= (omega == 0) | ~jnp.isfinite(beta)
    size = jnp.max(jnp.abs(r))
    return _State(
        x=x,
        r=r,
        shadow=jnp.where(restart, r, state.shadow),
        direction=jnp.where(restart, r, direction),
        rho=jnp.where(restart, squared, rho),
        size=jnp.where(jnp.isfinite(size), size, 0.0),  # to be checked, and found wrong
        products=state.products + 2,
        checked=jnp.asarray(False),
        best_x=state.best_x,
        best_r=state.best_r,
        failures=state.failures,
    )


def _dot(a: Vector, b: Vector) -> Scalar:
    return jnp.sum(a * b)


def _ratio(a: Scalar, b: Scalar) -> Scalar:
    return jnp.where(b == 0, 0.0, a / jnp.where(b == 0, 1.0, b))
