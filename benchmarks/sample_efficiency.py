"""Compare `--preset paper` over environment steps with SBX's curves.

SBX's have as many random first steps. The measure is the area under the learning curve, divided by its length, over the
steps that both curves cover. Writes results/sample_efficiency.json after every training. No time is measured, so
several may run at once.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from statistics import median
from typing import Any

import numpy as np
from harness import MINE, RESULTS, measure, save, say
from reference import curves, height

RANDOM_STEPS = 10_000


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envs", nargs="+", default=["HalfCheetah-v5", "Hopper-v5"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--learning-starts", type=int, default=RANDOM_STEPS, help="random first steps")
    parser.add_argument("--eval-every", type=int, default=5_000)
    parser.add_argument("--eval-episodes", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    parser.add_argument("--keep", action="store_true", help="keep the other runs that the results file has already")
    return parser.parse_args()


def train(arguments: argparse.Namespace, env: str, seed: int) -> dict[str, Any]:
    """Train once with evaluations."""
    options = ("steps", "learning_starts", "eval_every", "eval_episodes", "preset")
    flags = [word for name in options for word in (f"--{name.replace('_', '-')}", getattr(arguments, name))]
    threads = ("--threads", 1) if arguments.jobs > 1 else ()
    return measure(MINE, "ours.py", "--env", env, "--seed", seed, *flags, *threads)


def compare(env: str, runs: dict[str, Any]) -> dict[str, Any]:
    """Return the area of each seed of entrax and of the reference.

    The areas are over the steps that all of them cover.
    """
    ours = {
        seed: (np.array([e["step"] for e in run["evaluations"]]), [np.mean(e["returns"]) for e in run["evaluations"]])
        for seed, run in runs.items()
    }
    theirs = curves(env, RANDOM_STEPS)
    end = min([curve.steps[-1] for curve in theirs] + [steps[-1] for steps, _ in ours.values()])
    grid = theirs[0].steps[theirs[0].steps <= end]
    if len(grid) < 2:
        raise SystemExit(f"The runs on {env} are too short to compare with the reference curves.")
    mine = {seed: height(steps, np.array(means), grid) for seed, (steps, means) in ours.items()}
    reference = {str(curve.seed): height(curve.steps, curve.means, grid) for curve in theirs}
    return {
        "from_step": int(grid[0]),
        "to_step": int(grid[-1]),
        "entrax": mine,
        "sbx": reference,
        "difference_of_medians": median(mine.values()) - median(reference.values()),
        "ratio_of_medians": median(mine.values()) / median(reference.values()),
        "last_evaluation": {seed: float(means[-1]) for seed, (_, means) in ours.items()},
    }


def report(results: dict[str, Any]) -> None:
    """Print the results."""
    for env, of in results.items():
        c = of["comparison"]
        seeds = ", ".join(f"{value:.0f}" for value in c["entrax"].values())
        say(f"{env}, mean return from step {c['from_step']} to {c['to_step']} (area under the curve):")
        say(f"  entrax {median(c['entrax'].values()):.0f} (seeds: {seeds}), SBX {median(c['sbx'].values()):.0f}")
        say(f"  ratio {c['ratio_of_medians']:.2f}")


def main() -> None:
    """Train on every environment with every seed."""
    arguments = parse()
    path = RESULTS / "sample_efficiency.json"
    results: dict[str, Any] = json.loads(path.read_text())["results"] if arguments.keep and path.exists() else {}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        futures = {
            pool.submit(train, arguments, env, seed): (env, seed) for env in arguments.envs for seed in arguments.seeds
        }
        for future in as_completed(futures):
            env, seed = futures[future]
            runs = results.setdefault(env, {"runs": {}})["runs"]
            runs[str(seed)] = future.result()
            results[env]["comparison"] = compare(env, runs)
            say(f"{env} seed {seed}: area {results[env]['comparison']['entrax'][str(seed)]:.0f}")
            save("sample_efficiency", {"settings": vars(arguments), "results": results})
    report(results)
    say(f"Written: {path}")


if __name__ == "__main__":
    main()
