"""BiCGStab without matrices, inside a compiled loop: eight vectors of storage, whatever the number of iterations.

Source: van der Vorst (1992), Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG for the solution of
nonsymmetric linear systems. Restarted here with a new shadow residual when it breaks down.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Vector = Float[Array, " n"]
Scalar = Float[Array, ""]
Operator = Callable[[Any], Any]


class Solved(NamedTuple):
    """`x` with max|b − A x| = `residual`, as the recurrence keeps it, after `products` products with A."""

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


def bicgstab(
    operator: Operator,
    b: Vector,
    tolerance: Scalar | float,
    max_products: Int[Array, ""] | int,
    guess: Vector | None = None,
) -> Solved:
    """Solve A x = b to max|b − A x| ≤ `tolerance`, or stop after about `max_products` products with A.

    `operator` is x ↦ A x. Two products are made an iteration. A solve that did not converge says so by `residual`.
    """
    x = jnp.zeros_like(b) if guess is None else guess
    r = b if guess is None else b - operator(x)
    start = _State(
        x=x,
        r=r,
        shadow=r,
        direction=r,
        rho=_dot(r, r),
        size=jnp.max(jnp.abs(r)),
        products=jnp.asarray(0 if guess is None else 1),
    )

    def unfinished(s: _State) -> Array:
        return (s.size > tolerance) & (s.products < max_products) & jnp.isfinite(s.size)

    end = jax.lax.while_loop(unfinished, lambda s: _iterate(operator, s), start)
    return Solved(x=end.x, residual=end.size, products=end.products)


def _iterate(operator: Operator, state: _State) -> _State:
    a_direction = operator(state.direction)
    alpha = _ratio(state.rho, _dot(state.shadow, a_direction))
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
    restart = jnp.abs(rho) <= 1e-8 * jnp.sqrt(squared * _dot(state.shadow, state.shadow))
    restart |= (omega == 0) | ~jnp.isfinite(beta)
    return _State(
        x=x,
        r=r,
        shadow=jnp.where(restart, r, state.shadow),
        direction=jnp.where(restart, r, direction),
        rho=jnp.where(restart, squared, rho),
        size=jnp.max(jnp.abs(r)),
        products=state.products + 2,
    )


def _dot(a: Vector, b: Vector) -> Scalar:
    return jnp.sum(a * b)


def _ratio(a: Scalar, b: Scalar) -> Scalar:
    return jnp.where(b == 0, 0.0, a / jnp.where(b == 0, 1.0, b))
