"""What the exact solvers refuse before they start, each in a sentence."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from entrax import xla
from entrax.errors import UsageError, closest


def is_traced(tree: object) -> bool:
    """Whether any array in `tree` is abstract, as inside `jax.jit` and `jax.grad`, so that nothing can be checked."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def check_precision() -> None:
    """Refuse 32-bit mode, and see to it that XLA computes what it should."""
    xla.check()
    if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise UsageError(
            "exact answers need 64-bit floats: call jax.config.update('jax_enable_x64', True) first, or work within "
            "jax.enable_x64(True)."
        )


def check_temperature(temperature: Any) -> None:
    """Refuse a temperature that is not a finite number ≥ 0."""
    _check_number("the temperature", temperature)


def check_temperatures(temperature: Any) -> None:
    """Refuse what is neither a finite number ≥ 0 nor several of them."""
    if is_traced(temperature) and np.ndim(temperature) <= 1:
        return
    several = np.asarray(temperature)
    if several.ndim == 1 and several.size and several.dtype.kind in "iuf":
        for one in several:
            check_temperature(one)
    else:
        check_temperature(temperature)


def check_start(start: Any, states: int, used: bool) -> None:
    """Refuse a starting value that is not one finite number for each state, or where none is used."""
    if start is None:
        return
    if not used:
        raise UsageError("a start is for discounted and undiscounted values, not for a horizon or an average reward.")
    if np.shape(start) != (states,):
        raise UsageError(f"the start has shape {np.shape(start)}: it must be ({states},), one value for each state.")
    if not is_traced(start) and not np.all(np.isfinite(np.asarray(start))):
        raise UsageError("the start must hold finite numbers.")


def check_tolerance(tolerance: Any) -> None:
    """Refuse a tolerance that is not a finite number ≥ 0, or not known while a computation is traced."""
    if is_traced(tolerance):
        raise UsageError("the tolerance must be a number, not a traced value.")
    _check_number("the tolerance", tolerance)


def check_iterations(limit: Any) -> None:
    """Refuse a limit on iterations that is neither None nor a whole number of at least 1."""
    whole = isinstance(limit, int | np.integer) and not isinstance(limit, bool)
    if limit is not None and not (whole and limit >= 1):
        raise UsageError(f"max_iterations must be a whole number, at least 1, or None, not {limit}.")


def _check_number(name: str, value: Any) -> None:
    number = np.ndim(value) == 0 and (is_traced(value) or np.asarray(value).dtype.kind in "iuf")
    if not number or not (is_traced(value) or 0 <= np.asarray(value).item() < np.inf):
        raise UsageError(f"{name} must be a number ≥ 0, not {value!r}.")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Refuse a word that is not one of `known`."""
    if value not in known:
        raise UsageError(f"{name} {value!r} is not one of {', '.join(known)}{closest(value, known)}")
