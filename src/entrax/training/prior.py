"""The reference policy π₀ of a run with a prior.

π₀ is the policy of another run, as it acts when its schedules have run out. Its arrays are in the start of the new run
and in each of its states, and what it takes to make it again is in config.json under `prior`: its agent, the settings
of that, and its own prior if it had one. So the new run needs the source one no more. Both policies see observations on
one scale: the prior's normaliser is the run's, and stays as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.random as jr
import numpy as np

from entrax.errors import UsageError
from entrax.runs.pytree import subtree, unflatten
from entrax.runs.start_file import read_start_file
from entrax.spec import Spec
from entrax.training.from_record import with_prior_placeholder
from entrax.training.learner import INIT
from entrax.training.source_checkpoint import SourceCheckpoint, check_spaces, load_source_checkpoint, recorded
from entrax.training.task import Task


@dataclass(frozen=True)
class Reference:
    """π₀ of a run: its `record` for config.json, its `arrays` by their paths in the policy, and its normaliser."""

    path: Path
    spec: Spec
    record: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    normaliser: Mapping[str, np.ndarray]
    normalises: bool


def read_prior(path: str | Path) -> Reference:
    """Read the policy of the latest checkpoint of the run at `path`. Raises EntraxError if it has no checkpoint."""
    source = load_source_checkpoint(path, "latest", None)
    config = source.run.config
    made_of = {name: config[name] for name in ("agent", "agent_config", "prior") if name in config}
    return Reference(
        path=source.run.path,
        spec=source.spec,
        record=recorded(source) | made_of,
        arrays=subtree("policy", source.arrays),
        normaliser=_normaliser(source.arrays),
        normalises=config["training"]["normalise_obs"],
    )


def kept_prior(source: SourceCheckpoint) -> Reference | None:
    """Return the prior that the source's own run had, if any."""
    config = source.run.config
    if "prior" not in config:
        return None
    arrays = read_start_file(source.run)
    return Reference(
        path=source.run.path,
        spec=source.spec,
        record=config["prior"],
        arrays=subtree("state/prior", arrays),
        normaliser=_normaliser(arrays),
        normalises=config["training"]["normalise_obs"],
    )


def check_scaling(prior: Reference, source: SourceCheckpoint) -> None:
    """Raise UsageError unless the source's policy and the prior scale observations alike."""
    check_spaces(prior.spec, source.spec, str(prior.path))
    before, after = prior.normaliser, _normaliser(source.arrays)
    if before.keys() != after.keys() or any(not np.array_equal(before[name], after[name]) for name in before):
        raise UsageError(
            f"{source.run.path} and its prior {prior.path} normalise observations differently; they must not."
        )


def _normaliser(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of a checkpoint that scale observations."""
    return {name: arrays[name] for name in arrays if name.startswith("normaliser/") and "/rewards/" not in name}


def fresh_state(task: Task, prior: Reference | None) -> Any:
    """Return the agent's state before any learning, with its prior."""
    state = task.agent.init(task.config, task.spec, jr.fold_in(jr.key(task.seed), INIT))
    if prior is None:
        return state
    template = with_prior_placeholder(task.agent, task.config, state, task.spec, prior.record)
    return task.agent.with_prior(task.config, state, unflatten(template.prior, prior.arrays))


def parts_of(names: Mapping[str, Any]) -> list[str]:
    """Return the parts of a state that arrays belong to, such as params/policy, targets and opt_state, in order."""
    parts = ["/".join(name.split("/")[:2]) if name.startswith("params/") else name.split("/")[0] for name in names]
    return list(dict.fromkeys(parts))
