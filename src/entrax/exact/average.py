"""The soft-optimal average reward per step: h + g = T h, with T undiscounted.

The solver is Newton's method as in `solvers`; a step computes the relative values and gain of a policy. If these are
not defined, because the policy's chain has several closed classes, damped sweeps h ← (h + T h)/2 replace the step.
Damped sweeps also converge for periodic chains.

**Certificate.** For any h and any set of states that is never left, the optimal gain lies between the least and the
largest of T h − h on that set (Odoni 1969). All initial states have the same gain, because there is one end component,
which every policy enters. So the bounds use the smallest closed set that contains it, and each state's own rounding.
States outside, such as one that no episode returns to, do not affect the certificate, even if their rewards are huge. A
state inside with huge values does affect it, even if no good policy visits it. `average_reward` is the middle of the
bounds without rounding, and the certified bound applies to *it* only: relative values have no certificate.

The discount of the problem is ignored. Derivatives are those of the fixed point, see `implicit`. If the computation is
traced, all states count, and it is not checked that the gain is the same for all initial states.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from entrax.exact.bellman import (
    ByState,
    Scalar,
    Sweep,
    action_values,
    backup,
    improved_policy,
    rounding,
    soft_maximiser,
    undiscounted,
)
from entrax.exact.checks import is_traced
from entrax.exact.components import check_unending, end_components, refuse_several
from entrax.exact.distance import graph_of, visited
from entrax.exact.implicit import attach_average_gradient, smooth_policy
from entrax.exact.linear import relative_operator, solve_scaled
from entrax.exact.solution import Solution, with_terminal_rows
from entrax.problems.finite import FiniteMDP

_FORCING = 1e-3
_MAX_PRODUCTS = 4000
_FALLBACK_SWEEPS = 50  # sweeps in place of a rejected Newton step, and before the first one

Counted = Bool[Array | np.ndarray, " state"]


class _Equation(eqx.Module):
    """h + g = T h with h = 0 at `anchor`, its tolerance, and how it is solved."""

    sweep: Sweep
    temperature: Scalar
    tolerance: Scalar
    counted: Bool[Array, " state"]
    anchor: Int[Array, ""]
    greedy: bool = eqx.field(static=True)
    by_sweeps: bool = eqx.field(static=True)


class _Iterate(NamedTuple):
    h: ByState
    gap: ByState  # T h − h
    slack: ByState  # a bound on the rounding of `gap`
    iterations: Int[Array, ""]


def solve_average(
    mdp: FiniteMDP, sweep: Sweep, temperature: Scalar, method: str, tolerance: float, max_iterations: int
) -> Solution:
    """Solve for the gain, relative values and policy.

    Arguments are checked by `plan`; `tolerance` is the largest error of the gain, in units of reward per step.
    """
    traced = is_traced((mdp, temperature))
    counted = np.ones(mdp.states, bool) if traced else _closed_set(mdp, sweep)
    sweep = undiscounted(sweep)
    fixed, alpha = jax.lax.stop_gradient((sweep, temperature))
    equation = _Equation(
        sweep=fixed,
        temperature=alpha,
        tolerance=jnp.asarray(tolerance, jnp.float64),
        counted=jnp.asarray(counted),
        anchor=jnp.asarray(np.argmax(counted)),
        greedy=not traced and float(temperature) == 0.0,
        by_sweeps=method == "value-iteration",
    )
    iterate = _iterate(equation, jnp.asarray(max_iterations))
    low, high = _extremes(equation, iterate.gap, iterate.gap)
    value, gain = iterate.h, (low + high) / 2
    if traced:
        value, gain = attach_average_gradient(mdp, sweep, temperature, value, gain)
    q = action_values(sweep, value) - gain
    probabilities = (
        smooth_policy(mdp, sweep, temperature, q) if traced else soft_maximiser(q, temperature, sweep.log_prior).T
    )
    q, policy = with_terminal_rows(mdp.terminal, q - value[0], probabilities)
    lower, upper = _extremes(equation, iterate.gap - iterate.slack, iterate.gap + iterate.slack)
    error_bound = jnp.maximum(upper - (low + high) / 2, (low + high) / 2 - lower)
    return Solution(
        value=value - value[0],
        q=q,
        policy=policy,
        iterations=iterate.iterations,
        residual=(high - low) / 2,
        error_bound=error_bound,
        converged=error_bound <= tolerance,
        average_reward=gain,
        method=method,
        error_norm="absolute error of average_reward",
    )


def _closed_set(mdp: FiniteMDP, sweep: Sweep) -> Bool[np.ndarray, " state"]:
    """Return the smallest closed set that contains the end component; refuse several."""
    allowed = np.asarray(jnp.isfinite(sweep.reward)).T
    check_unending(mdp, allowed)
    label = end_components(mdp, allowed).label
    refuse_several(label)
    possible = (np.asarray(mdp.probability) > 0) & allowed[..., None]
    return visited(graph_of(np.asarray(mdp.successor), possible), label >= 0)


@eqx.filter_jit
def _iterate(equation: _Equation, max_iterations: Int[Array, ""]) -> _Iterate:
    def unfinished(s: _Iterate) -> Array:
        half_width, target = _progress(equation, s)
        return (half_width > target) & (s.iterations < max_iterations)

    def step(s: _Iterate) -> _Iterate:
        h = _damped_sweeps(equation, s.h, 1) if equation.by_sweeps else _newton_step(equation, s)
        return _measure(equation, h, s.iterations + 1)

    h = _damped_sweeps(equation, jnp.zeros(equation.sweep.reward.shape[1]), _FALLBACK_SWEEPS)
    return jax.lax.while_loop(unfinished, step, _measure(equation, h, jnp.asarray(0)))


def _measure(equation: _Equation, h: ByState, iterations: Int[Array, ""]) -> _Iterate:
    gap = backup(equation.sweep, equation.temperature, h) - h
    slack = rounding(equation.sweep, equation.temperature, h)
    return _Iterate(h=h, gap=gap, slack=slack, iterations=iterations)


def _extremes(equation: _Equation, low: ByState, high: ByState) -> tuple[Scalar, Scalar]:
    """Return the minimum of `low` and the maximum of `high` over the counted states."""
    least = jnp.min(jnp.where(equation.counted, low, jnp.inf))
    return least, jnp.max(jnp.where(equation.counted, high, -jnp.inf))


def _progress(equation: _Equation, s: _Iterate) -> tuple[Scalar, Scalar]:
    """Return half the distance of the bounds on the gain, and its target."""
    low, high = _extremes(equation, s.gap, s.gap)
    unit = _largest_slack(equation, s)
    return (high - low) / 2, jnp.maximum(equation.tolerance - unit, unit)


def _largest_slack(equation: _Equation, s: _Iterate) -> Scalar:
    return jnp.max(jnp.where(equation.counted, s.slack, 0.0))


def _damped_sweeps(equation: _Equation, h: ByState, count: int) -> ByState:
    def step(_: Any, h: ByState) -> ByState:
        after = (h + backup(equation.sweep, equation.temperature, h)) / 2
        return after - after[equation.anchor]

    return jax.lax.fori_loop(0, count, step, h)


def _newton_step(equation: _Equation, s: _Iterate) -> ByState:
    """Return the relative values of h's policy, or damped sweeps if the solve fails."""
    rows = improved_policy(equation.sweep, equation.temperature, s.h, equation.greedy)
    half_width, target = _progress(equation, s)
    tolerance = jnp.maximum(_FORCING * half_width, 0.2 * target)
    # States outside the closed set are solved to their own rounding only.
    unit = _largest_slack(equation, s)
    own = jnp.where(equation.counted | (unit == 0), 1.0, s.slack / jnp.where(unit == 0, 1.0, unit))
    solved = solve_scaled(
        lambda x: relative_operator(rows, x, equation.anchor), s.gap, jnp.maximum(own, 1.0), tolerance, _MAX_PRODUCTS
    )
    good = (solved.residual <= 1.01 * tolerance) & jnp.all(jnp.isfinite(solved.x))
    change = solved.x.at[equation.anchor].set(0.0)
    return jax.lax.cond(good, lambda: s.h + change, lambda: _damped_sweeps(equation, s.h, _FALLBACK_SWEEPS))
