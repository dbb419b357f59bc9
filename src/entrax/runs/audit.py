"""Is everything of a run whole, and is it the same as another's?"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from entrax.errors import EntraxError, UsageError
from entrax.runs import checkpoint, start, transition_log
from entrax.runs.directory import RunDirectory


class Finding(NamedTuple):
    """A checkpoint with the part of the log and of the metrics that belongs to it, or what the run began with.

    `damage` is None if all is whole.
    """

    checkpoint: str
    damage: str | None


def verify(run: RunDirectory) -> list[Finding]:
    """Check the hashes of every checkpoint and of what belongs to it, and read its arrays; oldest first."""
    checkpoints = [Finding(name, _damage(run, name)) for name in checkpoint.available(run)]
    return [Finding(start.FILE, _damage_of_start(run)), *checkpoints] if start.start_of(run) else checkpoints


def _damage_of_start(run: RunDirectory) -> str | None:
    try:
        start.read_start(run)
    except EntraxError as error:
        return str(error)
    return None


def _damage(run: RunDirectory, name: str) -> str | None:
    try:
        _, meta = checkpoint.load_finite(run, name)
        if "replay" in meta and not _is_of_the_past(run, name):
            transition_log.check(run.path / "replay", meta["replay"])
            run.check_metrics(meta["metrics"], name)
    except EntraxError as error:
        return str(error)
    except (KeyError, TypeError) as error:
        return f"{run.checkpoints / name} is damaged: its metadata lack {error}."
    return None


def _is_of_the_past(run: RunDirectory, name: str) -> bool:
    """Whether a final checkpoint ended a run that was then trained for longer: its replay and rows are replaced."""
    return name.startswith("final") and checkpoint.step_of(name) < run.config["training"]["steps"]


def fingerprint(run: RunDirectory, which: str = "latest") -> dict[str, str]:
    """SHA-256, in hex, of what a checkpoint holds, by kind: two runs agree in a line exactly when they agree in that.

    parameters (with targets, temperature and all else of the agent's state but its optimiser), optimiser, normaliser,
    replay (the steps it holds), metrics (rows up to the checkpoint, without wall-clock fields). Raises EntraxError when
    something is damaged, or for a checkpoint of a policy alone.
    """
    arrays, meta = checkpoint.load(run, which)
    if "replay" not in meta:
        raise UsageError(f"The checkpoint {which!r} of {run.path} holds a policy only, and no state of training.")
    record = meta["replay"]
    transition_log.check(run.path / "replay", record)
    run.check_metrics(meta["metrics"], which)
    state = {name: array for name, array in arrays.items() if name.startswith("state/")}
    optimiser = {name: array for name, array in state.items() if name.startswith("state/opt_state")}
    parameters = {name: array for name, array in state.items() if name not in optimiser}
    normaliser = {name: array for name, array in arrays.items() if name.startswith("normaliser/")}
    replay = hashlib.sha256()
    for rows in transition_log.read_rows(run.path / "replay", record, record["window"], record["rows"]):
        replay.update(rows)
    return {
        "parameters": _digest(parameters),
        "optimiser": _digest(optimiser),
        "normaliser": _digest(normaliser),
        "replay": replay.hexdigest(),
        "metrics": _metrics_digest(run, meta["step"]),
    }


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _metrics_digest(run: RunDirectory, step: int) -> str:
    digest = hashlib.sha256()
    for row in run.metrics():
        if row["step"] <= step:
            timeless: dict[str, Any] = {name: value for name, value in row.items() if name != "time"}
            digest.update((json.dumps(timeless, sort_keys=True) + "\n").encode())
    return digest.hexdigest()
