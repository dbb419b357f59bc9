"""Planning and evaluation with a finite horizon: T backward sweeps, nothing to converge.

    V_t = T_t V_{t+1} from V_T = final value                                     planning                      (1)
    V_t = Σ_a π_t (Q_t − α log π_t/π₀),   Q_t = r_t + γ P_t V_{t+1}              any policy                    (2)
    d_{t+1}(s) = γ Σ_{s',a} d_t(s') π_t(a|s') p_t(s|s',a),   d_0 = p₀            expected discounted visits    (3)

Derivatives are those of the sweeps, unrolled.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from entrax.errors import UsageError
from entrax.exact.bellman import (
    COLDEST,
    ByState,
    Scalar,
    Sweep,
    action_values,
    backup,
    make_sweep,
    next_values,
    rounding,
    soft_maximiser,
    soft_maximum,
)
from entrax.exact.checks import is_traced
from entrax.exact.implicit import smooth_policy, smooth_value
from entrax.exact.solution import Solution, finish
from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP
from entrax.soft.operators import entropy, soft_value


def solve_finite_horizon(problem: FiniteHorizonMDP, temperature: Scalar, kl: bool, tolerance: float) -> Solution:
    """Equation (1). Memory grows as horizon · states · actions.

    The bound on the error adds up the rounding of the sweeps state by state. It counts the states that an episode can
    visit at each time.
    """
    traced = is_traced((problem, temperature))
    value, q, policy, bound, visited = _backward(as_arrays(problem), temperature, kl, traced)
    error = jnp.max(jnp.where(visited, bound, 0.0))
    return Solution(
        value=value,
        q=q,
        policy=policy,
        iterations=jnp.asarray(problem.horizon),
        residual=jnp.asarray(0.0),
        error_bound=error,
        converged=error <= tolerance,
        method="backward-induction",
        error_norm="max over times and states that an episode can visit",
    )


@eqx.filter_jit
def _backward(problem: FiniteHorizonMDP, temperature: Scalar, kl: bool, traced: bool) -> tuple:
    stages = _stages(problem, kl)

    def step(carry: tuple[ByState, ByState], arrays: dict[str, Array]) -> tuple:
        v, error = carry
        mdp, sweep = stages(arrays)
        q = action_values(sweep, v)
        if traced:
            before, policy = smooth_value(mdp, sweep, temperature, q), smooth_policy(mdp, sweep, temperature, q)
        else:
            before, policy = backup(sweep, temperature, v), soft_maximiser(q, temperature, sweep.log_prior).T
        off = _error_before(*jax.lax.stop_gradient((sweep, temperature, v, error)))
        return (before, off), (before, off, *finish(mdp.terminal, q, policy))

    last = end_value(problem)
    start = (last, jnp.zeros_like(last))
    steps: tuple[Array, ...]
    _, steps = jax.lax.scan(step, start, problem.varying, length=problem.horizon, reverse=True)
    values, errors, q, policy = steps
    values, errors = jnp.concatenate([values, last[None]]), jnp.concatenate([errors, start[1][None]])
    return values, q, policy, errors, _visited(problem, kl)


def _error_before(sweep: Sweep, temperature: Scalar, v: ByState, error: ByState) -> ByState:
    """A bound on the error of the computed T V where that of V is at most `error`.

    T is monotone and convex: it errs by at most its rise when V rises by `error`, and by its own rounding.
    """
    ahead, q = next_values(sweep, error), action_values(sweep, v)
    gap = q - jnp.max(q, axis=0)

    def hard() -> ByState:
        return jnp.max(gap + ahead, axis=0)

    def soft() -> ByState:
        high, low = (soft_maximum(z, temperature, sweep.log_prior) for z in (gap + ahead, gap))
        return high - low

    rise = jax.lax.cond(temperature < COLDEST, hard, soft)
    return rise + rounding(sweep, temperature, v)


def _visited(problem: FiniteHorizonMDP, kl: bool) -> Bool[Array, "time state"]:
    """Which states an episode can be in at each time."""
    stages = _stages(problem, kl)

    def step(here: Bool[Array, " state"], arrays: dict[str, Array]) -> tuple:
        _, sweep = stages(arrays)
        moves = here & jnp.isfinite(sweep.reward)[:, None] & (sweep.probability > 0)
        there = jnp.zeros(len(here) + 1, bool).at[sweep.successor].max(moves)
        return there[:-1], here

    before: Array
    last, before = jax.lax.scan(step, jnp.asarray(problem.mdp.initial) > 0, problem.varying, length=problem.horizon)
    return jnp.concatenate([before, last[None]])


def evaluate_over_time(
    problem: FiniteHorizonMDP, policy: Float[Array | np.ndarray, "*time state action"], temperature: Scalar, kl: bool
) -> dict[str, Any]:
    """Equations (2) and (3), by the names of `Evaluation`; one policy for all times, or one for each."""
    shape = (problem.horizon, problem.states, problem.actions)
    if np.shape(policy) not in (shape, shape[1:]):
        raise UsageError(f"the policy has shape {np.shape(policy)}: it must be {shape} or {shape[1:]}.")
    if not is_traced((problem, policy)):
        _check_policy(problem, np.broadcast_to(np.asarray(policy), shape), kl)
    return _evaluate_over_time(as_arrays(problem), jnp.broadcast_to(policy, shape), temperature, kl)


@eqx.filter_jit
def _evaluate_over_time(
    problem: FiniteHorizonMDP, policy: Float[Array, "time state action"], temperature: Scalar, kl: bool
) -> dict[str, Any]:
    stages, terminal = _stages(problem, kl), jnp.asarray(problem.mdp.terminal)
    policy = jnp.where(terminal[:, None], 0.0, policy)
    over_time = (policy, problem.varying)

    def back(v: ByState, now: tuple[Array, dict[str, Array]]) -> tuple:
        pi, (_, sweep) = now[0], stages(now[1])
        q = action_values(sweep, v).T
        prior = None if sweep.log_prior is None else jnp.exp(sweep.log_prior).T
        before = jax.vmap(soft_value, (0, 0, None, 0))(q, pi, temperature, prior)
        return before, (before, jnp.where(terminal[:, None], 0.0, q))

    def forward(visits: ByState, now: tuple[Array, dict[str, Array]]) -> tuple:
        pi, (_, sweep) = now[0], stages(now[1])
        moves = sweep.discount * (visits * pi.T)[:, None] * sweep.probability
        return jnp.zeros(len(visits) + 1).at[sweep.successor].add(moves)[:-1], visits[:, None] * pi

    last, start = end_value(problem), jnp.where(terminal, 0.0, jnp.asarray(problem.mdp.initial, jnp.float64))
    steps: tuple[Array, Array]
    first, steps = jax.lax.scan(back, last, over_time, reverse=True)
    values, q = steps
    return {
        "value": jnp.concatenate([values, last[None]]),
        "q": q,
        "entropy": jax.vmap(jax.vmap(entropy))(policy),
        "visits": jax.lax.scan(forward, start, over_time)[1],
        "expected_return": jnp.sum(start * first),
    }


def _check_policy(problem: FiniteHorizonMDP, policy: np.ndarray, kl: bool) -> None:
    """Refuse rows that are no distribution or take an excluded action."""
    live = ~np.asarray(problem.mdp.terminal)
    wrong = np.argwhere(live & ~((np.abs(policy.sum(2) - 1) <= 1e-8) & (policy >= 0).all(2)))
    if len(wrong):
        t, s = wrong[0]
        raise UsageError(f"the policy's row at time {t} in state {s} is no distribution: {policy[t, s].tolist()}.")
    sweep = None if problem.varying else make_sweep(problem.mdp, kl)
    for t, table in enumerate(policy):
        reward = (make_sweep(problem.stage(t), kl) if sweep is None else sweep).reward
        excluded = np.argwhere(~np.isfinite(reward.T) & live[:, None] & (table > 0))
        if len(excluded):
            s, a = excluded[0]
            raise UsageError(f"the policy takes action {a} in state {s} at time {t}, which the problem excludes.")


def _stages(problem: FiniteHorizonMDP, kl: bool) -> Callable[[dict[str, Array]], tuple[FiniteMDP, Sweep]]:
    """The problem of a decision from its slice of what varies; made once where nothing does."""
    if not problem.varying:
        fixed = problem.mdp, make_sweep(problem.mdp, kl)
        return lambda _: fixed

    def stage(arrays: dict[str, Array]) -> tuple[FiniteMDP, Sweep]:
        mdp = problem.with_arrays(arrays)
        return mdp, make_sweep(mdp, kl)

    return stage


def end_value(problem: FiniteHorizonMDP) -> ByState:
    """V_T: the final value, 0 without one and in terminal states."""
    given = jnp.zeros(problem.states) if problem.final_value is None else jnp.asarray(problem.final_value, jnp.float64)
    return jnp.where(jnp.asarray(problem.mdp.terminal), 0.0, given)


def as_arrays(problem: FiniteHorizonMDP) -> FiniteHorizonMDP:
    """The problem in JAX arrays, without numbers that would be compiled in."""
    mdp = replace(problem.mdp, discount=jnp.asarray(problem.mdp.discount, jnp.float64), horizon=None)
    arrays: dict[str, Any] = {name: jnp.asarray(array) for name, array in problem.varying.items()}
    return replace(problem, mdp=mdp, **arrays)
