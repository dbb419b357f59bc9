"""The equation of a linearly solvable problem in logarithms, where nothing underflows.

With y = v/λ and c = q/λ the equations of `problems.LinearlySolvable` are one fixed point

    y = F(y),   F(y)(i) = c(i) − log Σ_j p(j|i) e^{−γ y(j)}                                               (1)
    F′(y) = γ U,   u(j|i) ∝ p(j|i) e^{−γ y(j)}                                                           (2)

F is monotone and concave. A Newton step solves (I − γ U) δ = F(y) − y: it evaluates the controlled dynamics U.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from entrax.problems.linearly_solvable import LinearlySolvable

ByLive = Float[np.ndarray, " live"]
ByState = Float[np.ndarray, " state"]

_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Equation:
    """Equation (1) for the `live` states, which are neither exits nor forbidden.

    Attributes:
        live: the states, ascending.
        cost: c of each live state.
        start: the first entry of each row.
        row: the row of each entry, an index into `live`.
        target: the next state of each entry; entries of infinite cost are left out.
        log_passive: log p of each entry.
        discount: γ.
    """

    live: Int[np.ndarray, " live"]
    cost: ByLive
    start: Int[np.ndarray, " live"]
    row: Int[np.ndarray, " entry"]
    target: Int[np.ndarray, " entry"]
    log_passive: Float[np.ndarray, " entry"]
    discount: float

    def with_cost(self, cost: ByState) -> "Equation":
        """Return the equation with other values of c, given for every state."""
        return replace(self, cost=cost[self.live])


@dataclass(frozen=True)
class Step:
    """F and F′ at one y.

    Attributes:
        value: F(y) of the live states.
        control: u of each entry.
        rounding: a bound on the rounding error of `value`.
    """

    value: ByLive
    control: Float[np.ndarray, " entry"]
    rounding: ByLive


def make_equation(problem: LinearlySolvable, temperature: float, blocked: Bool[np.ndarray, " state"]) -> Equation:
    """Build (1); no entry leads to a `blocked` state, whose y is ∞ at all times."""
    passive = problem.passive
    live = np.flatnonzero(np.diff(passive.indptr))
    row = np.repeat(np.arange(len(live)), np.diff(passive.indptr)[live])
    kept = ~blocked[passive.indices]
    row, target = row[kept], passive.indices[kept]
    return Equation(
        live=live,
        cost=problem.cost_at(0)[live] / temperature,
        start=np.flatnonzero(np.diff(row, prepend=-1)),
        row=row,
        target=target.astype(np.int64),
        log_passive=np.log(passive.data[kept]),
        discount=problem.discount,
    )


def evaluate(equation: Equation, y: ByState) -> Step:
    """Return F(y) and the control of every live state; y = ∞ where no exit can be reached."""
    ahead = equation.discount * y[equation.target]
    log_weight = equation.log_passive - ahead
    best = np.maximum.reduceat(log_weight, equation.start)
    lost = np.isneginf(best)  # for a finite horizon only
    shifted = np.where(lost, 0.0, best)
    mass = np.exp(log_weight - shifted[equation.row])
    total = np.add.reduceat(mass, equation.start)
    total[lost] = 1.0
    control = mass / total[equation.row]
    value = equation.cost - best - np.log(total)
    with np.errstate(invalid="ignore"):
        size = np.where(control > 0, np.abs(ahead) - equation.log_passive, 0.0)
    largest = np.maximum.reduceat(size, equation.start)
    terms = np.diff(equation.start, append=len(equation.row))
    finite = np.where(np.isfinite(value), np.abs(value), 0.0) + np.where(
        np.isfinite(equation.cost), np.abs(equation.cost), 0.0
    )
    rounding = _EPS * (1.5 * largest + finite + terms / 2 + 10)
    return Step(value=value, control=control, rounding=rounding)


def controlled_matrix(equation: Equation, control: Float[np.ndarray, " entry"], states: int) -> Any:
    """Return U as a CSR array of shape (states, states); rows of other states are empty."""
    count = np.zeros(states, np.int64)
    count[equation.live] = np.diff(equation.start, append=len(equation.row))
    indptr = np.concatenate([[0], np.cumsum(count)])
    return sparse.csr_array((control, equation.target, indptr), shape=(states, states))


def live_part(equation: Equation, weight: Float[np.ndarray, " entry"], states: int) -> Any:
    """Return the CSR array of `weight` between live states, without other columns."""
    place = np.full(states, -1)
    place[equation.live] = np.arange(len(equation.live))
    column = place[equation.target]
    kept = column >= 0
    shape = (len(equation.live), len(equation.live))
    return sparse.csr_array((weight[kept], (equation.row[kept], column[kept])), shape=shape)
