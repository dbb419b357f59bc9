"""Baselines: what may be subtracted from a return without moving the mean of score × (return − baseline).

    E[φ (R − b)] = E[φ R]  whenever b does not depend on the action, as E[φ] = 0                            (1)
    b* = E[φ² R] / E[φ²]   is the constant of least variance, for each parameter on its own                 (2)

**Whose sample?** A baseline that is computed from the very return it is subtracted from depends on the action after
all: the plain mean of N returns shrinks the gradient by (N−1)/N, and (2) biases it in a way that depends on the
problem. Here each trajectory's baseline leaves that trajectory out, which makes (1) exact for every N ≥ 2. A learned
baseline is exact when it was fitted to other trajectories, or is a function of the state.

Sources: Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates; Kool et al.
(2019) for leaving one out.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike

from entrax.errors import EntraxError

Returns = Float[Array | np.ndarray, " sample"]
Scores = Float[Array | np.ndarray, "sample param"]


def mean_baseline(returns: Returns) -> Float[Array, " sample"]:
    """For each sample the mean of the other samples' returns. Raises EntraxError for fewer than two."""
    count = _count(returns)
    return (jnp.sum(returns) - returns) / (count - 1)


def optimal_baseline(scores: Scores, returns: Returns) -> Float[Array, "sample param"]:
    """b* of equation (2) for each sample and parameter, estimated from the other samples.

    A parameter whose score is 0 in all other samples gets baseline 0. Raises EntraxError for fewer than two samples.
    """
    _count(returns)
    squared = jnp.asarray(scores) ** 2
    weighted = squared * returns[:, None]
    weight = jnp.sum(squared, axis=0) - squared
    total = jnp.sum(weighted, axis=0) - weighted
    return jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1), 0)


def fit_linear_baseline(
    features: Float[Array | np.ndarray, "sample feature"], returns: Returns, ridge: ScalarLike = 1e-6
) -> Float[Array, " feature"]:
    """Weights w of the least-squares baseline b(s) = w·features(s), with `ridge` times |w|² added to the mean square.

    Fit it to earlier trajectories than those whose gradient it serves; predict with `features @ w`.
    """
    features = jnp.asarray(features)
    gram = features.T @ features / features.shape[0] + ridge * jnp.eye(features.shape[1], dtype=features.dtype)
    return jnp.linalg.solve(gram, features.T @ returns / features.shape[0])


def _count(returns: Returns) -> int:
    if returns.shape[0] < 2:
        raise EntraxError("A baseline from a batch leaves each trajectory's own return out: give at least two.")
    return returns.shape[0]
