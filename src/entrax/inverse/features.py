"""Features of rewards: a table for states, state-actions or transitions.

Behaviour depends on the reward of a transition only through its mean given state and action, so features of transitions
are replaced by their mean, with the probabilities of the problem.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError
from entrax.problems import FiniteMDP

Features = Float[np.ndarray, "state action feature"]
MOST_NUMBERS = 200_000_000
"""The most numbers S · A · F that the features of a linear reward may have."""


def mean_features(mdp: FiniteMDP, features: Any) -> Features:
    """Return the mean features given state and action; 0 for actions without transitions.

    Args:
        mdp: the problem, with S states, A actions and K branches.
        features: shape (S, F), (S, A, F) or (S, A, K, F).

    Raises:
        UsageError: another shape, no features, too many, or numbers that are not finite.
    """
    array, probability = checked_features(mdp, features), np.asarray(mdp.probability, float)
    if array.ndim == 4:
        return np.einsum("sak,sakf->saf", probability, array)
    live = probability.sum(2) > 0
    by_action = array[:, None] if array.ndim == 2 else array
    return np.where(live[..., None], by_action, 0.0)


def checked_features(mdp: FiniteMDP, features: Any) -> Float[np.ndarray, "*part feature"]:
    """Return features as they are, with 0 for transitions of probability 0. Raises as `mean_features` does."""
    array = np.asarray(features)
    shape = (mdp.states, mdp.actions, mdp.branches)
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3, 4) or array.shape[:-1] != shape[: array.ndim - 1]:
        raise UsageError(
            f"`features` must have shape ({shape[0]}, F), {(*shape[:2], 'F')} or {(*shape, 'F')} for states, "
            f"state-actions or transitions, got {array.shape}.".replace("'", "")
        )
    count = array.shape[-1]
    if count == 0 or mdp.states * mdp.actions * count > MOST_NUMBERS:
        raise UsageError(
            f"`features` must be at least 1 and at most {MOST_NUMBERS // (mdp.states * mdp.actions)} for a problem of "
            f"this size, got {count}."
        )
    if array.ndim == 4:
        array = np.where((np.asarray(mdp.probability) > 0)[..., None], array, 0.0)
    if not np.all(np.isfinite(array)):
        raise UsageError("`features` must hold finite numbers.")
    return array.astype(float)


def on_arrival(mdp: FiniteMDP, features: Any) -> Float[np.ndarray, "state action branch feature"]:
    """Return the features of the state that a transition enters.

    Args:
        mdp: the problem.
        features: `features[s']`, shape (S, F), or (S + 1, F) with those of the end of the episode in the last row,
            which are 0 by default.

    Raises:
        UsageError: another shape.
    """
    array = np.asarray(features, float)
    if array.ndim != 2 or len(array) not in (mdp.states, mdp.states + 1):
        raise UsageError(f"`features` must have shape ({mdp.states}, F) or ({mdp.states + 1}, F), got {array.shape}.")
    if len(array) == mdp.states:
        array = np.concatenate([array, np.zeros((1, array.shape[1]))])
    return np.asarray(array[np.asarray(mdp.successor)])


def one_for_each_state(mdp: FiniteMDP) -> Float[np.ndarray, "state feature"]:
    """Return the features of a reward that is free in every state: the identity."""
    return np.eye(mdp.states)
