"""A point in a square room with two lines: one goal for each line, and one for both.

    r_x    = -|x - 1|,  r_y = -|y + 1|,  r_both = (r_x + r_y) / 2    after the step

`goal="x"` leaves y free and `goal="y"` leaves x free. `goal="both"` is exactly their mean, for which the policies of
the two can be composed without learning: all three have the same spaces, dynamics and starts. The force couples them:
it is bounded by the unit disc, so that a full force along x leaves none along y. The point starts anywhere in the room,
nearly at rest.
Registered as `entrax/PointLines-v0`, with at most 50 steps of 0.1 s.

Source of the idea: Haarnoja et al. (2018), arXiv:1803.06773, section V, with an arm; see `entrax.environments.pusher`.
"""

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from entrax.environments.canvas import GREEN, WALL, Canvas
from entrax.environments.point import RADIUS, TOP_SPEED, Motion, PointEnv, Vectors, distance, free
from entrax.errors import require_one_of

WEIGHTS: dict[str, tuple[float, float]] = {"x": (1.0, 0.0), "y": (0.0, 1.0), "both": (0.5, 0.5)}
"""The weights of the two coordinates' distances, by goal."""
AIM = np.array([1.0, -1.0])
"""The crossing of the lines x = 1 and y = -1."""
ROOM = 4.0
"""Half of the room's side."""
SPEED_STD = 0.1
THICKNESS, PIXELS = 0.3, 50.0  # of the drawn walls; pixels to a unit of length


def step(motion: Motion, action: Vectors, weights: Float[Any, " 2"]) -> tuple[Motion, Float[Any, "*batch"]]:
    """Return the next motion of points in the room, and their rewards.

    `weights` is a value of `WEIGHTS`.
    """
    xp = action.__array_namespace__()
    moved = free(motion, action)
    position = xp.clip(moved.position, RADIUS - ROOM, ROOM - RADIUS)
    velocity = xp.where(position == moved.position, moved.velocity, 0.0)
    return Motion(position, velocity), -xp.abs(position - xp.asarray(AIM)) @ xp.asarray(weights)


class PointLines(PointEnv):
    """Observes position and velocity (4 float32).

    `info` holds the distances `x` and `y` from the lines.
    """

    observation_space = spaces.Box(
        np.array([-ROOM, -ROOM, -TOP_SPEED, -TOP_SPEED], np.float32),
        np.array([ROOM, ROOM, TOP_SPEED, TOP_SPEED], np.float32),
    )

    def __init__(self, goal: str = "both", render_mode: str | None = None):
        require_one_of("goal", goal, WEIGHTS)
        self.weights = np.array(WEIGHTS[goal])
        super().__init__(render_mode)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, " 4"], dict[str, Any]]:
        super().reset(seed=seed)
        place = self.np_random.uniform(RADIUS - ROOM, ROOM - RADIUS, 2)
        velocity = self.np_random.normal(0.0, SPEED_STD, 2)
        self.start(Motion(place, velocity * min(1.0, TOP_SPEED / float(distance(velocity)))))
        return self._observed(), self._offsets()

    def step(
        self, action: Float[np.ndarray, " 2"]
    ) -> tuple[Float[np.ndarray, " 4"], float, bool, bool, dict[str, Any]]:
        """Take one step; never terminates."""
        motion, reward = step(self.motion, np.asarray(action, np.float64), self.weights)
        self.go(motion)
        return self._observed(), float(reward), False, False, self._offsets()

    def _observed(self) -> Float[np.ndarray, " 4"]:
        return np.concatenate(self.motion).astype(np.float32)

    def _offsets(self) -> dict[str, Any]:
        x, y = np.abs(self.motion.position - AIM).tolist()
        return {"x": x, "y": y}

    def draw(self) -> Canvas:
        """Draw the room, with the rewarded lines in green."""
        edge = ROOM + THICKNESS
        canvas = Canvas(np.full(2, -edge), np.full(2, edge), PIXELS)
        canvas.grid()
        for low, high in ((-edge, -ROOM), (ROOM, edge)):
            canvas.box(np.array([low, -edge]), np.array([high, edge]), WALL)
            canvas.box(np.array([-edge, low]), np.array([edge, high]), WALL)
        for axis in np.flatnonzero(self.weights):
            start, end = np.full(2, -ROOM), np.full(2, ROOM)
            start[axis] = end[axis] = AIM[axis]
            canvas.stroke(start, end, 0.06, GREEN)
        return canvas
