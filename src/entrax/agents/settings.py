"""Checks and conversions that `resolve` of every agent needs."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from entrax.errors import EntraxError
from entrax.spec import Continuous, Spec

T = TypeVar("T", bound=eqx.Module)


def require(condition: bool, name: str, meaning: str, value: object) -> None:
    """Raise EntraxError '`name` must be `meaning`, got `value`.' unless the condition holds.

    For what depends on the environment or on other settings; a field's own range stands in its definition.
    """
    if not condition:
        raise EntraxError(f"`{name}` must be {meaning}, got {value}.")


def continuous_size(spec: Spec, agent: str) -> int:
    """Entries of a continuous action; raises EntraxError if the environment's actions are of another kind."""
    if not isinstance(spec.action, Continuous):
        raise EntraxError(f"Agent {agent!r} needs continuous actions (a Box), and this environment's are discrete.")
    return spec.action.size


def shared_by_envs(steps: int) -> int:
    """How many environments share a rollout of `steps` by default: at most 8, equally, at least 64 steps each."""
    return max((n for n in range(1, 9) if steps % n == 0 and steps // n >= 64), default=1)


def as_arrays(config: T) -> T:
    """The configuration with every number as a 0-d float32 array, so that another value does not compile again."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, str) else jnp.asarray(leaf, jnp.float32), config)
