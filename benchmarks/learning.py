"""Evaluate finished runs for the table of docs/benchmarks.md.

    python benchmarks/learning.py RUN ...

Each run's final policy plays 20 episodes of its mode, on seeds that training did not use. If SBX's curves with 10,000
random first steps cover the task, the area under the learning curve is compared with theirs. Writes
results/learning.json and keeps its results of other tasks and seeds.
"""

import argparse
import json
from typing import Any

import numpy as np
from harness import RESULTS, save, say
from reference import curves, height

import entrax

RANDOM_STEPS = 10_000


def on_the_way(env: str, evaluations: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the areas under the curves of the run and of SBX.

    The areas are over the steps that all of them cover.
    """
    theirs = curves(env, RANDOM_STEPS)
    if not theirs or len(evaluations) < 2:
        return None
    steps = np.array([row["step"] for row in evaluations])
    end = min([curve.steps[-1] for curve in theirs] + [steps[-1]])
    grid = theirs[0].steps[(theirs[0].steps <= end) & (theirs[0].steps >= steps[0])]
    mine = height(steps, np.array([row["evaluation"]["mean"] for row in evaluations]), grid)
    sbx = {str(curve.seed): height(curve.steps, curve.means, grid) for curve in theirs}
    return {"from_step": int(grid[0]), "to_step": int(grid[-1]), "entrax": mine, "sbx": sbx}


def record(path: str) -> dict[str, Any]:
    """Evaluate one run."""
    run = entrax.load(path)
    config, rows = run.directory.config, run.metrics()
    env, seed, steps = config["environment"]["id"], config["seed"], config["training"]["steps"]
    flags = f"--agent {config['agent']} --preset {config['preset']} --steps {steps} --seed {seed}"
    result = run.evaluate(episodes=20)
    return {
        "command": f"NPROC={config['training']['threads']} entrax train {env} {flags}",
        "env": env,
        "agent": config["agent"],
        "seed": seed,
        "steps": steps,
        "mean": result.mean,
        "returns": list(map(float, result.returns)),
        "evaluations": {str(row["step"]): row["evaluation"]["mean"] for row in rows if "evaluation" in row},
        "on_the_way": on_the_way(env, [row for row in rows if "evaluation" in row]),
    }


def main() -> None:
    """Evaluate the runs that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    path = RESULTS / "learning.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    for name in parser.parse_args().runs:
        new = record(name)
        runs = [run for run in runs if any(run[key] != new[key] for key in ("env", "agent", "seed", "steps"))]
        runs.append(new)
        way = new["on_the_way"]
        beside = f", area {way['entrax']:.0f}, SBX {np.median(list(way['sbx'].values())):.0f}" if way else ""
        say(f"{new['env']} {new['agent']} seed {new['seed']}: {new['mean']:.1f} after {new['steps']} steps{beside}")
        save("learning", {"runs": runs})


if __name__ == "__main__":
    main()
