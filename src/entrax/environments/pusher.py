"""An arm that pushes a disc to a goal: one goal for each coordinate, and one for both.

    r_x    = -|x - 0.45| - c,  r_y = -|y + 0.05| - c,  c = |tip - disc| / 2 + |u|² / 10
    r_both = (r_x + r_y) / 2

`goal="x"` leaves y free and `goal="y"` leaves x free, so that each has many solutions. `goal="both"` is their mean, for
which the policies of the two can be composed without learning: all three have the same spaces, arm and start. The model
is that of Gymnasium's Pusher-v5 without its goal body, with a disc of 79 g, which the arm can push (see `DENSITY`), and
with motors scaled to [-1, 1] (±1 here is ±2 there).
Registered as `entrax/Pusher-v0`, with at most 100 steps of 0.05 s.

Source of the task: Haarnoja et al. (2018), Composable Deep Reinforcement Learning for Robotic Manipulation,
arXiv:1803.06773, section V (there a planar arm, here the seven joints of Gymnasium's).
"""

from typing import Any

import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.spaces import Box
from jaxtyping import Float

from entrax.environments.ant import compiled, remove
from entrax.errors import require_one_of

WEIGHTS: dict[str, tuple[float, float]] = {"x": (1.0, 0.0), "y": (0.0, 1.0), "both": (0.5, 0.5)}
"""The weights of the two coordinates' distances, by goal."""
AIM = np.array([0.45, -0.05])
"""The target of the disc, in metres, which is also the zero of its slides."""
START_LOW, START_HIGH = np.array([-0.2, -0.3]), np.array([0.2, 0.0])
"""Bounds of the disc's initial position, relative to the target."""
NEAREST = 0.17
"""The least initial distance of the disc from the target."""
NEAR_WEIGHT, CONTROL_WEIGHT = 0.5, 0.1
STRENGTH = 2.0
JOINTS = 7
DENSITY = 100.0
"""The density of the disc, in kg/m³. At Gymnasium's 0.01 it weighs 8 mg, and MuJoCo makes contacts with so light a body
so soft that the arm passes through it: a sweep of 0.5 m moved it by 2 cm."""


class Pusher(MujocoEnv):
    """The arm, the table and the disc.

    Observes the arm's angles and angular velocities (7 and 7), the tip (3), and the disc's position and velocity in the
    plane (2 and 2): 21 float64. `info` holds the distances `x` and `y` of the disc from the target, in metres.
    """

    metadata = {"render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, goal: str = "both", render_mode: str | None = None):
        require_one_of("goal", goal, WEIGHTS)
        self.weights = np.array(WEIGHTS[goal])
        camera: dict[str, Any] = {
            "lookat": np.array([0.35, -0.25, -0.3]),
            "distance": 2.0,
            "elevation": -55.0,
            "azimuth": 90.0,
        }
        super().__init__(
            "pusher_v5.xml",
            frame_skip=5,
            observation_space=Box(-np.inf, np.inf, (2 * JOINTS + 7,), np.float64),
            default_camera_config=camera,
            render_mode=render_mode,
        )

    def step(
        self, action: Float[np.ndarray, " 7"]
    ) -> tuple[Float[np.ndarray, " 21"], np.float64, bool, bool, dict[str, Any]]:
        """Take one step; never terminates."""
        self.do_simulation(action, self.frame_skip)
        mujoco.mj_kinematics(self.model, self.data)  # a step does not update positions after its last substep
        offset = np.abs(self.disc)
        near = np.linalg.norm(self.data.body("object").xpos - self.data.body("tips_arm").xpos)
        cost = NEAR_WEIGHT * near + CONTROL_WEIGHT * np.sum(np.square(action, dtype=np.float64))
        if self.render_mode == "human":
            self.render()
        return self._get_obs(), -self.weights @ offset - cost, False, False, self._get_reset_info()

    @property
    def disc(self) -> Float[np.ndarray, " 2"]:
        """The disc's position in the plane relative to the target, x and y."""
        return self.data.qpos[: JOINTS - 1 : -1].copy()

    def reset_model(self) -> Float[np.ndarray, " 21"]:
        while True:
            place = self.np_random.uniform(START_LOW, START_HIGH)
            if np.linalg.norm(place) > NEAREST:
                break
        qvel = np.append(self.np_random.uniform(-0.005, 0.005, JOINTS), [0.0, 0.0])
        self.set_state(np.append(np.zeros(JOINTS), place[::-1]), qvel)
        return self._get_obs()

    def _get_obs(self) -> Float[np.ndarray, " 21"]:
        qpos, qvel = self.data.qpos, self.data.qvel
        tip = self.data.body("tips_arm").xpos
        return np.concatenate([qpos[:JOINTS], qvel[:JOINTS], tip, AIM + self.disc, qvel[: JOINTS - 1 : -1]])

    def _get_reset_info(self) -> dict[str, Any]:
        x, y = np.abs(self.disc).tolist()
        return {"x": x, "y": y}

    def specification(self) -> Any:
        """Return a new `mujoco.MjSpec` of the model, to compile or to change."""
        spec = mujoco.MjSpec.from_file(self.fullpath)
        remove(spec, spec.body("goal"))
        for actuator in spec.actuators:
            actuator.ctrlrange, actuator.gear = (-1.0, 1.0), (STRENGTH, 0.0, 0.0, 0.0, 0.0, 0.0)
        table = spec.geom("table")
        table.size, table.rgba = (0.0, 0.0, 0.1), (0.8, 0.8, 0.83, 1.0)  # drawn to the horizon
        disc = spec.body("object").first_geom()
        disc.density, disc.rgba = DENSITY, (0.92, 0.59, 0.27, 1.0)
        # Flat stripes on the table mark the target coordinates; they collide with nothing.
        for weight, half in zip(self.weights, ((0.012, 0.5), (0.5, 0.012)), strict=True):
            if weight:
                spec.worldbody.add_geom(
                    type=mujoco.mjtGeom.mjGEOM_BOX,
                    pos=(*AIM, table.pos[2]),
                    size=(*half, 0.001),
                    contype=0,
                    conaffinity=0,
                    rgba=(0.3, 0.7, 0.4, 1.0),
                )
        return spec

    def _initialize_simulation(self) -> tuple[Any, Any]:
        return compiled(self.specification(), self.width, self.height)
