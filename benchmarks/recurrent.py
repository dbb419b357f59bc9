"""Compare `recurrent-sac` and `sac` on Pendulum without its velocity.

`sac` sees one observation only. Each seed is one `entrax train` command and 50 episodes of its final policy's mode, on
seeds that training did not see. Writes results/recurrent.json after each seed; the other agents and seeds stay. No time
is measured, so that several may run at once.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness import RESULTS, save, say

import entrax

ENV = "entrax/PendulumNoVelocity-v0"
COMMON = "--hidden 64,64 --learning-rate 1e-3 --target-rate 0.01 --eval-every 2500"
SETTINGS = {
    "recurrent-sac": f"{COMMON} --memory 32 --length 16 --burn-in 4 --batch-size 32",
    "sac": f"{COMMON} --batch-size 256",
}
"""Chosen on seeds from 10 on. An update of either learns from hundreds of steps."""
GOAL = -200.0
EPISODES = 50


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", choices=[*SETTINGS], default="recurrent-sac")
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=20_000)
    return parser.parse_args()


def measure(agent: str, seed: int, steps: int) -> dict[str, Any]:
    """One training and its evaluation."""
    command = f"entrax train {ENV} --agent {agent} --steps {steps} --seed {seed} {SETTINGS[agent]}"
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = [sys.executable, "-m", *shlex.split(command), "--run", str(run), "--workers", "0", "--threads", "1"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        trained = entrax.load(run)
        result, rows = trained.evaluate(EPISODES), trained.metrics()
    evaluations = {row["step"]: row["evaluation"]["mean"] for row in rows if "evaluation" in row}
    return {
        "command": command,
        "agent": agent,
        "seed": seed,
        "steps": steps,
        "mean": result.mean,
        "returns": list(result.returns),
        "evaluations": evaluations,
        "first_above_goal": next((step for step, mean in evaluations.items() if mean >= GOAL), None),
    }


def main() -> None:
    """All seeds that are asked for."""
    arguments = parse()
    for seed in arguments.seed:
        record = measure(arguments.agent, seed, arguments.steps)
        path = RESULTS / "recurrent.json"
        runs = json.loads(path.read_text())["runs"] if path.exists() else []
        same = ("agent", "seed", "steps")
        runs = [run for run in runs if any(run[key] != record[key] for key in same)]
        save("recurrent", {"runs": sorted([*runs, record], key=lambda run: [str(run[key]) for key in same])})
        say(f"{arguments.agent} seed {seed}: {record['mean']:.0f} after {arguments.steps:,} steps")


if __name__ == "__main__":
    main()
