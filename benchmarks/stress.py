"""Compare the processor time of stress tests and plain evaluations.

Both are measured per step. Everything runs in this process (`workers=0`), and the two are measured in turn after a
warm-up round, in which JAX compiles. Making environments and compiling grounds counts in every round. Writes
results/stress.json.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import save, say, show, spread

import entrax
from entrax.environments import terrain
from entrax.evaluation.stress import stress_test
from entrax.policies.controller import act_in_episodes

UNTRAINED = {"steps": 40, "learning_starts": 20, "eval_every": 0}
SHORT: dict[str, Any] = {"levels": (0.5, 1.0), "episodes": 2}
WHOLE: dict[str, Any] = {}  # as `entrax stress` without options


def main() -> None:
    """Measure and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    three = ["HalfCheetah-v5", "Hopper-v5", "Pendulum-v1"]
    parser.add_argument("--short", nargs="*", metavar="ENV", default=three, help="two severities, two episodes")
    parser.add_argument("--whole", nargs="*", metavar="ENV", default=["Pendulum-v1"], help="all of it")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"short": {}, "whole": {}}
    for size, settings in (("short", SHORT), ("whole", WHOLE)):
        for env in vars(arguments)[size]:
            result = results[size][env] = compare(env, arguments.rounds, settings)
            say(show(f"{env}, {size}: a step of it / of an evaluation", result["ratio"]))
    say(save("stress", {"settings": {"short": SHORT, "whole": WHOLE}} | results))


def compare(env: str, rounds: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Measure both with an untrained policy of one environment.

    Their ratio is taken within each round.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = entrax.train(env, run=Path(folder) / "run", **UNTRAINED)
        act, source = act_in_episodes(run.controller, sample=False, seed=0), run.source()

        def test() -> int:
            terrain.compiled.cache_clear()
            return stress_test(act, source, seed=0, policy="mode", workers=0, **settings).steps

        def evaluation() -> int:
            return sum(run.evaluate(workers=0).lengths)

        plays = {"test": test, "evaluation": evaluation}
        spent: dict[str, list[float]] = {name: [] for name in plays}
        steps = {}
        for number in range(-1, rounds):
            for name in list(plays) if number % 2 == 0 else reversed(plays):
                steps[name], microseconds = clocked(plays[name])
                if number >= 0:
                    spent[name].append(microseconds)
    return {
        "ratio": spread(ours / plain for ours, plain in zip(spent["test"], spent["evaluation"], strict=True)),
        "microseconds_per_step": {name: spread(values) for name, values in spent.items()},
        "steps": steps,
    }


def clocked(play: Callable[[], int]) -> tuple[int, float]:
    """Return the steps that `play` takes, and the microseconds of each.

    The time is the processor's.
    """
    begun = time.process_time()
    steps = play()
    return steps, 1e6 * (time.process_time() - begun) / steps


if __name__ == "__main__":
    main()
