"""An arm that stacks a brick, held in its gripper, on the stud of another one.

    r = 1 - log(1 + d / d₀) / log(1 + D / d₀) - |u|² / 100,  d₀ = 5 mm,  D = 0.3 m

d is the mean distance of the four lower corners of the held brick from the upper corners of the other one, so that it
measures position, upright pose and heading at once. The logarithm makes the last millimetres count: from D to 0 the
reward rises from 0 to 1, half of that within 34 mm. The stud, 15 mm high, fits into the socket with 2.5 mm to
spare on each side. The brick is seated if each corner is at most `DOWN` above its place and the middle at most `ASIDE`
off; as corners that low require the stud to be in the socket, it has then been pressed down. An episode is a success if
the brick has been seated for the last `LAST` steps.

The arm has five joints, moved by torques in [-1, 1] and damped; gravity is compensated. The lower brick stands anywhere
within a square of 10 cm, and slides if it is pushed hard. Once in an episode, at a random time, `disturbance="arm"`
pushes the wrist up and in a random direction aside, and `"brick"` puts the lower brick down elsewhere, 8 to 10 cm away.
Registered as `entrax/Stacking-v0`, with at most 100 steps of 0.04 s.

Source of the task: Haarnoja et al. (2018), Composable Deep Reinforcement Learning for Robotic Manipulation,
arXiv:1803.06773 (there a Sawyer arm and Lego blocks).
"""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.spaces import Box
from jaxtyping import Float

from entrax.errors import require_one_of

JOINTS = 5
SIDE = 0.06
"""The side of both bricks, in metres; lengths are observed in this unit."""
UPPER, FOREARM, SHOULDER, HAND = 0.3, 0.28, 0.25, 0.13
"""Lengths of the links, the shoulder's height above the table, and the wrist's above the bottom of the held brick."""
AREA = 0.05
"""Half the side of the square in which the lower brick stands at the start, in metres."""
START = (0.36, 0.29)
"""Horizontal distance from the shoulder and height of the held brick's bottom at the start, before noise, in metres."""
ANGLES = np.array([0.15, 0.1, 0.1, 0.1, 0.3])
"""Bounds of the noise of the initial joint angles."""
FINE, FAR = 0.005, 0.3
"""d₀ and D, in metres."""
CONTROL_WEIGHT = 0.01
DOWN, ASIDE = 0.003, 0.004
"""How high a corner and how far off the middle may be in a seated brick, in metres."""
LAST = 5
"""Steps for which the brick must have been seated."""
DISTURBANCES = ("none", "arm", "brick")
ASIDE_FORCE, UPWARD_FORCE = 20.0, 20.0
"""The force of a push of the arm, in N."""
MOVED = (0.08, 0.1)
"""Bounds of how far the lower brick is moved, in metres: more than its side, so that the bricks do not overlap."""
FARTHEST = 0.1
"""How far along x and y the lower brick may then be from the middle of its area, in metres."""
PUSHED = 5
"""Steps of a push."""
EARLIEST, LATEST = 15, 50
"""Bounds of the step at which a disturbance begins."""
CORNERS = SIDE / 2 * np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])


class Stacking(MujocoEnv):
    """The arm, the held brick and the one below.

    Observes the arm's angles and angular velocities (5 and 5), the lower brick's place from the held one (3), its
    deviation from the middle of its area and its velocity (2 and 2), and the held brick's tilt towards x and y and the
    sine of its heading (3): 20 float64, lengths in sides of a brick. `info` holds the `distance` d in metres and the
    current `success`.
    """

    metadata = {"render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"], "render_fps": 25}  # noqa: RUF012

    def __init__(self, disturbance: str = "none", render_mode: str | None = None):
        require_one_of("disturbance", disturbance, DISTURBANCES)
        self.disturbance = disturbance
        self._seated, self._time = 0, 0
        self._first, self._aside = 0, np.zeros(2)
        camera: dict[str, Any] = {
            "lookat": np.array([0.24, 0.0, 0.17]),
            "distance": 1.15,
            "elevation": -20.0,
            "azimuth": 125.0,
        }
        super().__init__(
            str(Path(__file__).with_name("stacking.xml")),
            frame_skip=8,
            observation_space=Box(-np.inf, np.inf, (2 * JOINTS + 10,), np.float64),
            default_camera_config=camera,
            render_mode=render_mode,
        )

    def step(
        self, action: Float[np.ndarray, " 5"]
    ) -> tuple[Float[np.ndarray, " 20"], np.float64, bool, bool, dict[str, Any]]:
        """Take one step; never terminates. The reward is that of the position after it."""
        self._disturb()
        self.do_simulation(action, self.frame_skip)
        mujoco.mj_kinematics(self.model, self.data)  # a step does not update positions after its last substep
        self._time += 1
        self._seated = self._seated + 1 if self.seated else 0
        cost = CONTROL_WEIGHT * np.sum(np.square(action, dtype=np.float64))
        nearness = 1.0 - np.log1p(self.distance / FINE) / np.log1p(FAR / FINE)
        if self.render_mode == "human":
            self.render()
        return self._get_obs(), np.float64(nearness - cost), False, False, self._get_reset_info()

    @property
    def offsets(self) -> Float[np.ndarray, "4 3"]:
        """The held brick's lower corners relative to the upper corners of the other one, in metres."""
        held, below = self.data.body("held"), self.data.body("below")
        return held.xpos + CORNERS @ held.xmat.reshape(3, 3).T - below.xpos - CORNERS

    @property
    def distance(self) -> float:
        """The mean distance of the corners from their places, in metres."""
        return float(np.linalg.norm(self.offsets, axis=1).mean())

    @property
    def seated(self) -> bool:
        """Whether the stud is in the socket and the brick pressed down."""
        offsets = self.offsets
        return bool(offsets[:, 2].max() <= DOWN and np.linalg.norm(offsets[:, :2].mean(axis=0)) <= ASIDE)

    @property
    def disturbed(self) -> bool:
        """Whether the last step was the first of the disturbance."""
        return self.disturbance != "none" and self._time == self._first + 1

    @property
    def stacked(self) -> bool:
        """Whether the brick has been seated for the last `LAST` steps."""
        return self._seated >= LAST

    def reset_model(self) -> Float[np.ndarray, " 20"]:
        angles = posture(*START) + self.np_random.uniform(-ANGLES, ANGLES)
        place = self.np_random.uniform(-AREA, AREA, 2)
        self.set_state(np.append(angles, place), np.zeros(JOINTS + 2))
        self._first = int(self.np_random.integers(EARLIEST, LATEST))
        self._aside = self._drawn_aside(place)
        self._seated, self._time = 0, 0
        return self._get_obs()

    def _drawn_aside(self, place: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
        """Draw the horizontal part of the disturbance: a force in N, or a way in metres from `place`."""
        while True:
            angle, moved = self.np_random.uniform(0.0, 2.0 * np.pi), self.np_random.uniform(*MOVED)
            direction = np.array([np.cos(angle), np.sin(angle)])
            if self.disturbance != "brick":
                return ASIDE_FORCE * direction
            if np.abs(place + moved * direction).max() <= FARTHEST:
                return moved * direction

    def _disturb(self) -> None:
        """Apply the disturbance of the next step."""
        if self.disturbance == "brick" and self._time == self._first:
            self.data.qpos[JOINTS:] += self._aside
            self.data.qvel[JOINTS:] = 0.0
        if self.disturbance == "arm":
            pushed = self._first <= self._time < self._first + PUSHED
            self.data.body("wrist").xfrc_applied[:3] = [*self._aside, UPWARD_FORCE] if pushed else 0.0

    def _get_obs(self) -> Float[np.ndarray, " 20"]:
        qpos, qvel = self.data.qpos, self.data.qvel
        held, below = self.data.body("held"), self.data.body("below")
        pose = held.xmat.reshape(3, 3)
        lengths = np.concatenate([below.xpos - held.xpos, qpos[JOINTS:], qvel[JOINTS:]]) / SIDE
        return np.concatenate([qpos[:JOINTS], qvel[:JOINTS], lengths, pose[:2, 2], pose[1:2, 0]])

    def _get_reset_info(self) -> dict[str, Any]:
        return {"distance": self.distance, "success": self.stacked}


def posture(reach: float, height: float) -> Float[np.ndarray, " 5"]:
    """Return joint angles that hold the brick upright and straight ahead.

    Args:
        reach: horizontal distance of the brick from the shoulder, in metres.
        height: of the brick's bottom above the table, in metres.
    """
    rise = height + HAND - SHOULDER
    far = np.hypot(reach, rise)
    bend = np.arccos((far**2 - UPPER**2 - FOREARM**2) / (2 * UPPER * FOREARM))
    lift = np.arctan2(rise, reach) + np.arccos((far**2 + UPPER**2 - FOREARM**2) / (2 * UPPER * far))
    return np.array([0.0, -lift, bend, lift - bend, 0.0])
