"""SIGINT and SIGTERM as a request to stop when it suits."""

import os
import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from entrax.environments.faults import STOPPING
from entrax.errors import POSIX

LEAVE = os._exit
"""Bound here because `os._exit` raises an exception while an environment runs."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the run, which was saved first. `exit_code` is what a shell expects of that signal."""

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + number


class Interrupts:
    """While entered, the first SIGINT or SIGTERM sets `requested`; a second one ends the process at once.

    Outside the main thread signals cannot be caught, and everything stays as it was.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in STOPPING}
        return self

    def renew(self) -> None:
        """Take the signals back from C code that handles, ignores or blocks them: SDL does, and ROS."""
        for number in self._before:
            signal.signal(number, self._note)
        if self._before and POSIX:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            LEAVE(128 + number)  # every file is published whole, so there is nothing to tidy up
        self.requested = number
        with suppress(OSError):
            os.write(2, b"\nStopping after this chunk and saving the run. Press Ctrl-C again to exit at once.\n")
