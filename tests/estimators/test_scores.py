"""Closed-form scores against automatic differentiation, and E[score] = 0."""

import jax
import numpy as np

from entrax.estimators import (
    gaussian_linear_log_probability,
    gaussian_linear_score,
    score,
    softmax_linear_log_probability,
    softmax_linear_score,
)

_rng = np.random.default_rng(3)
FEATURES = _rng.normal(size=(4, 3))
WEIGHT = _rng.normal(size=3)
LOG_STD = 0.4


def test_softmax_score_is_the_derivative_and_has_mean_zero():
    logits = FEATURES @ WEIGHT
    policy = np.exp(logits) / np.exp(logits).sum()
    scores = np.array([softmax_linear_score(WEIGHT, FEATURES, action) for action in range(4)])
    np.testing.assert_allclose(scores, FEATURES - policy @ FEATURES, rtol=1e-12)
    for action in range(4):
        np.testing.assert_allclose(
            score(softmax_linear_log_probability, WEIGHT, FEATURES, action), scores[action], rtol=1e-12
        )
    np.testing.assert_allclose(policy @ scores, 0, atol=1e-15)


def test_gaussian_score_is_the_derivative_and_has_mean_zero():
    phi = FEATURES[0]
    mean, std = phi @ WEIGHT, np.exp(LOG_STD)
    # Gauss-Hermite nodes integrate these polynomials of the action without error.
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    weights /= weights.sum()
    actions = mean + std * nodes
    by_weight, by_log_std = jax.vmap(lambda action: gaussian_linear_score(WEIGHT, LOG_STD, phi, action))(actions)
    np.testing.assert_allclose(by_weight, (actions - mean)[:, None] * phi / std**2, rtol=1e-10)
    np.testing.assert_allclose(by_log_std, (actions - mean) ** 2 / std**2 - 1, rtol=1e-10)
    np.testing.assert_allclose(weights @ by_weight, 0, atol=1e-13)
    np.testing.assert_allclose(weights @ by_log_std, 0, atol=1e-13)
    # The Fisher information of log σ is 2, of the mean φφᵀ/σ².
    np.testing.assert_allclose(weights @ by_log_std**2, 2, rtol=1e-12)

    def log_probability(params, action):
        return gaussian_linear_log_probability(params["weight"], params["log_std"], phi, action)

    derived = score(log_probability, {"weight": WEIGHT, "log_std": LOG_STD}, actions[2])
    np.testing.assert_allclose(derived["weight"], by_weight[2], rtol=1e-12)
    np.testing.assert_allclose(derived["log_std"], by_log_std[2], rtol=1e-12)
