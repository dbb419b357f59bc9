"""Networks with one output for each option of discrete choices, for one sample."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from entrax.nets.mlp import MLP


class ActionValues(eqx.Module):
    """A number for each option: action values or logits."""

    network: MLP
    shape: tuple[int, int] = eqx.field(static=True)

    def __init__(self, obs_size: int, shape: tuple[int, int], hidden: Sequence[int], key: PRNGKeyArray):
        self.network = MLP(obs_size, hidden, math.prod(shape), key)
        self.shape = shape

    def __call__(self, obs: Float[Array, " obs"]) -> Float[Array, "choice option"]:
        return self.network(obs).reshape(self.shape)


class DuelingQ(eqx.Module):
    """Q = V + A - mean A, from two streams after a common trunk (Wang et al. 2016, equation 9).

    The last width in `hidden` is that of the streams, which have one hidden layer each; the others form the trunk.
    With several choices, each gets an equal share of V, so that their sum counts V once. `sizes` holds the number of
    options of each choice.
    """

    trunk: MLP | None
    value: MLP
    advantage: ActionValues
    sizes: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, obs_size: int, sizes: tuple[int, ...], hidden: Sequence[int], key: PRNGKeyArray):
        trunk_key, value_key, advantage_key = jr.split(key, 3)
        *common, width = hidden
        features = common[-1] if common else obs_size
        self.trunk = MLP(obs_size, common[:-1], features, trunk_key) if common else None
        self.value = MLP(features, (width,), 1, value_key)
        self.advantage = ActionValues(features, (len(sizes), max(sizes)), (width,), advantage_key)
        self.sizes = sizes

    def __call__(self, obs: Float[Array, " obs"]) -> Float[Array, "choice option"]:
        features = obs if self.trunk is None else jax.nn.relu(self.trunk(obs))
        advantage, n = self.advantage(features), jnp.array(self.sizes)[:, None]
        exists = jnp.arange(max(self.sizes)) < n
        mean = jnp.sum(jnp.where(exists, advantage, 0.0), axis=1, keepdims=True) / n
        return self.value(features) / len(self.sizes) + advantage - mean


class TwinActionValues(eqx.Module):
    """Two `ActionValues` with independent parameters, stacked: every array has a leading axis of 2."""

    networks: ActionValues

    def __init__(self, obs_size: int, shape: tuple[int, int], hidden: Sequence[int], key: PRNGKeyArray):
        self.networks = eqx.filter_vmap(lambda k: ActionValues(obs_size, shape, hidden, k))(jr.split(key, 2))

    def __call__(self, obs: Float[Array, " obs"]) -> Float[Array, "2 choice option"]:
        return eqx.filter_vmap(lambda network: network(obs))(self.networks)
