"""Scores ∇_θ log π_θ(a|s) of one action: in closed form where there is one, by automatic differentiation otherwise.

    softmax-linear    log π(a) = w·φ(a) − log Σ exp(w·φ)       ∇_w = φ(a) − E_π φ                        (1)
    Gaussian-linear   a ~ N(w·φ, σ²)                            ∇_w = (a−μ) φ/σ²,  ∇_{log σ} = (a−μ)²/σ² − 1   (2)

Every score has expectation 0 under its own policy, so anything that does not depend on the action may be subtracted
from its weight: a baseline.

Source: Williams (1992), Simple statistical gradient-following algorithms; Sutton and Barto (2018), chapter 13.
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
    """∇_θ of `log_probability(params, *arguments)`, a pytree like `params`: any differentiable policy's score."""
    return jax.grad(log_probability)(params, *arguments)


def softmax_linear_log_probability(weight: Features, features: ActionFeatures, action: Action) -> Float[Array, ""]:
    """log π(a) of the softmax of w·φ(a) over the rows of `features`."""
    return jax.nn.log_softmax(jnp.asarray(features) @ weight)[action]


def softmax_linear_score(weight: Features, features: ActionFeatures, action: Action) -> Float[Array, " feature"]:
    """φ(a) − E_π φ, equation (1)."""
    features = jnp.asarray(features)
    return features[action] - jax.nn.softmax(features @ weight) @ features


def gaussian_linear_log_probability(
    weight: Features, log_std: ScalarLike, features: Features, action: ScalarLike
) -> Float[Array, ""]:
    """log N(a; w·φ, σ²) of a scalar action; independent dimensions add."""
    standardised = (action - jnp.asarray(features) @ jnp.asarray(weight)) / jnp.exp(log_std)
    return jnp.asarray(-0.5 * standardised**2 - log_std - 0.5 * jnp.log(2 * jnp.pi))


def gaussian_linear_score(
    weight: Features, log_std: ScalarLike, features: Features, action: ScalarLike
) -> tuple[Float[Array, " feature"], Float[Array, ""]]:
    """((a−μ) φ/σ², (a−μ)²/σ² − 1), equation (2): the scores for the weights and for log σ."""
    features = jnp.asarray(features)
    std = jnp.exp(log_std)
    standardised = jnp.asarray(action - features @ jnp.asarray(weight)) / std
    return standardised / std * features, standardised**2 - 1
