"""Strict JSON on disk: whole files published atomically, and logs of one object a line.

JSON knows no NaN and no infinity, so numbers that are not finite are written as null. Files are opened for reading only
if they are plain files: a run directory may come from a stranger.
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
from entrax.runs.schema import OBJECT, Form, checked

LARGEST_JSON = 64 * 2**20  # bytes of a file or of a line of a log; none of ours comes near
DEEPEST = 64
BLOCK = 2**20


@contextmanager
def open_plain(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading.

    Raises EntraxError when it is missing, a link, or no plain file, and FileFault when it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise EntraxError(f"{path} is damaged: it cannot be opened as a plain file ({error.strerror}).") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise EntraxError(f"{path} is damaged: it is no plain file.")
    with open(descriptor, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise FileFault(f"{path} could not be read ({error.strerror or error}).") from error


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
    text = json.dumps(to_json(value), indent=indent, allow_nan=False, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()  # half a surrogate pair has no other form in UTF-8


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


def publish_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part of either.

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
            if not _runs(left.name.split(".")[-2]):
                left.unlink(missing_ok=True)  # of a process that was killed
        sync_directory(path.parent)


def _runs(process: str) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):  # it may be another user's
        return True
    return True


def publish_json(path: Path, value: Any) -> None:
    """Publish `value` as JSON, as `publish_bytes` does."""
    publish_bytes(path, (dumps(value, indent=2) + "\n").encode())


def read_whole(path: Path, largest: int = LARGEST_JSON) -> bytes:
    """The bytes of the file `path`. Raises EntraxError when there are more than `largest`."""
    with open_plain(path) as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise EntraxError(f"{path} is damaged: it is larger than any file of its kind.")
    return data


def read_json(path: Path, form: Form = OBJECT) -> Any:
    """The JSON object in the file `path`, checked by its form; EntraxError when the file is damaged."""
    return checked(parse(read_whole(path), path), form, path)


def parse(text: bytes, file: object) -> dict[str, Any]:
    """The object that strict JSON describes. Raises EntraxError naming `file` for anything else."""
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite)
        if text.count(b"[") + text.count(b"{") > DEEPEST and _is_deep(value, DEEPEST):
            raise ValueError(f"nested deeper than {DEEPEST} levels")
    except RecursionError as error:
        raise EntraxError(f"{file} is damaged: it is not valid JSON (nested too deep).") from error
    except ValueError as error:  # also a broken encoding and an endless integer
        raise EntraxError(f"{file} is damaged: it is not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise EntraxError(f"{file} is damaged: it should hold a JSON object, not a {type(value).__name__}.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name is there twice in one object")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


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
    """Add `row` as one line. A last line that a crash cut short is dropped first, so that the log stays readable."""
    line = (dumps(row) + "\n").encode()
    with write_faults(path, len(line)), open(path, "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        if end > 0:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                _drop_torn_line(file, end)
        file.write(line)


def _drop_torn_line(file: Any, end: int) -> None:
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
    """Flush a log to the disk; its length and SHA-256, by which `cut_log` comes back to it."""
    if not path.exists():
        return {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
    with write_faults(path), open(path, "r+b") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256")
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}


def log_is_whole(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether the log still begins as it did when `log_record` gave `record`."""
    if record["bytes"] == 0:
        return True
    digest, left = hashlib.sha256(), record["bytes"]
    with open_plain(path) as file:
        while left and (block := file.read(min(left, BLOCK))):
            digest.update(block)
            left -= len(block)
    return left == 0 and digest.hexdigest() == record["sha256"]


def salvage_log(path: Path, form: Form, keep: Callable[[Mapping[str, Any]], bool]) -> int:
    """Replace a damaged log by those of its rows that can be read and that `keep` takes; how many there are.

    The damaged file stays beside it as `<name>.damaged`.
    """
    try:
        with open_plain(path) as file:
            rows = [row for row in _whole_rows(file, path, form) if keep(row)]
    except EntraxError:
        rows = []
    with write_faults(path):
        if path.exists():
            os.replace(path, path.with_name(f"{path.name}.damaged"))
    publish_bytes(path, "".join(dumps(row) + "\n" for row in rows).encode())
    return len(rows)


def _whole_rows(file: BufferedReader, path: Path, form: Form) -> Iterator[Any]:
    for line in _lines(file):
        with suppress(EntraxError):
            yield _row(line, form, path)


def cut_log(path: Path, record: Mapping[str, Any]) -> None:
    """Drop what was appended after `record`."""
    with write_faults(path):
        if path.exists() and path.stat().st_size > record["bytes"]:
            with open(path, "r+b") as file:
                file.truncate(record["bytes"])
                os.fsync(file.fileno())


def read_lines(path: Path, form: Form = OBJECT) -> list[Any]:
    """The rows of a log, oldest first; none when there is no file. A line still being written is left out.

    Raises EntraxError naming the line that is damaged.
    """
    if not path.exists():
        return []
    with open_plain(path) as file:
        return [_row(line, form, f"Line {number} of {path}") for number, line in enumerate(_lines(file), start=1)]


def _row(line: bytes, form: Form, file: object) -> Any:
    if len(line) > LARGEST_JSON:
        raise EntraxError(f"{file} is damaged: it is longer than any line of its kind.")
    return checked(parse(line, file), form, file)


def _lines(file: BufferedReader) -> Iterator[bytes]:
    """The lines that have an end; of one that is too long no more than it takes to see that."""
    while line := file.readline(LARGEST_JSON + 1):
        whole, rest = line.endswith(b"\n"), line
        while not whole and (rest := file.readline(BLOCK)):
            whole = rest.endswith(b"\n")
        if whole:
            yield line
