"""Checks and conversions that `resolve` of every agent needs."""

from dataclasses import fields, replace
from typing import Any, TypeVar

import equinox as eqx
import jax.numpy as jnp

from entrax.errors import EntraxError
from entrax.spec import Continuous, Spec

T = TypeVar("T", bound=eqx.Module)


def require(condition: bool, name: str, meaning: str, value: object) -> None:
    """Raises EntraxError '<name> must be <meaning>, not <value>.' unless the condition holds."""
    if not condition:
        raise EntraxError(f"The {name} must be {meaning}, not {value}.")


def continuous_size(spec: Spec, agent: str) -> int:
    """Entries of a continuous action; raises EntraxError if the environment's actions are of another kind."""
    if not isinstance(spec.action, Continuous):
        raise EntraxError(f"Agent {agent!r} needs continuous actions (a Box), and this environment's are discrete.")
    return spec.action.size


def as_arrays(config: T) -> T:
    """The configuration with every float as a 0-d float32 array, so that another value does not compile again."""
    values: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) or (type(value) is int and not field.metadata.get("static", False)):
            values[field.name] = jnp.asarray(value, jnp.float32)
    return replace(config, **values)
