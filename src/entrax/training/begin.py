"""Training that begins with something: a prior policy, a data set, or nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from entrax.errors import UsageError
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import flatten
from entrax.training.dataset import Dataset, check_data, in_order_of, read_data
from entrax.training.devices import set_up
from entrax.training.initial_state import create
from entrax.training.launch import existing, threads_of
from entrax.training.launch import train as launch
from entrax.training.loop import Task
from entrax.training.normaliser import Normaliser, RewardScale
from entrax.training.precision import in_32_bits
from entrax.training.prior import Reference, fresh_state, parts_of, read_prior
from entrax.training.run import Run
from entrax.training.source_checkpoint import check_spaces


@in_32_bits
def train(
    env: str | Callable[[], gymnasium.Env],
    agent: str | Any | None = None,
    *,
    prior: str | Path | None = None,
    data: str | Path | None = None,
    **settings: Any,
) -> Run:
    """See `entrax.api.train`."""
    named = {name: path for name, path in (("prior", prior), ("data", data)) if path is not None}
    there = existing(settings.get("run")) if named and settings.get("resume") else None
    held = {name: there.config[name] for name in named if there is not None and name in there.config}
    if all(
        name in held and Path(held[name]["path"]).absolute() == Path(path).absolute() for name, path in named.items()
    ):
        return launch(env, agent, record=held, **settings)  # none is named, or the run that is there has its copies
    set_up(settings.get("device"), threads_of(settings, there))  # before the prior, whose arrays start JAX
    reference = None if prior is None else read_prior(prior)
    rows = None if data is None else read_data(data)

    def begin(task: Task, place: str | Path, described: dict[str, Any]) -> RunDirectory:
        return begun(task, Path(place), described, reference, rows)

    record = {} if reference is None else {"prior": reference.record}
    record |= {} if rows is None else {"data": rows.record}
    return launch(env, agent, begin=begin, record=record, **settings)


def begun(
    task: Task, place: Path, described: dict[str, Any], prior: Reference | None, data: Dataset | None
) -> RunDirectory:
    """The directory of a run with what it begins with. Raises EntraxError when that does not suit the task."""
    normaliser = Normaliser(task.spec.scaled_size, task.options.normalise_obs)
    rewards = RewardScale.of(task.config, task.options.envs, task.options.normalise_rewards)
    arrays: dict[str, np.ndarray] = {}
    if data is not None:
        data = in_order_of(task.spec, data)
        check_data(data, task.spec, task.agent.data(task.config))
        normaliser.advance(data.steps.obs)
        ended = data.steps.terminated | data.steps.truncated
        rewards.advance(data.steps.reward[:, None], ended[:, None])
        arrays |= {f"replay/{name}": values for name, values in data.steps._asdict().items()}
    arrays |= flatten({"normaliser": normaliser.arrays() | {"rewards": rewards.arrays()}})
    if prior is not None:
        check_spaces(prior.spec, task.spec, str(prior.path))
        if task.options.normalise_obs != prior.normalises:
            raise UsageError(f"A run sees observations as its prior did: give `normalise_obs={prior.normalises}`.")
        arrays |= prior.normaliser
    state = flatten(fresh_state(task, prior))
    arrays |= {f"state/{name}": array for name, array in state.items()}
    record = {
        "carried": [] if prior is None else ["prior", "normaliser"],
        "reset": [part for part in parts_of(state) if part != "prior"],
        "replay": 0 if data is None else len(data.steps.reward),
    }
    return create(place, described, arrays, record, "start")
