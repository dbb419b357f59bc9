"""The policy that the deterministic agents share: a network squashed by tanh, and the noise that explores around it."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, Scalar, ScalarLike

from entrax.nets import MLP
from entrax.spec import Progress


class DeterministicPolicy(eqx.Module):
    """μ(s), one action in (-1, 1) for each observation."""

    network: MLP

    def __init__(self, obs_size: int, action_size: int, hidden: Sequence[int], key: PRNGKeyArray):
        self.network = MLP(obs_size, hidden, action_size, key)

    def __call__(self, obs: Float[Array, " obs"]) -> Float[Array, " action"]:
        return jnp.tanh(self.network(obs))


class NoisyPolicy(eqx.Module):
    """Acts with μ(s) + σ ε, ε ~ N(0, 1), clipped to [-1, 1]. Satisfies the `Policy` protocol.

    Clipping leaves atoms at the bounds, so that an action has no density to report.
    """

    mean: DeterministicPolicy
    noise: Scalar  # σ, as a share of half the range of an action

    def sample(
        self, obs: Float[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Float[Array, " action"], dict[str, Scalar]]:
        return self.explore(obs, jr.normal(key, self.mean(obs).shape)), {}

    def mode(self, obs: Float[Array, " obs"]) -> Float[Array, " action"]:
        return self.mean(obs)

    def explore(self, obs: Float[Array, " obs"], noise: Float[Array, " action"]) -> Float[Array, " action"]:
        """The action with this ε."""
        return jnp.clip(self.mean(obs) + self.noise * noise, -1.0, 1.0)


class CorrelatedNoisyPolicy(NoisyPolicy):
    """A noisy policy whose ε is correlated from step to step in training, as `CorrelatedPolicy` says."""

    correlation: Scalar  # ρ


def noisy_policy(mean: DeterministicPolicy, noise: ScalarLike, correlation: ScalarLike | None) -> NoisyPolicy:
    """The policy that explores around `mean`; None is noise that is independent from step to step."""
    if correlation is None:
        return NoisyPolicy(mean=mean, noise=jnp.asarray(noise))
    return CorrelatedNoisyPolicy(mean=mean, noise=jnp.asarray(noise), correlation=jnp.asarray(correlation))
