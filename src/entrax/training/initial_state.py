"""What a run begins with that does not begin with nothing, kept in its own directory: it depends on no other run.

    start.safetensors   state/…  normaliser/…  and, of a replay or of a data set, replay/<field> [transition, …]

The file is there before the run is, and its SHA-256 is in config.json, so that a run killed before its first checkpoint
restarts from the same bytes. config.json tells where they came from: under `ancestor` for a fine-tuned run
(`entrax.training.finetune`); under `prior` and `data` otherwise, with a record under `start` (`entrax.training.begin`).
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save as save_arrays

from entrax.errors import CannotWrite, UsageError, damage_of
from entrax.policies.schedule import Anneal
from entrax.replay import UniformReplay
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import subtree, unflatten
from entrax.runs.records import sync_directory, write_bytes
from entrax.runs.start import FILE, read_start, start_of
from entrax.spec import Progress, Transition
from entrax.training.devices import put

if TYPE_CHECKING:
    from entrax.training.loop import Training

BLOCK = 4096
"""Steps of a kept replay that are packed at once."""


@dataclass(frozen=True)
class Start:
    """The start of one run; `record` is what its config.json holds under `ancestor` or `start`."""

    run: RunDirectory
    record: Mapping[str, Any]

    @classmethod
    def of(cls, run: RunDirectory) -> "Start | None":
        """The run's start; None for a run from scratch."""
        record = start_of(run)
        return None if record is None else cls(run=run, record=record)

    @property
    def transitions(self) -> int:
        """How many transitions the replay begins with."""
        return int(self.record["replay"])

    def begin(self, training: "Training") -> list[bytes]:
        """Put a run that has taken no step where it begins; the packed steps of a kept replay, for the log.

        Raises EntraxError when the file is damaged.
        """
        arrays = read_start(self.run)
        with damage_of(self.run.path / FILE):
            training.state = put(unflatten(training.state, subtree("state", arrays)), training.devices.learner)
            training.normaliser.restore(subtree("normaliser", arrays))
            training.rewards.restore(subtree("normaliser/rewards", arrays))
            return _fill(training.replay, subtree("replay", arrays)) if self.transitions else []

    def fill(self, replay: UniformReplay) -> list[bytes]:
        """Put the transitions that the run begins with into its replay; its packed steps, for the log."""
        return _fill(replay, subtree("replay", read_start(self.run)))

    def annealed(self, config: Any, state: Any, progress: Progress) -> tuple[Any, Any]:
        """Configuration and state with the temperature of this point of the run, if it is annealed."""
        span = self.record.get("temperature", {}).get("anneal")
        if span is None:
            return config, state
        alpha = Anneal(start=span["start"], end=span["end"], fraction=1.0)(progress).astype(jnp.float32)
        if span["in_state"]:
            return config, eqx.tree_at(lambda s: s.params.log_alpha, state, jnp.log(alpha))
        return eqx.tree_at(lambda c: c.temperature, config, alpha), state


def _fill(replay: UniformReplay, rows: Mapping[str, np.ndarray]) -> list[bytes]:
    """Append transitions, shared out over the environments in their order; those that fill no whole step are left.

    Returns all steps packed, in blocks.
    """
    count, envs = len(rows["reward"]) // replay.envs, replay.envs
    steps = {name: values[: count * envs].reshape(count, envs, *values.shape[1:]) for name, values in rows.items()}
    block, packed = min(BLOCK, replay.times), []
    for first in range(0, count, block):
        last = min(first + block, count)
        for t in range(first, last):
            replay.append(Transition(**{name: values[t] for name, values in steps.items()}))
        packed.append(replay.packed(last - first))
    return packed


def create(
    path: Path,
    described: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    record: Mapping[str, Any],
    group: str = "ancestor",
) -> RunDirectory:
    """Publish a run directory with its start in it, whole or not at all: it is made aside and renamed.

    `record` goes under `group` in config.json: `ancestor` or `start`.
    Raises EntraxError when `path` holds something already, CannotWrite when it cannot be written.
    """
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"{path} is not empty; give `run` a directory that does not exist yet.")
    data = save_arrays({name: np.asarray(array, order="C") for name, array in arrays.items()})
    record = dict(record) | {"start": hashlib.sha256(data).hexdigest()}
    aside = path.with_name(f".{path.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    made = RunDirectory.create(aside, {**described, group: record})
    kind = {"ancestor": "finetuned", "start": "begun"}[group]
    made.append_event({"kind": kind, "step": 0, "message": " ".join(lines(made))})
    try:
        write_bytes(aside / FILE, data)
        sync_directory(aside)
        if path.exists():
            path.rmdir()
        os.rename(aside, path)
        sync_directory(path.parent)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise CannotWrite(path / FILE, error, len(data)) from error
    return RunDirectory.open(path)


def lines(run: RunDirectory) -> list[str]:
    """What a run begins with, as sentences; none for one that begins with nothing."""
    prior, data = run.config.get("prior"), run.config.get("data")
    told = [] if prior is None else [f"Prior: {prior['checkpoint']} of {prior['path']}."]
    if data is not None:
        told += [f"Learns from {data['transitions']:,} transitions of {data['path']}, and from no step of its own."]
    return told if "ancestor" not in run.config else _carried(run.config["ancestor"]) + told


def _carried(record: Mapping[str, Any]) -> list[str]:
    temperature = record["temperature"]
    span = temperature["anneal"]
    was = "" if temperature["ancestor"] is None else f", {temperature['ancestor']:.4g} at the end of the old run"
    to = "" if span is None else f", to {span['end']:.4g}"
    return [
        f"Begins with {record['checkpoint']} of {record['path']}, trained on {record['environment']['id']}.",
        f"Carried over: {', '.join(record['carried'])}.",
        f"Initialised: {', '.join([*record['reset'], 'schedules'])}.",
        f"Replay: {record['replay']:,} transitions carried over." if record["replay"] else "Replay: empty.",
        f"Temperature: {temperature['start']}{was}{to}.",
    ]
