"""Four equal goals around a point: a soft policy reaches all of them, a deterministic one reaches one.

    x₀ ~ N(0, 0.1²),  x' = x + a within [-7, 7]²,  a in [-1, 1]²
    r  = -30 |a|² - min_g |x' - g|², and 10 more when |x' - g| < 1, which ends the episode
    goals g: (5, 0), (-5, 0), (0, 5), (0, -5)

Steps are costly and the goals equal: an optimal policy at temperature 0 may walk to any of them, and that at a
temperature around 10 walks to all of them equally often. Registered as `entrax/MultiGoal-v0`, with at most 30 steps.

Source: Haarnoja et al. (2017), arXiv:1702.08165, section 5.1 and appendix.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, UInt8

from entrax.errors import UsageError

GOALS = np.array([[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0], [0.0, -5.0]])
WALL = 7.0
REACH = 1.0
REWARD_OF_GOAL, COST_OF_ACTION = 10.0, 30.0
START_STD = 0.1

PIXELS, MARGIN = 400, 0.5  # the picture's side, and the margin around the walls
WHITE, GREY, GREEN, BLUE, RED = (255, 255, 255), (205, 205, 210), (150, 205, 165), (90, 130, 190), (200, 60, 70)

Point = Float[np.ndarray, " 2"]


class MultiGoal(gymnasium.Env[np.ndarray, np.ndarray]):
    """Observes the position (2 float32).

    `info["goal"]` is the index in `GOALS` of the goal reached, else -1.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  # Gymnasium's own declaration
    observation_space = spaces.Box(-WALL, WALL, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, render_mode: str | None = None):
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"`render_mode` must be 'rgb_array' or None, got {render_mode!r}.")
        self.render_mode = render_mode
        self.path: list[Point] = [np.zeros(2)]
        """The positions of the episode so far."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, " 2"], dict[str, Any]]:
        super().reset(seed=seed)
        self.path = [self.np_random.normal(0.0, START_STD, 2)]
        return self.path[-1].astype(np.float32), {}

    def step(
        self, action: Float[np.ndarray, " 2"]
    ) -> tuple[Float[np.ndarray, " 2"], float, bool, bool, dict[str, Any]]:
        """Take one step; actions are clipped to [-1, 1]."""
        action = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        position = np.clip(self.path[-1] + action, -WALL, WALL)
        self.path.append(position)
        squares = np.sum((position - GOALS) ** 2, axis=1)
        nearest = int(np.argmin(squares))
        reached = bool(squares[nearest] < REACH**2)
        reward = -COST_OF_ACTION * np.sum(action**2) - squares[nearest] + REWARD_OF_GOAL * reached
        return position.astype(np.float32), float(reward), reached, False, {"goal": nearest if reached else -1}

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """Draw the plane from above: walls, goals, path and point.

        Returns None unless made with "rgb_array".
        """
        if self.render_mode is None:
            return None
        picture = np.full((PIXELS, PIXELS, 3), GREY, np.float64)
        inside = slice(*(round(_pixel(end)) for end in (-WALL, WALL)))
        picture[inside, inside] = WHITE
        for goal in GOALS:
            _stroke(picture, goal, goal, REACH, GREEN)
        for start, end in zip(self.path[:-1], self.path[1:], strict=True):
            _stroke(picture, start, end, 0.05, BLUE)
        _stroke(picture, self.path[-1], self.path[-1], 0.2, RED)
        return picture[::-1].round().astype(np.uint8)  # the first row is the largest y


def _pixel(coordinate: float) -> float:
    return (coordinate + WALL + MARGIN) * PIXELS / (2 * (WALL + MARGIN))


def _stroke(
    picture: Float[np.ndarray, "height width 3"], start: Point, end: Point, radius: float, colour: tuple[int, int, int]
) -> None:
    """Draw all points within `radius` of a segment, with a smooth edge; a disc if the ends coincide."""
    per_pixel = 2 * (WALL + MARGIN) / PIXELS
    low, high = np.minimum(start, end) - radius - per_pixel, np.maximum(start, end) + radius + per_pixel
    columns, rows = (slice(max(0, int(_pixel(low[i]))), int(_pixel(high[i])) + 1) for i in range(2))
    places = (np.arange(PIXELS) + 0.5) * per_pixel - WALL - MARGIN
    x, y = places[columns][None, :], places[rows][:, None]
    along = end - start
    share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / max(float(along @ along), 1e-12)
    share = np.clip(share, 0.0, 1.0)
    distance = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
    opacity = np.clip(0.5 + (radius - distance) / per_pixel, 0.0, 1.0)[:, :, None]
    picture[rows, columns] += opacity * (np.asarray(colour) - picture[rows, columns])
