"""A point with momentum in the plane: pure functions of NumPy or JAX arrays, for one point or a batch.

    v' = v + dt (F u - c v),  x' = x + dt v',  u = a / max(1, |a|)  with a in [-1, 1]²
    dt = 0.1,  F = 4,  c = 2

The force is limited to the unit disc, so that all directions are equal. The speed tends to F / c = 2 with a time
constant of about half a second, so that turning round takes time.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float, UInt8

from entrax.environments.canvas import BLUE, RED, Canvas
from entrax.errors import UsageError

DT = 0.1
"""The length of a step in seconds."""
FORCE, DAMPING = 4.0, 2.0
TOP_SPEED = FORCE / DAMPING
RADIUS = 0.2
"""The radius of the point's body, which walls stop."""
START_STD = 0.1
"""The standard deviation of the initial position and velocity."""

Vectors = Float[Any, "*batch 2"]


class Motion(NamedTuple):
    """Position and velocity of a point."""

    position: Vectors
    velocity: Vectors


def free(motion: Motion, action: Vectors) -> Motion:
    """Take one step without obstacles."""
    xp = action.__array_namespace__()
    action = xp.clip(action, -1.0, 1.0)
    force = action / xp.maximum(xp.linalg.vector_norm(action, axis=-1, keepdims=True), 1.0)
    velocity = motion.velocity + DT * (FORCE * force - DAMPING * motion.velocity)
    return Motion(motion.position + DT * velocity, velocity)


def stopped(motion: Motion, moved: Motion, boxes: Float[Any, "box 2 2"], solid: Bool[Any, "*batch box"]) -> Motion:
    """Limit the step from `motion` to `moved` by solid axis-aligned boxes.

    The body slides along boxes and loses the speed towards them. It moves along x and then along y, and never jumps
    across a box, however thin.

    Args:
        motion: before the step.
        moved: after the step, without obstacles.
        boxes: lower and upper corners.
        solid: which of the boxes are solid.
    """
    xp = moved.position.__array_namespace__()
    low, high = boxes[:, 0] - RADIUS, boxes[:, 1] + RADIUS
    place = [motion.position[..., i] for i in range(2)]
    speed = [moved.velocity[..., i] for i in range(2)]
    for i, across in ((0, 1), (1, 0)):
        here, beside = place[i][..., None], place[across][..., None]
        blocks = solid & (low[:, across] < beside) & (beside < high[:, across])
        behind = xp.max(xp.where(blocks & (high[:, i] <= here), high[:, i], -xp.inf), axis=-1)
        ahead = xp.min(xp.where(blocks & (low[:, i] >= here), low[:, i], xp.inf), axis=-1)
        free_place = moved.position[..., i]
        place[i] = xp.clip(free_place, behind, ahead)
        speed[i] = xp.where(place[i] == free_place, speed[i], 0.0)
    return Motion(xp.stack(place, axis=-1), xp.stack(speed, axis=-1))


def distance(difference: Vectors) -> Float[Any, "*batch"]:
    """Return the Euclidean length."""
    return difference.__array_namespace__().linalg.vector_norm(difference, axis=-1)


class PointEnv(gymnasium.Env[np.ndarray, np.ndarray], ABC):
    """The base of the point's environments: the start of an episode and the picture.

    A subclass steps and draws.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / DT)}  # noqa: RUF012  # Gymnasium's declaration
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, render_mode: str | None = None):
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"`render_mode` must be 'rgb_array' or None, got {render_mode!r}.")
        self.render_mode = render_mode
        self.start(Motion(np.zeros(2), np.zeros(2)))

    @property
    def place(self) -> Float[np.ndarray, " 2"]:
        """The position of the point."""
        return self.motion.position

    def start(self, motion: Motion) -> None:
        """Start an episode with this motion."""
        self.motion = motion
        self.path = [motion.position]

    def go(self, motion: Motion) -> None:
        """Continue with the next motion."""
        self.motion = motion
        self.path.append(motion.position)

    def drawn_start(self) -> Motion:
        """Draw a start near the origin and nearly at rest, at most at the top speed."""
        position, velocity = self.np_random.normal(0.0, START_STD, (2, 2))
        return Motion(position, velocity * min(1.0, TOP_SPEED / float(distance(velocity))))

    @abstractmethod
    def draw(self) -> Canvas:
        """Draw the surroundings."""

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """Draw the plane from above with path and point.

        Returns None unless made with "rgb_array".
        """
        if self.render_mode is None:
            return None
        canvas = self.draw()
        canvas.path(np.stack(self.path), 0.04, BLUE)
        canvas.stroke(self.motion.position, self.motion.position, RADIUS, RED)
        return canvas.pixels()
