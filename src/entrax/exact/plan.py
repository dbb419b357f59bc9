"""Plan in a finite problem: the soft-optimal value and policy with a certified error.

    solution = plan(mdp, temperature=0.1)

solves V = T V, (T V)(s) = α log Σ_a π₀(a|s) exp((r(s,a) + γ E V(s'))/α), and returns V with Q and the policy
π ∝ π₀ exp(Q/α). Temperature 0 is classical planning, by the same functions. In the 'entropy' convention π₀ = 1 for
every action that the mask and a positive prior allow. In the 'kl' convention π₀ is the problem's prior, normalised, or
uniform if the problem has none.

`solvers` describes the methods and `certificate` the error bound.

References:
    Ziebart (2010), Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
    Puterman (1994), Markov decision processes.
"""

from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike

from entrax.errors import UsageError, require_one_of
from entrax.exact.average import solve_average
from entrax.exact.bellman import Scalar, Sweep, action_values, backup, make_sweep
from entrax.exact.certificate import certify, modulus
from entrax.exact.checks import (
    check_iterations,
    check_no_average,
    check_precision,
    check_start,
    check_temperatures,
    check_tolerance,
    check_unused,
    is_traced,
)
from entrax.exact.components import Components
from entrax.exact.distance import levels, reachable
from entrax.exact.finite_horizon import solve_finite_horizon
from entrax.exact.finiteness import collapse_components, escape_policy, reduce_undiscounted
from entrax.exact.implicit import attach_gradient, smooth_policy
from entrax.exact.solution import Solution, q_and_policy, with_terminal_rows
from entrax.exact.solvers import FixedPoint, cost_grade, is_subsolution, newton, proper_start, value_iteration
from entrax.problems.checks import check_horizon
from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP, with_horizon

METHODS = ("auto", "value-iteration", "policy-iteration", "newton-krylov")
CONVENTIONS = ("entropy", "kl")
OBJECTIVES = ("discounted", "average")
DEFAULT_TOLERANCE = 1e-9
"""The default largest error of a value, in units of reward."""
_MAX_ITERATIONS = {"value-iteration": 10_000_000, "policy-iteration": 1_000, "newton-krylov": 1_000}
_WARM_UP = 2  # sweeps before Newton's method, per step of the longest shortest path
_FEW_SWEEPS = 0.6  # below this discount value iteration needs fewer products than Newton's method


class _Settings(eqx.Module):
    """The settings of a solve."""

    kl: bool
    method: str  # never 'auto'
    objective: str
    horizon: int | None
    tolerance: float
    max_iterations: int
    start: Float[Array | np.ndarray, " state"] | None


def plan(
    mdp: FiniteMDP | FiniteHorizonMDP,
    temperature: ScalarLike | Sequence[float] | Float[Array | np.ndarray, " many"],
    *,
    method: str = "auto",
    convention: str = "entropy",
    objective: str = "discounted",
    horizon: int | np.integer | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    max_iterations: int | np.integer | None = None,
    start: Float[Array | np.ndarray, " state"] | None = None,
) -> Solution:
    """Compute the soft-optimal value, Q and policy of a problem.

    The result is differentiable with respect to reward, probability, prior, discount and temperature, to any order, by
    the implicit function theorem. At temperature 0 the policy is a step function, whose derivatives are 0. If the
    computation is traced, as in `jax.jit` and `jax.grad`, checks that depend on values are skipped: make sure that the
    problem is finite. A traced undiscounted value has no error bound and is never `converged`.

    A reward of −∞ forbids an action, which keeps its share of the prior.

    Args:
        mdp: the problem.
        temperature: α ≥ 0, in units of reward; 0 for classical planning. For a list or an array of temperatures, the
            arrays of the result have them as their first axis.
        method: one of `METHODS`; 'auto' chooses.
        convention: 'entropy' or 'kl', see the module.
        objective: 'discounted' uses the problem's discount, where 1 is the undiscounted episodic objective; 'average'
            is the average reward per step and ignores the discount.
        horizon: the number of decisions; by default the problem's own. With a horizon, the result depends on time.
        tolerance: the largest error of the value in units of reward, in the maximum norm over the states that an
            episode can visit. The solve stops when it is met or rounding prevents progress.
        max_iterations: the most sweeps or Newton steps.
        start: an initial value for each state, such as the value of a similar problem. It saves time and does not
            change the result.

    Raises:
        UsageError: an argument is not valid, JAX is in 32-bit mode, an undiscounted value cannot be shown to be finite,
            or an average reward has a horizon or may depend on the initial state.
    """
    check_precision()
    check_temperatures(temperature)
    require_one_of("method", method, METHODS)
    require_one_of("convention", convention, CONVENTIONS)
    require_one_of("objective", objective, OBJECTIVES)
    check_tolerance(tolerance)
    check_iterations(max_iterations)
    check_horizon(horizon)
    horizon = mdp.horizon if horizon is None else horizon
    check_start(start, mdp.states, used=objective == "discounted" and horizon is None)
    check_no_average(objective, horizon)
    check_unused(horizon, method, max_iterations)
    alphas = jnp.asarray(temperature, jnp.float64)
    if method == "auto":
        method = _fastest_method(mdp, alphas, objective)
    settings = _Settings(
        kl=convention == "kl",
        method=method,
        objective=objective,
        horizon=None if horizon is None else int(horizon),
        tolerance=float(tolerance),
        max_iterations=_MAX_ITERATIONS[method] if max_iterations is None else int(max_iterations),
        start=start,
    )
    return _solve(mdp, alphas, settings) if alphas.ndim == 0 else _solve_many(mdp, alphas, settings)


def _fastest_method(mdp: FiniteMDP | FiniteHorizonMDP, alphas: Array, objective: str) -> str:
    if isinstance(mdp, FiniteHorizonMDP) or objective == "average" or is_traced((mdp, alphas)):
        return "newton-krylov"
    return "value-iteration" if float(mdp.discount) < _FEW_SWEEPS else "newton-krylov"


def _solve(mdp: FiniteMDP | FiniteHorizonMDP, alpha: Scalar, settings: _Settings) -> Solution:
    if settings.horizon is not None:
        return solve_finite_horizon(with_horizon(mdp, settings.horizon), alpha, settings.kl, settings.tolerance)
    assert isinstance(mdp, FiniteMDP)
    if settings.objective == "discounted":
        return _solve_discounted(mdp, alpha, settings)
    sweep = make_sweep(mdp, settings.kl)
    return solve_average(mdp, sweep, alpha, settings.method, settings.tolerance, settings.max_iterations)


def _solve_many(mdp: FiniteMDP | FiniteHorizonMDP, alphas: Array, settings: _Settings) -> Solution:
    """Solve for each temperature, starting from the value of the previous one."""
    if is_traced(alphas):
        return jax.lax.map(lambda alpha: _solve(mdp, alpha, settings), alphas)
    solutions = []
    for alpha in alphas:
        solutions.append(_solve(mdp, alpha, settings))
        value = solutions[-1].value
        if solutions[-1].average_reward is None and value.ndim == 1 and not is_traced(value):
            settings = replace(settings, start=jnp.where(jnp.isfinite(value), value, 0.0))
    return jax.tree.map(lambda *parts: jnp.stack([jnp.asarray(part) for part in parts]), *solutions)


def _solve_discounted(mdp: FiniteMDP, alpha: Scalar, settings: _Settings) -> Solution:
    if is_traced((mdp, alpha)) or float(mdp.discount) < 1.0:
        return _solve_fixed_point(mdp, alpha, settings)
    problem = reduce_undiscounted(mdp, settings.kl, float(alpha))
    if problem.verdict.refusal is not None:
        raise UsageError(problem.verdict.refusal)
    if problem.verdict.zero_gain_components is not None:
        solution = _solve_collapsed(problem.mdp, problem.verdict.zero_gain_components, settings)
    else:
        solution = _solve_fixed_point(problem.mdp, alpha, settings)
    without_value = problem.zero_value | problem.undefined
    if not without_value.any():
        return solution
    q, policy = q_and_policy(mdp.terminal, make_sweep(mdp, settings.kl), alpha, solution.value)
    undefined = jnp.asarray(problem.undefined)
    return replace(
        solution,
        value=jnp.where(undefined, jnp.nan, solution.value),
        q=jnp.where(undefined[:, None], jnp.nan, q),
        policy=jnp.where(jnp.asarray(without_value)[:, None], policy, solution.policy),
        state_bound=None if solution.state_bound is None else jnp.where(undefined, jnp.inf, solution.state_bound),
    )


def _solve_fixed_point(mdp: FiniteMDP, alpha: Scalar, settings: _Settings) -> Solution:
    """Solve V = T V, with error bound and derivatives."""
    sweep = make_sweep(mdp, settings.kl)
    constants = jax.lax.stop_gradient((sweep, alpha))
    result = _run_solver(mdp, *constants, settings)
    certificate = certify(*constants, result.value, reachable(mdp), settings.tolerance)
    if is_traced((mdp, alpha)):
        value = attach_gradient(mdp, sweep, alpha, result.value)
        q = action_values(sweep, value)
        q, policy = with_terminal_rows(mdp.terminal, q, smooth_policy(mdp, sweep, alpha, q))
    else:
        value = result.value
        q, policy = q_and_policy(mdp.terminal, sweep, alpha, value)
    return Solution(
        value=value,
        q=q,
        policy=policy,
        iterations=result.iterations,
        products=result.products,
        residual=certificate.residual,
        error_bound=certificate.error_bound,
        state_bound=certificate.state_bound,
        converged=certificate.error_bound <= settings.tolerance,
        method=settings.method,
    )


def _run_solver(mdp: FiniteMDP, sweep: Sweep, alpha: Scalar, settings: _Settings) -> FixedPoint:
    """Choose the initial value and the warm-up, and run the solver."""
    beta = modulus(sweep)
    tolerance = jnp.asarray(settings.tolerance, jnp.float64)
    limit = jnp.asarray(settings.max_iterations)
    start = jnp.zeros(mdp.states) if settings.start is None else jnp.asarray(settings.start, jnp.float64)
    start = jnp.where(jnp.asarray(mdp.terminal), 0.0, jax.lax.stop_gradient(start))
    if settings.method == "value-iteration":
        return value_iteration(sweep, alpha, start, tolerance, beta, limit)
    warm_up = 0
    if not is_traced((mdp.successor, mdp.probability, mdp.terminal)):
        undiscounted = not is_traced((mdp, alpha)) and float(mdp.discount) == 1.0
        level = levels(mdp, np.asarray(cost_grade(sweep.reward).T) if undiscounted else None)
        if undiscounted and (settings.start is None or not bool(is_subsolution(sweep, alpha, start))):
            start = proper_start(sweep, alpha, jnp.asarray(level))
        warm_up = _WARM_UP * int(level.max(initial=0)) if settings.start is None else 0
    exact = settings.method == "policy-iteration"
    return newton(
        sweep,
        alpha,
        start,
        tolerance,
        beta,
        max_iterations=limit,
        warm_up=jnp.asarray(0 if exact else warm_up),
        exact=jnp.asarray(exact),
        greedy=not is_traced(alpha) and float(alpha) == 0.0,
    )


def _solve_collapsed(mdp: FiniteMDP, zero_gain: Components, settings: _Settings) -> Solution:
    """Solve a hard, undiscounted problem after collapsing its zero-gain components."""
    smaller, place = collapse_components(mdp, zero_gain)
    zero = jnp.asarray(0.0)
    # `smaller` has no prior; at temperature 0 the value depends on the allowed actions only.
    solution = _solve_discounted(smaller, zero, replace(settings, start=None, kl=False))
    value = solution.value[place]
    sweep = make_sweep(mdp, settings.kl)
    q, policy = q_and_policy(mdp.terminal, sweep, zero, value)
    counted = jnp.asarray(reachable(mdp))
    gap = jnp.abs(backup(sweep, zero, value) - value)
    return replace(
        solution,
        value=value,
        q=q,
        policy=jnp.asarray(escape_policy(zero_gain, np.asarray(q), np.asarray(policy))),
        residual=jnp.max(jnp.where(counted, gap, 0.0)),
        state_bound=None if solution.state_bound is None else solution.state_bound[place],
    )
