"""A checkpoint of another run: its arrays, its spaces, its replay."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from entrax.agents.base import temperature_of
from entrax.environments.recorded import Given
from entrax.environments.source import as_source
from entrax.environments.spaces import spec_of
from entrax.errors import UsageError, damage_of
from entrax.policies.schedule import Anneal
from entrax.replay import UniformReplay
from entrax.runs import checkpoints, transition_log
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import subtree, unflatten
from entrax.runs.records import open_plain
from entrax.spec import Progress, Spec, Transition
from entrax.training.from_record import config_of, state_template


@dataclass(frozen=True)
class SourceCheckpoint:
    """A checkpoint of another run. `config` is resolved; `arrays` are the checkpoint's, by their paths."""

    run: RunDirectory
    agent: ModuleType
    config: Any
    name: str
    arrays: dict[str, np.ndarray]
    meta: Mapping[str, Any]

    @property
    def spec(self) -> Spec:
        """The spec of its environment."""
        return self.run.spec

    @property
    def whole(self) -> bool:
        """Whether the checkpoint holds the whole state, not just a policy."""
        return any(name.startswith("state/") for name in self.arrays)

    def load_state(self) -> Any | None:
        """Return the agent's state; None where the checkpoint holds only a policy."""
        if not self.whole:
            return None
        prior = self.run.config.get("prior")
        template = state_template(self.agent, self.config, self.spec, prior)
        with damage_of(f"{self.name} of {self.run.path}"):
            return unflatten(template, subtree("state", self.arrays))

    @property
    def progress(self) -> Progress:
        """The point of the run at which the checkpoint was made."""
        horizon = self.run.config["training"]["horizon"]
        return Progress(step=np.asarray(self.meta["step"]), horizon=np.asarray(horizon))

    @property
    def temperature(self) -> float | None:
        """α at the checkpoint; None for an agent without one, or if it cannot be known from a policy alone."""
        span = self.run.config.get("ancestor", {}).get("temperature", {}).get("anneal")
        if span is not None:
            return float(Anneal(start=span["start"], end=span["end"], fraction=1.0)(self.progress))
        return temperature_of(self.agent, self.config, self.load_state(), self.progress)

    @property
    def learned(self) -> bool:
        """Whether the temperature was learned."""
        return isinstance(vars(self.config).get("temperature"), str)


def load_source_checkpoint(path: str | Path, checkpoint: str, agent: str | Any | None) -> SourceCheckpoint:
    """Return a checkpoint of the run at `path`, its hashes checked; a third party's agent must be named again.

    Raises EntraxError when the checkpoint is missing or damaged.
    """
    run = RunDirectory.open(path)
    name = checkpoints.resolve(run, checkpoint)
    arrays, meta = checkpoints.load_finite(run, name)
    module, config = config_of(run, agent)
    return SourceCheckpoint(run=run, agent=module, config=config, name=name, arrays=arrays, meta=meta)


def spec_of_environment(env: Given, kwargs: Mapping[str, Any]) -> Spec:
    """Make an environment, return its spec, and close it."""
    made = as_source(env, kwargs).make()
    try:
        return spec_of(made)
    finally:
        made.close()


def check_spaces(old: Spec, new: Spec, run: str) -> None:
    """Raise UsageError with every difference when a policy for `old` cannot act in `new`.

    The bounds of observations may differ, and those of actions too: the agent's lie in [-1, 1].
    """
    differences = spec_differences(old, new)
    if differences:
        raise UsageError(f"The environment does not have the spaces of {run}: {'; '.join(differences)}.")


def spec_differences(old: Spec, new: Spec) -> list[str]:
    """Return a clause for every difference that keeps networks made for `old` from `new`."""
    before, after = ({leaf.name: leaf for leaf in spec.observation} for spec in (old, new))
    differences = [f"{name} is missing" for name in before if name not in after]
    differences += [f"{name} is new" for name in after if name not in before]
    for name in before.keys() & after.keys():
        for field in ("shape", "dtype", "size"):
            was, is_now = vars(before[name])[field], vars(after[name])[field]
            if was != is_now and not (field == "size" and before[name].shape != after[name].shape):
                differences.append(f"{name} has {field} {is_now}, not {was}")
    if not differences and [*before] != [*after]:
        differences.append(f"observations come in the order {', '.join(after)}, not {', '.join(before)}")
    kinds = [type(spec.action).__name__ for spec in (old, new)]
    if kinds[0] != kinds[1]:
        return [*differences, f"action is {kinds[1]}, not {kinds[0]}"]
    was_action, action = vars(old.action), vars(new.action)
    return differences + [
        f"action has {name} {action[name]}, not {was_action[name]}"
        for name in action
        if name in ("shape", "n", "nvec") and action[name] != was_action[name]
    ]


def kept_rows(source: SourceCheckpoint) -> dict[str, np.ndarray]:
    """Return the transitions of the source's replay, oldest first: fields of shape [transition, ...].

    Raises EntraxError when the checkpoint has none, or they are damaged.
    """
    return {name: values.reshape(-1, *values.shape[2:]) for name, values in stored(source).fields().items()}


def stored(source: SourceCheckpoint) -> Transition:
    """Return the source's replay, oldest first: fields of shape [time, env, ...].

    Raises EntraxError when the checkpoint has none, or it is damaged.
    """
    if "replay" not in source.meta:
        raise UsageError(
            f"{source.name} of {source.run.path} holds a policy without a replay. Use `checkpoint=latest`."
        )
    folder, record = source.run.path / "replay", source.meta["replay"]
    transition_log.check(folder, record)
    envs, times = source.run.config["training"]["envs"], record["rows"] - record["window"]
    carry = source.agent.data(source.config).carry
    replay = UniformReplay(source.spec, max(1, times * envs), envs, carry)
    for rows in transition_log.read_rows(folder, record, record["window"], record["rows"]):
        replay.unpack(rows)
    return replay.last(times)


def recorded(source: SourceCheckpoint) -> dict[str, Any]:
    """Return the origin of a new run, for config.json."""
    config = source.run.config
    with open_plain(source.run.checkpoints / source.name / checkpoints.STATE) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "path": str(source.run.path),
        "checkpoint": source.name,
        "step": source.meta["step"],
        "sha256": digest,
        "environment": config["environment"],
        "seed": config["seed"],
        "ancestor": config.get("ancestor"),
    }
