"""One environment in the middle of an episode, with every value it returns checked."""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import gymnasium
import numpy as np
from jaxtyping import Float, Num

from entrax.environments.faults import EnvironmentFault, exit_cause, exits_caught
from entrax.environments.source import EnvSource
from entrax.environments.spaces import flattener, spec_of, to_env_action
from entrax.environments.traits import Traits, traits_of
from entrax.errors import EntraxError

LARGEST_REWARD = float(np.finfo(np.float32).max)
SUCCESS = ("is_success", "success")
"""What environments call it in `info`."""
Outcome = tuple[Num[np.ndarray, " obs"], float, bool, bool, float]


class Replayed(NamedTuple):
    """Digests of what an episode has returned so far: of its last flat observation, and of all its rewards."""

    obs: str
    rewards: str


def obs_digest(obs: Num[np.ndarray, " obs"]) -> str:
    """SHA-256 of a flat observation, in hex."""
    return hashlib.sha256(obs.tobytes()).hexdigest()


def rewards_digest(before: str, reward: float | np.floating) -> str:
    """SHA-256, in hex, of an episode's rewards: of those `before` (empty at its start), then one more in float32."""
    return hashlib.sha256(before.encode() + np.float32(reward).tobytes()).hexdigest()


class Slot:
    """Environment number `index` of a pool. Every method raises EnvironmentFault when the environment misbehaves."""

    def __init__(self, source: EnvSource, index: int):
        self.source, self.index = source, index
        self.seed: int | None = None
        self.steps = 0
        self.running = False
        self.env: gymnasium.Env = source.make()
        try:
            self.spec = spec_of(self.env)
            self.traits: Traits = traits_of(self.env)
            self._flatten = flattener(self.env.observation_space)
        except EntraxError:
            self.close()
            raise
        except Exception as error:  # spaces may be properties of the environment, which raise what they like
            self.close()
            raise EntraxError(f"The spaces of {source.id!r} cannot be read: it {_raised(error)}.") from error

    def reset(self, seed: int) -> Num[np.ndarray, " obs"]:
        """Start the episode of `seed`."""
        self.seed, self.steps, self.running = seed, 0, True
        obs, _ = self._guarded(lambda: _pair(self.env.reset(seed=seed)))
        return self._guarded(lambda: self._flatten(obs))

    def step(self, action: Float[np.ndarray, " action"]) -> Outcome:
        """One step with a flat action in the environment's bounds: (next_obs, reward, terminated, truncated, success).

        `success` is 1 or 0 if the environment says in `info` whether its task is done, else NaN.
        """
        if not self.running:
            raise RuntimeError(f"Environment {self.index} was stepped after its episode had ended.")
        if not np.isfinite(action).all():
            raise EntraxError(f"The policy chose an action that is not finite for environment {self.index}.")
        self.steps += 1
        return self._guarded(lambda: self._outcome(action))

    def replay(self, seed: int, actions: Float[np.ndarray, "t action"]) -> Replayed:
        """Repeat the episode of `seed` up to these actions."""
        obs, rewards = self.reset(seed), ""
        for action in actions:
            obs, reward, *_ = self.step(action)
            rewards = rewards_digest(rewards, reward)
        return Replayed(obs=obs_digest(obs), rewards=rewards)

    def restart(self) -> None:
        """Make the environment anew."""
        self.close()
        self.env, self.running = self.source.make(), False

    def close(self) -> None:
        """Close the environment; what it raises then concerns nobody."""
        self.running = False
        try:
            with exits_caught():
                self.env.close()
        except KeyboardInterrupt:
            raise
        except BaseException:  # the episode is over and everything of value has left the environment
            return

    def _outcome(self, action: Float[np.ndarray, " action"]) -> Outcome:
        returned: Any = self.env.step(to_env_action(self.spec.action, action))
        if not isinstance(returned, tuple) or len(returned) != 5:
            raise ValueError("returned from step something other than (obs, reward, terminated, truncated, info)")
        obs, reward, terminated, truncated, info = returned
        flat = self._flatten(obs)
        number = np.asarray(float(reward) if isinstance(reward, int) else reward)  # which may exceed NumPy's integers
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
            # Ours begin with "returned"; an environment's own ValueError is named like any other exception.
            cause = str(error) if str(error).startswith("returned ") else _raised(error)
            self._fail(cause, error)
        except SystemExit as error:
            self._fail(exit_cause(error), error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # environments raise what they like
            self._fail(_raised(error), error)

    def _fail(self, cause: str, error: BaseException) -> NoReturn:
        raise EnvironmentFault(self.index, self.seed, self.steps, cause) from error


def _success(info: Any) -> float:
    """What `info` says of success, as 1 or 0; NaN if it says nothing that can be read."""
    said = next((info[name] for name in SUCCESS if name in info), None) if isinstance(info, dict) else None
    flag = np.asarray(np.nan if said is None else said)
    readable = flag.size == 1 and flag.dtype.kind in "fiub" and np.isfinite(flag).all()
    return float(flag.item() > 0) if readable else np.nan


def _raised(error: BaseException) -> str:
    return f"raised {type(error).__name__}: {error}".rstrip(": .")


def _flag(name: str, value: Any) -> bool:
    """A bool of Python or NumPy, or an array with no axes that holds one."""
    flag = np.asarray(value)
    if flag.shape != () or flag.dtype != np.bool_:
        raise ValueError(f"returned for {name!r} a {type(value).__name__}, not a bool")
    return bool(flag)


def _pair(returned: Any) -> tuple[Any, Any]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise ValueError("returned from reset something other than (obs, info)")
    return returned
