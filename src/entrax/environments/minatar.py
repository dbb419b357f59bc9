"""MinAtar: five small Atari games, observed as 10×10 binary planes (Young and Tian 2019, arXiv:1903.03176).

The games come with the package `minatar` (`pip install "entrax[minatar]"`), with its sticky actions (the previous
action is repeated with probability 0.1) and its difficulty that rises along an episode. This wrapper makes an episode
depend on its seed and its actions only; in the package the last action of one episode can stick into the next.
Registered as `MinAtar/Asterix-v1`, `MinAtar/Breakout-v1`, `MinAtar/Freeway-v1`, `MinAtar/Seaquest-v1` and
`MinAtar/SpaceInvaders-v1`, with the actions that have an effect in the game, and as `-v0` with all six; at most 10,000
steps.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, UInt8

from entrax.errors import EntraxError, UsageError

PIXELS = 16
"""The side of a cell in a picture, in pixels."""
GOLDEN = 0.618
"""The step from one plane's hue to the next, as a share of the circle: neighbours differ and no two are equal."""


class MinAtar(gymnasium.Env):
    """Observes the game's planes, [10, 10, planes] bool, with 4 to 10 planes."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(self, game: str, minimal_actions: bool = True, render_mode: str | None = None):
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"`render_mode` must be 'rgb_array' or None, got {render_mode!r}.")
        try:
            from minatar import Environment
        except ImportError as error:
            raise EntraxError('MinAtar is not installed: run `pip install "entrax[minatar]"`.') from error
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
        """Draw one colour for each plane, the last on top.

        Returns None unless made with "rgb_array".
        """
        if self.render_mode is None:
            return None
        state = self.game.state()
        hue = 2.0 * np.pi * (GOLDEN * np.arange(state.shape[2])[:, None] + np.arange(3) / 3.0)
        colours = np.vstack([np.zeros(3), 0.6 + 0.4 * np.cos(hue)])
        top = np.max(state * (np.arange(state.shape[2]) + 1), axis=2)
        return np.kron(np.uint8(255 * colours[top]), np.ones((PIXELS, PIXELS, 1), np.uint8))
