"""Distributions over fixed atoms (Bellemare et al. 2017, arXiv:1707.06887), for one sample."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike


def atoms_of(count: int, limit: ScalarLike) -> Float[Array, " atom"]:
    """Return `count` equally spaced values from -limit to limit."""
    return jnp.linspace(-1.0, 1.0, count) * limit


def mean_of(logits: Float[Array, "*batch atom"], limit: ScalarLike) -> Float[Array, "*batch"]:
    """Return the mean of each distribution over `atoms_of`; of one output, that output itself."""
    count = logits.shape[-1]
    return logits[..., 0] if count == 1 else jax.nn.softmax(logits) @ atoms_of(count, limit)


def project(
    probabilities: Float[Array, " atom"], values: Float[Array, " atom"], limit: ScalarLike
) -> Float[Array, " atom"]:
    """Project a distribution onto the atoms of `atoms_of`, so that mass and, within ±limit, the mean are kept.

    Each value, clipped to ±limit, gives its two neighbours their shares by distance (algorithm 1).

    Args:
        probabilities: of the values.
        values: where the mass lies, in any order.
        limit: the largest atom.
    """
    count = len(probabilities)
    places = (jnp.clip(values / limit, -1.0, 1.0) + 1.0) * (0.5 * (count - 1))
    numbers = jnp.arange(count, dtype=places.dtype)

    def add(mass: Array, one: tuple[Array, Array]) -> tuple[Array, None]:
        probability, place = one
        return mass + probability * jnp.maximum(0.0, 1.0 - jnp.abs(place - numbers)), None

    # One value after the other: on a CPU, a table of all pairs takes three times as long.
    return jax.lax.scan(add, jnp.zeros_like(probabilities), (probabilities, places))[0]
