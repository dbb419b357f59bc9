"""Maximum entropy inverse reinforcement learning of Ziebart et al. (2008): not causal.

A trajectory has the probability that the graphical model of `entrax.exact.messages` gives it when success is observed,

    P(τ|s_0) = Π_t π₀(a_t|s_t) p(s_{t+1}|s_t,a_t) exp(r_t/α) / Z(s_0),   α log Z(s_0) = V_0(s_0)               (1)

with V of the *exact* posterior, Q = r + α log Σ_k p_k exp(V(s'_k)/α). The weights of r = Σ_k θ_k φ_k maximise

    F(θ) = Σ w (Σ_t r_t − V_0(s_0) + V_T(s_T))/α                                                               (2)

whose gradient is the difference between demonstrated features and those expected under (1). The last term is that of a
trajectory that was cut off before the horizon; without it F is concave.

(1) conditions the outcomes of actions on success: it explains demonstrations by luck that the demonstrator chose. Under
deterministic dynamics without a discount it equals the causal model (`causal`) in the KL convention. Otherwise it is
another model, and its weights are not those of a soft-optimal demonstrator (study `lucky-demonstrations`).

**Derivatives.** The posterior is a Markov chain with policy π_t and dynamics p̂_t. With U_t the expected sum of features
from decision t on, d_t = φ + U_{t+1}(s') − U_t(s), and x_t the flow of the signed ends of (2) through the chain,

    ∂F/∂θ = (Σ w Σ_t φ_t + Σ_t Σ x_t π_t p̂_t φ)/α,   ∂²F/∂θ² = Σ_t Σ x_t π_t p̂_t d_t d_tᵀ/α²                     (3)

which for a start is minus the covariance of the features of a trajectory, as a sum over martingale differences.

References:
    Ziebart, Maas, Bagnell and Dey (2008), Maximum entropy inverse reinforcement learning.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError
from entrax.exact import Posterior, posterior
from entrax.exact.checks import check_precision
from entrax.inverse.demonstrations import UNKNOWN, Demonstrations, allowed_actions
from entrax.inverse.errors import covariance_of, standard_errors
from entrax.inverse.features import checked_features, mean_features
from entrax.inverse.identification import direction_of_separation, refuse_separable
from entrax.inverse.newton import Penalty, maximise, unidentified_directions
from entrax.inverse.result import DECREMENT, Weights
from entrax.inverse.sensitivity import Derivatives
from entrax.inverse.settings import by_feature, check_positive
from entrax.problems import FiniteMDP


@dataclass(frozen=True)
class MaxEntReward:
    """The result of `fit_trajectories`. Rewards are in the units of the temperature.

    Attributes:
        weights: θ.
        errors: the standard error of each weight, from the observed Fisher information; ∞ if it can be shifted freely.
        covariance: that of the weights.
        objective_value: (2), in nats.
        demonstrated_features: Σ w Σ_t φ of the demonstrations.
        expected_features: the same under (1), up to where each demonstration was cut off.
        unidentified: orthonormal directions of the weights, in rows, that change no probability.
        posterior: that of `entrax.exact.posterior` for the reward; `posterior.policy(t)` is its policy.
        converged: whether the weights are within 1e-8 standard errors of the maximum.
        iterations: the number of Newton steps.
    """

    weights: Weights
    errors: Weights
    covariance: Float[np.ndarray, "feature feature"]
    objective_value: float
    demonstrated_features: Weights
    expected_features: Weights
    unidentified: Float[np.ndarray, "direction feature"]
    posterior: Posterior
    converged: bool
    iterations: int


def fit_trajectories(
    mdp: FiniteMDP,
    demos: Demonstrations,
    features: Any,
    *,
    temperature: float | int = 1.0,
    l2: Any = 0.0,
    centre: Any = 0.0,
    max_iterations: int = 200,
) -> MaxEntReward:
    """Infer the weights of a linear reward by the non-causal model (1).

    Args:
        mdp: an undiscounted problem with a horizon. Its own reward is ignored, except that −∞ excludes an action.
        demos: the demonstrations; every outcome must be known.
        features: shape (S, F), (S, A, F) or (S, A, K, F). Features of transitions enter (1) with their outcome, not
            with their mean.
        temperature: α > 0.
        l2: the precision of a normal prior: one number, or one for each feature.
        centre: the mean of that prior, likewise.
        max_iterations: the most Newton steps.

    Raises:
        UsageError: JAX is in 32-bit mode, an argument is not valid, the problem has a discount or no horizon, a
            demonstration is impossible or has an unknown outcome, or the demonstrations are separable.
    """
    check_precision()
    alpha = check_positive("temperature", temperature)
    if mdp.horizon is None or float(mdp.discount) != 1.0:
        raise UsageError("`mdp` must have a `horizon` and no discount: its trajectories need a finite length.")
    demos.check(mdp)
    if np.any(demos.next_state == UNKNOWN):
        raise UsageError("Every trajectory must have one more state than actions: this model depends on the outcomes.")
    phi = checked_features(mdp, features) if np.ndim(features) == 4 else mean_features(mdp, features)
    count = phi.shape[-1]
    penalty = Penalty(np.zeros(count), by_feature("l2", l2, count), by_feature("centre", centre, count, signed=True))
    base = replace(mdp, reward=np.where(allowed_actions(mdp), 0.0, np.asarray(mdp.reward)), outcome_reward=None)
    dual = _Dual(base, phi, alpha, _demonstrated(mdp, demos, phi), _ends(mdp, demos))
    start, size = np.zeros(count), np.abs(phi).reshape(-1, count).max(0)
    scale = np.where(size > 0, size, 1.0)
    _, first = dual.evaluate(start)
    from_starts = replace(dual, ends=np.minimum(dual.ends, 0.0))  # what was cut off varies from its start on, too
    spread = -from_starts.differentiate(first).hessian
    best = maximise(
        lambda theta, _: dual.evaluate(theta),
        lambda model: dual.differentiate(model)._replace(spread=spread),
        start,
        first,
        scale,
        penalty,
        demos.decisions,
        DECREMENT,
        max_iterations,
    )
    unidentified = unidentified_directions(spread, scale)
    if penalty.none:
        direction = direction_of_separation(best.derivatives, scale, demos.rarest)
        if direction is not None:
            refuse_separable(direction, False)
    covariance = covariance_of(best.derivatives, best.theta, scale, penalty, None)
    return MaxEntReward(
        weights=best.theta,
        errors=standard_errors(covariance, unidentified, not penalty.none),
        covariance=covariance,
        objective_value=dual.evaluate(best.theta)[0],
        demonstrated_features=dual.observed,
        expected_features=dual.observed - alpha * best.derivatives.gradient,
        unidentified=unidentified,
        posterior=best.payload,
        converged=best.converged,
        iterations=best.iterations,
    )


@dataclass(frozen=True)
class _Dual:
    """F of equation (2): the problem, φ, α, the demonstrated features, and the signed ends [time, state]."""

    base: FiniteMDP
    phi: np.ndarray
    alpha: float
    observed: Weights
    ends: Float[np.ndarray, "time_and_end state"]

    def evaluate(self, theta: Weights) -> tuple[float, Posterior]:
        """Return F and the posterior of these weights."""
        reward, forbidden = self.phi @ theta, np.asarray(self.base.reward)
        mean = reward if reward.ndim == 2 else np.sum(np.asarray(self.base.probability) * reward, axis=-1)
        model = replace(self.base, reward=np.where(np.isfinite(forbidden), mean, forbidden))
        if reward.ndim == 3:
            model = replace(model, outcome_reward=reward)
        result = posterior(model, self.alpha)
        ends = np.sum(np.where(self.ends != 0, self.ends * np.asarray(result.value), 0.0))
        return float(self.observed @ theta + ends) / self.alpha, result

    def differentiate(self, result: Posterior) -> Derivatives:
        """Return gradient and Hessian of equation (3); the spread is 0."""
        successor, states = np.asarray(self.base.successor), self.base.states
        phi = self.phi if self.phi.ndim == 4 else self.phi[:, :, None]
        count = phi.shape[-1]
        moves = [self._moves(result, t) for t in range(result.horizon)]
        flow = [self.ends[0]]
        for t, joint in enumerate(moves):
            carried = np.bincount(successor.ravel(), (flow[t][:, None, None] * joint).ravel(), states + 1)
            flow.append(carried[:-1] + self.ends[t + 1])
        ahead, gradient, hessian = np.zeros((states + 1, count)), self.observed.copy(), np.zeros((count, count))
        for x, joint in zip(flow[-2::-1], moves[::-1], strict=True):
            change = phi + ahead[successor]
            now = np.einsum("sak,sakf->sf", joint, change)
            rows = (change - now[:, None, None]).reshape(-1, count)
            weight = (x[:, None, None] * joint).reshape(-1, 1)
            gradient += np.sum(weight * np.broadcast_to(phi, change.shape).reshape(-1, count), axis=0)
            hessian += rows.T @ (rows * weight)
            ahead = np.append(now, np.zeros((1, count)), axis=0)
        return Derivatives(gradient / self.alpha, hessian / self.alpha**2, np.zeros((count, count)))

    def _moves(self, result: Posterior, t: int) -> np.ndarray:
        """Return π_t(a|s) p̂_t(k|s,a)."""
        return np.asarray(result.policy(t))[..., None] * np.asarray(result.dynamics(t))


def _ends(mdp: FiniteMDP, demos: Demonstrations) -> Float[np.ndarray, "time_and_end state"]:
    """Return −w at the first states, and w where trajectories were cut off."""
    assert mdp.horizon is not None
    final, length = demos.next_state[demos.last], demos.lengths
    cut = (final < mdp.states) & (length < mdp.horizon)
    ends = np.zeros((mdp.horizon + 1, mdp.states))
    np.add.at(ends, (0, demos.state[demos.first]), -demos.weight)
    np.add.at(ends, (length[cut], final[cut]), demos.weight[cut])
    ends[:, np.asarray(mdp.terminal)] = 0.0
    return ends


def _demonstrated(mdp: FiniteMDP, demos: Demonstrations, phi: np.ndarray) -> Weights:
    """Return Σ w Σ_t φ, with the outcomes of features of transitions."""
    if phi.ndim == 3:
        each = phi[demos.state, demos.action]
    else:
        rows = (demos.state, demos.action)
        terminal = np.append(np.asarray(mdp.terminal), True)[demos.next_state][:, None]
        successor, probability = (np.asarray(array)[rows] for array in (mdp.successor, mdp.probability))
        same = (successor == demos.next_state[:, None]) | (terminal & (successor == mdp.states))
        share = np.where(same, probability, 0.0)
        each = np.sum(phi[rows] * (share / share.sum(1, keepdims=True))[..., None], axis=1)
    return np.asarray(demos.weight[demos.trajectory] @ each)
