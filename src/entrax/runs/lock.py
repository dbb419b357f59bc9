"""The one process that may write to a run: a lock of the operating system, which dies with its holder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entrax.errors import POSIX, EntraxError, FileFault, require_posix, write_faults

_held: set[int] = set()
"""Descriptors of the locks that this process holds."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the lock of the run in directory `path`. Raises EntraxError if another process, or this one, holds it.

    Readers take no lock: whatever they read was published whole.
    """
    require_posix("Training a run")
    try:
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise FileFault(f"The run {path} cannot be locked ({error.strerror}).") from error
    _held.add(descriptor)
    try:
        with write_faults(path / "lock"):
            _take(descriptor, path)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        if descriptor in _held:  # not in a child that was forked inside
            _held.remove(descriptor)
            os.close(descriptor)  # and with it the lock


def _leave_to_parent() -> None:
    """Close the locks in a forked child: they stay its parent's, and go when that one ends."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if POSIX:
    os.register_at_fork(after_in_child=_leave_to_parent)


def _take(descriptor: int, path: Path) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        raise EntraxError(f"Another process (number {holder}) is training the run {path}.") from error
