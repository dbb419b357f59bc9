"""Pictures of the plane from above, drawn with NumPy alone: no screen and no OpenGL are required."""

import itertools

import numpy as np
from jaxtyping import Float, UInt8

Colour = tuple[int, int, int]
Point = Float[np.ndarray, " 2"]

WHITE, LINE, WALL = (255, 255, 255), (226, 228, 233), (92, 96, 108)
GREEN, BLUE, RED, ORANGE = (150, 205, 165), (90, 130, 190), (200, 60, 70), (235, 150, 70)


class Canvas:
    """A picture of a rectangle of the plane.

    `low` and `high` are its corners; `scale` is the number of pixels to a unit of length.
    """

    def __init__(self, low: Point, high: Point, scale: float):
        self.low, self.scale = np.asarray(low, np.float64), scale
        columns, rows = (round(float(extent) * scale) for extent in np.asarray(high) - self.low)
        self.picture = np.full((rows, columns, 3), WHITE, np.float64)

    def grid(self, spacing: float = 1.0) -> None:
        """Draw faint lines at the multiples of `spacing`, which make motion visible."""
        high = self.low + np.array(self.picture.shape[1::-1]) / self.scale
        for axis in range(2):
            for at in spacing * np.arange(np.ceil(self.low[axis] / spacing), high[axis] / spacing):
                start, end = self.low.copy(), high.copy()
                start[axis] = end[axis] = at
                self.stroke(start, end, 0.5 / self.scale, LINE)

    def box(self, low: Point, high: Point, colour: Colour) -> None:
        """Fill an axis-aligned rectangle."""
        first, last = (np.maximum(0, np.round((np.asarray(end) - self.low) * self.scale)) for end in (low, high))
        self.picture[int(first[1]) : int(last[1]), int(first[0]) : int(last[0])] = colour

    def stroke(self, start: Point, end: Point, radius: float, colour: Colour) -> None:
        """Draw all points within `radius` of a segment, with a smooth edge.

        Draws a disc if the ends coincide.
        """
        rows, columns = self.picture.shape[:2]
        edge = radius + 1.0 / self.scale
        first = np.floor((np.minimum(start, end) - edge - self.low) * self.scale).clip(0, (columns, rows)).astype(int)
        last = np.ceil((np.maximum(start, end) + edge - self.low) * self.scale).clip(0, (columns, rows)).astype(int)
        x, y = ((np.arange(first[i], last[i]) + 0.5) / self.scale + self.low[i] for i in range(2))
        along = np.subtract(end, start)
        right, up = x[None, :] - start[0], y[:, None] - start[1]
        share = np.clip((right * along[0] + up * along[1]) / max(float(along @ along), 1e-12), 0.0, 1.0)
        distance = np.hypot(right - share * along[0], up - share * along[1])
        opacity = np.clip(0.5 + (radius - distance) * self.scale, 0.0, 1.0)[:, :, None]
        area = self.picture[first[1] : last[1], first[0] : last[0]]
        area += opacity * (np.asarray(colour) - area)

    def path(self, points: Float[np.ndarray, "t 2"], radius: float, colour: Colour) -> None:
        """Draw strokes from each point to the next."""
        for start, end in itertools.pairwise(points):
            self.stroke(start, end, radius, colour)

    def pixels(self) -> UInt8[np.ndarray, "height width 3"]:
        """Return the picture; its first row is the largest y."""
        return self.picture[::-1].round().astype(np.uint8)
