"""Games of two players in one move each, given as matrices; their logit equilibria; and who exploits whom.

A logit (quantal response) equilibrium at temperature α is a pair of strategies that are soft policies of each other:

    x ∝ exp(A y/α),   y ∝ exp(Bᵀ x/α),   x, y the row's and the column's strategy, A and B their payoffs     (1)

As α → 0 its limits are Nash equilibria. In a zero-sum game (B = −A) it is unique at every α > 0 and the saddle point of
xᵀAy + α H(x) − α H(y); other games may have several, and the solver follows the branch that begins at α = ∞ with both
players uniform, as McKelvey and Palfrey (1995) do to choose one.

Source: McKelvey and Palfrey (1995), Quantal response equilibria for normal form games.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from entrax.errors import EntraxError
from entrax.problems.finite import FiniteMDP

RowStrategy = Float[np.ndarray, " row"]
ColumnStrategy = Float[np.ndarray, " column"]
Payoff = Float[np.ndarray, "row column"]


class MatrixGame(NamedTuple):
    """What each player earns, `payoff[row action, column action]`; make one with `matrix_game`."""

    row: Payoff
    column: Payoff


class Equilibrium(NamedTuple):
    """A pair of strategies. `residual` is the largest |strategy − soft best response| of any action."""

    row: RowStrategy
    column: ColumnStrategy
    residual: float
    iterations: int
    converged: bool


def matrix_game(row: ArrayLike, column: ArrayLike | None = None) -> MatrixGame:
    """The game in which the row player earns `row` and the column player `column`, by default −`row`: zero-sum.

    Raises EntraxError unless both are matrices of finite numbers of one shape.
    """
    row = np.array(row, float)
    column = -row if column is None else np.array(column, float)
    if row.ndim != 2 or 0 in row.shape or row.shape != column.shape:
        raise EntraxError(f"Payoffs have shapes {row.shape} and {column.shape}: both must be (rows, columns) alike.")
    if not (np.all(np.isfinite(row)) and np.all(np.isfinite(column))):
        raise EntraxError("Payoffs must be finite numbers.")
    return MatrixGame(row, column)


def rock_paper_scissors(win: float = 1.0) -> MatrixGame:
    """Rock, paper, scissors: `win` to the winner from the loser. Its equilibrium is uniform at every temperature."""
    return matrix_game(win * np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]))


def logit_equilibrium(
    game: MatrixGame, temperature: float, *, tolerance: float = 1e-12, max_iterations: int = 10_000
) -> Equilibrium:
    """The logit equilibrium (1) at `temperature` > 0, by Newton's method along a path of falling temperatures.

    `max_iterations` counts Newton steps over the whole path. At a fold of the branch (possible in games that aren't
    zero-sum) the solver may end elsewhere or fail, which `converged` and `residual` tell.
    Raises EntraxError for a temperature that isn't above 0.
    """
    if not temperature > 0:
        raise EntraxError(f"A logit equilibrium needs a temperature above 0, not {temperature}.")
    rows, _ = game.row.shape
    spread = max(np.ptp(game.row), np.ptp(game.column), 1e-300)
    # Where α exceeds the spread of payoffs the responses barely depend on each other: Newton's method converges there.
    path = np.geomspace(
        max(spread, temperature), temperature, max(2, 1 + int(8 * np.log2(max(spread / temperature, 1))))
    )
    logits = np.zeros(sum(game.row.shape))
    iterations, error = 0, np.inf
    for warmth in path:
        while iterations < max_iterations:
            step, error = _newton(game, warmth, logits)
            if error <= tolerance:
                break
            logits = logits + step
            iterations += 1
    x, y = _softmax(logits[:rows]), _softmax(logits[rows:])
    response = soft_responses(game, x, y, temperature)
    residual = max(float(np.abs(response[0] - x).max()), float(np.abs(response[1] - y).max()))
    return Equilibrium(x, y, residual, iterations, bool(residual <= 10 * tolerance))


def soft_responses(
    game: MatrixGame, row: RowStrategy, column: ColumnStrategy, temperature: float
) -> tuple[RowStrategy, ColumnStrategy]:
    """Each player's soft best response to the other's strategy, the right sides of (1)."""
    return _softmax(game.row @ column / temperature), _softmax(game.column.T @ row / temperature)


def exploitability(game: MatrixGame, row: RowStrategy, column: ColumnStrategy) -> tuple[float, float]:
    """What each player could gain by its best response to the other, the row player first: 0 at Nash equilibria.

    These opponents know the strategy but not the moves; `remembering_opponent` is for the others.
    """
    against_column, against_row = game.row @ column, game.column.T @ row
    return float(against_column.max() - row @ against_column), float(against_row.max() - column @ against_row)


def remembering_opponent(
    game: MatrixGame, policy: Float[np.ndarray, "row column row"], *, discount: float = 0.99
) -> FiniteMDP:
    """The column player's problem against a row player who plays again and again, by `policy[own, other, move]`.

    `policy` is the distribution of the next move given both players' last moves; state `own · columns + other` holds
    these. An opponent who remembers the last round and has learned the policy earns (1 − γ) V of the optimum of this
    problem a round. Against a row player who ignores the past this is the best response's payoff; one who is
    predictable from the past loses more. Rounds begin with every pair of last moves as likely.
    Raises EntraxError unless every policy[own, other] is a distribution.
    """
    rows, columns = game.row.shape
    policy = np.asarray(policy, float)
    if policy.shape != (rows, columns, rows) or np.any(policy < 0) or np.any(np.abs(policy.sum(-1) - 1) > 1e-6):
        raise EntraxError(
            f"The policy must hold a distribution over {rows} moves for each of {rows}×{columns} last moves."
        )
    states = rows * columns
    chance = policy.reshape(states, rows)
    successor = np.arange(rows)[:, None] * columns + np.arange(columns)  # [row's move, column's move]
    transition = np.zeros((states, columns, states))
    for own in range(rows):
        for other in range(columns):
            transition[:, other, successor[own, other]] += chance[:, own]
    return FiniteMDP.from_dense(transition, chance @ game.column, discount=discount)


def _newton(game: MatrixGame, temperature: float, logits: Float[np.ndarray, " move"]) -> tuple[np.ndarray, float]:
    """A Newton step for logits − payoffs/α, with the constant that softmax ignores taken out; and the error before."""
    rows = game.row.shape[0]
    x, y = _softmax(logits[:rows]), _softmax(logits[rows:])
    wanted = np.concatenate([_centred(game.row @ y), _centred(game.column.T @ x)]) / temperature
    slope = np.zeros((logits.size, logits.size))
    slope[:rows, rows:] = _centred(game.row @ (np.diag(y) - np.outer(y, y))) / temperature
    slope[rows:, :rows] = _centred(game.column.T @ (np.diag(x) - np.outer(x, x))) / temperature
    missing = wanted - logits
    error = max(np.abs(_softmax(wanted[:rows]) - x).max(), np.abs(_softmax(wanted[rows:]) - y).max())
    return np.linalg.solve(np.eye(logits.size) - slope, missing), float(error)


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=0)


def _softmax(logits: Float[np.ndarray, " action"]) -> Float[np.ndarray, " action"]:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
