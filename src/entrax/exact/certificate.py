"""Bounds on max_s |V*(s) − V(s)| that hold, rounding included: what a solver found is checked, not how it was found.

**By contraction** (γ < 1): T contracts by β = γ max Σ_k p_k in the maximum norm, so the error is at most
(max|T V − V| + ε)/(1 − β), where ε bounds the rounding of one computed T V.

**By sub- and supersolution** (any γ): with w the expected (discounted) time to the end under the policy of V, the
functions V ± c w enclose V* if T(V + c w) ≤ V + c w and T(V − c w) ≥ V − c w, since T is monotone and its iterates
from either side go to V*. Both inequalities are checked in floating point with ε to spare, for the smallest c that
the residual allows and some above it. The error is then at most c max w. Where an undiscounted problem has policies
that never end, `finiteness` has shown before that none of them is worth as much as V*, which the argument needs.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from entrax.exact.bellman import (
    ByState,
    Scalar,
    Sweep,
    action_values,
    backup,
    policy_rows,
    rounding,
    soft_maximiser,
)
from entrax.exact.krylov import bicgstab
from entrax.exact.linear import residual_operator
from entrax.exact.solvers import newton

_MAX_PRODUCTS = 20_000  # for the expected times, which need few digits
_EPS = float(jnp.finfo(jnp.float64).eps)


@eqx.filter_jit
def modulus(sweep: Sweep) -> Scalar:
    """β, rounded up: the contraction modulus of T in the maximum norm; rows sum to 1 only to rounding."""
    mass = jnp.max(jnp.sum(sweep.probability, axis=1))
    return sweep.discount * mass * (1 + (sweep.probability.shape[1] + 2) * _EPS)


@eqx.filter_jit
def _residual(sweep: Sweep, temperature: Scalar, v: ByState) -> Scalar:
    return jnp.max(jnp.abs(backup(sweep, temperature, v) - v))


@eqx.filter_jit
def contraction_bound(sweep: Sweep, temperature: Scalar, v: ByState) -> Scalar:
    """The bound by contraction, +∞ where β ≥ 1."""
    beta = modulus(sweep)
    residual = _residual(sweep, temperature, v) + rounding(sweep, temperature, v)
    return jnp.where(beta < 1, residual / jnp.where(beta < 1, 1 - beta, 1.0) * (1 + 8 * _EPS), jnp.inf)


@eqx.filter_jit
def certified(
    sweep: Sweep, temperature: Scalar, v: ByState, residual: Scalar, bound: Scalar, tolerance: Scalar
) -> Bool[Array, ""]:
    """Whether `bound` is as small as was asked, or finite and `residual` as small as the rounding of a sweep allows."""
    unit = rounding(sweep, temperature, v)
    return jnp.isfinite(bound) & (
        (bound <= tolerance) | (residual <= 3 * unit)
    )  # value iteration measures it one sweep before


def enclosure_bound(sweep: Sweep, temperature: Scalar, v: ByState) -> Scalar:
    """The bound by sub- and supersolution, +∞ where they could not be verified."""
    slack = rounding(sweep, temperature, v)
    residual = _residual(sweep, temperature, v)
    time, slowest = _expected_time(sweep, temperature, v, residual + slack)
    if float(temperature) == 0.0:  # w = 1 + γ max_a P_a w over all nearly tied actions, by the solver itself
        zero, none = jnp.asarray(0.0), jnp.asarray(0)
        time = newton(slowest, zero, time, jnp.asarray(1e-3), zero, none + 50, none, none > 0, greedy=True).value
    return _enclosure(sweep, temperature, v, time, residual + slack)


@eqx.filter_jit
def _enclosure(sweep: Sweep, temperature: Scalar, v: ByState, time: ByState, precision: Scalar) -> Scalar:
    def attempt(factor: Scalar) -> Scalar:
        c = factor * precision
        above, below = v + c * time, v - c * time
        fall = jnp.max(backup(sweep, temperature, above) - above) + rounding(sweep, temperature, above)
        rise = jnp.min(backup(sweep, temperature, below) - below) - rounding(sweep, temperature, below)
        holds = (fall <= 0) & (rise >= 0) & (jnp.min(time) > 0)
        width = c * jnp.max(time) + 2 * _EPS * jnp.max(jnp.abs(v))  # what V ± c w was rounded to encloses, too
        return jnp.where(holds, width * (1 + 8 * _EPS), jnp.inf)

    return jnp.min(jax.lax.map(attempt, jnp.asarray([4.0, 16.0, 64.0])))


@eqx.filter_jit
def _expected_time(sweep: Sweep, temperature: Scalar, v: ByState, precision: Scalar) -> tuple[ByState, Sweep]:
    """The policy's expected time w = 1 + γ P_π w, and the problem of the longest time by nearly tied actions."""
    q = action_values(sweep, v)
    rows = policy_rows(sweep, soft_maximiser(q, temperature, sweep.log_prior))
    one = jnp.ones_like(v)
    time = bicgstab(lambda x: residual_operator(rows, sweep.discount, x), one, 1e-3, _MAX_PRODUCTS).x
    near = q >= jnp.max(q, axis=0) - 200 * precision * jnp.max(jnp.abs(time))
    slowest = Sweep(
        successor=sweep.successor,
        probability=sweep.probability,
        reward=jnp.where(near, 1.0, -jnp.inf),
        log_prior=sweep.log_prior,
        discount=sweep.discount,
    )
    return time, slowest
