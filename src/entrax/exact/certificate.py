"""Certified bounds on |V*(s) − V(s)|, including rounding, for any V.

**By contraction** (γ < 1): T contracts by β = γ max Σ_k p_k in the maximum norm, so the error is at most
max(|T V − V| + ε)/(1 − β), where ε(s) bounds the rounding of the computed (T V)(s). This holds on any closed set of
states, that is, one that is never left, such as the states that an episode can visit.

**By sub- and supersolution** (any γ): for any w > 0, V ± c w enclose V* on a closed set of states on which
T(V + c w) ≤ V + c w and T(V − c w) ≥ V − c w, because T is monotone and its iterates from either side converge to V*.
Both inequalities are checked in floating point with a margin of ε. The first w is the expected (discounted) sum of
|T V − V| + ε until the end under the policy of V, which gives each state a bound of its own scale. The second one is
the largest such sum over policies of nearly tied actions. For an undiscounted problem in which some policies never end,
the argument requires that these are worth less than V*, which `finiteness` ensures.

If an inequality fails in a state, that state and the states that can reach it by any allowed action have no bound. All
other states form a closed set and keep theirs.
"""

from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import sparse

from entrax.exact.bellman import (
    ByState,
    Scalar,
    Sweep,
    action_values,
    backup,
    improved_policy,
    next_values,
    propagated_scale,
    rounding,
)
from entrax.exact.checks import is_traced
from entrax.exact.distance import graph_of, visited
from entrax.exact.linear import positive, residual_operator, solve_scaled
from entrax.exact.solvers import newton

_MAX_PRODUCTS = 20_000  # of the solve for w
_DIGITS = 1e-4  # the relative accuracy of w
_NEAR_ERRORS = 200.0  # actions within this many errors of the best are nearly tied,
_NEAR_TEMPERATURES = 40.0  # and so are actions within this many temperatures
_FACTORS = (2.0, 8.0, 64.0)  # the values of c that are tried
_EPS = float(jnp.finfo(jnp.float64).eps)

Counted = Bool[Array | np.ndarray, " state"]


class Certificate(NamedTuple):
    """Bounds on |V* − V|, in units of reward.

    Attributes:
        state_bound: the bound at each state; ∞ where nothing could be certified.
        error_bound: the largest bound over the counted states.
        residual: max|T V − V| over the counted states.
    """

    state_bound: ByState
    error_bound: Scalar
    residual: Scalar


def certify(sweep: Sweep, temperature: Scalar, v: ByState, counted: Counted, tolerance: float) -> Certificate:
    """Bound the error of V by contraction and, above `tolerance`, by enclosure.

    The `counted` states must be a closed set. If the computation is traced, only bounds by contraction are computed.
    """
    residual, bound = _contraction(sweep, temperature, v, counted)
    if not is_traced(bound) and float(jnp.max(jnp.where(counted, bound, 0.0))) > tolerance:
        bound = jnp.minimum(bound, _by_enclosure(sweep, temperature, v, counted))
    bound = jnp.where(jnp.isnan(bound) | ~jnp.isfinite(v), jnp.inf, bound)
    largest = jnp.max(jnp.where(counted, bound, 0.0))
    return Certificate(state_bound=bound, error_bound=largest, residual=residual)


@eqx.filter_jit
def modulus(sweep: Sweep) -> Scalar:
    """Return β, rounded up, the contraction modulus of T in the maximum norm.

    The sums of rows are included, because they are 1 only up to rounding.
    """
    mass = jnp.max(jnp.sum(sweep.probability, axis=1))
    return sweep.discount * mass * (1 + (sweep.probability.shape[1] + 2) * _EPS)


@eqx.filter_jit
def _contraction(sweep: Sweep, temperature: Scalar, v: ByState, counted: Counted) -> tuple[Scalar, ByState]:
    """Return max|T V − V| over counted states, and the bounds by contraction or ∞."""
    beta = modulus(sweep)
    gap = jnp.abs(backup(sweep, temperature, v) - v)
    error = gap + rounding(sweep, temperature, v)
    largest = jnp.where(counted, jnp.max(jnp.where(counted, error, 0.0)), jnp.max(error))
    bound = jnp.where(beta < 1, largest / jnp.where(beta < 1, 1 - beta, 1.0) * (1 + 8 * _EPS), jnp.inf)
    return jnp.max(jnp.where(counted, gap, 0.0)), bound


def _by_enclosure(sweep: Sweep, temperature: Scalar, v: ByState, counted: Counted) -> ByState:
    """Return the bounds by sub- and supersolution, ∞ where not verified."""
    error, w, slowest = _weights(sweep, temperature, v)
    bound = _enclosure(sweep, temperature, v, w)
    if np.all(np.isfinite(bound[counted])):
        return bound
    zero, none = jnp.asarray(0.0), jnp.asarray(0)
    longer = newton(slowest, zero, w, 1e-3 * error, zero, none + 50, none, none > 0, greedy=True).value
    return jnp.minimum(bound, _enclosure(sweep, temperature, v, longer))


def _enclosure(sweep: Sweep, temperature: Scalar, v: ByState, w: ByState) -> ByState:
    """Return the least width c w of a verified enclosure at each state, or ∞."""
    bound = np.full(v.shape, np.inf)
    graph = None
    for holds, width in zip(*map(np.asarray, _enclosures(sweep, temperature, v, w)), strict=True):
        certified = holds
        if not holds.all():
            graph = _predecessors(sweep) if graph is None else graph
            certified = ~visited(graph, ~holds)
        bound = np.where(certified, np.minimum(bound, width), bound)
    return jnp.asarray(bound)


@eqx.filter_jit
def _enclosures(
    sweep: Sweep, temperature: Scalar, v: ByState, w: ByState
) -> tuple[Bool[Array, "factor state"], Float[Array, "factor state"]]:
    """Return for each factor c where both inequalities hold, and the width."""

    def attempt(c: Scalar) -> tuple[Bool[Array, " state"], ByState]:
        above, below = v + c * w, v - c * w
        falls = backup(sweep, temperature, above) - above <= -rounding(sweep, temperature, above)
        rises = backup(sweep, temperature, below) - below >= rounding(sweep, temperature, below)
        # The bound must include the rounding of `above` and `below`.
        return falls & rises & (w >= 0), jnp.maximum(above - v, v - below) * (1 + 8 * _EPS)

    return jax.lax.map(attempt, jnp.asarray(_FACTORS))


def _predecessors(sweep: Sweep) -> sparse.csr_array:
    """Return the graph from each state to the states that can reach it in one step."""
    possible = (np.asarray(sweep.probability) > 0) & np.isfinite(np.asarray(sweep.reward))[:, None]
    successor = np.moveaxis(np.asarray(sweep.successor), -1, 0)
    possible = np.moveaxis(possible, -1, 0) & (successor < len(successor))
    return graph_of(successor, possible).T.tocsr()


@eqx.filter_jit
def _weights(sweep: Sweep, temperature: Scalar, v: ByState) -> tuple[ByState, ByState, Sweep]:
    """Return the one-step error of V, its sum w, and the problem of its largest sum.

    w is the sum under the policy of V; the problem maximises it over all policies of nearly tied actions.
    """
    q = action_values(sweep, v)
    rows = improved_policy(sweep, temperature, v, greedy=False)
    unit = rounding(sweep, temperature, v)
    error = jnp.abs(backup(sweep, temperature, v) - v) + unit + jnp.where(unit > 0, 2 * _EPS * jnp.abs(v), 0.0)
    size = propagated_scale(rows, error)
    error = jnp.maximum(error, 10 * _DIGITS * size)
    solved = solve_scaled(
        lambda x: residual_operator(rows, sweep.discount, x), error, positive(size), _DIGITS, _MAX_PRODUCTS
    )
    w = jnp.maximum(solved.x, 0.0)
    reach = _NEAR_ERRORS * (next_values(sweep, w) + w) + _NEAR_TEMPERATURES * temperature
    near = q >= jnp.max(q, axis=0) - reach
    slowest = replace(sweep, reward=jnp.where(near, error, -jnp.inf), log_prior=None)
    return error, w, slowest
