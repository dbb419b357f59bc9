"""What a finite problem must satisfy, and the sentence for each way in which it does not."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from entrax.errors import EntraxError

if TYPE_CHECKING:
    from entrax.problems.finite import FiniteMDP

TOLERANCE = {4: 1e-5, 8: 1e-8}
"""How far from one the probabilities of a row may sum, by the bytes of their type."""

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
"""Axes of each array, and the kinds of NumPy type it may have."""


def check(mdp: "FiniteMDP") -> None:
    """Raise EntraxError, naming the state and action, unless the problem is one. JAX arrays: shapes only."""
    arrays = {name: getattr(mdp, name) for name in FIELDS}
    check_shapes({name: (array.shape, array.dtype) for name, array in arrays.items() if array is not None})
    check_discount(mdp.discount)
    check_horizon(mdp.horizon)
    if all(array is None or isinstance(array, np.ndarray) for array in arrays.values()):
        check_values(mdp)


def check_horizon(horizon: Any) -> None:
    """Check a horizon: None, or a whole number of decisions."""
    whole = isinstance(horizon, int | np.integer) and not isinstance(horizon, bool)
    if horizon is not None and not (whole and horizon >= 1):
        raise EntraxError(f"The horizon is {horizon}: it must be a whole number of decisions, at least 1, or None.")


def check_shapes(given: dict[str, tuple[tuple[int, ...], Any]]) -> None:
    """Check shapes and types of arrays by name against `FIELDS`; sizes follow from `successor`."""
    shape = given["successor"][0]
    if len(shape) != 3 or 0 in shape:
        raise EntraxError(f"successor has shape {shape}: it must be (states, actions, branches), none of them 0.")
    sizes = dict(zip(("state", "action", "branch"), shape, strict=True))
    for name, (found, dtype) in given.items():
        axes, kinds = FIELDS[name]
        wanted = tuple(sizes[axis] for axis in axes.split())
        if found != wanted:
            raise EntraxError(f"{name} has shape {found}: it must be {wanted}, one entry for each {axes}.")
        if np.dtype(dtype).kind not in kinds:
            words = {"iu": "integers", "f": "floating-point numbers", "b": "booleans"}[kinds]
            raise EntraxError(f"{name} has type {dtype}: it must hold {words}.")


def check_discount(discount: Any) -> None:
    """Check a discount, unless it is inside a transformation, where it cannot be looked at."""
    if not isinstance(discount, jax.core.Tracer) and not 0 <= discount <= 1:
        raise EntraxError(f"The discount is {discount}: it must lie in [0, 1].")


def check_values(mdp: "FiniteMDP") -> None:
    """Check the numbers of a problem outside of any transformation."""
    successor, probability = np.asarray(mdp.successor), np.asarray(mdp.probability)
    states, actions, _ = successor.shape
    if (bad := first((successor < 0) | (successor > states))) is not None:
        raise EntraxError(
            f"{at(bad)} leads to state {successor[bad]}, but states are 0 to {states - 1}, and {states} is the end."
        )
    if (bad := first(~(probability >= 0))) is not None:
        raise EntraxError(f"{at(bad)} leads to {successor[bad]} with probability {probability[bad]}.")
    terminal, mask = np.asarray(mdp.terminal), None if mdp.mask is None else np.asarray(mdp.mask)
    if mask is not None and (bad := first(~mask.any(1) & ~terminal)) is not None:
        raise EntraxError(
            f"The mask leaves state {bad[0]} without an action; if nothing happens there, it is terminal."
        )
    live = np.broadcast_to(~terminal[:, None], (states, actions))
    live = live if mask is None else live & mask
    check_rows(probability, live, terminal)
    for name in ("reward", "outcome_reward"):
        reward = None if getattr(mdp, name) is None else np.asarray(getattr(mdp, name))
        if reward is not None and (bad := first(~(reward < np.inf))) is not None:
            word = f"The {name.replace('_', ' ')} of {at(bad)} is {reward[bad]}"
            raise EntraxError(f"{word}: it must be finite, or -inf to forbid the action.")
    check_distributions(mdp, live & (np.asarray(mdp.reward) > -np.inf))


def check_rows(probability: np.ndarray, live: np.ndarray, terminal: np.ndarray) -> None:
    """Rows sum to one where something can happen, and to zero elsewhere."""
    total = probability.sum(2)
    wrong = ~(np.abs(total - live) <= TOLERANCE.get(probability.itemsize, 1e-8))
    if (bad := first(wrong)) is None:
        return
    if live[bad]:
        raise EntraxError(f"The probabilities of {at(bad)} sum to {total[bad]:.10g}, not to 1.")
    why = "terminal" if terminal[bad[0]] else "masked there"
    raise EntraxError(f"{at(bad)} has transitions, but the {'state' if why == 'terminal' else 'action'} is {why}.")


def check_distributions(mdp: "FiniteMDP", live: np.ndarray) -> None:
    """The initial distribution is one, and rewards and prior leave every state an action."""
    initial: np.ndarray = np.asarray(mdp.initial)
    if (bad := first(~((initial >= 0) & np.isfinite(initial)))) is not None:
        raise EntraxError(f"The initial probability of state {bad[0]} is {initial[bad]}.")
    if not abs(initial.sum() - 1) <= TOLERANCE.get(initial.itemsize, 1e-8):
        raise EntraxError(f"The initial distribution sums to {initial.sum():.10g}, not to 1.")
    if (bad := first(~live.any(1) & ~np.asarray(mdp.terminal))) is not None:
        raise EntraxError(f"A reward of -inf forbids every action of state {bad[0]}; one must be left.")
    if mdp.prior is None:
        return
    prior: np.ndarray = np.asarray(mdp.prior)
    if (bad := first(~((prior >= 0) & np.isfinite(prior)))) is not None:
        raise EntraxError(f"The prior weight of {at(bad)} is {prior[bad]}: it must be finite and at least 0.")
    if (bad := first(live.any(1) & ~np.any(live & (prior > 0), axis=1))) is not None:
        raise EntraxError(f"The prior gives no allowed action of state {bad[0]} any weight.")


def first(wrong: np.ndarray) -> tuple[int, ...] | None:
    """The index of the first true entry, or None."""
    if not wrong.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))


def at(index: tuple[int, ...]) -> str:
    """How a row is named in a sentence."""
    return f"(state {index[0]}, action {index[1]})"
