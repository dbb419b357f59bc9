"""Plan in a finite problem: its soft-optimal value and policy at any temperature, with a certified error.

    solution = plan(mdp, temperature=0.1)

solves V = T V, (T V)(s) = α log Σ_a π₀(a|s) exp((r(s,a) + γ E V(s'))/α), and returns V with Q and the policy
π ∝ π₀ exp(Q/α). Temperature 0 is classical planning by the same functions. In the 'entropy' convention π₀ counts
actions (all that the mask and a positive prior allow); in the 'kl' convention it is the problem's prior, normalised,
and uniform if the problem has none.

Sources: Ziebart (2010), Modeling purposeful adaptive behavior with the principle of maximum causal entropy; Puterman
(1994), Markov decision processes. The methods are described in `solvers` and the error bound in `certificate`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike

from entrax.errors import UsageError
from entrax.exact.average import solve_average
from entrax.exact.bellman import Scalar, Sweep, action_values, backup, make_sweep
from entrax.exact.certificate import certify, modulus
from entrax.exact.checks import (
    check_choice,
    check_iterations,
    check_precision,
    check_start,
    check_temperatures,
    check_tolerance,
    is_traced,
)
from entrax.exact.components import Components
from entrax.exact.distance import levels, reachable
from entrax.exact.finite_horizon import solve_finite_horizon
from entrax.exact.finiteness import reduced, steer, without_idling
from entrax.exact.implicit import attach_gradient, smooth_policy
from entrax.exact.solution import Solution, finish, read_off
from entrax.exact.solvers import Found, cost_grade, is_below, newton, proper_start, value_iteration
from entrax.problems.checks import check_horizon
from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP, with_horizon

METHODS = ("auto", "value-iteration", "policy-iteration", "newton-krylov")
CONVENTIONS = ("entropy", "kl")
OBJECTIVES = ("discounted", "average")
_MAX_ITERATIONS = {"value-iteration": 10_000_000, "policy-iteration": 1_000, "newton-krylov": 1_000}
_WARM_UP = 2  # sweeps before Newton's method, for each step of the longest way to the end of an episode
_FEW_SWEEPS = 0.6  # a discount below which value iteration needs fewer sweeps than Newton's method products


class _Request(eqx.Module):
    """How to solve, as `plan` was asked."""

    kl: bool
    method: str
    tolerance: float
    max_iterations: int | None
    start: Float[Array | np.ndarray, " state"] | None


def plan(
    mdp: FiniteMDP | FiniteHorizonMDP,
    temperature: ScalarLike | Sequence[float] | Float[Array | np.ndarray, " many"],
    *,
    method: str = "auto",
    convention: str = "entropy",
    objective: str = "discounted",
    horizon: int | np.integer | None = None,
    tolerance: float = 1e-9,
    max_iterations: int | np.integer | None = None,
    start: Float[Array | np.ndarray, " state"] | None = None,
) -> Solution:
    """The soft-optimal value, Q and policy of `mdp` at `temperature` ≥ 0 (in units of reward).

    Several temperatures, in a list or an array, give a `Solution` whose arrays lead with them.
    `objective` is 'discounted' (by the problem's discount; 1 is the undiscounted episodic objective) or 'average',
    the reward per step in the long run, for which the problem's discount counts for nothing.
    A `horizon` (the problem's own, if it has one) counts decisions and makes the answer depend on time; a
    `FiniteHorizonMDP` changes with time, too, and may say what its last states are worth. `tolerance`
    is on the value error, absolute and in units of reward, in the maximum norm over the states that an episode can
    visit: the solve ends when it is certified or rounding allows no more. `error_bound` says what was reached, and
    `converged` whether that is within the tolerance. `method` is one of `METHODS`; `auto` chooses. `start` is a value
    to start from, as that of a similar problem: it saves time and does not change the answer.

    A reward of −∞ forbids an action, which keeps its share of the prior. Without a discount, states that no episode
    visits and from which none ends have value NaN.

    Differentiable in reward, probability, prior, discount and temperature, to any order, by the implicit function
    theorem. At temperature 0 the policy is a step function, whose derivatives are 0. Inside `jax.jit` or `jax.grad`
    nothing that depends on values can be checked: see that the problem is
    finite beforehand. There an undiscounted value has no bound, and does not count as converged.

    Raises `EntraxError` for a wrong argument, in 32-bit mode, for an undiscounted problem whose value is not shown to
    be finite, and for an average reward with a horizon, or one that may depend on where one starts.
    """
    check_precision()
    check_temperatures(temperature)
    check_choice("method", method, METHODS)
    check_choice("convention", convention, CONVENTIONS)
    check_choice("objective", objective, OBJECTIVES)
    check_tolerance(tolerance)
    check_iterations(max_iterations)
    check_horizon(horizon)
    horizon = mdp.horizon if horizon is None else horizon
    check_start(start, mdp.states, used=objective == "discounted" and horizon is None)
    request = _Request(
        kl=convention == "kl",
        method=method,
        tolerance=float(tolerance),
        max_iterations=None if max_iterations is None else int(max_iterations),
        start=start,
    )
    if objective == "average" and horizon is not None:
        raise UsageError(
            f"an average reward is one of a problem without a horizon, and this one has {horizon} decisions."
        )

    def solve(alpha: Scalar, request: _Request) -> Solution:
        if horizon is not None:
            return solve_finite_horizon(with_horizon(mdp, int(horizon)), alpha, request.kl, request.tolerance)
        assert isinstance(mdp, FiniteMDP)
        if objective == "average":
            return _solve_average(mdp, alpha, request)
        return _solve_discounted(mdp, alpha, request)

    alphas = jnp.asarray(temperature, jnp.float64)
    return solve(alphas, request) if alphas.ndim == 0 else _solve_many(solve, alphas, request)


def _solve_many(solve: Callable[[Scalar, _Request], Solution], alphas: Array, request: _Request) -> Solution:
    """A solution for each temperature, each started from the value of the one before."""
    if is_traced(alphas):
        return jax.lax.map(lambda alpha: solve(alpha, request), alphas)
    solutions = []
    for alpha in alphas:
        solutions.append(solve(alpha, request))
        value = solutions[-1].value
        if solutions[-1].average_reward is None and value.ndim == 1 and not is_traced(value):
            request = replace(request, start=jnp.where(jnp.isfinite(value), value, 0.0))
    return jax.tree.map(lambda *parts: jnp.stack([jnp.asarray(part) for part in parts]), *solutions)


def _solve_average(mdp: FiniteMDP, alpha: Scalar, request: _Request) -> Solution:
    method = "newton-krylov" if request.method == "auto" else request.method
    limit = _MAX_ITERATIONS[method] if request.max_iterations is None else request.max_iterations
    found = solve_average(mdp, make_sweep(mdp, request.kl), alpha, method, request.tolerance, limit)
    return replace(found, converged=found.error_bound <= request.tolerance)


def _solve_discounted(mdp: FiniteMDP, alpha: Scalar, request: _Request) -> Solution:
    if is_traced((mdp, alpha)) or float(mdp.discount) < 1.0:
        return _solve_fixed_point(mdp, alpha, request)
    problem = reduced(mdp, request.kl, float(alpha))
    if problem.verdict.complaint is not None:
        raise UsageError(problem.verdict.complaint)
    if problem.verdict.idle is not None:
        found = _plan_without_idling(problem.mdp, problem.verdict.idle, request)
    else:
        found = _solve_fixed_point(problem.mdp, alpha, request)
    if not (problem.quiet | problem.dropped).any():
        return found
    q, policy = read_off(mdp.terminal, make_sweep(mdp, request.kl), alpha, found.value)
    lost = jnp.asarray(problem.dropped)
    return replace(
        found,
        value=jnp.where(lost, jnp.nan, found.value),
        q=jnp.where(lost[:, None], jnp.nan, q),
        policy=jnp.where(jnp.asarray(problem.quiet | problem.dropped)[:, None], policy, found.policy),
        state_bound=None if found.state_bound is None else jnp.where(lost, jnp.inf, found.state_bound),
    )


def _solve_fixed_point(mdp: FiniteMDP, alpha: Scalar, request: _Request) -> Solution:
    """V = T V, with its bound and its derivatives."""
    sweep, traced, method = make_sweep(mdp, request.kl), is_traced((mdp, alpha)), request.method
    if method == "auto":
        method = "value-iteration" if not traced and float(mdp.discount) < _FEW_SWEEPS else "newton-krylov"
    fixed, alpha_fixed = jax.lax.stop_gradient((sweep, alpha))
    found = _solve(mdp, fixed, alpha_fixed, replace(request, method=method))
    certificate = certify(fixed, alpha_fixed, found.value, reachable(mdp), request.tolerance)
    if traced:
        value = attach_gradient(mdp, sweep, alpha, found.value)
        q = action_values(sweep, value)
        q, policy = finish(mdp.terminal, q, smooth_policy(mdp, sweep, alpha, q))
    else:
        value = found.value
        q, policy = read_off(mdp.terminal, sweep, alpha, value)
    return Solution(
        value=value,
        q=q,
        policy=policy,
        iterations=found.iterations,
        products=found.products,
        residual=certificate.residual,
        error_bound=certificate.error_bound,
        state_bound=certificate.state_bound,
        converged=certificate.error_bound <= request.tolerance,
        method=method,
    )


def _solve(mdp: FiniteMDP, sweep: Sweep, alpha: Scalar, request: _Request) -> Found:
    beta = modulus(sweep)
    wanted = jnp.asarray(request.tolerance, jnp.float64)
    most = jnp.asarray(_MAX_ITERATIONS[request.method] if request.max_iterations is None else request.max_iterations)
    begin = jnp.zeros(mdp.states) if request.start is None else jnp.asarray(request.start, jnp.float64)
    begin = jnp.where(jnp.asarray(mdp.terminal), 0.0, jax.lax.stop_gradient(begin))
    if request.method == "value-iteration":
        return value_iteration(sweep, alpha, begin, wanted, beta, most)
    warm_up = 0
    if not is_traced((mdp.successor, mdp.probability, mdp.terminal)):
        undiscounted = not is_traced((mdp, alpha)) and float(mdp.discount) == 1.0
        level = levels(mdp, np.asarray(cost_grade(sweep.reward).T) if undiscounted else None)
        if undiscounted and (request.start is None or not bool(is_below(sweep, alpha, begin))):
            begin = proper_start(sweep, alpha, jnp.asarray(level))
        warm_up = _WARM_UP * int(level.max(initial=0)) if request.start is None else 0
    exact = request.method == "policy-iteration"
    greedy = not is_traced(alpha) and float(alpha) == 0.0
    sweeps = jnp.asarray(0 if exact else warm_up)
    return newton(sweep, alpha, begin, wanted, beta, most, sweeps, jnp.asarray(exact), greedy)


def _plan_without_idling(mdp: FiniteMDP, idle: Components, request: _Request) -> Solution:
    """Hard, undiscounted planning where one could stay somewhere for ever for free: in the problem without that."""
    smaller, place = without_idling(mdp, idle)
    zero = jnp.asarray(0.0)
    found = _solve_discounted(smaller, zero, replace(request, start=None, kl=False))
    value = found.value[place]
    sweep = make_sweep(mdp, request.kl)
    q, policy = read_off(mdp.terminal, sweep, zero, value)
    counted = jnp.asarray(reachable(mdp))
    gap = jnp.abs(backup(sweep, zero, value) - value)
    return replace(
        found,
        value=value,
        q=q,
        policy=jnp.asarray(steer(idle, np.asarray(q), np.asarray(policy))),
        residual=jnp.max(jnp.where(counted, gap, 0.0)),
        state_bound=None if found.state_bound is None else found.state_bound[place],
    )
