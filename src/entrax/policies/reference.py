"""A reference policy π₀ in the uniform one's place: regularisation towards what an earlier policy does.

    V(s) = α log Σ_a π₀(a|s) exp(Q(s, a)/α),     π(a|s) = π₀(a|s) exp((Q(s, a) - V(s))/α)

are equations (1) and (2) of `entrax.soft` with the prior that they take, and -KL(π ‖ π₀) is what the entropy becomes.
An agent whose module has `with_prior(config, state, prior)` learns with one. Its `State.prior` is None or a policy: a
part of the state, which no update changes. For deterministic dynamics without discount the optimum is
p*(τ) ∝ π₀(τ) exp(R(τ)/α) over trajectories τ.
"""

from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, Num, Scalar

from entrax.errors import UsageError
from entrax.policies.choices import Choices
from entrax.policies.stochastic import Normal, Stochastic


@runtime_checkable
class Prior(Protocol):
    """What a policy over discrete actions needs in order to be another one's π₀."""

    choices: Choices

    def probabilities(self, obs: Num[Array, " obs"]) -> Float[Array, "choice option"]:
        """π₀(·|s) for each choice; 0 for options that do not exist."""
        ...


def probabilities(prior: Any, obs: Num[Array, " obs"]) -> Float[Array, "choice option"] | None:
    """π₀(·|s), or None where there is no prior, which is what the soft operators take for π₀ = 1."""
    return None if prior is None else prior.probabilities(obs)


def log_probability(prior: Any, obs: Num[Array, " obs"], action: Num[Array, " action"]) -> Scalar:
    """log π₀(a|s) of a Normal or a `Prior`; a probability of 0 counts as the smallest normal number."""
    if isinstance(prior, Normal):
        return prior.log_prob(obs, action)
    return prior.choices.q_of(_log(prior.probabilities(obs)), action)


def kl(policy: Stochastic, prior: Any, obs: Num[Array, " obs"]) -> Scalar:
    """KL(π(·|s) ‖ π₀(·|s)) in nats: of two Gaussians, or of probabilities, where 0 counts as in `log_probability`."""
    if isinstance(policy, Normal):
        apart = (policy.mean(obs) - prior.mean(obs)) * jnp.exp(-prior.log_std)
        log_scale = policy.log_std - prior.log_std
        return jnp.sum(0.5 * (jnp.exp(2.0 * log_scale) + apart**2 - 1.0) - log_scale)
    log_pi = policy(obs)
    exists = policy.choices.mask
    log_ratio = jnp.where(exists, log_pi, 0.0) - jnp.where(exists, _log(prior.probabilities(obs)), 0.0)
    return jnp.sum(jnp.exp(log_pi) * log_ratio)


def check_prior(prior: Any, policy: Any) -> Any:
    """`prior` itself. Raises EntraxError unless it can be the π₀ of `policy`."""
    if isinstance(policy, Normal) and isinstance(prior, Normal):
        return prior
    if isinstance(policy, Normal) or not isinstance(prior, Prior):
        raise UsageError(
            f"The prior is a {type(prior).__name__}: it must have probabilities of discrete actions, or be a Gaussian "
            "(`entrax.policies.stochastic.Normal`) where the new policy is one."
        )
    if prior.choices != policy.choices:
        raise UsageError(
            f"The prior chooses among {prior.choices.sizes} options and this agent among {policy.choices.sizes}: "
            "give both the same `joint_limit`."
        )
    return prior


def _log(probability: Float[Array, "choice option"]) -> Float[Array, "choice option"]:
    return jnp.log(jnp.maximum(probability, jnp.finfo(probability.dtype).tiny))
