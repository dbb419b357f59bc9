"""Derivatives of a fixed point by the implicit function theorem.

V(θ) = T_θ V(θ) gives (I − γ P_π) dV = ∂_θ T_θ V dθ. A tangent takes one linear solve and a gradient one transposed
solve, independent of the iterations that computed V. P_π belongs to the policy of V(θ), so the derivative can be
differentiated again, to any order. At temperature 0 the policy is a step function, whose derivatives are 0.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from entrax.exact.bellman import (
    ByAction,
    ByState,
    PolicyTransitions,
    Scalar,
    Sweep,
    action_values,
    policy_transitions,
)
from entrax.exact.linear import solve_policy, solve_relative
from entrax.problems.finite import FiniteMDP
from entrax.soft.operators import soft_max, soft_policy


def attach_gradient(mdp: FiniteMDP, sweep: Sweep, temperature: Scalar, value: ByState) -> ByState:
    """Make a fixed point of T a differentiable function of the problem and α."""
    return _fixed_point((mdp, sweep, temperature), jax.lax.stop_gradient(value))


def attach_average_gradient(
    mdp: FiniteMDP, sweep: Sweep, temperature: Scalar, h: ByState, gain: Scalar
) -> tuple[ByState, Scalar]:
    """Make (h, g), with h + g = T h and h(first) = 0, differentiable functions.

    Their derivatives solve (I − P_π) dh + dg = ∂_θ T_θ h dθ.
    """
    return _relative_point((mdp, sweep, temperature), *jax.lax.stop_gradient((h, gain)))


@eqx.filter_custom_jvp
def _relative_point(theta: tuple[FiniteMDP, Sweep, Scalar], h: ByState, gain: Scalar) -> tuple[ByState, Scalar]:
    return h, gain


@_relative_point.def_jvp
def _relative_point_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    theta, (h, gain) = primals[0], _relative_point(*primals)
    change, rows, _ = _linearised(theta, tangents[0], h)
    return (h, gain), solve_relative(rows, change)


@eqx.filter_custom_jvp
def _fixed_point(theta: tuple[FiniteMDP, Sweep, Scalar], value: ByState) -> ByState:
    return value


@_fixed_point.def_jvp
def _fixed_point_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[ByState, ByState]:
    (theta, value), (theta_dot, _) = primals, tangents
    value = _fixed_point(theta, value)  # as a function of θ, so that the derivative has derivatives
    change, rows, discount = _linearised(theta, theta_dot, value)
    return value, solve_policy(rows, discount, change)


def _linearised(
    theta: tuple[FiniteMDP, Sweep, Scalar], theta_dot: Any, value: ByState
) -> tuple[ByState, PolicyTransitions, Scalar]:
    """Return ∂_θ T_θ V dθ, P_π of the policy of V, and the discount."""

    def backed_up(theta: tuple[FiniteMDP, Sweep, Scalar]) -> ByState:
        mdp, sweep, temperature = theta
        return smooth_value(mdp, sweep, temperature, action_values(sweep, value))

    _, change = eqx.filter_jvp(backed_up, (theta,), (theta_dot,))
    mdp, sweep, temperature = theta
    policy = smooth_policy(mdp, sweep, temperature, action_values(sweep, value))
    return change, policy_transitions(sweep, policy.T), sweep.discount


def smooth_value(mdp: FiniteMDP, sweep: Sweep, temperature: Scalar, q: ByAction) -> ByState:
    """Return the soft maximum of Q with the derivatives of `entrax.soft.operators`."""
    return jax.vmap(soft_max, in_axes=(0, None, 0, 0))(*_operands(mdp, sweep, q, temperature))


def smooth_policy(mdp: FiniteMDP, sweep: Sweep, temperature: Scalar, q: ByAction) -> Float[Array, "state action"]:
    """Return the soft policy of Q with the derivatives of `entrax.soft.operators`."""
    return jax.vmap(soft_policy, in_axes=(0, None, 0, 0))(*_operands(mdp, sweep, q, temperature))


def _operands(mdp: FiniteMDP, sweep: Sweep, q: ByAction, temperature: Scalar) -> tuple[Any, Scalar, Any, Any]:
    """Return Q, α, prior and mask of each state, as arguments of the soft operators."""
    terminal = jnp.asarray(mdp.terminal)[:, None]
    allowed = jnp.ones(mdp.reward.shape, bool) if mdp.mask is None else jnp.asarray(mdp.mask)
    allowed = jnp.where(terminal, jnp.arange(mdp.actions) == 0, allowed)
    prior = None
    if sweep.log_prior is not None:
        weight = jnp.ones(mdp.reward.shape) if mdp.prior is None else jnp.asarray(mdp.prior, jnp.float64)
        prior = jnp.where(terminal, 1.0, weight)
    return q.T, temperature, prior, allowed
