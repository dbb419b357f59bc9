"""Returns and advantages of one trajectory, or of one segment of it; `jax.vmap` makes them a batch.

    R   = Σ_t γ^t r_t                                              the discounted return                    (1)
    G_t = Σ_{k≥t} γ^{k−t} r_k                                      the reward to go                         (2)
    G_t^{(n)} = Σ_{i<n} γ^i r_{t+i} + γ^n V(s_{t+n})               the n-step return                        (3)
    G_t^λ = r_t + γ [(1−λ) V(s_{t+1}) + λ G_{t+1}^λ]               the λ-return                             (4)
    Â_t = Σ_{k≥t} (γλ)^{k−t} δ_k,  δ_t = r_t + γ V(s_{t+1}) − V(s_t)   generalised advantage: G_t^λ − V(s_t)  (5)
    D_t = Σ_{k≥t} (r_k − ρ)                                        the differential return, ρ the average   (6)

**Segments.** `next_value[t]` is V of the true successor of step t, never of the state after a reset. `terminated` and
`truncated` are told apart: termination takes the bootstrap V(s_{t+1}) away, truncation keeps it, and no sum runs
across either. The last step bootstraps like a truncated one.

For soft values and returns pass soft rewards (`policy_gradient.soft_reward`) and a soft V: nothing else changes.

Sources: Sutton and Barto (2018), chapters 7, 12 and 13; Schulman et al. (2016), arXiv:1506.02438 for (5), its equations
(16) and (17).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, ScalarLike

from entrax.errors import EntraxError

Series = Float[Array | np.ndarray, " time"]
Flags = Bool[Array | np.ndarray, " time"]
Scalar = Float[Array, ""]


def discounted_return(reward: Series, discount: ScalarLike) -> Scalar:
    """Σ_t γ^t r_t, equation (1), of a whole trajectory. Steps after its end count if their reward is not 0."""
    return reward_to_go(reward, discount)[0]


def reward_to_go(reward: Series, discount: ScalarLike, ended: Flags | None = None) -> Float[Array, " time"]:
    """G_t, equation (2), with no bootstrap. With `ended` no sum runs past a step on which an episode ended."""
    ended = jnp.zeros(reward.shape, bool) if ended is None else jnp.asarray(ended)
    return _discounted_sum(jnp.asarray(reward), jnp.where(ended, 0, discount))


def differential_return(
    reward: Series, average_reward: ScalarLike, final_value: ScalarLike = 0.0
) -> Float[Array, " time"]:
    """D_t, equation (6), of a segment of an endless task; `final_value` is the differential value after it."""
    excess = jnp.asarray(reward) - average_reward
    return reward_to_go(excess.at[-1].add(final_value), 1.0)


def n_step_return(
    reward: Series, next_value: Series, terminated: Flags, truncated: Flags, discount: ScalarLike, n: int
) -> Float[Array, " time"]:
    """G_t^{(n)}, equation (3); fewer than n steps where the segment or the episode ends before. See the module.

    Raises EntraxError if `n` is below 1.
    """
    if n < 1:
        raise EntraxError(f"An n-step return needs n of at least 1, not {n}.")
    bootstrap = jnp.asarray(reward) + discount * jnp.where(terminated, 0, next_value)
    ended = (jnp.asarray(terminated) | jnp.asarray(truncated)).at[-1].set(True)

    def longer(shorter: Float[Array, " time"], _: None) -> tuple[Float[Array, " time"], None]:
        # G_t^{(m+1)} = r_t + γ G_{t+1}^{(m)}, and G_t^{(1)} where nothing follows in this episode.
        following = jnp.append(shorter[1:], 0)
        return jnp.where(ended, bootstrap, reward + discount * following), None

    return jax.lax.scan(longer, bootstrap, length=n - 1)[0]


def lambda_return(
    reward: Series, next_value: Series, terminated: Flags, truncated: Flags, discount: ScalarLike, trace: ScalarLike
) -> Float[Array, " time"]:
    """G_t^λ, equation (4): `trace` λ = 0 is the one-step target, λ = 1 the reward to go. See the module."""
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
    """Generalised advantage estimates Â_t, equation (5). Added to `value` they are the λ-return, a critic's target.

    λ = `trace` trades bias for variance: 1 needs no right V to be unbiased, 0 needs one and has the least variance.
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
    """Â_t of the average reward: equation (5) with γ = 1 and r − ρ, the values being differential ones.

    Values may be off by any constant in a task without an end. Where one ends and begins anew, 0 after termination
    fixes it: Σ (r − ρ) over an episode has mean 0, and so has the differential value of its first state.
    """
    return gae(jnp.asarray(reward) - average_reward, value, next_value, terminated, truncated, 1.0, trace)


def _discounted_sum(term: Float[Array, " time"], discount: Float[Array, " time"]) -> Float[Array, " time"]:
    """x_t = term_t + discount_t x_{t+1}, from x = 0 after the end."""

    def back(following: Scalar, step: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        total = step[0] + step[1] * following
        return total, total

    return jax.lax.scan(back, jnp.zeros((), term.dtype), (term, discount.astype(term.dtype)), reverse=True)[1]
