"""A planar arm of two links that reaches for a target, observed by its state or by a camera only.

    r = -|fingertip - target| - |u|²

as in Gymnasium's Reacher-v5, with its model, start, target and one second of time, but in 25 steps of 0.04 s instead of
50, and with actions u of at most ¼ instead of 1: enough to reach any target, and better for exploration. The arena has
no walls, and fingertip and target are drawn larger, without influence on the dynamics. An episode is a success if the
fingertip is within 3 cm of the target when it ends.
Registered as `entrax/ReacherPixels-v0`, which observes the last three pictures (`blank=True`: black ones), and as
`entrax/Reacher-v0`, which observes the state and is the same task otherwise.

Pictures require OpenGL: MUJOCO_GL=egl without a screen.
"""

from typing import Any

import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.spaces import Box
from jaxtyping import Float, Num, UInt8

from entrax.environments.ant import compiled, remove
from entrax.errors import EntraxError, UsageError

SIDE, FRAMES = 64, 3
NEAR = 0.03
"""The distance of the fingertip from the target that counts as success, in metres."""
TORQUE = 0.25
"""The largest action of each joint; 1 is 200 N m."""
REACH = 0.2
"""The radius of the disc from which targets are drawn, in metres."""
TARGET_RADIUS, FINGERTIP_RADIUS = 0.02, 0.015
HEIGHT, FIELD = 1.0, 26.0
"""The camera's height above the arm in metres and field of view in degrees: it sees 23 cm in each direction."""


class Reacher(MujocoEnv):
    """The arm, observed by its state or by pictures.

    Observes cosine and sine of both angles, the target (2), both angular velocities and the fingertip relative to the
    target (2), 10 float64; or three RGB pictures [64, 64, 9] uint8, the newest last. `info` holds the `distance` of
    fingertip and target in metres, and the current `success`.
    """

    metadata = {"render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"], "render_fps": 25}  # noqa: RUF012

    def __init__(self, pixels: bool = False, blank: bool = False, render_mode: str | None = None):
        if blank and not pixels:
            raise UsageError("`blank` requires pictures: use it with entrax/ReacherPixels-v0.")
        self.pixels, self.blank = pixels, blank
        self.pictures = np.zeros((FRAMES, SIDE, SIDE, 3), np.uint8)
        self._camera: mujoco.Renderer | None = None
        state, image = Box(-np.inf, np.inf, (10,), np.float64), Box(0, 255, (SIDE, SIDE, 3 * FRAMES), np.uint8)
        super().__init__(
            "reacher.xml",
            frame_skip=4,
            observation_space=image if pixels else state,
            camera_name="above",
            render_mode=render_mode,
        )

    def step(self, action: Float[np.ndarray, " 2"]) -> tuple[Num[np.ndarray, "..."], np.float64, bool, bool, dict]:
        """Take one step; never terminates. The reward is that of the position after it."""
        self.do_simulation(action, self.frame_skip)
        mujoco.mj_kinematics(self.model, self.data)  # a step does not update positions after its last substep
        reward = -np.linalg.norm(self.offset) - np.sum(np.square(action, dtype=np.float64))
        if self.pixels:
            self.pictures = np.concatenate([self.pictures[1:], self._picture()[None]])
        if self.render_mode == "human":
            self.render()
        return self._get_obs(), np.float64(reward), False, False, self._get_reset_info()

    @property
    def offset(self) -> Float[np.ndarray, " 2"]:
        """The fingertip's position relative to the target, in metres."""
        return (self.data.body("fingertip").xpos - self.data.body("target").xpos)[:2]

    def reset_model(self) -> Num[np.ndarray, "..."]:
        angles = self.np_random.uniform(-0.1, 0.1, 2)
        while True:
            target = self.np_random.uniform(-REACH, REACH, 2)
            if np.linalg.norm(target) < REACH:
                break
        velocities = self.np_random.uniform(-0.005, 0.005, 2)
        self.set_state(np.append(angles, target), np.append(velocities, [0.0, 0.0]))
        if self.pixels:
            self.pictures[:] = self._picture()
        return self._get_obs()

    def _get_obs(self) -> Num[np.ndarray, "..."]:
        if self.pixels:
            return np.concatenate(list(self.pictures), axis=2)
        qpos, qvel = self.data.qpos, self.data.qvel
        return np.concatenate([np.cos(qpos[:2]), np.sin(qpos[:2]), qpos[2:], qvel[:2], self.offset])

    def _get_reset_info(self) -> dict[str, Any]:
        distance = float(np.linalg.norm(self.offset))
        return {"distance": distance, "success": distance < NEAR}

    def _picture(self) -> UInt8[np.ndarray, "64 64 3"]:
        if self.blank:
            return np.zeros((SIDE, SIDE, 3), np.uint8)
        if self._camera is None:
            self._camera = _camera(self.model)
        self._camera.update_scene(self.data, "above")
        return self._camera.render()

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None
        super().close()

    def specification(self) -> Any:
        """Return a new `mujoco.MjSpec` of the model."""
        spec = mujoco.MjSpec.from_file(self.fullpath)
        for side in "SENW":
            remove(spec, spec.geom(f"side{side}"))
        spec.geom("target").size, spec.geom("fingertip").size = (TARGET_RADIUS, 0, 0), (FINGERTIP_RADIUS, 0, 0)
        # Masses follow from geometry: this density keeps the mass of Gymnasium's fingertip, whose radius is 1 cm.
        spec.geom("fingertip").density = spec.geom("fingertip").density * (0.01 / FINGERTIP_RADIUS) ** 3
        for motor in spec.actuators:
            motor.ctrlrange = (-TORQUE, TORQUE)
        spec.worldbody.add_camera(name="above", pos=(0.0, 0.0, HEIGHT), fovy=FIELD)
        spec.visual.headlight.ambient, spec.visual.headlight.specular = (0.6, 0.6, 0.6), (0.0, 0.0, 0.0)
        spec.visual.quality.offsamples = 0
        return spec

    def _initialize_simulation(self) -> tuple[Any, Any]:
        return compiled(self.specification(), self.width, self.height)


def _camera(model: Any) -> Any:
    """Make the renderer of the pictures. Raises EntraxError without OpenGL."""
    try:
        camera = mujoco.Renderer(model, SIDE, SIDE)
    except Exception as error:  # OpenGL libraries can raise anything
        raise EntraxError(f"Pictures cannot be drawn; try MUJOCO_GL=egl or osmesa: {error}") from error
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        camera.scene.flags[flag] = 0
    return camera
