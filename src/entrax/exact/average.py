"""The soft-optimal average reward per step: h + g = T h, T without a discount.

Newton's method as in `solvers`, each step a policy's relative values and gain; where a policy's chain falls apart, so
that they are not defined, damped sweeps h ← (h + T h)/2 instead, which converge whatever the period.

For any h the optimal gain lies between the least and the largest of T h − h (Odoni 1969); their middle is returned as
`average_reward`, and half their distance with the rounding is the certified bound on *its* error. The relative values
themselves have no certificate. The discount of the problem is not used. Derivatives are those of the fixed point, see
`implicit`; while a computation is traced it is not checked that there is one answer.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

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
    undiscounted,
)
from entrax.exact.checks import is_traced
from entrax.exact.components import check_unending, end_components, refuse_several
from entrax.exact.implicit import attach_average_gradient, smooth_policy
from entrax.exact.krylov import bicgstab
from entrax.exact.linear import relative_operator
from entrax.exact.solution import Solution, finish
from entrax.problems.finite import FiniteMDP

_FORCING = 1e-3
_MAX_PRODUCTS = 4000
_RETREAT = 50  # sweeps in place of a Newton step, and before the first one


class _Found(NamedTuple):
    h: ByState
    gap: ByState  # T h − h
    target: Scalar
    iterations: Int[Array, ""]


def solve_average(
    mdp: FiniteMDP, sweep: Sweep, temperature: Scalar, method: str, tolerance: float, max_iterations: int
) -> Solution:
    """The gain, relative values and policy; `tolerance` is on the gain. Arguments are checked by `plan`."""
    traced = is_traced((mdp, temperature))
    if not traced:
        allowed = np.asarray(jnp.isfinite(sweep.reward)).T
        check_unending(mdp, allowed)
        refuse_several(end_components(mdp, allowed).label)
    sweep = undiscounted(sweep)
    options = (jnp.asarray(tolerance, jnp.float64), jnp.asarray(max_iterations))
    greedy, sweeping = not traced and float(temperature) == 0.0, method == "value-iteration"
    fixed, alpha = jax.lax.stop_gradient((sweep, temperature))
    found = _iterate(fixed, alpha, *options, greedy, sweeping)
    low, high = jnp.min(found.gap), jnp.max(found.gap)
    value, gain = found.h, (low + high) / 2
    if traced:
        value, gain = attach_average_gradient(mdp, sweep, temperature, value, gain)
    q = action_values(sweep, value) - gain
    probabilities = (
        smooth_policy(mdp, sweep, temperature, q) if traced else soft_maximiser(q, temperature, sweep.log_prior).T
    )
    q, policy = finish(mdp.terminal, q, probabilities)
    return Solution(
        value=value,
        q=q,
        policy=policy,
        iterations=found.iterations,
        residual=(high - low) / 2,
        error_bound=(high - low) / 2 + jnp.max(rounding(fixed, alpha, found.h)),
        converged=jnp.isfinite(high - low) & ((high - low) / 2 <= found.target),
        average_reward=gain,
        method=method,
        error_norm="absolute error of average_reward",
    )


@eqx.filter_jit
def _iterate(
    sweep: Sweep, temperature: Scalar, tolerance: Scalar, most: Int[Array, ""], greedy: bool, sweeping: bool
) -> _Found:
    def look(h: ByState, iterations: Int[Array, ""]) -> _Found:
        unit = jnp.max(rounding(sweep, temperature, h))
        gap = backup(sweep, temperature, h) - h
        return _Found(h, gap, jnp.maximum(tolerance - unit, unit), iterations)

    def damped(h: ByState, count: int) -> ByState:
        def step(_: object, h: ByState) -> ByState:
            after = (h + backup(sweep, temperature, h)) / 2
            return after - after[0]

        return jax.lax.fori_loop(0, count, step, h)

    def unfinished(found: _Found) -> Array:
        span = (jnp.max(found.gap) - jnp.min(found.gap)) / 2
        return (span > found.target) & (found.iterations < most)

    def step(found: _Found) -> _Found:
        if sweeping:
            return look(damped(found.h, 1), found.iterations + 1)
        q = action_values(sweep, found.h)
        rows = greedy_rows(sweep, q) if greedy else policy_rows(sweep, soft_maximiser(q, temperature, sweep.log_prior))
        span = (jnp.max(found.gap) - jnp.min(found.gap)) / 2
        wanted = jnp.maximum(_FORCING * span, 0.2 * found.target)
        solved = bicgstab(lambda x: relative_operator(rows, x), found.gap, wanted, _MAX_PRODUCTS)
        good = (solved.residual <= 1.01 * wanted) & jnp.all(jnp.isfinite(solved.x))
        change = solved.x.at[0].set(0.0)
        h = jax.lax.cond(good, lambda: found.h + change, lambda: damped(found.h, _RETREAT))
        return look(h, found.iterations + 1)

    start = damped(jnp.zeros(sweep.reward.shape[1]), _RETREAT)
    return jax.lax.while_loop(unfinished, step, look(start, jnp.asarray(0)))
