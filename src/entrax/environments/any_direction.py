"""Motion in any direction: the pretraining task for a policy that is later fine-tuned to one direction.

    r = |x' - x| / dt,  the planar speed of the body over the step; no cost of actions, no reward for being alive

Registered as `entrax/PointAnyDirection-v0` (100 steps of 0.1 s) and `entrax/AntAnyDirection-v0` (1000 of 0.05 s). All
directions are equally good: an optimal policy at temperature 0 may always take the same one, a soft one takes them all.
The last four entries of an observation are for walls and always 0 here, since `entrax/PointHallway-v0` and
`entrax/AntHallway-v0` have the same observations.

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
"""The number of entries for walls: the nearness towards +x, -x, +y and -y, from 0 (not visible) to 1 (touching)."""
VIEW = 6.0
"""Half of the side of the picture, in units of length."""


def step(motion: Motion, action: Vectors) -> tuple[Motion, Float[Any, "*batch"]]:
    """Return the next motion of points, and their rewards."""
    moved = free(motion, action)
    return moved, distance(moved.position - motion.position) / DT


def observe(motion: Motion, nearness: Float[Any, "*batch 4"]) -> Float[Any, "*batch 6"]:
    """Return the observation: velocity, then the nearness of walls."""
    return motion.velocity.__array_namespace__().concat([motion.velocity, nearness], axis=-1)


class PointAnyDirection(PointEnv):
    """Observes the velocity and four entries for walls (6 float32).

    The position, on which nothing depends, is not observed.
    """

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
        """Take one step; never terminates.

        `info` holds the position, as for Gymnasium's ant.
        """
        motion, reward = self.advance(np.asarray(action, np.float64))
        self.go(motion)
        x, y = motion.position.tolist()
        return self._observe(), float(reward), False, False, {"x_position": x, "y_position": y}

    def advance(self, action: Float[np.ndarray, " 2"]) -> tuple[Motion, Any]:
        """Return the next motion and the reward."""
        return step(self.motion, action)

    def nearness(self) -> Float[np.ndarray, " 4"]:
        """Return the nearness of walls."""
        return np.zeros(WALLS)

    def draw(self) -> Canvas:
        """Draw the plane around the point."""
        canvas = Canvas(self.motion.position - VIEW, self.motion.position + VIEW, 400 / (2 * VIEW))
        canvas.grid()
        return canvas

    def _observe(self) -> Float[np.ndarray, " 6"]:
        return observe(self.motion, self.nearness()).astype(np.float32)


class AntAnyDirection(Ant):
    """Observes posture and velocities and four entries for walls (31 float64).

    The position and contact forces are not observed. See `Ant` for the end of an episode.
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
        """Take one step; `info` holds the position of the torso."""
        reward = self.reward(self.advance(action) / self.dt)
        if self.render_mode == "human":
            self.render()
        return self._get_obs(), reward, self.fell, False, self._get_reset_info()

    def reward(self, velocity: Float[np.ndarray, " 2"]) -> np.float64:
        """Return the reward of the mean planar velocity over a step."""
        return distance(velocity)

    def sense(self) -> Float[np.ndarray, " 4"]:
        return np.zeros(WALLS)
