"""Whether a replay and the networks fit into memory, asked before a run begins: pages are used only as they fill."""

import math
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.random as jr

from entrax import xla as xla
from entrax.errors import UsageError, require_posix
from entrax.replay import Data
from entrax.replay.uniform import UniformReplay
from entrax.spec import Spec
from entrax.training.options import TrainingOptions

CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux states how much memory a container may use: a number of bytes, or "max"."""


def check_memory(data: Data, spec: Spec, options: TrainingOptions, stored: int = 0) -> None:
    """Raise EntraxError if the transitions that a run keeps don't fit into the memory that this process may use.

    `stored` transitions are in the initial state.
    """
    one = UniformReplay(spec, options.envs, options.envs, data.carry).packed_bytes // options.envs
    count, most = min(data.capacity, options.steps + options.envs + stored), memory_limit()
    if count * one > most:
        size = "rollout_steps" if data.on_policy else "replay_size"
        raise UsageError(
            f"A replay of {count:,} transitions of {one:,} bytes takes {count * one / 1e9:,.1f} GB, and this process "
            f"may use {most / 1e9:,.1f} GB of memory. Set `{size}` to at most {most // one * 3 // 4:,}."
        )


def check_networks(agent: Any, config: Any, spec: Spec) -> None:
    """Raise EntraxError if the agent's state does not fit into the memory that this process may use; nothing is made.

    XLA ends the process where it cannot have what it needs.
    """
    try:
        state = eqx.filter_eval_shape(lambda: agent.init(config, spec, jr.key(0)))
    except OverflowError as error:
        raise UsageError(f"The agent's networks are too large: {error}.") from error
    arrays = [leaf for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.ShapeDtypeStruct)]
    needed, most = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in arrays), memory_limit()
    if needed > most:
        raise UsageError(
            f"The agent's networks and their optimisers take {needed / 1e9:,.1f} GB, and this process may use "
            f"{most / 1e9:,.1f} GB of memory. Set smaller ones, as by `hidden`."
        )


def memory_limit() -> int:
    """Return the bytes that this process may use: the machine's, or the limit of a container or `ulimit -v`."""
    require_posix("Training a run")
    import resource

    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    limits = [path.read_text().strip() for path in map(Path, CONTROL_GROUPS) if path.exists()]
    found += [int(text) for text in limits if text.isdigit()]
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min(found if soft == resource.RLIM_INFINITY else [*found, soft])
