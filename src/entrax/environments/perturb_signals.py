"""Perturbations of actions and observations, for any environment.

Each is called with an action or an observation and uses the generator given to `begin`.
"""

import copy
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces

ACTION_NOISE = 0.5
"""Standard deviation at severity 1 in half ranges of each action; the probability of a random discrete action."""
DELAY = 4
"""Steps of delay at severity 1."""
SENSOR_NOISE = 0.2
"""Standard deviation at severity 1, in half ranges of a bounded entry, or in the unit of an unbounded one."""
DROPOUT = 0.5
"""The probability at severity 1 that an entry of an observation is lost: 0 in that step."""

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Apply = Callable[[Any, np.random.Generator], Any]


class Signal(Protocol):
    """A perturbation of actions, or of observations."""

    def begin(self, rng: np.random.Generator) -> None:
        """Start an episode with this generator."""
        ...

    def __call__(self, value: Any) -> Any:
        """Return the perturbed value."""
        ...


class ActionNoise:
    """Gaussian noise on continuous actions, clipped to the bounds.

    Some discrete actions are drawn uniformly.
    """

    def __init__(self, space: spaces.Space, severity: float):
        self._space, self._severity = space, ACTION_NOISE * severity
        if isinstance(space, spaces.Box):
            self._std = self._severity * (space.high - space.low) / 2.0

    def begin(self, rng: np.random.Generator) -> None:
        """Start an episode with this generator."""
        self._rng = rng

    def __call__(self, value: Any) -> Any:
        match self._space:
            case spaces.Box() as box:
                noisy = value + self._std * self._rng.standard_normal(box.shape)
                return np.clip(noisy, box.low, box.high).astype(box.dtype)
            case spaces.Discrete() as choice:
                other = choice.start + self._rng.integers(choice.n)
                return other if self._rng.random() < self._severity else value
            case _:
                assert isinstance(self._space, spaces.MultiDiscrete)
                others = self._space.start + self._rng.integers(self._space.nvec)
                return np.where(self._rng.random(others.shape) < self._severity, others, value)


class ActionDelay:
    """Carries out the action of step t in step t + `steps`.

    Before the first action arrives it is 0, or the action nearest to 0.
    """

    def __init__(self, space: spaces.Space, severity: float):
        self.steps = int(np.ceil(DELAY * severity))
        match space:
            case spaces.Box():
                self._before: Any = np.clip(np.zeros(space.shape), space.low, space.high).astype(space.dtype)
            case spaces.Discrete():
                self._before = space.start
            case _:
                assert isinstance(space, spaces.MultiDiscrete)
                self._before = space.start.copy()

    def begin(self, rng: np.random.Generator) -> None:
        """Start an episode; the delay uses no randomness."""
        self._waiting = deque([self._before] * self.steps)

    def __call__(self, value: Any) -> Any:
        self._waiting.append(copy.copy(value))
        return self._waiting.popleft()


class Sensors:
    """Changes every array of floats in an observation, clipped to its space.

    Discrete parts are unchanged.
    """

    def __init__(self, space: spaces.Space, change: Callable[[spaces.Box], Change]):
        self._apply = _over_floats(space, change)

    def begin(self, rng: np.random.Generator) -> None:
        """Start an episode with this generator."""
        self._rng = rng

    def __call__(self, value: Any) -> Any:
        return self._apply(value, self._rng)


def sensor_noise(space: spaces.Space, severity: float) -> Sensors:
    """Add Gaussian noise to every entry."""

    def change(box: spaces.Box) -> Change:
        low, high = box.low.astype(float), box.high.astype(float)
        std = SENSOR_NOISE * severity * np.where(np.isfinite(high) & np.isfinite(low), high / 2.0 - low / 2.0, 1.0)
        return lambda value, rng: value + std * rng.standard_normal(value.shape)

    return Sensors(space, change)


def sensor_dropout(space: spaces.Space, severity: float) -> Sensors:
    """Set random entries to 0, independently in each step."""
    return Sensors(space, lambda box: lambda value, rng: value * (rng.random(value.shape) >= DROPOUT * severity))


def unsupported_action(env: gymnasium.Env) -> str | None:
    """Return the reason why the actions of an environment cannot be perturbed.

    Returns None if they can.
    """
    match env.action_space:
        case spaces.Box() as box if np.issubdtype(box.dtype, np.floating) and box.is_bounded():
            return None
        case spaces.Discrete() | spaces.MultiDiscrete():
            return None
        case other:
            return f"its actions are a {type(other).__name__} that is neither bounded floats nor discrete"


def unsupported_sensors(env: gymnasium.Env) -> str | None:
    """Return the reason why the observations of an environment cannot be perturbed.

    Returns None if they can.
    """
    return None if _has_floats(env.observation_space) else "it observes no real numbers"


def _has_floats(space: spaces.Space | None) -> bool:
    match space:
        case spaces.Dict() | spaces.Tuple():
            parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
            return any(map(_has_floats, parts))
        case _:
            return isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)


def _over_floats(space: spaces.Space, change: Callable[[spaces.Box], Change]) -> Apply:
    match space:
        case spaces.Dict():
            named = {name: _over_floats(part, change) for name, part in space.spaces.items()}
            return lambda value, rng: {name: apply(value[name], rng) for name, apply in named.items()}
        case spaces.Tuple():
            parts = [_over_floats(part, change) for part in space.spaces]
            return lambda value, rng: tuple(apply(part, rng) for apply, part in zip(parts, value, strict=True))
        case spaces.Box() as box if np.issubdtype(box.dtype, np.floating):
            changed = change(box)
            if not (box.bounded_below | box.bounded_above).any():
                return lambda value, rng: changed(value, rng).astype(value.dtype)
            return lambda value, rng: changed(value, rng).clip(box.low, box.high).astype(value.dtype)
        case _:
            return lambda value, rng: value
