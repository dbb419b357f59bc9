"""An environment that observes which of its actions are allowed."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from entrax.environments.source import as_source
from entrax.environments.spaces import spec_of
from entrax.errors import UsageError
from entrax.spec import MASK, options_of


class ActionMask(gymnasium.Wrapper):
    """Add the part `action_mask` to the observation: 1 for an allowed option, 0 for one that is not.

    The mask is `info["action_mask"]`, as in Taxi-v3, or what the environment's method `action_masks()` returns, as
    sb3-contrib's MaskablePPO expects. It is an array with an entry for each action, or for each option of each entry
    of a MultiDiscrete or MultiBinary action, one entry after the other. After a termination it may be missing.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self._options = sum(options_of(spec_of(env).action))
        if self._options == 0:
            raise UsageError("An action mask requires discrete actions.")
        self._method = "action_masks" if env.has_wrapper_attr("action_masks") else None
        inner = env.observation_space
        parts = dict(inner.spaces) if isinstance(inner, spaces.Dict) else {"observation": inner}
        self.observation_space = spaces.Dict(parts | {MASK: spaces.MultiBinary(self._options)})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(obs, info, terminated=False), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._with_mask(obs, info, bool(terminated)), reward, terminated, truncated, info

    def _with_mask(self, obs: Any, info: Mapping[str, Any], terminated: bool) -> dict[str, Any]:
        given = self.env.get_wrapper_attr(self._method)() if self._method else info.get(MASK)
        if given is None:
            if not terminated:
                raise UsageError(f"The environment gave no mask: neither info[{MASK!r}] nor a method `action_masks`.")
            given = np.ones(self._options)
        parts = given if isinstance(given, tuple | list) and np.ndim(given[0]) else (given,)
        mask = np.concatenate([np.ravel(part) for part in parts]).astype(np.int8)
        if mask.shape != (self._options,):
            raise UsageError(f"The action mask has {mask.size} entries for {self._options} options.")
        return {**(obs if isinstance(obs, dict) else {"observation": obs}), MASK: mask}


def action_mask(env: str, env_args: Mapping[str, Any] | None = None, render_mode: str | None = None) -> ActionMask:
    """Make `entrax/ActionMask-v0`: the environment of id `env`, with its action mask observed."""
    return ActionMask(as_source(env, env_args or {}).make(render_mode))
