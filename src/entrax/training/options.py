"""What a training run is asked for, checked when it is built, and the presets."""

import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args, get_origin, get_type_hints

from entrax.errors import EntraxError, closest


@dataclass(frozen=True)
class Options:
    """Settings of the loop. `steps` and `updates_per_step` count single transitions over all environments."""

    steps: int = 100_000
    horizon: int | None = None  # steps that schedules and fractions of the steps refer to; None is all of them
    envs: int = 1
    workers: int | None = None  # worker processes; 0 steps the environments in this process
    updates_per_step: float = 1.0
    learning_starts: int | None = None  # random first steps; None is a tenth of the horizon, at most 10,000
    chunk: int = 16  # times between two hand-overs of parameters to the actor: its lag
    normalise_obs: bool = False
    log_every: int | None = None  # None is a hundredth of the horizon
    eval_every: int | None = None  # None is a tenth of the horizon, 0 never
    eval_episodes: int = 5
    checkpoint_every: int = 0  # steps; 0 is by time alone
    checkpoint_seconds: float = 60.0  # of training; 0 is by steps alone
    restart_envs: int = 0  # how many faults of environments are answered by a new episode
    step_timeout: float | None = None  # seconds an environment may take for one step
    device: str | None = None  # where learning runs; None is the fastest there is
    threads: int | None = None  # cores that learning may use

    def __post_init__(self) -> None:
        at_least = {"steps": 1, "envs": 1, "chunk": 1, "log_every": 1, "eval_episodes": 1, "threads": 1, "workers": 0}
        at_least |= {"learning_starts": 0, "eval_every": 0, "checkpoint_every": 0, "checkpoint_seconds": 0}
        at_least |= {"horizon": 1, "restart_envs": 0}
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise EntraxError(f"--{name.replace('_', '-')} must be at least {least}, not {value}.")
        if not self.updates_per_step > 0 or self.updates_per_step == float("inf"):
            raise EntraxError(f"--updates-per-step must be a positive number, not {self.updates_per_step}.")
        if self.step_timeout is not None and not self.step_timeout > 0:
            raise EntraxError(f"--step-timeout must be positive, not {self.step_timeout}.")

    def resolved(self) -> "Options":
        """The options with every None that means "a fraction of the horizon" replaced by its number."""
        horizon = self.steps if self.horizon is None else self.horizon
        tenth = -(-horizon // 10)
        filled: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        defaults = {"horizon": horizon, "learning_starts": min(10_000, tenth), "log_every": -(-horizon // 100)}
        defaults |= {"eval_every": tenth}
        return Options(**filled | {k: v for k, v in defaults.items() if filled[k] is None})


@dataclass(frozen=True)
class Preset:
    """Settings under one name: options of the loop, and fields of the agent where it has them."""

    options: dict[str, Any]
    agent: dict[str, Any]


PRESETS = {
    "paper": Preset(options={}, agent={}),
    "fast": Preset(
        options={"envs": 8, "updates_per_step": 0.25, "learning_starts": 2_000},
        agent={"learning_rate": 1e-3},
    ),
}


def get_preset(name: str) -> Preset:
    """The preset called `name`; raises EntraxError with the closest name if there is none."""
    if name not in PRESETS:
        raise EntraxError(f"Of the presets {', '.join(PRESETS)} none is called {name!r}{closest(name, PRESETS)}")
    return PRESETS[name]


def check_types(settings: type, values: Mapping[str, Any]) -> None:
    """Raises EntraxError for the first of `values` that the dataclass `settings` has a field of another type for."""
    hints = get_type_hints(settings)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            raise EntraxError(f"{name} must be {_words(hints[name])}, not {value!r}.")


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
