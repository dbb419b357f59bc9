"""What a process can say of itself and of the machine. Standard library only: it runs in either environment."""

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
    """Seconds since this process was started; where there is no /proc, since this module was imported."""
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return time.perf_counter() - _IMPORTED
    ticks = int(stat.read_text().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak_memory() -> int:
    """Bytes: the most that this process ever held resident, plus the same of each process it runs now.

    Read from /proc, because `ru_maxrss` also counts what a process's parent held at the moment of the fork. Pages that
    two processes share count twice, which is unkind to whoever uses worker processes.
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
    """Core seconds since boot: worked by this machine, and withheld by its host; 0 where there is no /proc."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0, 0.0
    user, nice, system, _idle, _wait, irq, softirq, stolen, *_ = map(
        int, stat.read_text().split("\n", 1)[0].split()[1:]
    )
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, stolen / tick


def child_seconds() -> float:
    """Core seconds that the ended child processes of this one spent working."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def describe() -> dict[str, Any]:
    """The machine: processor, cores this process may use, memory in bytes, system and Python."""
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
    """The installed versions of `packages`, those that are there."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
