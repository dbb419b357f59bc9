"""Read facts about this process and the machine.

Standard library only: it runs in either environment.
"""

import os
import platform
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

_IMPORTED = time.perf_counter()


def process_seconds() -> float:
    """Return the seconds since this process started.

    Without /proc, since this module was imported.
    """
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return time.perf_counter() - _IMPORTED
    ticks = int(stat.read_text().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak_memory() -> int:
    """Return the peak resident bytes of this process and its child processes.

    They are read from /proc, because `ru_maxrss` also counts the parent's memory at the fork. Shared pages count twice,
    to the disadvantage of libraries with worker processes.
    """
    if not Path("/proc/self/status").exists():
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    children = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    return sum(_high_water_mark(pid) for pid in ["self", *children])


def _high_water_mark(pid: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:  # it has just ended
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def core_seconds() -> tuple[float, float]:
    """Return core seconds since boot: used here, and withheld by the host.

    Both are 0 without /proc.
    """
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0, 0.0
    user, nice, system, _idle, _wait, irq, softirq, stolen, *_ = map(
        int, stat.read_text().split("\n", 1)[0].split()[1:]
    )
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, stolen / tick


def child_seconds() -> float:
    """Return the core seconds of the ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def describe() -> dict[str, Any]:
    """Describe the machine: processor, cores, memory, system and Python.

    Cores are those available to this process; memory is in bytes.
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory": memory,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of those `packages` that are installed."""
    installed = {}
    for package in packages:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed
