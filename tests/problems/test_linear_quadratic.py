"""Linear-quadratic problems: what is refused, linearisation, and the library."""

from dataclasses import replace
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.problems import LinearPolicy, LinearQuadratic, lq_library
from entrax.problems.lq_library import (
    cart_pole,
    cart_pole_step,
    double_integrator,
    linear_pendulum,
    mass_spring_chain,
    pendulum_cost,
    pendulum_step,
    reacher_arm,
)

EYE = np.eye(2)
GOOD: dict[str, Any] = {"A": EYE, "B": np.ones((2, 1)), "Q": EYE, "R": 1.0}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"A": np.ones(2)}, "`A`.*matrix"),
        ({"A": np.ones((2, 3))}, "`A`.*shape"),
        ({"B": np.ones((3, 1))}, "`B`.*shape"),
        ({"Q": np.eye(3)}, r"`Q`.*\(2, 2\).*\(3, 3\)"),
        ({"A": "much"}, "numbers"),
        ({"R": np.nan}, "`R`.*finite"),
        ({"W": [[1, 2], [0, 1]]}, r"`W`.*symmetric.*\(0, 1\)"),
        ({"W": -EYE}, "`W`.*semi-definite.*-1"),
        ({"W": np.stack([EYE, -EYE])}, "`W`.*semi-definite.*decision 1"),
        ({"Q": -EYE}, "cost.*semi-definite"),
        ({"N": np.ones((2, 1)) * 2}, "cost.*semi-definite"),
        ({"final_Q": -EYE}, "`final_Q`.*semi-definite"),
        ({"initial_covariance": -EYE}, "`initial_covariance`.*semi-definite"),
        ({"C": EYE}, "`C` and `V`.*together"),
        ({"C": EYE, "V": 0 * EYE}, "`V`.*positive definite"),
        ({"C": EYE, "V": 1.0}, r"`V`.*\(2, 2\)"),
        ({"prior": LinearPolicy([[0, 0]])}, "`prior.covariance`.*positive definite"),
        ({"prior": LinearPolicy([[0]], covariance=[[1]])}, r"`prior.gain`.*\(1, 2\)"),
        ({"discount": 1.5}, "`discount`"),
        ({"horizon": 0}, "`horizon`.*at least 1"),
        ({"horizon": 3, "W": np.stack([EYE, EYE])}, "`horizon` and `W`.*3 and 2"),
        ({"q": np.ones((4, 2)), "drift": np.ones((5, 2))}, "`q` and `drift`.*4 and 5"),
        ({"q": [[0, 0], [0, np.inf]]}, "`q`.*decision 1"),
    ],
)
def test_wrong_entries_are_named(entries, words):
    with pytest.raises(UsageError, match=words):
        LinearQuadratic(**(GOOD | entries))


def test_numbers_lists_and_arrays_that_change():
    one = LinearQuadratic(1, 2, 3, 4)
    assert one.A.shape == one.B.shape == one.N.shape == (1, 1)
    assert one.horizon is None
    several = LinearQuadratic([[1.0, 0], [0, 1]], np.ones((3, 2, 1)), EYE, 1, q=[[1, 2], [3, 4], [5, 6]])
    assert several.horizon == 3
    assert set(several.varying) == {"B", "q"}
    np.testing.assert_array_equal(several.at(1).q, [3, 4])
    assert several.at(1).horizon is None
    with pytest.raises(UsageError, match=r"`t`.*0 to 2"):
        several.at(3)
    changing = replace(one, prior=LinearPolicy([[0.5]], covariance=np.ones((4, 1, 1))), horizon=4)
    assert changing.varying["prior"].gain.shape == (4, 1, 1)
    policy: Any = changing.at(2).prior
    assert policy.mean([2.0]) == -1.0


def test_values_of_jax_arrays_are_checked_on_request():
    problem = LinearQuadratic(**(GOOD | {"W": -jnp.eye(2)}))
    with pytest.raises(UsageError, match="`W`"):
        problem.validate()


def test_pendulum_and_cart_are_gymnasiums():
    env: Any = gymnasium.make("Pendulum-v1").unwrapped
    env.reset(seed=0)
    env.state = np.array([0.3, -0.7])
    _, reward, *_ = env.step(np.array([1.5]))
    x, u = jnp.array([0.3, -0.7]), jnp.array([1.5])
    np.testing.assert_allclose(pendulum_step(x, u), env.state, rtol=1e-6)
    assert float(pendulum_cost(x, u)) == pytest.approx(-float(reward), rel=1e-6)
    cart: Any = gymnasium.make("CartPole-v1").unwrapped
    cart.reset(seed=0)
    cart.state = np.array([0.1, -0.2, 0.05, 0.3])
    expected = cart.step(1)[0]
    np.testing.assert_allclose(
        cart_pole_step(jnp.array([0.1, -0.2, 0.05, 0.3]), jnp.array([10.0])), expected, rtol=1e-5
    )


def test_linearising_a_function_around_a_trajectory():
    """Dynamics and costs of degree 2 in one variable have derivatives that are known by hand."""

    def dynamics(x, u):
        return jnp.stack([x[0] + x[1] * u[0], x[1] ** 2])

    def cost(x, u):
        return x[0] ** 2 + x[0] * u[0] + 3 * u[0] ** 2 + x[1]

    xs, us = np.array([[1.0, 2], [3, 4], [5, 6]]), np.array([[1.0], [2]])
    problem = LinearQuadratic.from_function(dynamics, xs, us, cost=cost, final_cost=lambda x: x @ x, discount=0.9)
    assert problem.horizon == 2
    assert problem.discount == 0.9
    np.testing.assert_allclose(problem.A[1], [[1.0, 2.0], [0.0, 8.0]])
    np.testing.assert_allclose(problem.B[1], [[4], [0]])
    np.testing.assert_allclose(problem.drift[0], [1 + 2 - 3, 4 - 4])
    np.testing.assert_allclose(problem.drift[1], [3 + 8 - 5, 16 - 6])
    np.testing.assert_allclose(problem.Q[0], [[1, 0], [0, 0]])
    np.testing.assert_allclose(problem.N[0], [[0.5], [0.0]])
    np.testing.assert_allclose(problem.r[1], [(3 + 12) / 2])
    np.testing.assert_allclose(problem.constant[1], 9 + 6 + 12 + 4)
    np.testing.assert_allclose(problem.final_q, [5, 6])
    x, u = np.array([0.3, -0.1]), np.array([0.2])
    joint = x @ problem.Q[1] @ x + 2 * x @ problem.N[1] @ u + u @ problem.R[1] @ u
    joint += 2 * problem.q[1] @ x + 2 * problem.r[1] @ u + problem.constant[1]
    assert joint == pytest.approx(float(cost(xs[1] + x, us[1] + u)))


def test_curvature_and_mistakes_of_functions():
    def dynamics(x, u):
        return x + u

    def saddle(x, u):
        return x[0] ** 2 - 2 * x[1] ** 2 + u @ u

    zero = np.zeros(2)
    with pytest.raises(UsageError, match="semi-definite"):
        LinearQuadratic.from_function(dynamics, zero, zero, cost=saddle)
    projected = LinearQuadratic.from_function(dynamics, zero, zero, cost=saddle, curvature="project")
    np.testing.assert_allclose(projected.Q, [[1, 0], [0, 0]], atol=1e-12)
    for call, words in [
        (lambda: LinearQuadratic.from_function(dynamics, zero, zero), "`cost`"),
        (lambda: LinearQuadratic.from_function(dynamics, zero, zero, cost=saddle, Q=EYE), "`Q` must not"),
        (lambda: LinearQuadratic.from_function(dynamics, np.zeros((3, 2)), zero, cost=saddle), "`x` and `u`"),
        (lambda: LinearQuadratic.from_function(lambda x, u: x[:1], zero, zero, cost=saddle), "`dynamics`.*shape"),
        (lambda: LinearQuadratic.from_function(dynamics, zero, zero, cost=lambda x, u: x), "cost.*one number"),
        (lambda: LinearQuadratic.from_function(dynamics, zero, zero, cost=saddle, curvature="x"), "`curvature`"),
    ]:
        with pytest.raises(UsageError, match=words):
            call()


@pytest.mark.parametrize("name", ["InvertedPendulum-v5", "HalfCheetah-v5"])
def test_mujoco_against_differences_of_the_environments_own_step(name):
    """InvertedPendulum has the Runge-Kutta integrator, the airborne HalfCheetah the implicit one."""
    env: Any = gymnasium.make(name)
    env.reset(seed=0)
    bare = env.unwrapped
    nv, nu = bare.model.nv, bare.model.nu
    rng = np.random.default_rng(0)
    qpos, qvel = bare.init_qpos + 0.1 * rng.normal(size=nv), 0.3 * rng.normal(size=nv)
    qpos[1] += 1.0 if name == "HalfCheetah-v5" else 0.0
    action = 0.25 * np.ones(nu)
    problem = LinearQuadratic.from_mujoco(env, qpos=qpos, qvel=qvel, action=action, Q=np.eye(2 * nv), R=np.eye(nu))

    def step(x, u):
        bare.set_state(x[:nv], x[nv:])
        bare.do_simulation(u, bare.frame_skip)
        return np.concatenate([bare.data.qpos, bare.data.qvel])

    x, h = np.concatenate([qpos, qvel]), 1e-5
    np.testing.assert_allclose(problem.drift, step(x, action) - x, atol=1e-9)
    numeric = [(step(x + d, action) - step(x - d, action)) / (2 * h) for d in h * np.eye(2 * nv)]
    np.testing.assert_allclose(problem.A, np.transpose(numeric), atol=2e-5)
    numeric = [(step(x, action + d) - step(x, action - d)) / (2 * h) for d in h * np.eye(nu)]
    np.testing.assert_allclose(problem.B, np.transpose(numeric), atol=2e-5)


def test_mujoco_in_tangent_space_and_along_a_trajectory():
    """Ant's positions have a quaternion: 15 of them, and 14 velocities."""
    env: Any = gymnasium.make("Ant-v5")
    actions = 0.1 * np.ones((2, 8))
    model = env.unwrapped.model
    qpos = env.unwrapped.init_qpos + np.r_[0, 0, 2.0, np.zeros(model.nq - 3)]
    problem = LinearQuadratic.from_mujoco(env, qpos=qpos, action=actions, Q=np.eye(28), R=np.eye(8))
    assert problem.A.shape == (2, 28, 28)
    np.testing.assert_array_equal(problem.drift, 0)
    # In free fall the position of the torso moves with its velocity for 0.05 s, whatever else happens.
    np.testing.assert_allclose(problem.A[1][:3, :3], np.eye(3), atol=1e-6)
    point = LinearQuadratic.from_mujoco(env, qpos=qpos, action=actions[0], Q=np.eye(28), R=np.eye(8))
    np.testing.assert_allclose(point.A, problem.A[0], atol=1e-12)


class Louder(gymnasium.ActionWrapper):
    def action(self, action):
        return 2 * action


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda **k: LinearQuadratic.from_mujoco("CartPole-v1", **k), "not a Gymnasium MuJoCo"),
        (lambda **k: LinearQuadratic.from_mujoco("Reacher-v5", qpos=[0], **k), "`qpos`.*4"),
        (lambda **k: LinearQuadratic.from_mujoco("Reacher-v5", action=[0], **k), "`action`.*2"),
        (lambda **k: LinearQuadratic.from_mujoco("Reacher-v5", joints=("knee",), **k), "`joints`.*joint0.*knee"),
        (
            lambda **k: LinearQuadratic.from_mujoco(Louder(gymnasium.make("Reacher-v5")), action=[0.1, 0.1], **k),
            "wrappers",
        ),
    ],
)
def test_mistakes_with_mujoco(call, words):
    with pytest.raises(UsageError, match=words):
        call(Q=EYE, R=1.0)


@pytest.mark.parametrize(
    "name", ["double_integrator", "linear_pendulum", "cart_pole", "mass_spring_chain", "reacher_arm"]
)
def test_the_library_takes_options_and_has_motor_noise(name):
    problem = getattr(lq_library, name)(noise=0.5, discount=0.9)
    assert problem.discount == 0.9
    np.testing.assert_allclose(problem.W, 0.25 * problem.B @ problem.B.T, rtol=1e-12)
    quiet = getattr(lq_library, name)(W=np.zeros_like(problem.A))
    assert not quiet.W.any()


def test_what_the_library_is_known_for():
    assert np.abs(np.linalg.eigvals(linear_pendulum().A)).max() > 1.1  # it falls over
    assert np.abs(np.linalg.eigvals(cart_pole().A)).max() > 1.05
    assert np.abs(np.linalg.eigvals(mass_spring_chain(damping=0.0).A)) == pytest.approx(1)  # energy is kept
    np.testing.assert_allclose(double_integrator(0.5).B[:, 0], [0.125, 0.5])
    arm = reacher_arm()
    assert arm.A.shape == (4, 4)
    np.testing.assert_allclose(arm.drift, 0, atol=1e-12)
    with pytest.raises(UsageError, match="`actuators`"):
        mass_spring_chain(2, actuators=[5])
