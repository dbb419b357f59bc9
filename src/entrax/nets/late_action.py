"""Networks for many actions, or many draws of noise, in one state."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from entrax.nets.mlp import Linear


class SharedTrunkMLP(eqx.Module):
    """ReLU layers of the sizes in `hidden` over an observation, then a linear one; `late` enters at the last of them.

    All layers before the last hidden one, and the observation's share of that one, are computed once for each
    observation: with `jax.vmap` over `late` alone, a value of `late` costs hidden·late products instead of hidden².
    Lillicrap et al. 2016 also let actions enter at the second layer.
    """

    trunk: tuple[Linear, ...]
    early: Linear  # the observation's share of the last hidden layer, with its bias
    late: Float[Array, "*stack late hidden"]
    out: Linear

    def __init__(self, obs_size: int, late_size: int, hidden: Sequence[int], out_size: int, key: PRNGKeyArray):
        *keys, late_key, out_key = jr.split(key, len(hidden) + 2)
        layers = tuple(Linear(i, o, k) for i, o, k in zip((obs_size, *hidden[:-1]), hidden, keys, strict=True))
        self.trunk, self.early = layers[:-1], layers[-1]
        self.late = Linear(late_size, hidden[-1], late_key).weight
        self.out = Linear(hidden[-1], out_size, out_key)

    def __call__(self, obs: Float[Array, " obs"], late: Float[Array, " late"]) -> Float[Array, " out"]:
        for layer in self.trunk:
            obs = jax.nn.relu(layer(obs))
        return self.out(jax.nn.relu(self.early(obs) + late @ self.late))


class SharedTrunkQ(eqx.Module):
    """State-action values of `count` critics, stacked: every array has a leading axis of that length."""

    networks: SharedTrunkMLP

    def __init__(self, obs_size: int, action_size: int, hidden: Sequence[int], count: int, key: PRNGKeyArray):
        keys = jr.split(key, count)
        self.networks = eqx.filter_vmap(lambda k: SharedTrunkMLP(obs_size, action_size, hidden, 1, k))(keys)

    def __call__(self, obs: Float[Array, " obs"], action: Float[Array, " action"]) -> Float[Array, " critic"]:
        return eqx.filter_vmap(lambda network: network(obs, action)[0])(self.networks)
