"""Errors a user can act on. The command line prints them as one sentence, without a traceback."""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

POSIX = os.name == "posix"

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class EntraxError(Exception):
    """A mistake in what was asked for, or a fault of the environment; the message says what to do.

    `exit_code` is the command line's exit status.
    """

    exit_code = 2


class FileFault(EntraxError):
    """A file could not be read or written, as on a full or broken disk."""

    exit_code = 5


class CannotWrite(FileFault):
    """A file could not be written; what was published before is as it was."""

    def __init__(self, path: Path, error: OSError, size: int = 0):
        needed = f": it needs {size:,} bytes" if size and error.errno in NO_SPACE else ""
        remedy = " Free some space; `entrax resume` continues a run." if error.errno in NO_SPACE else ""
        super().__init__(f"{path} cannot be written ({error.strerror or error}){needed}.{remedy}")


@contextmanager
def write_faults(path: Path, size: int = 0) -> Iterator[None]:
    """Raise an OSError from inside as CannotWrite; `size` is how many bytes the file needs."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(path, error, size) from error


def closest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence: ", did you mean …?" with the known name nearest to `name`, or "." when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else "."


wording: ContextVar[Callable[[str], str]] = ContextVar("wording", default=str)
"""How messages are worded for the user; the command line turns `parameters` into flags."""


def say(message: str) -> None:
    """Tell the user something on standard error that is no reason to stop."""
    print(f"entrax: {wording.get()(message)}", file=sys.stderr)


def require_posix(what: str) -> None:
    """Raise EntraxError on a system that is not POSIX, for `what` needs one: the subject of the sentence."""
    if not POSIX:
        raise EntraxError(f"{what} needs Linux or macOS, not {sys.platform}. On Windows, use entrax inside WSL.")
