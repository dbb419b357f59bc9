"""An environment of which there can be one at a time, such as a robot. Workers import this by name; no test is here."""

from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces


class Single(gymnasium.Env):
    """Holds the file `port` while it is open, and refuses to be made while another does. Episodes have 7 steps."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, port: str):
        self.port = Path(port)
        self.port.touch(exist_ok=False)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.number = 0, self.np_random.random()
        return np.array([0.0, self.number], np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.array([self.steps, self.number], np.float32), float(action[0]), False, self.steps >= 7, {}

    def close(self):
        self.port.unlink()
