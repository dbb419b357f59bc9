"""The state of a run under way: with the acting side's (`Rollouts.save`), everything that a checkpoint holds.

Random keys are not part of it: every draw follows from the seed and the number of its chunk. Nor are schedules, which
follow from the options and the chunk.
"""

from copy import deepcopy
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from entrax.agents.base import finite_part, optional
from entrax.runs.pytree import flatten, subtree, unflatten
from entrax.training.normaliser import Normaliser, RewardScale
from entrax.training.task import Task

Arrays = dict[str, np.ndarray]


class LastRow(NamedTuple):
    """Where the newest row of metrics was written: steps, seconds of training, and updates."""

    step: int = 0
    seconds: float = 0.0
    updates: int = 0


@dataclass
class RunState:
    """`agent` is the agent's State; `chunk` is the next chunk of the schedule, before which the counters hold.

    `reports` holds (updates, mean info) of the chunks since the last row; `best` the highest return of an evaluation;
    `exact` whether the run is what an uninterrupted one would be; `seconds` the training time, without evaluations.
    """

    agent: Any
    normaliser: Normaliser
    reward_scale: RewardScale
    chunk: int = 0
    step: int = 0
    updates: int = 0
    reports: list[tuple[int, Any]] = field(default_factory=list)
    last_row: LastRow = field(default_factory=LastRow)
    best: float = -np.inf
    exact: bool = True
    seconds: float = 0.0

    @classmethod
    def create(cls, task: Task, agent: Any) -> "RunState":
        """Return the state before the first step."""
        options = task.options
        normaliser = Normaliser(task.spec.scaled_size, options.normalise_obs)
        reward_scale = RewardScale.of(task.config, options.envs, options.normalise_rewards)
        return cls(agent=agent, normaliser=normaliser, reward_scale=reward_scale)


def to_checkpoint(state: RunState) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a tree of arrays, and JSON data."""
    tree = {
        "state": state.agent,
        "normaliser": scales(state),
        "info": {str(i): info for i, (_, info) in enumerate(state.reports)},
    }
    meta = {
        "step": state.step,
        "updates": state.updates,
        "chunk": state.chunk,
        "info_updates": [updates for updates, _ in state.reports],
        "last_row": list(state.last_row),
        "best": state.best if np.isfinite(state.best) else None,
        "seconds": state.seconds,
        "exact": state.exact,
    }
    return tree, meta


def scales(state: RunState) -> dict[str, Any]:
    """Return what observations and rewards are scaled by, as arrays."""
    return state.normaliser.arrays() | {"rewards": state.reward_scale.arrays()}


def from_checkpoint(template: RunState, arrays: Arrays, meta: dict[str, Any]) -> RunState:
    """Return the state that `to_checkpoint` gave, its arrays by their paths.

    Args:
        template: a state of the same task, which stays as it is; the agent's arrays may be shapes only.
        arrays: the checkpoint's arrays.
        meta: the checkpoint's JSON data.

    Raises EntraxError when an array is missing, superfluous, or of another shape.
    """
    reports = [subtree(f"info/{i}", arrays) for i in range(len(meta["info_updates"]))]
    step, seconds, updates = meta["last_row"]
    return replace(
        with_scales(template, subtree("normaliser", arrays)),
        agent=unflatten(template.agent, subtree("state", arrays)),
        chunk=meta["chunk"],
        step=meta["step"],
        updates=meta["updates"],
        reports=list(zip(meta["info_updates"], reports, strict=True)),
        last_row=LastRow(step=step, seconds=seconds, updates=updates),
        best=-np.inf if meta["best"] is None else meta["best"],
        exact=meta["exact"],
        seconds=meta["seconds"],
    )


def with_scales(template: RunState, arrays: Arrays) -> RunState:
    """Return the state with the normalisers of a checkpoint or of an initial state."""
    state = replace(template, normaliser=deepcopy(template.normaliser), reward_scale=deepcopy(template.reward_scale))
    state.normaliser.restore(arrays)
    state.reward_scale.restore(subtree("rewards", arrays))
    return state


def unchecked_arrays(agent: ModuleType, state: Any) -> list[str]:
    """Return the names, in a checkpoint, of the arrays of an agent's state that need not be finite."""
    if optional(agent, "finite") is None:
        return []
    return sorted(f"state/{name}" for name in flatten(state).keys() - flatten(finite_part(agent, state)).keys())
