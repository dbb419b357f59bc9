"""A policy with a carry of its own, such as a planner's, through training, resume, evaluation, player and video."""

from types import ModuleType
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import entrax
from entrax.agents.registry import REGISTRY
from entrax.environments.source import EnvSource
from entrax.environments.spaces import spec_of
from entrax.errors import EntraxError
from entrax.policies.base import Memoryless, Policy
from entrax.policies.controller import FINISHED
from entrax.replay import Rollout, Uniform
from entrax.runs.audit import fingerprint
from tests.killing import Killed, killer

LENGTH = 7


class Steps(gymnasium.Env):
    """Episodes of 7 steps; the reward tells whether the action is t/10 in step t."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.array([self.np_random.uniform(-1, 1)], np.float32), {}

    def step(self, action):
        right = abs(float(action[0]) - self.t / 10) < 1e-6
        self.t += 1
        return np.array([self.np_random.uniform(-1, 1)], np.float32), float(right), False, self.t == LENGTH, {}


class Planner(eqx.Module):
    """Plans three actions whenever its plan is used up, like a planner that replans now and then."""

    updates: jnp.ndarray

    def initial_carry(self):
        return {"plan": jnp.zeros((3, 1)), "time": jnp.zeros((), jnp.int32)}

    def act(self, carry, obs, progress, key, greedy):
        plan, t = carry["plan"], carry["time"]
        plan = jnp.where(t % 3 == 0, ((t + jnp.arange(3)) / 10)[:, None], plan)
        return plan[0], {"plan": jnp.roll(plan, -1, axis=0), "time": t + 1}, {}


class Config(eqx.Module):
    rollout: int = eqx.field(static=True, default=0)


def planning():
    agent: Any = ModuleType("planning")
    agent.Config = Config
    agent.resolve = lambda config, spec: config
    agent.init = lambda config, spec, key: Planner(updates=jnp.zeros(()))
    agent.policy = lambda config, state: state
    agent.data = lambda config: Rollout(steps=config.rollout) if config.rollout else Uniform(4, 1000)
    agent.update = lambda config, state, batch, progress, key: (Planner(updates=state.updates + 1), {})
    return agent


SETTINGS: dict[str, Any] = {"eval_every": 0, "envs": 2, "workers": 0, "log_every": 20}
OFF_POLICY = {"learning_starts": 1, "updates_per_step": 0.5, "chunk": 4}


@pytest.mark.parametrize("fields", [OFF_POLICY, {"rollout": 10}], ids=["off-policy", "on-policy"])
def test_the_carry_goes_on_over_hand_overs_and_begins_with_each_episode(fields, tmp_path):
    run = entrax.train(Steps, planning(), run=tmp_path / "run", steps=120, **SETTINGS | fields)
    assert run.metrics()[-1]["return"] == LENGTH
    for sample in (False, True):
        assert run.evaluate(5, sample=sample, env=Steps).mean == LENGTH
    player, env = run.player(), Steps()
    for episode in range(2):
        player.reset()
        obs, _ = env.reset(seed=episode)
        assert sum(env.step(player.act(obs))[1] for _ in range(LENGTH)) == LENGTH
    with pytest.raises(EntraxError, match=r"run\.player\(\)"):
        run.policy(obs)


def test_a_run_that_was_killed_ends_with_the_bytes_of_a_whole_one(tmp_path):
    settings = SETTINGS | OFF_POLICY | {"steps": 120, "checkpoint_every": 24}
    whole = entrax.train(Steps, planning(), run=tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        entrax.train(Steps, planning(), run=tmp_path / "cut", hook=killer(3), **settings)
    resumed = entrax.resume(tmp_path / "cut", agent=planning(), env=Steps)
    assert any(event["kind"] == "resumed" and event["step"] > 0 for event in resumed.directory.events())
    assert fingerprint(resumed.directory) == fingerprint(whole.directory)
    assert resumed.metrics()[-1]["return"] == LENGTH


@pytest.mark.parametrize(
    ("name", "env"),
    [(name, env) for name, entry in REGISTRY.items() for env in ("Pendulum-v1", "CartPole-v1")
     if ("Box" if env == "Pendulum-v1" else "Discrete") in entry.actions],
)  # fmt: skip
def test_every_agent_has_a_policy_and_a_carry_of_fixed_shapes(name, env):
    agent, spec = entrax.agents.lookup.get_agent(name), spec_of(EnvSource(env).make())
    config = agent.resolve(agent.Config(hidden=(4,)), spec)
    policy = agent.policy(config, agent.init(config, spec, jr.key(0)))
    assert isinstance(policy, Policy)
    carry = policy.initial_carry()
    assert not jax.tree.leaves(carry) or not isinstance(policy, Memoryless)
    for key in (None, jr.key(1)):
        action, after, info = policy.act(carry, jnp.zeros(spec.obs_size), FINISHED, key, key is None)
        assert action.shape == (spec.action.size,)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), carry)
        assert all(value.shape == () for value in info.values())
