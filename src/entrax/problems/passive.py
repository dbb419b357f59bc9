"""Arguments of linearly solvable problems: walks on a line and on maps."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy import sparse

from entrax.errors import UsageError
from entrax.problems.layout import GOAL, PIT, Layout

Number = float | int


def random_walk(length: int, cost: ArrayLike | Number, final_costs: tuple[Any, Any], up: Any) -> dict[str, Any]:
    """Return the arguments of a walk on 0 to `length`, with an exit at both ends."""
    if length < 2:
        raise UsageError(f"`length` must be at least 2, got {length}.")
    if not 0 < up < 1:
        raise UsageError(f"`up` must lie strictly between 0 and 1, got {up}.")
    above, below = np.full(length, float(up)), np.full(length, 1 - float(up))
    above[0] = below[-1] = 0.0
    costs = _by_state(cost, length + 1)
    costs[[0, length]] = final_costs
    passive = sparse.csr_array(sparse.diags_array([below, above], offsets=[-1, 1]))
    return {"passive": passive, "cost": costs, "exits": np.array([0, length])}


def grid(layout: Layout, cost: ArrayLike | Number, goal_cost: Any, pit_cost: Any) -> dict[str, Any]:
    """Return the arguments of a random walk on a map."""
    goal, pit = layout.where(GOAL), layout.where(PIT)
    states, moves = len(goal), len(layout.moves)
    costs = _by_state(cost, states)
    costs[goal], costs[pit] = goal_cost, pit_cost
    reached = np.concatenate([layout.step(move) for move in layout.moves])
    entries = (np.full(len(reached), 1 / moves), (np.tile(np.arange(states), moves), reached))
    return {"passive": sparse.csr_array(entries, (states, states)), "cost": costs, "exits": goal | pit}


def with_exit_costs(
    cost: Float[np.ndarray, "*time state"], exits: Bool[np.ndarray, " state"], exit_cost: ArrayLike, kind: str
) -> Float[np.ndarray, " state"]:
    """Return `cost` with other costs of the exits."""
    given, number = np.asarray(exit_cost, float), np.count_nonzero(exits)
    if kind != "first-exit":
        raise UsageError(f"Final costs of exits can be replaced for the kind first-exit only, got {kind}.")
    if given.shape != (number,):
        raise UsageError(f"`cost` must have shape ({number},), one entry for each exit, got {given.shape}.")
    changed = cost.copy()
    changed[exits] = given
    return changed


def _by_state(cost: ArrayLike | Number, states: int) -> Float[np.ndarray, " state"]:
    given = np.asarray(cost, float)
    if given.shape not in ((), (states,)):
        raise UsageError(f"`cost` must be one number or have shape ({states},), got shape {given.shape}.")
    return np.array(np.broadcast_to(given, (states,)))
