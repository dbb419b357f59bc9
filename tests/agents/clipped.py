"""An agent around another one, which learns from clipped rewards."""

import jax.numpy as jnp

from entrax.agents.base import wrapping
from entrax.fields import POSITIVE, field


def wrap(inner):
    """Return `inner` on rewards within ±`reward_limit`."""

    class Config(inner.Config):  # type: ignore[name-defined]
        reward_limit: float = field(1.0, "Largest size of a reward.", POSITIVE)

    def update(config, state, batch, progress, key):
        clipped = jnp.clip(batch.reward, -config.reward_limit, config.reward_limit)
        return inner.update(config, state, batch._replace(reward=clipped), progress, key)

    return wrapping(inner, Config=Config, update=update)
