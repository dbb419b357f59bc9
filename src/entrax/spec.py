"""What an agent knows of its environment, and the records that travel between the rooms.

Nothing here needs JAX: environment workers import this module too. `Transition` and `Progress` are named tuples,
which JAX treats as pytrees.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Leaf:
    """One named part of an observation as the environment declares it: `size` entries of the flat vector.

    `low` and `high` hold one bound for each entry of the flat part, or one for all entries of an image. What follows
    says how to find and flatten the part; no network depends on it, so it is not compared. `path` leads to the part
    through ("key", name) and ("place", number) of dictionaries and tuples; None in records of older versions. Of
    integers that become one-hot, `options` holds how many values each has and `start` the least.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    path: tuple[tuple[str, str | int], ...] | None = field(default=None, compare=False)
    options: tuple[int, ...] = field(default=(), compare=False)
    start: tuple[int, ...] = field(default=(), compare=False)

    @property
    def is_image(self) -> bool:
        """Whether the part is an image, height × width × channels."""
        return len(self.shape) == 3 and self.dtype in IMAGE_DTYPES

    @property
    def is_plain(self) -> bool:
        """Whether a record without `path` says all: the observation is a Box, and nothing is around it."""
        return "/" not in self.name and self.size == int(np.prod(self.shape)) and self.shape != ()


IMAGE_DTYPES = ("uint8", "bool")


class Image(NamedTuple):
    """An image, channels last; its entries are from 0 to `greatest`."""

    height: int
    width: int
    channels: int
    greatest: float

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Continuous:
    """A box of actions with finite bounds, one for each entry of the flattened action."""

    shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def size(self) -> int:
        """Number of entries of the flattened action."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Discrete:
    """Actions `start, …, start + n - 1` in the environment, 0 … n-1 for an agent."""

    n: int
    start: int = 0

    @property
    def size(self) -> int:
        """Number of entries of the flattened action."""
        return 1


@dataclass(frozen=True)
class MultiDiscrete:
    """Several discrete actions at once, with `nvec[i]` choices in place i of the flat action, from 0 for an agent.

    In the environment they start at `start` (empty: 0) and are an array of `shape` (empty: a vector) and `dtype`.
    """

    nvec: tuple[int, ...]
    start: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: str = "int64"

    @property
    def size(self) -> int:
        """Number of entries of the flattened action."""
        return len(self.nvec)


@dataclass(frozen=True)
class Spec:
    """An environment's observation leaves, concatenated in this order into one float32 vector, and its actions.

    An image is the only leaf, and its flat vector is of uint8.
    """

    observation: tuple[Leaf, ...]
    action: Continuous | Discrete | MultiDiscrete

    @property
    def obs_size(self) -> int:
        """Length of the flat observation vector."""
        return sum(leaf.size for leaf in self.observation)

    @property
    def image(self) -> Image | None:
        """What the flat vector is if an image is all that is observed, else None."""
        leaf = self.observation[0]
        if len(self.observation) > 1 or not leaf.is_image:
            return None
        height, width, channels = leaf.shape
        return Image(height, width, channels, greatest=leaf.high[0])

    @property
    def scaled_size(self) -> int:
        """Length of what a normaliser scales: the flat vector, but nothing of an image."""
        return self.obs_size if self.image is None else 0

    @property
    def obs_dtype(self) -> type[np.generic]:
        """Of the flat observation vector."""
        return np.float32 if self.image is None else np.uint8


def spec_from_json(record: dict[str, Any]) -> Spec:
    """The spec that `dataclasses.asdict` turned into JSON data: tuples are lists there, and infinite bounds null.

    Raises TypeError or ValueError when fields are missing, unknown, or do not fit each other.
    """

    def bounds(values: list[float | None], missing: float) -> tuple[float, ...]:
        return tuple(missing if value is None else value for value in values)

    def restored(fields: dict[str, Any]) -> dict[str, Any]:
        tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        ends = {"low": -np.inf, "high": np.inf}
        if fields.get("path") is not None:
            tuples["path"] = tuple(map(tuple, fields["path"]))
        return tuples | {name: bounds(fields[name], end) for name, end in ends.items() if name in fields}

    action = restored(record["action"])
    kind = MultiDiscrete if "nvec" in action else Discrete if "n" in action else Continuous
    spec = Spec(observation=tuple(Leaf(**restored(leaf)) for leaf in record["observation"]), action=kind(**action))
    _check_sizes(spec)
    return spec


def _check_sizes(spec: Spec) -> None:
    """Raises ValueError unless there is a bound for each entry."""
    if not spec.observation:
        raise ValueError("nothing is observed")
    for leaf in spec.observation:
        entries = 1 if leaf.is_image and len(leaf.low) == 1 and leaf.size == math.prod(leaf.shape) else leaf.size
        if not len(leaf.low) == len(leaf.high) == entries:
            raise ValueError(f"{leaf.name!r} has {leaf.size} entries and {len(leaf.low)} and {len(leaf.high)} bounds")
    if isinstance(spec.action, Continuous):
        entries, bounds = math.prod(spec.action.shape), (len(spec.action.low), len(spec.action.high))
        if bounds != (entries, entries):
            raise ValueError(f"actions have {entries} entries and {bounds[0]} and {bounds[1]} bounds")


class Transition(NamedTuple):
    """One step, or any batch of steps under the same leading axes. `next_obs` is the true successor, never a reset.

    `action` is the agent's, in [-1, 1] for continuous actions. Only `terminated` stops bootstrapping.
    """

    obs: Any  # [..., obs] float32, or uint8 of an image
    action: Any  # [..., action] float32
    reward: Any  # [...] float32
    next_obs: Any  # [..., obs] as obs
    terminated: Any  # [...] bool
    truncated: Any  # [...] bool


class Progress(NamedTuple):
    """Where a run stands: single environment steps taken, and the horizon its schedules are laid out for."""

    step: Any  # [] int32
    horizon: Any  # [] int32
