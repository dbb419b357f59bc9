"""The choice between environments in this process and in worker processes."""

import os
from collections.abc import Callable
from dataclasses import replace

from entrax.environments.faults import EnvironmentFault
from entrax.environments.pool import LocalPool, Pool
from entrax.environments.source import EnvSource
from entrax.environments.workers import WorkerPool
from entrax.errors import EntraxError, UsageError, require_posix, say


def make_pool(
    source: EnvSource,
    count: int,
    workers: int | None = None,
    step_timeout: float | None = None,
    *,
    render_mode: str | None = None,
    warn: Callable[[str], None] = say,
) -> Pool:
    """Make a pool of environments, in worker processes or in this one.

    Args:
        source: the environment.
        count: the number of environments.
        workers: the number of worker processes; 0 for this process. By default as many as there are cores, and this
            process for a single environment without a `step_timeout`.
        step_timeout: seconds that a reset or a step may take.
        render_mode: how `Pool.render` draws.
        warn: called with a sentence if a worker process cannot make the environment, which then stays in this process,
            whatever `workers` says. Not called where `source` records that already (`local_only`).

    Raises:
        UsageError: if `step_timeout` is given and the environment cannot be in a worker process.
        EntraxError: if the environment cannot be made.
    """
    if workers is None:
        useful = min(count, usable_cores())
        workers = 0 if useful == 1 and step_timeout is None else useful
    if step_timeout is not None and workers == 0:
        raise UsageError("`step_timeout` requires `workers` of at least 1: only another process can be stopped.")
    if workers == 0:
        return LocalPool(source, count, render_mode)
    require_posix("An environment in a worker process")
    reason = source.local_reason
    if reason is None:
        try:
            return WorkerPool(source, count, min(workers, count), step_timeout, render_mode)
        except EnvironmentFault:
            raise
        except EntraxError as error:
            if step_timeout is not None:
                raise
            reason = f"a worker process cannot make it ({str(error).rstrip('.')})"
    if step_timeout is not None:
        raise UsageError(
            f"`step_timeout` requires a worker process, but {reason}. Remove it, or use a module's function."
        )
    pool = LocalPool(replace(source, local_only=reason), count, render_mode)  # raises if nobody can make it
    if source.local_only is None:
        warn(f"The environment stays in this process: {reason}.")
    return pool


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
