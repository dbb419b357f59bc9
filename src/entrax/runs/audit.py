"""Verification and fingerprints of runs."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from entrax.errors import EntraxError, UsageError
from entrax.runs import checkpoints, start_file, transition_log
from entrax.runs.directory import RunDirectory


class Finding(NamedTuple):
    """The verdict on a checkpoint and its part of the logs, or on the start file.

    `damage` is None if everything is intact.
    """

    checkpoint: str
    damage: str | None


def verify(run: RunDirectory) -> list[Finding]:
    """Check the files of every checkpoint of a run.

    These are its hashes and arrays, its transitions and its metrics.

    Returns the findings, oldest first; that of the start file comes first, if there is one.
    """
    findings = [Finding(name, _damage(run, name)) for name in checkpoints.available(run)]
    return [Finding(start_file.FILE, _start_damage(run)), *findings] if start_file.start_record(run) else findings


def _start_damage(run: RunDirectory) -> str | None:
    try:
        start_file.read_start_file(run)
    except EntraxError as error:
        return str(error)
    return None


def _damage(run: RunDirectory, name: str) -> str | None:
    try:
        _, meta = checkpoints.load_finite(run, name)
        if "replay" in meta and not _is_outdated(run, name):
            transition_log.check(run.path / "replay", meta["replay"])
            run.check_metrics(meta["metrics"], name)
    except EntraxError as error:
        return str(error)
    except (KeyError, TypeError) as error:
        return f"{run.checkpoints / name} is damaged: its metadata have no {error}."
    return None


def _is_outdated(run: RunDirectory, name: str) -> bool:
    """Return whether the run was trained beyond this final checkpoint, so that its replay and rows are replaced."""
    return name.startswith("final") and checkpoints.step_of(name) < run.config["training"]["steps"]


def fingerprint(run: RunDirectory, which: str = "latest") -> dict[str, str]:
    """Return the SHA-256, in hex, of each part of a checkpoint, to compare two runs.

    Args:
        run: the run.
        which: the checkpoint, as for `checkpoints.load`.

    Returns:
        `parameters` (the agent's state without its optimiser), `optimiser`, `normaliser`, `replay` (the transitions)
        and `metrics` (the rows up to the checkpoint, without wall-clock fields).

    Raises:
        UsageError: for a checkpoint of a policy only.
        EntraxError: if something is damaged.
    """
    arrays, meta = checkpoints.load(run, which)
    if "replay" not in meta:
        raise UsageError(
            f"The checkpoint {which!r} of {run.path} holds a policy only. Choose a resumable or final one."
        )
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
            without_time: dict[str, Any] = {name: value for name, value in row.items() if name != "time"}
            digest.update((json.dumps(without_time, sort_keys=True) + "\n").encode())
    return digest.hexdigest()
