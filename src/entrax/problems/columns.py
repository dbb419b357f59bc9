"""Transitions as columns: what lists of them, tables of environments and observed data are read into."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from entrax.errors import EntraxError
from entrax.problems.checks import first

MAX_ROWS = 2**34
"""Rows (state, action) beyond which a problem is taken for a mistake in the numbering."""


@dataclass(frozen=True)
class Columns:
    """Transitions as arrays of equal length; `states` and `actions` are the sizes of the problem."""

    state: Int[np.ndarray, " entry"]
    action: Int[np.ndarray, " entry"]
    probability: Float[np.ndarray, " entry"]
    next_state: Int[np.ndarray, " entry"]
    reward: Float[np.ndarray, " entry"]
    terminated: Bool[np.ndarray, " entry"]
    states: int
    actions: int

    @staticmethod
    def read(given: dict[str, Any], states: int | None, actions: int | None) -> "Columns":
        """Columns of the right types and lengths, with indices in range. A single number stands for all entries.

        The sizes are the largest index and one where they are None.
        """
        columns = broadcast({name: typed(column, name) for name, column in given.items()})
        largest = {name: int(columns[name].max()) for name in ("state", "next_state", "action")}
        states = max(largest["state"], largest["next_state"]) + 1 if states is None else states
        actions = largest["action"] + 1 if actions is None else actions
        if states * actions > MAX_ROWS:
            raise EntraxError(f"{states} states of {actions} actions are more than fit: number them from 0 on.")
        for name, size in (("state", states), ("next_state", states), ("action", actions)):
            column = columns[name]
            if (column.min() < 0 or largest[name] >= size) and (bad := first((column < 0) | (column >= size))):
                raise EntraxError(f"Transition {bad[0]} has {name} {column[bad]}: it must lie in 0 to {size - 1}.")
        return Columns(**columns, states=states, actions=actions)

    @property
    def row(self) -> Int[np.ndarray, " entry"]:
        """s·A + a of each transition."""
        return self.state * np.int64(self.actions) + self.action

    @property
    def ends(self) -> Bool[np.ndarray, " entry"]:
        """Which transitions can happen and end the episode."""
        return self.terminated & (self.probability > 0)

    @property
    def goes_on(self) -> Bool[np.ndarray, " entry"]:
        """Which transitions can happen and do not end the episode."""
        return ~self.terminated & (self.probability > 0)

    def entered(self, by: Bool[np.ndarray, " entry"]) -> Bool[np.ndarray, " state"]:
        """States that some of the transitions lead to."""
        reached = np.zeros(self.states, bool)
        reached[self.next_state[by]] = True
        return reached

    def seen(self) -> Bool[np.ndarray, "state action"]:
        """Which actions of which states have a transition that can happen."""
        found = np.zeros((self.states, self.actions), bool)
        found.ravel()[self.row[self.probability != 0]] = True
        return found


def typed(given: Any, name: str) -> np.ndarray:
    """A column as whole numbers, numbers or booleans, as its name asks."""
    column = np.asarray(given)
    if name == "terminated":
        return column.astype(bool, copy=False)
    if name in ("probability", "reward"):
        return column.astype(float, copy=False)
    if column.size and column.dtype.kind not in "iu":
        raise EntraxError(f"{name} has type {column.dtype}: it must hold integers.")
    return column.astype(np.int64, copy=False)


def broadcast(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns in the length of `state`."""
    shape = columns["state"].shape
    if len(shape) != 1 or shape == (0,):
        raise EntraxError("There are no transitions." if 0 in shape else f"state has shape {shape}: it must be a list.")
    for name, column in columns.items():
        if column.shape not in ((), shape):
            raise EntraxError(f"{name} has shape {column.shape} and state {shape}: they must be the same.")
    return {name: np.broadcast_to(column, shape) for name, column in columns.items()}
