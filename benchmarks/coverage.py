"""Measure the coverage of 95 % bootstrap intervals of few seeds.

Percentile intervals are compared with BCa, both of SciPy. Scores are normal or exponential. The interquartile mean is
of one task, the probability of improvement of two. Where BCa is not defined (its resamples are all alike), the
percentile interval counts. Writes results/coverage.json.
"""

import argparse
import warnings
from collections.abc import Callable

import numpy as np
from harness import save, say
from scipy import stats

from entrax.evaluation.statistics import interquartile_mean, probability_of_improvement

SEEDS = (3, 5, 10, 20)
SHIFT, SCALE = 1.0, 1.5  # of the better method's normal and exponential scores
METHODS = ("percentile", "BCa")
TRUTHS = {
    ("interquartile mean", "normal"): 0.0,
    ("interquartile mean", "exponential"): float(np.mean(stats.expon.ppf(np.linspace(0.25, 0.75, 100_001)))),
    ("improvement", "normal"): float(stats.norm.cdf(SHIFT / np.sqrt(2))),
    ("improvement", "exponential"): SCALE / (1 + SCALE),
}


def improvement(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean probability of improvement over tasks.

    The first half of the samples is the better method's.
    """
    half = len(samples) // 2
    return probability_of_improvement(samples[:half], samples[half:])


def mean(sample: np.ndarray, axis: int = -1) -> np.ndarray:
    """The interquartile mean over the last axis."""
    return interquartile_mean(sample)


def drawn(statistic: str, scores: str, seeds: int, rng: np.random.Generator) -> tuple[list[np.ndarray], Callable]:
    """The samples of one trial, and the statistic of them."""
    better = rng.normal(SHIFT, 1.0, (2, seeds)) if scores == "normal" else rng.exponential(SCALE, (2, seeds))
    worse = rng.normal(0.0, 1.0, (2, seeds)) if scores == "normal" else rng.exponential(1.0, (2, seeds))
    return ([worse[0]], mean) if statistic == "interquartile mean" else ([*better, *worse], improvement)


def main() -> None:
    """Count, print and save the coverage and the mean width of the intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    given = parser.parse_args()
    rows = []
    for (statistic, scores), truth in TRUTHS.items():
        for seeds in SEEDS:
            rng = np.random.default_rng(0)
            held, undefined, widths = dict.fromkeys(METHODS, 0), 0, dict.fromkeys(METHODS, 0.0)
            for _ in range(given.trials):
                samples, function = drawn(statistic, scores, seeds, rng)
                ends = {}
                for method in METHODS:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # BCa warns where it is not defined
                        found = stats.bootstrap(
                            samples, function, n_resamples=given.resamples, method=method, vectorized=True, rng=1
                        ).confidence_interval
                    ends[method] = found.low, found.high
                if np.isnan(ends["BCa"]).any():
                    undefined, ends["BCa"] = undefined + 1, ends["percentile"]
                for method, (low, high) in ends.items():
                    held[method] += bool(low <= truth <= high)
                    widths[method] += float(high - low) / given.trials
            coverage = {method: count / given.trials for method, count in held.items()}
            rows.append({"statistic": statistic, "scores": scores, "seeds": seeds, "coverage": coverage})
            rows[-1] |= {"width": widths, "undefined": undefined / given.trials}
            figures = "  ".join(f"{m} {100 * coverage[m]:3.0f} % (width {widths[m]:.2f})" for m in METHODS)
            say(f"{statistic:20}{scores:13}{seeds:3} seeds  {figures}  undefined {undefined / given.trials:.0%}")
    say(f"Written: {save('coverage', {'trials': given.trials, 'resamples': given.resamples, 'rows': rows})}")


if __name__ == "__main__":
    main()
