"""What a study states before its first seed: the effect, what its seeds can detect, and a positive control.

A study that could not have detected the effect can support its claim but not refute it. The statement is made before
any seed is trained. Its positive control is a case in which the effect is known to be there: if the study's measure
does not see it in that case, nothing is judged.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

POWER = 0.8
"""The probability with which the smallest detectable effect is detected."""
MIN_SEEDS = 4
"""The fewest random problems or trained runs from which a claim about a median or mean is decided."""
CONFIDENCE = 0.95
STUDIES, RESAMPLES = 400, 200  # simulated studies, and bootstrap resamples of each


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


def least_share(count: int, hits: int) -> float:
    """Return the smallest probability of a hit with which `count` draws have at least `hits` hits."""
    from scipy.special import betaincinv  # takes a second to import

    return float(betaincinv(hits, count - hits + 1, POWER))


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


def improvement(seeds: int) -> float | None:
    """Return the smallest probability that a seed of one arm is better whose bootstrap interval lies above 1/2.

    Simulated with normal scores of equal spread. None below `MIN_SEEDS`.
    """
    if seeds < MIN_SEEDS:
        return None
    (ours, theirs), (mine, yours) = _simulated(seeds)
    ours, theirs = np.take_along_axis(ours[:, None], mine, 2), np.take_along_axis(theirs[:, None], yours, 2)
    low, high = 0.0, 8.0
    for _ in range(12):
        middle = 0.5 * (low + high)
        better = np.mean(ours[..., :, None] + middle > theirs[..., None, :], axis=(2, 3))
        enough = np.mean(np.percentile(better, 50 * (1 - CONFIDENCE), axis=1) > 0.5) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return NormalDist().cdf(high / 2**0.5)


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
