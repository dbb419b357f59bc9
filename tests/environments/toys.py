"""Environments that misbehave on request. Workers import this module by name, so nothing here is a test."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces


class Toy(gymnasium.Env):
    """Observes (steps taken, a number drawn from the seed, the last action), always in the same buffer.

    An episode of `length` steps ends by termination, or by truncation if `truncate`. At step `at` (at the reset if that
    is 0, when it is made if -1, when it is closed if -2) the environment misbehaves as `fault` says.
    """

    action_space = spaces.Box(-2.0, 3.0, (2,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)

    def __init__(self, length: int = 5, truncate: bool = False, fault: str = "", at: int = 2, note: str = ""):
        self.length, self.truncate, self.fault, self.at, self.note = length, truncate, fault, at, note
        self._buffer = np.zeros(3, np.float32)
        self._steps = 0
        if fault and at == -1:
            self._misbehave()

    def close(self) -> None:
        if self.fault and self.at == -2:
            self._misbehave()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self._steps = 0
        self._buffer[:] = (0.0, self.np_random.random(), 0.0)
        if self.fault == "unseeded":
            self._buffer[1] = time.perf_counter_ns() % 1_000_003
        self._resets = getattr(self, "_resets", 0) + 1
        return (self._misbehave() if self.fault and self.at == 0 else self._buffer), {}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict]:
        self._steps += 1
        self._buffer[0], self._buffer[2] = self._steps, action[0]
        reward: Any
        obs, reward, ended = self._buffer, float(action[1]), self._steps >= self.length
        reward += {"counted": self._resets, "noisy": time.perf_counter_ns() % 1_000_003}.get(self.fault, 0)
        if self.fault and self._steps == self.at:
            obs = self._misbehave()
            reward = {"nan reward": np.nan, "vector reward": np.zeros(2), "text reward": "1"}.get(self.fault, reward)
        terminated: Any = 0 if self.fault == "int flag" and self._steps == self.at else ended and not self.truncate
        terminated = {"array flags": np.array(terminated), "numpy flags": np.bool_(terminated)}.get(
            self.fault, terminated
        )
        return obs, reward, terminated, ended and self.truncate, {}

    def _misbehave(self) -> Any:
        match self.fault:
            case "raise":
                raise KeyError("lost my keys")
            case "hang":
                time.sleep(600)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                sys.exit(7)
            case "leave":
                os._exit(0)
            case "slow":
                time.sleep(1.0)
            case "note":
                Path(self.note).write_text(f"{os.getpid()}\n{'jax' in sys.modules}\n{os.environ['OMP_NUM_THREADS']}")
        wrong = {
            "nan": np.full(3, np.nan),
            "inf": np.full(3, np.inf),
            "shape": np.zeros(4),
            "text": np.array(["a"] * 3),
        }
        return wrong.get(self.fault, self._buffer)


class Choices(gymnasium.Env):
    """Observes the choice it was given, as the environment counts it: `many` choices, or one that starts at 5."""

    def __init__(self, many: bool = False):
        self.action_space = spaces.MultiDiscrete([3, 4]) if many else spaces.Discrete(3, start=5)
        self.observation_space = spaces.Box(-1.0, 10.0, (2 if many else 1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        return np.atleast_1d(action).astype(np.float32), 0.0, False, False, {}


def not_an_environment() -> int:
    """What a factory must not return."""
    return 3


gymnasium.register(id="EntraxToy-v0", entry_point=cast("Any", Toy), max_episode_steps=3)
