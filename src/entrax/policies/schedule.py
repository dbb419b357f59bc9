"""Numbers that change along a run, as functions of its progress."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from entrax.spec import Progress


class Anneal(eqx.Module):
    """In a straight line from `start` to `end`, reached after `fraction` of the horizon (at once if it is 0)."""

    start: ScalarLike
    end: ScalarLike
    fraction: ScalarLike

    def __call__(self, progress: Progress) -> Float[Array, ""]:
        length = jnp.asarray(self.fraction * progress.horizon, jnp.float32)
        done = jnp.asarray(progress.step, jnp.float32) / jnp.where(length > 0, length, 1.0)
        share = jnp.where(length > 0, jnp.clip(done, 0.0, 1.0), 1.0)
        return jnp.asarray((1.0 - share) * self.start + share * self.end)
