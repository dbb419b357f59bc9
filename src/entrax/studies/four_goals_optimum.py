"""The soft optimum of `entrax/MultiGoal-v0`, by value iteration on a grid.

Cells are 0.1 by 0.1, and there are 21 by 21 actions.

Walls stop a move. With w the weights of the trapezoidal rule over actions,

    u(y) = -min_g |y - g|² + 10 reached(y) + γ V(y) (1 - reached(y))            the value on entering y
    Z(x) = Σ_a w_a exp((u(x + a) - 30 |a|²) / α),    V(x) = α log Z(x)

Since |a|² is a sum over both axes and walls stop each axis separately, the sum over actions is a product of matrices,
M exp(u/α) Mᵀ. The distribution of states under the policy is propagated for an episode, also by matrices.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.environments.multigoal import COST_OF_ACTION, GOALS, REACH, REWARD_OF_GOAL, START_STD, WALL

CELL, STEPS = 0.1, 30
TOLERANCE = 1e-9  # the change of V at which the sweeps stop; returns are around -200

Grid = Float[np.ndarray, "x y"]


def optimum(temperature: float, discount: float = 0.99) -> dict[str, Any]:
    """Return the optimum's share of episodes that end in each goal, and mean return.

    Returns are undiscounted and without entropy.
    """
    places, moves, squares = axis_tables(temperature)
    paid, nearest, reached = goals(places)
    value = solve(temperature, discount)
    worth = paid + discount * np.where(reached, 0.0, value)
    weight = np.exp((worth - worth.max()) / temperature)
    total = moves @ weight @ moves.T
    square = (squares @ weight @ moves.T + moves @ weight @ squares.T) / total  # E |a|² in every place
    start = np.exp(-0.5 * (places / START_STD) ** 2)
    at = np.outer(start, start) / start.sum() ** 2
    shares, total_reward = np.zeros(len(GOALS)), 0.0
    for _ in range(STEPS):
        total_reward -= COST_OF_ACTION * float(np.sum(at * square))
        at = weight * (moves.T @ (at / total) @ moves)
        total_reward += float(np.sum(at * paid))
        shares += np.bincount(nearest[reached], weights=at[reached], minlength=len(GOALS))
        at = np.where(reached, 0.0, at)
    return {"shares": shares, "return": total_reward}


def solve(temperature: float, discount: float) -> Grid:
    """Compute V by value iteration."""
    places, moves, _ = axis_tables(temperature)
    paid, _, reached = goals(places)
    value, change = np.zeros(paid.shape), np.inf
    while change > TOLERANCE:
        worth = paid + discount * np.where(reached, 0.0, value)
        top = worth.max()
        new = temperature * np.log(moves @ np.exp((worth - top) / temperature) @ moves.T) + top
        value, change = new, float(np.abs(new - value).max())
    return value


def axis_tables(temperature: float) -> tuple[Float[np.ndarray, " x"], Grid, Grid]:
    """Return the positions along one axis and the tables of its moves.

    The tables hold, from each position (row) to each, Σ w_a exp(-30 a²/α) and Σ w_a a² exp(-30 a²/α).
    """
    side, most = round(WALL / CELL), round(1.0 / CELL)
    places = CELL * np.arange(-side, side + 1)
    moves, squares = np.zeros((2, len(places), len(places)))
    for step in range(-most, most + 1):
        a = CELL * step
        weight = CELL * (0.5 if abs(step) == most else 1.0) * np.exp(-COST_OF_ACTION * a**2 / temperature)
        rows = np.arange(len(places))
        successors = np.clip(rows + step, 0, len(places) - 1)
        moves[rows, successors] += weight
        squares[rows, successors] += weight * a**2
    return places, moves, squares


def goals(places: Float[np.ndarray, " x"]) -> tuple[Grid, np.ndarray, np.ndarray]:
    """Return every position's reward on entry, nearest goal, and whether it is an end."""
    apart = np.stack([(places[:, None] - x) ** 2 + (places[None, :] - y) ** 2 for x, y in GOALS])
    squares = apart.min(axis=0)
    reached = squares < REACH**2
    return REWARD_OF_GOAL * reached - squares, apart.argmin(axis=0), reached
