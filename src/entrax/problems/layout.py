"""Text maps of gridworlds: states of cells and directions of actions."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from entrax.errors import UsageError

FREE, WALL, START, GOAL, PIT = ".", "#", "S", "G", "X"
SAME = {" ": FREE, "F": FREE, "H": PIT}  # other letters for the same cells, such as FrozenLake's
DIRECTIONS = {"↑": (-1, 0), "→": (0, 1), "↓": (1, 0), "←": (0, -1)}


@dataclass(frozen=True)
class Layout:
    """A map of `.` free, `#` wall, `S` start, `G` goal and `X` pit.

    `F` means `.`, and `H` means `X`.

    Attributes:
        rows: rows of equal length. States are the cells that are not walls, numbered row by row.
        moves: one arrow for each action.
    """

    rows: tuple[str, ...]
    moves: str = "↑→↓←"

    @classmethod
    def parse(cls, text: str, moves: str = "↑→↓←") -> "Layout":
        """Parse a map; empty lines before and after it are ignored.

        Raises:
            UsageError: the map is not valid.
        """
        lines = [line.rstrip("\r") for line in text.split("\n")]
        while lines and not lines[0].strip():
            del lines[0]
        while lines and not lines[-1].strip():
            del lines[-1]
        if not lines:
            raise UsageError("The map is empty.")
        known = {FREE, WALL, START, GOAL, PIT}
        rows = tuple("".join(SAME.get(letter, letter) for letter in line) for line in lines)
        for number, row in enumerate(rows):
            if len(row) != len(rows[0]):
                raise UsageError(
                    f"All rows of the map must have the same length; row 0 has {len(rows[0])} cells, "
                    f"row {number} has {len(row)}."
                )
            if unknown := set(row) - known:
                raise UsageError(
                    f"Cells of the map must be one of . # S G X F H, got {min(unknown)!r} in row {number}."
                )
        if not moves or not set(moves) <= DIRECTIONS.keys():
            raise UsageError(f"`moves` must have one arrow of ↑→↓← for each action, got {moves!r}.")
        if all(cell == WALL for row in rows for cell in row):
            raise UsageError("The map must have a cell that is not a wall.")
        return cls(rows=rows, moves=moves)

    @cached_property
    def cells(self) -> np.ndarray:
        """The letters as bytes, shape (height, width)."""
        joined = "".join(self.rows).encode("ascii")
        return np.frombuffer(joined, "S1").reshape(len(self.rows), len(self.rows[0]))

    @cached_property
    def state(self) -> Int[np.ndarray, "height width"]:
        """The state of each cell; −1 for walls."""
        free = self.cells != WALL.encode()
        return np.where(free, np.cumsum(free).reshape(free.shape) - 1, -1)

    @cached_property
    def place(self) -> Int[np.ndarray, "state 2"]:
        """Row and column of each state."""
        return np.argwhere(self.state >= 0)

    @cached_property
    def directions(self) -> Int[np.ndarray, "action 2"]:
        """The step of each action, as (rows down, columns right)."""
        return np.array([DIRECTIONS[move] for move in self.moves])

    def where(self, letter: str) -> Bool[np.ndarray, " state"]:
        """Return which states have this letter."""
        return self.cells[tuple(self.place.T)] == letter.encode()

    def step(self, direction: str) -> Int[np.ndarray, " state"]:
        """Return the state after a step; walls and the edge block it."""
        height, width = self.state.shape
        target = self.place + DIRECTIONS[direction]
        inside = np.all((target >= 0) & (target < (height, width)), axis=1)
        reached = self.state[tuple(np.where(inside[:, None], target, self.place).T)]
        return np.where(reached >= 0, reached, np.arange(len(reached)))
