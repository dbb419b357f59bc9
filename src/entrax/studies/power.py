"""What a study states before its first seed: the effect, what its seeds can detect, and a positive control.

A study that could not have detected the effect can support its claim but not refute it. The statement is made before
any seed is trained. Its positive control is a case in which the effect is known to be there: if the study's measure
does not see it in that case, nothing is judged.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

POWER = 0.8
"""The probability with which the smallest detectable effect is detected."""
MIN_SEEDS = 4
"""The fewest random problems or trained runs from which a claim about a median or mean is decided."""
MIN_PAIRS = 10
"""The fewest repetitions of which a share that only one of two arms gains is judged."""
CONFIDENCE = 0.95
STUDIES, RESAMPLES = 400, 200  # simulated studies, and bootstrap resamples of each
BCA_STUDIES = 200  # simulated studies whose intervals are bias-corrected, which costs more


@dataclass(frozen=True)
class ControlResult:
    """Whether the effect was seen in the positive control, and the numbers that show it."""

    seen: bool
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Power:
    """What a study states before its first seed.

    Attributes:
        effect: the effect that it looks for, in one sentence.
        detectable: returns the smallest effect that a number of seeds detects with probability `POWER`, or None.
        measure: what that number is, in words.
        assumption: what that number assumes, in words.
        case: the positive control, in words.
        control: measures the effect in that case.
    """

    effect: str
    detectable: Callable[[int], float | None]
    measure: str
    assumption: str
    case: str
    control: Callable[[], ControlResult]


@dataclass(frozen=True)
class Statement:
    """The statement of a study with a number of seeds."""

    effect: str
    seeds: int
    detectable: float | None
    measure: str
    assumption: str
    case: str
    control: ControlResult

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the lines in which they are printed, as plain data."""
        return asdict(self) | {"lines": self.lines()}

    def lines(self) -> list[str]:
        """Return the sentences in which the statement is printed."""
        smallest = f"{self.detectable:.3g}, {self.measure}, if {self.assumption}" if self.detectable else "none"
        return [
            f"effect: {self.effect}",
            f"smallest effect detected with {self.seeds} seeds and probability {POWER:.0%}: {smallest}",
            f"positive control: {self.case}: {'seen' if self.control.seen else 'NOT seen'}",
        ]


def make_statement(power: Power, seeds: int) -> Statement:
    """Compute what `seeds` seeds detect, and run the positive control."""
    return Statement(
        effect=power.effect,
        seeds=seeds,
        detectable=power.detectable(seeds),
        measure=power.measure,
        assumption=power.assumption,
        case=power.case,
        control=power.control(),
    )


def failing_share(seeds: int) -> float:
    """Return the smallest share of failing problems of which `seeds` random ones contain one."""
    return 1.0 - (1.0 - POWER) ** (1.0 / seeds)


def share_of_seeds(seeds: int) -> float | None:
    """Return the smallest share of seeds with an effect of which the median seed has it; None below `MIN_SEEDS`."""
    return None if seeds < MIN_SEEDS else least_share(seeds, seeds // 2 + 1)


def least_share(count: int, hits: int, power: float = POWER) -> float:
    """Return the smallest chance of a hit with which `count` draws have at least `hits`, with probability `power`."""
    from scipy.special import betaincinv  # takes a second to import

    return float(betaincinv(hits, count - hits + 1, power))


def gained_share(count: int, agents: int = 1) -> float | None:
    """Return the smallest share of paired repetitions that only one arm gains and that its intervals show.

    An interval of the mean gain lies above 0 once four repetitions gain. Those of several independent agents must all
    do so. None below `MIN_PAIRS`.
    """
    return None if count < MIN_PAIRS else least_share(count, 4, POWER ** (1 / agents))


def shift(seeds: int) -> float | None:
    """Return the smallest difference of two arms' means whose bootstrap interval lies above 0.

    Simulated with normal scores, in standard deviations over seeds. None below `MIN_SEEDS`.
    """
    if seeds < MIN_SEEDS:
        return None
    (ours, theirs), (mine, yours) = _simulated(seeds)
    drawn = np.take_along_axis(ours[:, None], mine, 2).mean(2) - np.take_along_axis(theirs[:, None], yours, 2).mean(2)
    low = np.percentile(drawn, 50 * (1 - CONFIDENCE), axis=1)
    return float(np.quantile(-low, POWER))  # a shift moves the whole interval


@cache
def improvement(seeds: int, *, tasks: int = 1, others: int = 1) -> float | None:
    """Return the smallest probability that a run is better whose BCa interval lies above 1/2.

    Simulated with normal scores of equal spread.

    Args:
        seeds: the runs of each agent on each task.
        tasks: the tasks, with the same effect in each.
        others: the other agents, with the same effect against each; all intervals must lie above 1/2.

    Returns:
        That probability; None below `MIN_SEEDS`.
    """
    if seeds < MIN_SEEDS:
        return None
    rng, low, high = np.random.default_rng(0), 0.0, 8.0
    ours, theirs = rng.normal(size=(BCA_STUDIES, tasks, seeds)), rng.normal(size=(others, BCA_STUDIES, tasks, seeds))
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), (1 + others, BCA_STUDIES, tasks, RESAMPLES)) / seeds
    for _ in range(10):
        middle = 0.5 * (low + high)
        better = (ours[..., :, None] + middle > theirs[..., None, :]).astype(float)
        values = np.sum((drawn[0] @ better) * drawn[1:], axis=-1).mean(axis=2)
        enough = np.mean(np.all(above_half(better, values), axis=0)) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return NormalDist().cdf(high / 2**0.5)


def above_half(
    better: Float[np.ndarray, "*study task ours theirs"], drawn: Float[np.ndarray, "*study resample"]
) -> Bool[np.ndarray, "*study"]:
    """Return whether the lower end of the BCa interval of each study is above 1/2, as in `estimate_improvement`.

    Args:
        better: 1 where a run is better than another one.
        drawn: the probability of improvement in each bootstrap sample.
    """
    from scipy.special import ndtr, ndtri  # takes a second to import

    mean = better.mean(axis=(-2, -1))
    rows, columns = better.mean(axis=-1) - mean[..., None], better.mean(axis=-2) - mean[..., None]
    influence = np.concatenate([rows / rows.shape[-1], columns / columns.shape[-1]], axis=-1)
    value, size = mean.mean(axis=-1)[..., None], np.sum(influence**2, axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):  # of studies in which all runs of one agent are better
        bend = np.sum(influence**3, axis=(-2, -1)) / (6.0 * size**1.5)
        shift = ndtri(0.5 * (np.mean(drawn < value, axis=-1) + np.mean(drawn <= value, axis=-1)))
        tail = shift + ndtri(0.5 * (1 - CONFIDENCE))
        tail = ndtr(shift + tail / (1.0 - bend * tail))
    tail = np.where(np.isfinite(tail), tail, 0.5 * (1 - CONFIDENCE))
    return np.asarray(np.mean(drawn <= 0.5, axis=-1) < tail)


def _simulated(seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return normal scores [arm, study, seed] and resampled seeds [arm, study, resample, seed]."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, STUDIES, seeds)), rng.integers(seeds, size=(2, STUDIES, RESAMPLES, seeds))


def exact_power(effect: str, case: str, control: Callable[[], ControlResult]) -> Power:
    """Return the power of a study that computes a claim about every problem exactly, in random problems."""
    return Power(
        effect=effect,
        detectable=failing_share,
        measure="the share of problems in which the claim fails",
        assumption="the problems are drawn independently; in each one the error is that of float64",
        case=case,
        control=control,
    )


def median_power(effect: str, case: str, control: Callable[[], ControlResult]) -> Power:
    """Return the power of a criterion about the median seed."""
    return Power(
        effect=effect,
        detectable=share_of_seeds,
        measure="the share of all seeds on the claim's side of the criterion",
        assumption="seeds are independent and the measure of one seed has no error",
        case=case,
        control=control,
    )


def difference_power(effect: str, measure: str, case: str, control: Callable[[], ControlResult]) -> Power:
    """Return the power of a criterion about an interval of a difference of two arms' means."""
    return Power(
        effect=effect,
        detectable=shift,
        measure=f"{measure}, in standard deviations over seeds",
        assumption="seeds are independent, normal, and spread alike in both arms",
        case=case,
        control=control,
    )
