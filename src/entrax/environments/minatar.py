"""MinAtar: five Atari games made small, seen as 10×10 binary planes (Young and Tian 2019, arXiv:1903.03176).

The games are those of the package `minatar` (the extra of that name: `pip install "entrax[minatar]"`), with its sticky
actions (an action is replaced by the one before it with probability 0.1) and its difficulty that rises along an
episode. Ours is what stands between it and Gymnasium: an episode depends on its seed and its actions only, where the
package lets the last action of one episode stick into the next.
Registered as `MinAtar/Asterix-v1`, `MinAtar/Breakout-v1`, `MinAtar/Freeway-v1`, `MinAtar/Seaquest-v1` and
`MinAtar/SpaceInvaders-v1`, with the actions that do something in the game, and as `-v0` with all six; at most 10,000
steps.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, UInt8

from entrax.errors import EntraxError, UsageError

PIXELS = 16
"""The side of a place in a picture."""
GOLDEN = 0.618
"""From one plane's hue to the next, as a part of the circle: neighbours differ, and no two are the same."""


class MinAtar(gymnasium.Env):
    """Observes which of the game's planes are set at which place: [10, 10, planes] bool, planes from 4 to 10."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(self, game: str, minimal_actions: bool = True, render_mode: str | None = None):
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"MinAtar renders as 'rgb_array', not {render_mode!r}.")
        try:
            from minatar import Environment
        except ImportError as error:
            raise EntraxError('MinAtar is not installed: pip install "entrax[minatar]".') from error
        self.render_mode = render_mode
        self.game = Environment(game)
        self.actions = self.game.minimal_action_set() if minimal_actions else list(range(self.game.num_actions()))
        self.observation_space = spaces.Box(0, 1, tuple(self.game.state_shape()), np.bool_)
        self.action_space = spaces.Discrete(len(self.actions))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Bool[np.ndarray, "10 10 plane"], dict[str, Any]]:
        super().reset(seed=seed)
        self.game.seed(int(self.np_random.integers(2**32)))
        self.game.last_action = 0
        self.game.reset()
        return self.game.state().astype(np.bool_), {}

    def step(self, action: int) -> tuple[Bool[np.ndarray, "10 10 plane"], float, bool, bool, dict[str, Any]]:
        reward, ended = self.game.act(self.actions[action])
        return self.game.state().astype(np.bool_), float(reward), bool(ended), False, {}

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """One colour for each plane, the last of them on top; None unless made with "rgb_array"."""
        if self.render_mode is None:
            return None
        state = self.game.state()
        hue = 2.0 * np.pi * (GOLDEN * np.arange(state.shape[2])[:, None] + np.arange(3) / 3.0)
        colours = np.vstack([np.zeros(3), 0.6 + 0.4 * np.cos(hue)])
        top = np.max(state * (np.arange(state.shape[2]) + 1), axis=2)
        return np.kron(np.uint8(255 * colours[top]), np.ones((PIXELS, PIXELS, 1), np.uint8))
