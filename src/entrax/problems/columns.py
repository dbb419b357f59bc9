"""Transitions as columns, the common form of lists, tables and observed data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from entrax.errors import UsageError
from entrax.problems.checks import first

MAX_ROWS = 2**34
"""The largest number of rows (state, action). More of them indicate wrongly numbered states."""


@dataclass(frozen=True)
class Columns:
    """Transitions as arrays of equal length, and the sizes of the problem."""

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
        """Convert columns to the right types and lengths and check the range of indices.

        A single number is broadcast to all entries. A size that is None is the largest index plus 1.

        Raises:
            UsageError: a column has the wrong type or shape, or an index is out of range.
        """
        columns = broadcast({name: typed(column, name) for name, column in given.items()})
        largest = {name: int(columns[name].max()) for name in ("state", "next_state", "action")}
        states = max(largest["state"], largest["next_state"]) + 1 if states is None else states
        actions = largest["action"] + 1 if actions is None else actions
        if states * actions > MAX_ROWS:
            raise UsageError(
                f"At most {MAX_ROWS} pairs of state and action are supported, got {states} states and {actions} "
                "actions. Number states and actions from 0."
            )
        for name, size in (("state", states), ("next_state", states), ("action", actions)):
            column = columns[name]
            if (column.min() < 0 or largest[name] >= size) and (bad := first((column < 0) | (column >= size))):
                raise UsageError(f"`{name}` must lie in 0 to {size - 1}, got {column[bad]} in transition {bad[0]}.")
        return Columns(**columns, states=states, actions=actions)

    @property
    def row(self) -> Int[np.ndarray, " entry"]:
        """s·A + a of each transition."""
        return self.state * np.int64(self.actions) + self.action

    @property
    def ends(self) -> Bool[np.ndarray, " entry"]:
        """Which transitions are possible and end the episode."""
        return self.terminated & (self.probability > 0)

    @property
    def continues(self) -> Bool[np.ndarray, " entry"]:
        """Which transitions are possible and do not end the episode."""
        return ~self.terminated & (self.probability > 0)

    def successors(self, chosen: Bool[np.ndarray, " entry"]) -> Bool[np.ndarray, " state"]:
        """Return which states the `chosen` transitions lead to."""
        reached = np.zeros(self.states, bool)
        reached[self.next_state[chosen]] = True
        return reached

    def available(self) -> Bool[np.ndarray, "state action"]:
        """Return which actions of which states have a possible transition."""
        available = np.zeros((self.states, self.actions), bool)
        available.ravel()[self.row[self.probability != 0]] = True
        return available


def typed(given: Any, name: str) -> np.ndarray:
    """Convert a column to integers, floats or booleans, depending on its name."""
    column = np.asarray(given)
    if name == "terminated":
        return column.astype(bool, copy=False)
    if name in ("probability", "reward"):
        return column.astype(float, copy=False)
    if column.size and column.dtype.kind not in "iu":
        raise UsageError(f"`{name}` must hold integers, got type {column.dtype}.")
    return column.astype(np.int64, copy=False)


def broadcast(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Broadcast the columns to the length of `state`."""
    shape = columns["state"].shape
    if len(shape) != 1 or shape == (0,):
        raise UsageError(
            "There must be at least one transition." if 0 in shape else f"`state` must be a list, got shape {shape}."
        )
    for name, column in columns.items():
        if column.shape not in ((), shape):
            raise UsageError(f"`{name}` must have the shape of `state`, {shape}, got {column.shape}.")
    return {name: np.broadcast_to(column, shape) for name, column in columns.items()}
