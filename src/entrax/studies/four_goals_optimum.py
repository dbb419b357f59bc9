"""The soft optimum of `entrax/MultiGoal-v0` on a grid of 0.1 by 0.1, with 21 by 21 actions: what a learner can aim at.

With walls that stop a move, and w the weights of the trapezoidal rule over actions,

    u(y) = -min_g |y - g|² + 10 reached(y) + γ V(y) (1 - reached(y))            what y is worth once one is there
    Z(x) = Σ_a w_a exp((u(x + a) - 30 |a|²) / α),    V(x) = α log Z(x)

Since |a|² is a sum over both axes and walls stop each of them alone, the sum over actions is a product of matrices,
M exp(u/α) Mᵀ. The policy is followed from the start for as many steps as an episode has, also by matrices.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.environments.multigoal import COST_OF_ACTION, GOALS, REACH, REWARD_OF_GOAL, START_STD, WALL

CELL, STEPS = 0.1, 30
TOLERANCE = 1e-9  # the change of V at which the sweeps stop; returns are around -200

Grid = Float[np.ndarray, "x y"]


def optimum(temperature: float, discount: float = 0.99) -> dict[str, Any]:
    """The share of episodes that end in each goal, and their mean return (plain, undiscounted), from the start on."""
    places, moves, squares = lines(temperature)
    paid, nearest, reached = goals(places)
    value = solve(temperature, discount)
    worth = paid + discount * np.where(reached, 0.0, value)
    weight = np.exp((worth - worth.max()) / temperature)
    total = moves @ weight @ moves.T
    square = (squares @ weight @ moves.T + moves @ weight @ squares.T) / total  # E |a|² in every place
    start = np.exp(-0.5 * (places / START_STD) ** 2)
    at = np.outer(start, start) / start.sum() ** 2
    shares, earned = np.zeros(len(GOALS)), 0.0
    for _ in range(STEPS):
        earned -= COST_OF_ACTION * float(np.sum(at * square))
        at = weight * (moves.T @ (at / total) @ moves)
        earned += float(np.sum(at * paid))
        shares += np.bincount(nearest[reached], weights=at[reached], minlength=len(GOALS))
        at = np.where(reached, 0.0, at)
    return {"shares": shares, "return": earned}


def solve(temperature: float, discount: float) -> Grid:
    """V by value iteration."""
    places, moves, _ = lines(temperature)
    paid, _, reached = goals(places)
    value, change = np.zeros(paid.shape), np.inf
    while change > TOLERANCE:
        worth = paid + discount * np.where(reached, 0.0, value)
        top = worth.max()
        new = temperature * np.log(moves @ np.exp((worth - top) / temperature) @ moves.T) + top
        value, change = new, float(np.abs(new - value).max())
    return value


def lines(temperature: float) -> tuple[Float[np.ndarray, " x"], Grid, Grid]:
    """Of one axis: the places; from each (row) to each the sum of w_a exp(-30 a²/α); and that sum with a² in it."""
    side, most = round(WALL / CELL), round(1.0 / CELL)
    places = CELL * np.arange(-side, side + 1)
    moves, squares = np.zeros((2, len(places), len(places)))
    for step in range(-most, most + 1):
        a = CELL * step
        weight = CELL * (0.5 if abs(step) == most else 1.0) * np.exp(-COST_OF_ACTION * a**2 / temperature)
        rows = np.arange(len(places))
        there = np.clip(rows + step, 0, len(places) - 1)
        moves[rows, there] += weight
        squares[rows, there] += weight * a**2
    return places, moves, squares


def goals(places: Float[np.ndarray, " x"]) -> tuple[Grid, np.ndarray, np.ndarray]:
    """For every place: what coming there pays, the nearest goal, and whether the episode ends."""
    apart = np.stack([(places[:, None] - x) ** 2 + (places[None, :] - y) ** 2 for x, y in GOALS])
    squares = apart.min(axis=0)
    reached = squares < REACH**2
    return REWARD_OF_GOAL * reached - squares, apart.argmin(axis=0), reached
