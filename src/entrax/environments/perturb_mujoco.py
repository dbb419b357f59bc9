"""Perturbations of a MuJoCo body: fields of its model, and pushes.

A perturbed model is a changed copy; the original is put back when the perturbation ends. Works on any
`gymnasium.envs.mujoco.MujocoEnv`. MuJoCo is not imported for other environments.
"""

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np

HEAVIER = 1.0
"""The growth of mass and inertia at severity 1: they double."""
SLIPPERIER = 0.9
"""The share of friction that severity 1 removes."""
STRONGER_GRAVITY = 1.0
"""The growth of gravity at severity 1: it doubles."""
WEAKER = 0.75
"""The share of every motor's force that severity 1 removes."""
PUSH_SPEED = 1.0
"""The impulse of a push of severity 1, divided by the body's mass: the speed it gives to the whole body, in m/s."""
PUSH_SECONDS = 0.1
"""The length of a push, rounded to whole steps."""
PUSH_GAP = (0.5, 1.5)
"""Seconds from the end of a push to the next one, drawn uniformly."""

MODEL_FIELDS = {
    "mass": ("body_mass", "body_inertia"),
    "friction": ("geom_friction", "pair_friction"),
    "gravity": ("opt.gravity",),
    "motor_strength": ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"),
}
"""The fields of `mjModel` that a family scales. MuJoCo's constants that depend on masses are computed again."""


def mujoco_body(env: gymnasium.Env) -> Any:
    """Return the unwrapped environment if it is a `MujocoEnv` of Gymnasium, else None."""
    module = sys.modules.get("gymnasium.envs.mujoco.mujoco_env")  # imported if there is an instance
    body = env.unwrapped
    return body if module is not None and isinstance(body, module.MujocoEnv) else None


def root(model: Any) -> int:
    """Return the body that pushes act on.

    It is the child of the world with most motors below it; among equals the heaviest.
    """
    import mujoco

    of_joints = model.actuator_trntype == int(mujoco.mjtTrn.mjTRN_JOINT)
    driven = model.jnt_bodyid[model.actuator_trnid[of_joints, 0]]
    motors = np.bincount(model.body_rootid[driven], minlength=model.nbody)
    candidates = np.flatnonzero(model.body_rootid == np.arange(model.nbody))[1:]
    return int(candidates[np.lexsort((model.body_subtreemass[candidates], motors[candidates]))[-1]])


def factor(family: str, severity: float) -> float:
    """Return the factor of the fields of a family of `MODEL_FIELDS`."""
    match family:
        case "mass":
            return 1.0 + HEAVIER * severity
        case "gravity":
            return 1.0 + STRONGER_GRAVITY * severity
        case "friction":
            return 1.0 - SLIPPERIER * severity
        case _:
            return 1.0 - WEAKER * severity


def scaled(model: Any, severities: dict[str, float]) -> Any:
    """Return a copy of an mjModel with the fields of each of these families scaled."""
    import mujoco

    model = copy.copy(model)
    for family, severity in severities.items():
        by = factor(family, severity)
        if family == "motor_strength":
            _scale_motors(model, by)
        else:
            for name in MODEL_FIELDS[family]:
                _field(model, name)[:] *= by
    if "mass" in severities:
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def _field(model: Any, name: str) -> np.ndarray:
    return model.opt.gravity if name == "opt.gravity" else getattr(model, name)


def _scale_motors(model: Any, by: float) -> None:
    """Scale the force of motors: linear in these parameters for fixed and affine ones, in peak force for muscles."""
    import mujoco

    muscle = model.actuator_gaintype == int(mujoco.mjtGain.mjGAIN_MUSCLE)
    model.actuator_gainprm[~muscle, :3] *= by
    model.actuator_biasprm[~muscle, :3] *= by
    model.actuator_gainprm[muscle, 2:4] *= by
    model.actuator_biasprm[muscle, 2:4] *= by
    model.actuator_forcerange *= by


def install(body: Any, model: Any, data: Any) -> None:
    """Make a MuJoCo environment simulate `model` in `data` from its next reset on."""
    body.model, body.data = model, data
    renderer = body.mujoco_renderer
    if renderer is not None:
        renderer.close()
        renderer.model, renderer.data, renderer.viewer = body.model, body.data, None
        renderer._viewers.clear()  # close() keeps the closed ones, which would be used again


class Pushes:
    """Pushes on the root body at random times, in random horizontal directions.

    A push is a constant force for `PUSH_SECONDS`. A body that can only slide along one line is pushed along it. The
    impulse of every push is severity · `PUSH_SPEED` · mass, in N s, with the unperturbed mass.
    """

    def __init__(self, body: Any, severity: float):
        self._body, self._root = body, root(body.model)
        self._line = _line(body.model, self._root)
        self._length = max(1, round(PUSH_SECONDS / body.dt))
        self.impulse = severity * PUSH_SPEED * float(body.model.body_subtreemass[self._root])
        self._force = self.impulse / (self._length * body.dt)
        self.begin(np.random.default_rng())

    def begin(self, rng: np.random.Generator) -> None:
        """Start an episode with this generator."""
        self._rng, self._left = rng, 0
        self._wait = self._gap()

    @contextmanager
    def during_step(self) -> Iterator[None]:
        """Add the force of one step to the external forces; restore them afterwards."""
        force = self._body.data.xfrc_applied[self._root]
        before = force.copy()
        force[:2] += self._next()
        try:
            yield
        finally:
            force[:] = before

    def _next(self) -> np.ndarray:
        """Return the horizontal force of the next step, in N."""
        if self._wait > 0:
            self._wait -= 1
            return np.zeros(2)
        if self._left == 0:
            self._left, self._vector = self._length, self._force * self._direction()
        self._left -= 1
        if self._left == 0:
            self._wait = self._gap()
        return self._vector

    def _gap(self) -> int:
        return max(1, round(self._rng.uniform(*PUSH_GAP) / self._body.dt))

    def _direction(self) -> np.ndarray:
        if self._line is not None:
            return self._line * self._rng.choice([-1.0, 1.0])
        angle = self._rng.uniform(0.0, 2.0 * np.pi)
        return np.array([np.cos(angle), np.sin(angle)])


def _line(model: Any, body: int) -> np.ndarray | None:
    """Return the horizontal unit vector along which a planar body slides; None for other bodies."""
    import mujoco

    joints = range(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body])
    slides = [j for j in joints if model.jnt_type[j] == int(mujoco.mjtJoint.mjJNT_SLIDE)]
    horizontal = [axis for j in slides if np.linalg.norm(axis := model.jnt_axis[j, :2]) > 1e-6]
    if not horizontal or np.linalg.matrix_rank(np.array(horizontal), tol=1e-6) > 1:
        return None
    return horizontal[0] / np.linalg.norm(horizontal[0])
