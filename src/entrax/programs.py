"""JAX's compiled programs: kept on disk, and released in long-lived processes.

XLA maps every compiled program into memory, several hundred maps for one agent's update, and JAX keeps all programs.
Linux allows a process about 65,000 maps; beyond that, XLA's compiler crashes.
"""

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_LIMIT = Path("/proc/sys/vm/max_map_count")
_USUAL_LIMIT = 65_530
SHARE = 1 / 16
"""Programs are released when they use more than this share of the allowed maps."""

_others = 0
"""The maps that remained after the last release, which belong to other things than programs."""


def keep_programs() -> None:
    """Keep compiled programs on disk, in the user's cache directory, for later processes."""
    import jax

    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "entrax" / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)  # to write smaller ones takes as long


def memory_maps() -> int:
    """Return the number of memory maps of this process.

    Returns 0 where the system does not list them.
    """
    try:
        return _MAPS.read_bytes().count(b"\n")
    except OSError:
        return 0


def memory_map_limit() -> int:
    """Return the number of memory maps that the system allows a process."""
    try:
        return int(_LIMIT.read_text())
    except (OSError, ValueError):
        return _USUAL_LIMIT


def release_programs(*, always: bool = False) -> None:
    """Release JAX's compiled programs if they use many memory maps, or `always`.

    Functions stay usable: a later call compiles again, or reads from the compilation cache. Call this between pieces of
    work.
    """
    global _others
    if always or memory_maps() - _others > SHARE * memory_map_limit():
        import jax

        jax.clear_caches()
        gc.collect()  # a program is kept by its function, which may be part of a cycle
        _return_freed_memory()
        _others = memory_maps()


def _return_freed_memory() -> None:
    """Return freed memory to the system: after many compilations glibc keeps hundreds of megabytes."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
