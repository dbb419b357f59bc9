"""Compiled programs: when to release those that a long-lived process has gathered.

XLA maps every compiled program into memory piece by piece, several hundred maps for one agent's update, and JAX keeps
all of them. Linux allows a process some 65,000 maps; beyond that, XLA's compiler crashes.
"""

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_LIMIT = Path("/proc/sys/vm/max_map_count")
_USUAL_LIMIT = 65_530
SHARE = 1 / 16
"""Programs are released when they hold more than this share of the maps that the system allows."""

_others = 0
"""The maps that were left when programs were last released: they belong to something else."""


def memory_maps() -> int:
    """The memory maps of this process; 0 where the system does not list them."""
    try:
        return _MAPS.read_bytes().count(b"\n")
    except OSError:
        return 0


def memory_map_limit() -> int:
    """The memory maps that the system allows a process."""
    try:
        return int(_LIMIT.read_text())
    except (OSError, ValueError):
        return _USUAL_LIMIT


def release_programs(*, always: bool = False) -> None:
    """Release JAX's compiled programs if they are many, or `always`.

    Functions stay usable: what is called again is compiled again, or read from the compilation cache. Call this between
    pieces of work.
    """
    global _others
    if always or memory_maps() - _others > SHARE * memory_map_limit():
        import jax

        jax.clear_caches()
        gc.collect()  # a program also dies with the function it was compiled for, which may lie in a cycle
        _return_freed_memory()
        _others = memory_maps()


def _return_freed_memory() -> None:
    """Hand freed memory back to the system: after many compilations glibc keeps hundreds of megabytes of it."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
