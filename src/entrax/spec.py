"""The spec of an environment, and the records that packages exchange.

Nothing here needs JAX, since worker processes import this module. `Transition` and `Progress` are named tuples, which
JAX treats as pytrees.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Leaf:
    """One named part of an observation: `size` entries of the flat vector.

    `low` and `high` hold one bound for each entry of the flat part, or one for all entries of an image. The other
    fields say how to find and flatten the part; no network depends on them, and they are not compared. `path` leads to
    the part through ("key", name) and ("place", number) of dictionaries and tuples; it is None in records of older
    versions. For integers that become one-hot, `options` holds the number of values of each and `start` the smallest.
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
        """Whether the part is an image, [height, width, channels]."""
        return len(self.shape) == 3 and self.dtype in IMAGE_DTYPES

    @property
    def is_plain(self) -> bool:
        """Whether a record without `path` suffices: the observation is a single Box."""
        return "/" not in self.name and self.size == int(np.prod(self.shape)) and self.shape != ()


IMAGE_DTYPES = ("uint8", "bool")
MASK = "action_mask"


class Image(NamedTuple):
    """An image, channels last, with entries from 0 to `greatest`."""

    height: int
    width: int
    channels: int
    greatest: float

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Continuous:
    """Continuous actions in a box, with bounds for each entry of the flat action."""

    shape: tuple[int, ...]
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def size(self) -> int:
        """The number of entries of the flat action."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Discrete:
    """Discrete actions `start, …, start + n - 1`, which are 0, …, n-1 for an agent."""

    n: int
    start: int = 0

    @property
    def size(self) -> int:
        """The number of entries of the flat action."""
        return 1


@dataclass(frozen=True)
class MultiDiscrete:
    """Several discrete actions at once.

    Entry i of the flat action has `nvec[i]` choices, from 0 for an agent. In the environment they start at `start`
    (empty: 0) and form an array of `shape` (empty: a vector) and `dtype`.
    """

    nvec: tuple[int, ...]
    start: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: str = "int64"

    @property
    def size(self) -> int:
        """The number of entries of the flat action."""
        return len(self.nvec)


def options_of(action: Continuous | Discrete | MultiDiscrete) -> tuple[int, ...]:
    """Return the number of options of each entry of a discrete action; of a continuous one, an empty tuple."""
    if isinstance(action, Continuous):
        return ()
    return (action.n,) if isinstance(action, Discrete) else action.nvec


@dataclass(frozen=True)
class Spec:
    """The observations and actions of an environment.

    The leaves are concatenated in this order into one float32 vector. An image is the only leaf, with a uint8 vector.
    `time_limit` is the number of steps after which episodes are truncated; None if it is unknown, as in records of
    older versions. Specs that differ in it alone are equal.
    """

    observation: tuple[Leaf, ...]
    action: Continuous | Discrete | MultiDiscrete
    time_limit: int | None = field(default=None, compare=False)

    @property
    def obs_size(self) -> int:
        """The length of the flat observation vector."""
        return sum(leaf.size for leaf in self.observation)

    @property
    def image(self) -> Image | None:
        """The observed image; None if vectors are observed."""
        leaf = self.observation[0]
        if len(self.observation) > 1 or not leaf.is_image:
            return None
        height, width, channels = leaf.shape
        return Image(height, width, channels, greatest=leaf.high[0])

    @property
    def mask(self) -> tuple[int, int] | None:
        """Where the flat observation says which actions are allowed: entries [start, stop), 1 for an allowed option.

        This is the part that is named `action_mask`, with an entry for each option of each entry of a discrete action.
        None without such a part, and for continuous actions.
        """
        start = 0
        for leaf in self.observation:
            if leaf.name.split("/")[-1] == MASK and not isinstance(self.action, Continuous):
                return start, start + leaf.size
            start += leaf.size
        return None

    @property
    def scaled_size(self) -> int:
        """The number of entries that a normaliser scales; 0 for an image."""
        return self.obs_size if self.image is None else 0

    @property
    def obs_dtype(self) -> type[np.generic]:
        """The dtype of the flat observation vector."""
        return np.float32 if self.image is None else np.uint8


def spec_from_json(record: dict[str, Any]) -> Spec:
    """Read a spec from the JSON data of `dataclasses.asdict`.

    The data have lists for tuples and null for infinite bounds.

    Raises TypeError or ValueError if fields are missing, unknown, or do not fit each other.
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
    leaves = tuple(Leaf(**restored(leaf)) for leaf in record["observation"])
    spec = Spec(observation=leaves, action=kind(**action), time_limit=record.get("time_limit"))
    _check_sizes(spec)
    return spec


def _check_sizes(spec: Spec) -> None:
    """Raise ValueError unless there is a bound for each entry."""
    if not spec.observation:
        raise ValueError("there are no observations")
    for leaf in spec.observation:
        entries = 1 if leaf.is_image and len(leaf.low) == 1 and leaf.size == math.prod(leaf.shape) else leaf.size
        if not len(leaf.low) == len(leaf.high) == entries:
            raise ValueError(f"{leaf.name!r} has {leaf.size} entries and {len(leaf.low)} and {len(leaf.high)} bounds")
    if spec.mask is not None and spec.mask[1] - spec.mask[0] != sum(options_of(spec.action)):
        raise ValueError(
            f"the {MASK} has {spec.mask[1] - spec.mask[0]} entries for {sum(options_of(spec.action))} options"
        )
    if isinstance(spec.action, Continuous):
        entries, bounds = math.prod(spec.action.shape), (len(spec.action.low), len(spec.action.high))
        if bounds != (entries, entries):
            raise ValueError(f"actions have {entries} entries and {bounds[0]} and {bounds[1]} bounds")


class Transition(NamedTuple):
    """One step, or a batch of steps with the same leading axes.

    `next_obs` is the true successor, never a reset. `action` is that of the agent, in [-1, 1] for continuous actions.
    Only `terminated` stops bootstrapping.
    """

    obs: Any  # [..., obs] float32, or uint8 of an image
    action: Any  # [..., action] float32
    reward: Any  # [...] float32
    next_obs: Any  # [..., obs] as obs
    terminated: Any  # [...] bool
    truncated: Any  # [...] bool
    carry: Any = None  # [..., carry] float32: the policy's before the step, flat, where an agent asks for it

    def fields(self) -> dict[str, Any]:
        """Return the fields that are there, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Progress(NamedTuple):
    """The progress of a run: its environment steps and the horizon of its schedules."""

    step: Any  # [] int32
    horizon: Any  # [] int32
