"""Newton's method for y = F(y) of `controlled`, and the certified error of any y.

Each step solves one sparse linear system of the controlled dynamics. It starts from the costs of the cheapest paths,
which are never below the solution; from there the iterates of Newton's method descend to it, because F is concave.

Undiscounted, the equation is linear in z = e^{−y}. A diagonal scaling by a guess of y keeps z in range, and one linear
system replaces all steps:

    w = D⁻¹ G D w + D⁻¹ b,   D = diag(e^{−y}),   G(i,j) = e^{−c(i)} p(j|i),   y ← y − log w                (1)

The guess is the geometric mean of two bounds of the solution: the costs of the cheapest paths with and without the cost
−log p of control. If w overflows or underflows, Newton's method is used until a guess is near enough. The factors of
(1) also solve the systems of the controlled dynamics at the solution: I − U = W⁻¹ (I − D⁻¹ G D) W.

**Certificate.** F is monotone, and its iterates from any finite y converge to the solution. So y ± e enclose it if
F(y + e) ≤ y + e and F(y − e) ≥ y − e. Both are checked in floating point with a margin of rounding, for e proportional
to the expected sum of |F(y) − y| and rounding until the exit. For undiscounted problems the second inequality also
shows that the value is finite.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse import csgraph

from entrax.exact.controlled import ByLive, ByState, Equation, Step, evaluate, live_part
from entrax.exact.substochastic import Solver, by_elimination, by_iteration

_RANGE = 650.0  # of log w, so that no w underflows
_STALLED = 6  # steps without progress
_REFINEMENTS = 3
_FACTORS = (1.0625, 2.0, 8.0, 64.0)  # of e, that are tried
_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Iterate:
    """y with F(y), and a solver of (I − γ U) x = b for a U near that of y.

    Attributes:
        y: of every state.
        step: F and the control at `y`.
        solve: the solver.
        iterations: the number of linear systems so far.
    """

    y: ByState
    step: Step
    solve: Solver
    iterations: int


def cheapest_paths(equation: Equation, y: ByState, control_cost: bool = True) -> ByState:
    """Return the least cost to an exit along one path.

    Negative costs count as 0. y is used at exits. With `control_cost` a transition costs −log p, and the result y₀
    satisfies F(y₀) ≤ y₀.
    """
    states = len(y)
    exits = np.isfinite(y)
    exits[equation.live] = False
    exit_states = np.flatnonzero(exits)
    least = y[exit_states].min()
    cost = np.maximum(equation.cost, 0.0)[equation.row]
    cost = cost - equation.log_passive if control_cost else cost
    # The search starts at one more node, which leads to every exit at its own cost.
    source = np.concatenate([equation.target, np.full(len(exit_states), states)])
    target = np.concatenate([equation.live[equation.row], exit_states])
    weight = np.concatenate([cost, y[exit_states] - least])
    weight = np.maximum(weight, np.finfo(float).tiny)  # 0 would be no edge
    graph = sparse.csr_array((weight, (source, target)), (states + 1, states + 1))
    path = csgraph.dijkstra(graph, indices=states)[:states] + least
    return np.where(exits, y, path)


def solve_undiscounted(
    equation: Equation, y: ByState, tolerance: float, max_iterations: int, elimination: bool
) -> Iterate:
    """Solve y = F(y) for γ = 1, given y at exits and ∞ at forbidden states.

    Args:
        equation: the equation.
        y: the values of exits.
        tolerance: the change of y that ends the iteration.
        max_iterations: the most linear systems.
        elimination: whether to solve them by elimination.
    """
    above = cheapest_paths(equation, y)
    if elimination:
        below = cheapest_paths(equation, y, control_cost=False)
        live, guess = equation.live, above.copy()
        least = float(np.min(below[live]))
        span = [np.sqrt(np.maximum(bound[live] - least, 0.0)) for bound in (above, below)]
        guess[live] = least + span[0] * span[1]
        solved = _scaled_solve(equation, guess, 1)
        if solved is not None:
            return _refine(equation, solved)
    return solve(equation, above, tolerance, max_iterations, elimination)


def solve(equation: Equation, y: ByState, tolerance: float, max_iterations: int, elimination: bool) -> Iterate:
    """Solve y = F(y) from an initial y, as `solve_undiscounted` does."""
    live = equation.live
    step = evaluate(equation, y)
    solver: Solver | None = None
    best, stalled, iterations, change = np.inf, 0, 0, np.inf
    while True:
        gap = step.value - y[live]
        size = float(np.max(np.abs(gap) / step.rounding))
        stalled = 0 if size < 0.5 * best else stalled + 1
        best = min(best, size)
        finished = size <= 1.0 or change <= tolerance or stalled > _STALLED or iterations >= max_iterations
        if solver is not None and finished:
            return _refine(equation, Iterate(y=y, step=step, solve=solver, iterations=iterations))
        if elimination and equation.discount == 1.0 and change < _RANGE:
            scaled = _scaled_solve(equation, y, iterations + 1)
            if scaled is not None:
                return _refine(equation, scaled)
        solver = _control_solver(equation, step, y, elimination)
        delta = solver(gap)
        iterations += 1
        if not np.all(np.isfinite(delta)):
            return Iterate(y=y, step=step, solve=solver, iterations=iterations)
        y = y.copy()
        y[live] += delta
        step = evaluate(equation, y)
        change = float(np.max(np.abs(delta)))


def _control_solver(equation: Equation, step: Step, y: ByState, elimination: bool) -> Solver:
    matrix = equation.discount * live_part(equation, step.control, len(y))
    return by_elimination(matrix) if elimination else by_iteration(matrix, y[equation.live])


def _scaled_solve(equation: Equation, y: ByState, iterations: int) -> Iterate | None:
    """Solve (1); None if w leaves the range of floating-point numbers."""
    live = equation.live
    with np.errstate(over="ignore"):
        ahead = y[live][equation.row] - y[equation.target]
        weight = np.exp(equation.log_passive - equation.cost[equation.row] + ahead)
    outside = np.isfinite(y)
    outside[live] = False
    right = np.add.reduceat(np.where(outside[equation.target], weight, 0.0), equation.start)
    factors = by_elimination(live_part(equation, weight, len(y)))
    w = factors(right)
    if not np.all((w > 0) & np.isfinite(w)) or np.ptp(np.log(w)) > _RANGE:
        return None
    y = y.copy()
    y[live] -= np.log(w)
    return Iterate(y=y, step=evaluate(equation, y), solve=lambda b: factors(w * b) / w, iterations=iterations)


def _refine(equation: Equation, iterate: Iterate) -> Iterate:
    """Repeat Newton's step with the last factors while the residual decreases."""
    live = equation.live
    for _ in range(_REFINEMENTS):
        gap = iterate.step.value - iterate.y[live]
        y = iterate.y.copy()
        y[live] += iterate.solve(gap)
        if not np.all(np.isfinite(y[live])):
            break
        step = evaluate(equation, y)
        if np.max(np.abs(step.value - y[live]) / step.rounding) >= np.max(np.abs(gap) / iterate.step.rounding):
            break
        iterate = Iterate(y=y, step=step, solve=iterate.solve, iterations=iterate.iterations)
    return iterate


def certify(equation: Equation, iterate: Iterate) -> Float[np.ndarray, " state"]:
    """Return a bound on |y − solution| at each state, 0 at exits; ∞ if none was found."""
    live, y = equation.live, iterate.y
    error = np.abs(iterate.step.value - y[live]) + 1.25 * iterate.step.rounding + _EPS * np.abs(y[live])
    bound = np.zeros(len(y))
    bound[live] = np.inf
    width = iterate.solve(error)
    if not np.all(np.isfinite(width)):
        return bound
    width = np.maximum(width, error)
    for factor in _FACTORS:
        if _encloses(equation, y, factor * width):
            bound[live] = factor * width * (1 + 8 * _EPS) + 2 * _EPS * np.abs(y[live])
            return bound
    return bound


def _encloses(equation: Equation, y: ByState, width: ByLive) -> bool:
    """Check both inequalities with margins of rounding."""
    live = equation.live
    above, below = y.copy(), y.copy()
    above[live] += width
    below[live] -= width
    up, down = evaluate(equation, above), evaluate(equation, below)
    falls = up.value - above[live] <= -up.rounding
    rises = down.value - below[live] >= down.rounding
    return bool(np.all(falls & rises))
