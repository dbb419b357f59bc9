"""Two passages to a goal, one of which may be a dead end: the test of a policy that knows only one way.

    r = (l(x, seen) - l(x', seen')) / dt, and 50 more within reach of the goal, which ends the episode

where l is the length of the shortest way to the goal through a passage not known to be closed. `closed` names the
closed passage: fixed, drawn at each reset, or none. It is visible only from inside and part of the observation from
then on. The observation is therefore a sufficient statistic: with `closed="random"` a policy without memory can be
optimal. The way becomes longer when a dead end is seen, so that the reward of that step is negative. A policy trained
with `closed="none"` is tested with `closed="left"`.

Registered as `entrax/TwoPassage-v0` for both bodies (`body="point"` or `"ant"`), with at most 400 steps.
"""

from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle
from jaxtyping import Float

from entrax.environments import maze
from entrax.environments.ant import Ant, Wall, add_ground, add_wall
from entrax.environments.canvas import GREEN, ORANGE, WALL, Canvas
from entrax.environments.maze import ANT_SCALE, GOAL, HIGH, LOW, PLUGS, REACH, WALLS, Trial
from entrax.environments.point import TOP_SPEED, PointEnv
from entrax.errors import require_one_of

PASSABLE: dict[str, tuple[float, float]] = {"left": (-1.0, 1.0), "right": (1.0, -1.0), "none": (1.0, 1.0)}
HEIGHT = 2.0
"""The height of the ant's walls, in metres."""
BURIED = -10.0
"""The height of the ant's plug while both passages are open, in metres."""


def two_passage(body: str = "point", closed: str = "random", render_mode: str | None = None) -> gymnasium.Env:
    """Make the environment for the body "point" or "ant".

    Raises UsageError for an unknown `body` or `closed`.
    """
    bodies = {"point": PointTwoPassage, "ant": AntTwoPassage}
    require_one_of("body", body, bodies)
    return bodies[body](closed=closed, render_mode=render_mode)


def _drawn(closed: str, rng: np.random.Generator) -> str:
    return ("left", "right")[rng.integers(2)] if closed == "random" else closed


def _checked(closed: str) -> None:
    require_one_of("closed", closed, ["random", *PASSABLE])


class PointTwoPassage(PointEnv):
    """The point between two passages.

    Observes position and velocity, and for the left and the right passage 1 if seen to be open, -1 if seen to be
    closed, 0 if not seen: 6 float32. `info` holds the `closed` passage and the `success` of reaching the goal.
    """

    observation_space = spaces.Box(
        np.array([*LOW, -TOP_SPEED, -TOP_SPEED, -1.0, -1.0], np.float32),
        np.array([*HIGH, TOP_SPEED, TOP_SPEED, 1.0, 1.0], np.float32),
    )

    def __init__(self, closed: str = "random", render_mode: str | None = None):
        _checked(closed)
        self.mode = closed
        self.closed = "none"
        self.seen = np.zeros(2)
        super().__init__(render_mode)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, " 6"], dict[str, Any]]:
        super().reset(seed=seed)
        self.closed, self.seen = _drawn(self.mode, self.np_random), np.zeros(2)
        self.start(self.drawn_start())
        return self._observe(), {"closed": self.closed, "success": False}

    def step(
        self, action: Float[np.ndarray, " 2"]
    ) -> tuple[Float[np.ndarray, " 6"], float, bool, bool, dict[str, Any]]:
        """Take one step; the episode ends at the goal."""
        trial = Trial(self.motion, np.array(PASSABLE[self.closed]), self.seen)
        trial, reward, reached = maze.step(trial, np.asarray(action, np.float64))
        self.seen = trial.seen
        self.go(trial.motion)
        return self._observe(), float(reward), bool(reached), False, {"closed": self.closed, "success": bool(reached)}

    def draw(self) -> Canvas:
        """Draw the plan; a plug is orange."""
        canvas = Canvas(np.array(LOW) - 0.3, np.array(HIGH) + 0.3, 60.0)
        canvas.grid()
        for low, high in WALLS:
            canvas.box(low, high, WALL)
        for (low, high), passable in zip(PLUGS, PASSABLE[self.closed], strict=True):
            if passable < 0:
                canvas.box(low, high, ORANGE)
        canvas.stroke(np.array(GOAL), np.array(GOAL), REACH, GREEN)
        return canvas

    def _observe(self) -> Float[np.ndarray, " 6"]:
        return np.concatenate([self.motion.position, self.motion.velocity, self.seen]).astype(np.float32)


class AntTwoPassage(Ant):
    """The ant. Observes position, posture, velocities and the passages (31 float64).

    The episode ends at the goal and when the ant falls.
    """

    def __init__(self, closed: str = "random", terminate_when_unhealthy: bool = True, render_mode: str | None = None):
        _checked(closed)
        self.mode = closed
        self.closed = "none"
        self.seen = np.zeros(2)
        super().__init__(
            low=-np.ones(2),
            high=np.ones(2),
            camera={
                "lookat": np.array([0.0, ANT_SCALE * (LOW[1] + HIGH[1]) / 2, 0.0]),
                "distance": 24.5,
                "elevation": -75.0,
                "azimuth": 90.0,
            },
            see_place=True,
            terminate_when_unhealthy=terminate_when_unhealthy,
            render_mode=render_mode,
        )
        EzPickle.__init__(self, closed, terminate_when_unhealthy, render_mode)

    def furnish(self, spec: Any) -> None:
        for low, high in ANT_SCALE * WALLS:
            add_wall(spec.worldbody, Wall(tuple((low + high) / 2), tuple((high - low) / 2), HEIGHT))
        plug = spec.worldbody.add_body(name="plug", mocap=True, pos=(0.0, 0.0, BURIED))
        low, high = ANT_SCALE * PLUGS[0]
        add_wall(plug, Wall((0.0, 0.0), tuple((high - low) / 2), HEIGHT), (*(c / 255 for c in ORANGE), 1.0))
        disc = mujoco.mjtGeom.mjGEOM_CYLINDER
        add_ground(spec, disc, ANT_SCALE * np.array(GOAL), (ANT_SCALE * REACH, 0.001, 0.0))

    def reset_model(self) -> Float[np.ndarray, " 31"]:
        self.closed, self.seen = _drawn(self.mode, self.np_random), np.zeros(2)
        for (low, high), passable in zip(ANT_SCALE * PLUGS, PASSABLE[self.closed], strict=True):
            if passable < 0:
                self.data.mocap_pos[0] = (*(low + high) / 2, 0.0)
        return super().reset_model()

    def step(
        self, action: Float[np.ndarray, " 8"]
    ) -> tuple[Float[np.ndarray, " 31"], np.float64, bool, bool, dict[str, Any]]:
        """Take one step; lengths are in metres."""
        before, known = self.place / ANT_SCALE, self.seen
        self.do_simulation(action, self.frame_skip)
        after = self.place / ANT_SCALE
        self.seen = maze.look(after, np.array(PASSABLE[self.closed]), known)
        gain, reached = maze.progress(before, known, after, self.seen)
        reward = ANT_SCALE * gain / self.dt + maze.BONUS * reached
        if self.render_mode == "human":
            self.render()
        info = self._get_reset_info() | {"success": bool(reached)}
        return self._get_obs(), reward, bool(reached) or self.fell, False, info

    def sense(self) -> Float[np.ndarray, " 2"]:
        return self.seen

    def _get_reset_info(self) -> dict[str, Any]:
        return super()._get_reset_info() | {"closed": self.closed, "success": False}
