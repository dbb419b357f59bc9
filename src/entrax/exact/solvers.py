"""Fixed points of the soft Bellman operator T by value iteration and Newton's method.

Newton's method on V = T V is soft policy iteration: T is convex with derivative γ P_π at V, where π is the soft policy
of V. A step solves (I − γ P_π) d = T V − V; solved exactly, V + d is the value of π. Inexact policy iteration solves
A d = b only to |b − A d| ≤ η |b| with a forcing term η. η decreases with the residual, which keeps the local
convergence superlinear. It is also decreased whenever the residual stops falling, so that the method tends to exact
policy iteration.

Without a discount P_π may never end an episode, and I − P_π is singular or nearly so. But if staying for ever is never
profitable (see `finiteness`), V ≤ T V implies that V is below the optimum and that its policy ends. Therefore the
method starts from the value of a policy that ends (`proper_start`), solves for slightly less than b, which keeps
V ≤ T V, and rejects steps that violate it. A rejected step is replaced by sweeps, which also keep V ≤ T V.

Every state has its own target for the residual, as small as its own numbers allow (`residual_target`). Residuals are
measured in units of the targets, and linear systems are scaled by them. A reward of −10¹⁸ in one state therefore costs
no digits in other states.

References:
    Puterman and Brumelle (1979), On the convergence of policy iteration in stationary dynamic programming.
    Eisenstat and Walker (1996), Choosing the forcing terms in an inexact Newton method.
    Gargiani, Liao-McPherson, Zanelli and Lygeros (2023), Inexact GMRES policy iteration for large-scale Markov decision
        processes, arXiv:2211.04299.
    Bertsekas and Tsitsiklis (1991), An analysis of stochastic shortest path problems, for problems without a discount.
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
    backup,
    greedy_transitions,
    improved_policy,
    propagated_scale,
    rounding,
)
from entrax.exact.linear import positive, residual_operator, solve_scaled

_PATIENCE = 3  # Newton steps without a smaller residual before the forcing term is decreased
_FORCING = 1e-2  # the first and largest forcing term
_EXACT_FORCING = 1e-14
_FALLBACK_SWEEPS = 20  # sweeps in place of the first rejected step; the number doubles with every rejection
_DOUBLINGS = 8  # the most doublings
_SLACK = 4  # V ≤ T V is tested with a slack of this many units of rounding
_MAX_PRODUCTS = 4000  # of one linear solve; if it needs more, a better policy should come first
_SWEEPS_PER_TARGET = 32  # sweeps of value iteration between updates of the targets
_GRADES = 2.0**16  # the ratio of costs between successive grades
_NO_COST = 1e-300
_EPS = float(jnp.finfo(jnp.float64).eps)
_TINY = 1e-100  # the smallest target of a residual
Tolerance = Scalar | ByState


class FixedPoint(NamedTuple):
    """An approximate fixed point, and the work done: iterations and products with P.

    Its error is bounded by `certificate`.
    """

    value: ByState
    iterations: Int[Array, ""]
    products: Int[Array, ""]


def residual_target(unit: ByState, v: ByState, tolerance: Tolerance, modulus: Scalar) -> ByState:
    """Return the residual that implies |V* − V| ≤ `tolerance`.

    The result is at least what rounding allows; `unit` bounds the rounding of T V, see `rounding`.
    """
    # Value iteration measures the residual of the previous V. That of T V is smaller by `modulus`, plus two roundings.
    required = tolerance * (1 - modulus) - 3 * unit
    possible = jnp.maximum(unit + _EPS * jnp.abs(v), jnp.maximum(_EPS * tolerance, _TINY))
    return jnp.maximum(required, possible)


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
) -> FixedPoint:
    """Iterate V ← T V until the change of every state meets its `residual_target`."""

    def unfinished(s: _Swept) -> Array:
        return jnp.any(s.change > s.target) & (s.iterations < max_iterations)

    def step(s: _Swept) -> _Swept:
        value = backup(sweep, temperature, s.value)
        return _Swept(value=value, change=jnp.abs(value - s.value), target=s.target, iterations=s.iterations + 1)

    def several_steps(s: _Swept) -> _Swept:
        end = jnp.minimum(s.iterations + _SWEEPS_PER_TARGET, max_iterations)
        s = jax.lax.while_loop(lambda t: unfinished(t) & (t.iterations < end), step, s)
        unit = rounding(sweep, temperature, s.value)
        return s._replace(target=residual_target(unit, s.value, tolerance, modulus))

    zero = jnp.zeros_like(start)
    initial = _Swept(value=start, change=zero + jnp.inf, target=zero, iterations=jnp.asarray(0))
    s = jax.lax.while_loop(unfinished, several_steps, initial)
    return FixedPoint(value=s.value, iterations=s.iterations, products=s.iterations)


@eqx.filter_jit
def is_subsolution(sweep: Sweep, temperature: Scalar, v: ByState) -> Bool[Array, ""]:
    """Return whether V ≤ T V up to rounding."""
    slack = _SLACK * (rounding(sweep, temperature, v) + _EPS * jnp.abs(v))
    return jnp.all(backup(sweep, temperature, v) - v >= -slack)


def cost_grade(reward: Array) -> Array:
    """Return the order of magnitude of a cost, 0 for no cost."""
    cost = jnp.maximum(-reward, _NO_COST)
    return jnp.floor((jnp.log(cost) - jnp.log(_NO_COST)) / jnp.log(_GRADES))


@eqx.filter_jit
def proper_start(sweep: Sweep, temperature: Scalar, level: Int[Array, " state"]) -> ByState:
    """Return slightly less than the undiscounted value of a policy that ends.

    The policy moves to a lower `level`, which is 0 at the end, with positive probability. Among such actions it
    prefers the least cost grade and then the largest probability. The result is a subsolution; if the linear solve
    fails, it is V = 0.
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
    rows = greedy_transitions(sweep, preference)
    size = propagated_scale(rows, jnp.abs(reward))
    margin = 0.5 * _FORCING * size
    solved = solve_scaled(
        lambda x: residual_operator(rows, sweep.discount, x),
        reward - margin,
        positive(size),
        0.5 * _FORCING,
        _MAX_PRODUCTS,
    )
    good = (solved.residual <= 0.5 * _FORCING) & jnp.all(jnp.isfinite(solved.x))
    return jnp.where(good, solved.x, 0.0)


class _Equation(eqx.Module):
    """V = T V, its tolerance, and how Newton's method solves it."""

    sweep: Sweep
    temperature: Scalar
    tolerance: Tolerance
    modulus: Scalar
    exact: Bool[Array, ""] | bool
    greedy: bool = eqx.field(static=True)


class _Iterate(NamedTuple):
    value: ByState
    backed_up: ByState
    unit: ByState  # a bound on the rounding of `backed_up`
    target: ByState
    residual: Scalar  # the largest one, in units of `target`


class _Newton(NamedTuple):
    iterate: _Iterate
    best: Scalar  # the smallest residual so far
    stalled: Int[Array, ""]  # steps without progress
    forcing: Scalar
    rejections: Int[Array, ""]
    iterations: Int[Array, ""]
    products: Int[Array, ""]


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
) -> FixedPoint:
    """Solve V = T V by inexact Newton–Krylov policy iteration.

    Args:
        sweep: the problem.
        temperature: α, in units of reward.
        start: the initial value.
        tolerance: the largest error of the value, in units of reward.
        modulus: the contraction modulus of T.
        max_iterations: the most Newton steps.
        warm_up: the most sweeps before the first step, counted as iterations. They are needed if the end of an episode
            is many steps away: from values that do not reflect the end, a step of policy iteration improves only the
            states next to it.
        exact: evaluate every policy to rounding (policy iteration).
        greedy: use the first best action instead of the soft policy; for temperature 0, with fewer transitions.
    """
    equation = _Equation(
        sweep=sweep, temperature=temperature, tolerance=tolerance, modulus=modulus, exact=exact, greedy=greedy
    )
    warm = value_iteration(sweep, temperature, start, tolerance, modulus, warm_up)
    iterate = _measure(equation, warm.value, backup(sweep, temperature, warm.value))
    initial = _Newton(
        iterate=iterate,
        best=iterate.residual,
        stalled=jnp.asarray(0),
        forcing=jnp.asarray(_FORCING),
        rejections=jnp.asarray(0),
        iterations=warm.iterations,
        products=warm.products + 1,
    )

    def unfinished(s: _Newton) -> Array:
        residual = s.iterate.residual
        return (residual > 1) & (s.iterations < max_iterations + warm.iterations) & jnp.isfinite(residual)

    end = jax.lax.while_loop(unfinished, lambda s: _newton_step(equation, s), initial)
    return FixedPoint(value=end.iterate.backed_up, iterations=end.iterations, products=end.products)


def _measure(equation: _Equation, value: ByState, backed_up: ByState) -> _Iterate:
    unit = rounding(equation.sweep, equation.temperature, value)
    target = residual_target(unit, value, equation.tolerance, equation.modulus)
    residual = jnp.max(jnp.abs(backed_up - value) / target)
    return _Iterate(value=value, backed_up=backed_up, unit=unit, target=target, residual=residual)


def _newton_step(equation: _Equation, s: _Newton) -> _Newton:
    """Make a Newton step, or sweeps if it is rejected."""
    candidate, accepted, products = _candidate(equation, s)
    sweeps = _FALLBACK_SWEEPS * 2**s.rejections
    iterate = jax.lax.cond(accepted, lambda: candidate, lambda: _measure(equation, *_sweeps(equation, s, sweeps)))
    progress = iterate.residual < 0.9 * s.best
    stalled = jnp.where(progress, 0, s.stalled + 1)
    impatient = stalled >= _PATIENCE
    eisenstat_walker = jnp.minimum(_FORCING, (iterate.residual / s.iterate.residual) ** 1.5)
    forcing = jnp.where(progress, jnp.maximum(eisenstat_walker, 1e-6), s.forcing)
    return _Newton(
        iterate=iterate,
        best=jnp.minimum(s.best, iterate.residual),
        stalled=jnp.where(impatient, 0, stalled),
        forcing=jnp.where(impatient, jnp.maximum(0.1 * s.forcing, 1e-12), forcing),
        rejections=jnp.where(accepted, s.rejections, jnp.minimum(s.rejections + 1, _DOUBLINGS)),
        iterations=s.iterations + 1,
        products=s.products + products + 2 + jnp.where(accepted, 0, sweeps),
    )


def _candidate(equation: _Equation, s: _Newton) -> tuple[_Iterate, Bool[Array, ""], Int[Array, ""]]:
    """Return the result of a Newton step, whether to accept it, and its products."""
    sweep, temperature, before = equation.sweep, equation.temperature, s.iterate
    rows = improved_policy(sweep, temperature, before.value, equation.greedy)
    scale = propagated_scale(rows, before.target)
    tolerance = jnp.maximum(jnp.where(equation.exact, _EXACT_FORCING, s.forcing) * before.residual, 0.2)
    margin = jnp.where(equation.modulus < 1, 0.0, tolerance / 2)  # keeps V ≤ T V without a discount
    b = before.backed_up - before.value - margin * scale
    solved = solve_scaled(
        lambda x: residual_operator(rows, sweep.discount, x),
        b,
        scale,
        tolerance - margin,
        _MAX_PRODUCTS * 2**s.rejections,
    )
    value = before.value + solved.x
    candidate = _measure(equation, value, backup(sweep, temperature, value))
    solves = solved.residual <= 0.5 * jnp.max(jnp.abs(b) / scale)  # otherwise the policy may never end
    # Without a discount the step must keep V ≤ T V, and rounding must not hide the residual.
    visible = jnp.all(candidate.unit <= before.target * jnp.maximum(1e-3 * before.residual, 2))
    slack = _SLACK * (candidate.unit + _EPS * jnp.abs(value))
    subsolution = jnp.all(candidate.backed_up - value >= -slack)
    accepted = jnp.all(jnp.isfinite(value)) & ((equation.modulus < 1) | (solves & subsolution & visible))
    return candidate, accepted, solved.products


def _sweeps(equation: _Equation, s: _Newton, count: Int[Array, ""]) -> tuple[ByState, ByState]:
    """Return V and T V after `count` sweeps."""

    def step(_: object, pair: tuple[ByState, ByState]) -> tuple[ByState, ByState]:
        return pair[1], backup(equation.sweep, equation.temperature, pair[1])

    return jax.lax.fori_loop(0, count, step, (s.iterate.value, s.iterate.backed_up))
