"""Returns and advantages of one trajectory, or of one segment of it.

    R   = Σ_t γ^t r_t                                              the discounted return                    (1)
    G_t = Σ_{k≥t} γ^{k−t} r_k                                      the reward to go                         (2)
    G_t^{(n)} = Σ_{i<n} γ^i r_{t+i} + γ^n V(s_{t+n})               the n-step return                        (3)
    G_t^λ = r_t + γ [(1−λ) V(s_{t+1}) + λ G_{t+1}^λ]               the λ-return                             (4)
    Â_t = Σ_{k≥t} (γλ)^{k−t} δ_k,  δ_t = r_t + γ V(s_{t+1}) − V(s_t)   generalised advantage: G_t^λ − V(s_t)  (5)
    D_t = Σ_{k≥t} (r_k − ρ)                                        the differential return, ρ the average   (6)

**Segments.** `next_value[t]` is V of the true successor of step t, never of the state after a reset. Termination
removes the bootstrap V(s_{t+1}); truncation keeps it. No sum crosses either. The last step of a segment bootstraps like
a truncated step.

**Soft returns.** Pass soft rewards (`policy_gradient.soft_reward`) and soft values.

References:
    Sutton and Barto (2018), Reinforcement learning, chapters 7, 12 and 13.
    Schulman et al. (2016), arXiv:1506.02438, equations (16) and (17), for (5).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, ScalarLike

from entrax.errors import UsageError

Series = Float[Array | np.ndarray, " time"]
Flags = Bool[Array | np.ndarray, " time"]
Scalar = Float[Array, ""]


def discounted_return(reward: Series, discount: ScalarLike) -> Scalar:
    """Return Σ_t γ^t r_t, equation (1).

    Padding after the end of the trajectory must have reward 0.
    """
    return reward_to_go(reward, discount)[0]


def reward_to_go(reward: Series, discount: ScalarLike, ended: Flags | None = None) -> Float[Array, " time"]:
    """Return G_t, equation (2), without bootstrapping.

    Args:
        reward: r_t.
        discount: γ.
        ended: True for the last step of each episode; no sum crosses it. None for one episode.
    """
    ended = jnp.zeros(reward.shape, bool) if ended is None else jnp.asarray(ended)
    return _discounted_sum(jnp.asarray(reward), jnp.where(ended, 0, discount))


def differential_return(
    reward: Series, average_reward: ScalarLike, final_value: ScalarLike = 0.0
) -> Float[Array, " time"]:
    """Return D_t, equation (6), of a segment of a continuing task.

    Args:
        reward: r_t.
        average_reward: ρ, in units of reward per step.
        final_value: the differential value of the state after the segment.
    """
    excess = jnp.asarray(reward) - average_reward
    return reward_to_go(excess.at[-1].add(final_value), 1.0)


def n_step_return(
    reward: Series, next_value: Series, terminated: Flags, truncated: Flags, discount: ScalarLike, n: int
) -> Float[Array, " time"]:
    """Return G_t^{(n)}, equation (3).

    It has fewer than n rewards where the segment or the episode ends earlier.

    Args:
        reward: r_t.
        next_value: V of the true successor of each step.
        terminated: True where the episode terminated.
        truncated: True where the episode was truncated.
        discount: γ.
        n: the number of rewards, at least 1.

    Raises:
        UsageError: `n` is below 1.
    """
    if n < 1:
        raise UsageError(f"`n` must be at least 1, got {n}.")
    bootstrap = jnp.asarray(reward) + discount * jnp.where(terminated, 0, next_value)
    ended = (jnp.asarray(terminated) | jnp.asarray(truncated)).at[-1].set(True)

    def longer(shorter: Float[Array, " time"], _: None) -> tuple[Float[Array, " time"], None]:
        # G_t^{(m+1)} = r_t + γ G_{t+1}^{(m)}, and G_t^{(1)} at the last step of an episode.
        following = jnp.append(shorter[1:], 0)
        return jnp.where(ended, bootstrap, reward + discount * following), None

    return jax.lax.scan(longer, bootstrap, length=n - 1)[0]


def lambda_return(
    reward: Series, next_value: Series, terminated: Flags, truncated: Flags, discount: ScalarLike, trace: ScalarLike
) -> Float[Array, " time"]:
    """Return G_t^λ, equation (4); arguments as for `n_step_return`, λ is `trace`.

    λ = 0 gives the one-step target; λ = 1 gives the reward to go, bootstrapped at the end.
    """
    ended = (jnp.asarray(terminated) | jnp.asarray(truncated)).at[-1].set(True)
    tail = discount * jnp.where(terminated, 0, next_value)
    return _discounted_sum(
        jnp.asarray(reward) + jnp.where(ended, tail, (1 - trace) * tail),
        jnp.where(ended, 0, jnp.asarray(discount * trace)),
    )


def gae(
    reward: Series,
    value: Series,
    next_value: Series,
    terminated: Flags,
    truncated: Flags,
    discount: ScalarLike,
    trace: ScalarLike,
) -> Float[Array, " time"]:
    """Return the generalised advantage estimates Â_t, equation (5).

    Â_t + `value` is the λ-return, the usual target of a critic. With λ = 1 the estimate is unbiased for any V; with
    λ = 0 it has the least variance, and is unbiased only if V is exact.

    Args:
        reward: r_t.
        value: V(s_t).
        next_value: V of the true successor of each step.
        terminated: True where the episode terminated.
        truncated: True where the episode was truncated.
        discount: γ.
        trace: λ.
    """
    delta = jnp.asarray(reward) + discount * jnp.where(terminated, 0, next_value) - value
    ended = jnp.asarray(terminated) | jnp.asarray(truncated)
    return _discounted_sum(delta, jnp.where(ended, 0, jnp.asarray(discount * trace)))


def differential_advantage(
    reward: Series,
    value: Series,
    next_value: Series,
    terminated: Flags,
    truncated: Flags,
    average_reward: ScalarLike,
    trace: ScalarLike,
) -> Float[Array, " time"]:
    """Return Â_t for the average reward: (5) with γ = 1 and r − ρ in place of r.

    In a continuing task adding a constant to all values changes nothing. In an episodic task the value after
    termination is 0. This determines the constant: Σ (r − ρ) over an episode has mean 0, and so has the differential
    value of its first state. Arguments as for `gae`; `average_reward` is ρ, in units of reward per step.
    """
    return gae(jnp.asarray(reward) - average_reward, value, next_value, terminated, truncated, 1.0, trace)


def _discounted_sum(term: Float[Array, " time"], discount: Float[Array, " time"]) -> Float[Array, " time"]:
    """Compute x_t = term_t + discount_t x_{t+1}, with x = 0 after the last step."""

    def back(following: Scalar, step: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        total = step[0] + step[1] * following
        return total, total

    return jax.lax.scan(back, jnp.zeros((), term.dtype), (term, discount.astype(term.dtype)), reverse=True)[1]


def discount_for(length: int | None) -> float:
    """Return γ = 1 - 5/T for episodes of at most T steps, within [0.95, 0.995]; 0.99 if the length is unknown.

    The rule is that of TD-MPC2 (Hansen et al. 2024, arXiv:2310.16828), which BRO, SimbaV2 and XQC take from it.
    """
    return 0.99 if length is None else min(max(1.0 - 5.0 / length, 0.95), 0.995)
