"""Reward and termination of Gymnasium's MuJoCo environments, for many plans at once.

Each formula is a function of the moments before and after a step, [plan, time, …]; of the actions as the environment
gets them; and of the environment, for its weights and ranges. Gymnasium computes costs of actions in the dtype of the
action space. The formulas do the same, since the results must be equal to 1e-10.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Bool, Float

Rewards = Float[np.ndarray, "plan time"]
Ends = Bool[np.ndarray, "plan time"]
Results = tuple[Rewards, Ends]


@dataclass(frozen=True)
class Moment:
    """MuJoCo's state in several plans and steps.

    Attributes:
        qpos: positions [plan, time, nq].
        qvel: velocities [plan, time, nv].
        read: further arrays of mjData that a formula asks for, [plan, time, …], by name. As in the environment, those
            that follow from the positions are of the evaluation before the last integration.
    """

    qpos: Float[np.ndarray, "plan time nq"]
    qvel: Float[np.ndarray, "plan time nv"]
    read: dict[str, np.ndarray] = field(default_factory=dict)


Function = Callable[[Moment, Moment, np.ndarray, Any], Results]
"""`function(before, after, action, env) → (reward, terminated)`, each [plan, time]; `env` is the unwrapped one."""


@dataclass(frozen=True)
class Formula:
    """A reward function, and the arrays of mjData that it reads besides positions and velocities."""

    function: Function
    reads: tuple[str, ...] = ()


def formula_of(env: gymnasium.Env) -> Formula | None:
    """Return the formula of a Gymnasium environment; None for other environments, subclasses among them."""
    kind = type(env.unwrapped)
    package, _, module = kind.__module__.rpartition(".")
    return FORMULAS.get((module, kind.__name__)) if package == "gymnasium.envs.mujoco" else None


def inverted_pendulum(before: Moment, after: Moment, action: np.ndarray, env: Any) -> Results:
    """1 while the pole stays within 0.2 radians."""
    state = np.concatenate([after.qpos, after.qvel], axis=-1)
    terminated = ~np.isfinite(state).all(axis=-1) | (np.abs(after.qpos[..., 1]) > 0.2)
    return (~terminated).astype(float), terminated


def inverted_double_pendulum(before: Moment, after: Moment, action: np.ndarray, env: Any) -> Results:
    """A bonus, less the tip's distance from its highest point and the joints' speeds."""
    x, y = after.read["site_xpos"][..., 0, 0], after.read["site_xpos"][..., 0, 2]
    terminated = y <= 1
    distance = 0.01 * x**2 + (y - 2) ** 2
    speed = 1e-3 * after.qvel[..., 1] ** 2 + 5e-3 * after.qvel[..., 2] ** 2
    return env._healthy_reward * ~terminated - distance - speed, terminated


def reacher(before: Moment, after: Moment, action: np.ndarray, env: Any) -> Results:
    """Less the distance from fingertip to target, and the action's square."""
    finger, target = (env.model.body(name).id for name in ("fingertip", "target"))
    place = after.read["xpos"]
    distance = np.linalg.norm(place[..., finger, :] - place[..., target, :], axis=-1)
    reward = -distance * env._reward_dist_weight - np.square(action).sum(axis=-1) * env._reward_control_weight
    return reward, np.zeros(reward.shape, bool)


def half_cheetah(before: Moment, after: Moment, action: np.ndarray, env: Any) -> Results:
    """Forward speed, less the cost of the action."""
    reward = _forward(before.qpos, after.qpos, env) - _control_cost(action, env)
    return reward, np.zeros(reward.shape, bool)


def hopper(before: Moment, after: Moment, action: np.ndarray, env: Any) -> Results:
    """Forward speed and a bonus while it is upright, less the cost of the action."""
    rest = np.concatenate([after.qpos, after.qvel], axis=-1)[..., 2:]
    healthy = _between(rest, env._healthy_state_range).all(axis=-1) & _upright(after, env)
    return _legged(before, after, action, env, healthy)


def walker2d(before: Moment, after: Moment, action: np.ndarray, env: Any) -> Results:
    """Forward speed and a bonus while it is upright, less the cost of the action."""
    return _legged(before, after, action, env, _upright(after, env))


def ant(before: Moment, after: Moment, action: np.ndarray, env: Any) -> Results:
    """Forward speed and a bonus while its height is in range, less the costs of action and contacts."""
    body = env.data.body(env._main_body).id
    state = np.concatenate([after.qpos, after.qvel], axis=-1)
    low, high = env._healthy_z_range
    healthy = np.isfinite(state).all(axis=-1) & (low <= state[..., 2]) & (state[..., 2] <= high)
    forward = _forward(before.read["xpos"][..., body, :], after.read["xpos"][..., body, :], env)
    forces = np.clip(after.read["cfrc_ext"], *env._contact_force_range)
    contact = env._contact_cost_weight * np.square(forces).sum(axis=(-2, -1))
    reward = forward + healthy * env._healthy_reward - (_control_cost(action, env) + contact)
    return reward, ~healthy & bool(env._terminate_when_unhealthy)


def _legged(before: Moment, after: Moment, action: np.ndarray, env: Any, healthy: Ends) -> Results:
    forward = _forward(before.qpos, after.qpos, env)
    reward = forward + healthy * env._healthy_reward - _control_cost(action, env)
    return reward, ~healthy & bool(env._terminate_when_unhealthy)


def _forward(before: np.ndarray, after: np.ndarray, env: Any) -> Rewards:
    return env._forward_reward_weight * ((after[..., 0] - before[..., 0]) / env.dt)


def _control_cost(action: np.ndarray, env: Any) -> np.ndarray:
    return env._ctrl_cost_weight * np.square(action).sum(axis=-1)


def _upright(after: Moment, env: Any) -> Ends:
    in_height = _between(after.qpos[..., 1], env._healthy_z_range)
    return in_height & _between(after.qpos[..., 2], env._healthy_angle_range)


def _between(value: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (limits[0] < value) & (value < limits[1])


FORMULAS: dict[tuple[str, str], Formula] = {
    ("inverted_pendulum_v5", "InvertedPendulumEnv"): Formula(inverted_pendulum),
    ("inverted_double_pendulum_v5", "InvertedDoublePendulumEnv"): Formula(inverted_double_pendulum, ("site_xpos",)),
    ("reacher_v5", "ReacherEnv"): Formula(reacher, ("xpos",)),
    ("half_cheetah_v5", "HalfCheetahEnv"): Formula(half_cheetah),
    ("hopper_v5", "HopperEnv"): Formula(hopper),
    ("walker2d_v5", "Walker2dEnv"): Formula(walker2d),
    ("ant_v5", "AntEnv"): Formula(ant, ("xpos", "cfrc_ext")),
}
"""The formula of each environment, by the module and the name of its class."""
