"""Every planner as a policy: the contract that all policies meet, in 32 bits, and a pendulum that it swings up."""

from types import ModuleType
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents.check import check_agent
from entrax.environments.simulator import simulator_of
from entrax.environments.spaces import spec_of
from entrax.planning import (
    Coloured,
    CrossEntropy,
    IterativeLQR,
    Lookahead,
    PathIntegral,
    RandomShooting,
    Simulated,
    Splines,
    model_of,
    simulated_lookahead,
)
from entrax.planning.base import shifted
from entrax.policies.base import Policy
from entrax.policies.controller import FINISHED, Controller, act_in_episodes, identity_scaling, uses_carry
from entrax.replay import Uniform


@pytest.fixture(scope="module", autouse=True)
def x64():
    """These tests are of 32 bits, as agents are."""
    return


def swing(x, u):
    """Pendulum-v1, for actions in [-1, 1]."""
    velocity = jnp.clip(x[1] + (15 * jnp.sin(x[0]) + 6 * u[0]) * 0.05, -8, 8)
    return jnp.stack([x[0] + 0.05 * velocity, velocity])


def cost(x, u):
    angle = (x[0] + jnp.pi) % (2 * jnp.pi) - jnp.pi
    return angle**2 + 0.1 * x[1] ** 2 + 0.004 * u[0] ** 2


def lookahead(horizon: int = 20, bounds: str = "clip") -> Lookahead:
    def state_of(obs):
        return jnp.stack([jnp.arctan2(obs[1], obs[0]), obs[2]])

    return Lookahead(model_of(swing, cost), 1, horizon, state_of=state_of, bounds=bounds)


def simulated() -> Lookahead:
    """The same, computed by NumPy."""

    def simulate(states, actions, seeds):
        (angle, velocity), rewards = states.T, []
        for u in actions[:, :, 0].T:
            near = (angle + np.pi) % (2 * np.pi) - np.pi
            rewards.append(-(near**2) - 0.1 * velocity**2 - 0.004 * u**2)
            velocity = np.clip(velocity + (15 * np.sin(angle) + 6 * u) * 0.05, -8, 8)
            angle = angle + 0.05 * velocity
        return np.stack(rewards, axis=1), np.zeros(actions.shape[:2], bool)

    return Lookahead(Simulated(simulate), 1, 20, state_of=lookahead().state_of)


def on_copies() -> Lookahead:
    """Copies of an environment, whose plans begin at its state and not at the observation."""
    env = gymnasium.make("Pendulum-v1")
    env.reset(seed=0)
    return simulated_lookahead(simulator_of(env), 10, 1)


PLANNERS: dict[str, Any] = {
    "tied": lambda: PathIntegral(lookahead(), 0.5, action_cost=1.0, samples=64, noise=Coloured(1.0)),
    "free": lambda: PathIntegral(lookahead(), 0.1, std=0.7, samples=128, noise=Splines(5)),
    "cross-entropy": lambda: CrossEntropy(lookahead(), samples=64, elites=8, iterations=3),
    "shooting": lambda: RandomShooting(lookahead(), samples=256, noise=Splines(4)),
    "ilqr": lambda: IterativeLQR(lookahead(10, bounds="none"), 0.1, iterations=3),
    "simulated": lambda: PathIntegral(simulated(), 0.1, std=0.7, samples=64, noise=Splines(5)),
    "simulated-cross-entropy": lambda: CrossEntropy(simulated(), samples=64, elites=8, iterations=3),
    "copies": lambda: RandomShooting(on_copies(), samples=16),
}


class Config(eqx.Module):
    pass


def agent_of(planner) -> Any:
    """An agent that acts with a planner and learns nothing."""
    agent: Any = ModuleType("planner")
    agent.Config = Config
    agent.resolve = lambda config, spec: config
    agent.init = lambda config, spec, key: {"updates": jnp.zeros(())}
    agent.policy = lambda config, state: planner
    agent.data = lambda config: Uniform(4, 1000)
    agent.update = lambda config, state, batch, progress, key: (state, {})
    return agent


@pytest.fixture(scope="module")
def pendulum():
    with gymnasium.make("Pendulum-v1") as env:
        yield env


@pytest.mark.parametrize("name", PLANNERS)
def test_a_planner_meets_the_contract_of_policies(name, pendulum):
    planner, spec = PLANNERS[name](), spec_of(pendulum)
    assert isinstance(planner, Policy)
    check_agent(agent_of(planner), spec)
    controller = Controller(policy=planner, scaling=identity_scaling(spec), spec=spec)
    assert uses_carry(controller, greedy=True)
    obs = np.array([[1, 0, 0.1], [0, 1, 0.5], [-1, 0, 0]], np.float32)
    for sample in (False, True):
        rows = []
        for _ in range(2):
            act = act_in_episodes(controller, sample=sample, seed=3)
            steps = [act(obs, np.zeros(3, int), np.full(3, t)) for t in (0, 1)]
            assert all(np.all(np.abs(actions) <= 2) for actions in steps)  # Pendulum's bounds
            rows.append(np.stack(steps))
        np.testing.assert_array_equal(rows[0], rows[1])


def test_the_plan_is_shifted_and_greedy_noise_follows_from_the_step():
    np.testing.assert_array_equal(shifted(jnp.arange(3.0)[:, None])[:, 0], [1, 2, 2])
    planner = PLANNERS["free"]()
    obs = jnp.float32([0, 1, 0.5])
    first, carry, _ = planner.act(planner.initial_carry(), obs, FINISHED, None, True)
    assert carry.step == 1
    again, carry_again, _ = planner.act(planner.initial_carry(), obs, FINISHED, None, True)
    np.testing.assert_array_equal(first, again)
    key = jr.split(jr.fold_in(jr.key(0), 0))[0]
    plan = planner.improve(planner.initial_carry().plan, planner.lookahead.state_of(obs), key).plan
    np.testing.assert_allclose(carry.plan, shifted(plan), rtol=1e-6)
    np.testing.assert_array_equal(carry.plan, carry_again.plan)


@pytest.mark.parametrize("name", ["free", "cross-entropy", "simulated"])
def test_the_pendulum_is_swung_up_without_training(name, pendulum):
    planner = PLANNERS[name]()
    act = jax.jit(lambda carry, obs: planner.act(carry, obs, FINISHED, None, True)[:2])
    returns = []
    for seed in range(3):
        obs, _ = pendulum.reset(seed=seed)
        carry, total = planner.initial_carry(), 0.0
        for _ in range(200):
            action, carry = act(carry, obs)
            obs, reward, *_ = pendulum.step(2 * np.asarray(action))
            total += float(reward)
        returns.append(total)
    assert np.mean(returns) > -400  # a random policy has −1200, an optimal one about −150
