"""The stochastic policies of soft actor-critic and its kin: a tanh-squashed Gaussian over a network."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Num, PRNGKeyArray, Scalar

from entrax.nets import MLP, TanhGaussian
from entrax.nets.normalised import Normalise, NormalisedMLP, Running, in_evaluation
from entrax.policies.base import Memoryless
from entrax.spec import Progress

LOG_STD_RANGE = (-20.0, 2.0)  # as in the authors' code
NORMALISED_LOG_STD_RANGE = (-10.0, 2.0)  # as in the code of XQC's authors


class GaussianPolicy(Memoryless):
    """π(a|s): mean and log standard deviation from one network."""

    network: MLP

    def __init__(self, obs_size: int, action_size: int, hidden: Sequence[int], key: PRNGKeyArray):
        self.network = MLP(obs_size, hidden, 2 * action_size, key)

    def __call__(self, obs: Num[Array, " obs"]) -> TanhGaussian:
        mean, log_std = jnp.split(self.network(obs), 2)
        return TanhGaussian(mean=mean, log_std=jnp.clip(log_std, *LOG_STD_RANGE))

    def sample(
        self, obs: Num[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Float[Array, " action"], dict[str, Scalar]]:
        action, log_prob = self(obs).sample_and_log_prob(key)
        return action, {"log_prob": log_prob}

    def mode(self, obs: Num[Array, " obs"]) -> Float[Array, " action"]:
        return self(obs).mode()


class NormalisedGaussian(Memoryless):
    """π(a|s): mean and log standard deviation from one network, normalised by its running statistics."""

    network: NormalisedMLP
    running: Running
    kind: str = eqx.field(static=True)  # of normalisation

    def __call__(self, obs: Float[Array, " obs"]) -> TanhGaussian:
        return in_batch(self.network, self.running, obs, in_evaluation(self.kind))[0]

    def sample(
        self, obs: Float[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Float[Array, " action"], dict[str, Scalar]]:
        action, log_prob = self(obs).sample_and_log_prob(key)
        return action, {"log_prob": log_prob}

    def mode(self, obs: Float[Array, " obs"]) -> Float[Array, " action"]:
        return self(obs).mode()


def in_batch(
    network: NormalisedMLP, running: Running, obs: Float[Array, "*batch obs"], normalise: Normalise
) -> tuple[TanhGaussian, Running]:
    """Return the distributions [*batch, action] for a batch, and the next running statistics."""
    outputs, running = network(obs, running, normalise)
    mean, log_std = jnp.split(outputs, 2, axis=-1)
    return TanhGaussian(mean=mean, log_std=jnp.clip(log_std, *NORMALISED_LOG_STD_RANGE)), running
