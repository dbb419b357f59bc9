"""What the user asks for, as given: one record for the API, the command line, studies, fine-tuning and resuming."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from entrax.environments.recorded import Given
from entrax.errors import UsageError
from entrax.runs.directory import RunDirectory
from entrax.runs.metrics import Logger
from entrax.training.options import TrainingOptions, checked_types

Hook = Callable[[dict[str, Any]], Any]
Loggers = Callable[[RunDirectory], Sequence[Logger]]
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Session:
    """What accompanies training and leaves no trace in the run.

    `hook` sees every row of metrics and stops the run by a true value. `loggers` makes further places that show the
    rows. `start_time`, of `time.perf_counter()`, is when the clock of training seconds starts.
    """

    hook: Hook | None = None
    loggers: Loggers = lambda run: ()
    start_time: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if self.hook is not None and not callable(self.hook):
            raise UsageError(f"`hook` must be a function of a row of metrics, got {self.hook!r}.")


@dataclass(frozen=True, kw_only=True)
class SourceRequest:
    """The checkpoint that a fine-tuned run starts from, and what is carried over; see `entrax.api.finetune`."""

    path: str | Path
    checkpoint: str = "latest"
    temperature_start: str = "keep"
    keep_replay: bool = False
    keep_optimiser: bool = False


@dataclass(frozen=True, kw_only=True)
class Request:
    """A new run, or one to resume if it exists; see `entrax.api.train`.

    `settings` holds training options and fields of the agent's Config by name. With a `source`, what is not given is
    the source's: environment, agent, seed and settings.
    """

    env: Given | None
    agent: str | Any | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    preset: str = "paper"
    seed: Any = 0
    run: str | Path | None = None
    env_args: Mapping[str, Any] | None = None
    prior: str | Path | None = None
    data: str | Path | None = None
    source: SourceRequest | None = None
    resume: bool = False
    session: Session = field(default_factory=Session)

    def __post_init__(self) -> None:
        for name in ("run", "prior"):  # before an environment changes the working directory
            object.__setattr__(self, name, absolute_path(getattr(self, name), name))
        if self.source is not None and "steps" not in self.settings:
            raise UsageError("`steps` is required: the environment steps of the fine-tuned run.")
        if self.seed is not None or self.source is None:
            object.__setattr__(self, "seed", checked_seed(self.seed))
        if self.env_args is not None and not isinstance(self.env_args, Mapping):
            raise UsageError(f"`env_args` must be a dictionary of arguments by name, got {self.env_args!r}.")
        if self.resume and self.run is None:
            raise UsageError("`resume` requires `run`: the directory of the run to resume, or to start.")


@dataclass(frozen=True, kw_only=True)
class ResumeRequest:
    """A run to resume; see `entrax.api.resume`."""

    path: str | Path
    steps: Any = None
    device: str | None = None
    agent: str | Any | None = None
    env: Given | None = None
    env_args: Mapping[str, Any] | None = None
    session: Session = field(default_factory=Session)

    def __post_init__(self) -> None:
        if self.steps is not None:
            object.__setattr__(self, "steps", checked_types(TrainingOptions, {"steps": self.steps})["steps"])


def absolute_path(path: str | Path | None, name: str) -> Path | None:
    """Return the absolute path. Raises EntraxError, naming the parameter, for what is no path."""
    if path is None:
        return None
    if not isinstance(path, str | Path):
        raise UsageError(f"`{name}` must be the path of a directory, got {path!r}.")
    return Path(path).absolute()


def checked_seed(seed: Any) -> int:
    """Return the seed as an int. Raises EntraxError unless it is a whole number from 0 to 2⁶³ - 1."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
        raise UsageError(f"`seed` must be an integer from 0 to {LARGEST_SEED:,}, got {seed!r}.")
    return int(seed)
