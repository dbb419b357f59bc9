"""What a few seeds say: location, spread and how sure one can be of it."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.errors import EntraxError


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
        raise EntraxError(f"A summary needs one finite number for each of at least one seed, not {values.tolist()}.")
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
