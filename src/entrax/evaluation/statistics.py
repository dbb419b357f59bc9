"""Statistics of a few seeds: location, spread and bootstrap intervals, on one task or on several.

On several tasks the scores are a list with one array [seed] for each task, whose lengths may differ. The bootstrap is
stratified: it resamples the seeds within each task.

References:
    Agarwal et al. (2021), Deep reinforcement learning at the edge of the statistical precipice, arXiv:2108.13264.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError


@dataclass(frozen=True)
class Summary:
    """Location and spread of one number per seed.

    `std` is the sample standard deviation (0 for one seed); `low` and `high` bound the interquartile mean.
    """

    seeds: int
    mean: float
    std: float
    median: float
    interquartile_mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)


def interquartile_mean(values: Float[np.ndarray, "... seed"]) -> Float[np.ndarray, "..."]:
    """Return the mean of the middle half of the values.

    A quarter of the values, rounded down, is cut off at either end.
    """
    from scipy import stats  # takes a second to import

    return np.asarray(stats.trim_mean(values, 0.25, axis=-1))


def summarise(values: Float[np.ndarray, " seed"], *, confidence: float = 0.95, resamples: int = 2000) -> Summary:
    """Return location and spread of one result for each seed, with an interval.

    The resampling is seeded: the same values always give the same interval.

    Raises:
        UsageError: if there are no values or one is not finite.
    """
    values = np.asarray(values, float)
    if values.size == 0 or not np.all(np.isfinite(values)):
        raise UsageError(f"A summary requires one finite number for each seed, got {values.tolist()}.")
    interval = estimate(pooled_interquartile_mean, [values], confidence=confidence, resamples=resamples)
    return Summary(
        seeds=values.size,
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if values.size > 1 else 0.0,
        median=float(np.median(values)),
        interquartile_mean=interval.value,
        low=interval.low,
        high=interval.high,
    )


TaskScores = Sequence[Float[np.ndarray, "..."]]
"""One array [..., seed] for each task; the number of seeds may differ."""


@dataclass(frozen=True)
class Estimate:
    """A number and its bootstrap interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)


def pooled_interquartile_mean(scores: TaskScores) -> Float[np.ndarray, "..."]:
    """Return the interquartile mean over all seeds of all tasks together."""
    return interquartile_mean(np.concatenate(scores, axis=-1))


def probability_of_improvement(ours: TaskScores, theirs: TaskScores) -> Float[np.ndarray, "..."]:
    """Return P(X > Y) + ½ P(X = Y) for seeds X of `ours` and Y of `theirs`.

    Over several tasks it is the mean. On one task this is the Mann-Whitney statistic divided by the number of pairs.
    """
    from scipy import stats  # takes a second to import

    with np.errstate(invalid="ignore", divide="ignore"):  # of the p-value, which is not used, where all scores tie
        probabilities = [
            stats.mannwhitneyu(x, y, axis=-1, method="asymptotic").statistic / (x.shape[-1] * y.shape[-1])
            for x, y in zip(ours, theirs, strict=True)
        ]
    return np.asarray(np.mean(probabilities, axis=0))


def performance_profile(
    scores: TaskScores, thresholds: Float[np.ndarray, " threshold"]
) -> Float[np.ndarray, "... threshold"]:
    """Return the share of seeds above each threshold, the mean over tasks."""
    shares = [np.mean(values[..., :, None] > thresholds, axis=-2) for values in scores]
    return np.asarray(np.mean(shares, axis=0))


def _resampled(scores: TaskScores, resamples: int, rng: np.random.Generator) -> list[Float[np.ndarray, "resample ..."]]:
    """Draw stratified bootstrap samples [resample, ..., seed]: seeds of each task with replacement."""
    picks = [rng.integers(values.shape[-1], size=(resamples, values.shape[-1])) for values in scores]
    return [np.moveaxis(values[..., pick], -2, 0) for values, pick in zip(scores, picks, strict=True)]


def bootstrap(
    statistic: Callable[..., Float[np.ndarray, "..."]],
    *samples: TaskScores,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Return a statistic and its stratified percentile bootstrap interval.

    For the interquartile mean of three seeds these intervals hold the truth more often than SciPy's BCa intervals, and
    for more seeds as often; see benchmarks/coverage.py. Unlike SciPy's bootstrap this one accepts tasks of one seed.

    Args:
        statistic: a function of one `TaskScores` for each of the samples, with any leading axes.
        *samples: the scores.
        confidence: the nominal coverage of the interval.
        resamples: the number of bootstrap samples.
        seed: seed of the resampling. The same values and seed always give the same interval.

    Returns:
        The statistic and the lower and upper ends of its interval, each of the shape that `statistic` returns.

    Raises:
        UsageError: if a task has no seeds or a score is not finite.
    """
    for scores in samples:
        if not scores or any(values.shape[-1] == 0 or not np.all(np.isfinite(values)) for values in scores):
            raise UsageError("An interval requires at least one seed on every task, and finite scores.")
    rng = np.random.default_rng(seed)
    draws = statistic(*(_resampled(scores, resamples, rng) for scores in samples))
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(draws, [tail, 100.0 - tail], axis=0)
    return np.asarray(statistic(*samples)), np.asarray(low), np.asarray(high)


def estimate(statistic: Callable[..., Float[np.ndarray, "..."]], *samples: TaskScores, **settings: Any) -> Estimate:
    """Return `bootstrap` of a statistic that is a single number."""
    value, low, high = bootstrap(statistic, *samples, **settings)
    return Estimate(value=float(value), low=float(low), high=float(high))


def estimate_improvement(
    ours: TaskScores, theirs: TaskScores, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Return the probability of improvement and its stratified BCa interval.

    For few seeds BCa intervals hold the truth more often than percentile intervals; see benchmarks/coverage.py. Where
    they are not defined, for a task of one seed or scores that do not overlap, the percentile interval is returned.

    Args:
        ours, theirs: one array of scores [seed] for each task.
        confidence: the nominal coverage of the interval.
        resamples: the number of bootstrap samples.
        seed: seed of the resampling.

    Raises:
        UsageError: if a task has no seeds or a score is not finite.
    """
    settings = {"confidence": confidence, "resamples": resamples, "seed": seed}
    percentile = estimate(probability_of_improvement, ours, theirs, **settings)
    if min(values.size for values in [*ours, *theirs]) < 2:
        return percentile
    from scipy import stats  # takes a second to import

    def improvement(*drawn: Float[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
        return probability_of_improvement(drawn[: len(ours)], drawn[len(ours) :])

    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        low, high = stats.bootstrap(
            [*ours, *theirs], improvement, n_resamples=resamples, confidence_level=confidence, method="BCa", rng=seed
        ).confidence_interval
    if not np.isfinite([low, high]).all():
        return percentile
    return Estimate(value=percentile.value, low=float(low), high=float(high))
