"""Checkpoints of a run: arrays as safetensors, the rest as JSON, published atomically.

    checkpoints/step-000010000/state.safetensors    the arrays
    checkpoints/step-000010000/meta.json            {"format", "meta": the caller's}
    checkpoints/step-000010000/SHA256SUMS           the SHA-256 of both, as `sha256sum --check` reads it

A checkpoint is written under a hidden name, flushed to the disk, and renamed. Names are "<kind>-<step>": `step` for
resumable checkpoints, of which the last few are kept; `final`; and `best`, which holds the policy with the best
evaluation. The latest, the best and the final checkpoint follow from the names alone, so that no pointer can be stale
after a crash. Files are read only if they are plain files whose hashes match. (Format 1 had sizes in meta.json instead
of hashes.)

Written by hand, since checkpoint libraries unpickle, import what a file names, or do not survive a crash at any moment.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_arrays

from entrax.errors import CannotWrite, EntraxError, UsageError, write_faults
from entrax.runs.directory import RunDirectory, check_format
from entrax.runs.records import dumps, open_plain, read_json, sync_directory, write_bytes
from entrax.runs.schema import COUNT
from entrax.runs.schema import META as META_SCHEMA

FORMAT = 2
KINDS = ("step", "best", "final")
STATE, META, SUMS = "state.safetensors", "meta.json", "SHA256SUMS"
KEEP = 3
"""The number of resumable checkpoints that are kept."""
_NAME = re.compile(r"(step|best|final)-(\d{9,})")


def checkpoint_name(kind: str, step: int) -> str:
    """Return the name of a checkpoint, such as "step-000010000".

    `kind` is "step", "best" or "final".
    """
    if kind not in KINDS or step < 0:
        raise ValueError(f"a checkpoint is one of {', '.join(KINDS)} at a step of at least 0, got {kind!r} at {step}")
    return f"{kind}-{step:09d}"


def save(
    run: RunDirectory, name: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], *, keep: int = KEEP
) -> Path:
    """Publish a checkpoint, and remove older ones.

    Args:
        run: the run.
        name: the result of `checkpoint_name`.
        arrays: the arrays, of booleans, integers or floats, by their paths.
        meta: JSON data.
        keep: the number of resumable checkpoints to keep; of the best and the final ones only the newest is kept.

    Returns:
        The directory of the checkpoint.

    Raises:
        CannotWrite: if it cannot be written; earlier checkpoints are then unchanged.
    """
    _parse(name)
    if keep < 1:
        raise ValueError(f"`keep` must be at least 1, got {keep}")
    folder = run.checkpoints
    files = _contents(arrays, meta)
    try:
        _clear(folder)
        aside = _write_aside(folder, name, files)
        _publish(aside, folder / name)
        for each in KINDS:  # all kinds: a killed process may not have removed the old ones
            _drop_old(folder, each, keep if each == "step" else 1)
    except OSError as error:
        shutil.rmtree(_partial(folder, name), ignore_errors=True)  # a full disk needs the room
        raise CannotWrite(folder / name, error, sum(map(len, files.values()))) from error
    return folder / name


def load(
    run: RunDirectory, which: str = "latest", groups: Collection[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Load the arrays and the metadata of a checkpoint, after checking its hashes.

    The hash of config.json is checked, too.

    Args:
        run: the run.
        which: "latest" (the resumable or final checkpoint with the most steps), "best", "final", or a name.
        groups: the first segments of the array paths to read; by default all arrays.

    Raises:
        UsageError: if there is no such checkpoint; the message lists the available ones.
        EntraxError: if a file is damaged.
    """
    name = resolve(run, which)
    meta = load_meta(run, name)
    path = _place(run.checkpoints, name) / STATE
    try:
        with safe_open(path, framework="numpy") as file:
            names = [key for key in file.keys() if groups is None or key.split("/")[0] in groups]  # noqa: SIM118
            return {key: np.asarray(file.get_tensor(key)) for key in names}, meta
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        raise EntraxError(f"{path} is damaged: {error}.") from error


def load_finite(
    run: RunDirectory, which: str = "latest", groups: Collection[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Load a checkpoint like `load`; raise EntraxError if an array is not finite.

    The arrays of the agent's state that `unchecked` names in the metadata may hold any numbers.
    """
    arrays, meta = load(run, which, groups)
    unchecked = {name for name in meta.get("unchecked", ()) if name.startswith("state/")}
    for name, array in arrays.items():
        if name not in unchecked and not np.isfinite(array).all():
            raise EntraxError(f"{resolve(run, which)} of {run.path} is damaged: {name} is not finite.")
    return arrays, meta


def load_meta(run: RunDirectory, name: str) -> dict[str, Any]:
    """Load the metadata of a checkpoint, after checking its hashes.

    The hash of config.json is checked, too. The arrays are read in blocks and not kept in memory. Raises EntraxError if
    a file is damaged.
    """
    meta = _load_meta(_place(run.checkpoints, name))
    _compare_config(run, name, meta)
    return meta


def check_config(run: RunDirectory) -> None:
    """Raise EntraxError if config.json has changed since the newest intact checkpoint."""
    for name in reversed(available(run)):
        try:
            meta = _load_meta(_place(run.checkpoints, name))
        except EntraxError:
            continue
        return _compare_config(run, name, meta)


def _compare_config(run: RunDirectory, name: str, meta: Mapping[str, Any]) -> None:
    if "config" in meta and meta["config"] != run.config_digest():
        raise EntraxError(f"{run.path / 'config.json'} is damaged: it is not the file that {name} was saved with.")


def _load_meta(path: Path) -> dict[str, Any]:
    if path.is_symlink():
        raise EntraxError(f"The checkpoint {path} is damaged: it is a link.")
    for file in (META, STATE):
        if not (path / file).is_file():
            raise EntraxError(f"The checkpoint {path} is damaged: it holds no {file}.")
    if not (path / SUMS).exists():
        return _load_meta_without_hashes(path)
    digests = {file: _digest(path / file) for file in (META, STATE)}
    with open_plain(path / SUMS) as sums:
        written = sums.read(1024)
    if written != _sums(digests):
        wrong = [file for file in digests if f"{digests[file]}  {file}\n".encode() not in written] or [SUMS]
        raise EntraxError(f"{path / wrong[0]} is damaged: its SHA-256 is not the one in {SUMS}.")
    record = read_json(path / META, {"meta": META_SCHEMA})
    check_format(record, path / META, FORMAT)
    return record["meta"]


def resolve(run: RunDirectory, which: str) -> str:
    """Return the name of the checkpoint `which`; see `load`."""
    names = available(run)
    kinds = {"latest": ("step", "final"), "best": ("best",), "final": ("final",)}.get(which)
    if kinds is None:
        matching = [name for name in names if name == which]
    else:
        matching = [name for name in names if _parse(name)[0] in kinds]
    if not matching:
        known = f"there are {', '.join(names)}" if names else "the run has none yet"
        raise UsageError(f"{run.path} has no checkpoint {which!r}: {known}.")
    return matching[-1]


def available(run: RunDirectory) -> list[str]:
    """Return the names of all checkpoints by step.

    At the same step a final one comes last.
    """
    if not run.checkpoints.is_dir():
        return []
    inside = {path.name.removeprefix(".").removesuffix(".old") for path in run.checkpoints.iterdir()}
    names = [name for name in inside if _NAME.fullmatch(name) and _place(run.checkpoints, name).is_dir()]
    return sorted(names, key=lambda name: (_parse(name)[1], name.startswith("final")))


def step_of(name: str) -> int:
    """Return the step in a checkpoint's name."""
    return _parse(name)[1]


def drop_others(run: RunDirectory, name: str, *, earlier: bool) -> None:
    """Remove the resumable checkpoints after `name`, which the resumed run replaces.

    `earlier` removes all others.
    """
    with write_faults(run.checkpoints):
        for other in available(run):
            if _parse(other)[0] == "step" and (_parse(other) > _parse(name) or (earlier and other != name)):
                os.rename(_place(run.checkpoints, other), run.checkpoints / f".{other}.old")
        _clear(run.checkpoints)


def save_fault(run: RunDirectory, name: str, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write the arrays of a fault to faults/<name>.safetensors and return the path."""
    place = run.path / "faults" / f"{name}.safetensors"
    data = save_arrays({key: _storable(key, array) for key, array in arrays.items()})
    with write_faults(place, len(data)):
        place.parent.mkdir(exist_ok=True)
        write_bytes(place, data)
    return place


def _parse(name: str) -> tuple[str, int]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not a name of `checkpoint_name`")
    return match[1], int(match[2])


def _contents(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> dict[str, bytes]:
    record = {"format": FORMAT, "meta": meta}
    files = {
        META: (dumps(record, indent=2) + "\n").encode(),
        STATE: save_arrays({key: _storable(key, array) for key, array in arrays.items()}),
    }
    return files | {SUMS: _sums({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})}


def _sums(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()


def _digest(path: Path) -> str:
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_aside(folder: Path, name: str, files: Mapping[str, bytes]) -> Path:
    aside = _partial(folder, name)
    aside.mkdir()  # without parents: a run that was removed must not be recreated in part
    for file, data in files.items():
        write_bytes(aside / file, data)
    sync_directory(aside)
    return aside


def _storable(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":  # such as bfloat16, which NumPy cannot read
        raise EntraxError(f"The array {name!r} has dtype {array.dtype}, which a checkpoint cannot hold.")
    return np.asarray(array, order="C")


def _partial(folder: Path, name: str) -> Path:
    return folder / f".{name}.partial"


def _old(folder: Path, name: str) -> Path:
    return folder / f".{name}.old"


def _place(folder: Path, name: str) -> Path:
    """Return the directory of a checkpoint: its `.old` one if a crash interrupted its replacement.

    An `.old` directory without a `.partial` one was about to be removed and does not count.
    """
    if not (folder / name).exists() and _partial(folder, name).exists():
        return _old(folder, name)
    return folder / name


def _publish(aside: Path, place: Path) -> None:
    if place.exists():  # saved before the run was resumed from an earlier checkpoint
        os.rename(place, _old(place.parent, place.name))
    os.rename(aside, place)
    sync_directory(place.parent)


def _drop_old(folder: Path, kind: str, keep: int) -> None:
    names = sorted((path.name for path in folder.glob(f"{kind}-*") if _NAME.fullmatch(path.name)), key=_parse)
    for name in names[:-keep]:
        # Renamed first: a checkpoint that is removed in part must not be visible.
        os.rename(folder / name, _old(folder, name))
    _clear(folder)


def _clear(folder: Path) -> None:
    """Remove the remains of interrupted saves; restore a checkpoint whose replacement was not published."""
    for path in folder.glob(".*.old"):
        name = path.name.removeprefix(".").removesuffix(".old")
        if _place(folder, name) == path:
            os.rename(path, folder / name)
        else:
            shutil.rmtree(path)
    for path in folder.glob(".*.partial"):
        shutil.rmtree(path)


def _load_meta_without_hashes(path: Path) -> dict[str, Any]:
    """Load the metadata of format 1, which has sizes but no hashes."""
    record = read_json(path / META, {"meta": META_SCHEMA, "files": {STATE: {"bytes": COUNT}}})
    check_format(record, path / META, FORMAT)
    if record["format"] > 1:
        raise EntraxError(f"The checkpoint {path} is damaged: it holds no {SUMS}.")
    expected = record["files"][STATE]["bytes"]
    size = (path / STATE).stat().st_size
    if size != expected:
        raise EntraxError(f"{path / STATE} is damaged: it has {size} bytes where {expected} were written.")
    return record["meta"]
