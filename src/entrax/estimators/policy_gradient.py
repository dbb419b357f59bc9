"""Objectives whose gradient estimates the policy gradient from one trajectory.

Use `jax.vmap` and the mean for a batch of trajectories.

    ∇J = E Σ_t ∇log π(a_t|s_t) w_t (G_t − b_t)         causal: later rewards only                              (1)
    ∇J = E Σ_t ∇log π(a_t|s_t) (R − b_t)               not causal: the whole return for every action           (2)

    G_t   Σ_{k≥t} γ^{k−t} r_k, the reward to go, and R = G_0
    w_t   γ^t for the discounted objective E Σ γ^t r_t; 1 for the episodic one, where γ = 1.
          The common choice w_t = 1 with γ < 1 is the gradient of neither [Nota and Thomas 2020].
    b_t   any baseline that does not depend on a_t; see `baselines`.

**Objectives** and their unbiased estimates [Sutton et al. 2000]:

    episodic     E Σ r_t       from the start of episodes, γ = 1                                   `reinforce_objective`
    discounted   E Σ γ^t r_t   from the start of episodes, w_t = γ^t                               `reinforce_objective`
    average      ρ             the mean over steps of the stationary distribution, weighted by the differential
                               advantage: `likelihood_ratio_objective` of `differential_advantage`, with ρ and the
                               differential values of the policy (the latter up to a constant)

With w_t = 1, γ < 1, steps from the stationary distribution and V_γ in place of the differential value, the estimate is
biased; it tends to the gradient of the average reward as γ → 1 [Baxter and Bartlett 2001].

**Soft.** With α log(π/π₀) subtracted from the reward (`soft_reward`) this is the gradient of the maximum-entropy
objective E Σ γ^t (r_t − α log(π/π₀)). The derivative of the log π in the reward contributes −α times the score, whose
expectation is 0, so it is omitted.

The policy may condition on anything, such as the history of observations.

References:
    Williams (1992), Simple statistical gradient-following algorithms.
    Sutton et al. (2000), Policy gradient methods for reinforcement learning with function approximation.
    Baxter and Bartlett (2001), Infinite-horizon policy-gradient estimation.
    Nota and Thomas (2020), arXiv:1906.07073.
    Peters and Schaal (2007), for the weighted likelihood.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, ScalarLike

from entrax.estimators.returns import discounted_return, reward_to_go

Series = Float[Array | np.ndarray, " time"]
Baseline = Series | ScalarLike
Valid = Bool[Array | np.ndarray, " time"]
Scalar = Float[Array, ""]


def soft_reward(
    reward: Series, log_probability: Series, temperature: ScalarLike, log_prior: Series | ScalarLike = 0.0
) -> Float[Array, " time"]:
    """Return r − α (log π − log π₀), with its gradient stopped.

    With `log_prior` 0 the bonus −α log π is an estimate of the entropy.
    """
    return jax.lax.stop_gradient(jnp.asarray(reward - temperature * (log_probability - log_prior)))


def likelihood_ratio_objective(
    log_probability: Series, weight: Series | ScalarLike, valid: Valid | None = None
) -> Scalar:
    """Return Σ_t weight_t log π(a_t|s_t), whose gradient is Σ_t weight_t ∇log π.

    Maximise it.

    Args:
        log_probability: log π(a_t|s_t).
        weight: the weight of each score; its gradient is stopped.
        valid: False on padding after the end of the trajectory, where `log_probability` may be any finite number.
    """
    weighted = jax.lax.stop_gradient(weight) * _valid_only(log_probability, valid)
    return jnp.sum(weighted)


def reinforce_weights(
    reward: Series,
    discount: ScalarLike,
    *,
    causal: bool = True,
    baseline: Baseline = 0.0,
    discounted_start: bool = True,
) -> Float[Array, " time"]:
    """Return the weight of each score in equation (1), or in (2) if not `causal`.

    Args:
        reward: r_t.
        discount: γ.
        causal: use the reward to go instead of the whole return.
        baseline: b_t.
        discounted_start: use w_t = γ^t in (1); False sets w_t = 1. Equation (2) ignores it.
    """
    if not causal:
        return discounted_return(reward, discount) - jnp.broadcast_to(baseline, reward.shape)
    power = jnp.asarray(discount) ** jnp.arange(reward.shape[0])
    return (power if discounted_start else 1.0) * (reward_to_go(reward, discount) - baseline)


def reinforce_objective(
    log_probability: Series,
    reward: Series,
    discount: ScalarLike,
    *,
    temperature: ScalarLike = 0.0,
    log_prior: Series | ScalarLike = 0.0,
    causal: bool = True,
    baseline: Baseline = 0.0,
    discounted_start: bool = True,
    valid: Valid | None = None,
) -> Scalar:
    """Return an objective whose gradient is REINFORCE's estimate (1) or (2).

    Only its gradient with respect to `log_probability` is meaningful; its value is not.

    Args:
        log_probability: log π(a_t|s_t).
        reward: r_t.
        discount: γ.
        temperature: α ≥ 0 of the maximum-entropy objective, in units of reward.
        log_prior: log π₀(a_t|s_t); 0 for the entropy convention.
        causal: use (1) instead of (2).
        baseline: b_t.
        discounted_start: use w_t = γ^t in (1); False sets w_t = 1.
        valid: False on padding after the end of the trajectory, where all series may hold any finite numbers.
    """
    log_probability = _valid_only(log_probability, valid)
    reward = _valid_only(soft_reward(reward, log_probability, temperature, log_prior), valid)
    weight = reinforce_weights(reward, discount, causal=causal, baseline=baseline, discounted_start=discounted_start)
    return likelihood_ratio_objective(log_probability, weight)


def return_weights(returns: Float[Array | np.ndarray, " sample"], temperature: ScalarLike) -> Float[Array, " sample"]:
    """Return weights ∝ exp(R/τ) of a returns-weighted likelihood, with sum 1.

    As τ → ∞ all weights become equal: maximum likelihood, that is, behaviour cloning. With trajectories from the
    current policy, the weighted mean of the scores is ∇ log E exp(R/τ), up to the bias of normalisation. In a bandit a
    full maximisation gives π ∝ π_old exp(R/τ), the soft policy whose prior is the old policy.

    Args:
        returns: R of each sample.
        temperature: τ > 0, in units of return.
    """
    return jax.nn.softmax(jnp.asarray(returns) / temperature)


def weighted_likelihood_objective(
    log_probability: Float[Array | np.ndarray, "sample time"],
    returns: Float[Array | np.ndarray, " sample"],
    temperature: ScalarLike,
) -> Scalar:
    """Return Σ_i weight_i Σ_t log π(a_t|s_t) with the weights of `return_weights`.

    This is policy search by weighted regression. Unlike the returns in the policy gradient, the weights are positive.

    Args:
        log_probability: log π(a_t|s_t) of each sample and step.
        returns: R of each sample.
        temperature: τ > 0, in units of return.
    """
    return jnp.sum(jax.lax.stop_gradient(return_weights(returns, temperature)) * jnp.sum(log_probability, axis=1))


def _valid_only(series: Series, valid: Valid | None) -> Float[Array, " time"]:
    return jnp.asarray(series) if valid is None else jnp.where(valid, series, 0)
