"""Baselines, which reduce the variance of score-function estimates.

    E[φ (R − b)] = E[φ R]  whenever b does not depend on the action, as E[φ] = 0                            (1)
    b* = E[φ² R] / E[φ²]   is the constant of least variance, for each parameter separately                 (2)

**Leave one out.** A baseline computed from the return that it is subtracted from depends on the action. The mean of
all N returns then shrinks the gradient by (N−1)/N, and (2) biases it in a way that depends on the problem. Here each
trajectory's baseline is computed from the other trajectories, so that (1) is exact for every N ≥ 2. A learned baseline
is unbiased if it is a function of the state or was fitted to other trajectories.

References:
    Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates.
    Kool et al. (2019), for leaving one sample out.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike

from entrax.errors import UsageError

Returns = Float[Array | np.ndarray, " sample"]
Scores = Float[Array | np.ndarray, "sample param"]


def mean_baseline(returns: Returns) -> Float[Array, " sample"]:
    """Return for each sample the mean return of the other samples.

    Raises:
        UsageError: there are fewer than two samples.
    """
    count = _sample_count(returns)
    return (jnp.sum(returns) - returns) / (count - 1)


def optimal_baseline(scores: Scores, returns: Returns) -> Float[Array, "sample param"]:
    """Estimate b* of equation (2) for each sample from the other samples.

    Args:
        scores: ∇ log π of each sample.
        returns: R of each sample.

    Returns:
        The baseline in units of return; 0 for a parameter whose score is 0 in all other samples.

    Raises:
        UsageError: there are fewer than two samples.
    """
    _sample_count(returns)
    squared = jnp.asarray(scores) ** 2
    weighted = squared * returns[:, None]
    weight = jnp.sum(squared, axis=0) - squared
    total = jnp.sum(weighted, axis=0) - weighted
    return jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1), 0)


def fit_linear_baseline(
    features: Float[Array | np.ndarray, "sample feature"], returns: Returns, ridge: ScalarLike = 1e-6
) -> Float[Array, " feature"]:
    """Fit the weights w of the least-squares baseline b(s) = w·features(s).

    Fit it to other trajectories than those whose gradient is estimated; predict with `features @ w`.

    Args:
        features: the features of each sample's state.
        returns: the return from each sample's state.
        ridge: the factor of the penalty |w|², which is added to the mean squared error.
    """
    features = jnp.asarray(features)
    gram = features.T @ features / features.shape[0] + ridge * jnp.eye(features.shape[1], dtype=features.dtype)
    return jax.scipy.linalg.solve(gram, features.T @ returns / features.shape[0], assume_a="pos")


def _sample_count(returns: Returns) -> int:
    if returns.shape[0] < 2:
        raise UsageError(f"A leave-one-out baseline needs at least two samples, got {returns.shape[0]}.")
    return returns.shape[0]
