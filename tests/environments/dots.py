"""Toys that are seen as images, in a module so that workers can make them."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Dot(gymnasium.Env):
    """A bright column of a 10×10 image: action 1 is right where it is in the right half, and 0 otherwise.

    `kind`: discrete; "box" has a number instead, whose sign counts. Five steps.
    """

    observation_space = spaces.Box(0, 255, (10, 10, 2), np.uint8)

    def __init__(self, kind: str = "discrete"):
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32) if kind == "box" else spaces.Discrete(2)
        self.image = np.zeros((10, 10, 2), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.t = 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        right = action[0] > 0 if isinstance(self.action_space, spaces.Box) else action == 1
        reward = float(right == (self.column >= 5))
        self.t += 1
        return self._obs(), reward, False, self.t == 5, {}

    def _obs(self) -> np.ndarray:
        self.column = int(self.np_random.integers(10))
        self.image[:] = 0
        self.image[:, self.column] = 200
        return self.image
