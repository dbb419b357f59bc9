"""Checks of the arguments of exact solvers."""

from typing import Any

import jax
import numpy as np

from entrax import xla
from entrax.errors import UsageError


def is_traced(tree: object) -> bool:
    """Return whether any array in `tree` is traced and so has no value to check."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def check_precision() -> None:
    """Refuse 32-bit mode, and check that XLA computes correctly."""
    xla.check()
    if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise UsageError(
            "Exact solvers require 64-bit floats. Call jax.config.update('jax_enable_x64', True) first, or use "
            "`with jax.enable_x64(True):`."
        )


def check_temperature(temperature: Any) -> None:
    """Check that a temperature is a finite number ≥ 0."""
    _check_number("temperature", temperature)


def check_temperatures(temperature: Any) -> None:
    """Check that one temperature, or each of a list, is a finite number ≥ 0."""
    if is_traced(temperature) and np.ndim(temperature) <= 1:
        return
    several = np.asarray(temperature)
    if several.ndim == 1 and several.size and several.dtype.kind in "iuf":
        for one in several:
            check_temperature(one)
    else:
        check_temperature(temperature)


def check_start(start: Any, states: int, used: bool) -> None:
    """Check that an initial value has one finite number for each state and is used."""
    if start is None:
        return
    if not used:
        raise UsageError("`start` must be None for a finite horizon and for an average reward, which do not use it.")
    if np.shape(start) != (states,):
        raise UsageError(f"`start` must have shape ({states},), one value for each state, got {np.shape(start)}.")
    if not is_traced(start) and not np.all(np.isfinite(np.asarray(start))):
        raise UsageError("`start` must hold finite numbers.")


def check_unused(horizon: int | np.integer | None, method: str, max_iterations: int | np.integer | None) -> None:
    """Check that a finite horizon, which one pass of backward induction solves, has no settings of other methods."""
    if horizon is not None and method != "auto":
        raise UsageError(f"`method` must be auto with a horizon, which backward induction solves, got {method!r}.")
    if horizon is not None and max_iterations is not None:
        raise UsageError(f"`max_iterations` must be None with a horizon, which one pass solves, got {max_iterations}.")


def check_tolerance(tolerance: Any) -> None:
    """Check that a tolerance is a finite number ≥ 0 and not traced."""
    if is_traced(tolerance):
        raise UsageError("`tolerance` must be a number, not a traced value.")
    _check_number("tolerance", tolerance)


def check_iterations(limit: Any) -> None:
    """Check that a limit on iterations is None or a whole number of at least 1."""
    whole = isinstance(limit, int | np.integer) and not isinstance(limit, bool)
    if limit is not None and not (whole and limit >= 1):
        raise UsageError(f"`max_iterations` must be a whole number, at least 1, got {limit}.")


def _check_number(name: str, value: Any) -> None:
    number = np.ndim(value) == 0 and (is_traced(value) or np.asarray(value).dtype.kind in "iuf")
    if not number or not (is_traced(value) or 0 <= np.asarray(value).item() < np.inf):
        raise UsageError(f"`{name}` must be a finite number, at least 0, got {value!r}.")


def check_no_average(objective: str, horizon: int | np.integer | None) -> None:
    """Refuse an average reward with a horizon."""
    if objective == "average" and horizon is not None:
        raise UsageError("`horizon` does not apply to `objective=average`; remove it.")
