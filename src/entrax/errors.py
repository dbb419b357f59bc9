"""Errors a user can act on. The command line prints them as one sentence, without a traceback."""

import difflib
from collections.abc import Iterable


class EntraxError(Exception):
    """A mistake in what was asked for, or a fault of the environment; the message says what to do.

    `exit_code` is the command line's exit status.
    """

    exit_code = 2


def closest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence: ", did you mean …?" with the known name nearest to `name`, or "." when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else "."
