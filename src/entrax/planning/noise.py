"""Noise over time of unit variance, as a linear map of independent normal numbers.

Each kind is a matrix L [time, rank] whose rows have norm 1: L ξ with ξ ~ N(0, 1) is one draw for one entry of an
action, and L Lᵀ is its covariance over time.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from entrax.errors import UsageError, require

Basis = Float[np.ndarray, "time rank"]


@runtime_checkable
class Noise(Protocol):
    """A kind of noise."""

    def basis(self, horizon: int) -> Basis:
        """Return L for this number of steps."""
        ...


@dataclass(frozen=True)
class White:
    """Independent at every step."""

    def basis(self, horizon: int) -> Basis:
        """Return the identity."""
        return np.eye(horizon)


@dataclass(frozen=True)
class Coloured:
    """Stationary noise whose power falls with the frequency f as f^−exponent.

    It is periodic with twice the horizon, of which the first half is used, so that the end of a plan is not tied to its
    beginning. The power at frequency 0 is that of the lowest other one. Exponent 0 is white.

    Args:
        exponent: 1 is pink noise, 2 like a random walk.
    """

    exponent: float = 1.0

    def __post_init__(self) -> None:
        require(0 <= self.exponent < np.inf, "exponent", "a finite number of at least 0", self.exponent)

    def basis(self, horizon: int) -> Basis:
        """Return cosines and sines of every frequency, scaled."""
        times, k = np.arange(horizon)[:, None], np.arange(horizon + 1)
        power = np.maximum(k, 1.0) ** -self.exponent
        share = np.where((k == 0) | (k == horizon), power, 2 * power)
        phase = np.pi * times * k / horizon
        scale = np.sqrt(share / share.sum())
        return np.hstack([scale * np.cos(phase), (scale * np.sin(phase))[:, 1:-1]])


@dataclass(frozen=True)
class Splines:
    """A natural cubic spline through independent normal numbers at equal distances, scaled to variance 1 at each step.

    Args:
        knots: their number, at least 2; at most the horizon.
    """

    knots: int = 4

    def __post_init__(self) -> None:
        require(self.knots >= 2, "knots", "at least 2", self.knots)

    def basis(self, horizon: int) -> Basis:
        """Return the spline through each unit vector.

        Raises:
            UsageError: there are more knots than steps.
        """
        from scipy.interpolate import CubicSpline

        if self.knots > horizon:
            raise UsageError(f"`knots` must be at most the horizon of {horizon} steps, got {self.knots}.")
        at = np.linspace(0.0, horizon - 1.0, self.knots)
        values = CubicSpline(at, np.eye(self.knots), bc_type="natural")(np.arange(horizon))
        return values / np.linalg.norm(values, axis=1, keepdims=True)


def draw(basis: Basis, size: int, key: PRNGKeyArray) -> Float[Array, "time size"]:
    """Draw noise for each entry of an action, independent of the other entries."""
    return jnp.asarray(basis) @ jr.normal(key, (basis.shape[1], size))
