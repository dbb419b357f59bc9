"""Planners on simulators: the same plans as on the same model in JAX, and in MuJoCo."""

from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.mujoco import MujocoEnv

from entrax.environments.simulator import simulator_of
from entrax.errors import UsageError
from entrax.planning import (
    Coloured,
    CrossEntropy,
    IterativeLQR,
    Lookahead,
    PathIntegral,
    RandomShooting,
    Simulated,
    model_of,
    simulated_lookahead,
)
from entrax.policies.controller import FINISHED

A, B = np.array([[1.0, 0.1], [-0.2, 0.9]]), np.array([[0.0], [0.5]])
LIMIT = 1.5


def in_jax(x, u):
    return A @ x + B @ u


def cost(x, u):
    return x @ x + 0.1 * u @ u


def in_numpy(states: Any, actions: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same system with noise of its own, if the seed is above 0."""
    x, rewards, ended = np.array(states, float), [], []
    for u in actions.swapaxes(0, 1):
        rewards.append(-np.sum(x**2, axis=1) - 0.1 * np.sum(u**2, axis=1))
        x = x @ A.T + u @ B.T
        ended.append(np.abs(x[:, 0]) > LIMIT)
    return np.stack(rewards, axis=1), np.stack(ended, axis=1)


def pair(**options: Any) -> tuple[Lookahead, Lookahead]:
    own = model_of(in_jax, cost, lambda x: jnp.abs(x[0]) > LIMIT)
    return tuple(Lookahead(model, 1, 12, discount=0.95, **options) for model in (own, Simulated(in_numpy)))  # type: ignore[return-value]


PLANNERS: dict[str, Any] = {
    "free": lambda it: PathIntegral(it, 0.2, std=1.0, samples=64, noise=Coloured(1.0), iterations=2),
    "tied": lambda it: PathIntegral(it, 2.0, action_cost=0.5, samples=32),
    "cross-entropy": lambda it: CrossEntropy(it, samples=32, elites=8, iterations=3),
    "shooting": lambda it: RandomShooting(it, samples=64),
}


@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("options", [{}, {"bounds": "squash"}, {"particles": 3}])
def test_equal_noise_gives_equal_plans(name, options):
    """The limit ends many of the plans, whose later rewards must not count."""
    ours, theirs = (PLANNERS[name](lookahead) for lookahead in pair(**options))
    state, plan = jnp.array([1.2, 0.8]), jnp.full((12, 1), 0.1)
    expected, given = (eqx.filter_jit(each.improve)(plan, state, jr.key(1)) for each in (ours, theirs))
    for left, right in zip(jax.tree.leaves(expected), jax.tree.leaves(given), strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-10, atol=1e-12)
    assert np.max(np.abs(np.diff(expected.plan, axis=0))) > 0.01


def test_episodes_are_simulated_in_one_call():
    calls = []

    def counted(states, actions, seeds):
        calls.append((states.shape, actions.shape, seeds.shape))
        return in_numpy(states, actions, seeds)

    lookahead = Lookahead(Simulated(counted), 1, 12, discount=0.95, particles=2)
    planner, states = PathIntegral(lookahead, 0.2, std=1.0, samples=16), jnp.array([[1.2, 0.8], [0.1, 0.0], [0.3, 2.0]])
    keys = jr.split(jr.key(2), 3)
    plans = jax.vmap(planner.improve)(jnp.zeros((3, 12, 1)), states, keys).plan
    assert calls == [((96, 2), (96, 12, 1), (96,))]
    for plan, state, key in zip(plans, states, keys, strict=True):
        np.testing.assert_allclose(planner.improve(jnp.zeros((12, 1)), state, key).plan, plan, rtol=1e-10)


def test_seeds_are_those_of_particles():
    """All plans have the same random numbers, and every particle has others."""
    seen: list[np.ndarray] = []

    def kept(states, actions, seeds):
        seen.append(seeds.reshape(16, 4))
        return in_numpy(states, actions, seeds)

    lookahead = Lookahead(Simulated(kept), 1, 12, particles=4)
    RandomShooting(lookahead, samples=16).improve(jnp.zeros((12, 1)), jnp.zeros(2), jr.key(3))
    assert np.all(seen[0] == seen[0][0])
    assert len(set(seen[0][0].tolist())) == 4


XML = """
<mujoco>
  <option timestep="0.05" gravity="0 0 0"/>
  <worldbody><body><joint name="x" type="slide" axis="1 0 0"/><geom size="0.1" mass="2"/></body></worldbody>
  <actuator><motor joint="x" ctrlrange="-3 3"/></actuator>
</mujoco>
"""


class Cart(MujocoEnv):
    """A mass on a rail: linear dynamics, integrated as x' = x + h v', v' = v + h u/m."""

    metadata = {"render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, path: str):
        space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        MujocoEnv.__init__(self, path, 2, observation_space=space)

    def _observe(self):
        return np.concatenate([self.data.qpos, self.data.qvel])

    def step(self, action):
        state = self._observe()
        reward = -float(state @ state) - 0.1 * float(np.square(action.astype(float)).sum())
        self.do_simulation(action, self.frame_skip)
        return self._observe(), reward, False, False, {}

    def reset_model(self):
        self.set_state(self.np_random.uniform(-1, 1, 1), self.np_random.uniform(-1, 1, 1))
        return self._observe()


def cart_reward(before, after, action, env):
    squares = sum(np.square(part.astype(float)).sum(axis=-1) for part in (before.qpos, before.qvel))
    return -squares - 0.1 * np.square(action.astype(float)).sum(axis=-1), np.zeros(action.shape[:2], bool)


def cart_model(x, u):
    h, force = 0.05, 3 * u[0]
    for _ in range(2):
        velocity = x[1] + h * force / 2
        x = jnp.stack([x[0] + h * velocity, velocity])
    return x


@pytest.mark.parametrize("kind", ["model", "copies"])
def test_a_linear_system_in_mujoco_gives_the_plans_of_its_equations(kind, tmp_path):
    path = tmp_path / "cart.xml"
    path.write_text(XML)
    env = Cart(str(path))
    options = {"reward": cart_reward} if kind == "model" else {"simulator": "copies"}
    simulator = simulator_of(env, make=lambda: Cart(str(path)), **options)
    assert simulator.kind == kind
    start, _ = env.reset(seed=5)
    jax_model = Lookahead(model_of(cart_model, lambda x, u: x @ x + 0.1 * (3 * u) @ (3 * u)), 1, 10)
    planners = [PathIntegral(it, 0.3, std=0.5, samples=64) for it in (jax_model, simulated_lookahead(simulator, 10, 1))]
    carries, obs = [planner.initial_carry() for planner in planners], jnp.asarray(start)
    for _ in range(5):
        results = [p.act(c, obs, FINISHED, jr.key(1), True) for p, c in zip(planners, carries, strict=True)]
        (action, _, info), (theirs, _, their_info) = results
        np.testing.assert_allclose(theirs, action, rtol=1e-5)  # the environment takes actions in 32 bits
        assert float(their_info["effective_samples"]) == pytest.approx(float(info["effective_samples"]), rel=1e-4)
        carries, obs = [carry for _, carry, _ in results], jnp.asarray(env.step(np.float32(3 * action))[0])


def test_a_simulator_has_no_derivatives_and_no_last_state():
    with pytest.raises(UsageError, match="derivatives"):
        IterativeLQR(Lookahead(Simulated(in_numpy), 1, 5, bounds="none"))
    with pytest.raises(UsageError, match="final_reward"):
        Lookahead(Simulated(in_numpy), 1, 5, final_reward=lambda x: x[0])


def test_half_cheetah_runs_without_training():
    """Ten seconds of an untrained policy cover no ground; a random plan moves on by chance only."""
    with gymnasium.make("HalfCheetah-v5") as env:
        simulator = simulator_of(env)
        planner = PathIntegral(simulated_lookahead(simulator, 12, 6), 0.5, std=0.5, samples=48)
        obs, _ = env.reset(seed=0)
        act = jax.jit(lambda carry: planner.act(carry, jnp.asarray(obs), FINISHED, None, True))
        carry, total = planner.initial_carry(), 0.0
        for _ in range(50):
            action, carry, _ = act(carry)
            total += float(env.step(np.asarray(action, np.float32))[1])
        simulator.close()
    assert total > 30
