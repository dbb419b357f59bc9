"""Slopes, stairs and hurdles as geometry on the ground of a MuJoCo model.

The ground changes in the direction +x, from just beyond the body's reach at the start, across the whole width. The
model's file is read again, or its specification asked for again where the environment has one (`Specified`); boxes with
the contact parameters of its ground plane are added to the world, and the whole is compiled: no body is added, so that
an observation of all bodies keeps its size. Boxes stand on the ground plane where the way leads up, and replace it
where it leads down. Walls are continued up or down by as much as the ground changes up to the farthest of them.

A gymnasium body measures its height, for its health and in its observation, from z = 0. On a slope that would make
altitude a matter of health; so between simulations (`lowered`) its height is given from the ground below it, and the
simulation itself runs in the true place. For stairs that ground is the straight line through the treads' middles.
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
"""Degrees of a slope of severity 1."""
TREAD, RISER, STEPS = 0.5, 0.2, 200
"""A stair's depth in m, its height in m at severity 1, and how many there are before the landing."""
HURDLE, HURDLE_WIDTH, HURDLE_GAP, HURDLES = 0.2, 0.1, 2.0, 100
"""A hurdle's height in m at severity 1, its width along the way, the distance between two, and how many there are."""

GROUND = ("slope_up", "slope_down", "stairs_up", "stairs_down", "obstacles")
HALF_LENGTH, HALF_WIDTH, HALF_DEPTH = 1000.0, 500.0, 0.5
MARGIN = 0.1  # m between the body's reach at the start and where the ground changes
COMPARED = (
    *(name for fields in MODEL_FIELDS.values() for name in fields),  # what another perturbation may have scaled
    *("opt.timestep", "opt.wind", "opt.density", "opt.viscosity"),
    *("nq", "ngeom", "nsite", "geom_pos", "geom_size", "body_pos", "actuator_gear", "actuator_ctrlrange"),
    *("jnt_axis", "jnt_range", "jnt_stiffness", "dof_damping", "dof_armature"),
)
"""Fields of `mjModel` that must be as when it was read, since a model on other ground is made by reading it again."""


@runtime_checkable
class Specified(Protocol):
    """An environment whose model is not as in a file: one of ours, that has walls added to Gymnasium's."""

    def specification(self) -> Any:
        """A new `mujoco.MjSpec` of its model."""


@dataclass(frozen=True)
class Terrain:
    """Ground that changes from `start` (m along x): a slope's gradient, or a stair's height, or a hurdle's (m)."""

    family: str
    rise: float
    start: float

    def height(self, x: float) -> float:
        """Height in m of the ground below x; of stairs, of the line through the middles of their treads."""
        beyond = x - self.start
        match self.family:
            case "slope_up" | "slope_down":
                return self.rise * max(0.0, beyond)
            case "stairs_up" | "stairs_down":
                return self.rise * min(max(0.0, beyond / TREAD + 0.5), STEPS)
            case _:
                return 0.0


def terrain(body: Any, family: str, severity: float) -> Terrain:
    """The ground that this family and severity give to a MuJoCo environment."""
    sign = -1.0 if family.endswith("down") else 1.0
    match family:
        case "slope_up" | "slope_down":
            rise = sign * np.tan(np.radians(STEEPEST * severity))
        case "stairs_up" | "stairs_down":
            rise = sign * RISER * severity
        case _:
            rise = HURDLE * severity
    return Terrain(family, float(rise), round(_reach(body) + MARGIN, 6))


def unfit_ground(body: Any) -> str | None:
    """Why the ground below a MuJoCo environment cannot be changed; None when it can."""
    import mujoco

    model = body.model
    planes = (model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE)) & (model.geom_bodyid == 0)
    solid = (model.geom_contype | model.geom_conaffinity) != 0
    if not (planes & solid & (np.abs(model.geom_quat[:, 0]) > 1.0 - 1e-9)).any():
        return "its model has no level ground plane to touch"
    if _coordinate(model, 0) is None or _coordinate(model, 2) is None:
        return "its body cannot move along x and z"
    try:
        again = _made_again(body, None)
    except ValueError as error:
        return f"its model cannot be made again: {error}"
    differing = [name for name in COMPARED if not np.array_equal(attrgetter(name)(model), attrgetter(name)(again))]
    if differing:
        return f"its model was changed after it was made ({', '.join(differing)})"
    return None


def _made_again(body: Any, ground: Terrain | None) -> Any:
    """The mjModel of a MuJoCo environment as it first was, on this ground. To be copied, not changed."""
    return _compiled(body.specification(), ground) if isinstance(body, Specified) else _from_file(body.fullpath, ground)


@lru_cache(maxsize=32)  # the conditions of a stress test come again and again
def _from_file(path: str, ground: Terrain | None) -> Any:
    import mujoco

    from entrax.environments.source import quiet

    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "compiler attribute")  # of HalfCheetah's model
        return _compiled(mujoco.MjSpec.from_file(path), ground)


def _compiled(spec: Any, ground: Terrain | None) -> Any:
    if ground is not None:
        _build(spec, ground)
    return spec.compile()


def on_ground(body: Any, ground: Terrain) -> Any:
    """A model of a MuJoCo environment on this ground, for one that `unfit_ground` has nothing against."""
    model = copy.copy(_made_again(body, ground))
    for name in ("offwidth", "offheight"):  # the size of its pictures, set after reading
        setattr(model.vis.global_, name, getattr(body.model.vis.global_, name))
    model.stat.extent, model.stat.center[:] = body.model.stat.extent, body.model.stat.center  # kilometres: no shadows
    return model


class Lowered:
    """Gives a MuJoCo environment its height above the ground below it, between any two simulations.

    The lowest level that all of Gymnasium's environments call, `do_simulation`, is replaced on the instance: their
    reward, health and observation are computed after it.
    """

    def __init__(self, body: Any, ground: Terrain):
        x, z = _coordinate(body.model, 0), _coordinate(body.model, 2)
        if x is None or z is None:
            raise UsageError(f"{ground.family} cannot be applied: the body cannot move along x and z.")
        self._body, self._ground, self._x, self._z = body, ground, x, z
        self._simulate, self._under = body.do_simulation, 0.0
        self._offset = float(body.model.body_pos[root(body.model), 0] - body.model.qpos0[x])
        if _is_free(body.model):
            self._offset = 0.0
        vars(body)["do_simulation"] = self._do_simulation
        self._camera = body.mujoco_renderer.default_cam_config
        middle = {"lookat": np.median(body.data.geom_xpos, axis=0)}  # else that of a kilometre of ground is looked at
        body.mujoco_renderer.default_cam_config = middle | (self._camera or {})

    def begin(self) -> None:
        """Before a reset, which puts the body on the level start."""
        self._under = 0.0

    def remove(self) -> None:
        """Give the environment its own way of simulating, and its camera, back."""
        vars(self._body).pop("do_simulation", None)
        self._body.mujoco_renderer.default_cam_config = self._camera

    def _do_simulation(self, ctrl: np.ndarray, n_frames: int) -> None:
        qpos = self._body.data.qpos
        qpos[self._z] += self._under
        self._simulate(ctrl, n_frames)
        self._under = self._ground.height(float(qpos[self._x]) + self._offset)
        qpos[self._z] -= self._under


def _build(spec: Any, ground: Terrain) -> None:
    import mujoco

    planes = (g for g in spec.worldbody.geoms if g.type == mujoco.mjtGeom.mjGEOM_PLANE)
    plane = next(g for g in planes if g.contype | g.conaffinity)
    like = _surface(plane)
    top = float(plane.pos[2])
    _continue_walls(spec, ground)

    def box(centre: tuple[float, float, float], half: tuple[float, float, float], tilt: float = 0.0) -> None:
        """A box, turned by `tilt` radians so that its far end in x rises."""
        quat = [np.cos(tilt / 2.0), 0.0, -np.sin(tilt / 2.0), 0.0]
        x, y, z = centre
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=[x, y, top + z], size=half, quat=quat, **like)

    if ground.rise < 0.0:
        box((ground.start - HALF_LENGTH, 0.0, -HALF_DEPTH), (HALF_LENGTH, HALF_WIDTH, HALF_DEPTH))
        plane.contype, plane.conaffinity, plane.material, plane.rgba = 0, 0, "", (0.0, 0.0, 0.0, 0.0)  # not seen either
    for centre, half, tilt in _boxes(ground):
        box(centre, half, tilt)


def _surface(geom: Any) -> dict[str, Any]:
    """What a geom beside another takes over: how it touches, and how it looks."""
    names = (
        *("contype", "conaffinity", "condim", "priority", "friction", "solref", "solimp", "solmix", "margin", "gap"),
        *("material", "rgba", "group"),
    )
    return {name: getattr(geom, name) for name in names}


def _continue_walls(spec: Any, ground: Terrain) -> None:
    """Add to every solid upright box that cannot fall another, on top of it or below: no way leads over or under it."""
    import mujoco

    def along(geom: Any) -> float:
        """Its farthest x."""
        cosine, sine = geom.quat[0] ** 2 - geom.quat[3] ** 2, 2.0 * geom.quat[0] * geom.quat[3]
        return float(geom.pos[0] + abs(cosine) * geom.size[0] + abs(sine) * geom.size[1])

    fixed = [body for body in spec.bodies if body.name == "world" or body.mocap]
    boxes = [(body, geom) for body in fixed for geom in body.geoms if geom.type == mujoco.mjtGeom.mjGEOM_BOX]
    walls = [(body, geom) for body, geom in boxes if geom.contype | geom.conaffinity and not geom.quat[1:3].any()]
    depth = ground.height(max((along(geom) for _, geom in walls), default=0.0))
    if depth == 0.0:
        return
    half = (abs(depth) + abs(ground.rise)) / 2.0  # a tread may lie by a riser off the line
    for body, geom in walls:
        x, y, z = geom.pos
        centre = (x, y, z + np.sign(depth) * (geom.size[2] + half))
        look = {"rgba": (*geom.rgba[:3], 0.2)} if depth > 0.0 else {}  # to be seen through from above
        shape = {"type": geom.type, "pos": centre, "size": (*geom.size[:2], half), "quat": geom.quat}
        body.add_geom(**shape, **_surface(geom) | look)


def _boxes(ground: Terrain) -> list[tuple[tuple[float, float, float], tuple[float, float, float], float]]:
    """(centre, half sizes, tilt) of what changes the ground beyond its start."""
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
    """How far along x the body extends at its initial position, and at least half a tread, in m."""
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
    """Where in qpos the root's place along a world axis stands: of a free joint, or of a slide before any hinge."""
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
