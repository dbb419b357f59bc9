"""Environments that misbehave once in a run. Workers import this module by name, so nothing here is a test."""

import os
import signal
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces


class Once(gymnasium.Env):
    """Observes (steps taken, a number drawn from the seed). At step `at` of some episode it misbehaves, if no file
    `marker` says that it did before.
    """

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, fault: str, marker: str, at: int = 7, length: int = 20):
        self.fault, self.marker, self.at, self.length = fault, Path(marker), at, length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.number = 0, self.np_random.random()
        if self.fault == "reset" and self._first():
            raise ValueError("cannot begin")
        return self._obs(), {}

    def step(self, action):
        self.steps += 1
        obs = self._obs()
        if self.steps == self.at and self.fault != "reset" and self._first():
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
                case "nan":
                    obs = np.full(2, np.nan, np.float32)
        return obs, float(action[0]), False, self.steps >= self.length, {}

    def _obs(self):
        return np.array([self.steps, self.number], np.float32)

    def _first(self) -> bool:
        try:
            with open(self.marker, "x"):
                return True
        except FileExistsError:
            return False
