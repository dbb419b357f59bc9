"""Measuring what saving costs a run."""

import time
from types import TracebackType


class Stopwatch:
    """Adds up the time spent in `with` blocks: seconds on the clock, and seconds of this thread's CPU time."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.thread_time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall += time.perf_counter() - self._began[0]
        self.cpu += time.thread_time() - self._began[1]
