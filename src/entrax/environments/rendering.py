"""Pictures of an environment, without a screen."""

from typing import Any

import gymnasium
import numpy as np

from entrax.environments.messages import Picture


def keep_in_view(env: gymnasium.Env) -> None:
    """Make the camera follow a MuJoCo body.

    Gymnasium's default view of HalfCheetah, Ant and Swimmer does not move. Their models have a camera that follows; it
    is used unless the environment was given one or already tracks a body.
    """
    import mujoco
    from gymnasium.envs.mujoco import MujocoEnv

    inner: Any = env.unwrapped
    if not isinstance(inner, MujocoEnv) or inner.camera_id is not None or inner.camera_name is not None:
        return
    renderer = inner.mujoco_renderer
    following = mujoco.mj_name2id(inner.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
    if following >= 0 and "trackbodyid" not in (renderer.default_cam_config or {}):
        renderer.camera_id = following


def rendered(env: gymnasium.Env) -> Picture:
    """Return what `env.render()` draws. Raises ValueError if that is no image."""
    picture: Any = env.render()
    if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] < 3:
        raise ValueError("returned no image from render")
    return np.ascontiguousarray(picture[:, :, :3], np.uint8)
