"""Move, in whatever direction: the task for a policy that is to be fine-tuned to a direction later.

    r = |x' - x| / dt,  the planar speed of the body over the step; no cost of actions, nothing for being alive

Registered as `entrax/PointAnyDirection-v0` (100 steps of 0.1 s) and `entrax/AntAnyDirection-v0` (1000 of 0.05 s). No
direction is better than another, so that the best policy at temperature 0 may keep to one, and a soft one takes all.
The last four entries of an observation are for walls, of which there are none here: 0. They are there because
`entrax/PointHallway-v0` and `entrax/AntHallway-v0` have the same observations.

Source: Haarnoja et al. (2017), arXiv:1702.08165, section 5.2 (the "swimming snake" and "quadruped" pretraining).
"""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle
from jaxtyping import Float

from entrax.environments.ant import Ant
from entrax.environments.canvas import Canvas
from entrax.environments.point import DT, TOP_SPEED, Motion, PointEnv, Vectors, distance, free

WALLS = 4
"""Entries for walls: how near one is towards +x, -x, +y and -y, from 0 (none in sight) to 1 (touching)."""
VIEW = 6.0
"""How far the picture shows the point's surroundings."""


def step(motion: Motion, action: Vectors) -> tuple[Motion, Float[Any, "*batch"]]:
    """The next motion of points, and their rewards."""
    moved = free(motion, action)
    return moved, distance(moved.position - motion.position) / DT


def observe(motion: Motion, nearness: Float[Any, "*batch 4"]) -> Float[Any, "*batch 6"]:
    """Velocity, then how near walls are."""
    return motion.velocity.__array_namespace__().concat([motion.velocity, nearness], axis=-1)


class PointAnyDirection(PointEnv):
    """Observes the velocity and four entries for walls (6 float32); the place is left out, nothing depends on it."""

    observation_space = spaces.Box(
        np.array([-TOP_SPEED] * 2 + [0.0] * WALLS, np.float32), np.array([TOP_SPEED] * 2 + [1.0] * WALLS, np.float32)
    )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, " 6"], dict[str, Any]]:
        super().reset(seed=seed)
        self.start(self.drawn_start())
        return self._observe(), {}

    def step(
        self, action: Float[np.ndarray, " 2"]
    ) -> tuple[Float[np.ndarray, " 6"], float, bool, bool, dict[str, Any]]:
        """One step; never terminates. `info` says where the point is, as Gymnasium's ant does."""
        motion, reward = self.advance(np.asarray(action, np.float64))
        self.go(motion)
        x, y = motion.position.tolist()
        return self._observe(), float(reward), False, False, {"x_position": x, "y_position": y}

    def advance(self, action: Float[np.ndarray, " 2"]) -> tuple[Motion, Any]:
        """The next motion and the reward."""
        return step(self.motion, action)

    def nearness(self) -> Float[np.ndarray, " 4"]:
        """How near walls are."""
        return np.zeros(WALLS)

    def draw(self) -> Canvas:
        """The plane around the point."""
        canvas = Canvas(self.motion.position - VIEW, self.motion.position + VIEW, 400 / (2 * VIEW))
        canvas.grid()
        return canvas

    def _observe(self) -> Float[np.ndarray, " 6"]:
        return observe(self.motion, self.nearness()).astype(np.float32)


class AntAnyDirection(Ant):
    """Observes the ant's posture and velocities and four entries for walls (31 float64); see `Ant` for what ends an
    episode. Left out are the place, on which nothing depends, and the forces of contacts.
    """

    def __init__(self, terminate_when_unhealthy: bool = True, render_mode: str | None = None):
        super().__init__(
            low=np.zeros(WALLS),
            high=np.ones(WALLS),
            camera={"trackbodyid": 1, "distance": 9.0, "elevation": -55.0},
            terminate_when_unhealthy=terminate_when_unhealthy,
            render_mode=render_mode,
        )
        EzPickle.__init__(self, terminate_when_unhealthy, render_mode)

    def step(
        self, action: Float[np.ndarray, " 8"]
    ) -> tuple[Float[np.ndarray, " 31"], np.float64, bool, bool, dict[str, Any]]:
        """One step; `info` says where the torso is."""
        reward = self.reward(self.advance(action) / self.dt)
        if self.render_mode == "human":
            self.render()
        return self._get_obs(), reward, self.fell, False, self._get_reset_info()

    def reward(self, velocity: Float[np.ndarray, " 2"]) -> np.float64:
        """What the mean planar velocity over a step earns."""
        return distance(velocity)

    def sense(self) -> Float[np.ndarray, " 4"]:
        return np.zeros(WALLS)
