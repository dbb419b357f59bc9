"""Gymnasium's ant (the model of Ant-v5, 8 motors, 0.05 s a step) among walls that are added to its model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np
from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.spaces import Box
from jaxtyping import Float

WALL_RGBA, GROUND_RGBA = (0.42, 0.44, 0.5, 1.0), (0.2, 0.8, 0.35, 0.3)
EXTENT = 10.0
"""The size of the scene for MuJoCo, in metres; that of the long walls would spoil its shadows."""


class Wall(NamedTuple):
    """A box on the ground: centre and half sides in metres, `angle` in radians."""

    centre: tuple[float, float]
    half: tuple[float, float]
    height: float
    angle: float = 0.0


class Ant(AntEnv, ABC):
    """The ant of Gymnasium's Ant-v5.

    Observes posture and velocities (27 float64) and the entries of `sense`, without contact forces. With `see_place`
    the position of the torso in the plane comes first. The entries of `sense` lie between `low` and `high`. A subclass
    defines the reward. A fall ends the episode as in Ant-v5 (torso below 0.2 m or above 1 m) unless
    `terminate_when_unhealthy` is False. `weights` are arguments of Ant-v5's reward by name, for subclasses that use
    its terms.
    """

    def __init__(
        self,
        low: Float[np.ndarray, " sense"],
        high: Float[np.ndarray, " sense"],
        camera: dict[str, Any],
        see_place: bool = False,
        terminate_when_unhealthy: bool = True,
        render_mode: str | None = None,
        weights: Mapping[str, Any] | None = None,
    ):
        super().__init__(
            default_camera_config=camera,
            camera_id=-1,  # the free one; gymnasium 1.3 takes another by default
            include_cfrc_ext_in_observation=False,
            exclude_current_positions_from_observation=not see_place,
            terminate_when_unhealthy=terminate_when_unhealthy,
            render_mode=render_mode,
            **(weights or {}),
        )
        unbounded = np.full(self.observation_structure["qpos"] + self.observation_structure["qvel"], np.inf)
        self.observation_space = Box(np.append(-unbounded, low), np.append(unbounded, high), dtype=np.float64)

    @property
    def place(self) -> Float[np.ndarray, " 2"]:
        """The position of the torso in the plane, in metres."""
        return self.data.qpos[:2].copy()

    def specification(self) -> Any:
        """Return a new `mujoco.MjSpec` of the model, to compile or to change."""
        spec = mujoco.MjSpec.from_file(self.fullpath)
        spec.stat.extent = EXTENT
        spec.geom("floor").size = (0.0, 0.0, 40.0)  # drawn to the horizon, in squares of a metre
        ground = spec.material("MatPlane")
        ground.texuniform, ground.texrepeat = True, (1.0, 1.0)
        ground.reflectance = ground.specular = 0.0
        spec.texture("texplane").rgb1, spec.texture("texplane").rgb2 = (0.6, 0.6, 0.62), (0.7, 0.7, 0.72)
        self.furnish(spec)
        return spec

    def furnish(self, spec: Any) -> None:
        """Add the surroundings to the `mujoco.MjSpec`."""

    @abstractmethod
    def sense(self) -> Float[np.ndarray, " sense"]:
        """Return the observation of the surroundings."""

    @property
    def fell(self) -> bool:
        """Whether the episode ends because the torso is too low or too high."""
        return self._terminate_when_unhealthy and not self.is_healthy

    def _initialize_simulation(self) -> tuple[Any, Any]:
        return compiled(self.specification(), self.width, self.height)

    def _get_obs(self) -> Float[np.ndarray, " obs"]:
        return np.concatenate([super()._get_obs(), self.sense()])


def compiled(spec: Any, width: int, height: int) -> tuple[Any, Any]:
    """Compile a `mujoco.MjSpec` into model and data, for pictures of this size."""
    model = spec.compile()
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    return model, mujoco.MjData(model)


def remove(spec: Any, element: Any) -> None:
    """Delete a body or another element of a `mujoco.MjSpec`."""
    if tuple(int(part) for part in mujoco.__version__.split(".")[:3]) >= (3, 3, 4):
        spec.delete(element)
    elif isinstance(element, mujoco.MjsBody):
        spec.detach_body(element)
    else:
        element.delete()


def add_wall(parent: Any, wall: Wall, rgba: Sequence[float] = WALL_RGBA) -> None:
    """Add a wall to a body of a `mujoco.MjSpec`, in the body's own coordinates.

    It collides with the ant.
    """
    parent.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=(*wall.centre, wall.height / 2),
        size=(*wall.half, wall.height / 2),
        quat=_turned(wall.angle),
        conaffinity=1,
        rgba=rgba,
    )


def add_ground(
    spec: Any, shape: Any, centre: Float[np.ndarray, " 2"], size: Sequence[float], angle: float = 0.0
) -> None:
    """Colour the ground of a `mujoco.MjSpec` with a flat geom of this shape and size.

    Nothing collides with it.
    """
    spec.worldbody.add_geom(
        type=shape,
        pos=(*centre, 0.0),
        size=size,
        quat=_turned(angle),
        contype=0,
        conaffinity=0,
        rgba=GROUND_RGBA,
    )


def _turned(angle: float) -> tuple[float, float, float, float]:
    return float(np.cos(angle / 2)), 0.0, 0.0, float(np.sin(angle / 2))
