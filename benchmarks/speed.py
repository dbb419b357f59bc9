"""Compare the steps per second of entrax, SBX and Stable-Baselines3.

All do the same work. Prints the ratios of each round with their spread and writes results/speed.json. Only ratios
within a round are comparable, because the speed of a machine varies.
"""

import argparse
from typing import Any

from harness import MINE, THEIRS, measure, save, say, show, spread

GFLOP_PER_UPDATE = 0.58  # HalfCheetah-v5, 2×256, batches of 256: all products of one update
GOALS = {"sbx": "1.5 (goal 2)", "sb3": "3 (goal 4)"}
NAMES = {"sbx": "SBX", "sb3": "Stable-Baselines3"}


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=25.0, help="measured seconds of each run")
    parser.add_argument("--learning-starts", type=int, default=1_000)
    parser.add_argument("--log-every", type=int, default=1_000, help="steps between entrax's readings of the clock")
    return parser.parse_args()


def one_round(arguments: argparse.Namespace, backwards: bool) -> dict[str, Any]:
    """Measure every contender once, and matrix products, in either order.

    Rivals have one and two threads.
    """
    common = ("--env", arguments.env, "--window", arguments.window, "--learning-starts", arguments.learning_starts)
    contenders = ["entrax", "sbx 1", "sbx 2", "sb3 1", "sb3 2"]
    runs = {}
    for contender in reversed(contenders) if backwards else contenders:
        if contender == "entrax":
            runs[contender] = measure(MINE, "ours.py", *common, "--log-every", arguments.log_every)
            products = measure(MINE, "matmul.py")
        else:
            library, threads = contender.split()
            runs[contender] = measure(THEIRS, "rival.py", "--library", library, "--threads", threads, *common)
        run = runs[contender]
        say(
            f"  {contender:8} {run['steps_per_second']:7.1f} steps/s   {run['peak_memory'] / 2**20:6.0f} MiB   "
            f"(load before {run['load_average_before']:.2f}, others meanwhile {run['other_load']:.2f} cores)"
        )
    return {"runs": runs, "products": products}


def compare(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return ratios to each rival, and the share of the limit.

    A rival counts at its better number of threads.
    """
    ratios: dict[str, Any] = {"steps_per_second": {}, "peak_memory": {}}
    for library in ("sbx", "sb3"):
        speeds, memories = [], []
        for runs in (r["runs"] for r in rounds):
            rival = max((runs[f"{library} {t}"] for t in (1, 2)), key=lambda run: run["steps_per_second"])
            speeds.append(runs["entrax"]["steps_per_second"] / rival["steps_per_second"])
            memories.append(runs["entrax"]["peak_memory"] / rival["peak_memory"])
        ratios["steps_per_second"][library] = spread(speeds)
        ratios["peak_memory"][library] = spread(memories)
    limits = [max(r["products"]["gflops"].values()) / GFLOP_PER_UPDATE for r in rounds]
    reached = [r["runs"]["entrax"]["updates_per_second"] for r in rounds]
    return {
        "ratios": ratios,
        "updates_per_second_limit": spread(limits),
        "share_of_limit": spread(r / limit for r, limit in zip(reached, limits, strict=True)),
        "steps_per_second": {c: spread(r["runs"][c]["steps_per_second"] for r in rounds) for c in rounds[0]["runs"]},
    }


def report(summary: dict[str, Any], rounds: list[dict[str, Any]]) -> None:
    """Print the summary."""
    for contender, speeds in summary["steps_per_second"].items():
        say(show(f"{contender}, steps per second", speeds))
    for library, name in NAMES.items():
        say(show(f"entrax / {name}, at least {GOALS[library]}", summary["ratios"]["steps_per_second"][library], "x"))
    for library, name in NAMES.items():
        of = " at most 1.3" if library == "sbx" else ""
        say(show(f"peak memory, entrax / {name},{of}".rstrip(","), summary["ratios"]["peak_memory"][library], "x"))
    for threads in ("1", "2"):
        say(
            show(
                f"256×256 products, {threads} thread(s), GFLOP/s",
                spread(r["products"]["gflops"][threads] for r in rounds),
            )
        )
    say(show(f"updates per second that allows ({GFLOP_PER_UPDATE} GFLOP)", summary["updates_per_second_limit"]))
    say(show("entrax's share of it", summary["share_of_limit"]))
    ours = rounds[0]["runs"]["entrax"]
    say(f"entrax acts with parameters that lag at most {ours['lag_in_steps']} steps; one update was made per step.")


def main() -> None:
    """Measure all rounds."""
    arguments = parse()
    rounds = []
    for index in range(arguments.rounds):
        say(f"Round {index + 1} of {arguments.rounds}")
        rounds.append(one_round(arguments, backwards=index % 2 == 1))
    summary = compare(rounds)
    report(summary, rounds)
    say(f"Written: {save('speed', {'settings': vars(arguments)} | summary | {'rounds': rounds})}")


if __name__ == "__main__":
    main()
