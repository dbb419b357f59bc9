"""An environment with pictures of one colour, one a second, so that a film of it is made at once."""

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces


class Painter(gymnasium.Env):
    """Episodes of five steps, each as bright as the last action says; the reward is the brightness."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012
    action_space = spaces.Box(0.0, 255.0, (1,), np.float32)
    observation_space = spaces.Box(0.0, 255.0, (2,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.taken, self.brightness = 0, float(self.np_random.uniform(0, 255))
        return self._obs(), {}

    def step(self, action):
        self.taken, self.brightness = self.taken + 1, float(action[0])
        return self._obs(), self.brightness / 255, False, self.taken == 5, {}

    def render(self):
        return np.full((32, 64, 3), self.brightness, np.uint8)

    def _obs(self):
        return np.array([self.taken, self.brightness], np.float32)


gymnasium.register(id="EntraxPainter-v0", entry_point=cast("Any", Painter))
