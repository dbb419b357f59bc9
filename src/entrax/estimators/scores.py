"""Scores ∇_θ log π_θ(a|s), in closed form or by automatic differentiation.

    softmax-linear    log π(a) = w·φ(a) − log Σ exp(w·φ)       ∇_w = φ(a) − E_π φ                        (1)
    Gaussian-linear   a ~ N(w·φ, σ²)                            ∇_w = (a−μ) φ/σ²,  ∇_{log σ} = (a−μ)²/σ² − 1   (2)

Every score has expectation 0 under its own policy. A baseline, any number that does not depend on the action, can
therefore be subtracted from its weight.

References:
    Williams (1992), Simple statistical gradient-following algorithms.
    Sutton and Barto (2018), Reinforcement learning, chapter 13.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, ScalarLike

ActionFeatures = Float[Array | np.ndarray, "action feature"]
Features = Float[Array | np.ndarray, " feature"]
Action = Int[Array | np.ndarray, ""] | int


def score(log_probability: Callable[..., Float[Array, ""]], params: Any, *arguments: Any) -> Any:
    """Return ∇_θ of `log_probability(params, *arguments)`, a pytree like `params`."""
    return jax.grad(log_probability)(params, *arguments)


def softmax_linear_log_probability(weight: Features, features: ActionFeatures, action: Action) -> Float[Array, ""]:
    """Return log π(a) of the softmax of w·φ; row a of `features` is φ(a)."""
    return jax.nn.log_softmax(jnp.asarray(features) @ weight)[action]


def softmax_linear_score(weight: Features, features: ActionFeatures, action: Action) -> Float[Array, " feature"]:
    """Return the score φ(a) − E_π φ, equation (1)."""
    features = jnp.asarray(features)
    return features[action] - jax.nn.softmax(features @ weight) @ features


def gaussian_linear_log_probability(
    weight: Features, log_std: ScalarLike, features: Features, action: ScalarLike
) -> Float[Array, ""]:
    """Return log N(a; w·φ, σ²) of a scalar action.

    For independent dimensions add the results.
    """
    standardised = (action - jnp.asarray(features) @ jnp.asarray(weight)) / jnp.exp(log_std)
    return jnp.asarray(-0.5 * standardised**2 - log_std - 0.5 * jnp.log(2 * jnp.pi))


def gaussian_linear_score(
    weight: Features, log_std: ScalarLike, features: Features, action: ScalarLike
) -> tuple[Float[Array, " feature"], Float[Array, ""]]:
    """Return the scores of the weights and of log σ, equation (2)."""
    features = jnp.asarray(features)
    std = jnp.exp(log_std)
    standardised = jnp.asarray(action - features @ jnp.asarray(weight)) / std
    return standardised / std * features, standardised**2 - 1
