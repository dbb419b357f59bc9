"""Checkpoints of a run: arrays as safetensors, the rest as JSON, published whole or not at all.

    checkpoints/step-000010000/state.safetensors    the arrays
    checkpoints/step-000010000/meta.json            {"format", "files": {name: {"bytes"}}, "meta": the caller's}

A checkpoint is written aside under a hidden name, flushed to the disk, and renamed into place. Names are
"<kind>-<step>": `step` for the periodic ones, of which the last few are kept; `final`; and `best`, which holds the
policy that evaluated best. What `load` calls the latest, the best and the final one follows from the names alone, so
there is no pointer that a crash could leave behind. Reading trusts nothing: safetensors and JSON only, sizes checked.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from entrax.errors import EntraxError
from entrax.runs.directory import RunDirectory, check_format
from entrax.runs.records import dumps, read_json, sync_directory, write_bytes

FORMAT = 1
KINDS = ("step", "best", "final")
STATE, META = "state.safetensors", "meta.json"
_NAME = re.compile(r"(step|best|final)-(\d{9,})")


def checkpoint_name(kind: str, step: int) -> str:
    """The name of the checkpoint of a kind ("step", "best" or "final") at a step, such as "step-000010000"."""
    if kind not in KINDS or step < 0:
        raise ValueError(f"A checkpoint is one of {', '.join(KINDS)} at a step from 0 on, not {kind!r} at {step}")
    return f"{kind}-{step:09d}"


def save(
    run: RunDirectory, name: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], *, keep: int = 3
) -> Path:
    """Publish `arrays` and `meta` (JSON data) as the checkpoint `name`, as `checkpoint_name` gives it.

    Afterwards only the last `keep` periodic checkpoints and the newest best and final one remain. Returns the
    checkpoint's directory. Raises EntraxError when it cannot be written; what was there before then stays.
    """
    kind, _ = _parse(name)
    if keep < 1:
        raise ValueError(f"At least one periodic checkpoint must be kept, not {keep}")
    folder = run.checkpoints
    try:
        _clear(folder)
        aside = _write_aside(folder, name, arrays, meta)
        _publish(aside, folder / name)
        _drop_old(folder, kind, keep if kind == "step" else 1)
    except OSError as error:
        shutil.rmtree(_partial(folder, name), ignore_errors=True)  # a full disk needs the room
        raise EntraxError(f"The checkpoint {folder / name} could not be written ({error.strerror}).") from error
    return folder / name


def load(run: RunDirectory, which: str = "latest") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata of a checkpoint: "latest", "best", "final", or one by its name.

    "latest" is the periodic or final one with the most steps. Raises EntraxError listing the checkpoints there are when
    there is no such one, and naming the file when one is damaged.
    """
    path = _place(run.checkpoints, resolve(run, which))
    if not (path / META).is_file():
        raise EntraxError(f"The checkpoint {path} is damaged: it holds no {META}.")
    record = read_json(path / META)
    check_format(record, path / META, FORMAT)
    data = _checked_bytes(path / STATE, record)
    try:
        arrays = load_arrays(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise EntraxError(f"{path / STATE} is damaged: {error}.") from error
    return arrays, record["meta"]


def resolve(run: RunDirectory, which: str) -> str:
    """The name of the checkpoint that `which` stands for; see `load`."""
    names = available(run)
    kinds = {"latest": ("step", "final"), "best": ("best",), "final": ("final",)}.get(which)
    if kinds is None:
        matching = [name for name in names if name == which]
    else:
        matching = [name for name in names if _parse(name)[0] in kinds]
    if not matching:
        there = f"there are {', '.join(names)}" if names else "the run has none yet"
        raise EntraxError(f"{run.path} has no checkpoint {which!r}: {there}.")
    return matching[-1]


def available(run: RunDirectory) -> list[str]:
    """The names of all checkpoints, by step; at the same step a final one comes last."""
    if not run.checkpoints.is_dir():
        return []
    inside = {path.name.removeprefix(".").removesuffix(".old") for path in run.checkpoints.iterdir()}
    names = [name for name in inside if _NAME.fullmatch(name) and _place(run.checkpoints, name).is_dir()]
    return sorted(names, key=lambda name: (_parse(name)[1], name.startswith("final")))


def _parse(name: str) -> tuple[str, int]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"A checkpoint's name is made by checkpoint_name, unlike {name!r}")
    return match[1], int(match[2])


def _write_aside(folder: Path, name: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> Path:
    data = save_arrays({key: _storable(key, array) for key, array in arrays.items()})
    aside = _partial(folder, name)
    aside.mkdir(parents=True)
    write_bytes(aside / STATE, data)
    record = {"format": FORMAT, "files": {STATE: {"bytes": len(data)}}, "meta": meta}
    write_bytes(aside / META, (dumps(record, indent=2) + "\n").encode())
    sync_directory(aside)
    return aside


def _storable(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":  # among others bfloat16, which NumPy cannot read back by itself
        raise EntraxError(f"The array {name!r} has dtype {array.dtype}, which a checkpoint cannot hold.")
    return np.asarray(array, order="C")


def _partial(folder: Path, name: str) -> Path:
    return folder / f".{name}.partial"


def _old(folder: Path, name: str) -> Path:
    return folder / f".{name}.old"


def _place(folder: Path, name: str) -> Path:
    """Where the checkpoint lies: set aside, if a crash came between making room for its successor and publishing that.

    One that was set aside to be removed has no successor waiting, and is not found.
    """
    if not (folder / name).exists() and _partial(folder, name).exists():
        return _old(folder, name)
    return folder / name


def _publish(aside: Path, place: Path) -> None:
    if place.exists():  # saved before, by a run that was then taken up again from an earlier checkpoint
        os.rename(place, _old(place.parent, place.name))
    os.rename(aside, place)
    sync_directory(place.parent)


def _drop_old(folder: Path, kind: str, keep: int) -> None:
    names = sorted((path.name for path in folder.glob(f"{kind}-*") if _NAME.fullmatch(path.name)), key=_parse)
    for name in names[:-keep]:
        # Hidden first: a checkpoint that is half removed must not be visible either.
        os.rename(folder / name, _old(folder, name))
    _clear(folder)


def _clear(folder: Path) -> None:
    """Remove what an interrupted save left and what was replaced; what still waits for its successor is put back."""
    for path in folder.glob(".*.old"):
        name = path.name.removeprefix(".").removesuffix(".old")
        if _place(folder, name) == path:
            os.rename(path, folder / name)
        else:
            shutil.rmtree(path)
    for path in folder.glob(".*.partial"):
        shutil.rmtree(path)


def _checked_bytes(path: Path, record: Mapping[str, Any]) -> bytes:
    try:
        expected = record["files"][path.name]["bytes"]
        record["meta"]
    except (KeyError, TypeError) as error:
        raise EntraxError(f"{path.with_name(META)} is damaged: it lacks {error}.") from error
    if not path.is_file():
        raise EntraxError(f"The checkpoint {path.parent} is damaged: it holds no {path.name}.")
    if path.stat().st_size != expected:
        raise EntraxError(f"{path} is damaged: it has {path.stat().st_size} bytes where {expected} were written.")
    return path.read_bytes()
