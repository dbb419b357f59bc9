"""How often bootstrap intervals contain the true value, by number of seeds. Writes results/coverage.json.

    python benchmarks/coverage.py

Scores are normal. Measured are the 95 % intervals of `entrax compare`: of the interquartile mean on one task (truth 0),
and of the probability of improvement on two tasks (truth: two equal methods, 1/2).
"""

import argparse

import numpy as np
from harness import save, say

from entrax.evaluation.statistics import estimate, probability_of_improvement, summarise

SEEDS = (3, 4, 5, 10, 20)


def main() -> None:
    """Measure all numbers of seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    results = {}
    for seeds in SEEDS:
        rng = np.random.default_rng(seeds)
        means = [covers_mean(rng, seeds) for _ in range(trials)]
        improvements = [covers_improvement(rng, seeds) for _ in range(trials)]
        results[seeds] = {"interquartile_mean": np.mean(means), "improvement": np.mean(improvements)}
        say(f"{seeds:>3} seeds: " + ", ".join(f"{name} {share:.1%}" for name, share in results[seeds].items()))
    shares = {str(seeds): {name: float(share) for name, share in each.items()} for seeds, each in results.items()}
    say(f"Written: {save('coverage', {'trials': trials, 'shares': shares})}")


def covers_mean(rng: np.random.Generator, seeds: int) -> bool:
    """Whether the interval of the interquartile mean of one sample contains 0."""
    summary = summarise(rng.normal(size=seeds))
    return bool(summary.low <= 0.0 <= summary.high)


def covers_improvement(rng: np.random.Generator, seeds: int) -> bool:
    """Whether the interval of the probability of improvement between two samples contains 1/2."""
    ours, theirs = ([rng.normal(size=seeds) for _ in range(2)] for _ in range(2))
    interval = estimate(probability_of_improvement, ours, theirs)
    return bool(interval.low <= 0.5 <= interval.high)


if __name__ == "__main__":
    main()
