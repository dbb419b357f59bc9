"""Checks of a finite problem; every error names the wrong state and action."""

from typing import Any

import jax
import numpy as np

from entrax.errors import UsageError
from entrax.problems.protocol import Problem

TOLERANCE = {4: 1e-5, 8: 1e-8}
"""The largest allowed |sum − 1| of a row of probabilities, by the bytes of their type."""

FIELDS = {
    "successor": ("state action branch", "iu"),
    "probability": ("state action branch", "f"),
    "reward": ("state action", "f"),
    "initial": ("state", "f"),
    "terminal": ("state", "b"),
    "outcome_reward": ("state action branch", "f"),
    "prior": ("state action", "f"),
    "mask": ("state action", "b"),
}
"""The axes of each array, and the kinds of NumPy type that it may have."""


def check(mdp: Problem) -> None:
    """Check a problem: shapes, types and, if all arrays are NumPy, values.

    Raises:
        UsageError: the problem is not valid.
    """
    arrays = {name: getattr(mdp, name) for name in FIELDS}
    check_shapes({name: (array.shape, array.dtype) for name, array in arrays.items() if array is not None})
    check_discount(mdp.discount)
    check_horizon(mdp.horizon)
    if all(array is None or isinstance(array, np.ndarray) for array in arrays.values()):
        check_values(mdp)


def check_horizon(horizon: Any) -> None:
    """Check that a horizon is None or a whole number of decisions, at least 1."""
    whole = isinstance(horizon, int | np.integer) and not isinstance(horizon, bool)
    if horizon is not None and not (whole and horizon >= 1):
        raise UsageError(f"`horizon` must be a whole number of decisions, at least 1, got {horizon}.")


def check_shapes(given: dict[str, tuple[tuple[int, ...], Any]]) -> None:
    """Check shapes and types of named arrays; `successor` determines the sizes."""
    shape = given["successor"][0]
    if len(shape) != 3 or 0 in shape:
        raise UsageError(f"`successor` must have shape (states, actions, branches), none of them 0, got {shape}.")
    sizes = dict(zip(("state", "action", "branch"), shape, strict=True))
    for name, (actual, dtype) in given.items():
        axes, kinds = FIELDS[name]
        expected = tuple(sizes[axis] for axis in axes.split())
        if actual != expected:
            raise UsageError(f"`{name}` must have shape {expected}, one entry for each {axes}, got {actual}.")
        if np.dtype(dtype).kind not in kinds:
            words = {"iu": "integers", "f": "floating-point numbers", "b": "booleans"}[kinds]
            raise UsageError(f"`{name}` must hold {words}, got type {dtype}.")


def check_discount(discount: Any) -> None:
    """Check a discount, unless it is traced and has no value."""
    if not isinstance(discount, jax.core.Tracer) and not 0 <= float(np.asarray(discount)) <= 1:
        raise UsageError(f"`discount` must lie in [0, 1], got {discount}.")


def check_values(mdp: Problem) -> None:
    """Check the numbers of a problem; not for use inside a JAX transformation."""
    successor, probability = np.asarray(mdp.successor), np.asarray(mdp.probability)
    states, actions, _ = successor.shape
    if (bad := first((successor < 0) | (successor > states))) is not None:
        raise UsageError(
            f"Successors of {at(bad)} must be states 0 to {states - 1}, or {states} for the end of the episode; "
            f"got {successor[bad]}."
        )
    if (bad := first(~(probability >= 0))) is not None:
        raise UsageError(
            f"Probabilities of {at(bad)} must be at least 0; the one of state {successor[bad]} is {probability[bad]}."
        )
    terminal, mask = np.asarray(mdp.terminal), None if mdp.mask is None else np.asarray(mdp.mask)
    if mask is not None and (bad := first(~mask.any(1) & ~terminal)) is not None:
        raise UsageError(
            f"`mask` must allow an action in state {bad[0]}. If nothing happens in it, name it in `terminal`."
        )
    live = np.broadcast_to(~terminal[:, None], (states, actions))
    live = live if mask is None else live & mask
    check_rows(probability, live, terminal)
    for name in ("reward", "outcome_reward"):
        reward = None if getattr(mdp, name) is None else np.asarray(getattr(mdp, name))
        if reward is not None and (bad := first(~(reward < np.inf))) is not None:
            raise UsageError(f"`{name}` of {at(bad)} must be finite, or -inf to forbid the action; got {reward[bad]}.")
    check_distributions(mdp, live & (np.asarray(mdp.reward) > -np.inf))


def check_rows(probability: np.ndarray, live: np.ndarray, terminal: np.ndarray) -> None:
    """Check that rows sum to 1, or to 0 in terminal states and for masked actions."""
    total = probability.sum(2)
    wrong = ~(np.abs(total - live) <= TOLERANCE.get(probability.itemsize, 1e-8))
    if (bad := first(wrong)) is None:
        return
    if live[bad]:
        raise UsageError(f"Probabilities of {at(bad)} must sum to 1, got {total[bad]:.10g}.")
    reason = "state is terminal" if terminal[bad[0]] else "action is masked"
    raise UsageError(f"{at(bad)} must not have transitions, because the {reason}.")


def check_distributions(mdp: Problem, live: np.ndarray) -> None:
    """Check the initial distribution, and that rewards and prior allow some action."""
    initial: np.ndarray = np.asarray(mdp.initial)
    if (bad := first(~((initial >= 0) & np.isfinite(initial)))) is not None:
        raise UsageError(
            f"`initial` must hold finite probabilities of at least 0; the one of state {bad[0]} is {initial[bad]}."
        )
    if not abs(initial.sum() - 1) <= TOLERANCE.get(initial.itemsize, 1e-8):
        raise UsageError(f"`initial` must sum to 1, got {initial.sum():.10g}.")
    if (bad := first(~live.any(1) & ~np.asarray(mdp.terminal))) is not None:
        raise UsageError(
            f"State {bad[0]} needs an action whose reward is not -inf. If nothing happens in it, name it in `terminal`."
        )
    if mdp.prior is None:
        return
    prior: np.ndarray = np.asarray(mdp.prior)
    if (bad := first(~((prior >= 0) & np.isfinite(prior)))) is not None:
        raise UsageError(f"`prior` of {at(bad)} must be finite and at least 0, got {prior[bad]}.")
    if (bad := first(live.any(1) & ~np.any(live & (prior > 0), axis=1))) is not None:
        raise UsageError(f"`prior` must be above 0 for an allowed action of state {bad[0]}.")


def first(wrong: np.ndarray) -> tuple[int, ...] | None:
    """Return the index of the first true entry, or None."""
    if not wrong.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))


def at(index: tuple[int, ...]) -> str:
    """Return how a message names the row of this index."""
    return f"(state {index[0]}, action {index[1]})"
