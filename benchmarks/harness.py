"""What the benchmarks share: calling a measuring script in its own process, ratios with their spread, and results."""

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
    """The JSON object that `script` prints as its last line, with the load of the machine before and during it.

    `load_average_before` is the system's average over the minute before, `other_load` how many cores worked for
    something else meanwhile, and `stolen` how many the machine's host withheld. Raises SystemExit with the end of what
    the script said if it fails.
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
    """Median, smallest and largest of `values`, and the values."""
    numbers = [float(value) for value in values]
    return {"median": median(numbers), "min": min(numbers), "max": max(numbers), "values": numbers}


def show(name: str, of: dict[str, Any], unit: str = "") -> str:
    """A line for people: the median and, behind it, the spread."""
    return f"{name:50} {of['median']:8.2f}{unit}   ({of['min']:.2f} to {of['max']:.2f}, {len(of['values'])} runs)"


def save(name: str, record: dict[str, Any]) -> Path:
    """Write results/NAME.json, whole or not at all, with the machine and the date."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    stamped = {"date": time.strftime("%Y-%m-%d"), "machine": machine.describe()} | record
    unfinished = path.with_suffix(".json.new")
    unfinished.write_text(json.dumps(stamped, indent=1) + "\n")
    unfinished.replace(path)
    return path


def say(*words: object) -> None:
    """Print now, also into a pipe."""
    print(*words, flush=True)
