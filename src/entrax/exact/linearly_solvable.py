"""Solve linearly solvable problems, with a certified error.

    solution = linearly_solvable(problem, temperature=1.0)

returns the optimal cost v = −λ log z, the optimal control u* and, for an average cost, −λ log ρ; see
`problems.LinearlySolvable` for the equations. All computations use v/λ, so z may be far below the smallest number.
`newton_logarithms` describes the solver and its error bound. Unlike the other solvers of `exact`, it uses NumPy and
SciPy, always has 64-bit floats and is not differentiable.

Optimal controls compose: problems that differ in the costs of their exits only have solutions z_k, and for any weights
w_k ≥ 0

    z = Σ_k w_k z_k,   u(j|i) = Σ_k m_k(i) u_k(j|i),   m_k(i) ∝ w_k z_k(i)                                 (1)

solves the problem with the final costs −λ log Σ_k w_k e^{−q_k/λ}.

References:
    Todorov (2009), Compositionality of optimal control laws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import sparse

from entrax.errors import UsageError, require_one_of
from entrax.exact.average_logarithms import solve_average
from entrax.exact.checks import check_iterations, check_tolerance
from entrax.exact.controlled import ByState, Equation, controlled_matrix, evaluate, live_part, make_equation
from entrax.exact.newton_logarithms import certify, solve, solve_undiscounted
from entrax.exact.substochastic import eliminates_cheaply
from entrax.problems.linearly_solvable import LinearlySolvable

LINEAR_METHODS = ("auto", "elimination", "iteration")
_TOLERANCE = 1e-9
_MAX_ITERATIONS = 200
_LARGE = 100_000  # states; for fewer, elimination takes a second
_DRIFT = 5.0  # temperatures of cost per step; the control then seldom moves away from an exit
_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, kw_only=True)
class OptimalControl:
    """The solution of a linearly solvable problem.

    Attributes:
        problem: the problem.
        temperature: λ, in units of cost.
        value: v(s), in units of cost; final costs at exits, ∞ in forbidden states. For a finite horizon it has time as
            its first axis, with T + 1 entries. For an average cost it is relative, 0 at the first state that is not
            forbidden.
        policy: u*(j|i), a CSR array whose rows of exits and forbidden states are empty; for a finite horizon a tuple of
            T of them.
        average_cost: in units of cost per step; None for other kinds.
        iterations: the number of linear systems that were factored or preconditioned; of steps, for a finite horizon.
        residual: the largest |v − right-hand side| of its equation, in units of cost.
        error_bound: a certified bound, including rounding, on the error in the norm `error_norm`; ∞ if none was found.
        state_bound: a certified bound on the error of each value; None for a finite horizon and an average cost.
        converged: whether `error_bound` is at most the tolerance.
        method: how linear systems were solved.
        error_norm: the norm of `error_bound`.
    """

    problem: LinearlySolvable
    temperature: float
    value: Float[np.ndarray, "*time state"]
    policy: Any
    iterations: int
    residual: float
    error_bound: float
    converged: bool
    average_cost: float | None = None
    state_bound: ByState | None = None
    method: str = ""
    error_norm: str = "max over states that are not forbidden"

    @property
    def desirability(self) -> Float[np.ndarray, "*time state"]:
        """z = exp(−v/λ), which is 0 where it underflows."""
        return np.exp(-self.value / self.temperature)

    @property
    def eigenvalue(self) -> float:
        """ρ = exp(−average cost/λ).

        Raises:
            UsageError: the problem has another kind than 'average'.
        """
        if self.average_cost is None:
            raise UsageError(f"The eigenvalue requires a problem of the kind average, got {self.problem.kind}.")
        return float(np.exp(-self.average_cost / self.temperature))


def linearly_solvable(
    problem: LinearlySolvable,
    temperature: float | int,
    *,
    method: str = "auto",
    tolerance: float = _TOLERANCE,
    max_iterations: int | None = None,
) -> OptimalControl:
    """Compute the optimal cost and control.

    Args:
        problem: the problem.
        temperature: λ > 0, in units of cost.
        method: how linear systems are solved: by 'elimination', by 'iteration', or 'auto', which chooses by the graph.
        tolerance: the largest error of the value, or of the average cost, in units of cost.
        max_iterations: the most linear systems.

    Raises:
        UsageError: an argument is not valid, or the value cannot be shown to be finite, which negative costs may cause.
    """
    if not (np.ndim(temperature) == 0 and 0 < float(temperature) < np.inf):
        raise UsageError(f"`temperature` must be finite and above 0, got {temperature}.")
    require_one_of("method", method, LINEAR_METHODS)
    check_tolerance(tolerance)
    check_iterations(max_iterations)
    if problem.kind == "finite-horizon":
        return _finite_horizon(problem, float(temperature), float(tolerance))
    limit = _MAX_ITERATIONS if max_iterations is None else int(max_iterations)
    elimination = None if method == "auto" else method == "elimination"
    if problem.kind == "average":
        return _average(problem, float(temperature), float(tolerance), limit, elimination)
    return _total(problem, float(temperature), float(tolerance), limit, elimination)


def _total(
    problem: LinearlySolvable, temperature: float, tolerance: float, limit: int, elimination: bool | None
) -> OptimalControl:
    """Solve for a total or a discounted cost."""
    equation = make_equation(problem, temperature, problem.forbidden)
    y = problem.cost / temperature
    relative = tolerance / temperature
    if elimination is None:
        elimination = _eliminates(equation, len(y))
    if problem.kind == "first-exit":
        iterate = solve_undiscounted(equation, y, 0.1 * relative, limit, elimination)
    else:
        iterate = solve(equation, y, 0.1 * relative * (1 - problem.discount), limit, elimination)
    bound = temperature * certify(equation, iterate)
    error_bound = float(np.max(bound))
    if error_bound == np.inf and problem.kind == "first-exit" and np.any(equation.cost < 0):
        raise UsageError(
            "The value cannot be shown to be finite, because some costs are negative. Raise costs or `temperature`."
        )
    gap = iterate.step.value - iterate.y[equation.live]
    return OptimalControl(
        problem=problem,
        temperature=temperature,
        value=_in_units(iterate.y, temperature, problem),
        policy=controlled_matrix(equation, iterate.step.control, len(y)),
        iterations=iterate.iterations,
        residual=float(temperature * np.max(np.abs(gap))),
        error_bound=error_bound,
        state_bound=bound,
        converged=error_bound <= tolerance,
        method="elimination" if elimination else "iteration",
    )


def _eliminates(equation: Equation, states: int) -> bool:
    """Return whether to solve by elimination, which neither the graph nor a strong drift to the exits makes slow."""
    drifts = len(equation.live) > _LARGE and np.median(equation.cost) > _DRIFT
    return not drifts and eliminates_cheaply(live_part(equation, equation.log_passive, states))


def _in_units(y: ByState, temperature: float, problem: LinearlySolvable) -> ByState:
    return np.where(problem.exits | problem.forbidden, problem.cost, temperature * y)


def _average(
    problem: LinearlySolvable, temperature: float, tolerance: float, limit: int, elimination: bool | None
) -> OptimalControl:
    equation = make_equation(problem, temperature, problem.forbidden)
    if elimination is None:
        elimination = eliminates_cheaply(live_part(equation, equation.log_passive, problem.states))
    y = np.where(problem.forbidden, np.inf, 0.0)
    result = solve_average(equation, y, tolerance / temperature, limit, elimination)
    error_bound = temperature * result.error_bound
    return OptimalControl(
        problem=problem,
        temperature=temperature,
        value=temperature * (result.y - result.y[equation.live[0]]),
        policy=controlled_matrix(equation, result.control, problem.states),
        average_cost=temperature * result.gain,
        iterations=result.iterations,
        residual=temperature * result.residual,
        error_bound=error_bound,
        converged=error_bound <= tolerance,
        method="elimination" if elimination else "iteration",
        error_norm="absolute error of average_cost",
    )


def _finite_horizon(problem: LinearlySolvable, temperature: float, tolerance: float) -> OptimalControl:
    """Solve backwards in time; each step adds its rounding to the bound."""
    assert problem.horizon is not None
    assert problem.final_cost is not None
    equation = make_equation(problem, temperature, np.zeros(problem.states, bool))
    value = np.empty((problem.horizon + 1, problem.states))
    value[-1] = np.where(problem.forbidden & ~problem.exits, np.inf, problem.final_cost)
    ended = problem.exits | problem.forbidden
    policy, bound = [], 0.0
    y = value[-1] / temperature
    for t in reversed(range(problem.horizon)):
        cost = problem.cost_at(t)
        step = evaluate(equation.with_cost(cost / temperature), y)
        y = cost / temperature  # of exits and forbidden states
        y[equation.live] = step.value
        value[t] = np.where(ended, cost, temperature * y)
        policy.append(controlled_matrix(equation, step.control, problem.states))
        bound = problem.discount * bound + float(np.max(step.rounding + 2 * _EPS * np.abs(_finite(step.value))))
    bound *= temperature * (1 + problem.horizon * _EPS)
    return OptimalControl(
        problem=problem,
        temperature=temperature,
        value=value,
        policy=tuple(reversed(policy)),
        iterations=problem.horizon,
        residual=0.0,
        error_bound=bound,
        converged=bound <= tolerance,
        method="backward induction",
        error_norm="max over times and states of finite value",
    )


def _finite(value: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(value), value, 0.0)


def compose(solutions: Sequence[OptimalControl], weights: ArrayLike) -> OptimalControl:
    """Solve the problem whose exits have the desirability Σ_k w_k z_k, by equation (1).

    No equation is solved: the value and the control are sums, and the error bound follows from those of `solutions`.

    Args:
        solutions: of problems of the kind 'first-exit' at one temperature, which differ in the costs of exits only.
        weights: w_k ≥ 0, one for each solution, not all 0.

    Raises:
        UsageError: the problems differ in more, or the weights are not valid.
    """
    if not solutions:
        raise UsageError("`solutions` must have at least one solution, got none.")
    first = solutions[0]
    weight = np.asarray(weights, float)
    if weight.shape != (len(solutions),) or not np.all((weight >= 0) & np.isfinite(weight)) or not weight.any():
        raise UsageError(
            f"`weights` must have one finite number of at least 0 for each of the {len(solutions)} solutions, one of "
            f"them above 0, got {weight.tolist()}."
        )
    for number, other in enumerate(solutions[1:], 1):
        _check_same(first, other, number)
    solutions = [one for one, w in zip(solutions, weight, strict=True) if w > 0]
    logs = np.log(weight[weight > 0])[:, None] - np.stack([one.value for one in solutions]) / first.temperature
    best = logs.max(axis=0)
    shares = np.exp(logs - np.where(np.isfinite(best), best, 0.0))
    total = shares.sum(axis=0)
    with np.errstate(divide="ignore"):
        value = -first.temperature * (np.where(np.isfinite(best), best, 0.0) + np.log(total))
    mixing = shares / np.where(total > 0, total, 1.0)
    inside = ~(first.problem.exits | np.isposinf(value))
    bounds = np.max([_bound_of(one) for one in solutions], axis=0)
    units = 2 * len(solutions) + 24 + 3 * np.abs(_finite(value)) / first.temperature
    bounds = bounds + first.temperature * _EPS * units
    return OptimalControl(
        problem=first.problem.with_final_cost(value[first.problem.exits]),
        temperature=first.temperature,
        value=value,
        policy=sparse.csr_array(
            sum(sparse.diags_array(m * inside) @ one.policy for m, one in zip(mixing, solutions, strict=True))
        ),
        iterations=0,
        residual=max(one.residual for one in solutions),
        error_bound=float(np.max(bounds)),
        state_bound=bounds,
        converged=all(one.converged for one in solutions),
        method="composition",
    )


def _bound_of(solution: OptimalControl) -> ByState:
    assert solution.state_bound is not None
    return solution.state_bound


def _check_same(first: OptimalControl, other: OptimalControl, number: int) -> None:
    one, two = first.problem, other.problem
    if not one.kind == two.kind == "first-exit":
        raise UsageError(f"Solutions of the kind first-exit compose, got {one.kind} and {two.kind}.")
    if first.temperature != other.temperature:
        raise UsageError(
            f"All solutions must have the same temperature, got {first.temperature} and {other.temperature}."
        )
    same = one.states == two.states and np.array_equal(one.exits, two.exits)
    same = same and np.array_equal(one.cost[~one.exits], two.cost[~two.exits])
    if not same or (one.passive != two.passive).nnz:
        raise UsageError(f"The problems of solutions 0 and {number} must differ in the costs of their exits only.")
