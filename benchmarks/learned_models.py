"""Train agents that learn a model on few steps, and evaluate them.

    python benchmarks/learned_models.py                          pets and mbpo on Pendulum-v1, seeds 0 to 4
    python benchmarks/learned_models.py --agents mbpo --seeds 100 101

Each final policy plays ten episodes of greedy actions, on seeds that training did not use. The goal is a mean of at
least -200 for every seed. Results go to results/learned-models.json, which keeps those of other agents and seeds.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS, save, say

import entrax

GOAL = -200.0
LOOP: dict[str, Any] = {"eval_every": 0, "workers": 0, "threads": 1, "checkpoint_seconds": 0, "learning_starts": 200}
SETTINGS: dict[str, dict[str, Any]] = {
    "pets": LOOP | {"steps": 2000, "hidden": (64, 64)},
    "mbpo": LOOP
    | {
        "steps": 3000,
        "updates_per_step": 8.0,
        "learning_rate": 1e-3,
        "initial_temperature": 0.2,
        "hidden": (64, 64),
        "batch_size": 128,
        "model_hidden": (64, 64, 64),
        "members": 5,
        "elites": 3,
    },
}
CALIBRATION = ("inside_50", "inside_90", "held_out_nll", "held_out_rmse")


def record(agent: str, seed: int, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train and evaluate one run."""
    begun = time.perf_counter()
    run = entrax.train("Pendulum-v1", agent, seed=seed, run=folder / f"{agent}-{seed}", **settings)
    trained = time.perf_counter()
    returns = [float(value) for value in run.evaluate(episodes=10).returns]
    last = [row for row in run.metrics() if "inside_50" in row][-1]
    return {
        "agent": agent,
        "seed": seed,
        "settings": settings,
        "mean": float(np.mean(returns)),
        "returns": returns,
        "training_seconds": round(trained - begun, 1),
        "evaluation_seconds": round(time.perf_counter() - trained, 1),
        "calibration": {name: round(last[name], 4) for name in CALIBRATION},
    }


def main() -> None:
    """Train and evaluate all agents and seeds that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    arguments = parser.parse_args()
    path = RESULTS / "learned-models.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        for agent in arguments.agents:
            for seed in arguments.seeds:
                new = record(agent, seed, SETTINGS[agent], Path(folder))
                runs = [run for run in runs if (run["agent"], run["seed"]) != (agent, seed)] + [new]
                say(f"{agent} seed {seed}: {new['mean']:.1f} in {new['training_seconds']} s, {new['calibration']}")
                save("learned-models", {"goal": GOAL, "runs": runs})


if __name__ == "__main__":
    main()
