"""A small library of linear-quadratic problems.

`noise` is the standard deviation of a disturbance that acts on the state through B, as a motor's noise does: W = noise²
B Bᵀ. Give `W` for another one. Further arguments are those of `LinearQuadratic`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from entrax.errors import require
from entrax.problems.linear_quadratic import LinearQuadratic

Matrix = Float[np.ndarray, "_ _"]


def double_integrator(
    dt: float = 0.1, *, noise: float = 0.1, action_cost: float = 0.1, **options: Any
) -> LinearQuadratic:
    """Return a unit mass on a line, pushed by a force.

    The state is position and velocity, in discrete time with the force held for `dt` seconds. The cost is the squared
    position plus `action_cost` times the squared force.
    """
    require(dt > 0, "dt", "above 0", dt)
    a, b = np.array([[1.0, dt], [0.0, 1.0]]), np.array([[dt**2 / 2], [dt]])
    return LinearQuadratic(a, b, np.diag([1.0, 0.0]), action_cost, **_noisy(b, noise, options))


def linear_pendulum(*, noise: float = 0.1, **options: Any) -> LinearQuadratic:
    """Return Gymnasium's Pendulum-v1 near the upright position, with its cost.

    The state is the angle from upright and its velocity, in rad and rad/s. The action is the torque in N m, without
    limits.
    """
    problem = LinearQuadratic.from_function(pendulum_step, np.zeros(2), np.zeros(1), cost=pendulum_cost)
    return _with(problem, noise, options)


def pendulum_step(x: Array, u: Array) -> Array:
    """Return the next angle and velocity of Pendulum-v1, without its limits on torque and speed."""
    velocity = x[1] + (15.0 * jnp.sin(x[0]) + 3.0 * u[0]) * 0.05
    return jnp.stack([x[0] + 0.05 * velocity, velocity])


def pendulum_cost(x: Array, u: Array) -> Array:
    """Return the cost of Pendulum-v1, −reward, for an angle between −π and π."""
    return x[0] ** 2 + 0.1 * x[1] ** 2 + 0.001 * u[0] ** 2


def cart_pole(*, noise: float = 0.5, action_cost: float = 0.01, **options: Any) -> LinearQuadratic:
    """Return Gymnasium's CartPole-v1 near the upright position, with any force in place of ±10 N.

    The state is position, velocity, angle and angular velocity, in m and rad; a step is 0.02 s. The cost is the squared
    position plus ten times the squared angle plus `action_cost` times the squared force.
    """

    def cost(x: Array, u: Array) -> Array:
        return x[0] ** 2 + 10.0 * x[2] ** 2 + action_cost * u[0] ** 2

    problem = LinearQuadratic.from_function(cart_pole_step, np.zeros(4), np.zeros(1), cost=cost)
    return _with(problem, noise, options)


def cart_pole_step(x: Array, u: Array) -> Array:
    """Return the next state of CartPole-v1 under a force of `u` N."""
    gravity, pole, total, half_length = 9.8, 0.1, 1.1, 0.5
    sine, cosine = jnp.sin(x[2]), jnp.cos(x[2])
    push = (u[0] + pole * half_length * x[3] ** 2 * sine) / total
    angular = (gravity * sine - cosine * push) / (half_length * (4.0 / 3.0 - pole * cosine**2 / total))
    linear = push - pole * half_length * angular * cosine / total
    return x + 0.02 * jnp.stack([x[1], linear, x[3], angular])


def mass_spring_chain(
    masses: int = 5,
    *,
    dt: float = 0.1,
    stiffness: float = 1.0,
    damping: float = 0.1,
    actuators: Sequence[int] = (0, -1),
    noise: float = 0.1,
    action_cost: float = 0.1,
    **options: Any,
) -> LinearQuadratic:
    """Return unit masses in a line, joined by springs to each other and to walls at both ends.

    The state is the displacement of each mass, then its velocity, in discrete time with forces held for `dt` seconds.
    The cost is the sum of squared displacements plus `action_cost` times the squared forces.

    Args:
        masses: the number of masses.
        dt: seconds per decision.
        stiffness: the force of a spring per displacement.
        damping: the force against each mass per velocity.
        actuators: the masses on which a force acts.
        noise: see the module.
        action_cost: see above.
        **options: see the module.

    Raises:
        UsageError: a number is not in its range, or an actuator is not a mass.
    """
    from scipy.linalg import expm

    require(masses >= 1, "masses", "at least 1", masses)
    require(dt > 0, "dt", "above 0", dt)
    require(
        len(actuators) > 0 and all(-masses <= i < masses for i in actuators),
        "actuators",
        "indices of masses",
        actuators,
    )
    springs = stiffness * (np.eye(masses, k=1) + np.eye(masses, k=-1) - 2 * np.eye(masses))
    forces = np.eye(masses)[:, list(actuators)]
    n, m = 2 * masses, forces.shape[1]
    rate = np.zeros((n + m, n + m))
    rate[:masses, masses:n] = np.eye(masses)
    rate[masses:n, :n] = np.hstack([springs, -damping * np.eye(masses)])
    rate[masses:n, n:] = forces
    step = expm(dt * rate)
    cost = np.diag(np.r_[np.ones(masses), np.zeros(masses)])
    return LinearQuadratic(
        step[:n, :n], step[:n, n:], cost, action_cost * np.eye(m), **_noisy(step[:n, n:], noise, options)
    )


def reacher_arm(
    angles: ArrayLike = (0.5, 1.0), *, noise: float = 0.05, action_cost: float = 1e-3, **options: Any
) -> LinearQuadratic:
    """Return the arm of Gymnasium's Reacher-v5 near a posture, linearised from its MuJoCo model.

    The state is the deviation of both joint angles and their velocities, in rad and rad/s; a step is 0.02 s. The cost
    is the squared distance of the fingertip from where it is in the posture, in units of (0.1 m)², plus 0.001 times the
    squared velocities plus `action_cost` times the squared actions.
    """
    import mujoco

    from entrax.problems.toy_text import make

    env: Any = make("Reacher-v5")
    try:
        bare = env.unwrapped
        qpos = np.r_[np.asarray(angles, float), np.zeros(bare.model.nq - 2)]
        problem = {"qpos": qpos, "joints": ("joint0", "joint1")}
        env.reset(seed=0)
        bare.set_state(qpos, np.zeros(bare.model.nv))
        jacobian = np.zeros((3, bare.model.nv))
        mujoco.mj_jacBody(bare.model, bare.data, jacobian, None, bare.model.body("fingertip").id)
        tip = jacobian[:2, :2] / 0.1
        state_cost = np.diag([0.0, 0.0, 1e-3, 1e-3])
        state_cost[:2, :2] = tip.T @ tip
        linear = LinearQuadratic.from_mujoco(env, **problem, Q=state_cost, R=action_cost * np.eye(2))
    finally:
        env.close()
    return _with(linear, noise, options)


def _noisy(b: Matrix, noise: float, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with W, unless they have one."""
    require(0 <= noise < np.inf, "noise", "finite and at least 0", noise)
    return {"W": noise**2 * b @ b.T} | options


def _with(problem: LinearQuadratic, noise: float, options: dict[str, Any]) -> LinearQuadratic:
    """Return the problem with noise and other options."""
    return replace(problem, **_noisy(np.asarray(problem.B), noise, options))
