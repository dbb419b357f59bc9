"""Faults of environments, and protection of the process from them."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from entrax.errors import EntraxError

STOPPING = (signal.SIGINT, signal.SIGTERM)


class EnvironmentFault(EntraxError):
    """Environment `index` misbehaved at `step` of the episode with `seed`.

    `cause` is a clause. `step` is 0 for a fault in the reset, and `seed` is None for a fault before the first reset.
    """

    exit_code = 3

    def __init__(self, index: int, seed: int | None, step: int, cause: str):
        where = f"at step {step} of the episode with seed {seed}" if step else f"when reset with seed {seed}"
        where = "while it was made" if seed is None else where
        super().__init__(f"Environment {index} {cause} {where}.")
        self.index, self.seed, self.step, self.cause = index, seed, step, cause


_LEAVE = os._exit
_protected: list[tuple[int, threading.Thread]] = []
"""Process and thread inside each open `exits_caught`. Threads are kept as objects, since their numbers are reused."""
_lock = threading.Lock()


@contextmanager
def exits_caught() -> Iterator[None]:
    """Make `os._exit` raise SystemExit, so that an environment cannot end the process.

    The handlers of SIGINT and SIGTERM are protected, too. A process forked inside can still end itself, and so can
    another thread, but not with status 0.
    """
    entry = os.getpid(), threading.current_thread()
    with _lock:
        _protected.append(entry)
        os._exit = _refuse  # type: ignore[assignment]
    try:
        with _signals_kept():
            yield
    finally:
        with _lock:
            _protected.remove(entry)
            if not _protected:
                os._exit = _LEAVE


def _refuse(status: int) -> None:
    process, thread = os.getpid(), threading.current_thread()
    if (process, thread) in _protected:
        raise SystemExit(status)
    _LEAVE(status or any(process == other for other, _ in _protected))


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Make `signal.signal` ignore SIGINT and SIGTERM inside, and undo other changes of their handlers afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    change, before = signal.signal, {number: signal.getsignal(number) for number in STOPPING}
    signal.signal = partial(_keep_stopping, change)
    try:
        yield
    finally:
        signal.signal = change
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                change(number, handler)


def _keep_stopping(change: Callable[[int, Any], Any], number: int, handler: Any) -> Any:
    return signal.getsignal(number) if number in STOPPING else change(number, handler)


def exit_cause(error: SystemExit) -> str:
    """Return the clause about an environment that called `sys.exit` or `os._exit`."""
    return f"tried to end the process (exit status {error.code or 0})"
