"""The options of training, checked when they are built, and the presets."""

import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from entrax.errors import UsageError, require_one_of
from entrax.fields import POSITIVE, UNIT, at_least, check_ranges, field
from entrax.runs.schema import LARGEST_STEP


@dataclass(frozen=True)
class TrainingOptions:
    """Options of training. `steps` and `updates_per_step` count single transitions over all environments."""

    steps: int = field(100_000, "Environment steps, over all environments.", at_least(1))
    horizon: int | None = field(
        None,
        "Steps over which schedules run. Defaults such as a tenth of the horizon refer to it, too.",
        at_least(1),
        derived="all steps",
    )
    envs: int = field(
        1, "Environments that are stepped together. Some agents have another default (docs/agents.md).", at_least(1)
    )
    workers: int | None = field(
        None,
        "Processes that step the environments; 0 is this one.",
        at_least(0),
        derived="0 for one environment, else as many as there are cores",
    )
    updates_per_step: float = field(1.0, "Updates of the agent per environment step.", POSITIVE)
    learning_starts: int | None = field(
        None, "Random steps before the first update.", at_least(0), derived="a tenth of the horizon, at most 10,000"
    )
    chunk: int = field(16, "Steps of every environment between two updates of the policy that acts.", at_least(1))
    hindsight: float = field(
        0.0,
        "Share of the transitions of each batch whose goal is replaced by one that was reached later in the episode, "
        "for goal environments; 0.8 is usual.",
        UNIT,
    )
    normalise_obs: bool = field(
        False,
        "Normalise observations by running mean and deviation. Some agents have another default (docs/agents.md).",
    )
    normalise_rewards: bool = field(
        False,
        "Divide rewards by the running deviation of the discounted return. Some agents have another default "
        "(docs/agents.md).",
    )
    log_every: int | None = field(
        None, "Steps between rows of metrics.", at_least(1), derived="a hundredth of the horizon"
    )
    eval_every: int | None = field(
        None, "Steps between evaluations; 0 disables them.", at_least(0), derived="a tenth of the horizon"
    )
    eval_episodes: int = field(5, "Episodes of each evaluation while training.", at_least(1))
    eval_envs: int | None = field(
        None,
        "Environments for evaluation. Up to envs, the training environments are used and their episodes truncated.",
        at_least(1),
        derived="one for each episode, at most 10, separate from the training environments",
    )
    checkpoint_every: int = field(0, "Steps between checkpoints, besides those by time; 0 disables them.", at_least(0))
    checkpoint_seconds: float = field(
        60.0, "Seconds of training between checkpoints; 0 disables timed checkpoints.", at_least(0)
    )
    restart_envs: int = field(
        0,
        "Faults, over the whole run, after which the environment is replaced instead of ending the run.",
        at_least(0),
    )
    step_timeout: float | None = field(
        None,
        "Time limit in seconds for a reset or a step; the worker is stopped after it. Making the environment may take "
        "120 seconds or this limit, whichever is longer.",
        POSITIVE,
        derived="no limit",
    )
    max_episode_steps: int | None = field(
        None,
        "Steps after which episodes are truncated, in training and evaluation, besides the environment's own limit.",
        at_least(1),
        derived="no further limit",
    )
    device: str | None = field(None, "Where learning runs: cpu, gpu or tpu.", derived="the fastest available")
    threads: int | None = field(
        None, "Processor cores that learning may use.", at_least(1), derived="all that are available"
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if max(self.steps, self.horizon or 0) > LARGEST_STEP:
            raise UsageError(f"`steps` and `horizon` must be at most {LARGEST_STEP:,}, got {self.steps:,}.")

    @property
    def shares_envs(self) -> bool:
        """Whether evaluations take the environments of training, so that there are never more than `envs`."""
        return self.eval_envs is not None and self.eval_envs <= self.envs

    @property
    def tenth(self) -> int:
        """A tenth of the horizon, rounded up."""
        return -(-(self.steps if self.horizon is None else self.horizon) // 10)

    def resolved(self) -> "TrainingOptions":
        """Return the options with every None that means a fraction of the horizon replaced by the number."""
        horizon, tenth = self.steps if self.horizon is None else self.horizon, self.tenth
        filled: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        defaults = {"horizon": horizon, "learning_starts": min(10_000, tenth), "log_every": -(-horizon // 100)}
        defaults |= {"eval_every": tenth}
        return TrainingOptions(**filled | {k: v for k, v in defaults.items() if filled[k] is None})


@dataclass(frozen=True)
class Preset:
    """Defaults under one name: training options, and fields of the agent's Config where it has them.

    `algorithm` is the agent that is used, if none is named, where it takes the environment's spaces.
    """

    options: dict[str, Any]
    agent: dict[str, Any]
    algorithm: str | None = None


PRESETS = {
    "paper": Preset(options={}, agent={}),
    "fast": Preset(
        options={"envs": 8, "updates_per_step": 0.25, "learning_starts": 2_000},
        agent={"learning_rate": 1e-3},
    ),
    "efficient": Preset(
        options={"envs": 1, "updates_per_step": 2.0, "learning_starts": 5_000}, agent={}, algorithm="xqc"
    ),
}


def get_preset(name: str) -> Preset:
    """Return the preset called `name`. Raises UsageError, with the closest name, for an unknown one."""
    require_one_of("preset", name, PRESETS)
    return PRESETS[name]


def checked_types(settings: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values in the types of the dataclass `settings`; numbers of NumPy, lists and 1e5 are converted.

    Raises UsageError for the first one of another type.
    """
    hints, checked = get_type_hints(settings), dict(values)
    for name, value in values.items():
        if name in hints:
            checked[name] = _plain(value, hints[name])
            if not _fits(checked[name], hints[name]):
                raise UsageError(f"`{name}` must be {_words(hints[name])}, got {value!r}.")
    return checked


def _plain(value: Any, hint: Any) -> Any:
    if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1:
        return tuple(_plain(part, int) for part in value)
    if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0:
        value = value.item()
    whole = isinstance(value, float) and value.is_integer() and not _fits(value, hint)
    return int(value) if whole else value


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and bool(value) and all(_fits(part, int) and part > 0 for part in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _words(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return " or ".join(_words(part) for part in get_args(hint) if part is not types.NoneType)
    if get_origin(hint) is tuple:
        return "a tuple of positive integers"
    return {int: "an integer", float: "a number", bool: "True or False", str: "a text"}.get(hint, str(hint))
