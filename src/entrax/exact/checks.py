"""What the exact solvers refuse before they start, each in a sentence."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import ScalarLike

from entrax.errors import EntraxError, closest


def is_traced(tree: object) -> bool:
    """Whether any array in `tree` is abstract, as inside `jax.jit` and `jax.grad`, so that nothing can be checked."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def check_precision() -> None:
    """Refuse 32-bit mode."""
    if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise EntraxError(
            "exact answers need 64-bit floats: call jax.config.update('jax_enable_x64', True) first, or work within "
            "jax.enable_x64(True)."
        )


def check_temperature(temperature: ScalarLike) -> None:
    """Refuse a temperature that is not a finite number ≥ 0."""
    if not is_traced(temperature) and not 0 <= np.asarray(temperature).item() < np.inf:
        raise EntraxError(f"the temperature must be a number ≥ 0, not {np.asarray(temperature).item()}.")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Refuse a word that is not one of `known`."""
    if value not in known:
        raise EntraxError(f"{name} {value!r} is not one of {', '.join(known)}{closest(value, known)}")
