"""The initial state of a run: from scratch, from a prior, from a data set, or from a source checkpoint.

What does not follow from the seed is kept in the run's own directory, so that the run depends on no other:

    start.safetensors   state/…  normaliser/…  and, of transitions, replay/<field> [transition, …]

The file is published with the run, and its SHA-256 is in config.json, so that a run killed before its first checkpoint
restarts from the same bytes. config.json records the origin: under `ancestor` that of a fine-tuned run, under `prior`
and `data` otherwise, with the file's own record under `start`.

A fine-tuned run takes arrays by their paths in the agent's State, which are the same for every agent:

    params/…, targets/…    carried over, unless the agent's `transferred_paths` names others: a learned temperature is
                           treated as `temperature_start` says
    all else               initialised, such as the optimiser and counters of updates, unless `keep_optimiser`

A checkpoint of a policy only ("best") lacks what its policy does not need: that is initialised, and targets then equal
the parameters. The normaliser is carried over, the replay with `keep_replay`. Schedules restart.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import tree_util
from safetensors.numpy import save as save_arrays

from entrax.agents.base import TRANSFERRED, at_temperature, optional
from entrax.errors import CannotWrite, UsageError, damage_of
from entrax.policies.schedule import Anneal
from entrax.replay import UniformReplay
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import flatten, path_name, subtree, unflatten
from entrax.runs.records import sync_directory, write_bytes
from entrax.runs.start_file import FILE, read_start_file, start_record
from entrax.spec import Progress, Transition
from entrax.training.dataset import Dataset, check_data, in_order_of
from entrax.training.devices import Devices, put
from entrax.training.from_record import with_prior_placeholder
from entrax.training.learner import INIT
from entrax.training.normaliser import CLIP, Normaliser, RewardScale
from entrax.training.prior import Reference, fresh_state, parts_of
from entrax.training.request import SourceRequest
from entrax.training.run_state import RunState, with_scales
from entrax.training.source_checkpoint import SourceCheckpoint, check_spaces, kept_rows, recorded
from entrax.training.task import Task

RUNS_ONCE = {"xla_backend_optimization_level": 1}
"""For XLA on the CPU: compiles in 0.4 of the time, to the same bits."""
BLOCK = 4096
"""Steps of stored transitions that are packed at once."""


@dataclass(frozen=True)
class Origin:
    """What an initial state is made of besides the seed: `arrays` by their paths, and the `record` for config.json.

    The record goes under `group`: "ancestor" for a fine-tuned run, else "start".
    """

    arrays: Mapping[str, np.ndarray]
    record: Mapping[str, Any]
    group: str


def from_prior_and_data(task: Task, prior: Reference | None, data: Dataset | None) -> Origin:
    """Return the origin of a run with a prior, a data set, or both. Raises EntraxError if one does not fit the task."""
    normaliser = Normaliser(task.spec.scaled_size, task.options.normalise_obs)
    rewards = RewardScale.of(task.config, task.options.envs, task.options.normalise_rewards)
    arrays: dict[str, np.ndarray] = {}
    if data is not None:
        data = in_order_of(task.spec, data)
        check_data(data, task.spec, task.agent.data(task.config))
        normaliser.advance(data.steps.obs)
        ended = data.steps.terminated | data.steps.truncated
        rewards.advance(data.steps.reward[:, None], ended[:, None])
        arrays |= {f"replay/{name}": values for name, values in data.steps.fields().items()}
    arrays |= flatten({"normaliser": normaliser.arrays() | {"rewards": rewards.arrays()}})
    if prior is not None:
        check_spaces(prior.spec, task.spec, str(prior.path))
        if task.options.normalise_obs != prior.normalises:
            raise UsageError(f"`normalise_obs` must be {prior.normalises}, as it is for the prior.")
        arrays |= prior.normaliser
    state = flatten(fresh_state(task, prior))
    record = {
        "carried": [] if prior is None else ["prior", "normaliser"],
        "reset": [part for part in parts_of(state) if part != "prior"],
        "replay": 0 if data is None else len(data.steps.reward),
    }
    return Origin(arrays | {f"state/{name}": array for name, array in state.items()}, record, "start")


def from_source_checkpoint(
    task: Task, source: SourceCheckpoint, request: SourceRequest, temperature: dict[str, Any], prior: Reference | None
) -> Origin:
    """Return the origin of a fine-tuned run.

    Args:
        task: the new run's task.
        source: the checkpoint to start from.
        request: what to carry over.
        temperature: the record of the temperature, for config.json.
        prior: the new run's prior, if any.

    Raises EntraxError when an array has another shape than the task needs.
    """
    own = optional(task.agent, "transferred_paths")
    keep_temperature = request.temperature_start == "keep"
    paths = TRANSFERRED if own is None else tuple(own(task.config, source.config, keep_temperature))
    with damage_of(f"{source.name} of {source.run.path}"):
        arrays, fate = _transferred(source, task, paths, request.keep_optimiser, prior)
    if temperature["anneal"] is not None:
        in_state = optional(task.agent, "with_temperature") is not None
        temperature = temperature | {"anneal": temperature["anneal"] | {"in_state": in_state}}
    rows = kept_rows(source) if request.keep_replay else {}
    arrays |= {f"replay/{name}": values for name, values in rows.items()}
    record = recorded(source) | fate | {"replay": len(rows.get("reward", ())), "temperature": temperature}
    record |= {"keep_optimiser": request.keep_optimiser}
    return Origin(arrays, record, "ancestor")


def create(path: Path, config: Mapping[str, Any], origin: Origin) -> RunDirectory:
    """Publish a run directory with its initial state, whole or not at all: it is made aside and renamed.

    Raises EntraxError when `path` is not empty, CannotWrite when it cannot be written.
    """
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"{path} is not empty; give `run` a directory that does not exist yet.")
    data = save_arrays({name: np.asarray(array, order="C") for name, array in origin.arrays.items()})
    record = dict(origin.record) | {"start": hashlib.sha256(data).hexdigest()}
    aside = path.with_name(f".{path.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    made = RunDirectory.create(aside, {**config, origin.group: record})
    kind = {"ancestor": "finetuned", "start": "begun"}[origin.group]
    made.append_event({"kind": kind, "step": 0, "message": " ".join(describe(made))})
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


@dataclass(frozen=True)
class InitialState:
    """The initial state of a run that has a directory; `record` is that of its file, None for a run from scratch."""

    run: RunDirectory
    record: Mapping[str, Any] | None

    @classmethod
    def of(cls, run: RunDirectory) -> "InitialState":
        """Return the initial state of a run."""
        return cls(run=run, record=start_record(run))

    @property
    def transitions(self) -> int:
        """How many transitions the replay starts with."""
        return 0 if self.record is None else int(self.record["replay"])

    @property
    def offline(self) -> bool:
        """Whether these transitions are all that is learned from."""
        return "data" in self.run.config

    def template(self, task: Task, devices: Devices) -> RunState:
        """Return the state from scratch, with placeholders for what only the file or a checkpoint holds."""
        config, key = put(task.config, devices.learner), put(jr.key(task.seed), devices.learner)
        options = RUNS_ONCE if devices.learner.platform == "cpu" else None
        init: Any = eqx.filter_jit(task.agent.init, compiler_options=options)  # type: ignore[call-overload] # untyped
        agent = init(config, task.spec, jr.fold_in(key, INIT))
        placed = with_prior_placeholder(task.agent, config, agent, task.spec, self.run.config.get("prior"))
        return RunState.create(task, placed)

    def load(self, template: RunState) -> RunState:
        """Return the state before the first step. Raises EntraxError when the file is damaged."""
        if self.record is None:
            return template
        arrays = read_start_file(self.run)
        with damage_of(self.run.path / FILE):
            state = with_scales(template, subtree("normaliser", arrays))
            state.agent = unflatten(template.agent, subtree("state", arrays))
        return state

    def fill(self, replay: UniformReplay) -> list[bytes]:
        """Append the transitions to a replay, and return its packed steps, for the log."""
        if not self.transitions:
            return []
        with damage_of(self.run.path / FILE):
            return _fill(replay, subtree("replay", read_start_file(self.run)))

    def annealed(self, agent: ModuleType, config: Any, state: Any, progress: Progress) -> tuple[Any, Any]:
        """Return configuration and agent's state with the temperature of this point, if it is annealed."""
        span = (self.record or {}).get("temperature", {}).get("anneal")
        if span is None:
            return config, state
        alpha = Anneal(start=span["start"], end=span["end"], fraction=1.0)(progress).astype(jnp.float32)
        return at_temperature(agent, config, state, alpha)


def describe(run: RunDirectory) -> list[str]:
    """Describe the initial state in sentences; none for a run from scratch."""
    prior, data = run.config.get("prior"), run.config.get("data")
    sentences = [] if prior is None else [f"Prior: {prior['checkpoint']} of {prior['path']}."]
    if data is not None:
        sentences += [f"Learns from {data['transitions']:,} transitions of {data['path']}, and collects none."]
    return sentences if "ancestor" not in run.config else _source_lines(run.config["ancestor"]) + sentences


def _source_lines(record: Mapping[str, Any]) -> list[str]:
    temperature = record["temperature"]
    span = temperature["anneal"]
    was = "" if temperature["ancestor"] is None else f", {temperature['ancestor']:.4g} at the source checkpoint"
    to = "" if span is None else f", to {span['end']:.4g}"
    return [
        f"Starts from {record['checkpoint']} of {record['path']}, trained on {record['environment']['id']}.",
        f"Carried over: {', '.join(record['carried'])}.",
        f"Initialised: {', '.join([*record['reset'], 'schedules'])}.",
        f"Replay: {record['replay']:,} transitions carried over." if record["replay"] else "Replay: empty.",
        f"Temperature: {temperature['start']}{was}{to}.",
    ]


def _fill(replay: UniformReplay, rows: Mapping[str, np.ndarray]) -> list[bytes]:
    """Append transitions, shared out over the environments in their order; an incomplete last step is dropped.

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


def _transferred(
    source: SourceCheckpoint, task: Task, paths: Sequence[str], keep_optimiser: bool, prior: Reference | None
) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Return all arrays of state and normaliser, and which parts were carried over and which initialised."""
    fresh = fresh_state(task, prior)
    expected, learned = flatten(fresh), _learned_arrays(source, task, fresh)

    def is_transferred(name: str) -> bool:
        if any(f"{name}/".startswith(f"{path}/") for path in paths):
            return True
        return keep_optimiser and name.split("/")[0] not in (*TRANSFERRED, "prior")  # `fresh` has the prior

    transferred = {name: array for name, array in learned.items() if is_transferred(name)}
    if source.whole:  # a missing array is an error, which `unflatten` raises
        initialised = {name: array for name, array in expected.items() if not is_transferred(name)}
    else:
        initialised = {name: array for name, array in expected.items() if name not in transferred}
    arrays = flatten(unflatten(fresh, initialised | transferred))
    state = {f"state/{name}": array for name, array in arrays.items()}
    normaliser = {name: array for name, array in source.arrays.items() if name.startswith("normaliser/")}
    normaliser.pop("normaliser/rewards/returns", None)  # of episodes that end with the source run
    if prior is None and task.options.normalise_obs:  # an older run's has no clip; a prior's stays as it was
        normaliser["normaliser/clip"] = np.asarray(CLIP)
    scaling = Normaliser(task.spec.scaled_size, task.options.normalise_obs)
    scaling.restore(subtree("normaliser", normaliser))  # raises where it does not fit
    reference = ["prior"] if prior is not None else []
    reset = [part for part in parts_of(initialised) if part != "prior"]
    return state | normaliser, {"carried": [*parts_of(transferred), *reference, "normaliser"], "reset": reset}


def _learned_arrays(source: SourceCheckpoint, task: Task, fresh: Any) -> dict[str, np.ndarray]:
    """Return the arrays of the source checkpoint by their paths in the State.

    Those of a policy alone are found by making the policy of a fresh state and looking where its arrays lie there: an
    array that a fresh state has twice, as a parameter and as its target, is found in both.
    """
    if source.whole:
        return subtree("state", source.arrays)
    places: dict[int, list[str]] = {}
    for name, leaf in _leaves(fresh).items():
        places.setdefault(id(leaf), []).append(name)
    policy = _leaves(task.agent.policy(task.config, fresh))
    kept = subtree("policy", source.arrays)
    return {place: kept[name] for name, leaf in policy.items() if name in kept for place in places.get(id(leaf), ())}


def _leaves(tree: Any) -> dict[str, jax.Array]:
    return {path_name(path): leaf for path, leaf in tree_util.tree_flatten_with_path(tree)[0]}
