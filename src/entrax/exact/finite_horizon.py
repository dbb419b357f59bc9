"""Planning and evaluation with a finite horizon, by T backward sweeps.

    V_t = T_t V_{t+1} from V_T = final value                                     planning                      (1)
    V_t = Σ_a π_t (Q_t − α log π_t/π₀),   Q_t = r_t + γ P_t V_{t+1}              any policy                    (2)
    d_{t+1}(s) = γ Σ_{s',a} d_t(s') π_t(a|s') p_t(s|s',a),   d_0 = p₀            expected discounted visits    (3)

Derivatives are those of the unrolled sweeps.
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
from entrax.exact.solution import Solution, with_terminal_rows
from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP
from entrax.soft.operators import entropy, soft_value


def solve_finite_horizon(problem: FiniteHorizonMDP, temperature: Scalar, kl: bool, tolerance: float) -> Solution:
    """Solve equation (1), with memory proportional to horizon · states · actions.

    The error bound accumulates the rounding of the sweeps at each state, and is the maximum over the states that an
    episode can visit at each time.
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
        error = _backed_up_error(*jax.lax.stop_gradient((sweep, temperature, v, error)))
        return (before, error), (before, error, *with_terminal_rows(mdp.terminal, q, policy))

    last = end_value(problem)
    exact = jnp.zeros_like(last)
    steps: tuple[Array, ...]
    _, steps = jax.lax.scan(step, (last, exact), problem.varying, length=problem.horizon, reverse=True)
    values, errors, q, policy = steps
    values, errors = jnp.concatenate([values, last[None]]), jnp.concatenate([errors, exact[None]])
    return values, q, policy, errors, _visited(problem, kl)


def _backed_up_error(sweep: Sweep, temperature: Scalar, v: ByState, error: ByState) -> ByState:
    """Bound the error of the computed T V, given that of V.

    T is monotone and convex, so its error is at most its increase when V increases by `error`, plus its own rounding.
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
    """Return which states an episode can visit at each time."""
    stages = _stages(problem, kl)

    def step(current: Bool[Array, " state"], arrays: dict[str, Array]) -> tuple:
        _, sweep = stages(arrays)
        moves = current & jnp.isfinite(sweep.reward)[:, None] & (sweep.probability > 0)
        following = jnp.zeros(len(current) + 1, bool).at[sweep.successor].max(moves)
        return following[:-1], current

    before: Array
    last, before = jax.lax.scan(step, jnp.asarray(problem.mdp.initial) > 0, problem.varying, length=problem.horizon)
    return jnp.concatenate([before, last[None]])


def evaluate_over_time(
    problem: FiniteHorizonMDP, policy: Float[Array | np.ndarray, "*time state action"], temperature: Scalar, kl: bool
) -> dict[str, Any]:
    """Compute equations (2) and (3) for one policy, or one for each time.

    Returns:
        The fields of `PolicyEvaluation` by name.
    """
    shape = (problem.horizon, problem.states, problem.actions)
    if np.shape(policy) not in (shape, shape[1:]):
        raise UsageError(f"`policy` must have shape {shape} or {shape[1:]}, got {np.shape(policy)}.")
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
    """Check that rows are distributions over actions that are not excluded."""
    live = ~np.asarray(problem.mdp.terminal)
    wrong = np.argwhere(live & ~((np.abs(policy.sum(2) - 1) <= 1e-8) & (policy >= 0).all(2)))
    if len(wrong):
        t, s = wrong[0]
        raise UsageError(f"`policy` of state {s} at time {t} must be a distribution, got {policy[t, s].tolist()}.")
    sweep = None if problem.varying else make_sweep(problem.mdp, kl)
    for t, table in enumerate(policy):
        reward = (make_sweep(problem.stage(t), kl) if sweep is None else sweep).reward
        excluded = np.argwhere(~np.isfinite(reward.T) & live[:, None] & (table > 0))
        if len(excluded):
            s, a = excluded[0]
            raise UsageError(f"`policy` must not take action {a} in state {s} at time {t}, which is excluded.")


def _stages(problem: FiniteHorizonMDP, kl: bool) -> Callable[[dict[str, Array]], tuple[FiniteMDP, Sweep]]:
    """Return a function from slices of varying arrays to the problem of a decision."""
    if not problem.varying:
        fixed = problem.mdp, make_sweep(problem.mdp, kl)
        return lambda _: fixed

    def stage(arrays: dict[str, Array]) -> tuple[FiniteMDP, Sweep]:
        mdp = problem.with_arrays(arrays)
        return mdp, make_sweep(mdp, kl)

    return stage


def end_value(problem: FiniteHorizonMDP) -> ByState:
    """Return V_T, the final value; 0 in terminal states and by default."""
    value = jnp.zeros(problem.states) if problem.final_value is None else jnp.asarray(problem.final_value, jnp.float64)
    return jnp.where(jnp.asarray(problem.mdp.terminal), 0.0, value)


def as_arrays(problem: FiniteHorizonMDP) -> FiniteHorizonMDP:
    """Convert to JAX arrays, so that changed numbers need no recompilation."""
    mdp = replace(problem.mdp, discount=jnp.asarray(problem.mdp.discount, jnp.float64), horizon=None)
    arrays: dict[str, Any] = {name: jnp.asarray(array) for name, array in problem.varying.items()}
    return replace(problem, mdp=mdp, **arrays)
