"""Slopes, stairs and hurdles as geometry on the ground of a MuJoCo model.

The ground changes in the direction +x, from just beyond the body's reach at the start, across the whole width. The
model is read again from its file, or from the environment's specification (`HasSpecification`). Boxes with the contact
parameters of its ground plane are added to the world and the model is compiled. No body is added, so that observations
of all bodies keep their size. The boxes stand on the ground plane for ground that rises, and replace it for ground that
falls. Walls are extended up or down by the change of the ground up to the farthest of them.

Gymnasium's bodies measure their height, for their health and their observation, from z = 0. On a slope that would be
the altitude. Therefore `RelativeHeight` shifts the body between simulations, so that its height is that above the
ground below it, while the simulation runs at the true position. For stairs that ground is the line through the treads'
middles.
"""

import copy
import warnings
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Protocol, runtime_checkable

import numpy as np

from entrax.environments.perturb_mujoco import MODEL_FIELDS, root
from entrax.errors import UsageError

STEEPEST = 15.0
"""The angle of a slope of severity 1, in degrees."""
TREAD, RISER, STEPS = 0.5, 0.2, 200
"""A stair's depth in m, its height in m at severity 1, and the number of stairs before the landing."""
HURDLE, HURDLE_WIDTH, HURDLE_GAP, HURDLES = 0.2, 0.1, 2.0, 100
"""A hurdle's height at severity 1, its width and the distance between two, in m, and the number of hurdles."""

GROUND = ("slope_up", "slope_down", "stairs_up", "stairs_down", "obstacles")
HALF_LENGTH, HALF_WIDTH, HALF_DEPTH = 1000.0, 500.0, 0.5
MARGIN = 0.1  # m between the body's reach at the start and where the ground changes
COMPARED = (
    *(name for fields in MODEL_FIELDS.values() for name in fields),  # another perturbation may have scaled them
    *("opt.timestep", "opt.wind", "opt.density", "opt.viscosity"),
    *("nq", "ngeom", "nsite", "geom_pos", "geom_size", "body_pos", "actuator_gear", "actuator_ctrlrange"),
    *("jnt_axis", "jnt_range", "jnt_stiffness", "dof_damping", "dof_armature"),
)
"""Fields of `mjModel` that must be unchanged, since a model on other ground is made by reading it again."""


@runtime_checkable
class HasSpecification(Protocol):
    """An environment whose model differs from its file, such as ours with added walls."""

    def specification(self) -> Any:
        """Return a new `mujoco.MjSpec` of its model."""


@dataclass(frozen=True)
class Terrain:
    """Ground that changes from x = `start` (m).

    `rise` is a gradient, or the height of a stair or a hurdle (m).
    """

    family: str
    rise: float
    start: float

    def height(self, x: float) -> float:
        """Return the height in m of the ground at x.

        For stairs it is that of the line through the middles of the treads.
        """
        beyond = x - self.start
        match self.family:
            case "slope_up" | "slope_down":
                return self.rise * max(0.0, beyond)
            case "stairs_up" | "stairs_down":
                return self.rise * min(max(0.0, beyond / TREAD + 0.5), STEPS)
            case _:
                return 0.0


def terrain(body: Any, family: str, severity: float) -> Terrain:
    """Return the ground of this family and severity for a MuJoCo environment."""
    sign = -1.0 if family.endswith("down") else 1.0
    match family:
        case "slope_up" | "slope_down":
            rise = sign * np.tan(np.radians(STEEPEST * severity))
        case "stairs_up" | "stairs_down":
            rise = sign * RISER * severity
        case _:
            rise = HURDLE * severity
    return Terrain(family, float(rise), round(_reach(body) + MARGIN, 6))


def unsupported_ground(body: Any) -> str | None:
    """Return the reason why the ground of a MuJoCo environment cannot be changed.

    Returns None if it can.
    """
    import mujoco

    model = body.model
    planes = (model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE)) & (model.geom_bodyid == 0)
    solid = (model.geom_contype | model.geom_conaffinity) != 0
    if not (planes & solid & (np.abs(model.geom_quat[:, 0]) > 1.0 - 1e-9)).any():
        return "its model has no level ground plane that touches anything"
    if _coordinate(model, 0) is None or _coordinate(model, 2) is None:
        return "its body cannot move along x and z"
    try:
        original = _original_model(body, None)
    except ValueError as error:
        return f"its model cannot be read again: {error}"
    differing = [name for name in COMPARED if not np.array_equal(attrgetter(name)(model), attrgetter(name)(original))]
    return f"its model was changed after it was made ({', '.join(differing)})" if differing else None


def _original_model(body: Any, ground: Terrain | None) -> Any:
    """Return the original mjModel of a MuJoCo environment, on this ground. It is shared: copy it before changes."""
    if isinstance(body, HasSpecification):
        return _compiled(body.specification(), ground)
    return _from_file(body.fullpath, ground)


@lru_cache(maxsize=32)  # a stress test returns to the same grounds
def _from_file(path: str, ground: Terrain | None) -> Any:
    import mujoco

    from entrax.environments.source import quiet

    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "compiler attribute")  # in HalfCheetah's model
        return _compiled(mujoco.MjSpec.from_file(path), ground)


def _compiled(spec: Any, ground: Terrain | None) -> Any:
    if ground is not None:
        _build(spec, ground)
    return spec.compile()


def on_ground(body: Any, ground: Terrain) -> Any:
    """Return a model of a MuJoCo environment on this ground.

    `unsupported_ground` must have returned None.
    """
    model = copy.copy(_original_model(body, ground))
    for name in ("offwidth", "offheight"):  # picture sizes, set after reading
        setattr(model.vis.global_, name, getattr(body.model.vis.global_, name))
    model.stat.extent, model.stat.center[:] = (
        body.model.stat.extent,
        body.model.stat.center,
    )  # kilometres of ground would spoil shadows
    return model


class RelativeHeight:
    """Measures the height of a MuJoCo body from the ground below it.

    Replaces `do_simulation` on the instance, after which all of Gymnasium's environments compute reward, health and
    observation.
    """

    def __init__(self, body: Any, ground: Terrain):
        x, z = _coordinate(body.model, 0), _coordinate(body.model, 2)
        if x is None or z is None:
            raise UsageError(f"{ground.family} cannot be applied: the body cannot move along x and z.")
        self._body, self._ground, self._x, self._z = body, ground, x, z
        self._simulate, self._ground_height = body.do_simulation, 0.0
        self._offset = float(body.model.body_pos[root(body.model), 0] - body.model.qpos0[x])
        if _is_free(body.model):
            self._offset = 0.0
        vars(body)["do_simulation"] = self._do_simulation
        self._camera = body.mujoco_renderer.default_cam_config
        middle = {"lookat": np.median(body.data.geom_xpos, axis=0)}  # not the middle of a kilometre of ground
        body.mujoco_renderer.default_cam_config = middle | (self._camera or {})

    def begin(self) -> None:
        """Start an episode: a reset puts the body on level ground."""
        self._ground_height = 0.0

    def remove(self) -> None:
        """Restore `do_simulation` and the camera of the environment."""
        vars(self._body).pop("do_simulation", None)
        self._body.mujoco_renderer.default_cam_config = self._camera

    def _do_simulation(self, ctrl: np.ndarray, n_frames: int) -> None:
        qpos = self._body.data.qpos
        qpos[self._z] += self._ground_height
        self._simulate(ctrl, n_frames)
        self._ground_height = self._ground.height(float(qpos[self._x]) + self._offset)
        qpos[self._z] -= self._ground_height


def _build(spec: Any, ground: Terrain) -> None:
    import mujoco

    planes = (g for g in spec.worldbody.geoms if g.type == mujoco.mjtGeom.mjGEOM_PLANE)
    plane = next(g for g in planes if g.contype | g.conaffinity)
    like = _surface(plane)
    top = float(plane.pos[2])
    _extend_walls(spec, ground)

    def box(centre: tuple[float, float, float], half: tuple[float, float, float], tilt: float = 0.0) -> None:
        """Add a box, rotated by `tilt` radians so that its far end in x rises."""
        quat = [np.cos(tilt / 2.0), 0.0, -np.sin(tilt / 2.0), 0.0]
        x, y, z = centre
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=[x, y, top + z], size=half, quat=quat, **like)

    if ground.rise < 0.0:
        box((ground.start - HALF_LENGTH, 0.0, -HALF_DEPTH), (HALF_LENGTH, HALF_WIDTH, HALF_DEPTH))
        plane.contype, plane.conaffinity, plane.material, plane.rgba = 0, 0, "", (0.0, 0.0, 0.0, 0.0)  # also invisible
    for centre, half, tilt in _boxes(ground):
        box(centre, half, tilt)


def _surface(geom: Any) -> dict[str, Any]:
    """Return the contact and display properties of a geom, for another one beside it."""
    names = (
        *("contype", "conaffinity", "condim", "priority", "friction", "solref", "solimp", "solmix", "margin", "gap"),
        *("material", "rgba", "group"),
    )
    return {name: getattr(geom, name) for name in names}


def _extend_walls(spec: Any, ground: Terrain) -> None:
    """Extend every fixed, solid, upright box by another on top or below, so that nothing passes over or under it."""
    import mujoco

    def along(geom: Any) -> float:
        """Return the farthest x of a geom."""
        cosine, sine = geom.quat[0] ** 2 - geom.quat[3] ** 2, 2.0 * geom.quat[0] * geom.quat[3]
        return float(geom.pos[0] + abs(cosine) * geom.size[0] + abs(sine) * geom.size[1])

    fixed = [body for body in spec.bodies if body.name == "world" or body.mocap]
    boxes = [(body, geom) for body in fixed for geom in body.geoms if geom.type == mujoco.mjtGeom.mjGEOM_BOX]
    walls = [(body, geom) for body, geom in boxes if geom.contype | geom.conaffinity and not geom.quat[1:3].any()]
    depth = ground.height(max((along(geom) for _, geom in walls), default=0.0))
    if depth == 0.0:
        return
    half = (abs(depth) + abs(ground.rise)) / 2.0  # a tread can differ by a riser from the line
    for body, geom in walls:
        x, y, z = geom.pos
        centre = (x, y, z + np.sign(depth) * (geom.size[2] + half))
        look = {"rgba": (*geom.rgba[:3], 0.2)} if depth > 0.0 else {}  # transparent from above
        shape = {"type": geom.type, "pos": centre, "size": (*geom.size[:2], half), "quat": geom.quat}
        body.add_geom(**shape, **_surface(geom) | look)


def _boxes(ground: Terrain) -> list[tuple[tuple[float, float, float], tuple[float, float, float], float]]:
    """Return (centre, half sizes, tilt) of the boxes that change the ground beyond its start."""
    start, rise = ground.start, ground.rise
    match ground.family:
        case "slope_up" | "slope_down":
            tilt = float(np.arctan(rise))
            along, across = np.array([np.cos(tilt), np.sin(tilt)]), np.array([-np.sin(tilt), np.cos(tilt)])
            x, z = HALF_LENGTH * along - HALF_DEPTH * across
            return [((start + float(x), 0.0, float(z)), (HALF_LENGTH, HALF_WIDTH, HALF_DEPTH), tilt)]
        case "stairs_up" | "stairs_down":
            middles = [start + (step + 0.5) * TREAD for step in range(STEPS)]
            halves = [TREAD / 2.0] * (STEPS - 1) + [HALF_LENGTH]
            middles[-1] += HALF_LENGTH - TREAD / 2.0  # the last one is the landing
            return [
                ((x, 0.0, (step + 1) * rise - HALF_DEPTH), (half, HALF_WIDTH, HALF_DEPTH), 0.0)
                for step, (x, half) in enumerate(zip(middles, halves, strict=True))
            ]
        case _:
            places = [start + HURDLE_WIDTH / 2.0 + n * HURDLE_GAP for n in range(HURDLES)]
            return [((x, 0.0, rise / 2.0), (HURDLE_WIDTH / 2.0, HALF_WIDTH, rise / 2.0), 0.0) for x in places]


def _reach(body: Any) -> float:
    """Return how far the body extends along x at its initial position, at least half a tread, in m."""
    import mujoco

    model, data = body.model, body.data
    data.qpos[:] = body.init_qpos  # the environment is reset before it is used again
    mujoco.mj_kinematics(model, data)
    own = model.body_rootid[model.geom_bodyid] == root(model)
    return max(TREAD / 2.0, float((data.geom_xpos[own, 0] + model.geom_rbound[own]).max()))


def _is_free(model: Any) -> bool:
    import mujoco

    joint = model.body_jntadr[root(model)]
    return joint >= 0 and bool(model.jnt_type[joint] == int(mujoco.mjtJoint.mjJNT_FREE))


def _coordinate(model: Any, axis: int) -> int | None:
    """Return the index in qpos of the root's position along a world axis; None if it cannot move freely."""
    import mujoco

    body = root(model)
    if _is_free(model):
        return int(model.jnt_qposadr[model.body_jntadr[body]]) + axis
    for joint in range(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]):
        if model.jnt_type[joint] != int(mujoco.mjtJoint.mjJNT_SLIDE) or abs(model.body_quat[body, 0]) < 1.0 - 1e-9:
            return None
        if model.jnt_axis[joint, axis] > 1.0 - 1e-9:
            return int(model.jnt_qposadr[joint])
    return None
