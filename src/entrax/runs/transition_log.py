"""An append-only log of binary rows of fixed size, in segments that are hashed once.

    replay/segment-000000    the first `segment_rows` rows; sealed, never changed again
    replay/segment-000001    the rows since then, still growing

A checkpoint holds a *record* of the log: the number of rows, the SHA-256 of every sealed segment and of the written
part of the open one. `TransitionLog.resume` returns to a record: it checks the hashes and removes all later rows. Rows
are hashed as they are written, so that the cost of a record does not grow with the log.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from entrax.errors import EntraxError, write_faults
from entrax.runs.records import open_plain, sync_directory

SEGMENT_BYTES = 8 * 2**20


class TransitionLog:
    """A log that is being written.

    `rows` counts all rows ever appended, including those of removed segments.
    """

    def __init__(self, folder: Path, row_bytes: int):
        """Start an empty log in `folder` and remove the segments of an earlier one."""
        self.folder, self.row_bytes = folder, row_bytes
        self.segment_rows = max(1, SEGMENT_BYTES // row_bytes)
        self.rows = self.first = 0
        """`first` is the number of the oldest remaining segment."""
        self._sealed: list[str] = []
        with write_faults(folder):
            folder.mkdir(exist_ok=True)
            self._remove_from(0)
            self._open_segment()

    @classmethod
    def resume(cls, folder: Path, record: Mapping[str, Any]) -> "TransitionLog":
        """Continue from `record` and remove later rows.

        Raises EntraxError first if a segment is damaged.
        """
        check(folder, record)
        log = cls.__new__(cls)
        log.folder, log.row_bytes, log.segment_rows = folder, record["row_bytes"], record["segment_rows"]
        log.rows, log._sealed = record["rows"], list(record["sealed"])
        path = folder / segment_name(log._open_number)
        with write_faults(path):
            path.touch()
            log._remove_from(log._open_number + 1)
            log.first = min(int(segment.name.removeprefix("segment-")) for segment in folder.glob("segment-*"))
            log._file = open(path, "r+b", buffering=0)  # noqa: SIM115
            log._file.truncate(record["rows"] % record["segment_rows"] * record["row_bytes"])
            log._hash = hashlib.sha256(log._file.read())
        return log

    @classmethod
    def after(cls, folder: Path, record: Mapping[str, Any]) -> "TransitionLog":
        """Start a new segment after those of `record`, for salvaged rows.

        The segments of `record` stay until `drop_before`.
        """
        _check_record(folder, record)
        log = cls.__new__(cls)
        log.folder, log.row_bytes, log.segment_rows = folder, record["row_bytes"], record["segment_rows"]
        log._sealed = [*record["sealed"], record["open"]]
        log.rows = len(log._sealed) * log.segment_rows
        log.first = record["window"] // log.segment_rows
        with write_faults(folder):
            folder.mkdir(exist_ok=True)
            log._remove_from(log._open_number)
            log._open_segment()
        return log

    def append(self, rows: bytes) -> None:
        """Append whole rows."""
        while rows:
            room = (self.segment_rows - self.rows % self.segment_rows) * self.row_bytes
            part, rows = rows[:room], rows[room:]
            self._write(part)
            self._hash.update(part)
            self.rows += len(part) // self.row_bytes
            if self.rows % self.segment_rows == 0:
                self._seal()

    def record(self, window: int = 0) -> dict[str, Any]:
        """Flush the rows to the disk and return the record for a checkpoint.

        The checkpoint needs the rows from `window` on.
        """
        with write_faults(self.folder):
            os.fsync(self._file.fileno())
            sync_directory(self.folder)
        return {
            "row_bytes": self.row_bytes,
            "segment_rows": self.segment_rows,
            "rows": self.rows,
            "window": window,
            "sealed": list(self._sealed),
            "open": self._hash.hexdigest(),
        }

    def drop_before(self, row: int) -> None:
        """Remove the segments whose rows all come before `row`, which no checkpoint needs."""
        while self.first < min(row // self.segment_rows, self._open_number):
            path = self.folder / segment_name(self.first)
            with write_faults(path):
                path.unlink(missing_ok=True)
            self.first += 1

    def close(self) -> None:
        """Close the open segment."""
        self._file.close()

    @property
    def _open_number(self) -> int:
        return self.rows // self.segment_rows

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        with write_faults(self.folder / segment_name(self._open_number), len(data)):
            while view:
                view = view[self._file.write(view) :]

    def _open_segment(self) -> None:
        self._file = open(self.folder / segment_name(self._open_number), "wb", buffering=0)  # noqa: SIM115
        self._hash = hashlib.sha256()

    def _seal(self) -> None:
        with write_faults(self.folder / segment_name(self._open_number)):
            os.fsync(self._file.fileno())
            self._file.close()
            self._sealed.append(self._hash.hexdigest())
            self._open_segment()

    def _remove_from(self, number: int) -> None:
        for path in self.folder.glob("segment-*"):
            if path.name >= segment_name(number):
                path.unlink()


def segment_name(number: int) -> str:
    """Return the file name of a segment."""
    return f"segment-{number:06d}"


def check(folder: Path, record: Mapping[str, Any]) -> None:
    """Raise EntraxError for the first segment of `record` that is damaged."""
    _check_record(folder, record)
    for number, rows, expected in _segments(record):
        _check_segment(folder / segment_name(number), rows * record["row_bytes"], expected)


def damage(folder: Path, record: Mapping[str, Any]) -> str | None:
    """Return the message of `check`, or None if all segments of `record` are intact."""
    try:
        check(folder, record)
    except EntraxError as error:
        return str(error)
    return None


def whole_spans(folder: Path, record: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Yield the rows [start, stop) of each intact segment in the window of `record`."""
    for number, rows, expected in _segments(record):
        start = number * record["segment_rows"]
        try:
            _check_segment(folder / segment_name(number), rows * record["row_bytes"], expected)
        except EntraxError:
            continue
        yield max(start, record["window"]), start + rows


def _segments(record: Mapping[str, Any]) -> Iterator[tuple[int, int, str]]:
    """Yield number, rows and SHA-256 of the segments with rows, from the window on."""
    per_segment, digests = record["segment_rows"], [*record["sealed"], record["open"]]
    for number in range(record["window"] // per_segment, len(digests)):
        rows = per_segment if number < len(record["sealed"]) else record["rows"] % per_segment
        if rows:
            yield number, rows, digests[number]


def _check_segment(path: Path, size: int, expected: str) -> None:
    digest = hashlib.sha256()
    for block in _blocks(path, 0, size):
        digest.update(block)
    if digest.hexdigest() != expected:
        raise EntraxError(f"{path} is damaged: its SHA-256 differs from the recorded one.")


def _check_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Raise EntraxError if the numbers of a record, which is not trusted, are impossible."""
    names = ("row_bytes", "segment_rows", "rows", "window")
    numbers = [record.get(name) for name in names]
    whole = all(isinstance(number, int) and 0 <= number < 2**62 for number in numbers)
    if not whole or not record["row_bytes"] or not record["segment_rows"] or not isinstance(record.get("sealed"), list):
        raise EntraxError(f"{folder} is damaged: {names} are recorded as {numbers}.")
    if len(record["sealed"]) != record["rows"] // record["segment_rows"] or record["window"] > record["rows"]:
        raise EntraxError(
            f"{folder} is damaged: {len(record['sealed'])} segments are recorded for {record['rows']} rows."
        )
    if folder.is_symlink():
        raise EntraxError(f"{folder} is a link. A run's files must be in its own directory.")


def read_rows(folder: Path, record: Mapping[str, Any], start: int, stop: int) -> Iterator[bytes]:
    """Yield the rows [start, stop) in blocks of whole rows, at most one segment each."""
    size, per_segment = record["row_bytes"], record["segment_rows"]
    while start < stop:
        number, offset = divmod(start, per_segment)
        rows = min(stop - start, per_segment - offset)
        blocks = _blocks(folder / segment_name(number), offset * size, rows * size)
        yield b"".join(blocks)
        start += rows


def _blocks(path: Path, offset: int, count: int) -> Iterator[bytes]:
    with open_plain(path) as file:
        file.seek(offset)
        while count > 0:
            block = file.read(min(count, 2**20))
            if not block:
                raise EntraxError(f"{path} is damaged: it is {count} bytes shorter than recorded.")
            count -= len(block)
            yield block
