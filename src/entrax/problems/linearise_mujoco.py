"""Linear-quadratic problems near a state or a trajectory of a Gymnasium MuJoCo environment.

States are deviations in MuJoCo's tangent space: of positions (n_v, by `mj_differentiatePos`), velocities (n_v) and
activations. `mjd_transitionFD` differentiates one physics step. An environment step is `frame_skip` of them with the
same control, so

    A = A_k ⋯ A_1,   B = Σ_i A_k ⋯ A_{i+1} B_i                                                                 (1)

`mjd_transitionFD` refuses the Runge-Kutta integrator, as of Reacher-v5. For it the whole environment step is
differentiated by central differences in the same space.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from entrax.errors import UsageError
from entrax.problems.toy_text import make, name_of

_SAME = 1e-7  # the largest difference of the environment's own step, relative to the state

Vector = Float[np.ndarray, " _"]
Matrix = Float[np.ndarray, "_ _"]


class _State(NamedTuple):
    """Positions, velocities and activations."""

    qpos: Vector
    qvel: Vector
    act: Vector


def from_mujoco(
    env: Any,
    *,
    qpos: ArrayLike | None = None,
    qvel: ArrayLike | None = None,
    action: ArrayLike | None = None,
    joints: tuple[str, ...] | None = None,
    epsilon: float = 1e-6,
    **options: Any,
) -> dict[str, Any]:
    """Return A, B and the drift near a state and an action, or near the trajectory of several actions.

    The problem's states are the deviations of the positions, velocities and activations from the reference, with
    2 n_v + n_a entries. Its actions are deviations from `action`. The environment is reset.

    Args:
        env: a Gymnasium id, or an environment whose actions are MuJoCo's controls.
        qpos: the positions; by default those at which the environment starts.
        qvel: the velocities; by default 0.
        action: the action, shape (m,), by default 0; or T actions, shape (T, m), that are applied one after another.
        joints: the names of the joints whose positions and velocities to keep; by default all. Other joints are held at
            their reference.
        epsilon: the finite difference, in the units of the state.
        **options: further arguments of `LinearQuadratic`: the cost, noise and others.

    Raises:
        UsageError: this is not a MuJoCo environment, its step is not `frame_skip` physics steps with the action as the
            control, or an argument does not fit.
    """
    made = make(env) if isinstance(env, str) else env
    try:
        return _linearised(made, qpos, qvel, action, joints, epsilon) | options
    finally:
        if made is not env:
            made.close()


def _linearised(env: Any, qpos: Any, qvel: Any, action: Any, joints: Any, epsilon: float) -> dict[str, Any]:
    import mujoco
    from gymnasium.envs.mujoco import MujocoEnv

    bare = env.unwrapped
    if not isinstance(bare, MujocoEnv):
        raise UsageError(f"{name_of(env)} is not a Gymnasium MuJoCo environment, which `from_mujoco` requires.")
    model = bare.model
    state = _State(
        qpos=_vector("qpos", bare.init_qpos if qpos is None else qpos, model.nq),
        qvel=_vector("qvel", np.zeros(model.nv) if qvel is None else qvel, model.nv),
        act=np.zeros(model.na),
    )
    actions = np.zeros(model.nu) if action is None else np.array(action, float)
    if actions.shape[-1:] != (model.nu,) or actions.ndim not in (1, 2) or not np.all(np.isfinite(actions)):
        raise UsageError(f"`action` must hold {model.nu} finite numbers, or T rows of them, got shape {actions.shape}.")
    kept = _kept(model, joints)
    data = mujoco.MjData(model)
    steps = []
    for control in np.atleast_2d(actions):
        _check_step(env, data, state, control)
        a, b, after = _step_derivatives(model, data, state, control, bare.frame_skip, epsilon)
        # A trajectory passes through `after`; a point stays where it is.
        drift = np.zeros(len(a)) if actions.ndim == 2 else _difference(model, state, after)
        steps.append((a[np.ix_(kept, kept)], b[kept], drift[kept]))
        state = after
    a, b, drift = (np.stack(each) for each in zip(*steps, strict=True))
    return {"A": a, "B": b, "drift": drift} if actions.ndim == 2 else {"A": a[0], "B": b[0], "drift": drift[0]}


def _step_derivatives(
    model: Any, data: Any, state: _State, control: Vector, frame_skip: int, epsilon: float
) -> tuple[Matrix, Matrix, _State]:
    """Return A and B of one environment step, equation (1), and the state after it."""
    import mujoco

    if model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4:
        return _central_differences(model, data, state, control, frame_skip, epsilon)
    size = 2 * model.nv + model.na
    a, b = np.eye(size), np.zeros((size, model.nu))
    a_one, b_one = np.zeros((size, size)), np.zeros((size, model.nu))
    _set(model, data, state, control)
    for _ in range(frame_skip):
        mujoco.mjd_transitionFD(model, data, epsilon, True, a_one, b_one, None, None)
        a, b = a_one @ a, a_one @ b + b_one
        mujoco.mj_step(model, data)
    return a, b, _read(data)


def _central_differences(
    model: Any, data: Any, state: _State, control: Vector, frame_skip: int, epsilon: float
) -> tuple[Matrix, Matrix, _State]:
    """Return A and B of one environment step by central differences, and the state after it."""
    states = 2 * model.nv + model.na
    columns = []
    for move in np.eye(states + model.nu) * epsilon:
        ends = [
            _after(model, data, _moved(model, state, sign * move[:states]), control + sign * move[states:], frame_skip)
            for sign in (-1, 1)
        ]
        columns.append(_difference(model, *ends) / (2 * epsilon))
    both = np.stack(columns, axis=1)
    return both[:, :states], both[:, states:], _after(model, data, state, control, frame_skip)


def _after(model: Any, data: Any, state: _State, control: Vector, steps: int) -> _State:
    import mujoco

    _set(model, data, state, control)
    mujoco.mj_step(model, data, nstep=steps)
    return _read(data)


def _set(model: Any, data: Any, state: _State, control: Vector) -> None:
    import mujoco

    mujoco.mj_resetData(model, data)
    data.qpos[:], data.qvel[:], data.act[:], data.ctrl[:] = *state, control
    mujoco.mj_forward(model, data)


def _read(data: Any) -> _State:
    return _State(qpos=data.qpos.copy(), qvel=data.qvel.copy(), act=data.act.copy())


def _moved(model: Any, state: _State, change: Vector) -> _State:
    """Return the state moved by a tangent vector."""
    import mujoco

    qpos = state.qpos.copy()
    mujoco.mj_integratePos(model, qpos, np.ascontiguousarray(change[: model.nv]), 1.0)
    return _State(
        qpos=qpos,
        qvel=state.qvel + change[model.nv : 2 * model.nv],
        act=state.act + change[2 * model.nv :],
    )


def _difference(model: Any, first: _State, second: _State) -> Vector:
    """Return the tangent vector from the first state to the second."""
    import mujoco

    positions = np.zeros(model.nv)
    mujoco.mj_differentiatePos(model, positions, 1.0, first.qpos, second.qpos)
    return np.concatenate([positions, second.qvel - first.qvel, second.act - first.act])


def _check_step(env: Any, data: Any, state: _State, control: Vector) -> None:
    """Check that the environment's own step does what the physics steps do."""
    bare = env.unwrapped
    env.reset(seed=0)
    bare.set_state(state.qpos, state.qvel)
    bare.data.act[:] = state.act
    env.step(control.astype(env.action_space.dtype))
    expected = _after(bare.model, data, state, control.astype(env.action_space.dtype).astype(float), bare.frame_skip)
    gap = np.concatenate([bare.data.qpos - expected.qpos, bare.data.qvel - expected.qvel])
    size = 1 + np.abs(np.concatenate([expected.qpos, expected.qvel])).max()
    if not np.all(np.abs(gap) <= _SAME * size):
        raise UsageError(
            f"A step of {name_of(env)} must be {bare.frame_skip} physics steps with the action as the control, but its "
            f"state differs from theirs by {np.abs(gap).max():.3g}. Remove wrappers that change actions."
        )


def _kept(model: Any, joints: tuple[str, ...] | None) -> list[int]:
    """Return the entries of the state that belong to the named joints."""
    import mujoco

    if joints is None:
        return list(range(2 * model.nv + model.na))
    known = [model.joint(i).name for i in range(model.njnt)]
    dofs: list[int] = []
    for name in joints:
        if name not in known:
            raise UsageError(f"`joints` must name joints of the model, {', '.join(known)}, got {name!r}.")
        joint = model.joint(name)
        size = {mujoco.mjtJoint.mjJNT_FREE: 6, mujoco.mjtJoint.mjJNT_BALL: 3}.get(mujoco.mjtJoint(joint.type[0]), 1)
        dofs += range(int(joint.dofadr[0]), int(joint.dofadr[0]) + size)
    return [*dofs, *(model.nv + dof for dof in dofs), *range(2 * model.nv, 2 * model.nv + model.na)]


def _vector(name: str, given: Any, size: int) -> Vector:
    vector = np.array(given, float)
    if vector.shape != (size,) or not np.all(np.isfinite(vector)):
        raise UsageError(f"`{name}` must hold {size} finite numbers, got shape {vector.shape}.")
    return vector
