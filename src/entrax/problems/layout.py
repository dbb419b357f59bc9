"""Maps of gridworlds in text: which cell is which state, and which way each action goes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from entrax.errors import EntraxError

FREE, WALL, START, GOAL, PIT = ".", "#", "S", "G", "X"
SAME = {" ": FREE, "F": FREE, "H": PIT}  # also FrozenLake's letters
DIRECTIONS = {"↑": (-1, 0), "→": (0, 1), "↓": (1, 0), "←": (0, -1)}


@dataclass(frozen=True)
class Layout:
    """A map: rows of equal length of `.` free, `#` wall, `S` start, `G` goal and `X` pit; `F` and `H` are `.` and `X`.

    States are the cells that are no wall, row by row. `moves` has one arrow for each action.
    """

    rows: tuple[str, ...]
    moves: str = "↑→↓←"

    @classmethod
    def parse(cls, text: str, moves: str = "↑→↓←") -> "Layout":
        """The layout that a text shows; empty lines around it don't count."""
        lines = [line.rstrip("\r") for line in text.split("\n")]
        while lines and not lines[0].strip():
            del lines[0]
        while lines and not lines[-1].strip():
            del lines[-1]
        if not lines:
            raise EntraxError("The map is empty.")
        known = {FREE, WALL, START, GOAL, PIT}
        rows = tuple("".join(SAME.get(letter, letter) for letter in line) for line in lines)
        for number, row in enumerate(rows):
            if len(row) != len(rows[0]):
                raise EntraxError(f"Row {number} of the map has {len(row)} cells, and row 0 has {len(rows[0])}.")
            if strange := set(row) - known:
                raise EntraxError(f"Row {number} of the map has {min(strange)!r}: cells are . # S G X, or F and H.")
        if not moves or not set(moves) <= DIRECTIONS.keys():
            raise EntraxError(f"The moves are {moves!r}: they must be arrows, one of ↑→↓← for each action.")
        if all(cell == WALL for row in rows for cell in row):
            raise EntraxError("The map has nothing but walls.")
        return cls(rows, moves)

    @cached_property
    def cells(self) -> np.ndarray:
        """The letters, shape (height, width)."""
        joined = "".join(self.rows).encode("ascii")
        return np.frombuffer(joined, "S1").reshape(len(self.rows), len(self.rows[0]))

    @cached_property
    def state(self) -> Int[np.ndarray, "height width"]:
        """The state of each cell; −1 in walls."""
        free = self.cells != WALL.encode()
        return np.where(free, np.cumsum(free).reshape(free.shape) - 1, -1)

    @cached_property
    def place(self) -> Int[np.ndarray, "state 2"]:
        """Row and column of each state."""
        return np.argwhere(self.state >= 0)

    @cached_property
    def directions(self) -> Int[np.ndarray, "action 2"]:
        """The step of each action, down and to the right."""
        return np.array([DIRECTIONS[move] for move in self.moves])

    def where(self, letter: str) -> Bool[np.ndarray, " state"]:
        """Which states have this letter."""
        return self.cells[tuple(self.place.T)] == letter.encode()

    def step(self, direction: str) -> Int[np.ndarray, " state"]:
        """Where a step in the direction of an arrow leads from each state; walls and the edge leave it in place."""
        height, width = self.state.shape
        target = self.place + DIRECTIONS[direction]
        inside = np.all((target >= 0) & (target < (height, width)), axis=1)
        reached = self.state[tuple(np.where(inside[:, None], target, self.place).T)]
        return np.where(reached >= 0, reached, np.arange(len(reached)))
