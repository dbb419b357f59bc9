"""The result of inferring a reward, and what its policy shows beside the demonstrations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from entrax.exact import Solution
from entrax.inverse.certificate import certified_log_likelihood
from entrax.inverse.demonstrations import Demonstrations
from entrax.inverse.sensitivity import Chain, Model, count_decisions, moment_terms, policy_of

Weights = Float[np.ndarray, " feature"]
Table = Float[np.ndarray, "state action"]
DECREMENT = 1e-8
"""Weights are this many standard errors from the maximum, or nearer."""


@dataclass(frozen=True)
class InferredReward:
    """The result of `fit`. Rewards are in the units of the temperature.

    Attributes:
        weights: θ; empty if only the temperature was fitted.
        errors: the standard error of each weight; ∞ if it can be shifted freely, NaN if l1 has set it to 0 or if the
            objective is not strictly concave at the estimate.
        covariance: that of the weights, without unidentified directions.
        temperature: α.
        temperature_error: its standard error; 0 if it was given.
        reward: r(s,a) = r₀ + Σ θ φ; 0 for excluded actions.
        objective: 'likelihood' or 'moments'.
        objective_value: (1) or (2) without penalties, in nats; of (1), up to the constant of the prior.
        log_likelihood: Σ w log π(a_t|s_t) in nats.
        log_likelihood_error: a certified bound on its error, for these weights.
        demonstrated_features: Σ w Σ_t γ^t φ of the demonstrations.
        expected_features: the same under the soft-optimal policy, from the demonstrations' first states, up to where
            each demonstration was cut off.
        demonstrated_visits: Σ w Σ_t γ^t of each (s, a).
        expected_visits: the same under the policy.
        unidentified: orthonormal directions of the weights, in rows, that change no policy in a demonstrated state.
        solution: that of `entrax.exact.plan` for the reward.
        decrement: the distance from the maximum, in standard errors.
        converged: whether the decrement is at most `DECREMENT`.
        iterations: the number of Newton steps.
    """

    weights: Weights
    errors: Weights
    covariance: Float[np.ndarray, "feature feature"]
    temperature: float
    temperature_error: float
    reward: Table
    objective: str
    objective_value: float
    log_likelihood: float
    log_likelihood_error: float
    demonstrated_features: Weights
    expected_features: Weights
    demonstrated_visits: Table
    expected_visits: Table
    unidentified: Float[np.ndarray, "direction feature"]
    solution: Solution
    decrement: float
    converged: bool
    iterations: int

    def intervals(self, level: float = 0.95) -> Float[np.ndarray, "feature 2"]:
        """Return the normal confidence interval of each weight."""
        half = float(norm.ppf((1 + level) / 2)) * self.errors
        return np.stack([self.weights - half, self.weights + half], axis=1)


def observe(
    model: Model, demos: Demonstrations, features: np.ndarray, reward: Table, solution: Solution
) -> dict[str, Any]:
    """Return the fields of a result that compare the policy with the demonstrations."""
    likelihood, error = certified_log_likelihood(model, count_decisions(model, demos, 1.0), reward, solution)
    policy, terms = policy_of(model, solution), moment_terms(model, demos)
    expected = -Chain(model, policy).flow(terms.c)[..., None] * policy
    visits = [array.reshape(-1, *policy.shape[-2:]).sum(0) for array in (terms.m, expected)]
    return {
        "log_likelihood": likelihood,
        "log_likelihood_error": error,
        "demonstrated_visits": visits[0],
        "expected_visits": visits[1],
        "demonstrated_features": np.einsum("sa,saf->f", visits[0], features),
        "expected_features": np.einsum("sa,saf->f", visits[1], features),
        "solution": solution,
    }
