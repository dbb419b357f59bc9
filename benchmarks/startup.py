"""Time the start: imports, the help text, the first update.

Writes results/startup.json.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import MINE, ROOT, measure, save, say, show, spread


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    return parser.parse_args()


def seconds(*command: str) -> float:
    """Return the wall seconds of a command."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - begun


def imports(repeats: int) -> dict[str, Any]:
    """Compare the imports of entrax and of JAX with an idle interpreter, in turn.

    entrax's is `import entrax; entrax.train`.
    """
    programs = {"entrax": "import entrax; entrax.train", "jax": "import jax", "nothing": "pass"}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for repeat in range(-1, repeats):  # the first is not counted: it reads the files from disk
        for name, program in programs.items():
            taken = seconds(str(MINE), "-c", program)
            if repeat >= 0:
                times[name].append(taken)
    ratios = [ours / theirs for ours, theirs in zip(times["entrax"], times["jax"], strict=True)]
    return {"ratio": spread(ratios), "seconds": {name: spread(values) for name, values in times.items()}}


def help_text(repeats: int) -> dict[str, Any]:
    """Time `entrax --help`, by the installed command if there is one."""
    script = MINE.parent / "entrax"
    command = [str(script)] if script.exists() else [str(MINE), "-m", "entrax.cli"]
    seconds(*command, "--help")
    return {"command": Path(command[0]).name, "seconds": spread(seconds(*command, "--help") for _ in range(repeats))}


def first_update(preset: str, *arguments: Any) -> dict[str, Any]:
    """Time process start to first updates, without and with a warm cache.

    Without one, everything is compiled.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {"XDG_CACHE_HOME": cache}
        runs = [
            measure(MINE, "ours.py", "--first-update", "--preset", preset, *arguments, environment=environment)
            for _ in range(4)
        ]
    first, *later = [run["first_update_seconds"] for run in runs]
    return {"random_steps": runs[0]["learning_starts"], "first_run": first, "later_runs": spread(later)}


def main() -> None:
    """Measure all parts."""
    repeats = parse().repeats
    results = {
        "import": imports(repeats),
        "help": help_text(repeats),
        "first_update": {
            "paper, 100 random steps": first_update("paper", "--learning-starts", 100),
            "paper": first_update("paper", "--steps", 100_000),
            "fast": first_update("fast"),
        },
    }
    say(show("import entrax; entrax.train / import jax", results["import"]["ratio"], "x"))
    say(show("entrax --help", results["help"]["seconds"], " s"))
    for name, result in results["first_update"].items():
        say(f"first update, {name} ({result['random_steps']} random steps): first run {result['first_run']:.2f} s")
        say(show("  later runs", result["later_runs"], " s"))
    say(f"Written: {save('startup', results)}")


if __name__ == "__main__":
    main()
