"""Helpers of the benchmarks: run scripts, summarise ratios, save results."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import machine

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
RIVALS = ROOT / ".bench-venv"
MINE = Path(sys.executable)
THEIRS = RIVALS / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def measure(python: Path, script: str, *arguments: Any, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a script and return the JSON object of its last line.

    The load of the machine is added. `load_average_before` is the system's average over the minute before, `other_load`
    the number of cores used by other processes meanwhile, and `stolen` the number of cores that the machine's host
    withheld.

    Raises:
        SystemExit: if the script fails, with the end of its error output.
    """
    command = [str(python), str(HERE / script), *map(str, arguments)]
    variables = os.environ | {"PYTHONPATH": str(ROOT / "src")} | (environment or {})
    load, wall = os.getloadavg()[0], time.perf_counter()
    (busy, stolen), own = machine.core_seconds(), machine.child_seconds()
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[1:])} failed:\n{done.stderr[-3000:]}")
    wall, (busy_now, stolen_now) = time.perf_counter() - wall, machine.core_seconds()
    other = max(0.0, busy_now - busy - (machine.child_seconds() - own))
    conditions = {"other_load": other / wall, "stolen": (stolen_now - stolen) / wall, "load_average_before": load}
    record: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return record | {name: round(value, 2) for name, value in conditions.items()}


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Return median, minimum and maximum of `values`, and the values."""
    numbers = [float(value) for value in values]
    return {"median": median(numbers), "min": min(numbers), "max": max(numbers), "values": numbers}


def show(name: str, of: dict[str, Any], unit: str = "") -> str:
    """Return a line with the median and the spread."""
    return f"{name:50} {of['median']:8.2f}{unit}   ({of['min']:.2f} to {of['max']:.2f}, {len(of['values'])} runs)"


def save(name: str, record: dict[str, Any]) -> Path:
    """Write results/NAME.json atomically, with the machine and the date."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    stamped = {"date": time.strftime("%Y-%m-%d"), "machine": machine.describe()} | record
    unfinished = path.with_suffix(".json.new")
    unfinished.write_text(json.dumps(stamped, indent=1) + "\n")
    unfinished.replace(path)
    return path


def say(*words: object) -> None:
    """Print without buffering."""
    print(*words, flush=True)
