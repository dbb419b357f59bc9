"""Runs in an environment that forbids actions: none is ever tried, and what is allowed is learned."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import entrax
from entrax.agents import discrete_sac
from entrax.environments.spaces import spec_of
from entrax.errors import UsageError


class Shut(gymnasium.Env):
    """Ten doors in a row; each time the highest of the four that is open is the best, and a shut one ends all."""

    def __init__(self):
        self.action_space = spaces.Discrete(4, start=2)
        self.observation_space = spaces.Dict(action_mask=spaces.MultiBinary(4), t=spaces.Box(0.0, 1.0, (1,)))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._obs(), {}

    def step(self, action):
        assert self.open[action - 2], "a shut door"
        reward = float(action - 2)
        self.t += 1
        return self._obs(), reward, self.t == 10, False, {"best": reward}

    def _obs(self):
        self.open = self.np_random.integers(2, size=4)
        self.open[self.np_random.integers(4)] = 1
        shown = self.open * (self.t < 10)  # after the end nothing is allowed
        return {"action_mask": shown.astype(np.int8), "t": np.full(1, self.t / 10, np.float32)}


SMALL: dict[str, Any] = {
    "steps": 800,
    "hidden": (16,),
    "discount": 0.0,
    "eval_every": 0,
    "checkpoint_every": 0,
    "workers": 0,
}
ON_POLICY: dict[str, Any] = {"rollout_steps": 80, "envs": 2}
CASES: dict[str, dict[str, Any]] = {
    "dqn": {"learning_starts": 100, "batch_size": 16},
    "discrete-sac": {"learning_starts": 100, "batch_size": 16},
    "ppo": ON_POLICY | {"batch_size": 40},
}


@pytest.mark.parametrize("agent", CASES)
def test_agents_never_try_what_is_forbidden(agent, tmp_path):
    run = entrax.train(Shut, agent, run=tmp_path / "run", **SMALL, **CASES[agent])
    result = run.evaluate(episodes=5)
    assert np.mean(result.returns) > 18  # at random 15; the best is about 23


@pytest.mark.long
@pytest.mark.parametrize(("agent", "settings"), [("reinforce", {}), ("pcl", {}), ("pcl", {"unified": True})])
def test_the_other_agents_of_discrete_actions_neither(agent, settings, tmp_path):
    entrax.train(Shut, agent, run=tmp_path / "run", **SMALL, **settings).evaluate(episodes=5)


def test_the_target_entropy_of_discrete_sac_is_within_reach_where_two_actions_are_allowed():
    config = discrete_sac.resolve(discrete_sac.Config(), spec_of(Shut()))
    assert 0 < float(config.target_entropy) < np.log(2)
    assert float(config.initial_entropy_share) == 0


def test_settings_that_masks_do_not_allow_are_named(tmp_path):
    with pytest.raises(UsageError, match="normalise_obs"):
        entrax.train(Shut, "ppo", run=tmp_path / "a", **SMALL, **CASES["ppo"], normalise_obs=True)
    with pytest.raises(UsageError, match="memory"):
        entrax.train(Shut, "reinforce", run=tmp_path / "b", **SMALL, memory=4)
