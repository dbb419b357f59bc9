"""Run benchmarks by name.

    python benchmarks/run.py NAME [options of the benchmark]

NAME is one of speed, startup, saving, stress, discrete, tabular, soft-q, acting, policy, minutes, sample-efficiency,
deterministic, coverage, linearly-solvable, regulator, simulating or all. Without a name: speed and startup. Installs
the rivals' environment first if it is needed and missing.
"""

import argparse
import subprocess
import sys
import time

from harness import HERE, RIVALS, THEIRS, say

BENCHMARKS = {
    "speed": "speed.py",
    "startup": "startup.py",
    "saving": "saving.py",
    "stress": "stress.py",
    "discrete": "discrete.py",
    "tabular": "tabular.py",
    "soft-q": "soft_q.py",
    "acting": "acting.py",
    "policy": "policy.py",
    "minutes": "minutes.py",
    "sample-efficiency": "sample_efficiency.py",
    "deterministic": "deterministic.py",
    "coverage": "coverage.py",
    "regulator": "regulator.py",
    "simulating": "simulating.py",
    "linearly-solvable": "linearly_solvable.py",
}
NEED_RIVALS = {"speed", "discrete", "tabular", "minutes", "deterministic"}
REQUIREMENTS = HERE / "requirements-rivals.txt"


def install_rivals() -> None:
    """Create .bench-venv with the pinned rivals, unless it is current."""
    ready, required = RIVALS / ".ready", REQUIREMENTS.read_text()
    if ready.exists() and ready.read_text() == required:
        return
    say(f"Installing Stable-Baselines3, SBX and numba into {RIVALS.name}: some minutes, once.")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(RIVALS)], check=True)
    pip = [str(THEIRS), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    first = [line for line in required.splitlines() if line.startswith("torch==")]
    subprocess.run([*pip, *first], check=True)  # alone, so that no other package affects which build it is
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
    ready.write_text(required)


def main() -> None:
    """Run the benchmarks one after another."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Options after the name go to the benchmark itself.")
    parser.add_argument("name", nargs="?", choices=[*BENCHMARKS, "all"])
    arguments, options = parser.parse_known_args()
    if options and arguments.name not in BENCHMARKS:
        parser.error(f"{' '.join(options)}: options need the name of one benchmark before them.")
    names = ["speed", "startup"] if arguments.name is None else [arguments.name]
    for name in BENCHMARKS if arguments.name == "all" else names:
        if name in NEED_RIVALS:
            install_rivals()
        say(f"== {name}, {time.strftime('%H:%M')}")
        done = subprocess.run([sys.executable, str(HERE / BENCHMARKS[name]), *options], check=False)
        if done.returncode != 0:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
