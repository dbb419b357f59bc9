"""The policy gradient from one trajectory: an objective whose gradient is the estimate; `jax.vmap` and average.

    ∇J = E Σ_t ∇log π(a_t|s_t) w_t (G_t − b_t)         causal: an action has no part in what came before it    (1)
    ∇J = E Σ_t ∇log π(a_t|s_t) (R − b_t)               not causal: the whole return for every action           (2)

    G_t   Σ_{k≥t} γ^{k−t} r_k, the reward to go, and R = G_0
    w_t   γ^t for the discounted objective E Σ γ^t r_t; 1 for the episodic one, where γ = 1.
          The common practice of w_t = 1 with γ < 1 is the gradient of neither [Nota and Thomas 2020].
    b_t   any baseline that does not depend on a_t; see `baselines`.

**Three objectives**, each with its own unbiased estimate [Sutton et al. 2000]:

    episodic     E Σ r_t       from the start of episodes, γ = 1                                   `reinforce_objective`
    discounted   E Σ γ^t r_t   from the start of episodes, w_t = γ^t                               `reinforce_objective`
    average      ρ             the mean over steps of the stationary distribution, weighted by the differential
                               advantage: `likelihood_ratio_objective` of `differential_advantage`, with ρ and the
                               differential values of the policy (the latter up to a constant)

With w_t = 1, γ < 1 and steps of the stationary distribution, V_γ in place of the differential value, the estimate tends
to the average reward's as γ → 1, and is biased before [Baxter and Bartlett 2001].

**Soft.** With α log(π/π₀) subtracted from the reward (`soft_reward`) this is the gradient of the maximum-entropy
objective E Σ γ^t (r_t − α log(π/π₀)). The derivative of the log π inside leaves −α: a baseline, of expectation 0.

Nothing here asks what the policy conditions on: `log_probability` may come from a policy over histories.

Sources: Williams (1992); Sutton et al. (2000), Policy gradient methods for reinforcement learning with function
approximation; Baxter and Bartlett (2001), Infinite-horizon policy-gradient estimation; Nota and Thomas (2020),
arXiv:1906.07073; Peters and Schaal (2007) for the weighted likelihood.
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
    """r − α (log π − log π₀), a constant to differentiation. Without a prior, α log π is subtracted: entropy."""
    return jax.lax.stop_gradient(jnp.asarray(reward - temperature * (log_probability - log_prior)))


def likelihood_ratio_objective(
    log_probability: Series, weight: Series | ScalarLike, valid: Valid | None = None
) -> Scalar:
    """Σ_t weight_t log π(a_t|s_t) with the weight held constant: its gradient is Σ_t weight_t ∇log π. To be maximised.

    `valid` is False on padding after the end of the trajectory, whose log-probabilities may be any finite number.
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
    """What multiplies the score of each step in equation (1), or (2) without causality.

    `discounted_start` False sets w_t = 1 in (1), the common practice; see the module. (2) has no such choice.
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
    """An objective whose gradient is REINFORCE's estimate (1) or (2) from one trajectory; soft at `temperature` > 0.

    Its value means nothing. `log_probability` is differentiated; everything else is held constant. Padding after the
    end is marked by `valid` and counts nothing; it holds any finite numbers.
    """
    log_probability = _valid_only(log_probability, valid)
    reward = _valid_only(soft_reward(reward, log_probability, temperature, log_prior), valid)
    weight = reinforce_weights(reward, discount, causal=causal, baseline=baseline, discounted_start=discounted_start)
    return likelihood_ratio_objective(log_probability, weight)


def return_weights(returns: Float[Array | np.ndarray, " sample"], temperature: ScalarLike) -> Float[Array, " sample"]:
    """Weights of a returns-weighted likelihood: exp(R/τ), normalised over the samples.

    τ → ∞ weights all samples alike: maximum likelihood, behaviour cloning. With trajectories from the current policy
    the weighted mean of the scores is ∇ log E exp(R/τ), up to the bias of normalising; and one full maximisation for
    a bandit gives π ∝ π_old exp(R/τ), the soft policy with the old one as its prior.
    """
    return jax.nn.softmax(jnp.asarray(returns) / temperature)


def weighted_likelihood_objective(
    log_probability: Float[Array | np.ndarray, "sample time"],
    returns: Float[Array | np.ndarray, " sample"],
    temperature: ScalarLike,
) -> Scalar:
    """Σ_i weight_i Σ_t log π(a_t|s_t) over a batch, weights as `return_weights`: policy search as weighted regression.

    Where the policy gradient weighs a score by a return that may be negative, this imitates: its weights are positive.
    """
    return jnp.sum(jax.lax.stop_gradient(return_weights(returns, temperature)) * jnp.sum(log_probability, axis=1))


def _valid_only(series: Series, valid: Valid | None) -> Float[Array, " time"]:
    return jnp.asarray(series) if valid is None else jnp.where(valid, series, 0)
