"""The stochastic policies of the policy-gradient agents: what they need is log π(a|s) of any action, and H(π(·|s)).

- Box: a Gaussian with a network's mean and a standard deviation that does not depend on the state. Its draws are not
  clipped: the environment clips what lies beyond its bounds, replay keeps the draw itself, and the density is that of
  the draw, with no correction. Near a bound many draws are one action; the entropy is that of the draws.
- Discrete and MultiDiscrete: a softmax over the options of each choice, as `entrax.policies.choices` tells.

Softmax satisfies the `Prior` protocol.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray, Scalar

from entrax.errors import UsageError
from entrax.nets import Encoded, TanhMLP, on_observations
from entrax.policies.base import Memoryless
from entrax.policies.choices import Choices, choices_of
from entrax.policies.masks import Masked, masked
from entrax.soft import log_soft_policy
from entrax.spec import Continuous, Progress, Spec

LAST_GAIN = 0.01  # of a policy's last layer, which makes its first law nearly the same in every state


class Normal(Memoryless):
    """π(a|s) = N(μ(s), diag σ²)."""

    mean: TanhMLP | Encoded
    log_std: Float[Array, " action"]

    def sample(
        self, obs: Num[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Float[Array, " action"], dict[str, Scalar]]:
        action = self.mean(obs) + jnp.exp(self.log_std) * jr.normal(key, self.log_std.shape)
        return action, {}

    def mode(self, obs: Num[Array, " obs"]) -> Float[Array, " action"]:
        return self.mean(obs)

    def log_prob(self, obs: Num[Array, " obs"], action: Float[Array, " action"]) -> Scalar:
        """Log density of a draw."""
        standardised = (action - self.mean(obs)) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * standardised**2 - self.log_std - 0.5 * math.log(2.0 * math.pi))

    def entropy(self, obs: Num[Array, " obs"]) -> Scalar:
        """Differential entropy in nats, the same in every state."""
        return jnp.sum(self.log_std + 0.5 * math.log(2.0 * math.pi * math.e))


class Softmax(Memoryless):
    """π(a|s), a softmax for each choice."""

    logits: TanhMLP | Encoded | Masked
    choices: Choices = eqx.field(static=True)

    def __call__(self, obs: Num[Array, " obs"]) -> Float[Array, "choice option"]:
        """log π; -∞ for options that do not exist."""
        logits = self.logits(obs).reshape(self.choices.shape)
        return jax.vmap(log_soft_policy, (0, None, None, 0))(logits, 1.0, None, self.choices.mask)

    def sample(
        self, obs: Num[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Int[Array, " action"], dict[str, Scalar]]:
        return self.choices.to_action(jr.categorical(key, self(obs), axis=1)), {}

    def mode(self, obs: Num[Array, " obs"]) -> Int[Array, " action"]:
        return self.choices.best(self(obs))

    def log_prob(self, obs: Num[Array, " obs"], action: Int[Array, " action"]) -> Scalar:
        """Log-probability of an action."""
        return self.choices.q_of(self(obs), action)

    def probabilities(self, obs: Num[Array, " obs"]) -> Float[Array, "choice option"]:
        """π(·|s)."""
        return jnp.exp(self(obs))

    def entropy(self, obs: Num[Array, " obs"]) -> Scalar:
        """Entropy in nats."""
        return self.choices.entropy(jnp.exp(self(obs)))


Stochastic = Normal | Softmax


def create_policy(
    spec: Spec,
    agent: str,
    hidden: tuple[int, ...],
    joint_limit: int,
    log_std: Scalar,
    key: PRNGKeyArray,
    inputs: int | None = None,
) -> Stochastic:
    """The policy that suits the actions; `log_std` is log σ at first, `inputs` the size of what stands for `obs`."""
    if isinstance(spec.action, Continuous):
        mean = _network(spec, hidden, spec.action.size, LAST_GAIN, key, inputs)
        return Normal(mean=mean, log_std=jnp.full(spec.action.size, log_std, jnp.float32))
    choices = choices_of(spec, agent, joint_limit)
    if inputs is not None and spec.mask is not None:
        raise UsageError("A policy with memory cannot follow an action mask: use one without.")
    logits = _network(spec, hidden, math.prod(choices.shape), LAST_GAIN, key, inputs)
    return Softmax(logits=masked(logits, spec, choices), choices=choices)


def create_value(spec: Spec, hidden: tuple[int, ...], key: PRNGKeyArray, inputs: int | None = None) -> Any:
    """V(s), an array of one number: a `TanhMLP`, of images on an encoder."""
    return _network(spec, hidden, 1, 1.0, key, inputs)


def _network(
    spec: Spec, hidden: tuple[int, ...], outputs: int, gain: float, key: PRNGKeyArray, inputs: int | None
) -> Any:
    """A network of observations, or of `inputs` numbers that stand for them."""
    if inputs is not None:
        return TanhMLP(inputs, hidden, outputs, gain, key)
    return on_observations(spec, lambda size, k: TanhMLP(size, hidden, outputs, gain, k), key)
