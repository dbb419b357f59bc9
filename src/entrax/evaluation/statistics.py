"""What a few seeds say: location, spread and how sure one can be of it.

Of several tasks too, after Agarwal et al. 2021, arXiv:2108.13264: scores are then a list with an array [seed] for every
task, of lengths that may differ, and the bootstrap is stratified: seeds are drawn anew within each task.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError


@dataclass(frozen=True)
class Summary:
    """Of one number per seed. `std` is the sample's (0 for one seed); `low` and `high` bound `interquartile_mean`."""

    seeds: int
    mean: float
    std: float
    median: float
    interquartile_mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def interquartile_mean(values: Float[np.ndarray, "... seed"]) -> Float[np.ndarray, "..."]:
    """The mean of the middle half: a quarter of the values, rounded down, is cut off at either end."""
    cut = values.shape[-1] // 4
    return np.asarray(np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1))


def summarise(values: Float[np.ndarray, " seed"], *, confidence: float = 0.95, resamples: int = 2000) -> Summary:
    """Location and spread of one result per seed, with a percentile bootstrap interval of the interquartile mean.

    The resampling is seeded, so the same values always give the same interval. Raises EntraxError when there are no
    values or one is not finite.
    """
    values = np.asarray(values, float)
    if values.size == 0 or not np.all(np.isfinite(values)):
        raise UsageError(f"A summary needs one finite number for each of at least one seed, not {values.tolist()}.")
    picks = np.random.default_rng(0).integers(values.size, size=(resamples, values.size))
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(interquartile_mean(values[picks]), [tail, 100.0 - tail])
    return Summary(
        seeds=values.size,
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if values.size > 1 else 0.0,
        median=float(np.median(values)),
        interquartile_mean=float(interquartile_mean(values)),
        low=float(low),
        high=float(high),
    )


Scores = Sequence[Float[np.ndarray, "..."]]
"""Of each task an array [..., seed]; how many seeds there are may differ."""


@dataclass(frozen=True)
class Estimate:
    """A number, and the percentile bootstrap interval of it."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def pooled_interquartile_mean(scores: Scores) -> Float[np.ndarray, "..."]:
    """The interquartile mean over all seeds of all tasks together."""
    return interquartile_mean(np.concatenate(scores, axis=-1))


def probability_of_improvement(ours: Scores, theirs: Scores) -> Float[np.ndarray, "..."]:
    """P(X > Y) + ½ P(X = Y) of a seed of ours against one of theirs, the mean over tasks.

    Of one task it is the Mann-Whitney statistic divided by the number of pairs.
    """
    probabilities = [
        np.mean((x[..., :, None] > y[..., None, :]) + 0.5 * (x[..., :, None] == y[..., None, :]), axis=(-2, -1))
        for x, y in zip(ours, theirs, strict=True)
    ]
    return np.asarray(np.mean(probabilities, axis=0))


def performance_profile(
    scores: Scores, thresholds: Float[np.ndarray, " threshold"]
) -> Float[np.ndarray, "... threshold"]:
    """The share of seeds that score more than each threshold, the mean over tasks."""
    shares = [np.mean(values[..., :, None] > thresholds, axis=-2) for values in scores]
    return np.asarray(np.mean(shares, axis=0))


def resampled(scores: Scores, resamples: int, rng: np.random.Generator) -> list[Float[np.ndarray, "resample ..."]]:
    """Stratified bootstrap samples [resample, ..., seed]: of each task, as many seeds as it has, with replacement."""
    picks = [rng.integers(values.shape[-1], size=(resamples, values.shape[-1])) for values in scores]
    return [np.moveaxis(values[..., pick], -2, 0) for values, pick in zip(scores, picks, strict=True)]


def bootstrap(
    statistic: Callable[..., Float[np.ndarray, "..."]],
    *samples: Scores,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """`statistic` of the samples, and the ends of its percentile interval, all of the shape that it returns.

    `statistic` takes as many `Scores` as there are samples, with any leading axes. The same values always give the same
    interval. Raises EntraxError when a task has no seeds or a score is not finite.
    """
    for scores in samples:
        if not scores or any(values.shape[-1] == 0 or not np.all(np.isfinite(values)) for values in scores):
            raise UsageError("An interval needs one finite score for each of at least one seed of every task.")
    rng = np.random.default_rng(seed)
    draws = statistic(*(resampled(scores, resamples, rng) for scores in samples))
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(draws, [tail, 100.0 - tail], axis=0)
    return np.asarray(statistic(*samples)), np.asarray(low), np.asarray(high)


def estimate(statistic: Callable[..., Float[np.ndarray, "..."]], *samples: Scores, **settings: Any) -> Estimate:
    """`bootstrap` of a statistic that is one number."""
    value, low, high = bootstrap(statistic, *samples, **settings)
    return Estimate(value=float(value), low=float(low), high=float(high))
