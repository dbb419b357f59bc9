"""Motion in any direction: the pretraining task for a policy that is later fine-tuned to one direction.

    point:  r = |x(t) - x(t - dt)| / dt,  the planar speed over the step; nothing for being alive or for actions
    ant:    r = |x(t) - x(t - 0.5 s)| / 0.5 s + 1 while healthy - 0.5 |action|² - 0.0005 |contact forces|²

The ant's terms after the first are those of Gymnasium's Ant-v5. Its displacement is over half a second, since the speed
over a step also pays for shaking in place. In the first half second the ant counts as having stood at its start until
then, so that a leap at the start of an episode is paid no more than a later one.

Registered as `entrax/PointAnyDirection-v0` (100 steps of 0.1 s) and `entrax/AntAnyDirection-v0` (1000 of 0.05 s). All
directions are equally good: an optimal policy at temperature 0 may always take the same one, a soft one takes them all.
The last four entries of an observation are for walls and always 0 here, since `entrax/PointHallway-v0` and
`entrax/AntHallway-v0` have the same observations.

Source: Haarnoja et al. (2017), arXiv:1702.08165, section 5.2 (the "swimming snake" and "quadruped" pretraining).
"""

import math
from collections import deque
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle
from jaxtyping import Float

from entrax.environments.ant import Ant
from entrax.environments.canvas import Canvas
from entrax.environments.point import DT, TOP_SPEED, Motion, PointEnv, Vectors, distance, free
from entrax.errors import require

WALLS = 4
"""The number of entries for walls: the nearness towards +x, -x, +y and -y, from 0 (not visible) to 1 (touching)."""
VIEW = 6.0
"""Half of the side of the picture, in units of length."""
WINDOW = 10
"""The steps of the ant over which its displacement is measured: half a second."""


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
    """Observes posture, velocities, the displacement of the last half second and walls (33 float64).

    The displacement, two entries before those for walls, is in metres per second; its norm is the first term of the
    reward. The position, contact forces and the places within the half second are not observed: how the displacement
    changes next is known only nearly. See `Ant` for the end of an episode.

    Args:
        terminate_when_unhealthy: whether a fall ends the episode.
        healthy_reward: reward of a step that ends with the torso between 0.2 and 1 m, as in Ant-v5.
        ctrl_cost_weight: weight of the sum of the squared actions, as in Ant-v5.
        contact_cost_weight: weight of the sum of the squared contact forces, each clipped to [-1, 1], as in Ant-v5.
        render_mode: as in Gymnasium.

    Raises:
        UsageError: for a negative or infinite weight.
    """

    def __init__(
        self,
        terminate_when_unhealthy: bool = True,
        healthy_reward: float = 1.0,
        ctrl_cost_weight: float = 0.5,
        contact_cost_weight: float = 5e-4,
        render_mode: str | None = None,
    ):
        weights = {
            "healthy_reward": healthy_reward,
            "ctrl_cost_weight": ctrl_cost_weight,
            "contact_cost_weight": contact_cost_weight,
        }
        for name, weight in weights.items():
            require(0.0 <= weight < math.inf, name, "finite and at least 0", weight)
        self.earlier: deque[np.ndarray] = deque(maxlen=WINDOW)
        super().__init__(
            low=np.append([-np.inf] * 2, np.zeros(WALLS)),
            high=np.append([np.inf] * 2, np.ones(WALLS)),
            camera={"trackbodyid": 1, "distance": 9.0, "elevation": -55.0},
            terminate_when_unhealthy=terminate_when_unhealthy,
            render_mode=render_mode,
            weights=weights,
        )
        EzPickle.__init__(self, terminate_when_unhealthy, **weights, render_mode=render_mode)

    def reset_model(self) -> Float[np.ndarray, " 33"]:
        self.earlier.clear()
        return super().reset_model()

    def step(
        self, action: Float[np.ndarray, " 8"]
    ) -> tuple[Float[np.ndarray, " 33"], np.float64, bool, bool, dict[str, Any]]:
        """Take one step; `info` holds the position of the torso and the terms of the reward, as in Ant-v5."""
        self.earlier.append(self.place)
        self.do_simulation(action, self.frame_skip)
        terms = {
            "reward_forward": self.progress(self.velocity),
            "reward_survive": np.float64(self.healthy_reward),
            "reward_ctrl": -np.float64(self.control_cost(np.asarray(action, np.float64))),
            "reward_contact": -np.float64(self.contact_cost),
        }
        if self.render_mode == "human":
            self.render()
        reward = np.float64(sum(terms.values()))
        return self._get_obs(), reward, self.fell, False, self._get_reset_info() | terms

    @property
    def velocity(self) -> Float[np.ndarray, " 2"]:
        """The displacement of the torso over the last half second, in metres per second."""
        start = self.earlier[0] if self.earlier else self.place
        return (self.place - start) / (WINDOW * self.dt)

    def progress(self, velocity: Float[np.ndarray, " 2"]) -> np.float64:
        """Return the rewarded part of `velocity`, in metres per second."""
        return distance(velocity)

    def sense(self) -> Float[np.ndarray, " 6"]:
        """Return the velocity over half a second and the nearness of walls."""
        return np.concatenate([self.velocity, self.nearness()])

    def nearness(self) -> Float[np.ndarray, " 4"]:
        """Return the nearness of walls."""
        return np.zeros(WALLS)
