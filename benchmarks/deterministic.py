"""Compare the returns of TD3 and DDPG with Stable-Baselines3.

Returns are compared over environment steps. Both have the same networks (400, 300), batches of 256, learning rate 1e-3,
noise of 0.1, random first steps and one update per step. The measure is the area under the learning curve, as the mean
of the evaluations. Writes results/deterministic.json after every training. No time is measured, so several may run at
once.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from statistics import median
from typing import Any

import numpy as np
from harness import MINE, RESULTS, THEIRS, measure, save, say

SETTINGS = ("env", "steps", "learning_starts", "eval_every", "eval_episodes")
"""Settings that runs must share to be compared."""
SCRIPTS = {"entrax": (MINE, "ours.py"), "sb3": (THEIRS, "rival_curve.py")}


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--agents", nargs="+", default=["td3", "ddpg"])
    parser.add_argument("--libraries", nargs="+", choices=list(SCRIPTS), default=list(SCRIPTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--learning-starts", type=int, default=10_000, help="random first steps")
    parser.add_argument("--eval-every", type=int, default=5_000)
    parser.add_argument("--eval-episodes", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="make only the runs that the results file lacks, if it has the same settings",
    )
    return parser.parse_args()


def train(arguments: argparse.Namespace, library: str, agent: str, seed: int) -> list[dict[str, Any]]:
    """Train once on one thread and return the evaluations."""
    flags = [word for name in SETTINGS for word in (f"--{name.replace('_', '-')}", getattr(arguments, name))]
    record = measure(*SCRIPTS[library], "--agent", agent, "--seed", seed, "--threads", 1, *flags)
    evaluations: list[dict[str, Any]] = record["evaluations"]
    return evaluations


def area(evaluations: list[dict[str, Any]]) -> float:
    """Return the mean over all evaluations, which are evenly spaced."""
    return float(np.mean([np.mean(row["returns"]) for row in evaluations]))


def report(runs: dict[str, Any]) -> None:
    """Print every run."""
    for agent, libraries in runs.items():
        for library, seeds in libraries.items():
            areas = [area(rows) for rows in seeds.values()]
            last = ", ".join(f"{np.mean(rows[-1]['returns']):.0f}" for rows in seeds.values())
            values = ", ".join(f"{value:.0f}" for value in areas)
            say(f"{agent:5} {library:7} area {median(areas):6.0f} (seeds: {values}), last {last}")


def main() -> None:
    """Train every library, agent and seed."""
    arguments = parse()
    path = RESULTS / "deterministic.json"
    before = json.loads(path.read_text()) if arguments.keep and path.exists() else {"runs": {}, "settings": {}}
    same = all(before["settings"].get(name) == getattr(arguments, name) for name in SETTINGS)
    runs: dict[str, Any] = before["runs"] if same else {}
    every = [(x, a, s) for s in arguments.seeds for a in arguments.agents for x in arguments.libraries]
    missing = [(x, a, s) for x, a, s in every if str(s) not in runs.get(a, {}).get(x, {})]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        futures = {pool.submit(train, arguments, *each): each for each in missing}
        for future in as_completed(futures):
            library, agent, seed = futures[future]
            rows = future.result()
            runs.setdefault(agent, {}).setdefault(library, {})[str(seed)] = rows
            say(f"{agent} {library} seed {seed}: area {area(rows):.0f}")
            save("deterministic", {"settings": vars(arguments), "runs": runs})
    report(runs)
    say(f"Written: {path}")


if __name__ == "__main__":
    main()
