"""Compare five minutes of `--preset fast` with 15 and 25 minutes of SBX.

Training seconds count from the start of the process, with compilation and without evaluation, for both. entrax is
trained and then evaluated on 20 deterministic episodes. SBX's speed is measured with one thread and with two; its
returns at the step that it would reach are those of the curves in reference/. Writes results/minutes.json after every
training.
"""

import argparse
import json
import time
from statistics import median
from typing import Any

from harness import MINE, RESULTS, THEIRS, measure, save, say
from reference import reached

RANDOM_STEPS = (10_000, 100)  # of SBX's published settings, and the library's default


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envs", nargs="+", default=["HalfCheetah-v5", "Hopper-v5", "Pendulum-v1"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rival-minutes", nargs="+", type=float, default=[15.0, 25.0])
    parser.add_argument("--rival-window", type=float, default=20.0, help="seconds that SBX's speed is measured for")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--keep", action="store_true", help="keep the other runs that the results file has already")
    return parser.parse_args()


def rival_speed(env: str, window: float) -> dict[str, Any]:
    """Measure SBX on `env` at the better of one and two threads."""
    common = ("--library", "sbx", "--env", env, "--window", window)
    runs = [measure(THEIRS, "rival.py", *common, "--threads", threads) for threads in (1, 2)]
    return max(runs, key=lambda run: run["steps_per_second"])


def rival_steps(run: dict[str, Any], random_steps: int, seconds: float) -> float:
    """Return the environment steps of SBX `seconds` after its process started."""
    more = random_steps - run["learning_starts"]  # than in the run that was timed
    learning = seconds - run["first_update_seconds"] - more / run["random_steps_per_second"]
    return random_steps + max(0.0, learning) * run["steps_per_second"]


def rival(arguments: argparse.Namespace, env: str) -> dict[str, Any]:
    """Return SBX's speed on `env`, and its returns after the given minutes.

    The returns are read from its curves.
    """
    run = rival_speed(env, arguments.rival_window)
    reaches = []
    for minutes in arguments.rival_minutes:
        for random_steps in RANDOM_STEPS:
            reach = reached(env, random_steps, rival_steps(run, random_steps, 60 * minutes))
            if reach is not None:
                reaches.append({"minutes": minutes} | reach)
    return {"speed": run, "reaches": reaches}


def ours(arguments: argparse.Namespace, env: str, seed: int) -> dict[str, Any]:
    """Train within the given seconds, and evaluate."""
    common = ("--env", env, "--seed", seed, "--preset", arguments.preset)
    run = measure(
        MINE, "ours.py", *common, "--limit", arguments.seconds, "--final-episodes", arguments.episodes, "--steps", 10**7
    )
    run["mean"] = sum(run["returns"]) / len(run["returns"])
    return run | {"date": time.strftime("%Y-%m-%d")}


def report(results: dict[str, Any]) -> None:
    """Print the results."""
    for env, of in results.items():
        runs = of["entrax"].values()
        seeds = ", ".join(f"{run['mean']:.0f}" for run in runs)
        seconds = max(run["seconds"] for run in runs)
        say(f"{env}: entrax in {seconds:.0f} s: median {median(run['mean'] for run in runs):.0f} (seeds: {seeds})")
        for reach in of["sbx"]["reaches"]:
            who = f"SBX in {reach['minutes']:.0f} min, {reach['random_steps']} random first steps"
            end = f", beyond the curve's end at {reach['curve_ends_at']}" if reach["beyond_the_curve"] else ""
            say(
                f"  {who}: {reach['mean']:.0f}, best until then {reach['best_so_far']:.0f} (step {reach['steps']}{end})"
            )


def main() -> None:
    """Measure every environment: the rival's speed, then each seed."""
    arguments = parse()
    path = RESULTS / "minutes.json"
    results: dict[str, Any] = json.loads(path.read_text())["results"] if arguments.keep and path.exists() else {}
    for env in arguments.envs:
        of = results.setdefault(env, {"entrax": {}})
        of["sbx"] = rival(arguments, env)
        for seed in arguments.seeds:
            run = of["entrax"][str(seed)] = ours(arguments, env, seed)
            say(f"{env} seed {seed}: {run['mean']:.1f} after {run['step']} steps in {run['seconds']:.0f} s")
            save("minutes", {"settings": vars(arguments), "results": results})
    report(results)
    say(f"Written: {path}")


if __name__ == "__main__":
    main()
