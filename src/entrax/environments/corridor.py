"""A corridor with a small reward at its near end and a large one at its far end.

    x₀ = start,  x' = x ± 1
    r = near_reward on entering 0, far_reward on entering `length`, 0 elsewhere; either end terminates

A random walk from near the small reward seldom reaches the large one, and the first lessons of a policy gradient are to
turn back. A policy that loses its entropy then has no second chance. The dynamics are those of
`entrax.problems.random_walk`, so that the exact optimum is known: `FiniteMDP.from_gymnasium(env, trust_table=True)`
reads the table `P`. Registered as `entrax/Corridor-v0`, with at most 200 steps.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import UInt8

from entrax.environments.canvas import BLUE, GREEN, LINE, RED, Canvas
from entrax.errors import UsageError

PIXELS = 32.0  # of a cell
LEAST_DISC, LARGEST_DISC = 0.1, 0.45  # radii of the rewards, in cells


class Corridor(gymnasium.Env[np.int64, np.int64]):
    """Observes the cell, one of `length` + 1; action 0 steps down and action 1 up.

    `info["success"]` is whether the far end has been reached.

    Attributes:
        P: by cell and action, the probability, next cell, reward and termination of every outcome.
        initial_state_distrib: the probability of every cell at the start.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  # Gymnasium's own declaration

    def __init__(
        self,
        length: int = 30,
        start: int = 2,
        near_reward: float = 0.05,
        far_reward: float = 1.0,
        render_mode: str | None = None,
    ):
        """Make the corridor.

        Args:
            length: the far end, at least 2.
            start: the first cell, between the ends.
            near_reward: the reward of entering cell 0.
            far_reward: the reward of entering cell `length`.
            render_mode: "rgb_array" or None.

        Raises:
            UsageError: for an argument outside its range.
        """
        if length < 2:
            raise UsageError(f"`length` must be at least 2, got {length}.")
        if not 0 < start < length:
            raise UsageError(f"`start` must be between 0 and `length`, {length}, got {start}.")
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"`render_mode` must be 'rgb_array' or None, got {render_mode!r}.")
        self.length, self.start, self.render_mode = length, start, render_mode
        self.rewards = {0: near_reward, length: far_reward}
        self.observation_space = spaces.Discrete(length + 1)
        self.action_space = spaces.Discrete(2)
        self.P = {cell: {action: [self._outcome(cell, action)] for action in (0, 1)} for cell in range(length + 1)}
        self.initial_state_distrib = np.eye(length + 1)[start]
        self.path = [start]

    def _outcome(self, cell: int, action: int) -> tuple[float, int, float, bool]:
        if cell in self.rewards:
            return 1.0, cell, 0.0, True
        after = cell + 2 * action - 1
        return 1.0, after, float(self.rewards.get(after, 0.0)), after in self.rewards

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        self.path = [self.start]
        return np.int64(self.start), {"success": False}

    def step(self, action: int | np.integer) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """Take one step; the episode ends at either end."""
        [(_, cell, reward, terminated)] = self.P[self.path[-1]][int(action)]
        self.path.append(cell)
        return np.int64(cell), reward, terminated, False, {"success": cell == self.length}

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """Draw the cells, the rewards in green, the path in blue and the present cell in red.

        The larger the reward, the larger its disc. Returns None unless made with "rgb_array".
        """
        if self.render_mode is None:
            return None
        canvas = Canvas(np.array([-0.5, -1.5]), np.array([self.length + 0.5, 1.5]), PIXELS)
        for cell in range(self.length + 1):
            canvas.box(np.array([cell - 0.46, -0.46]), np.array([cell + 0.46, 0.46]), LINE)
        largest = max(*map(abs, self.rewards.values()), 1e-12)
        for cell, reward in self.rewards.items():
            place = np.array([cell, 0.0])
            canvas.stroke(place, place, max(LEAST_DISC, LARGEST_DISC * abs(reward) / largest), GREEN)
        first, last = (np.array([end, 0.0]) for end in (min(self.path), max(self.path)))
        canvas.stroke(first, last, 0.05, BLUE)
        here = np.array([self.path[-1], 0.0])
        canvas.stroke(here, here, 0.25, RED)
        return canvas.pixels()
