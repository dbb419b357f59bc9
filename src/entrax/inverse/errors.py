"""Covariances of estimated weights."""

import numpy as np

from entrax.exact import Solution
from entrax.inverse.demonstrations import UNKNOWN, Demonstrations
from entrax.inverse.newton import Directions, Matrix, Penalty, identified_directions
from entrax.inverse.sensitivity import Chain, Derivatives, Model, policy_of

_LOADS = 1e-6


def covariance_of(
    at: Derivatives, theta: np.ndarray, scale: np.ndarray, penalty: Penalty, scores: Matrix | None
) -> Matrix:
    """Return the covariance of the weights: J⁻¹, or J⁻¹ S J⁻¹ with S the sum of squared scores.

    J is the curvature of the penalised objective. Weights that l1 has set to 0 have the covariance NaN, and all have
    where J is not positive definite.
    """
    active = (penalty.l1 == 0) | (theta != 0)
    covariance = np.full(at.hessian.shape, np.nan)
    inside = np.ix_(active, active)
    if penalty.l2.any():
        basis = np.diag(1 / scale)[inside]
    else:
        basis = identified_directions(at.spread[inside], scale[active])
    curvature = basis.T @ (np.diag(penalty.l2) - at.hessian)[inside] @ basis
    size, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    if np.all(size > 0):
        inverse = basis @ (vectors / size) @ vectors.T @ basis.T
        covariance[inside] = inverse if scores is None else inverse @ scores[inside] @ inverse
    return covariance


def standard_errors(covariance: Matrix, unidentified: Directions, shrunk: bool) -> np.ndarray:
    """Return the roots of the diagonal; ∞ for weights that can be shifted freely, unless a penalty keeps them."""
    errors = np.sqrt(np.diag(covariance))
    if len(unidentified) and not shrunk:
        errors = np.where(np.any(np.abs(unidentified) > _LOADS, axis=0), np.inf, errors)
    return errors


def squared_scores(model: Model, demos: Demonstrations, features: np.ndarray, solution: Solution) -> Matrix:
    """Return Σ w² s sᵀ over trajectories, with the scores s of the dual of moment matching."""
    count = len(demos.weight)
    values = feature_values(model, features, solution)
    scores = np.zeros((count, features.shape[-1]))
    discounts = model.discount**demos.time
    np.add.at(scores, demos.trajectory, discounts[:, None] * features[demos.state, demos.action])
    scores -= values[0][demos.state[demos.first]]
    for i, last in enumerate(demos.last):
        time, final = int(demos.time[last]) + 1, int(demos.next_state[last])
        value = values[min(time, len(values) - 1)]
        if final == UNKNOWN:
            row = model.transition[[int(demos.state[last]) * model.mdp.actions + int(demos.action[last])]]
            scores[i] += model.discount**time * (row @ value)[0]
        elif final < model.mdp.states:
            scores[i] += model.discount**time * value[final]
    scores *= demos.weight[:, None] / model.temperature
    return scores.T @ scores


def feature_values(model: Model, features: np.ndarray, solution: Solution) -> list[np.ndarray]:
    """Return the value of each feature under the policy: one table (S, F), or T + 1 with a horizon."""
    policy = policy_of(model, solution)
    if policy.ndim == 2:
        return [Chain(model, policy).value(np.einsum("sa,saf->sf", policy, features))]
    value = np.zeros((features.shape[0], features.shape[2]))
    values = [value]
    for pi in policy[::-1]:
        value = np.einsum("sa,saf->sf", pi, features + model.discount * model.expectation(value))
        values.append(value)
    return values[::-1]
