"""The choice between environments in this process and in workers."""

import os

from entrax.environments.pool import LocalPool, Pool
from entrax.environments.source import EnvSource
from entrax.environments.workers import WorkerPool
from entrax.errors import EntraxError, require_posix


def make_pool(source: EnvSource, count: int, workers: int | None = None, step_timeout: float | None = None) -> Pool:
    """`count` environments in `workers` processes; 0 is this process, None as many as help.

    One environment, or one core, means this process unless a `step_timeout` (seconds) asks for environments that can
    be killed. Raises EntraxError when a source that cannot travel is to go to a worker.
    """
    if workers is None:
        useful = min(count, usable_cores())
        alone = not source.travels or (useful == 1 and step_timeout is None)
        workers = 0 if alone else useful
    if workers == 0 and step_timeout is not None and source.travels:
        raise EntraxError("`step_timeout` needs `workers` of at least 1: only another process can be stopped.")
    if workers == 0 and step_timeout is None:
        return LocalPool(source, count)
    if not source.travels:
        raise EntraxError(
            f"The function {source.id} cannot be imported by a worker: move it into a module, or use `workers=0` "
            "without `step_timeout`."
        )
    require_posix("An environment in a worker process")
    return WorkerPool(source, count, min(workers, count), step_timeout)


def usable_cores() -> int:
    """The cores that this process may use, which can be fewer than there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
