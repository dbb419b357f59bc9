"""Strict JSON on disk: files that are published atomically, and logs with one object on each line.

JSON has no NaN and no infinity; numbers that are not finite are written as null. Only plain files are opened for
reading, since a run directory may come from a stranger.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from entrax.errors import EntraxError, FileFault, write_faults
from entrax.runs.schema import OBJECT, Schema, checked

LARGEST_JSON = 64 * 2**20  # bytes of a file or of a line of a log, far above those of a real run
DEEPEST = 64
BLOCK = 2**20


@contextmanager
def open_plain(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading.

    Raises:
        EntraxError: if it is missing, a link, or not a plain file.
        FileFault: if it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise EntraxError(f"{path} is damaged: it cannot be opened as a plain file ({error.strerror}).") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise EntraxError(f"{path} is damaged: it is not a plain file.")
    with open(descriptor, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise FileFault(f"{path} could not be read ({error.strerror or error}).") from error


def to_json(value: Any) -> Any:
    """Convert a value to JSON data.

    Arrays and tuples become lists, and numbers that are not finite None.

    Raises TypeError for other types than numbers, strings, None, arrays, mappings and sequences.
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
        raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON: {value!r}")
    return to_json(array.tolist())


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key of a JSON object must be a string, got {key!r}")
    return key


def dumps(value: Any, indent: int | None = None) -> str:
    """Return `value`, converted by `to_json`, as strict JSON text."""
    text = json.dumps(to_json(value), indent=indent, allow_nan=False, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()  # for half of a surrogate pair, which UTF-8 lacks


def sync_directory(path: Path) -> None:
    """Flush changes of a directory to the disk, where the system allows it.

    These are creations, renames and removals.
    """
    if os.name != "posix":
        return  # other systems cannot open a directory
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a new file and flush it to the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def publish_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader sees the old content or the new one.

    Raises CannotWrite.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with write_faults(path, len(data)):
        try:
            write_bytes(aside, data)
            os.replace(aside, path)
        except OSError:
            aside.unlink(missing_ok=True)  # a full disk needs the room
            raise
        for left in path.parent.glob(f".{escape(path.name)}.*.partial"):
            if not _is_running(left.name.split(".")[-2]):
                left.unlink(missing_ok=True)  # the process was killed
        sync_directory(path.parent)


def _is_running(process: str) -> bool:
    """Return whether there is a process with this number."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):  # it may be another user's
        return True
    return True


def publish_json(path: Path, value: Any) -> None:
    """Write `value` as JSON atomically. Raises CannotWrite."""
    publish_bytes(path, (dumps(value, indent=2) + "\n").encode())


def read_whole(path: Path, largest: int = LARGEST_JSON) -> bytes:
    """Read the bytes of a file. Raises EntraxError if there are more than `largest`."""
    with open_plain(path) as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise EntraxError(f"{path} is damaged: it is larger than any file of its kind.")
    return data


def read_json(path: Path, schema: Schema = OBJECT) -> Any:
    """Read the JSON object in a file and check it by a schema.

    Raises EntraxError if the file is damaged.
    """
    return checked(parse(read_whole(path), path), schema, path)


def parse(text: bytes, file: object) -> dict[str, Any]:
    """Parse an object in strict JSON.

    Raises EntraxError, naming `file`, for other text.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite)
        if text.count(b"[") + text.count(b"{") > DEEPEST and _is_deep(value, DEEPEST):
            raise ValueError(f"nested deeper than {DEEPEST} levels")
    except RecursionError as error:
        raise EntraxError(f"{file} is damaged: it is not valid JSON (nested too deeply).") from error
    except ValueError as error:  # also for a broken encoding or a very long integer
        raise EntraxError(f"{file} is damaged: it is not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise EntraxError(f"{file} is damaged: it must contain a JSON object, got a {type(value).__name__}.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object has a name twice")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is too large")
    return value


def _is_deep(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return not levels or any(_is_deep(item, levels - 1) for item in inside)


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Append `row` as one line, after removing an incomplete last line."""
    line = (dumps(row) + "\n").encode()
    with write_faults(path, len(line)), open(path, "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        if end > 0:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                _remove_incomplete_line(file, end)
        file.write(line)


def _remove_incomplete_line(file: Any, end: int) -> None:
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        last = file.read(end - start).rfind(b"\n") + 1
        if last:
            file.truncate(start + last)
            return
        end = start
    file.truncate(0)


def log_record(path: Path) -> dict[str, Any]:
    """Flush a log to the disk and return its length and SHA-256.

    The result is for `cut_log` and `log_is_whole`.
    """
    if not path.exists():
        return {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
    with write_faults(path), open(path, "r+b") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256")
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}


def log_is_whole(path: Path, record: Mapping[str, Any]) -> bool:
    """Return whether the part of a log that `record` describes is unchanged."""
    if record["bytes"] == 0:
        return True
    digest, left = hashlib.sha256(), record["bytes"]
    with open_plain(path) as file:
        while left and (block := file.read(min(left, BLOCK))):
            digest.update(block)
            left -= len(block)
    return left == 0 and digest.hexdigest() == record["sha256"]


def salvage_log(path: Path, schema: Schema, keep: Callable[[Mapping[str, Any]], bool]) -> int:
    """Replace a damaged log by its readable rows and return their number.

    Rows that `keep` rejects are left out. The damaged file is kept beside it as `<name>.damaged`.
    """
    try:
        with open_plain(path) as file:
            rows = [row for row in _whole_rows(file, path, schema) if keep(row)]
    except EntraxError:
        rows = []
    with write_faults(path):
        if path.exists():
            os.replace(path, path.with_name(f"{path.name}.damaged"))
    publish_bytes(path, "".join(dumps(row) + "\n" for row in rows).encode())
    return len(rows)


def _whole_rows(file: BufferedReader, path: Path, schema: Schema) -> Iterator[Any]:
    for line in _lines(file):
        with suppress(EntraxError):
            yield _row(line, schema, path)


def cut_log(path: Path, record: Mapping[str, Any]) -> None:
    """Remove the lines after `record`."""
    with write_faults(path):
        if path.exists() and path.stat().st_size > record["bytes"]:
            with open(path, "r+b") as file:
                file.truncate(record["bytes"])
                os.fsync(file.fileno())


def read_lines(path: Path, schema: Schema = OBJECT) -> list[Any]:
    """Read the rows of a log, oldest first, without an incomplete last line.

    A missing file has no rows.

    Raises EntraxError, naming the line that is damaged.
    """
    if not path.exists():
        return []
    with open_plain(path) as file:
        return [_row(line, schema, f"Line {number} of {path}") for number, line in enumerate(_lines(file), start=1)]


def _row(line: bytes, schema: Schema, file: object) -> Any:
    if len(line) > LARGEST_JSON:
        raise EntraxError(f"{file} is damaged: it is longer than any line of its kind.")
    return checked(parse(line, file), schema, file)


def _lines(file: BufferedReader) -> Iterator[bytes]:
    """Yield the complete lines; of one that is too long only as much as shows that."""
    while line := file.readline(LARGEST_JSON + 1):
        whole, rest = line.endswith(b"\n"), line
        while not whole and (rest := file.readline(BLOCK)):
            whole = rest.endswith(b"\n")
        if whole:
            yield line
