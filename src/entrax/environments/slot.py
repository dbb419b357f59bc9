"""One environment and its current episode, with a check of every value that it returns."""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import gymnasium
import numpy as np
from jaxtyping import Float, Num

from entrax.environments.faults import EnvironmentFault, exit_cause, exits_caught
from entrax.environments.messages import Picture
from entrax.environments.rendering import keep_in_view, rendered
from entrax.environments.source import EnvSource
from entrax.environments.spaces import flattener, spec_of, to_env_action
from entrax.environments.traits import Traits, traits_of
from entrax.errors import EntraxError

LARGEST_REWARD = float(np.finfo(np.float32).max)
SUCCESS = ("is_success", "success")
"""The names of success in `info`."""
SlotStep = tuple[Num[np.ndarray, " obs"], float, bool, bool, float]


class Replayed(NamedTuple):
    """Digests of an episode so far: of its last observation and of all its rewards."""

    obs: str
    rewards: str


def obs_digest(obs: Num[np.ndarray, " obs"]) -> str:
    """Return the SHA-256 of a flat observation, in hex."""
    return hashlib.sha256(obs.tobytes()).hexdigest()


def rewards_digest(before: str, reward: float | np.floating) -> str:
    """Return the digest of an episode's rewards after one more reward.

    It is the SHA-256, in hex, of the digest `before` (empty at the start) and the reward in float32.
    """
    return hashlib.sha256(before.encode() + np.float32(reward).tobytes()).hexdigest()


class Slot:
    """Environment number `index` of a pool.

    Every method raises EnvironmentFault when the environment misbehaves.
    """

    def __init__(self, source: EnvSource, index: int, render_mode: str | None = None):
        self.source, self.index, self.render_mode = source, index, render_mode
        self.seed: int | None = None
        self.steps = 0
        self.running = False
        self.env = self._make()
        try:
            self.spec = spec_of(self.env)
            self.traits: Traits = traits_of(self.env)
            self._flatten = flattener(self.env.observation_space)
        except EntraxError:
            self.close()
            raise
        except Exception as error:  # spaces may be properties, which can raise anything
            self.close()
            raise EntraxError(f"The spaces of {source.id!r} cannot be read: it {_raised(error)}.") from error

    def reset(self, seed: int) -> Num[np.ndarray, " obs"]:
        """Start the episode of `seed`."""
        self.seed, self.steps, self.running = seed, 0, True
        obs, _ = self._guarded(lambda: _pair(self.env.reset(seed=seed)))
        return self._guarded(lambda: self._flatten(obs))

    def step(self, action: Float[np.ndarray, " action"]) -> SlotStep:
        """Take one step with a flat action in the environment's bounds.

        Returns (next_obs, reward, terminated, truncated, success); `success` is 1 or 0 if `info` reports it, else NaN.
        """
        if not self.running:
            raise RuntimeError(f"Environment {self.index} was stepped after its episode had ended.")
        if not np.isfinite(action).all():
            raise EntraxError(f"The policy's action for environment {self.index} is not finite.")
        self.steps += 1
        return self._guarded(lambda: self._checked_step(action))

    def replay(self, seed: int, actions: Float[np.ndarray, "t action"]) -> Replayed:
        """Repeat the episode of `seed` under these actions."""
        obs, rewards = self.reset(seed), ""
        for action in actions:
            obs, reward, *_ = self.step(action)
            rewards = rewards_digest(rewards, reward)
        return Replayed(obs=obs_digest(obs), rewards=rewards)

    def restart(self) -> None:
        """Replace the environment by a new one."""
        self.close()
        self.env, self.running = self._make(), False

    def render(self) -> Picture:
        """Draw the environment."""
        return self._guarded(lambda: rendered(self.env))

    def close(self) -> None:
        """Close the environment and ignore what it raises."""
        self.running = False
        try:
            with exits_caught():
                self.env.close()
        except KeyboardInterrupt:
            raise
        except BaseException:  # nothing more is needed of the environment
            return

    def _make(self) -> gymnasium.Env:
        env = self.source.make(self.render_mode)
        if self.render_mode is not None:
            keep_in_view(env)
        return env

    def _checked_step(self, action: Float[np.ndarray, " action"]) -> SlotStep:
        returned: Any = self.env.step(to_env_action(self.spec.action, action))
        if not isinstance(returned, tuple) or len(returned) != 5:
            raise ValueError("returned from step something other than (obs, reward, terminated, truncated, info)")
        obs, reward, terminated, truncated, info = returned
        flat = self._flatten(obs)
        number = np.asarray(float(reward) if isinstance(reward, int) else reward)  # a Python integer may exceed NumPy's
        if number.shape != () or number.dtype.kind not in "fiub":
            raise ValueError(f"returned a reward that is no number ({type(reward).__name__} of shape {number.shape})")
        if not abs(float(number)) <= LARGEST_REWARD:
            raise ValueError(f"returned the reward {reward}, which is not a finite float32 number")
        ended, cut = _flag("terminated", terminated), _flag("truncated", truncated)
        self.running = not (ended or cut)
        return flat, float(number), ended, cut, _success(info)

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            with exits_caught():
                return call()
        except ValueError as error:
            # Those of our checks begin with "returned"; others are the environment's own.
            cause = str(error) if str(error).startswith("returned ") else _raised(error)
            self._fail(cause, error)
        except SystemExit as error:
            self._fail(exit_cause(error), error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # environments can raise anything
            self._fail(_raised(error), error)

    def _fail(self, cause: str, error: BaseException) -> NoReturn:
        raise EnvironmentFault(self.index, self.seed, self.steps, cause) from error


def _success(info: Any) -> float:
    """Return the success in `info` as 1 or 0; NaN if it is missing or not a number."""
    reported = next((info[name] for name in SUCCESS if name in info), None) if isinstance(info, dict) else None
    flag = np.asarray(np.nan if reported is None else reported)
    readable = flag.size == 1 and flag.dtype.kind in "fiub" and np.isfinite(flag).all()
    return float(flag.item() > 0) if readable else np.nan


def _raised(error: BaseException) -> str:
    return f"raised {type(error).__name__}: {error}".rstrip(": .")


def _flag(name: str, value: Any) -> bool:
    """Convert a bool of Python or NumPy, or a 0-d array of one."""
    flag = np.asarray(value)
    if flag.shape != () or flag.dtype != np.bool_:
        raise ValueError(f"returned for {name!r} a {type(value).__name__}, not a bool")
    return bool(flag)


def _pair(returned: Any) -> tuple[Any, Any]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise ValueError("returned from reset something other than (obs, info)")
    return returned
