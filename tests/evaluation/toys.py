"""Environments whose returns can be worked out by hand."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Countdown(gymnasium.Env):
    """Terminates after 1 to 6 steps, by the seed; observes (steps left, steps taken).

    The reward of step t (from 0) is the action plus 10 t, so an episode of n steps under the action "steps left"
    returns n + (n-1) + … + 1 + 10 (0 + 1 + … + n-1) = 11/2 n² - 9/2 n.
    """

    action_space = spaces.Box(-10.0, 10.0, (1,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, endless: bool = False):
        self.endless = endless

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left, self.taken = int(self.np_random.integers(1, 7)), 0
        return self._obs(), {}

    def step(self, action):
        reward = float(action[0]) + 10.0 * self.taken
        self.left, self.taken = self.left - 1, self.taken + 1
        return self._obs(), reward, self.left == 0 and not self.endless, False, {}

    def _obs(self):
        return np.array([self.left, self.taken], np.float32)


def limited(limit: int) -> gymnasium.Env:
    """A countdown that never gets to its end: only the time limit cuts it off."""
    return gymnasium.wrappers.TimeLimit(Countdown(endless=True), limit)


def countdown_length(seed: int) -> int:
    """What `Countdown.reset(seed=seed)` draws, by Gymnasium's own way of seeding."""
    return int(gymnasium.utils.seeding.np_random(seed)[0].integers(1, 7))
