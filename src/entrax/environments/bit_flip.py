"""Bits to be flipped until they equal a goal (Andrychowicz et al. 2017, arXiv:1707.01495): the simplest goal task.

    s ∈ {0, 1}ⁿ;   action i flips bit i;   r = 0 and the episode terminates if s' = g, else r = -1

Exploration alone finds the goal with probability about 2⁻ⁿ n, so that from some fifteen bits on nothing is learned
without hindsight. Registered as `entrax/BitFlip-v0`.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from entrax.errors import UsageError

Bits = np.ndarray


class BitFlip(gymnasium.Env[Any, np.int64]):
    """Observes the bits, twice (`observation` and `achieved_goal`), and the goal (`desired_goal`).

    Episodes start from random bits with a random other goal, and are truncated after `bits` steps. `info["success"]` is
    whether the goal is reached.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  # Gymnasium's own declaration

    def __init__(self, bits: int = 15, render_mode: str | None = None):
        """Make the environment.

        Args:
            bits: n, at least 2.
            render_mode: None.

        Raises:
            UsageError: for fewer bits.
        """
        if bits < 2:
            raise UsageError(f"`bits` must be at least 2, got {bits}.")
        self.bits, self.render_mode = bits, render_mode
        part = spaces.MultiBinary(bits)
        self.observation_space = spaces.Dict({"observation": part, "achieved_goal": part, "desired_goal": part})
        self.action_space = spaces.Discrete(bits)
        self.state = self.goal = np.zeros(bits, np.int8)
        self.steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Bits], dict[str, Any]]:
        super().reset(seed=seed)
        self.state = self.np_random.integers(2, size=self.bits, dtype=np.int8)
        self.goal = self.state.copy()
        while np.array_equal(self.goal, self.state):
            self.goal = self.np_random.integers(2, size=self.bits, dtype=np.int8)
        self.steps = 0
        return self._observed(), {"success": False}

    def step(self, action: Any) -> tuple[dict[str, Bits], float, bool, bool, dict[str, Any]]:
        self.state[int(action)] ^= 1
        self.steps += 1
        reached = bool(self.compute_terminated(self.state, self.goal, {}))
        reward = float(self.compute_reward(self.state, self.goal, {}))
        return self._observed(), reward, reached, self.steps >= self.bits and not reached, {"success": reached}

    def compute_reward(self, achieved: Bits, desired: Bits, info: Any) -> Any:
        """Return 0 for a goal that is reached, and -1 otherwise; of one goal or of many."""
        return np.all(achieved == desired, axis=-1) - 1.0

    def compute_terminated(self, achieved: Bits, desired: Bits, info: Any) -> Any:
        """Return whether a goal is reached."""
        return np.all(achieved == desired, axis=-1)

    def _observed(self) -> dict[str, Bits]:
        parts = {"observation": self.state, "achieved_goal": self.state, "desired_goal": self.goal}
        return {name: part.copy() for name, part in parts.items()}
