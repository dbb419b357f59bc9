"""The average cost of a linearly solvable problem: y + g = F(y), with F of `controlled`.

g = −log ρ and e^{−y} are the principal eigenvalue and eigenvector of G(i,j) = e^{−c(i)} p(j|i), in logarithms. A Newton
step evaluates the controlled dynamics U: with one state, the anchor, as an exit, two systems give y and g. The anchor
is a state that U visits often. U may be so close to several closed sets that the systems are singular to rounding. Then
the states whose F(y) − y is large are raised by the multiple of it that serves best, and damped sweeps
y ← (y + F(y))/2 follow, so that control moves to the set of least cost. If sets are connected by probabilities below
rounding only, this may fail; the certificate shows it.

**Certificate.** For any y, g lies between the least and the largest F(y) − y over the states that are visited for ever
(Collatz and Wielandt).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse import csgraph

from entrax.exact.controlled import ByLive, ByState, Equation, evaluate, live_part
from entrax.exact.substochastic import by_elimination, by_iteration

_STALLED = 12  # steps without progress
_WORSE = 10.0  # times the width of the bounds, beyond which a step is rejected
_LAZY_STEPS = 100
_PATIENCE = 3  # steps without progress, after which they are replaced
_MULTIPLES, _SWEEPS = 50, 50  # tried, and made, in place of a step
_EPS = float(np.finfo(float).eps)


class AverageSolution(NamedTuple):
    """The result, in units of the temperature.

    Attributes:
        y: the relative values.
        gain: g.
        control: u of each entry.
        residual: half the width of the bounds on g without rounding.
        error_bound: a bound on the error of g, including rounding.
        iterations: the number of Newton steps.
    """

    y: ByState
    gain: float
    control: Float[np.ndarray, " entry"]
    residual: float
    error_bound: float
    iterations: int


def solve_average(
    equation: Equation, y: ByState, tolerance: float, max_iterations: int, elimination: bool
) -> AverageSolution:
    """Solve y + g = F(y) from an initial y."""
    live = equation.live
    counted = _visited_for_ever(equation, len(y))
    best: AverageSolution | None = None
    stalled = 0
    for iteration in range(max_iterations + 1):
        step = evaluate(equation, y)
        gap = step.value - y[live]
        result = _bounded(y, gap, step.rounding + 2 * _EPS * np.abs(y[live]), counted, step.control, iteration)
        stalled = 0 if best is None or result.residual < 0.5 * best.residual else stalled + 1
        best = result if best is None or result.error_bound < best.error_bound else best
        if result.error_bound <= 0.5 * tolerance or stalled > _STALLED:
            break
        after = _newton_step(y, live, gap, live_part(equation, step.control, len(y)), elimination)
        acceptable = stalled < _PATIENCE and _width(equation, after, counted) <= _WORSE * 2 * result.residual
        y = after if acceptable else _damped_sweeps(equation, _raised(equation, y, gap, counted))
    assert best is not None
    return best


def _newton_step(y: ByState, live: Int[np.ndarray, " live"], gap: ByLive, control: Any, elimination: bool) -> ByState:
    """Return the relative values of the controlled dynamics; not finite if they are not defined."""
    anchor = _often_visited(control)
    control.data[control.indices == anchor] = 0.0
    solver = by_elimination(control) if elimination else by_iteration(control, y[live])
    change, time = solver(gap), solver(np.ones(len(live)))
    y = y.copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        y[live] += change - change[anchor] / time[anchor] * time
    return y


def _often_visited(control: Any) -> int:
    """Return the most visited state after some lazy steps from a random state."""
    visits = np.full(control.shape[0], 1 / control.shape[0])
    backward = sparse.csr_array(control.T)
    for _ in range(_LAZY_STEPS):
        visits = (visits + backward @ visits) / 2
    return int(np.argmax(visits))


def _width(equation: Equation, y: ByState, counted: Bool[np.ndarray, " live"]) -> float:
    """Return the width of the bounds on g; NaN if y is not finite."""
    if not np.all(np.isfinite(y[equation.live])):
        return float("nan")
    return float(np.ptp((evaluate(equation, y).value - y[equation.live])[counted]))


def _raised(equation: Equation, y: ByState, gap: ByLive, counted: Bool[np.ndarray, " live"]) -> ByState:
    """Return y with the best multiple of F(y) − y added."""
    best, least = y, np.inf
    for multiple in 2.0 ** np.arange(_MULTIPLES):
        raised = y.copy()
        raised[equation.live] += multiple * (gap - gap[counted].min())
        if (width := _width(equation, raised, counted)) < least:
            best, least = raised, width
    return best


def _damped_sweeps(equation: Equation, y: ByState) -> ByState:
    y = y.copy()
    for _ in range(_SWEEPS):
        after = (y[equation.live] + evaluate(equation, y).value) / 2
        y[equation.live] = after - after[0]
    return y


def _bounded(
    y: ByState,
    gap: ByLive,
    slack: ByLive,
    counted: Bool[np.ndarray, " live"],
    control: Float[np.ndarray, " entry"],
    iterations: int,
) -> AverageSolution:
    low, high = float(gap[counted].min()), float(gap[counted].max())
    gain = (low + high) / 2
    upper, lower = float((gap + slack)[counted].max()), float((gap - slack)[counted].min())
    return AverageSolution(
        y=y,
        gain=gain,
        control=control,
        residual=(high - low) / 2,
        error_bound=max(upper - gain, gain - lower) * (1 + 4 * _EPS),
        iterations=iterations,
    )


def _visited_for_ever(equation: Equation, states: int) -> Bool[np.ndarray, " live"]:
    """Return the states of the only set of connected states."""
    graph = live_part(equation, np.ones(len(equation.row)), states)
    _, label = csgraph.connected_components(graph, directed=True, connection="strong")
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    return label == label[row[label[row] == label[graph.indices]][0]]
