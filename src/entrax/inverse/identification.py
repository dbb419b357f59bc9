"""What demonstrations do not determine: directions of the weights, the temperature, and separable data."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError
from entrax.inverse.newton import Directions, identified_directions
from entrax.inverse.sensitivity import Derivatives

Vector = Float[np.ndarray, " feature"]
SEPARABLE = 1e-3
"""Data are separable if the information along a direction is this part of its spread, times the rarest share."""
CLEARLY_SEPARABLE = 1e-6
"""The same, for weights that are still far from a maximum."""
_SHOWN = 4  # components of a direction in a message
_LOADS = 1e-6  # of a component that belongs to a direction


def describe(direction: Vector, names: Sequence[str] | None = None) -> str:
    """Return a direction as a text of its largest components, such as "0.8 weight 0 − 0.6 weight 2"."""
    order = np.argsort(-np.abs(direction), kind="stable")
    kept = [int(k) for k in order if abs(direction[k]) > _LOADS][:_SHOWN]
    text = ""
    for k in kept:
        sign = ("−" if direction[k] < 0 else "+") if text or direction[k] < 0 else ""
        text += f"{' ' if text else ''}{sign}{' ' if text else ''}{abs(direction[k]):.3g} "
        text += f"weight {k}" if names is None else names[k]
    return text + (" …" if np.sum(np.abs(direction) > _LOADS) > _SHOWN else "")


def needs_known_reward(known: bool) -> None:
    """Refuse to fit a temperature where the scale of the reward is free."""
    if not known:
        raise UsageError(
            "`temperature` can be fitted only where the reward's scale is fixed: all weights and the temperature "
            "times one number have the same policy (the direction is the weights themselves). Give a `known_reward`, "
            "or fix the temperature."
        )


def check_temperature_identified(directions: Directions, inverse: float) -> None:
    """Refuse a temperature that could be any, or not above 0. Component 0 of the directions is 1/α."""
    free = np.flatnonzero(np.abs(directions[:, 0]) > _LOADS) if len(directions) else np.zeros(0, int)
    if free.size:
        names = scaled_names(directions.shape[1])
        raise UsageError(
            "`temperature` is not identified: no demonstrated policy changes along the direction "
            f"{describe(directions[free[0]], names)}. Fix the temperature, or give a `known_reward` that is no sum of "
            "features up to shaping."
        )
    if inverse <= 0:
        raise UsageError(
            f"`temperature` has no estimate above 0: the demonstrations choose lower values of `known_reward` as often "
            f"as higher ones or more often (1/temperature = {inverse:.4g}). Fix the temperature."
        )


def direction_of_separation(at: Derivatives, scale: Vector, rarest: float, part: float = SEPARABLE) -> Vector | None:
    """Return a direction along which the objective has no maximum, or None.

    Where a maximum exists, no demonstrated policy is nearer to determinism than about the `rarest` decision, so the
    information along a direction is at least about this share of its spread. Along a direction in which the objective
    rises for ever it tends to 0.
    """
    basis = identified_directions(at.spread, scale)
    if basis.shape[1] == 0:
        return None
    size, vectors = np.linalg.eigh(basis.T @ at.spread @ basis)
    white = basis @ (vectors / np.sqrt(size))
    information, along = np.linalg.eigh(-white.T @ at.hessian @ white)
    if abs(information[0]) >= part * rarest:
        return None
    direction = white @ along[:, 0]
    rising = direction if at.gradient @ direction >= 0 else -direction
    return np.asarray(rising / np.linalg.norm(rising))


def scaled_names(count: int) -> list[str]:
    """Return the names of the components where the temperature is fitted."""
    return ["1/temperature", *(f"weight {k}/temperature" for k in range(count - 1))]


def refuse_separable(direction: Vector, fitted: bool) -> None:
    """Raise the error of separable demonstrations."""
    names = scaled_names(len(direction)) if fitted else None
    raise UsageError(
        "The demonstrations are separable: the objective rises for ever along the direction "
        f"{describe(direction, names)}, as if the temperature ran to 0. Give a penalty (`l2` or `l1`), fewer features, "
        "or more demonstrations."
    )
