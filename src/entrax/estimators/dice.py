"""DiCE: unbiased derivatives of every order for any stochastic computation graph.

    □(x) = exp(x − ⊥x)                              the magic box: 1, with ∇□(x) = □(x) ∇x                    (1)
    L = Σ_c □(Σ_{w ∈ W_c} log p(w)) c               c a cost, W_c the stochastic nodes that influence it      (2)
    + Σ_w (1 − □(log p(w))) b_w                     a baseline: value 0, first derivative −b_w ∇log p(w)      (3)

⊥ stops the gradient. E ∇ⁿL = ∇ⁿ E Σ c, also if the costs depend on the parameters. The baseline reduces the variance of
first derivatives. Every order stays unbiased if b_w does not depend on w or on nodes after it.

References:
    Foerster et al. (2018), arXiv:1802.05098, equations (5) to (8).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, ScalarLike

Nodes = Float[Array | np.ndarray, " node"]
Series = Float[Array | np.ndarray, " time"]
Scalar = Float[Array, ""]


def magic_box(log_probability: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return □(x) of equation (1)."""
    return jnp.exp(log_probability - jax.lax.stop_gradient(log_probability))


def dice_objective(
    cost: Float[Array | np.ndarray, " cost"],
    log_probability: Nodes,
    influences: Bool[Array | np.ndarray, "cost node"],
    baseline: Nodes | ScalarLike = 0.0,
) -> Scalar:
    """Return L of equations (2) and (3) for any stochastic computation graph.

    Args:
        cost: c of each cost node.
        log_probability: log p(w) of each stochastic node, such as an action or a latent variable.
        influences: `influences[c, w]` is True where node w influences cost c.
        baseline: b_w, in units of cost; no gradient passes through it.

    Returns:
        L, whose value is Σ c.
    """
    log_probability = jnp.asarray(log_probability)
    along = jnp.sum(jnp.where(influences, log_probability, 0), axis=1)
    correction = (1 - magic_box(log_probability)) * jax.lax.stop_gradient(baseline)
    return jnp.sum(magic_box(along) * cost) + jnp.sum(correction)


def dice_return(
    log_probability: Series, reward: Series, discount: ScalarLike, baseline: Series | ScalarLike = 0.0
) -> Scalar:
    """Return L of a trajectory: its value is the discounted return Σ_t γ^t r_t.

    Each reward is influenced by the actions up to and including its step.

    Args:
        log_probability: log π(a_t|s_t).
        reward: r_t.
        discount: γ.
        baseline: an estimate of the reward to go from each step. It is multiplied by γ^t here.
    """
    power = discount ** jnp.arange(reward.shape[0])
    causal = jnp.tril(jnp.ones((reward.shape[0],) * 2, bool))
    return dice_objective(power * reward, log_probability, causal, power * baseline)
