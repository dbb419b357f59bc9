"""The lock of a run, by which one process writes to it. The operating system releases it when the process ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entrax.errors import POSIX, EntraxError, FileFault, require_posix, write_faults

_descriptors: set[int] = set()
"""The descriptors of the locks that this process holds."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the lock of the run in directory `path`.

    Readers need no lock, since files are published atomically.

    Raises:
        EntraxError: if a process holds the lock.
        FileFault: if the lock file cannot be opened.
    """
    require_posix("Training a run")
    try:
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise FileFault(f"The run {path} cannot be locked ({error.strerror}).") from error
    _descriptors.add(descriptor)
    try:
        with write_faults(path / "lock"):
            _acquire(descriptor, path)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        if descriptor in _descriptors:  # not in a forked child
            _descriptors.remove(descriptor)
            os.close(descriptor)  # releases the lock


def _leave_to_parent() -> None:
    """Close the locks in a forked child, so that they end with the parent."""
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


if POSIX:
    os.register_at_fork(after_in_child=_leave_to_parent)


def _acquire(descriptor: int, path: Path) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        raise EntraxError(f"Another process (number {holder}) is training the run {path}.") from error
