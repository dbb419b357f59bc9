"""Measure the cost of saving at the default interval.

Saving writes the log of the replay, hashes and checkpoints. Pairs of runs, with and without saving, follow one another.
Measured are the share of training time inside log, hash and checkpoint, on the clock and as CPU time, and the ratio of
steps per second with and without.
"""

import argparse

from harness import MINE, measure, save, say, show, spread


def main() -> None:
    """Measure and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=200.0, help="measured seconds of each run")
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--preset", default="paper")
    arguments = parser.parse_args()
    common = ["--env", arguments.env, "--preset", arguments.preset, "--window", arguments.window]
    on, off = [], []
    for number in range(arguments.rounds):
        order = [(on, []), (off, ["--no-saving"])]
        for runs, flags in order if number % 2 == 0 else reversed(order):
            runs.append(measure(MINE, "ours.py", *common, "--learning-starts", 1000, *flags))
            rate = runs[-1]["steps_per_second"]
            arm = "without" if flags else "with"
            say(f"round {number + 1} {arm}: {rate:.1f} steps/s, other load {runs[-1]['other_load']}")
    wall, cpu = spread(100 * run["saving_share"] for run in on), spread(100 * run["saving_cpu_share"] for run in on)
    ratio = spread(a["steps_per_second"] / b["steps_per_second"] for a, b in zip(on, off, strict=True))
    say(show("inside log, hash and checkpoint, on the clock", wall, " %"))
    say(show("inside log, hash and checkpoint, CPU time", cpu, " %"))
    say(show("steps per second, with / without", ratio))
    record = {"wall_percent": wall, "cpu_percent": cpu, "ratio": ratio, "with": on, "without": off}
    say(save("saving", {"env": arguments.env, "preset": arguments.preset, "window": arguments.window} | record))


if __name__ == "__main__":
    main()
