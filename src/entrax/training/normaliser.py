"""Running statistics that observations and rewards are scaled by, advanced between chunks and frozen within one.

Observations become clip((s - μ)/σ, ±10), with the running mean μ and deviation σ of each entry (Chan et al. 1983).
An entry that has not varied keeps its own unit (σ = 1). When it begins to vary, its constant past counts no more than
the chunk that ends it: otherwise its first moves would lie hundreds of deviations from the mean.

Rewards become clip(r/σ, ±10), with the running deviation σ of the discounted return R_t = γ R_{t-1} + r_t, which begins
at 0 with each episode (Engstrom et al. 2020, arXiv:2005.12729). Rewards are not centred: that would change which policy
is best. The deviation counts as at least a fifth of the mean, so that no steady reward is clipped.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from entrax.errors import EntraxError, UsageError
from entrax.policies.controller import Scaling

CLIP = 10.0
"""The largest scaled observation and reward, as in OpenAI Baselines."""
CONSTANT, CONSTANT_SHARE = 1e-5, 1e-7
"""Deviations below the first, or below this share of the mean (the rounding of float32), count as none."""
LEAST_SHARE = 0.2
"""The least deviation of a return, as a share of its mean."""


class Moments:
    """Count, mean and sum of squared deviations of each entry, in float64."""

    def __init__(self, size: int, constant: float = CONSTANT):
        self.constant = constant
        self.count, self.mean, self.sum_of_squares = np.zeros(size), np.zeros(size), np.zeros(size)

    def advance(self, values: Float[np.ndarray, "n size"]) -> None:
        """Count more rows."""
        mean, n = values.mean(axis=0), len(values)
        count = np.where(self.varies(), self.count, np.minimum(self.count, n))
        total, delta = count + n, mean - self.mean
        self.sum_of_squares = self.sum_of_squares + ((values - mean) ** 2).sum(axis=0) + delta**2 * (count * n / total)
        self.mean, self.count = self.mean + delta * (n / total), total

    def deviation(self) -> Float[np.ndarray, " size"]:
        """Return σ of each entry; 0 before any row."""
        return np.sqrt(self.sum_of_squares / np.maximum(self.count, 1))

    def varies(self) -> Bool[np.ndarray, " size"]:
        """Return which entries have varied."""
        return self.deviation() > np.maximum(self.constant, CONSTANT_SHARE * np.abs(self.mean))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state by name, for `restore`."""
        return {"count": self.count, "mean": self.mean, "sum_of_squares": self.sum_of_squares}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `arrays` gave; older runs hold one count for all entries.

        Raises EntraxError when an array is missing or has another shape.
        """
        for name in ("count", "mean", "sum_of_squares"):
            shape = arrays[name].shape if name in arrays else None
            if shape != self.mean.shape and (name != "count" or shape != ()):
                raise EntraxError(f"The normaliser's array {name!r} is missing, or its shape is not {self.mean.shape}.")
        self.mean, self.sum_of_squares = arrays["mean"].copy(), arrays["sum_of_squares"].copy()
        self.count = np.broadcast_to(arrays["count"], self.mean.shape).astype(np.float64)


class Normaliser:
    """Scales observations. With `enabled` false it is the identity and counts nothing."""

    def __init__(self, size: int, enabled: bool):
        self.enabled = enabled
        self.moments = Moments(size)
        self.clip = CLIP if enabled else np.inf

    def advance(self, obs: Float[np.ndarray, "n obs"]) -> None:
        """Count a chunk's observations."""
        if self.enabled and len(obs) > 0:
            self.moments.advance(obs.astype(np.float64))

    def scaling(self) -> Scaling:
        """Return the scaling of observations until the next chunk, in float32."""
        deviation = self.moments.deviation()
        if np.isfinite(self.clip):
            scale = np.where(self.moments.varies(), deviation, 1.0)
        else:  # no normaliser, or that of a run from before there was a clip
            scale = np.where(self.moments.count > 0, np.maximum(deviation, 1e-3), 1.0)
        return Scaling(
            mean=self.moments.mean.astype(np.float32),
            scale=scale.astype(np.float32),
            clip=np.asarray(self.clip, np.float32),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state by name, in float64, for `restore`."""
        return self.moments.arrays() | ({"clip": np.asarray(self.clip)} if np.isfinite(self.clip) else {})

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `arrays` gave. Statistics saved without a clip keep their meaning, and have none."""
        self.moments.restore(arrays)
        self.clip = float(arrays.get("clip", np.inf)) if self.enabled else np.inf


def check_reward_scale(config: Any, enabled: bool) -> None:
    """Raise EntraxError if rewards are to be scaled but the agent's configuration has no discount."""
    if enabled and vars(config).get("discount") is None:
        raise UsageError("`normalise_rewards` requires an agent whose Config has a `discount`; remove it.")


class RewardScale:
    """Scales rewards. With `enabled` false they stay as they are and nothing is counted."""

    def __init__(self, envs: int, discount: float, enabled: bool):
        self.enabled, self.discount = enabled, discount
        self.moments, self.returns = Moments(1, constant=0.0), np.zeros(envs)

    @classmethod
    def of(cls, config: Any, envs: int, enabled: bool) -> "RewardScale":
        """Return the scale for an agent's resolved configuration."""
        return cls(envs, float(config.discount) if enabled else 0.0, enabled)

    def advance(self, reward: Float[np.ndarray, "time env"], ended: Bool[np.ndarray, "time env"]) -> None:
        """Count the discounted returns after each of some steps."""
        if not self.enabled or len(reward) == 0:
            return
        seen = np.empty(reward.shape)
        for t, (r, end) in enumerate(zip(reward.astype(np.float64), ended, strict=True)):
            self.returns = self.discount * self.returns + r
            seen[t] = self.returns
            self.returns = np.where(end, 0.0, self.returns)
        self.moments.advance(seen.reshape(-1, 1))

    def scale(self) -> float:
        """Return the divisor of rewards; 1 while all of them have been 0."""
        deviation, mean = float(self.moments.deviation()[0]), float(self.moments.mean[0])
        scale = np.float32(max(deviation, LEAST_SHARE * abs(mean)))
        return float(scale) if scale >= np.finfo(np.float32).tiny else 1.0

    def __call__(self, reward: Float[Any, "..."]) -> Float[Any, "..."]:
        """Return the scaled rewards, in float32."""
        return np.clip(reward / np.float32(self.scale()), -CLIP, CLIP) if self.enabled else reward

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state by name, for `restore`; empty if rewards are not scaled."""
        return self.moments.arrays() | {"returns": self.returns} if self.enabled else {}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `arrays` gave; without `returns` all episodes begin."""
        if self.enabled:
            self.moments.restore(arrays)
            self.returns = arrays["returns"].copy() if "returns" in arrays else np.zeros_like(self.returns)
