"""Maximum causal entropy inverse reinforcement learning in finite problems, with exact derivatives.

The demonstrator is soft-optimal, π(a|s) = π₀(a|s) exp((Q(s,a) − V(s))/α), for a reward that is linear in features,
r = r₀ + Σ_k θ_k φ_k with a known part r₀ (`fit`), or a network of features (`fit_network` in `networks`). Two
objectives are maximised:

    likelihood   Σ w Σ_t log π(a_t|s_t)                       of the demonstrated actions                      (1)
    moments      Σ w (Σ_t γ^t r_t − V(s_0) + γ^T V(s_T))/α     the dual of matching the discounted features     (2)

The gradient of (2) is the difference between demonstrated and expected discounted features, over α. The gradient of (1)
weights all decisions alike and uses the model's expectation of the next state, not the demonstrated one. Under
deterministic dynamics without a discount (1) and (2) are equal. (2) is concave if no trajectory is cut off; (1) need
not be, and its maximum is a local one.

**Scale.** Reward and temperature are identified only jointly: (c r, c α) has the policy of (r, α). So the temperature
is fixed, or fitted where r₀ fixes the scale: with η = θ/α the problem at temperature 1 is linear in (1/α, η).

**Errors.** The covariance of likelihood estimates is the inverse of the observed Fisher information (with l2, of the
posterior's curvature); that of moment estimates is J⁻¹ Σ w² s sᵀ J⁻¹ from the scores s of the trajectories. A weight
that can be shifted freely has the error ∞, and `unidentified` has the directions.

References:
    Ziebart, Bagnell and Dey (2010), Modeling interaction via the principle of maximum causal entropy.
    Ziebart (2010), Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
    Ng and Russell (2000), Algorithms for inverse reinforcement learning; Ng, Harada and Russell (1999) for shaping.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError, require_one_of
from entrax.exact import CONVENTIONS, Solution
from entrax.exact.checks import check_precision
from entrax.inverse.demonstrations import Demonstrations
from entrax.inverse.errors import covariance_of, squared_scores, standard_errors
from entrax.inverse.features import mean_features
from entrax.inverse.identification import (
    CLEARLY_SEPARABLE,
    check_temperature_identified,
    direction_of_separation,
    needs_known_reward,
    refuse_separable,
)
from entrax.inverse.newton import Maximum, Penalty, maximise, unidentified_directions
from entrax.inverse.result import DECREMENT, InferredReward, observe
from entrax.inverse.sensitivity import (
    OBJECTIVES,
    Model,
    Terms,
    count_decisions,
    differentiate,
    likelihood_terms,
    make_model,
    moment_terms,
    objective_value,
    solve,
)
from entrax.inverse.settings import by_feature, check_known_reward, check_positive
from entrax.problems import FiniteMDP

Weights = Float[np.ndarray, " feature"]
Table = Float[np.ndarray, "state action"]
_RELATIVE_TOLERANCE = 1e-10  # of values, in units of the temperature


class _Question(NamedTuple):
    """What is fitted, at a fixed temperature: r = offset + Σ θ φ."""

    model: Model
    terms: Terms
    demonstrated: np.ndarray
    features: Float[np.ndarray, "state action feature"]
    offset: Table
    scale: Weights
    penalty: Penalty
    objective: str

    def reward(self, theta: Weights) -> Table:
        return self.offset + self.features @ theta


def fit(
    mdp: FiniteMDP,
    demos: Demonstrations,
    features: Any = None,
    *,
    temperature: float | int | str = 1.0,
    known_reward: Any = None,
    objective: str = "likelihood",
    convention: str = "entropy",
    l1: Any = 0.0,
    l2: Any = 0.0,
    centre: Any = 0.0,
    start: Any = None,
    max_iterations: int = 200,
) -> InferredReward:
    """Infer the weights of a linear reward, and the temperature if its scale is fixed, from demonstrations.

    The problem's own reward is ignored, except that −∞ excludes an action.

    Args:
        mdp: the problem; its discount and horizon are those of the demonstrator. Without either, episodes must end.
        demos: the demonstrations.
        features: shape (S, F), (S, A, F) or (S, A, K, F), see `mean_features`; None to fit the temperature only.
        temperature: α > 0, or 'fit', which requires a `known_reward`.
        known_reward: r₀, shape (S, A); by default 0.
        objective: 'likelihood' or 'moments', see the module.
        convention: 'entropy' or 'kl', as for `plan`.
        l1: the rate of a Laplace prior, Σ l1 |θ|, in nats: one number, or one for each feature.
        l2: the precision of a normal prior, ½ Σ l2 (θ − centre)², likewise.
        centre: the mean of the normal prior, likewise.
        start: the initial weights; by default 0.
        max_iterations: the most Newton steps.

    Raises:
        UsageError: JAX is in 32-bit mode, an argument is not valid, a demonstration is impossible in the problem, the
            temperature is not identified, the demonstrations are separable, or an undiscounted value is not finite
            at the initial weights.
    """
    check_precision()
    require_one_of("objective", objective, OBJECTIVES)
    require_one_of("convention", convention, CONVENTIONS)
    fitted = temperature == "fit"
    alpha = 1.0 if fitted else check_positive("temperature", temperature, ", or 'fit'")
    known = None if known_reward is None else check_known_reward(mdp, known_reward)
    phi = np.zeros((mdp.states, mdp.actions, 0)) if features is None else mean_features(mdp, features)
    if features is None and not fitted:
        raise UsageError("`features` must be given, unless `temperature` is 'fit'.")
    count = phi.shape[2]
    penalty = Penalty(
        l1=by_feature("l1", l1, count),
        l2=by_feature("l2", l2, count),
        centre=by_feature("centre", centre, count, signed=True),
    )
    theta = by_feature("start", 0.0 if start is None else start, count, signed=True)
    if fitted:
        needs_known_reward(known is not None)
        if not penalty.none:
            raise UsageError("`l1` and `l2` require a fixed `temperature`: with a fitted one the weights have no unit.")
        assert known is not None
        phi, known, theta = np.concatenate([known[..., None], phi], axis=2), None, np.append(1.0, theta)
        penalty = Penalty(*(np.zeros(len(theta)) for _ in range(3)))
    model = make_model(mdp, demos, alpha, convention, _RELATIVE_TOLERANCE * alpha)
    question = _Question(
        model=model,
        terms=likelihood_terms(model, demos) if objective == "likelihood" else moment_terms(model, demos),
        demonstrated=count_decisions(model, demos, 1.0),
        features=phi,
        offset=np.zeros(phi.shape[:2]) if known is None else known,
        scale=np.where((size := np.abs(phi).max((0, 1))) > 0, size, 1.0),
        penalty=penalty,
        objective=objective,
    )
    best = _maximise(question, demos, theta, max_iterations)
    return _result(question, demos, best, fitted)


def _maximise(question: _Question, demos: Demonstrations, theta: Weights, max_iterations: int) -> Maximum:
    def evaluate(theta: Weights, nearby: Solution | None) -> tuple[float, Solution | None]:
        reward = question.reward(theta)
        solution = solve(question.model, reward, None if nearby is None else nearby.value)
        value = -np.inf if solution is None else objective_value(question.model, question.terms, reward, solution)
        return (value, solution) if np.isfinite(value) else (-np.inf, None)

    _, solution = evaluate(theta, None)
    if solution is None:
        raise UsageError(
            "At the initial weights the undiscounted value is not finite: staying for ever is worth too much. Set a "
            "`discount` below 1, a `horizon`, `convention='kl'`, or a `start` whose rewards are negative enough."
        )
    return maximise(
        evaluate,
        lambda solution: differentiate(
            question.model, question.terms, question.demonstrated, question.features, solution
        ),
        theta,
        solution,
        question.scale,
        question.penalty,
        demos.decisions,
        DECREMENT,
        max_iterations,
        lambda at: (
            question.penalty.none
            and direction_of_separation(at, question.scale, demos.rarest, CLEARLY_SEPARABLE) is not None
        ),
    )


def _result(question: _Question, demos: Demonstrations, best: Maximum, fitted: bool) -> InferredReward:
    """Build the result; refuse temperatures that are not identified, and separable demonstrations."""
    at, theta, solution = best.derivatives, best.theta, best.payload
    unidentified = unidentified_directions(at.spread, question.scale)
    if fitted:
        check_temperature_identified(unidentified, float(theta[0]))
    if question.penalty.none:
        direction = direction_of_separation(at, question.scale, demos.rarest)
        if direction is not None:
            refuse_separable(direction, fitted)
    scores = None
    if question.objective == "moments":
        scores = squared_scores(question.model, demos, question.features, solution)
    covariance = covariance_of(at, theta, question.scale, question.penalty, scores)
    errors = standard_errors(covariance, unidentified, not question.penalty.none)
    reward = question.reward(theta)
    value = objective_value(question.model, question.terms, reward, solution)
    features = question.features[..., 1:] if fitted else question.features
    seen = observe(question.model, demos, features, reward, solution)
    alpha, alpha_error = question.model.temperature, 0.0
    if fitted:  # (1/α, η) → (α, θ) = (1/α, η α), with the derivatives of that
        alpha = 1 / float(theta[0])
        turned = alpha * np.eye(len(theta)) - alpha**2 * np.outer(theta, np.eye(len(theta))[0])
        turned[0, 0] = -(alpha**2)
        covariance = turned @ covariance @ turned.T
        errors = np.where(np.isfinite(errors), np.sqrt(np.diag(covariance)), errors)
        alpha_error = float(errors[0])
        theta, covariance, errors, unidentified = alpha * theta[1:], covariance[1:, 1:], errors[1:], unidentified[:, 1:]
        reward = alpha * reward
        in_units = replace(question.model, temperature=alpha, tolerance=alpha * question.model.tolerance)
        seen["solution"] = solve(in_units, reward, alpha * solution.value)
    return InferredReward(
        weights=theta,
        errors=errors,
        covariance=covariance,
        temperature=alpha,
        temperature_error=alpha_error,
        reward=np.where(question.model.allowed, reward, 0.0),
        objective=question.objective,
        objective_value=value,
        unidentified=unidentified,
        decrement=best.decrement,
        converged=best.converged,
        iterations=best.iterations,
        **seen,
    )
