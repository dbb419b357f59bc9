"""Keep everything but one JSON object off standard output."""

import atexit
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

from entrax.errors import show
from entrax.runs.records import to_json

_answers: list[str] | None = None


@contextmanager
def json_alone() -> Iterator[None]:
    """Redirect standard output to standard error, except for `print_json`.

    The output of C code and worker processes is redirected too.
    """
    global _answers
    _answers, stdout, descriptor = [], sys.stdout, os.dup(1)
    stdout.flush()
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        stdout.flush()
        _flush_c()
        os.dup2(descriptor, 1)
        os.close(descriptor)
        answers, _answers = _answers, None
        for text in answers:
            print(text, file=stdout, flush=True)
        atexit.register(os.dup2, 2, 1)  # an environment may print when the process ends


def print_json(answer: Any) -> None:
    """Print the result of a verb as ASCII JSON, with null for non-finite numbers."""
    text = json.dumps(to_json(answer), allow_nan=False)
    if _answers is None:
        show(text)
    else:
        _answers.append(text)


def _flush_c() -> None:
    """Flush the buffers of C code."""
    import ctypes

    with suppress(OSError, TypeError, AttributeError):  # not every system gives access to its C library
        ctypes.CDLL(None).fflush(None)
