"""Strict JSON on disk: whole files published atomically, and logs of one object a line.

JSON knows no NaN and no infinity, so numbers that are not finite are written as null.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from entrax.errors import EntraxError


def to_json(value: Any) -> Any:
    """`value` as plain JSON data: arrays become lists, tuples lists, and numbers that are not finite None.

    Raises TypeError for anything that is neither a number, a string, None, an array, a mapping nor a sequence.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    array = np.asarray(value)  # NumPy's scalars and arrays, and JAX's without importing JAX
    if array.dtype.kind not in "biufU":
        raise TypeError(f"A value of type {type(value).__name__} cannot be written as JSON: {value!r}")
    return to_json(array.tolist())


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"JSON objects are keyed by strings, not by {key!r}")
    return key


def dumps(value: Any, indent: int | None = None) -> str:
    """`value` as strictly valid JSON text; see `to_json` for what becomes of numbers that are not finite."""
    return json.dumps(to_json(value), indent=indent, allow_nan=False, ensure_ascii=False)


def sync_directory(path: Path) -> None:
    """Make what was created, renamed or removed in the directory `path` durable, where the system allows it."""
    if os.name != "posix":
        return  # elsewhere a directory cannot be opened, and renames are as durable as they get
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def publish_json(path: Path, value: Any) -> None:
    """Write `value` to `path` so that a reader sees the old file or the new one, never a part of either."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    write_bytes(aside, (dumps(value, indent=2) + "\n").encode())
    os.replace(aside, path)
    sync_directory(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file `path`; EntraxError when the file is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise EntraxError(f"{path} is damaged: it is not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise EntraxError(f"{path} is damaged: it should hold a JSON object, not a {type(value).__name__}.")
    return value


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Add `row` as one line. A last line that a crash cut short is dropped first, so that the log stays readable."""
    line = (dumps(row) + "\n").encode()
    with open(path, "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        if end > 0:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                _drop_torn_line(file, end)
        file.write(line)


def _drop_torn_line(file: Any, end: int) -> None:
    file.seek(0)
    file.truncate(file.read(end).rfind(b"\n") + 1)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a log, oldest first; none when there is no file. A line still being written is left out.

    Raises EntraxError naming the line that is damaged.
    """
    if not path.exists():
        return []
    rows = []
    *lines, _unfinished = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise EntraxError(f"Line {number} of {path} is damaged: it is not valid JSON ({error}).") from error
        if not isinstance(row, dict):
            raise EntraxError(f"Line {number} of {path} is damaged: it should hold a JSON object.")
        rows.append(row)
    return rows
