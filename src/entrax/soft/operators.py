"""The soft Bellman equations at one state; use `jax.vmap` for batches.

    V = α log Σ_a π₀(a) exp(Q(a)/α)           the soft maximum            (1)  soft_max
    π(a) = π₀(a) exp((Q(a) − V)/α)            exponentiated advantage     (2)  soft_policy, log_soft_policy
    Q = r + γ (1 − terminated) V(s')          the soft Bellman backup     (3)  soft_bellman_backup
    V^π = E_π Q − α KL(π ‖ π₀)                any policy's soft value     (4)  soft_value; V = max_π V^π

**Two conventions.** Without a prior, π₀ is the counting measure, π₀(a) = 1 (the entropy convention). Then
−KL(π ‖ π₀) is the entropy H(π), and V lies in [max Q, max Q + α log|A|]. With a prior, π₀ is the prior normalised over
the allowed actions (the KL convention), and V ≤ max Q. Under a uniform prior the two conventions have the same policy,
and their values differ by α log|A|.

**Excluded actions.** The mask (True: allowed) removes actions before the prior is normalised. An action whose prior is
0, or below the smallest normal number, is treated as masked. An action with Q(a) = −∞ is never taken, but keeps its
share of the prior. Excluded actions have probability 0, log-probability −∞ and no gradient. If every action is
excluded, V = −∞ (the supremum of the empty set) and every probability is 0.

**Temperature 0** gives the hard maximum and its policy, by the same functions, also when the temperature is traced.
Actions tie if their Q are equal floating-point numbers. Tied actions share the probability in proportion to the prior,
or equally without one. A temperature whose reciprocal overflows (about 2e-34 in float32) is treated as 0; a negative
temperature gives NaN.

**Gradients** are finite at every temperature ≥ 0. The derivatives of V have a closed form:

    ∂V/∂Q = π,   ∂V/∂α = H(π) or −KL(π ‖ π₀),   ∂V/∂ log π₀(a) = α π(a) before normalisation                (5)

At temperature 0 these are the tie-sharing policy and its entropy. The policy is a step function there, so its
derivatives with respect to Q and the temperature are 0, and so are the second derivatives of V.

References:
    Ziebart (2010), Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
    Levine (2018), arXiv:1805.00909.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, ScalarLike

Vector = Float[Array | np.ndarray, " action"]
Mask = Bool[Array | np.ndarray, " action"]
Scalar = Float[Array, ""]


def soft_max(
    q: Vector,
    temperature: ScalarLike,
    prior: Vector | None = None,
    mask: Mask | None = None,
) -> Scalar:
    """Return the soft maximum V = α log Σ π₀ exp(Q/α), equation (1).

    Args:
        q: Q of each action, in units of reward; −∞ for an action that is never taken.
        temperature: α ≥ 0, in the units of `q`. At 0 the result is the hard maximum.
        prior: weights ≥ 0 of the actions, normalised here; None for the entropy convention.
        mask: True where an action is allowed; None allows all of them.

    Returns:
        V in the units of `q`.
    """
    return _soft_max(*_problem(q, temperature, prior, mask))


def log_soft_policy(
    q: Vector,
    temperature: ScalarLike,
    prior: Vector | None = None,
    mask: Mask | None = None,
) -> Float[Array, " action"]:
    """Return log π = log π₀ + (Q − V)/α, equation (2); −∞ for excluded actions.

    Arguments as for `soft_max`.
    """
    return _log_policy(*_problem(q, temperature, prior, mask))


def soft_policy(
    q: Vector,
    temperature: ScalarLike,
    prior: Vector | None = None,
    mask: Mask | None = None,
) -> Float[Array, " action"]:
    """Return the probabilities π = π₀ exp((Q − V)/α), equation (2).

    Arguments as for `soft_max`.
    """
    return jnp.exp(log_soft_policy(q, temperature, prior, mask))


def entropy(policy: Vector) -> Scalar:
    """Return H(π) = −Σ π log π in nats, with 0 log 0 = 0.

    An action of probability 0 has gradient 0.
    """
    return -jnp.sum(policy * _log_where_positive(policy))


def kl_divergence(policy: Vector, prior: Vector) -> Scalar:
    """Return KL(π ‖ π₀) = Σ π log(π/π₀) in nats.

    Both distributions must be normalised. The result is +∞ if π takes an action that π₀ never takes.
    """
    log_ratio = _log_where_positive(policy) - _log_where_positive(prior)
    return jnp.sum(jnp.where((policy > 0) & (prior <= 0), jnp.inf, policy * log_ratio))


def soft_value(
    q: Vector,
    policy: Vector,
    temperature: ScalarLike,
    prior: Vector | None = None,
) -> Scalar:
    """Return the soft value of any policy, equation (4).

    It is E_π Q + α H(π), or E_π Q − α KL(π ‖ π₀) with a prior. Its maximum over policies is `soft_max`.

    Args:
        q: Q of each action, in units of reward. Actions of probability 0 are ignored, even if their Q is not finite.
        policy: the probability of each action.
        temperature: α ≥ 0, in the units of `q`.
        prior: the probability of each action under π₀, already normalised; None for the entropy convention.

    Returns:
        V^π in the units of `q`.
    """
    expected_q = jnp.sum(policy * jnp.where(policy > 0, q, 0))
    if prior is None:
        return expected_q + temperature * entropy(policy)
    return expected_q - temperature * kl_divergence(policy, prior)


def soft_bellman_backup(
    reward: ScalarLike, discount: ScalarLike, next_value: ScalarLike, terminated: Bool[Array, ""] | bool
) -> Scalar:
    """Return Q = r + γ (1 − terminated) V(s'), equation (3).

    Only termination stops bootstrapping, so do not pass truncation as `terminated`. If `terminated` is True,
    `next_value` is ignored, even if it is not finite.
    """
    return jnp.asarray(reward + discount * jnp.where(terminated, 0, next_value))


def _log_where_positive(probability: Vector) -> Float[Array, " action"]:
    """Return log p, and 0 with gradient 0 where p is 0."""
    positive = probability >= jnp.finfo(probability.dtype).tiny
    return jnp.where(positive, jnp.log(jnp.where(positive, probability, 1)), 0)


def _problem(
    q: Vector, temperature: ScalarLike, prior: Vector | None, mask: Mask | None
) -> tuple[Vector, Scalar, Vector | None]:
    """Return Q, the temperature and log π₀ or None in one dtype; −∞ where excluded."""
    dtype = jnp.result_type(q, temperature) if prior is None else jnp.result_type(q, temperature, prior)
    q, temperature = jnp.asarray(q, dtype), jnp.asarray(temperature, dtype)
    allowed = jnp.ones(q.shape, bool) if mask is None else mask
    if prior is None:
        return jnp.where(allowed, q, -jnp.inf), temperature, None
    allowed = allowed & (prior >= jnp.finfo(dtype).tiny)
    weight = jnp.where(allowed, jnp.asarray(prior, dtype), 1)
    total = jnp.where(jnp.any(allowed), jnp.sum(jnp.where(allowed, weight, 0)), 1)
    log_prior = jnp.where(allowed, jnp.log(weight) - jnp.log(total), -jnp.inf)
    return jnp.where(allowed, q, -jnp.inf), temperature, log_prior


@jax.custom_jvp
def _soft_max(q: Vector, temperature: Scalar, log_prior: Vector | None) -> Scalar:
    return jnp.max(q) + temperature * _log_mass(_scaled_gap(q, temperature), log_prior)


@_soft_max.defjvp
def _soft_max_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """Compute equations (5); without division, they also hold at temperature 0."""
    q, temperature, log_prior = primals
    q_dot, temperature_dot, log_prior_dot = tangents
    gap = _scaled_gap(q, temperature)
    policy = jnp.exp(_log_policy(q, temperature, log_prior))
    # H(π) = log Σ e^z − E_π z, and −KL(π ‖ π₀) is the same with π₀ inside the sum.
    slope = _log_mass(gap, log_prior) - jnp.sum(policy * jnp.where(policy > 0, gap, 0))
    v_dot = jnp.sum(policy * q_dot) + slope * temperature_dot
    if log_prior is not None:
        v_dot += temperature * jnp.sum(policy * log_prior_dot)
    return _soft_max(q, temperature, log_prior), v_dot


def _log_policy(q: Vector, temperature: Scalar, log_prior: Vector | None) -> Float[Array, " action"]:
    gap = _scaled_gap(q, temperature)
    log_weight = gap if log_prior is None else _plus_log_prior(gap, log_prior)
    return jnp.asarray(log_weight) - _log_mass(gap, log_prior)


def _log_mass(gap: Vector, log_prior: Vector | None) -> Scalar:
    """Return log Σ π₀ e^z = (V − max Q)/α; 0 if every action is excluded."""
    all_excluded = jnp.all(gap == -jnp.inf)
    gap = jnp.where(all_excluded, 0, gap)
    if log_prior is None:
        return jnp.where(all_excluded, 0, jnp.log(jnp.sum(jnp.exp(gap))))  # the sum is in [1, |A|]
    log_prior = jnp.where(all_excluded, 0, log_prior)
    log_sum = jax.nn.logsumexp(_plus_log_prior(gap, log_prior))
    # At a high temperature the sum is just below 1, and its rounding error times α would swamp V; log1p avoids this.
    spread = jnp.sum(jnp.exp(log_prior) * jnp.expm1(gap))
    near_one = jnp.log1p(jnp.maximum(spread, -0.25))
    return jnp.where(all_excluded, 0, jnp.where(spread > -0.25, near_one, log_sum))


def _plus_log_prior(gap: Vector, log_prior: Vector) -> Vector:
    # Excluded actions are set to −∞ by selection: adding an infinity would make the gradients NaN.
    excluded = (gap == -jnp.inf) | (log_prior == -jnp.inf)
    return jnp.where(excluded, -jnp.inf, gap + jnp.where(excluded, 0, log_prior))


def _coldest(dtype: Any) -> float:
    # A temperature below this is treated as 0; the factor keeps products with 1/α finite.
    return float(jnp.finfo(dtype).tiny) * 2.0**14


@jax.custom_jvp
def _scaled_gap(q: Vector, temperature: Scalar) -> Vector:
    """Return z = (Q − max Q)/α ≤ 0; at temperature 0, 0 for the best, −∞ otherwise.

    The derivative omits the term of max Q: the results computed from z do not change if a constant is added to Q.
    """
    best = jnp.max(q)
    gap = q - jnp.where(best == -jnp.inf, 0, best)
    cold = temperature < _coldest(q.dtype)
    warm_z = gap / jnp.where(cold, 1, temperature)
    cold_z = jnp.where(gap < 0, -jnp.inf, gap)
    return jnp.where(temperature >= 0, jnp.where(cold, cold_z, warm_z), jnp.nan)


@_scaled_gap.defjvp
def _scaled_gap_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """Compute ż = (Q̇ − z α̇)/α, and 0 where z is −∞ or the temperature is 0."""
    q, temperature = primals
    q_dot, temperature_dot = tangents
    z = _scaled_gap(q, temperature)
    cold = temperature < _coldest(q.dtype)
    live = jnp.isfinite(z) & ~cold
    warm = jnp.where(cold, 1, temperature)
    # z/α can overflow where exp(z) has underflowed to 0; a finite bound prevents 0 · ∞ = NaN.
    slope = jnp.maximum(jnp.where(live, z, 0) / warm, -1e-3 * jnp.finfo(q.dtype).max)
    return z, jnp.where(live, q_dot, 0) / warm - slope * temperature_dot
