"""The policy that the deterministic agents share: a network squashed by tanh, and the noise that explores around it."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, Scalar, ScalarLike

from entrax.nets import MLP
from entrax.policies.base import Memoryless, Policy
from entrax.spec import Progress


class DeterministicPolicy(eqx.Module):
    """μ(s), one action in (-1, 1) for each observation."""

    network: MLP

    def __init__(self, obs_size: int, action_size: int, hidden: Sequence[int], key: PRNGKeyArray):
        self.network = MLP(obs_size, hidden, action_size, key)

    def __call__(self, obs: Float[Array, " obs"]) -> Float[Array, " action"]:
        return jnp.tanh(self.network(obs))


class NoisyPolicy(Memoryless):
    """Acts with μ(s) + σ ε, ε ~ N(0, 1), clipped to [-1, 1].

    Clipping leaves atoms at the bounds, so that an action has no density to report.
    """

    mean: DeterministicPolicy
    noise: Scalar  # σ, as a share of half the range of an action

    def sample(
        self, obs: Float[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Float[Array, " action"], dict[str, Scalar]]:
        mean = self.mean(obs)
        return jnp.clip(mean + self.noise * jr.normal(key, mean.shape), -1.0, 1.0), {}

    def mode(self, obs: Float[Array, " obs"]) -> Float[Array, " action"]:
        return self.mean(obs)


class CorrelatedNoisyPolicy(eqx.Module):
    """A noisy policy whose ε is an Ornstein-Uhlenbeck process for each entry of an action. Satisfies `Policy`.

    It is in its stationary law from the first step of an episode on: ε_t = ρ ε_{t-1} + √(1 - ρ²) ξ_t, ξ_t ~ N(0, 1),
    and ε_0 = ξ_0. The carry is ε; zeros stand for the noise before the first step.
    """

    mean: DeterministicPolicy
    noise: Scalar  # σ, as a share of half the range of an action
    correlation: Scalar  # ρ

    def initial_carry(self) -> Float[Array, " action"]:
        return jnp.zeros_like(self.mean.network.layers[-1].bias)

    def act(
        self,
        carry: Float[Array, " action"],
        obs: Float[Array, " obs"],
        progress: Progress,
        key: PRNGKeyArray | None,
        greedy: bool,
    ) -> tuple[Float[Array, " action"], Float[Array, " action"], dict[str, Scalar]]:
        mean, rho = self.mean(obs), self.correlation
        if greedy:
            return mean, carry, {}
        assert key is not None
        fresh = jr.normal(key, mean.shape)
        noise = jnp.where(jnp.any(carry != 0), rho * carry + jnp.sqrt(1.0 - rho**2) * fresh, fresh)
        return jnp.clip(mean + self.noise * noise, -1.0, 1.0), noise, {}


def noisy_policy(mean: DeterministicPolicy, noise: ScalarLike, correlation: ScalarLike | None) -> Policy:
    """Return the policy that explores around `mean`; None is noise that is independent from step to step."""
    if correlation is None:
        return NoisyPolicy(mean=mean, noise=jnp.asarray(noise))
    return CorrelatedNoisyPolicy(mean=mean, noise=jnp.asarray(noise), correlation=jnp.asarray(correlation))
