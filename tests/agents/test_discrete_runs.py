"""Whole runs with discrete actions, from the check of the environment to evaluation, on a task with a known answer."""

import os
import signal
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

import entrax
from entrax.training.interrupts import Interrupted


class Match(gymnasium.Env):
    """One point for each entry of the action that equals the cue's, ten times; `flat`: as a Discrete from 4 on."""

    def __init__(self, flat: bool = False):
        self.flat = flat
        self.action_space = spaces.Discrete(6, start=4) if flat else spaces.MultiDiscrete([3, 2])
        place = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.observation_space = spaces.Dict({"cue": spaces.MultiDiscrete([3, 2]), "time": place})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._obs(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        entries = divmod(action - 4, 2) if self.flat else action
        reward = float(np.sum(entries == self.cue))
        self.t += 1
        return self._obs(), reward, False, self.t == 10, {}

    def _obs(self):
        self.cue = self.np_random.integers([3, 2])
        return {"cue": self.cue.copy(), "time": np.full(1, self.t / 10, np.float32)}


SMALL: dict[str, Any] = {"steps": 1200, "hidden": (32,), "discount": 0.0, "eval_every": 0, "checkpoint_every": 0}
CASES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "dqn": ("dqn", True, {"anneal_fraction": 0.8}),
    "soft dqn, entry by entry": ("dqn", False, {"temperature": 0.1, "joint_limit": 1, "envs": 2}),
    "discrete-sac": ("discrete-sac", False, {}),
}


def parameters(run):
    return {file.name: file.read_bytes() for file in sorted(run.path.glob("checkpoints/final*/*.safetensors"))}


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_a_run_learns_what_there_is_to_learn(case, tmp_path):
    agent, flat, settings = CASES[case]

    def factory():
        return Match(flat)

    run = entrax.train(factory, agent=agent, run=tmp_path / "run", **SMALL, **settings)
    assert run.evaluate(5, env=factory).returns == (20.0,) * 5
    assert run.evaluate(5, sample=True, env=factory).mean > 12.0
    again = entrax.load(tmp_path / "run")
    obs = np.array([[0, 0, 1, 0, 1, 0.5], [1, 0, 0, 1, 0, 0.1]], np.float32)
    action, expected = again.policy(obs), np.array([[2, 1], [0, 0]])
    assert action.dtype == np.int64
    np.testing.assert_array_equal(action, 4 + 2 * expected[:, 0] + expected[:, 1] if flat else expected)
    assert again.policy(obs, sample=True, key=jax.random.key(0)).shape == action.shape


@pytest.mark.long
@pytest.mark.parametrize("agent", ["dqn", "discrete-sac"])
def test_an_interrupted_run_ends_with_the_bytes_of_a_whole_one(agent, tmp_path):
    settings: dict[str, Any] = SMALL | {"agent": agent, "steps": 400, "log_every": 100}

    def interrupt(row):
        if row["step"] >= 200:
            os.kill(os.getpid(), signal.SIGINT)

    whole = entrax.train(Match, run=tmp_path / "whole", **settings)
    with pytest.raises(Interrupted):
        entrax.train(Match, run=tmp_path / "cut", hook=interrupt, **settings)
    resumed = entrax.resume(tmp_path / "cut", env=Match)
    assert parameters(whole)
    assert parameters(resumed) == parameters(whole)


def test_without_a_name_the_default_for_the_space_is_taken(tmp_path):
    run = entrax.train(Match, run=tmp_path / "run", **SMALL | {"steps": 200})
    assert run.config["agent"] == "dqn"
