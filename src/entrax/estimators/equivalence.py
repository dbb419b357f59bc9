"""The equivalence of policy gradients and soft Q-learning for one sample.

Q at one state defines a value and a policy, V = α log Σ π₀ exp(Q/α) and π = π₀ exp((Q−V)/α). Then for any action a and
any constant target y of soft Q-learning

    ∇ ½(Q(a) − y)²  =  −α ∇log π(a) (ŷ − V)  +  ∇ ½(V − ŷ)²,      ŷ = y − α log(π(a)/π₀(a))                   (1)

because Q(a) = V + α log(π(a)/π₀(a)). The first term is −α times the policy gradient with baseline V; the second is the
gradient of the value loss. Under a ~ π their expectations are the actor-critic gradients. ŷ is the *soft* return:
without −α log(π/π₀) equation (1) does not hold.

Path consistency is the soft Bellman equation along a path of a deterministic problem. It holds for any actions:

    V(s_0) − γ^d V(s_d) = Σ_{i<d} γ^i (r_i − α log(π(a_i|s_i)/π₀(a_i|s_i)))                                   (2)

References:
    Schulman, Chen and Abbeel (2017), arXiv:1704.06440, section 4.
    Nachum et al. (2017), arXiv:1702.08892, theorem 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, ScalarLike

from entrax.soft import log_soft_policy, soft_max

Prior = Float[Array | np.ndarray, " action"]
Series = Float[Array | np.ndarray, " time"]


class SoftQGradient(NamedTuple):
    """The three gradients of equation (1), each a pytree like the parameters.

    Attributes:
        soft_q: the gradient of the soft Q-learning loss; equals −α `policy_gradient` + `value`.
        policy_gradient: ∇log π(a) (ŷ − V), to be ascended.
        value: the gradient of the value loss ½(V − ŷ)².
    """

    soft_q: Any
    policy_gradient: Any
    value: Any


def soft_q_gradient(
    q: Callable[[Any], Float[Array, " action"]],
    params: Any,
    action: Int[Array | np.ndarray, ""] | int,
    target: ScalarLike,
    temperature: ScalarLike,
    prior: Prior | None = None,
) -> SoftQGradient:
    """Compute the terms of equation (1), each by its own differentiation.

    Args:
        q: maps the parameters to Q(s, ·) at the sample's state.
        params: the parameters, any pytree.
        action: the sample's action.
        target: y, such as r + γ V(s').
        temperature: α > 0, in units of reward.
        prior: weights of π₀, normalised here; None for the entropy convention.
    """
    log_prior = jnp.zeros(()) if prior is None else jnp.log(prior[action] / jnp.sum(jnp.asarray(prior)))

    def log_policy(params: Any) -> Float[Array, ""]:
        return log_soft_policy(q(params), temperature, prior)[action]

    value = soft_max(q(params), temperature, prior)
    soft_target = target - temperature * (log_policy(params) - log_prior)
    score = jax.grad(log_policy)(params)
    return SoftQGradient(
        soft_q=jax.grad(lambda params: 0.5 * (q(params)[action] - target) ** 2)(params),
        policy_gradient=jax.tree.map(lambda leaf: leaf * (soft_target - value), score),
        value=jax.grad(lambda params: 0.5 * (soft_max(q(params), temperature, prior) - soft_target) ** 2)(params),
    )


def path_inconsistency(
    value: ScalarLike,
    final_value: ScalarLike,
    reward: Series,
    log_probability: Series,
    discount: ScalarLike,
    temperature: ScalarLike,
    log_prior: Series | ScalarLike = 0.0,
) -> Float[Array, ""]:
    """Return the right side minus the left side of equation (2).

    It is 0 at the soft optimum, for any actions, and differentiable in every argument.

    Args:
        value: V(s_0).
        final_value: V(s_d); 0 if the path ended by termination.
        reward: r_0 … r_{d−1}.
        log_probability: log π(a_i|s_i).
        discount: γ.
        temperature: α, in units of reward.
        log_prior: log π₀(a_i|s_i); 0 for the entropy convention.
    """
    soft = reward - temperature * (log_probability - log_prior)
    power = discount ** jnp.arange(soft.shape[0])
    return jnp.sum(power * soft) + discount ** soft.shape[0] * final_value - value
