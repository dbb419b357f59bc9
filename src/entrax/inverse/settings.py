"""Checks of the arguments of the estimators."""

from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError
from entrax.inverse.demonstrations import allowed_actions
from entrax.problems import FiniteMDP


def check_positive(name: str, number: Any, also: str = "") -> float:
    """Return a finite number above 0. `also` names what else is allowed."""
    array = np.asarray(number)
    if array.ndim != 0 or array.dtype.kind not in "iuf" or not 0 < array < np.inf:
        raise UsageError(f"`{name}` must be a finite number above 0{also}, got {number!r}.")
    return float(array)


def check_known_reward(mdp: FiniteMDP, known: Any) -> Float[np.ndarray, "state action"]:
    """Return a finite table of rewards, 0 for excluded actions."""
    array = np.asarray(known, float)
    if array.shape != (mdp.states, mdp.actions):
        raise UsageError(f"`known_reward` must have shape {(mdp.states, mdp.actions)}, got {array.shape}.")
    array = np.where(allowed_actions(mdp), array, 0.0)
    if not np.all(np.isfinite(array)):
        raise UsageError("`known_reward` must hold finite numbers.")
    return array


def by_feature(name: str, number: Any, count: int, *, signed: bool = False) -> Float[np.ndarray, " feature"]:
    """Return one finite number for each feature, at least 0 unless `signed`."""
    array = np.asarray(number)
    if array.dtype.kind not in "iuf" or array.shape not in ((), (count,)) or not np.all(np.isfinite(array)):
        raise UsageError(f"`{name}` must be a finite number, or one for each of {count} features, got {number!r:.80}.")
    if not signed and np.any(array < 0):
        raise UsageError(f"`{name}` must be at least 0, got {np.min(array)}.")
    return np.array(np.broadcast_to(array.astype(float), (count,)))
