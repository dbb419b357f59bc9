"""The choice between environments in this process and in workers."""

import functools
import os
from dataclasses import replace

from entrax.environments.faults import EnvironmentFault
from entrax.environments.pool import LocalPool, Pool
from entrax.environments.source import EnvSource
from entrax.environments.workers import WorkerPool
from entrax.errors import EntraxError, UsageError, require_posix, say


def make_pool(source: EnvSource, count: int, workers: int | None = None, step_timeout: float | None = None) -> Pool:
    """`count` environments in `workers` processes; 0 is this process, None as many as help.

    One environment, or one core, means this process unless a `step_timeout` (seconds) asks for environments that can
    be killed. What a worker process cannot make stays in this process whatever `workers` says, and the user is told.
    Raises EntraxError when it has a `step_timeout`, which only another process can obey.
    """
    if workers is None:
        useful = min(count, usable_cores())
        workers = 0 if useful == 1 and step_timeout is None else useful
    if step_timeout is not None and workers == 0:
        raise UsageError("`step_timeout` needs `workers` of at least 1: only another process can be stopped.")
    if workers == 0:
        return LocalPool(source, count)
    require_posix("An environment in a worker process")
    reason = source.confined
    if reason is None:
        try:
            return WorkerPool(source, count, min(workers, count), step_timeout)
        except EnvironmentFault:
            raise
        except EntraxError as error:
            if step_timeout is not None:
                raise
            reason = f"a worker process cannot make it ({str(error).rstrip('.')})"
    if step_timeout is not None:
        raise UsageError(f"`step_timeout` needs a worker process, but {reason}: remove it, or use a module's function.")
    pool = LocalPool(replace(source, only_here=reason), count)  # says what is wrong if nobody can make it
    _say_once(f"The environment stays in this process: {reason}.")
    return pool


@functools.cache
def _say_once(message: str) -> None:
    say(message)


def usable_cores() -> int:
    """The cores that this process may use, which can be fewer than there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
