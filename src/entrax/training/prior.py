"""A run with a prior policy: where π₀ comes from, and what the run begins with.

π₀ is the policy of another run, as it acts when its schedules have run out. Its arrays are in the start of the new run
and in each of its states, and what it takes to make it again is in config.json under `prior`: its agent, the settings
of that, and its own prior if it had one. So the new run needs the old one no more. Both policies see observations on
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
from entrax.runs.start import read_start
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
    """The policy of the run at `path`, of its latest checkpoint. Raises EntraxError when there is none."""
    old = load_source_checkpoint(path, "latest", None)
    config = old.run.config
    made_of = {name: config[name] for name in ("agent", "agent_config", "prior") if name in config}
    return Reference(
        path=old.run.path,
        spec=old.spec,
        record=recorded(old) | made_of,
        arrays=subtree("policy", old.arrays),
        normaliser=_normaliser(old.arrays),
        normalises=config["training"]["normalise_obs"],
    )


def kept_prior(old: SourceCheckpoint) -> Reference | None:
    """The prior that the run of `old` had itself, if any."""
    config = old.run.config
    if "prior" not in config:
        return None
    arrays = read_start(old.run)
    return Reference(
        path=old.run.path,
        spec=old.spec,
        record=config["prior"],
        arrays=subtree("state/prior", arrays),
        normaliser=_normaliser(arrays),
        normalises=config["training"]["normalise_obs"],
    )


def check_scaling(prior: Reference, old: SourceCheckpoint) -> None:
    """Raises EntraxError unless the policy of `old` sees observations as the prior does."""
    check_spaces(prior.spec, old.spec, str(prior.path))
    before, after = prior.normaliser, _normaliser(old.arrays)
    if before.keys() != after.keys() or any(not np.array_equal(before[name], after[name]) for name in before):
        raise UsageError(
            f"{old.run.path} and its prior {prior.path} normalise observations differently; a prior must see them as "
            "the policy does."
        )


def _normaliser(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What observations are scaled by, of a checkpoint's arrays."""
    return {name: arrays[name] for name in arrays if name.startswith("normaliser/") and "/rewards/" not in name}


def fresh_state(task: Task, prior: Reference | None) -> Any:
    """The state before any learning, with its prior."""
    state = task.agent.init(task.config, task.spec, jr.fold_in(jr.key(task.seed), INIT))
    if prior is None:
        return state
    roomy = with_prior_placeholder(task.agent, task.config, state, task.spec, prior.record)
    return task.agent.with_prior(task.config, state, unflatten(roomy.prior, prior.arrays))


def parts_of(names: Mapping[str, Any]) -> list[str]:
    """What arrays of a state belong to: params/policy and the like, targets, opt_state, in their order."""
    parts = ["/".join(name.split("/")[:2]) if name.startswith("params/") else name.split("/")[0] for name in names]
    return list(dict.fromkeys(parts))
