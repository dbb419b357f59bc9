"""A temperature that an agent keeps as `params.log_alpha`, and may learn.

`temperature` and `with_temperature` are optional names of the agents' contract (`agents.base`); an agent with such a
parameter imports them.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Scalar

from entrax.spec import Progress


def initial_log_alpha(config: Any) -> Scalar:
    """Return log α at the start: of `initial_temperature` if α is learned, else of `temperature`.

    Temperature 0 is the smallest normal number, which the soft operators take for 0: every parameter is finite.
    """
    alpha = config.initial_temperature if isinstance(config.temperature, str) else config.temperature
    return jnp.log(jnp.maximum(jnp.asarray(alpha, jnp.float32), jnp.finfo(jnp.float32).tiny))


def temperature(config: Any, state: Any | None, progress: Progress) -> Scalar | None:
    """Return α; None if it is learned and there is no state."""
    if state is not None:
        return jnp.exp(state.params.log_alpha)
    return None if isinstance(config.temperature, str) else jnp.asarray(config.temperature)


def with_temperature(config: Any, state: Any, temperature: Scalar) -> tuple[Any, Any]:
    """Return the same configuration, and the state with another α."""
    return config, eqx.tree_at(lambda s: s.params.log_alpha, state, jnp.log(temperature))
