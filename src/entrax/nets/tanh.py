"""Networks of tanh layers with orthogonal weights, common in policy-gradient methods, for one sample."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from entrax.nets.mlp import Linear, orthogonal_linear


class TanhMLP(eqx.Module):
    """Tanh layers of the sizes in `hidden`, then a linear one; biases start at 0.

    Weights start orthogonal (Saxe et al. 2014), times √2 in hidden layers and times `gain` in the last. With a small
    gain a policy starts out nearly the same in every state (Andrychowicz et al. 2021, arXiv:2006.05990).
    """

    layers: tuple[Linear, ...]

    def __init__(self, in_size: int, hidden: Sequence[int], out_size: int, gain: float, key: PRNGKeyArray):
        sizes = (in_size, *hidden, out_size)
        keys = jr.split(key, len(sizes) - 1)
        gains = (*(math.sqrt(2.0) for _ in hidden), gain)
        self.layers = tuple(
            orthogonal_linear(i, o, g, k) for i, o, g, k in zip(sizes[:-1], sizes[1:], gains, keys, strict=True)
        )

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        for layer in self.layers[:-1]:
            x = jnp.tanh(layer(x))
        return self.layers[-1](x)
