"""Fixed points of the soft Bellman operator T, in compiled loops: value iteration and Newton's method.

Newton's method on V = T V is soft policy iteration: T is convex with derivative γ P_π at V, π being the soft policy
of V, so a step solves (I − γ P_π) d = T V − V and, solved exactly, lands on the value of π. Solved only as far as a
forcing term η asks, |b − A d| ≤ η |b|, it is inexact policy iteration; η falls with the residual, which keeps the
local convergence faster than linear, and is tightened whenever the residual stops falling, which makes the method
policy iteration in the end.

Without a discount P_π may never end an episode: I − P_π is then singular, or so nearly that a solution is of any size.
But where nothing is gained by staying for ever (see `finiteness`), V ≤ T V puts V below the optimum, and makes its
policy one that ends. So the method starts from the value of a policy that ends (`proper_start`), solves for a little
less than b, which leaves V ≤ T V, and accepts no step that does not: sweeps, which keep the order too, replace it.

Every state has a residual to reach of its own, as small as its own numbers allow (`residual_target`). Residuals are
counted in these units, and linear systems are scaled by them: a reward of −10¹⁸ somewhere costs no other state digits.

Sources: Puterman and Brumelle (1979), On the convergence of policy iteration in stationary dynamic programming;
Eisenstat and Walker (1996), Choosing the forcing terms in an inexact Newton method; Gargiani, Liao-McPherson, Zanelli
and Lygeros (2023), Inexact GMRES policy iteration for large-scale Markov decision processes, arXiv:2211.04299; without
a discount, Bertsekas and Tsitsiklis (1991), An analysis of stochastic shortest path problems.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from entrax.exact.bellman import (
    ByState,
    Scalar,
    Sweep,
    action_values,
    backup,
    greedy_rows,
    policy_rows,
    rounding,
    soft_maximiser,
    spread,
)
from entrax.exact.linear import positive, solve_scaled

_PATIENCE = 3  # Newton steps without a smaller residual before the forcing term is tightened
_FORCING = 1e-2  # the first forcing term, and the largest
_RETREAT = 20  # sweeps in place of the first Newton step that could not be made, twice as many for the next, ...
_RETREATS = 8  # ... so many times
_SLACK = 4  # units of rounding by which V ≤ T V may seem to fail
_MAX_PRODUCTS = 4000  # of one linear solve; a slow one is better continued from a better policy
_ROUND = 32  # sweeps before the targets are computed from the new value
_GRADES = 2.0**16  # the ratio of the costs of one grade and the next
_NO_COST = 1e-300
_EPS = float(jnp.finfo(jnp.float64).eps)
_TINY = 1e-100  # a residual that no tolerance asks for
Tolerance = Scalar | ByState


class Found(NamedTuple):
    """A value after `iterations`, and `products` with P in all, sweeps included; `certificate` says how good it is."""

    value: ByState
    iterations: Int[Array, ""]
    products: Int[Array, ""]


def residual_target(unit: ByState, v: ByState, tolerance: Tolerance, modulus: Scalar) -> ByState:
    """The residual that shows |V* − V| ≤ `tolerance` if T contracts by `modulus`; at least what rounding allows.

    `unit` bounds the rounding of T V, see `rounding`.
    """
    # Value iteration measures the residual of the V before: T V has that times `modulus`, and two roundings.
    asked = tolerance * (1 - modulus) - 3 * unit
    possible = jnp.maximum(unit + _EPS * jnp.abs(v), jnp.maximum(_EPS * tolerance, _TINY))
    return jnp.maximum(asked, possible)


class _Swept(NamedTuple):
    value: ByState
    change: ByState  # by the last sweep
    target: ByState
    iterations: Int[Array, ""]


@eqx.filter_jit
def value_iteration(
    sweep: Sweep,
    temperature: Scalar,
    start: ByState,
    tolerance: Tolerance,
    modulus: Scalar,
    max_iterations: Int[Array, ""],
) -> Found:
    """V ← T V until the change of every state shows `tolerance`, see `residual_target`."""

    def unfinished(s: _Swept) -> Array:
        return jnp.any(s.change > s.target) & (s.iterations < max_iterations)

    def step(s: _Swept) -> _Swept:
        value = backup(sweep, temperature, s.value)
        return _Swept(value, jnp.abs(value - s.value), s.target, s.iterations + 1)

    def many(s: _Swept) -> _Swept:
        end = jnp.minimum(s.iterations + _ROUND, max_iterations)
        s = jax.lax.while_loop(lambda t: unfinished(t) & (t.iterations < end), step, s)
        unit = rounding(sweep, temperature, s.value)
        return s._replace(target=residual_target(unit, s.value, tolerance, modulus))

    zero = jnp.zeros_like(start)
    s = jax.lax.while_loop(unfinished, many, _Swept(start, zero + jnp.inf, zero, jnp.asarray(0)))
    return Found(s.value, s.iterations, s.iterations)


class _Newton(NamedTuple):
    value: ByState
    backed_up: ByState
    unit: ByState  # of rounding
    target: ByState
    residual: Scalar  # in units of `target`, as all that follows
    best: Scalar
    waited: Int[Array, ""]
    forcing: Scalar
    retreats: Int[Array, ""]
    iterations: Int[Array, ""]
    products: Int[Array, ""]


@eqx.filter_jit
def is_below(sweep: Sweep, temperature: Scalar, v: ByState) -> Bool[Array, ""]:
    """Whether V ≤ T V, to rounding."""
    slack = _SLACK * (rounding(sweep, temperature, v) + _EPS * jnp.abs(v))
    return jnp.all(backup(sweep, temperature, v) - v >= -slack)


def cost_grade(reward: Array) -> Array:
    """The size of a cost by orders of magnitude, from 0 for what costs nothing."""
    cost = jnp.maximum(-reward, _NO_COST)
    return jnp.floor((jnp.log(cost) - jnp.log(_NO_COST)) / jnp.log(_GRADES))


@eqx.filter_jit
def proper_start(sweep: Sweep, temperature: Scalar, level: Int[Array, " state"]) -> ByState:
    """A little less than the undiscounted value of a policy that gets to a lower `level`, 0 at the end.

    Of the actions that may, it takes one whose cost is of the least grade, and most surely gets there. The result is
    below T of it; V = 0 is returned where the solve shows otherwise.
    """
    padded = jnp.append(level, 0)
    nearer = padded[sweep.successor] < level
    descent = jnp.sum(jnp.where(nearer, sweep.probability, 0.0), axis=1)
    possible = jnp.isfinite(sweep.reward)
    cost = jnp.where(possible, sweep.reward, 0.0)
    preference = jnp.where(possible & (descent > 0), descent - 2 * cost_grade(cost), -jnp.inf)
    chosen = jnp.argmax(preference, axis=0)[None]
    reward = jnp.take_along_axis(cost, chosen, axis=0)[0]
    if sweep.log_prior is not None:
        reward += temperature * jnp.take_along_axis(sweep.log_prior, chosen, axis=0)[0]
    rows = greedy_rows(sweep, preference)
    size = spread(rows, jnp.abs(reward))
    less, scale = 0.5 * _FORCING * size, positive(size)
    solved = solve_scaled(rows, sweep.discount, reward - less, scale, 0.5 * _FORCING, _MAX_PRODUCTS)
    good = (solved.residual <= 0.5 * _FORCING) & jnp.all(jnp.isfinite(solved.x))
    return jnp.where(good, solved.x, 0.0)


@eqx.filter_jit
def newton(
    sweep: Sweep,
    temperature: Scalar,
    start: ByState,
    tolerance: Tolerance,
    modulus: Scalar,
    max_iterations: Int[Array, ""],
    warm_up: Int[Array, ""],
    exact: Bool[Array, ""] | bool = False,
    greedy: bool = False,
) -> Found:
    """Inexact Newton–Krylov policy iteration; with `exact` every policy is evaluated to rounding (policy iteration).

    At most `warm_up` sweeps come first, and are counted as iterations. A long way to the end of an episode asks for
    them: from values that know of no end, a step of policy iteration improves hardly more than the next states along
    the way. `greedy` follows the first best action
    instead of the soft policy (for temperature 0, with fewer transitions).
    """

    warm = value_iteration(sweep, temperature, start, tolerance, modulus, warm_up)

    def measured(value: ByState, backed_up: ByState) -> tuple[ByState, ByState, Scalar]:
        unit = rounding(sweep, temperature, value)
        target = residual_target(unit, value, tolerance, modulus)
        return unit, target, jnp.max(jnp.abs(backed_up - value) / target)

    def unfinished(s: _Newton) -> Array:
        return (s.residual > 1) & (s.iterations < max_iterations + warm.iterations) & jnp.isfinite(s.residual)

    def accepted(s: _Newton, solves: Array, value: ByState, backed_up: ByState, unit: ByState) -> Array:
        # At a value so large that rounding hides the residual there is nothing to be seen.
        visible = jnp.all(unit <= s.target * jnp.maximum(1e-3 * s.residual, 2))
        below = jnp.all(backed_up - value >= -_SLACK * (unit + _EPS * jnp.abs(value)))
        return jnp.all(jnp.isfinite(value)) & ((modulus < 1) | (solves & below & visible))

    def step(s: _Newton) -> _Newton:
        q = action_values(sweep, s.value)
        rows = greedy_rows(sweep, q) if greedy else policy_rows(sweep, soft_maximiser(q, temperature, sweep.log_prior))
        scale = spread(rows, s.target)
        wanted = jnp.maximum(jnp.where(exact, 1e-14, s.forcing) * s.residual, 0.2)
        less = jnp.where(modulus < 1, 0.0, wanted / 2)
        most = _MAX_PRODUCTS * 2**s.retreats
        gap = s.backed_up - s.value - less * scale
        solved = solve_scaled(rows, sweep.discount, gap, scale, wanted - less, most)
        value = s.value + solved.x
        backed_up = backup(sweep, temperature, value)
        unit, target, residual = measured(value, backed_up)
        solves = solved.residual <= 0.5 * jnp.max(jnp.abs(gap) / scale)  # or the policy never ends
        good = accepted(s, solves, value, backed_up, unit)

        def retreat() -> tuple:
            swept = _sweeps(sweep, temperature, s.value, s.backed_up, _RETREAT * 2**s.retreats)
            return *swept, *measured(*swept)

        value, backed_up, unit, target, residual = jax.lax.cond(
            good, lambda: (value, backed_up, unit, target, residual), retreat
        )
        progress = residual < 0.9 * s.best
        waited = jnp.where(progress, 0, s.waited + 1)
        stuck = waited >= _PATIENCE
        eisenstat_walker = jnp.minimum(_FORCING, (residual / s.residual) ** 1.5)
        forcing = jnp.where(progress, jnp.maximum(eisenstat_walker, 1e-6), s.forcing)
        return _Newton(
            value=value,
            backed_up=backed_up,
            unit=unit,
            target=target,
            residual=residual,
            best=jnp.minimum(s.best, residual),
            waited=jnp.where(stuck, 0, waited),
            forcing=jnp.where(stuck, jnp.maximum(0.1 * s.forcing, 1e-12), forcing),
            retreats=jnp.where(good, s.retreats, jnp.minimum(s.retreats + 1, _RETREATS)),
            iterations=s.iterations + 1,
            products=s.products + solved.products + 2 + jnp.where(good, 0, _RETREAT * 2**s.retreats),
        )

    backed_up = backup(sweep, temperature, warm.value)
    unit, target, residual = measured(warm.value, backed_up)
    begin = _Newton(
        value=warm.value,
        backed_up=backed_up,
        unit=unit,
        target=target,
        residual=residual,
        best=residual,
        waited=jnp.asarray(0),
        forcing=jnp.asarray(_FORCING),
        retreats=jnp.asarray(0),
        iterations=warm.iterations,
        products=warm.products + 1,
    )
    end = jax.lax.while_loop(unfinished, step, begin)
    return Found(end.backed_up, end.iterations, end.products)


def _sweeps(
    sweep: Sweep, temperature: Scalar, v: ByState, backed_up: ByState, count: Int[Array, ""]
) -> tuple[ByState, ByState]:
    """V and T V, `count` sweeps later."""
    return jax.lax.fori_loop(0, count, lambda _, pair: (pair[1], backup(sweep, temperature, pair[1])), (v, backed_up))
