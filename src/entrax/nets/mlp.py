"""Multi-layer perceptrons for one sample, twin critics made of them, and target networks.

`Linear` and `MLP` are not Equinox's: weights are stored [in, out], which is faster in batches on a CPU, and their names
in checkpoints are part of the contract.
"""

from collections.abc import Sequence
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, ScalarLike

P = TypeVar("P")


class Linear(eqx.Module):
    """`x @ weight + bias`; Glorot-uniform weights, zero bias.

    The weight is stored [in, out], so that a batch is one plain matrix product on the CPU.
    """

    weight: Float[Array, "*stack in out"]
    bias: Float[Array, "*stack out"]

    def __init__(self, in_size: int, out_size: int, key: PRNGKeyArray):
        bound = (6.0 / (in_size + out_size)) ** 0.5
        self.weight = jr.uniform(key, (in_size, out_size), minval=-bound, maxval=bound)
        self.bias = jnp.zeros(out_size)

    def __call__(self, x: Float[Array, "*batch in"]) -> Float[Array, "*batch out"]:
        return x @ self.weight + self.bias


def normalise_layer(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """Normalise a layer's outputs (Ba et al. 2016), without gain and offset, and so without parameters."""
    return eqx.nn.LayerNorm(x.shape, use_weight=False, use_bias=False)(x)


class MLP(eqx.Module):
    """ReLU layers of the sizes in `hidden`, then a linear one; `layer_norm` normalises before each ReLU."""

    layers: tuple[Linear, ...]
    layer_norm: bool = eqx.field(static=True)

    def __init__(
        self, in_size: int, hidden: Sequence[int], out_size: int, key: PRNGKeyArray, *, layer_norm: bool = False
    ):
        sizes = (in_size, *hidden, out_size)
        keys = jr.split(key, len(sizes) - 1)
        self.layers = tuple(Linear(i, o, k) for i, o, k in zip(sizes[:-1], sizes[1:], keys, strict=True))
        self.layer_norm = layer_norm

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        for layer in self.layers[:-1]:
            x = layer(x)
            x = jax.nn.relu(normalise_layer(x) if self.layer_norm else x)
        return self.layers[-1](x)


class TwinQ(eqx.Module):
    """Two state-action values with independent parameters, stacked: every array has a leading axis of 2."""

    networks: MLP

    def __init__(
        self, obs_size: int, action_size: int, hidden: Sequence[int], key: PRNGKeyArray, *, layer_norm: bool = False
    ):
        def create(k: PRNGKeyArray) -> MLP:
            return MLP(obs_size + action_size, hidden, 1, k, layer_norm=layer_norm)

        self.networks = eqx.filter_vmap(create)(jr.split(key, 2))

    def __call__(self, obs: Float[Array, " obs"], action: Float[Array, " action"]) -> Float[Array, " 2"]:
        inputs = jnp.concatenate([obs, action])
        return eqx.filter_vmap(lambda network: network(inputs)[0])(self.networks)


def orthogonal_linear(in_size: int, out_size: int, gain: float, key: PRNGKeyArray) -> Linear:
    """Return a layer whose weights are orthogonal, times `gain`; its biases are 0."""
    weight = jax.nn.initializers.orthogonal(gain)(key, (in_size, out_size), jnp.float32)
    return eqx.tree_at(lambda layer: layer.weight, Linear(in_size, out_size, key), weight)


def adam_step(rate: ScalarLike, params: P, gradient: P, opt_state: optax.OptState) -> tuple[P, optax.OptState]:
    """Take one step of Adam at this learning rate. Return the parameters and the optimiser's state."""
    step, opt_state = optax.adam(rate).update(gradient, opt_state)
    return optax.apply_updates(params, step), opt_state


def polyak_update(target: PyTree, source: PyTree, rate: ScalarLike) -> PyTree:
    """Move target parameters towards their source: (1 - rate)·target + rate·source."""
    return jax.tree.map(lambda t, s: t + rate * (s - t), target, source)
