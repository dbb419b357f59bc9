"""Bounds on |V*(s) − V(s)| that hold, rounding included: what a solver found is checked, not how it was found.

**By contraction** (γ < 1): T contracts by β = γ max Σ_k p_k in the maximum norm, so the error is at most
max(|T V − V| + ε)/(1 − β), where ε(s) bounds the rounding of the computed (T V)(s). This holds for any set of states
that is never left, as those that an episode can visit.

**By sub- and supersolution** (any γ): for any w > 0 the functions V ± c w enclose V* if T(V + c w) ≤ V + c w and
T(V − c w) ≥ V − c w, since T is monotone and its iterates from either side go to V*. Both inequalities are checked in
floating point with ε to spare. The w that is tried is the expected (discounted) sum of |T V − V| + ε until the end
under the policy of V, which gives each state a bound of its own scale; then, under the worst of the policies nearly
tied with that. Where an undiscounted problem has policies that never end, `finiteness` has shown before that none of
them is worth as much as V*, which the argument needs.
"""

from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from entrax.exact.bellman import (
    ByState,
    Scalar,
    Sweep,
    action_values,
    backup,
    next_values,
    policy_rows,
    rounding,
    soft_maximiser,
    spread,
)
from entrax.exact.checks import is_traced
from entrax.exact.linear import positive, solve_scaled
from entrax.exact.solvers import newton

_MAX_PRODUCTS = 20_000  # for w, which needs few digits
_DIGITS = 1e-4  # of w
_NEAR = 200.0  # actions this many times their error from the best are nearly tied,
_NEGLIGIBLE = 40.0  # and so are those within so many temperatures
_EPS = float(jnp.finfo(jnp.float64).eps)

Counted = Bool[Array | np.ndarray, " state"]


class Certificate(NamedTuple):
    """Bounds on |V* − V|: at each state, and the largest over the states that count; max|T V − V| over these."""

    state_bound: ByState
    error_bound: Scalar
    residual: Scalar


def certify(sweep: Sweep, temperature: Scalar, v: ByState, counted: Counted, tolerance: float) -> Certificate:
    """The bounds of V, by contraction or, where these exceed `tolerance`, the better ones of both kinds.

    `counted` states must lead to each other only. While a computation is traced there are bounds by contraction only.
    """
    residual, bound = _contraction(sweep, temperature, v, counted)
    if not is_traced(bound) and float(jnp.max(jnp.where(counted, bound, 0.0))) > tolerance:
        bound = jnp.minimum(bound, _by_enclosure(sweep, temperature, v, counted))
    bound = jnp.where(jnp.isnan(bound) | ~jnp.isfinite(v), jnp.inf, bound)
    return Certificate(bound, jnp.max(jnp.where(counted, bound, 0.0)), residual)


@eqx.filter_jit
def modulus(sweep: Sweep) -> Scalar:
    """β, rounded up: the contraction modulus of T in the maximum norm; rows sum to 1 only to rounding."""
    mass = jnp.max(jnp.sum(sweep.probability, axis=1))
    return sweep.discount * mass * (1 + (sweep.probability.shape[1] + 2) * _EPS)


@eqx.filter_jit
def _contraction(sweep: Sweep, temperature: Scalar, v: ByState, counted: Counted) -> tuple[Scalar, ByState]:
    """max|T V − V| where it counts, and the bounds by contraction, +∞ where β ≥ 1."""
    beta = modulus(sweep)
    gap = jnp.abs(backup(sweep, temperature, v) - v)
    off = gap + rounding(sweep, temperature, v)
    largest = jnp.where(counted, jnp.max(jnp.where(counted, off, 0.0)), jnp.max(off))
    bound = jnp.where(beta < 1, largest / jnp.where(beta < 1, 1 - beta, 1.0) * (1 + 8 * _EPS), jnp.inf)
    return jnp.max(jnp.where(counted, gap, 0.0)), bound


def _by_enclosure(sweep: Sweep, temperature: Scalar, v: ByState, counted: Counted) -> ByState:
    """The bounds by sub- and supersolution, +∞ where they could not be verified."""
    off, w, slowest = _weights(sweep, temperature, v)
    bound = _enclosure(sweep, temperature, v, w, counted)
    if np.all(np.isfinite(bound[counted])):
        return bound
    zero, none = jnp.asarray(0.0), jnp.asarray(0)
    longer = newton(slowest, zero, w, 1e-3 * off, zero, none + 50, none, none > 0, greedy=True).value
    return _enclosure(sweep, temperature, v, longer, counted)


@eqx.filter_jit
def _enclosure(sweep: Sweep, temperature: Scalar, v: ByState, w: ByState, counted: Counted) -> ByState:
    def attempt(c: Scalar) -> ByState:
        above, below = v + c * w, v - c * w
        falls = backup(sweep, temperature, above) - above <= -rounding(sweep, temperature, above)
        rises = backup(sweep, temperature, below) - below >= rounding(sweep, temperature, below)
        holds = falls & rises & (w >= 0)
        everywhere, where_counted = jnp.all(holds), jnp.all(holds | ~counted)
        # What is returned must reach above and below as they were rounded.
        width = jnp.maximum(above - v, v - below) * (1 + 8 * _EPS)
        return jnp.where(everywhere | (where_counted & counted), width, jnp.inf)

    return jnp.min(jax.lax.map(attempt, jnp.asarray([2.0, 8.0, 64.0])), axis=0)


@eqx.filter_jit
def _weights(sweep: Sweep, temperature: Scalar, v: ByState) -> tuple[ByState, ByState, Sweep]:
    """What V may be off by in one step, its expected sum w by the policy, and the problem of the largest sum.

    That one is over all policies of nearly tied actions.
    """
    q = action_values(sweep, v)
    rows = policy_rows(sweep, soft_maximiser(q, temperature, sweep.log_prior))
    unit = rounding(sweep, temperature, v)
    off = jnp.abs(backup(sweep, temperature, v) - v) + unit + jnp.where(unit > 0, 2 * _EPS * jnp.abs(v), 0.0)
    size = spread(rows, off)
    off = jnp.maximum(off, 10 * _DIGITS * size)
    w = jnp.maximum(solve_scaled(rows, sweep.discount, off, positive(size), _DIGITS, _MAX_PRODUCTS).x, 0.0)
    reach = _NEAR * (next_values(sweep, w) + w) + _NEGLIGIBLE * temperature
    near = q >= jnp.max(q, axis=0) - reach
    slowest = replace(sweep, reward=jnp.where(near, off, -jnp.inf), log_prior=None)
    return off, w, slowest
