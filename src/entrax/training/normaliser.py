"""Running mean and variance of observations (Chan et al. 1983), advanced between chunks and frozen within one."""

import numpy as np
from jaxtyping import Float


class Normaliser:
    """Counts every observation once, in float64. With `enabled` false it is the identity and counts nothing."""

    def __init__(self, size: int, enabled: bool):
        self.enabled = enabled
        self.count = 0.0
        self.mean = np.zeros(size)
        self.sum_of_squares = np.zeros(size)

    def advance(self, obs: Float[np.ndarray, "n obs"]) -> None:
        """Take in a chunk's observations."""
        if not self.enabled or len(obs) == 0:
            return
        obs = obs.astype(np.float64)
        mean, total = obs.mean(axis=0), self.count + len(obs)
        delta = mean - self.mean
        self.sum_of_squares += ((obs - mean) ** 2).sum(axis=0) + delta**2 * (self.count * len(obs) / total)
        self.mean = self.mean + delta * (len(obs) / total)
        self.count = total

    def scaling(self) -> tuple[Float[np.ndarray, " obs"], Float[np.ndarray, " obs"]]:
        """The float32 (mean, scale) that observations are normalised by: (obs - mean) / scale."""
        variance = self.sum_of_squares / self.count if self.count > 0 else np.ones_like(self.mean)
        return self.mean.astype(np.float32), np.sqrt(np.maximum(variance, 1e-6)).astype(np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """The state by name, float64; `restore` takes it back."""
        return {"count": np.asarray(self.count), "mean": self.mean, "sum_of_squares": self.sum_of_squares}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from what `arrays` gave."""
        self.count = float(arrays["count"])
        self.mean, self.sum_of_squares = arrays["mean"].copy(), arrays["sum_of_squares"].copy()
