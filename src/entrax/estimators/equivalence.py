"""Policy gradients and soft Q-learning are nearly one algorithm: the terms of that statement, for one sample.

A Q at one state is read as a value and a policy, V = α log Σ π₀ exp(Q/α) and π = π₀ exp((Q−V)/α). Then for any action
a and any number y, the target of soft Q-learning, held constant,

    ∇ ½(Q(a) − y)²  =  −α ∇log π(a) (ŷ − V)  +  ∇ ½(V − ŷ)²,      ŷ = y − α log(π(a)/π₀(a))                   (1)

because Q(a) = V + α log(π(a)/π₀(a)). The first term is −α times the policy gradient with baseline V, the second the
fit of the value; under a ~ π their expectations are those of the actor-critic gradients. ŷ is the *soft* return: leave
−α log(π/π₀) out of it and (1) fails.

Path consistency is the soft Bellman equation along any path of a deterministic problem, whoever chose its actions:

    V(s_0) − γ^d V(s_d) = Σ_{i<d} γ^i (r_i − α log(π(a_i|s_i)/π₀(a_i|s_i)))                                   (2)

Sources: Schulman, Chen and Abbeel (2017), arXiv:1704.06440, section 4; Nachum et al. (2017), arXiv:1702.08892,
theorem 3.
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
    """Both sides of equation (1), each a pytree like the parameters: `soft_q` = −α `policy_gradient` + `value`."""

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
    """The terms of equation (1), each by its own differentiation. `q(params)` gives Q(s, ·) of the sample's state.

    `target` is y = r + γ V(s') or any other; `policy_gradient` is to be ascended, the other two descended.
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
    """Right side minus left side of equation (2): 0 at the soft optimum, for any actions. Differentiable in everything.

    `value` is V(s_0) and `final_value` V(s_d), 0 if the path ended by termination.
    """
    soft = reward - temperature * (log_probability - log_prior)
    power = discount ** jnp.arange(soft.shape[0])
    return jnp.sum(power * soft) + discount ** soft.shape[0] * final_value - value
