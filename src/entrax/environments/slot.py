"""One environment in the middle of an episode, with every value it returns checked."""

import hashlib
from collections.abc import Callable
from typing import Any, NoReturn

import gymnasium
import numpy as np
from jaxtyping import Float, Num

from entrax.environments.faults import EnvironmentFault
from entrax.environments.source import EnvSource
from entrax.environments.spaces import flattener, spec_of, to_env_action
from entrax.errors import EntraxError

Outcome = tuple[Num[np.ndarray, " obs"], float, bool, bool]


class Slot:
    """Environment number `index` of a pool. Every method raises EnvironmentFault when the environment misbehaves."""

    def __init__(self, source: EnvSource, index: int):
        self.source, self.index = source, index
        self.env: gymnasium.Env = source.make()
        self.spec = spec_of(self.env)
        self._flatten = flattener(self.env.observation_space)
        self.seed: int | None = None
        self.steps = 0
        self.running = False

    def reset(self, seed: int) -> Num[np.ndarray, " obs"]:
        """Start the episode of `seed`."""
        self.seed, self.steps, self.running = seed, 0, True
        obs, _ = self._guarded(lambda: _pair(self.env.reset(seed=seed)))
        return self._guarded(lambda: self._flatten(obs))

    def step(self, action: Float[np.ndarray, " action"]) -> Outcome:
        """One step with a flat action in the environment's bounds: (next_obs, reward, terminated, truncated)."""
        if not self.running:
            raise RuntimeError(f"Environment {self.index} was stepped after its episode had ended.")
        if not np.isfinite(action).all():
            raise EntraxError(f"The policy chose an action that is not finite for environment {self.index}.")
        self.steps += 1
        return self._guarded(lambda: self._outcome(action))

    def replay(self, seed: int, actions: Float[np.ndarray, "t action"]) -> str:
        """Take up the episode of `seed` after these actions; SHA-256 of the last flat observation, in hex."""
        obs = self.reset(seed)
        for action in actions:
            obs, *_ = self.step(action)
        return hashlib.sha256(obs.tobytes()).hexdigest()

    def restart(self) -> None:
        """Make the environment anew."""
        self.close()
        self.env, self.running = self.source.make(), False

    def close(self) -> None:
        """Close the environment; what it raises then concerns nobody."""
        try:
            self.env.close()
        except Exception:  # the episode is over and everything of value has left the environment
            self.running = False

    def _outcome(self, action: Float[np.ndarray, " action"]) -> Outcome:
        returned = self.env.step(to_env_action(self.spec.action, action))
        if len(returned) != 5:
            raise ValueError("returned from step something other than (obs, reward, terminated, truncated, info)")
        obs, reward, terminated, truncated, _ = returned
        flat = self._flatten(obs)
        number = np.asarray(reward)
        if number.shape != () or number.dtype.kind not in "fiub":
            raise ValueError(f"returned a reward that is no number ({type(reward).__name__} of shape {number.shape})")
        if not np.isfinite(number):
            raise ValueError(f"returned the reward {reward}")
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(flag, bool | np.bool_):
                raise ValueError(f"returned for {name!r} a {type(flag).__name__}, not a bool")
        self.running = not (terminated or truncated)
        return flat, float(reward), bool(terminated), bool(truncated)

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ValueError as error:
            # Ours begin with "returned"; an environment's own ValueError is named like any other exception.
            cause = str(error) if str(error).startswith("returned ") else _raised(error)
            self._fail(cause, error)
        except Exception as error:  # environments raise what they like
            self._fail(_raised(error), error)

    def _fail(self, cause: str, error: Exception) -> NoReturn:
        raise EnvironmentFault(self.index, self.seed, self.steps, cause) from error


def _raised(error: Exception) -> str:
    return f"raised {type(error).__name__}: {error}".rstrip(": .")


def _pair(returned: Any) -> tuple[Any, Any]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise ValueError("returned from reset something other than (obs, info)")
    return returned
