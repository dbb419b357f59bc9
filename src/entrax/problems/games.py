"""Matrix games, their logit equilibria, and the exploitability of strategies.

A logit (quantal response) equilibrium at temperature α is a pair of strategies that are soft policies of each other:

    x ∝ exp(A y/α),   y ∝ exp(Bᵀ x/α),   x, y the row's and the column's strategy, A and B their payoffs     (1)

As α → 0 its limits are Nash equilibria. In a zero-sum game (B = −A) it is unique at every α > 0: the saddle point of
xᵀAy + α H(x) − α H(y). Other games may have several. The solver follows the principal branch, which starts at α = ∞
with both strategies uniform.

References:
    McKelvey and Palfrey (1995), Quantal response equilibria for normal form games.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from entrax.errors import UsageError
from entrax.problems.finite import FiniteMDP

RowStrategy = Float[np.ndarray, " row"]
ColumnStrategy = Float[np.ndarray, " column"]
Payoff = Float[np.ndarray, "row column"]


class MatrixGame(NamedTuple):
    """The payoff matrices of both players, indexed by [row action, column action]."""

    row: Payoff
    column: Payoff


class Equilibrium(NamedTuple):
    """A logit equilibrium.

    Attributes:
        row: the row player's strategy.
        column: the column player's strategy.
        residual: the largest |strategy − soft best response| over all actions.
        iterations: the number of Newton steps.
        converged: whether `residual` meets the tolerance.
    """

    row: RowStrategy
    column: ColumnStrategy
    residual: float
    iterations: int
    converged: bool


def matrix_game(row: ArrayLike, column: ArrayLike | None = None) -> MatrixGame:
    """Build a game from the payoffs of the row player and the column player.

    Args:
        row: the row player's payoff, indexed by [row action, column action].
        column: the column player's payoff; by default −`row`, a zero-sum game.

    Raises:
        UsageError: the payoffs are not finite matrices of one shape.
    """
    row = np.array(row, float)
    column = -row if column is None else np.array(column, float)
    if row.ndim != 2 or 0 in row.shape or row.shape != column.shape:
        raise UsageError(f"Payoffs must be two matrices of the same shape, got shapes {row.shape} and {column.shape}.")
    if not (np.all(np.isfinite(row)) and np.all(np.isfinite(column))):
        raise UsageError("Payoffs must be finite numbers.")
    return MatrixGame(row, column)


def rock_paper_scissors(win: float = 1.0) -> MatrixGame:
    """Return rock, paper, scissors, in which the loser pays `win` to the winner.

    Its logit equilibrium is uniform at every temperature.
    """
    return matrix_game(win * np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]))


def logit_equilibrium(
    game: MatrixGame, temperature: float, *, tolerance: float = 1e-12, max_iterations: int = 10_000
) -> Equilibrium:
    """Solve for the logit equilibrium (1) along a path of falling temperatures.

    Each temperature is solved by Newton's method. If the branch has a fold, which is possible in games that are not
    zero-sum, the solver may reach another branch or fail; check `converged` and `residual`.

    Args:
        game: the game.
        temperature: α > 0, in units of payoff.
        tolerance: the largest error of a strategy after each step of the path.
        max_iterations: the most Newton steps over the whole path.

    Raises:
        UsageError: `temperature` is not above 0.
    """
    if not temperature > 0:
        raise UsageError(f"`temperature` must be above 0, got {temperature}.")
    rows, _ = game.row.shape
    spread = max(np.ptp(game.row), np.ptp(game.column), 1e-300)
    # At temperatures above the spread of payoffs the responses barely depend on each other, so Newton converges.
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
    converged = bool(residual <= 10 * tolerance)
    return Equilibrium(row=x, column=y, residual=residual, iterations=iterations, converged=converged)


def soft_responses(
    game: MatrixGame, row: RowStrategy, column: ColumnStrategy, temperature: float
) -> tuple[RowStrategy, ColumnStrategy]:
    """Return each player's soft best response to the other's strategy, as in (1)."""
    return _softmax(game.row @ column / temperature), _softmax(game.column.T @ row / temperature)


def exploitability(game: MatrixGame, row: RowStrategy, column: ColumnStrategy) -> tuple[float, float]:
    """Return each player's gain by a best response, the row player first.

    Both gains are 0 exactly at Nash equilibria. For an opponent that also uses the previous moves, see
    `remembering_opponent`.
    """
    against_column, against_row = game.row @ column, game.column.T @ row
    return float(against_column.max() - row @ against_column), float(against_row.max() - column @ against_row)


def remembering_opponent(
    game: MatrixGame, policy: Float[np.ndarray, "row column row"], *, discount: float = 0.99
) -> FiniteMDP:
    """Build the column player's problem in a repeated game against a fixed policy.

    The state `own · columns + other` holds both players' last moves; the first one is uniform. The optimal value V
    times 1 − γ is the payoff per round of a column player that remembers the last round and knows the policy. If the
    row player ignores the past, it is the payoff of the best response.

    Args:
        game: the game of each round.
        policy: `policy[own, other, move]`, the row player's distribution of the next move given its own and the other
            player's last moves.
        discount: γ.

    Raises:
        UsageError: some `policy[own, other]` is not a distribution.
    """
    rows, columns = game.row.shape
    policy = np.asarray(policy, float)
    if policy.shape != (rows, columns, rows) or np.any(policy < 0) or np.any(np.abs(policy.sum(-1) - 1) > 1e-6):
        raise UsageError(
            f"`policy` must hold a distribution over {rows} moves for each of the {rows}×{columns} pairs of last moves."
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
    """Return a Newton step for logits = centred payoffs/α, and the error before it."""
    rows = game.row.shape[0]
    x, y = _softmax(logits[:rows]), _softmax(logits[rows:])
    target = np.concatenate([_centred(game.row @ y), _centred(game.column.T @ x)]) / temperature
    slope = np.zeros((logits.size, logits.size))
    slope[:rows, rows:] = _centred(game.row @ (np.diag(y) - np.outer(y, y))) / temperature
    slope[rows:, :rows] = _centred(game.column.T @ (np.diag(x) - np.outer(x, x))) / temperature
    error = max(np.abs(_softmax(target[:rows]) - x).max(), np.abs(_softmax(target[rows:]) - y).max())
    return np.linalg.solve(np.eye(logits.size) - slope, target - logits), float(error)


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=0)


def _softmax(logits: Float[np.ndarray, " action"]) -> Float[np.ndarray, " action"]:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
