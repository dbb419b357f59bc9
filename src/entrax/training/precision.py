"""Agents compute in 32-bit floats, whatever JAX_ENABLE_X64 says: a run is the same run in every process."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import jax

from entrax import xla as xla

P = ParamSpec("P")
R = TypeVar("R")


def in_32_bits(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` under `jax.enable_x64(False)`."""

    @wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.enable_x64(False):
            return function(*args, **kwargs)

    return within
