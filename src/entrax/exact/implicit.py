"""Derivatives of a fixed point by the implicit function theorem, in constant memory.

V(θ) = T_θ V(θ) gives (I − γ P_π) dV = ∂_θ T_θ V dθ: one linear solve for a tangent and one transposed solve for a
gradient, whatever the number of iterations that found V. First derivatives only: P_π is held fixed here.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from entrax.exact.bellman import ByAction, ByState, Scalar, Sweep, action_values, policy_rows, soft_maximiser
from entrax.exact.linear import solve_policy
from entrax.problems.finite import FiniteMDP
from entrax.soft.operators import soft_max, soft_policy


def attach_gradient(mdp: FiniteMDP, sweep: Sweep, temperature: Scalar, value: ByState) -> ByState:
    """`value`, a fixed point of the sweep's T found by any means, as a differentiable function of problem and α."""
    value, fixed, alpha = jax.lax.stop_gradient((value, sweep, temperature))
    rows = policy_rows(fixed, soft_maximiser(action_values(fixed, value), alpha, fixed.log_prior))
    q = action_values(sweep, value)
    backed_up = jax.vmap(soft_max, in_axes=(0, None, 0, 0))(*_operands(mdp, sweep, q, temperature))
    return value + solve_policy(rows, fixed.discount, backed_up - jax.lax.stop_gradient(backed_up))


def smooth_policy(mdp: FiniteMDP, sweep: Sweep, temperature: Scalar, q: ByAction) -> Float[Array, "state action"]:
    """The soft policy of Q with the derivatives of `entrax.soft.operators`, by Q, temperature and prior."""
    return jax.vmap(soft_policy, in_axes=(0, None, 0, 0))(*_operands(mdp, sweep, q, temperature))


def _operands(mdp: FiniteMDP, sweep: Sweep, q: ByAction, temperature: Scalar) -> tuple[Any, Scalar, Any, Any]:
    """Q, α, prior and mask of each state, as the operators take them."""
    allowed = jnp.isfinite(sweep.reward).T
    prior = None
    if sweep.log_prior is not None:
        weight = jnp.ones(mdp.reward.shape) if mdp.prior is None else jnp.asarray(mdp.prior, jnp.float64)
        prior = jnp.where(jnp.asarray(mdp.terminal)[:, None], 1.0, weight)
    return q.T, temperature, prior, allowed
