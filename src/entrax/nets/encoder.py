"""Convolutional encoders of images, and networks on top of them, for one sample.

The layers depend on the smaller side of the image:

    under 36     16 filters 3×3                               MinAtar's (Young and Tian 2019, arXiv:1903.03176)
    under 80     16 of 8×8 at stride 4, 32 of 4×4 at 2        Mnih et al. 2013, arXiv:1312.5602
    from 80      32 of 8×8 at 4, 64 of 4×4 at 2, 64 of 3×3    Mnih et al. 2015, doi:10.1038/nature14236

Booleans enter unchanged, intensities as x / greatest - ½. The output is the last layer's activations; or a given number
of features of them; or feature points, the places where 32 filters of 3×3 on the first of these layers respond.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Num, PRNGKeyArray, UInt8

from entrax.errors import UsageError
from entrax.nets.mlp import Linear, normalise_layer
from entrax.spec import Image, Spec

Features = int | str | None  # the word is "points"


class Layer(NamedTuple):
    """`kernel` is a multiple of `stride`."""

    filters: int
    kernel: int
    stride: int


MINATAR = (Layer(16, 3, 1),)
DQN_2013 = (Layer(16, 8, 4), Layer(32, 4, 2))
DQN_2015 = (Layer(32, 8, 4), Layer(64, 4, 2), Layer(64, 3, 1))
POINTS = Layer(32, 3, 1)  # at stride 1, which keeps places apart; it needs two in each direction


def layers_for(image: Image, points: bool = False) -> tuple[Layer, ...]:
    """Return the layers for the size of an image. Raises UsageError if it is too small, or too small for points."""
    side = min(image.height, image.width)
    least = 6 if points else 3
    if side < least:
        raise UsageError(f"An image of {image.height}×{image.width} is too small: it must be at least {least}×{least}.")
    layers = MINATAR if side < 36 else DQN_2013 if side < 80 else DQN_2015
    return (layers[0], POINTS) if points else layers


class Convolution(eqx.Module):
    """A convolution without padding: a matrix product of blocks, whose results are shifted and added.

    In a compiled loop on a CPU, XLA's own convolution is about ten times slower. Glorot-uniform weights, zero bias.
    """

    weight: Float[Array, "place place block filter"]  # block: the entries of a stride × stride square
    bias: Float[Array, " filter"]
    stride: int = eqx.field(static=True)

    def __init__(self, channels: int, layer: Layer, key: PRNGKeyArray):
        filters, kernel, self.stride = layer
        places, block = kernel // self.stride, self.stride**2 * channels
        bound = (6.0 / (kernel**2 * (channels + filters))) ** 0.5
        self.weight = jr.uniform(key, (places, places, block, filters), minval=-bound, maxval=bound)
        self.bias = jnp.zeros(filters)

    def __call__(self, x: Num[Array, "height width channel"]) -> Float[Array, "out_height out_width filter"]:
        s, places = self.stride, len(self.weight)
        rows, columns = x.shape[0] // s, x.shape[1] // s
        blocks = x[: rows * s, : columns * s].reshape(rows, s, columns, s, -1).swapaxes(1, 2).reshape(rows, columns, -1)
        within = [np.s_[i : rows - places + 1 + i, j : columns - places + 1 + j] for i, j in np.ndindex(places, places)]
        weights = self.weight.reshape(places**2, *self.weight.shape[2:])
        if places > 2:  # what is shifted is small, and of many places
            return sum((blocks[each] @ weight for each, weight in zip(within, weights, strict=True)), self.bias)
        products = jnp.einsum("hwb,pbf->hwpf", blocks.astype(weights.dtype), weights)
        return sum((products[*each, k] for k, each in enumerate(within)), self.bias)


def feature_points(x: Float[Array, "height width filter"]) -> Float[Array, " two_filters"]:
    """Return where each filter responds: the mean row, then the mean column, in [-1, 1], under a softmax over places.

    Levine et al. 2016, arXiv:1504.00702, section 5.2, with a ReLU before the softmax.
    """
    height, width, filters = x.shape
    probability = jax.nn.softmax(x.reshape(-1, filters), axis=0)
    places = jnp.stack(jnp.meshgrid(jnp.linspace(-1, 1, height), jnp.linspace(-1, 1, width), indexing="ij"))
    return (places.reshape(2, -1) @ probability).ravel()


class Encoder(eqx.Module):
    """Convolutions and ReLUs over a flat image; with a number of `features`, also a normalised linear layer and tanh.

    The latter follows Yarats et al. 2021, arXiv:1910.01741, and gives features the scale of actions. With "points", the
    output is the feature points of the last layer's filters, before a ReLU.
    """

    convolutions: tuple[Convolution, ...]
    projection: Linear | None
    image: Image = eqx.field(static=True)
    points: bool = eqx.field(static=True)
    size: int = eqx.field(static=True)  # entries of what it returns

    def __init__(self, image: Image, key: PRNGKeyArray, features: Features = None):
        self.points = features == "points"
        layers = layers_for(image, self.points)
        *keys, last_key = jr.split(key, len(layers) + 1)
        height, width, channels = image.shape
        convolutions = []
        for layer, k in zip(layers, keys, strict=True):
            convolutions.append(Convolution(channels, layer, k))
            channels, places = layer.filters, layer.kernel // layer.stride
            height, width = height // layer.stride - places + 1, width // layer.stride - places + 1
        size = 2 * channels if self.points else height * width * channels
        self.convolutions, self.image = tuple(convolutions), image
        self.projection = Linear(size, features, last_key) if isinstance(features, int) else None
        self.size = features if isinstance(features, int) else size

    def __call__(self, obs: UInt8[Array, " obs"]) -> Float[Array, " feature"]:
        first, *others = self.convolutions
        weight = first.weight / self.image.greatest
        centre = jnp.sum(first.weight, axis=(0, 1, 2)) / 2 if self.image.greatest > 1 else 0.0
        scaled = eqx.tree_at(lambda layer: (layer.weight, layer.bias), first, (weight, first.bias - centre))
        x = scaled(obs.reshape(self.image.shape))
        for layer in others:
            x = layer(jax.nn.relu(x))
        if self.points:
            return feature_points(x)
        x = jax.nn.relu(x).ravel()
        return x if self.projection is None else jnp.tanh(normalise_layer(self.projection(x)))


class Encoded(eqx.Module):
    """A network over what an encoder makes of an image, which it takes in place of `obs`."""

    encoder: Encoder
    head: Any  # __call__(features, ...)

    def __call__(self, obs: UInt8[Array, " obs"], *rest: Any) -> Any:
        return self.head(self.encoder(obs), *rest)


def shifted(
    image: Image, obs: UInt8[Array, "*batch obs"], pixels: int, key: PRNGKeyArray
) -> UInt8[Array, "*batch obs"]:
    """Shift every image at random by up to `pixels` in each direction, repeating its border.

    Kostrikov et al. 2020, arXiv:2004.13649, shift images of 84×84 by up to 4 pixels.
    """

    def one(flat: UInt8[Array, " obs"], offset: Array) -> UInt8[Array, " obs"]:
        padded = jnp.pad(flat.reshape(image.shape), ((pixels, pixels), (pixels, pixels), (0, 0)), mode="edge")
        return jax.lax.dynamic_slice(padded, (*offset, 0), image.shape).ravel()

    rows = obs.reshape(-1, obs.shape[-1])
    return jax.vmap(one)(rows, jr.randint(key, (len(rows), 2), 0, 2 * pixels + 1)).reshape(obs.shape)


def on_observations(
    spec: Spec, create: Callable[[int, PRNGKeyArray], Any], key: PRNGKeyArray, features: Features = None
) -> Any:
    """Return `create(size, key)`, a network of the flat observation; for images, one of an encoder's output."""
    if spec.image is None:
        return create(spec.obs_size, key)
    encoder_key, head_key = jr.split(key)
    encoder = Encoder(spec.image, encoder_key, features)
    return Encoded(encoder=encoder, head=create(encoder.size, head_key))
