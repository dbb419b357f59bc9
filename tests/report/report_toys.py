"""Environments that are drawn in known colours."""

import threading

import gymnasium
import numpy as np
from gymnasium import spaces


class Painter(gymnasium.Env):
    """Episodes of `length` steps; the picture is as bright as the last action says, in [0, 255]; 60 steps a second."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 60}  # noqa: RUF012
    action_space = spaces.Box(0.0, 255.0, (1,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)

    def __init__(self, length: int = 20, size: tuple[int, int] = (51, 101), fault: str = "", render_mode=None):
        self.length, self.size, self.fault, self.render_mode = length, size, fault, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.taken, self.brightness = 0, 0.0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        if self.fault == "hang":
            threading.Event().wait()
        self.taken, self.brightness = self.taken + 1, float(action[0])
        return np.array([self.taken], np.float32), 0.0, self.taken == self.length, False, {}

    def render(self):
        if self.fault == "raise":
            raise RuntimeError("the brush is broken")
        if self.fault == "late" and self.taken > 3:
            raise RuntimeError("the paint ran out")
        if self.fault == "die":
            import os

            os.abort()
        if self.fault == "none":
            return None
        return np.full((*self.size, 3), self.brightness, np.uint8)
