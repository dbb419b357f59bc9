"""Matrix-free BiCGStab in a compiled loop, with ten vectors of storage.

The recurrence of the residual drifts from b − A x, after a near-breakdown by any amount. Therefore convergence is
checked with b − A x. If the check fails, the solve restarts from the best x so far with another shadow residual. JAX's
own `bicgstab` does neither.

References:
    van der Vorst (1992), Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG for the solution of nonsymmetric
        linear systems.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Vector = Float[Array, " n"]
Scalar = Float[Array, ""]
Operator = Callable[[Any], Any]


_BREAKDOWN = 1e-8  # vectors are treated as orthogonal if the cosine of their angle is below this
_FAILURES = 3  # failed checks before the solve stops


class LinearSolution(NamedTuple):
    """A solution `x` with max|b − A x| = `residual`, after `products` with A."""

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
    checked: Bool[Array, ""]  # whether r was computed as b − A x
    best_x: Vector  # the best checked x
    best_r: Vector
    failures: Int[Array, ""]


def bicgstab(
    operator: Operator, b: Vector, tolerance: Scalar | float, max_products: Int[Array, ""] | int
) -> LinearSolution:
    """Solve A x = b.

    Args:
        operator: x ↦ A x.
        b: the right-hand side.
        tolerance: stop when max|b − A x| is at most this.
        max_products: stop after about this many products with A; every iteration makes two.

    Returns:
        The solution. If the solve did not converge, `residual` is above `tolerance` and x is the best one so far.
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

    def unfinished(s: _State) -> Array:
        return (s.size > tolerance) & (s.products < max_products) & (s.failures < _FAILURES)

    def step(s: _State) -> _State:
        return jax.lax.cond(unfinished(s), lambda: _iterate(operator, s), lambda: _check(operator, b, tolerance, s))

    end = jax.lax.while_loop(lambda s: unfinished(s) | ~s.checked, step, start)
    return LinearSolution(x=end.x, residual=end.size, products=end.products)


def _check(operator: Operator, b: Vector, tolerance: Scalar | float, state: _State) -> _State:
    """Compute b − A x and restart from x, or from the best x so far if it is better."""
    r = b - operator(state.x)
    size, best = jnp.max(jnp.abs(r)), jnp.max(jnp.abs(state.best_r))
    failures = state.failures + ~((size <= tolerance) | (size < 0.5 * best))
    better = size < best  # False for NaN
    x, r = jnp.where(better, state.x, state.best_x), jnp.where(better, r, state.best_r)
    # A shadow other than r avoids the same breakdown; unlike a random one, it is never orthogonal to r.
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
    # If A·direction is orthogonal to the shadow, only the step of least residual along r is made.
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
    # If the shadow has become orthogonal to the residual, the recurrence would stall, so restart it from r.
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
        size=jnp.where(jnp.isfinite(size), size, 0.0),  # 0 triggers the check, which fails
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
