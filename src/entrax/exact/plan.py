"""Plan in a finite problem: its soft-optimal value and policy at any temperature, with a certified error.

    solution = plan(mdp, temperature=0.1)

solves V = T V, (T V)(s) = α log Σ_a π₀(a|s) exp((r(s,a) + γ E V(s'))/α), and returns V with Q and the policy
π ∝ π₀ exp(Q/α). Temperature 0 is classical planning by the same functions. In the 'entropy' convention π₀ counts
actions (all that the mask and a positive prior allow); in the 'kl' convention it is the problem's prior, normalised,
and uniform if the problem has none.

Sources: Ziebart (2010), Modeling purposeful adaptive behavior with the principle of maximum causal entropy; Puterman
(1994), Markov decision processes. The methods are described in `solvers` and the error bound in `certificate`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ScalarLike

from entrax.errors import EntraxError
from entrax.exact.average import solve_average
from entrax.exact.bellman import ByState, Scalar, Sweep, action_values, backup, make_sweep
from entrax.exact.certificate import certified, contraction_bound, enclosure_bound, modulus
from entrax.exact.checks import (
    check_choice,
    check_iterations,
    check_precision,
    check_temperature,
    check_tolerance,
    is_traced,
)
from entrax.exact.components import Components
from entrax.exact.distance import levels
from entrax.exact.finite_horizon import solve_finite_horizon
from entrax.exact.finiteness import idle_components, steer, without_idling
from entrax.exact.implicit import attach_gradient, smooth_policy
from entrax.exact.solution import Solution, finish, read_off
from entrax.exact.solvers import Found, newton, proper_start, value_iteration
from entrax.problems.checks import check_horizon
from entrax.problems.finite import FiniteMDP

METHODS = ("auto", "value-iteration", "policy-iteration", "newton-krylov")
CONVENTIONS = ("entropy", "kl")
OBJECTIVES = ("discounted", "average")
_MAX_ITERATIONS = {"value-iteration": 10_000_000, "policy-iteration": 1_000, "newton-krylov": 1_000}
_WARM_UP = 2  # sweeps before Newton's method, for each step of the longest way to the end of an episode
_FEW_SWEEPS = 0.6  # a discount below which value iteration needs fewer sweeps than Newton's method products


def plan(
    mdp: FiniteMDP,
    temperature: ScalarLike,
    *,
    method: str = "auto",
    convention: str = "entropy",
    objective: str = "discounted",
    horizon: int | np.integer | None = None,
    tolerance: float = 1e-9,
    max_iterations: int | np.integer | None = None,
) -> Solution:
    """The soft-optimal value, Q and policy of `mdp` at `temperature` ≥ 0 (in units of reward).

    `objective` is 'discounted' (by the problem's discount; 1 is the undiscounted episodic objective) or 'average',
    the reward per step in the long run, for which the problem's discount counts for nothing.
    A `horizon` (the problem's own, if it has one) counts decisions and makes the answer depend on time. `tolerance`
    is on the value error, in the maximum norm: the solve ends when it is certified or rounding allows no more, and
    `error_bound` says what was reached. `method` is one of `METHODS`; `auto` chooses.

    Differentiable in reward, probability, prior, discount and temperature, to first order, by the implicit function
    theorem. Inside `jax.jit` or `jax.grad` nothing that depends on values can be checked: see that the problem is
    finite beforehand. There an undiscounted value has no bound, and does not count as converged.

    Raises `EntraxError` for a wrong argument, in 32-bit mode, for an undiscounted problem whose value is not shown to
    be finite, and for an average reward with a horizon, or one that may depend on where one starts.
    """
    check_precision()
    check_temperature(temperature)
    check_choice("method", method, METHODS)
    check_choice("convention", convention, CONVENTIONS)
    check_choice("objective", objective, OBJECTIVES)
    check_tolerance(tolerance)
    check_iterations(max_iterations)
    check_horizon(horizon)
    horizon = mdp.horizon if horizon is None else horizon
    max_iterations = None if max_iterations is None else int(max_iterations)
    alpha = jnp.asarray(temperature, jnp.float64)
    sweep = make_sweep(mdp, convention == "kl")
    traced = is_traced((mdp, temperature))
    if objective == "average":
        if horizon is not None:
            raise EntraxError(
                f"an average reward is one of a problem without a horizon, and this one has {horizon} decisions."
            )
        method = "newton-krylov" if method == "auto" else method
        limit = _MAX_ITERATIONS[method] if max_iterations is None else max_iterations
        return solve_average(mdp, sweep, alpha, method, tolerance, limit)
    if horizon is not None:
        return solve_finite_horizon(mdp, sweep, alpha, int(horizon))
    if not traced and float(mdp.discount) == 1.0:
        idle = idle_components(mdp, sweep, float(alpha))
        if idle is not None:
            return _plan_without_idling(mdp, sweep, idle, method, tolerance, max_iterations)
    return _solve_fixed_point(mdp, sweep, alpha, traced, method, tolerance, max_iterations)


def _solve_fixed_point(
    mdp: FiniteMDP,
    sweep: Sweep,
    alpha: Scalar,
    traced: bool,
    method: str,
    tolerance: float,
    max_iterations: int | None,
) -> Solution:
    """V = T V, with its bound and its derivatives."""
    if method == "auto":
        method = "value-iteration" if not traced and float(mdp.discount) < _FEW_SWEEPS else "newton-krylov"
    limit = _MAX_ITERATIONS[method] if max_iterations is None else max_iterations
    greedy = not traced and float(alpha) == 0.0
    fixed, alpha_fixed = jax.lax.stop_gradient((sweep, alpha))
    found = _solve(mdp, fixed, alpha_fixed, method, tolerance, limit, greedy)
    bound = _certify(fixed, alpha_fixed, found.value, tolerance)
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
        residual=found.residual,
        error_bound=bound,
        converged=certified(fixed, alpha_fixed, found.value, found.residual, bound, jnp.float64(tolerance)),
        method=method,
    )


def _solve(
    mdp: FiniteMDP, sweep: Sweep, alpha: Scalar, method: str, tolerance: float, limit: int, greedy: bool
) -> Found:
    start = jnp.zeros(sweep.reward.shape[1])
    beta = modulus(sweep)
    wanted = jnp.asarray(tolerance, jnp.float64)
    most = jnp.asarray(limit)
    if method == "value-iteration":
        return value_iteration(sweep, alpha, start, wanted, beta, most)
    warm_up = 0
    if not is_traced((mdp.successor, mdp.probability, mdp.terminal)):
        level = levels(mdp)
        if not is_traced(mdp.discount) and float(mdp.discount) == 1.0:
            start = proper_start(sweep, alpha, jnp.asarray(level))
        warm_up = _WARM_UP * int(level.max(initial=0))
    exact = method == "policy-iteration"
    sweeps = jnp.asarray(0 if exact else warm_up)
    return newton(sweep, alpha, start, wanted, beta, most, sweeps, jnp.asarray(exact), greedy)


def _plan_without_idling(
    mdp: FiniteMDP, sweep: Sweep, idle: Components, method: str, tolerance: float, max_iterations: int | None
) -> Solution:
    """Hard, undiscounted planning where one could stay somewhere for ever for free: in the problem without that."""
    smaller, place = without_idling(mdp, idle)
    found = plan(smaller, 0.0, method=method, tolerance=tolerance, max_iterations=max_iterations)
    value = found.value[place]
    q, policy = read_off(mdp.terminal, sweep, jnp.asarray(0.0), value)
    residual = jnp.max(jnp.abs(backup(sweep, jnp.asarray(0.0), value) - value))
    steered = jnp.asarray(steer(idle, np.asarray(q), np.asarray(policy)))
    return replace(found, value=value, q=q, policy=steered, residual=residual)


def _certify(sweep: Sweep, alpha: Scalar, value: ByState, tolerance: float) -> Scalar:
    bound = contraction_bound(sweep, alpha, value)
    if is_traced(bound) or float(bound) <= tolerance:
        return bound
    bound = jnp.minimum(bound, enclosure_bound(sweep, alpha, value))
    return jnp.where(jnp.isnan(bound), jnp.inf, bound)
