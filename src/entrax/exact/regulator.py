"""The soft-optimal value and policy of a linear-quadratic problem, with a certified error.

    V(x) = −xᵀPx − 2pᵀx − c,   π(u|x) = N(u; −Kx + k, Σ),   Σ = ½α M⁻¹,   M = R + γBᵀPB

solve V = α log ∫ π₀(u|x) exp((r(x,u) + γ E V(x'))/α) du. A problem without a prior has π₀ = 1, the entropy convention.
Temperature 0 is the classical linear-quadratic regulator, by the same functions.

`riccati` has the equations, `stationary_riccati` the solver without a horizon, and `riccati_certificate` the bound.

References:
    Todorov and Jordan (2002), Optimal feedback control as a theory of motor coordination, for what Σ shows.
    Levine (2018), arXiv:1805.00909.
"""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike
from numpy.typing import ArrayLike

from entrax.errors import UsageError, require_one_of
from entrax.exact.checks import check_no_average, check_precision, check_temperature, check_tolerance, is_traced
from entrax.exact.riccati import (
    OUTCOMES,
    Decision,
    Matrices,
    Scalar,
    as_arrays,
    back_up,
    decision,
    over_decisions,
    policy_of,
    values_by_associative_scan,
    values_by_scan,
)
from entrax.exact.riccati_certificate import horizon_bound, noise_factor, stationary_bound
from entrax.exact.stationary_riccati import check_solvable, solve_stationary
from entrax.problems.checks import check_horizon
from entrax.problems.linear_quadratic import LinearPolicy, LinearQuadratic

OBJECTIVES = ("discounted", "average")
METHODS = ("auto", "scan", "associative", "newton")
DEFAULT_TOLERANCE = 1e-9
"""The default largest error of a value matrix, in its units."""


class QuadraticValue(eqx.Module):
    """V(x) = −xᵀPx − 2pᵀx − c, or one for each time."""

    P: Float[Array, "*time state state"]
    p: Float[Array, "*time state"]
    c: Float[Array, "*time"]

    def __call__(self, x: ArrayLike) -> Float[Array, "*time"]:
        """Return V(x) in units of reward, at each time if there are several."""
        x = jnp.asarray(x, jnp.float64)
        return -(self.P @ x) @ x - 2 * self.p @ x - self.c

    def at(self, t: int) -> "QuadraticValue":
        """Return the value at time t; the value itself if it does not change."""
        return self if self.c.ndim == 0 else QuadraticValue(P=self.P[t], p=self.p[t], c=self.c[t])


class RegulatorSolution(eqx.Module):
    """The result of `regulator`.

    With a horizon T, arrays have time as their first axis: T + 1 values, and T policies.

    Attributes:
        value: V, in units of reward. For an average reward it is the relative value, 0 at x = 0.
        policy: π, with gain K, offset k and covariance Σ.
        curvature: M, which is −½ the second derivative of Q(x, u) by u.
        closed_loop: the matrix that maps x to the mean of x' under π: A − BK. For outcomes that are not expected it is
            the mean that the value assumes.
        average_reward: the gain, in units of reward per step; None for other objectives.
        iterations: doublings and Newton steps, or the number of decisions.
        residual: the Frobenius norm of F(P) − P, without the constant; 0 with a horizon.
        error_bound: a certified bound, including rounding, on the error in the norm `error_norm`; ∞ if nothing could be
            certified.
        converged: whether `error_bound` is at most the tolerance.
        method: the method used.
        error_norm: the norm of `error_bound`.
    """

    value: QuadraticValue
    policy: LinearPolicy
    curvature: Float[Array, "*steps action action"]
    closed_loop: Float[Array, "*steps state state"]
    average_reward: Scalar | None
    iterations: Any
    residual: Scalar
    error_bound: Scalar
    converged: Any
    method: str = eqx.field(static=True)
    error_norm: str = eqx.field(static=True)


def regulator(
    problem: LinearQuadratic,
    temperature: ScalarLike,
    *,
    outcomes: str = "expected",
    objective: str = "discounted",
    horizon: int | np.integer | None = None,
    method: str = "auto",
    tolerance: float = DEFAULT_TOLERANCE,
) -> RegulatorSolution:
    """Compute the soft-optimal value and policy of a linear-quadratic problem.

    The result is differentiable with respect to all arrays of the problem, the discount and a positive temperature. If
    the computation is traced, as in `jax.jit` and `jax.grad`, checks that depend on values are skipped.

    Args:
        problem: the problem.
        temperature: α ≥ 0, in units of cost; 0 for the classical regulator.
        outcomes: how the value averages over the noise. 'expected' is E V, which is maximum-entropy control.
            'optimistic' is α log E exp(V/α), the backup of the exact posterior, and 'pessimistic' −α log E exp(−V/α),
            its risk-averse twin; both require a positive temperature and, for 'discounted', discount 1 and a horizon.
        objective: 'discounted' uses the problem's discount; 'average' is the average reward per step and ignores it.
        horizon: the number of decisions; by default the problem's own. With a horizon, the result depends on time.
        method: with a horizon, 'scan' is one decision after another, and 'associative' takes 2√T steps of √T decisions
            side by side, for accelerators and long horizons; it requires that R can be inverted. Without a horizon
            there is 'newton' only. 'auto' chooses.
        tolerance: the largest `error_bound` at which the result has converged.

    Raises:
        UsageError: an argument is not valid, JAX is in 32-bit mode, or the problem has no finite value: it is not
            stabilisable or not detectable, M is not positive definite, an undiscounted value is infinite, or the
            pessimistic value breaks down.
    """
    check_precision()
    check_temperature(temperature)
    check_tolerance(tolerance)
    require_one_of("outcomes", outcomes, OUTCOMES)
    require_one_of("objective", objective, OBJECTIVES)
    require_one_of("method", method, METHODS)
    check_horizon(horizon)
    horizon = problem.horizon if horizon is None else int(horizon)
    check_no_average(objective, horizon)
    _check_outcomes(problem, temperature, outcomes, objective)
    alpha = jnp.asarray(temperature, jnp.float64)
    full = as_arrays(with_horizon(problem, horizon))
    if horizon is not None:
        return _over_time(full, alpha, outcomes, _scan_method(full, alpha, method), tolerance)
    require_one_of("method", method, ("auto", "newton"))
    return _stationary(full, alpha, outcomes, objective == "average", tolerance)


def with_horizon(problem: LinearQuadratic, horizon: int | None) -> LinearQuadratic:
    """Return the problem with this number of decisions."""
    return problem if problem.horizon == horizon else replace(problem, horizon=horizon)


def _check_outcomes(problem: LinearQuadratic, temperature: ScalarLike, outcomes: str, objective: str) -> None:
    if outcomes == "expected":
        return
    if not is_traced(temperature) and float(np.asarray(temperature)) <= 0:
        raise UsageError(f"`temperature` must be above 0 for `outcomes={outcomes}`, got {temperature}.")
    if objective == "discounted" and not is_traced(problem.discount) and float(problem.discount) != 1:
        raise UsageError(
            f"`discount` must be 1 for `outcomes={outcomes}`, got {problem.discount}: with a discount the exact "
            "posterior is not Gaussian. Use discount 1 with a `horizon`, or `objective=average`."
        )


def _scan_method(problem: LinearQuadratic, alpha: Scalar, method: str) -> str:
    if method == "newton":
        raise UsageError("`method` must be auto, scan or associative with a horizon, got newton.")
    if method == "auto":
        return "scan" if jax.default_backend() == "cpu" or not _invertible(problem, alpha) else "associative"
    if method == "associative" and not is_traced(problem) and not _invertible(problem, alpha):
        raise UsageError("`method=associative` requires a positive definite `R`. Use `method=scan`.")
    return method


def _invertible(problem: LinearQuadratic, alpha: Scalar) -> bool:
    """Return whether R, to which a prior adds ½αΣ⁻¹, is known to be positive definite."""
    if problem.prior is not None and (is_traced(alpha) or float(alpha) > 0):
        return True
    if is_traced(problem.R):
        return False
    eigenvalues = np.linalg.eigvalsh(np.asarray(problem.R))
    return bool(np.all(eigenvalues[..., 0] > 1e-12 * eigenvalues[..., -1]))


def _over_time(
    problem: LinearQuadratic, alpha: Scalar, outcomes: str, method: str, tolerance: float
) -> RegulatorSolution:
    sign = OUTCOMES[outcomes]
    values, policy, m, loop, bound = _backward(problem, alpha, sign, method)
    if not is_traced((problem, alpha)):
        _check_finite(values, m, problem, alpha, sign)
    return RegulatorSolution(
        value=_value(values),
        policy=policy,
        curvature=m,
        closed_loop=loop,
        average_reward=None,
        iterations=problem.horizon,
        residual=jnp.asarray(0.0),
        error_bound=bound,
        converged=bound <= tolerance,
        method=method,
        error_norm="max over times of the spectral norm of [[P, p], [pᵀ, c]]",
    )


@eqx.filter_jit
def _backward(problem: LinearQuadratic, alpha: Scalar, sign: int, method: str) -> Any:
    solve = values_by_scan if method == "scan" else values_by_associative_scan
    values = solve(problem, alpha, sign)

    def policies(each: LinearQuadratic, after: Matrices) -> Any:
        result = back_up(decision(each, alpha), after, sign)
        n = each.states
        return policy_of(result.gain, result.M, alpha), result.M, result.closed_loop[:n, :n]

    policy, m, loop = over_decisions(problem, policies, values[1:])
    bound = horizon_bound(*jax.lax.stop_gradient((problem, alpha, values)), sign)
    return values, policy, m, loop, bound


def _stationary(
    problem: LinearQuadratic, alpha: Scalar, outcomes: str, average: bool, tolerance: float
) -> RegulatorSolution:
    sign = OUTCOMES[outcomes]
    traced = is_traced((problem, alpha))
    total = not average and not is_traced(problem.discount) and float(problem.discount) == 1
    if total and not traced:
        _check_total(problem, alpha)
    now = _decision(replace(problem, discount=jnp.asarray(1.0)) if average else problem, alpha)
    if not traced:
        check_solvable(now, sign)
    value, policy, m, loop, gain, bound, residual, iterations = _fixed_point(now, sign, average, total)
    if not traced:
        _check_finite(value[None], m[None], problem, alpha, sign)
    return RegulatorSolution(
        value=_value(value),
        policy=policy,
        curvature=m,
        closed_loop=loop,
        average_reward=-gain if average else None,
        iterations=iterations,
        residual=residual,
        error_bound=bound,
        converged=bound <= tolerance,
        method="newton",
        error_norm="spectral norm of P, and average_reward" if average else "spectral norm of [[P, p], [pᵀ, c]]",
    )


_decision = eqx.filter_jit(decision)


@eqx.filter_jit
def _fixed_point(now: Decision, sign: int, average: bool, total: bool) -> Any:
    """Return value, policy, M, closed loop, average cost, bound, residual and iterations."""
    n = len(now.A) - 1
    solved = solve_stationary(now, sign)
    result = solved.backed_up
    step_cost = result.value[n, n]
    constant = step_cost if average else jnp.asarray(0.0) if total else step_cost / (1 - now.discount)
    value = solved.value if average or total else solved.value.at[n, n].set(constant)
    fixed, p, c = jax.lax.stop_gradient((now, solved.value, constant))
    bound = stationary_bound(fixed, p, c, sign, average or total)
    residual = jnp.linalg.norm((result.value - solved.value).at[n, n].set(0.0))
    policy = policy_of(result.gain, result.M, now.temperature)
    return value, policy, result.M, result.closed_loop[:n, :n], constant, bound, residual, solved.iterations


def _check_total(problem: LinearQuadratic, alpha: Scalar) -> None:
    """Check that an undiscounted value without a horizon is finite: no costs at x = 0."""
    causes = {"a positive temperature": alpha, "noise": problem.W, "drift": problem.drift}
    causes |= {"a linear or constant cost": jnp.concatenate([problem.q, problem.r, problem.constant[None]])}
    for cause, array in causes.items():
        if bool(jnp.any(array != 0)):
            raise UsageError(
                f"An undiscounted value without a horizon is infinite with {cause}. Use `objective=average`, a "
                "`horizon` or a `discount` below 1."
            )


def _check_finite(values: Matrices, m: Matrices, problem: LinearQuadratic, alpha: Scalar, sign: int) -> None:
    """Raise an error that says why a value is not finite."""
    if sign < 0:
        _check_pessimistic(np.asarray(values), problem, float(alpha))
    definite = np.isfinite(np.asarray(m)).all((1, 2))
    definite[definite] = np.linalg.eigvalsh(np.asarray(m)[definite])[:, 0] > 0
    if not definite.all():
        when = f" at decision {len(definite) - 1 - int(np.argmin(definite[::-1]))}" if len(definite) > 1 else ""
        raise UsageError(f"M = R + γ Bᵀ P B is not positive definite{when}. Give every action a cost in `R`.")
    if not np.isfinite(np.asarray(values)).all():
        raise UsageError("The value is not finite: numbers of the problem are too large.")


def _check_pessimistic(values: np.ndarray, problem: LinearQuadratic, alpha: float) -> None:
    """Check that 1 − 2PW/α is positive wherever the pessimistic value averages over noise."""
    n = problem.states
    w = np.broadcast_to(np.asarray(problem.W), (max(1, len(values) - 1), n, n))
    after = values[1:] if len(values) > 1 else values
    for t in reversed(range(len(after))):
        p = after[t, :n, :n]
        factor = np.asarray(noise_factor(jnp.asarray(w[t]), -1))
        spread = np.eye(n) - 2 / alpha * factor.T @ p @ factor
        least = np.linalg.eigvalsh(spread)[0] if np.isfinite(p).all() else -np.inf
        if not least > 0:
            when = f" at decision {t}" if len(values) > 1 else ""
            raise UsageError(
                f"The pessimistic value is infinite{when}: 1 − 2PW/α must be positive, and its smallest eigenvalue is "
                f"{least:.4g}. Raise `temperature`, reduce the noise `W`, or use `outcomes=expected`."
            )


def _value(values: Matrices) -> QuadraticValue:
    return QuadraticValue(P=values[..., :-1, :-1], p=values[..., :-1, -1], c=values[..., -1, -1])
