"""Control without training: episodes of a planner on a simulator, as a run that continues by episode.

request            what the user asked for, as given
  → config         checked and resolved: environment, simulator, planner
  → episodes       each follows from the seed and its number (training/control_episode.py)
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from entrax.environments.mujoco_rewards import Function
from entrax.environments.recorded import Given
from entrax.environments.simulator import simulator_of
from entrax.environments.slot import Slot
from entrax.environments.source import EnvSource, as_source
from entrax.errors import UsageError, require, require_one_of
from entrax.foreign import unknown
from entrax.planning.lookahead import simulated_lookahead
from entrax.planning.path_integral import COLLAPSED
from entrax.planning.settings import PLANNERS, PlannerSettings, build, resolved
from entrax.programs import release_programs
from entrax.references import absolute
from entrax.runs.directory import RunDirectory
from entrax.runs.lock import writing
from entrax.runs.records import to_json
from entrax.runs.versions import provenance, versions
from entrax.spec import Continuous
from entrax.training.control_episode import (
    Episode,
    EpisodePlayer,
    Guarded,
    quantiles,
    read_episode,
    save_episode,
    seed_of,
)
from entrax.training.devices import set_up
from entrax.training.options import checked_types
from entrax.training.precision import in_32_bits
from entrax.training.request import absolute_path, checked_seed

ONE_SAMPLE = 1 / (COLLAPSED**2 + (1 - COLLAPSED) ** 2)
"""The effective number of samples if one has the weight from which on `PathIntegral` reports it."""


@dataclass(frozen=True, kw_only=True)
class ControlRequest:
    """What the user asks for; see `entrax.api.control`."""

    env: Given
    planner: str = "mppi"
    settings: Mapping[str, Any] = field(default_factory=dict)
    episodes: Any = 1
    seed: Any = 0
    run: str | Path | None = None
    env_args: Mapping[str, Any] | None = None
    max_episode_steps: Any = None
    simulator: str = "auto"
    reward: Function | str | None = None
    sample: bool = False
    resume: bool = False
    hook: Callable[[dict[str, Any]], Any] = lambda row: None

    def __post_init__(self) -> None:
        object.__setattr__(self, "run", absolute_path(self.run, "run"))
        object.__setattr__(self, "seed", checked_seed(self.seed))
        for name in ("episodes", "max_episode_steps"):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            require((value is None and name != "episodes") or (whole and value >= 1), name, "at least 1", repr(value))
        if self.resume and self.run is None:
            raise UsageError("`resume` requires `run`: the directory of the run to resume, or to start.")


@dataclass(frozen=True)
class ControlRun:
    """The run of a planner and the directory that keeps it."""

    directory: RunDirectory
    source: EnvSource

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self.directory.path

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, with versions."""
        return self.directory.config

    def metrics(self) -> list[dict[str, Any]]:
        """A row for each episode: return, length, and the milliseconds of a decision."""
        return self.directory.metrics()

    @cached_property
    def episodes(self) -> list[Episode]:
        """Every decision of every episode."""
        return [read_episode(_file(self.directory, number)) for number in range(len(self.metrics()))]

    @property
    def seeds(self) -> list[int]:
        """The seed of each episode's environment."""
        return [seed_of(self.config["seed"], number) for number in range(len(self.metrics()))]

    @property
    def returns(self) -> list[float]:
        """The undiscounted return of each episode."""
        return [float(episode.rewards.sum()) for episode in self.episodes]

    def summary(self) -> dict[str, Any]:
        """Return the results: returns, milliseconds of a decision, share of physics, effective samples."""
        joined = {
            name: np.concatenate([getattr(episode, name) for episode in self.episodes])
            for name in ("milliseconds", "physics", "effective_samples", "finite")
        }
        effective, finite = joined["effective_samples"], joined["finite"]
        summary = {
            "mean": float(np.mean(self.returns)),
            "std": float(np.std(self.returns)),
            "returns": self.returns,
            "lengths": [len(episode.rewards) for episode in self.episodes],
            "episodes": len(self.episodes),
            "simulator": self.config["control"]["simulator"],
            "decision": quantiles(joined["milliseconds"]),
            "physics_share": float(joined["physics"].sum() / joined["milliseconds"].sum()),
        }
        if not np.isnan(effective).all():
            summary["effective_samples"] = {"median": float(np.median(effective)), "least": float(effective.min())}
            alone = (effective <= ONE_SAMPLE) & (self.config["agent_config"]["samples"] > 1)
            summary["on_one_sample"] = float(np.mean(alone))
        if not np.isnan(finite).all():
            summary["finite_plans"] = float(np.mean(finite))
        return summary


@in_32_bits
def control(request: ControlRequest) -> ControlRun:
    """Play what is asked for and return the run; see `entrax.api.control`."""
    runs = Path("runs").absolute()  # before an environment changes the working directory
    if isinstance(request.reward, str):
        request = replace(request, reward=absolute(request.reward))
    settings = _settings(request)
    source = replace(as_source(request.env, request.env_args or {}), max_episode_steps=request.max_episode_steps)
    set_up("cpu", None)
    with ExitStack() as stack:
        stack.callback(release_programs)
        slot = stack.enter_context(closing(Slot(source, 0)))
        kind, reward = request.simulator, request.reward
        simulator = stack.enter_context(
            closing(simulator_of(slot.env, make=source.make, simulator=kind, reward=reward))
        )
        guarded = Guarded(simulator)
        assert isinstance(slot.spec.action, Continuous)
        size, horizon = slot.spec.action.size, settings.horizon
        lookahead = simulated_lookahead(guarded, horizon, size, discount=settings.discount)
        planner = build(settings, lookahead, seed=request.seed)
        record = _record(request, settings, source, slot, simulator.kind)
        directory = _directory(request, record, runs / f"{source.stem}_{request.planner}_{request.seed}")
        run = ControlRun(directory, source)
        with writing(directory.path):
            (directory.path / "episodes").mkdir(exist_ok=True)
            rows = _whole_rows(directory)
            if not rows:
                directory.append_event({"kind": "started", "step": 0, **provenance()})
            if len(rows) < request.episodes:
                player = EpisodePlayer(slot, guarded, planner, sample=request.sample, seed=request.seed)
                _play(player, directory, rows, request)
    return run


def _play(player: EpisodePlayer, directory: RunDirectory, rows: list[dict[str, Any]], request: ControlRequest) -> None:
    """Play the episodes that are missing; each is saved before its row is written."""
    for number in range(len(rows), request.episodes):
        episode = player.play(number)
        save_episode(_file(directory, number), episode)
        row = episode.row(rows[-1]["step"] if rows else 0, number)
        directory.append_metrics(row)
        rows.append(row)
        request.hook(row)


def _settings(request: ControlRequest) -> PlannerSettings:
    require_one_of("planner", request.planner, PLANNERS)
    kind = PLANNERS[request.planner]
    names = {each.name for each in fields(kind)}
    for name in request.settings:
        if name not in names:
            raise UsageError(unknown(name, names))
    return resolved(kind(**checked_types(kind, request.settings)))


def _record(
    request: ControlRequest, settings: PlannerSettings, source: EnvSource, slot: Slot, simulator: str
) -> dict[str, Any]:
    """Return the content of config.json: with the versions, all that a run follows from."""
    reward = request.reward
    name = reward if isinstance(reward, str) or reward is None else reward.__qualname__
    return {
        "versions": versions(),
        "environment": source.to_json(),
        "agent": request.planner,
        "agent_config": asdict(settings),
        "control": {
            "simulator": simulator,
            "reward": name,
            "sample": request.sample,
            "max_episode_steps": request.max_episode_steps,
        },
        "seed": request.seed,
        "spec": asdict(slot.spec),
    }


def _directory(request: ControlRequest, record: dict[str, Any], unnamed: Path) -> RunDirectory:
    """Create the run's directory, or open the one to resume."""
    if request.resume and request.run is not None and (Path(request.run) / "config.json").exists():
        directory = RunDirectory.open(request.run, control=True)
        recorded, asked = directory.config, to_json(record)
        for name in ("environment", "agent", "agent_config", "control", "seed"):
            if recorded[name] != asked[name]:
                raise UsageError(f"{directory.path} has another {name} in its config.json. Choose another `run`.")
        return directory
    path = RunDirectory.unused_path(unnamed.parent, unnamed.name) if request.run is None else Path(request.run)
    return RunDirectory.create(path, record, again=request.resume)


def _whole_rows(directory: RunDirectory) -> list[dict[str, Any]]:
    """Return the rows of the episodes that were played before."""
    path = directory.path / "metrics.jsonl"
    return directory.metrics() if path.exists() else []


def _file(directory: RunDirectory, number: int) -> Path:
    return directory.path / "episodes" / f"{number}.npz"
