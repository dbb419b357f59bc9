"""Planners by name, with their settings as fields: flags and checks follow from these."""

import dataclasses
from typing import Any

from entrax.fields import FROM_0_BELOW_1, POSITIVE, UNIT, Settings, at_least, field, one_of
from entrax.planning.base import Planner
from entrax.planning.lookahead import Lookahead
from entrax.planning.noise import Coloured, Noise, Splines, White
from entrax.planning.path_integral import PathIntegral
from entrax.planning.shooting import CrossEntropy, RandomShooting

NOISES = ("white", "coloured", "splines")


class PlannerSettings(Settings):
    """What all planners that draw plans have."""

    samples: int = field(128, "Plans of a decision; of each iteration, if there are several.", at_least(1))
    horizon: int = field(20, "Steps of a plan.", at_least(1))
    std: float = field(0.7, "Standard deviation of the noise, in halves of an action's range.", POSITIVE, symbol="σ")
    noise: str = field("white", "Noise over time.", one_of(*NOISES))
    knots: int | None = field(None, "Knots of splines.", at_least(2), derived="one for every three steps, at least 3")
    exponent: float = field(1.0, "Exponent of coloured noise: 1 is pink, 2 like a random walk.", at_least(0))
    discount: float = field(1.0, "Weight of a reward for every step that it lies ahead.", UNIT, symbol="γ")


class PathIntegralSettings(PlannerSettings):
    """Settings of `PathIntegral`, in its free form."""

    temperature: float = field(1.0, "Temperature of the weights of plans, in units of reward.", at_least(0), symbol="α")
    iterations: int = field(1, "Updates of a decision.", at_least(1))


class CrossEntropySettings(PlannerSettings):
    """Settings of `CrossEntropy`."""

    elites: int | None = field(
        None, "Best plans that the Gaussian is fitted to.", at_least(2), derived="an eighth of the samples, at least 2"
    )
    iterations: int = field(3, "Fits of a decision.", at_least(1))
    momentum: float = field(0.1, "Weight of the Gaussian before each fit.", FROM_0_BELOW_1)
    smallest_std: float = field(0.05, "Lower limit of the fitted standard deviation.", at_least(0))


class ShootingSettings(PlannerSettings):
    """Settings of `RandomShooting`."""


PLANNERS: dict[str, type[PlannerSettings]] = {
    "mppi": PathIntegralSettings,
    "cem": CrossEntropySettings,
    "shooting": ShootingSettings,
}
"""The settings of path integral control, the cross-entropy method and random shooting."""


def resolved(settings: PlannerSettings) -> PlannerSettings:
    """Return the settings with what follows from others."""
    derived: dict[str, Any] = {}
    if settings.knots is None:
        derived["knots"] = min(max(3, round(settings.horizon / 3)), settings.horizon)
    if isinstance(settings, CrossEntropySettings) and settings.elites is None:
        derived["elites"] = max(2, settings.samples // 8)
    return dataclasses.replace(settings, **derived)


def build(settings: PlannerSettings, lookahead: Lookahead, seed: int = 0) -> Planner:
    """Return the planner of resolved settings.

    Args:
        settings: whose horizon and discount are already those of `lookahead`.
        lookahead: the model.
        seed: of the noise of greedy decisions.
    """
    common: dict[str, Any] = {
        "samples": settings.samples,
        "std": settings.std,
        "noise": noise_of(settings),
        "seed": seed,
    }
    match settings:
        case PathIntegralSettings():
            return PathIntegral(lookahead, settings.temperature, iterations=settings.iterations, **common)
        case CrossEntropySettings():
            names = ("elites", "iterations", "momentum", "smallest_std")
            return CrossEntropy(lookahead, **{name: getattr(settings, name) for name in names}, **common)
        case _:
            return RandomShooting(lookahead, **common)


def noise_of(settings: PlannerSettings) -> Noise:
    """Return the noise that resolved settings describe."""
    match settings.noise:
        case "splines":
            assert settings.knots is not None
            return Splines(settings.knots)
        case "coloured":
            return Coloured(settings.exponent)
        case _:
            return White()
