"""Perceptrons normalised over the batch, with weights of unit norm (Palenicek et al. 2025, arXiv:2509.25174).

    x ← gain · x̂;   x ← relu(N(x W)) for each hidden layer;   y = x W + b,       N(x) = gain · x̂ + offset

x̂ is x standardised for each entry: by mean and variance of the batch (`by_batch`), by running statistics
(`by_running`), by both (`by_both`), or not at all (`unchanged`). The running statistics are no parameters: the caller
keeps them, and is given the next ones. The inputs have no offset, which the next layer would remove.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, PRNGKeyArray, ScalarLike

from entrax.nets.mlp import Linear, orthogonal_linear, polyak_update

EPSILON = 1e-3
"""What is added to variances, as in the authors' code."""
KINDS = ("batch", "renorm", "none")
"""How networks are normalised: by the batch, by batch renormalisation, or not."""
N = TypeVar("N", bound=eqx.Module)


class Moments(eqx.Module):
    """Mean and variance of each entry."""

    mean: Float[Array, "*stack n"]
    variance: Float[Array, "*stack n"]

    @property
    def deviation(self) -> Float[Array, "*stack n"]:
        """√(variance + ε)."""
        return jnp.sqrt(self.variance + EPSILON)


class Scale(eqx.Module):
    """The gain and the offset of each entry."""

    gain: Float[Array, "*stack n"]
    offset: Float[Array, "*stack n"]


Running = tuple[Moments, ...]
"""The running statistics of a network: of its input, then of each hidden layer."""
Normalise = Callable[[Array, Scale, Moments], tuple[Array, Moments]]
"""From x, scale and running statistics to N(x) and the next running statistics."""


def unchanged(x: Float[Array, "*batch n"], scale: Scale, running: Moments) -> tuple[Float[Array, "*batch n"], Moments]:
    """Return N(x) with x̂ = x. The running statistics stay."""
    return x * scale.gain + scale.offset, running


def by_running(x: Float[Array, "*batch n"], scale: Scale, running: Moments) -> tuple[Float[Array, "*batch n"], Moments]:
    """Standardise x by the running statistics, which stay."""
    gain = scale.gain / running.deviation
    return x * gain + (scale.offset - running.mean * gain), running


def by_batch(
    x: Float[Array, "batch n"], scale: Scale, running: Moments, rate: ScalarLike
) -> tuple[Float[Array, "batch n"], Moments]:
    """Batch normalisation (Ioffe & Szegedy 2015): standardise x by its own moments.

    Args:
        x: the batch.
        scale: gain and offset.
        running: running statistics, which do not affect N(x).
        rate: the share by which they move to the batch's.
    """
    y, own = _standardised(x, scale.gain, scale.offset)
    return y, polyak_update(running, own, rate)


def by_both(
    x: Float[Array, "batch n"],
    scale: Scale,
    running: Moments,
    rate: ScalarLike,
    ratio_limit: ScalarLike,
    shift_limit: ScalarLike,
) -> tuple[Float[Array, "batch n"], Moments]:
    """Batch renormalisation (Ioffe 2017, arXiv:1702.03275): by the running statistics, within limits.

    x̂ = r (x - μ_B)/σ_B + d, with r = σ_B/σ within [1/ratio_limit, ratio_limit] and d = (μ_B - μ)/σ within
    ±shift_limit. Gradients take r and d as constants. The limits 1 and 0 give batch normalisation.
    """
    own = jax.lax.stop_gradient(_moments(x))
    r = jnp.clip(own.deviation / running.deviation, 1.0 / ratio_limit, ratio_limit)
    d = jnp.clip((own.mean - running.mean) / running.deviation, -jnp.asarray(shift_limit), shift_limit)
    y, _ = _standardised(x, scale.gain * r, scale.offset + scale.gain * d)
    return y, polyak_update(running, own, rate)


def in_training(
    kind: str, rate: ScalarLike, ratio_limit: ScalarLike, shift_limit: ScalarLike, early: Bool[Array, ""]
) -> Normalise:
    """Return how a network that learns is normalised.

    Args:
        kind: one of `KINDS`.
        rate: the share by which running statistics move to the batch's.
        ratio_limit: of renormalisation, as in `by_both`.
        shift_limit: of renormalisation.
        early: whether renormalisation is still batch normalisation, while running statistics warm up.
    """
    if kind != "renorm":
        return partial(by_batch, rate=rate) if kind == "batch" else unchanged
    ratio, shift = jnp.where(early, 1.0, ratio_limit), jnp.where(early, 0.0, shift_limit)
    return partial(by_both, rate=rate, ratio_limit=ratio, shift_limit=shift)


def in_evaluation(kind: str) -> Normalise:
    """Return how a network that does not learn is normalised: by its running statistics, if at all."""
    return unchanged if kind == "none" else by_running


def _moments(x: Float[Array, "batch n"]) -> Moments:
    mean = jnp.mean(x, axis=0)
    return Moments(mean=mean, variance=jnp.mean((x - mean) ** 2, axis=0))


@jax.custom_vjp
def _standardised(
    x: Float[Array, "batch n"], gain: Float[Array, " n"], offset: Float[Array, " n"]
) -> tuple[Float[Array, "batch n"], Moments]:
    """Return gain · x̂ + offset and the moments of x, which have no gradient.

    Its own derivative takes two sums over the batch where that of JAX takes five.
    """
    return _forward(x, gain, offset)[0]


def _forward(
    x: Float[Array, "batch n"], gain: Float[Array, " n"], offset: Float[Array, " n"]
) -> tuple[tuple[Float[Array, "batch n"], Moments], tuple[Array, Moments, Array]]:
    own = _moments(x)
    return ((x - own.mean) * (gain / own.deviation) + offset, own), (x, own, gain)


def _backward(
    kept: tuple[Array, Moments, Array], derivatives: tuple[Array, Any]
) -> tuple[Float[Array, "batch n"], Float[Array, " n"], Float[Array, " n"]]:
    """∂x = gain/σ (∂y - mean ∂y - x̂ mean(∂y x̂)) (Ioffe & Szegedy 2015, section 3)."""
    (x, own, gain), (dy, _) = kept, derivatives
    standard = (x - own.mean) / own.deviation
    d_offset, d_gain = jnp.sum(dy, axis=0), jnp.sum(dy * standard, axis=0)
    return gain / own.deviation * (dy - d_offset / len(x) - standard * (d_gain / len(x))), d_gain, d_offset


_standardised.defvjp(_forward, _backward)


class NormalisedLinear(eqx.Module):
    """N(x W): a linear layer without bias, normalised. The weights start orthogonal, times √2."""

    weight: Float[Array, "*stack in out"]
    scale: Scale

    def __init__(self, in_size: int, out_size: int, key: PRNGKeyArray):
        self.weight = jax.nn.initializers.orthogonal(2.0**0.5)(key, (in_size, out_size), jnp.float32)
        self.scale = Scale(gain=jnp.ones(out_size), offset=jnp.zeros(out_size))


class NormalisedMLP(eqx.Module):
    """The network at the top of this page, for a batch; by `by_running` also for one sample."""

    gain: Float[Array, "*stack in"]  # of the inputs
    layers: tuple[NormalisedLinear, ...]
    out: Linear

    def __init__(self, in_size: int, hidden: Sequence[int], out_size: int, key: PRNGKeyArray):
        *keys, out_key = jr.split(key, len(hidden) + 1)
        widths = zip((in_size, *hidden[:-1]), hidden, keys, strict=True)
        self.gain = jnp.ones(in_size)
        self.layers = tuple(NormalisedLinear(i, o, k) for i, o, k in widths)
        self.out = orthogonal_linear(hidden[-1], out_size, 2.0**0.5, out_key)

    def __call__(
        self, x: Float[Array, "*batch in"], running: Running, normalise: Normalise
    ) -> tuple[Float[Array, "*batch out"], Running]:
        """Return the output, and the next running statistics."""
        first, *others = running
        x, after = normalise(x, Scale(gain=self.gain, offset=jnp.zeros_like(self.gain)), first)
        next_running = [after]
        for layer, before in zip(self.layers, others, strict=True):
            x, after = normalise(x @ layer.weight, layer.scale, before)
            x = jax.nn.relu(x)
            next_running.append(after)
        return self.out(x), tuple(next_running)

    def initial_running(self) -> Running:
        """Return running statistics of mean 0 and variance 1."""
        gains = (self.gain, *(layer.scale.gain for layer in self.layers))
        return tuple(Moments(mean=jnp.zeros_like(gain), variance=jnp.ones_like(gain)) for gain in gains)


def with_unit_weights(network: N) -> N:
    """Return the network with every column of its weights, the inputs of one unit, divided by its norm."""

    def unit(layer: Any) -> Any:
        if not _has_weight(layer):
            return layer
        return eqx.tree_at(lambda layer: layer.weight, layer, replace_fn=unit_columns)

    return jax.tree.map(unit, network, is_leaf=_has_weight)


def unit_columns(weight: Float[Array, "*stack in out"]) -> Float[Array, "*stack in out"]:
    """Divide each column by its norm."""
    return weight * jax.lax.rsqrt(jnp.sum(weight**2, axis=-2, keepdims=True))


def _has_weight(node: object) -> bool:
    return isinstance(node, NormalisedLinear | Linear)


def in_ensemble(
    networks: NormalisedMLP, running: Running, x: Float[Array, "batch in"], normalise: Normalise
) -> tuple[Float[Array, "network batch out"], Running]:
    """Return each network's output for the same inputs, and its next running statistics.

    Every array of `networks` and `running` has a leading axis of that length.
    """
    return eqx.filter_vmap(lambda network, running: network(x, running, normalise))(networks, running)
