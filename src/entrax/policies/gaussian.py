"""The stochastic policy that both versions of soft actor-critic share: a tanh-squashed Gaussian over a network."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Num, PRNGKeyArray, Scalar

from entrax.nets import MLP, TanhGaussian
from entrax.policies.base import Memoryless
from entrax.spec import Progress

LOG_STD_RANGE = (-20.0, 2.0)  # as in the authors' code


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
