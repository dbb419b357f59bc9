"""A straight hallway between two walls with a rewarded direction: the task for fine-tuning a policy of any direction.

    point:  r = d · (x(t) - x(t - dt)) / dt,  the speed along the rewarded direction d
    ant:    r = d · (x(t) - x(t - 0.5 s)) / 0.5 s, with the terms of Ant-v5 as in `entrax/AntAnyDirection-v0`

The hallway is longer than a body can move in an episode. The body starts on its centre line. Registered as
`entrax/PointHallway-v0` and `entrax/AntHallway-v0`, with `direction` in degrees from +x to +y and `width` in the body's
units of length. Bodies, spaces and limits are those of `entrax/PointAnyDirection-v0` and `entrax/AntAnyDirection-v0`.
The four entries for walls are their nearness, so that the place across the hallway is observed.

Source: Haarnoja et al. (2017), arXiv:1702.08165, section 5.2.
"""

import math
from typing import Any

import mujoco
import numpy as np
from gymnasium.utils import EzPickle
from jaxtyping import Float

from entrax.environments.ant import Wall, add_ground, add_wall
from entrax.environments.any_direction import VIEW, AntAnyDirection, PointAnyDirection
from entrax.environments.canvas import GREEN, WALL, Canvas
from entrax.environments.point import DT, RADIUS, Motion, Vectors, free
from entrax.errors import UsageError

LENGTH = 400.0
"""Half of the length of the ant's walls, more than it can walk in an episode."""
HEIGHT, THICKNESS = 1.5, 0.5
NARROWEST = {"point": 1.5, "ant": 2.5}
"""The least width. A point has a radius of 0.2, an ant with stretched legs one of 1.13 m."""

Width = float | Float[Any, ""]


def frame(direction: float) -> Float[np.ndarray, "2 2"]:
    """Return unit vectors along the hallway and, a quarter turn left, across it.

    `direction` is in degrees.
    """
    along = np.array([math.cos(math.radians(direction)), math.sin(math.radians(direction))])
    return np.stack([along, np.array([-along[1], along[0]])])


def step(motion: Motion, action: Vectors, axes: Float[Any, "2 2"], width: Width) -> tuple[Motion, Float[Any, "*batch"]]:
    """Return the next motion of points in the hallway, and their rewards.

    `axes` is the result of `frame`.
    """
    xp = action.__array_namespace__()
    moved = free(motion, action)
    along, free_across = moved.position @ axes[0], moved.position @ axes[1]
    across = xp.clip(free_across, RADIUS - width / 2, width / 2 - RADIUS)
    hit = across != free_across
    position = along[..., None] * axes[0] + across[..., None] * axes[1]
    forward = (moved.velocity @ axes[0])[..., None] * axes[0]
    stopped = Motion(
        position=xp.where(hit[..., None], position, moved.position),
        velocity=xp.where(hit[..., None], forward, moved.velocity),
    )
    return stopped, ((stopped.position - motion.position) @ axes[0]) / DT


def nearness(position: Vectors, axes: Float[Any, "2 2"], width: Width) -> Float[Any, "*batch 4"]:
    """Return the nearness of the walls towards +x, -x, +y and -y.

    It is 1 - distance / width, or 0 beyond the width. The nearer wall is always visible: its distance along one of the
    four directions is at most √½ of the width.
    """
    xp = position.__array_namespace__()
    across = position @ axes[1]
    rays = (
        xp.asarray([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) @ axes[1]
    )  # component of each across the hallway
    left, right = width / 2 - across[..., None], width / 2 + across[..., None]
    room = xp.where(rays > 0, left, right)
    return xp.clip(1.0 - room / (width * xp.maximum(xp.abs(rays), 1e-9)), 0.0, 1.0)


def _checked(body: str, direction: float, width: float) -> None:
    if not math.isfinite(direction):
        raise UsageError(f"`direction` must be a finite number of degrees, got {direction}.")
    if not NARROWEST[body] <= width < math.inf:
        raise UsageError(f"`width` must be finite and at least {NARROWEST[body]} for the {body}, got {width}.")


class PointHallway(PointAnyDirection):
    """The point in a hallway; `direction`, in degrees, is rewarded."""

    def __init__(self, direction: float = 0.0, width: float = 2.0, render_mode: str | None = None):
        _checked("point", direction, width)
        self.axes, self.width = frame(direction), float(width)
        super().__init__(render_mode)

    def advance(self, action: Float[np.ndarray, " 2"]) -> tuple[Motion, Any]:
        return step(self.motion, action, self.axes, self.width)

    def nearness(self) -> Float[np.ndarray, " 4"]:
        return nearness(self.motion.position, self.axes, self.width)

    def draw(self) -> Canvas:
        """Draw the plane around the point, with arrow heads in the rewarded direction."""
        canvas = super().draw()
        along, across = self.axes
        first = round(float(self.motion.position @ along))
        for place in np.arange(first - 10, first + 11):
            for side in (-1, 1):
                canvas.stroke(place * along, (place - 0.25) * along + 0.25 * side * across, 0.05, GREEN)
        ends = (first - 4 * VIEW) * along, (first + 4 * VIEW) * along
        for side in (-1, 1):
            offset = side * (self.width / 2 + THICKNESS / 2) * across
            canvas.stroke(ends[0] + offset, ends[1] + offset, THICKNESS / 2, WALL)
        return canvas


class AntHallway(AntAnyDirection):
    """The ant in a hallway.

    `direction`, in degrees, is rewarded, and its ground is green. The other arguments are those of `AntAnyDirection`.
    """

    def __init__(
        self,
        direction: float = 0.0,
        width: float = 4.0,
        terminate_when_unhealthy: bool = True,
        healthy_reward: float = 1.0,
        ctrl_cost_weight: float = 0.5,
        contact_cost_weight: float = 5e-4,
        render_mode: str | None = None,
    ):
        _checked("ant", direction, width)
        self.axes, self.hall_width, self.angle = frame(direction), float(width), math.radians(direction)
        given = (terminate_when_unhealthy, healthy_reward, ctrl_cost_weight, contact_cost_weight, render_mode)
        super().__init__(*given)
        EzPickle.__init__(self, direction, width, *given)

    def furnish(self, spec: Any) -> None:
        along, across = self.axes
        for side in (-1, 1):
            centre = side * (self.hall_width + THICKNESS) / 2 * across
            add_wall(spec.worldbody, Wall(tuple(centre), (LENGTH, THICKNESS / 2), HEIGHT, self.angle))
        size = (LENGTH / 2, self.hall_width / 2, 0.001)
        add_ground(spec, mujoco.mjtGeom.mjGEOM_BOX, LENGTH / 2 * along, size, self.angle)

    def progress(self, velocity: Float[np.ndarray, " 2"]) -> np.float64:
        return velocity @ self.axes[0]

    def nearness(self) -> Float[np.ndarray, " 4"]:
        return nearness(self.place, self.axes, self.hall_width)
