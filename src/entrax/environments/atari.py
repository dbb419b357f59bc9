"""Atari games with the usual preprocessing (Mnih et al. 2015; Machado et al. 2018, arXiv:1709.06009).

The games come with `ale-py` (`pip install "entrax[atari]"`). An action is held for four frames and is sticky: at every
frame the emulator repeats the one before with probability 0.25, which is the only randomness besides the seed. A
picture is the maximum of the last two frames at every pixel, in grey, 84×84 by the mean over areas. The observation is
the last four pictures, the newest last. `clip_rewards` reduces rewards to their signs. Losing a life does not end an
episode; 27,000 steps (108,000 frames, half an hour) do.
Registered as `entrax/Atari-v0`, with the argument `game`: Pong, Breakout, …
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, UInt8

from entrax.errors import EntraxError, UsageError, closest

SIDE, FRAMES, SKIP = 84, 4, 4
STICKY = 0.25
"""The probability that a frame repeats the previous action."""


class Atari(gymnasium.Env):
    """Observes [84, 84, 4] uint8. The actions are those with an effect in the game."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(self, game: str = "Pong", clip_rewards: bool = False, render_mode: str | None = None):
        if render_mode not in (None, "rgb_array"):
            raise UsageError(f"`render_mode` must be 'rgb_array' or None, got {render_mode!r}.")
        try:
            import ale_py
        except ImportError as error:
            raise EntraxError('Atari is not installed: run `pip install "entrax[atari]"`.') from error
        self.render_mode, self.clip_rewards = render_mode, clip_rewards
        games, name = ale_py.roms.get_all_rom_ids(), _file_name(game)
        rom = ale_py.roms.get_rom_path(name) if name in games else None
        if rom is None:
            raise UsageError(f"ale-py has no game {game!r}{closest(name, games)}")
        self.rom = rom
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.ale = ale_py.ALEInterface()
        self.ale.setFloat("repeat_action_probability", STICKY)
        self.ale.loadROM(self.rom)
        self.actions = self.ale.getMinimalActionSet()
        height, width = self.ale.getScreenDims()
        self.rows, self.columns = _areas(height), _areas(width)
        self.pictures = np.zeros((SIDE, SIDE, FRAMES), np.uint8)
        self.observation_space = spaces.Box(0, 255, self.pictures.shape, np.uint8)
        self.action_space = spaces.Discrete(len(self.actions))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[UInt8[np.ndarray, "84 84 4"], dict[str, Any]]:
        super().reset(seed=seed)
        self.ale.setInt("random_seed", int(self.np_random.integers(2**31)))
        self.ale.loadROM(self.rom)  # the emulator reads its seed when it loads
        self.pictures[:] = self._picture(self.ale.getScreenGrayscale())[..., None]
        return self.pictures.copy(), {}

    def step(self, action: int) -> tuple[UInt8[np.ndarray, "84 84 4"], float, bool, bool, dict[str, Any]]:
        reward, screens = 0.0, []
        for frame in range(SKIP):
            reward += self.ale.act(self.actions[action])
            if frame >= SKIP - 2:
                screens.append(self.ale.getScreenGrayscale())
        self.pictures = np.roll(self.pictures, -1, axis=2)
        self.pictures[..., -1] = self._picture(np.maximum(*screens))
        reward = float(np.sign(reward)) if self.clip_rewards else float(reward)
        return self.pictures.copy(), reward, bool(self.ale.game_over()), False, {"lives": self.ale.lives()}

    def render(self) -> UInt8[np.ndarray, "height width 3"] | None:
        """Return the emulator's screen in colour; None unless made with "rgb_array"."""
        return None if self.render_mode is None else self.ale.getScreenRGB()

    def _picture(self, screen: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "84 84"]:
        sums = self.rows @ screen.astype(np.float32) @ self.columns.T  # exact: below 2²⁴
        return np.rint(sums / screen.size).astype(np.uint8)


def _areas(size: int) -> Float[np.ndarray, "84 size"]:
    """Return the overlap of each of `size` pixels with each of 84 over the same length, in 1/84: whole numbers."""
    ends = np.arange(SIDE + 1) * size / SIDE
    low, high = ends[:-1, None], ends[1:, None]
    covered = np.minimum(high, np.arange(size) + 1.0) - np.maximum(low, np.arange(size))
    return np.rint(np.maximum(covered, 0.0) * SIDE).astype(np.float32)


def _file_name(game: str) -> str:
    """Return ale-py's name of a game: space_invaders for SpaceInvaders."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in game).lstrip("_")
