"""The choice between environments in this process and in workers."""

import os

from entrax.environments.pool import LocalPool, Pool
from entrax.environments.source import EnvSource
from entrax.environments.workers import WorkerPool
from entrax.errors import EntraxError, require_posix


def make_pool(source: EnvSource, count: int, workers: int | None = None, step_timeout: float | None = None) -> Pool:
    """`count` environments in `workers` processes; 0 is this process, None as many as help.

    One environment, or one core, means this process unless a `step_timeout` (seconds) asks for environments that can
    be killed. A source that cannot travel stays in this process whatever `workers` says. Raises EntraxError when it
    has a `step_timeout`, which only another process can obey.
    """
    if workers is None:
        useful = min(count, usable_cores())
        workers = 0 if useful == 1 and step_timeout is None else useful
    if step_timeout is not None and not source.travels:
        raise EntraxError(
            f"`step_timeout` needs a worker process, which cannot import {source.id} or one of its arguments: move it "
            "into a module, or use no `step_timeout`."
        )
    if step_timeout is not None and workers == 0:
        raise EntraxError("`step_timeout` needs `workers` of at least 1: only another process can be stopped.")
    if workers == 0 or not source.travels:
        return LocalPool(source, count)
    require_posix("An environment in a worker process")
    return WorkerPool(source, count, min(workers, count), step_timeout)


def usable_cores() -> int:
    """The cores that this process may use, which can be fewer than there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
