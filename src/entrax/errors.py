"""Errors a user can act on. The command line prints them as one sentence, without a traceback."""

import difflib
import errno
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

POSIX = os.name == "posix"

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
"""Commands to a terminal: ESC [ … for colours and the cursor, ESC ] … for titles and links."""
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Characters that change how others are displayed, except tabs and line ends."""
_BREAK = re.compile(r"\s*[\n\t]\s*")
_SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_MESSAGE = 4000

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def plain(text: str) -> str:
    """Return the text without terminal commands and control characters."""
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", _SEQUENCE.sub("", text)))


class EntraxError(Exception):
    """Base of all errors that a user can act on.

    These are wrong arguments, and faults of files, environments and training. The message is one line of plain text,
    also where it quotes a file or an environment. `exit_code` is the exit status of the command line.
    """

    exit_code = 2

    def __init__(self, message: str):
        message = _BREAK.sub(" ", plain(message))
        super().__init__(message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}…")


class UsageError(EntraxError, ValueError):
    """An argument, setting or name is wrong: the caller can mend it.

    It is also a ValueError, as in other libraries.
    """


class FileFault(EntraxError):
    """A file could not be read or written, as on a full or broken disk."""

    exit_code = 5


class CannotWrite(FileFault):
    """A file could not be written. Files published before are unchanged."""

    def __init__(self, path: Path, error: OSError, size: int = 0):
        needed = f": it needs {size:,} bytes" if size and error.errno in NO_SPACE else ""
        remedy = " Free some space; `entrax resume` continues a run." if error.errno in NO_SPACE else ""
        super().__init__(f"{path} cannot be written ({error.strerror or error}){needed}.{remedy}")


@contextmanager
def damage_of(what: object) -> Iterator[None]:
    """Re-raise errors as an EntraxError that `what` is damaged.

    These are EntraxErrors and the errors of missing or misshapen arrays.
    """
    try:
        yield
    except (EntraxError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        clause = str(error) if isinstance(error, EntraxError) else f"{error!r}."
        raise EntraxError(f"{what} is damaged: {clause}") from error


@contextmanager
def write_faults(path: Path, size: int = 0) -> Iterator[None]:
    """Re-raise an OSError as CannotWrite.

    `size` is the number of bytes that the file needs.
    """
    try:
        yield
    except OSError as error:
        raise CannotWrite(path, error, size) from error


def closest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name.

    It is ", did you mean …?" with the known name closest to `name`, or "." if none is close.
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else "."


wording: ContextVar[Callable[[str], str]] = ContextVar("wording", default=str)
"""Rewrites messages for the user; the command line turns `parameters` into flags."""


def say(message: str) -> None:
    """Print a message that is no error to standard error."""
    show(f"entrax: {wording.get()(message)}", err=True)


def show(text: str, *, err: bool = False) -> None:
    """Print text without control characters: it may quote a file or an environment.

    All printing goes through here.
    """
    print(plain(text), file=sys.stderr if err else sys.stdout, flush=True)


def require_posix(what: str) -> None:
    """Raise EntraxError unless the system is POSIX.

    `what`, the subject of the message, requires it.
    """
    if not POSIX:
        raise EntraxError(f"{what} needs Linux or macOS, not {sys.platform}. On Windows, use entrax inside WSL.")


def require(condition: bool, name: str, meaning: str, value: object) -> None:
    """Raise UsageError "`name` must be `meaning`, got `value`." unless `condition`.

    For limits that depend on the environment or on other settings; a field's own range is part of its definition.
    """
    if not condition:
        raise UsageError(f"`{name}` must be {meaning}, got {value}.")


def require_one_of(name: str, value: object, known: Iterable[str]) -> None:
    """Raise UsageError "`name` must be a, b or c, got `value`." unless `value` is among the `known` names."""
    known = list(known)
    if value not in known:
        raise UsageError(f"`{name}` must be {alternatives(known)}, got {value!r}{closest(str(value), known)}")


def alternatives(names: Iterable[str]) -> str:
    """Return "a, b or c"."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
