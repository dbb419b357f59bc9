"""Random maps, for studies on problems with known answers."""

import numpy as np
from jaxtyping import Bool

from entrax.problems import Layout


def random_layout(seed: int, side: int, free: int, goals: int = 1) -> Layout:
    """Return a map on which random cells became walls, as long as the others stay connected.

    Args:
        seed: of the map.
        side: its height and width, in cells.
        free: the number of cells that are not walls.
        goals: how many of them are goals.
    """
    rng = np.random.default_rng(seed)
    open_cells = np.ones((side, side), bool)
    for place in rng.permutation(side * side):
        if open_cells.sum() == free:
            break
        open_cells.flat[place] = False
        open_cells.flat[place] = not connected(open_cells)
    cells = np.flatnonzero(open_cells)
    letters = np.where(open_cells, ".", "#")
    letters.flat[rng.choice(cells) if goals == 1 else rng.choice(cells, goals, replace=False)] = "G"
    return Layout.parse("\n".join("".join(row) for row in letters))


def connected(free: Bool[np.ndarray, "row column"]) -> bool:
    """Return whether all free cells can reach each other."""
    from scipy import ndimage

    return int(ndimage.label(free)[1]) == 1
