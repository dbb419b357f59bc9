"""From entries, one for each branch, to the padded arrays of `FiniteMDP`; and what all constructors share."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from entrax.errors import EntraxError
from entrax.foreign import unknown
from entrax.problems.checks import check_discount, first

ROUNDING = 1e-6  # of probabilities in 32 bits: rows that sum to one within it are divided by their sum
BLOCK = 1 << 19  # entries that are worked on at a time
MAX_STATES = np.iinfo(np.int32).max - 1


class Entries(NamedTuple):
    """Branches one after another: `row` is s·A + a, and successor S is the end of the episode."""

    row: Int[np.ndarray, " entry"]
    successor: Integer[np.ndarray, " entry"]
    probability: Float[np.ndarray, " entry"]
    reward: Float[np.ndarray, " entry"] | None

    def take(self, which: Any) -> "Entries":
        """Some of the entries."""
        reward = None if self.reward is None else self.reward[which]
        return Entries(self.row[which], self.successor[which], self.probability[which], reward)


@dataclass(frozen=True)
class Rows:
    """Rows that are done: their numbers, how many branches each has, and these one after another.

    `reward` is None where all branches of a row pay the same.
    """

    row: Int[np.ndarray, " row"]
    count: Int[np.ndarray, " row"]
    successor: Integer[np.ndarray, " entry"]
    probability: Float[np.ndarray, " entry"]
    reward: Float[np.ndarray, " entry"] | None


def blocks_of(entries: Entries) -> Iterator[Entries]:
    """The entries in blocks of whole rows, ascending, so that the work on them needs little memory."""
    if np.any(entries.row[1:] < entries.row[:-1]):
        entries = entries.take(np.argsort(entries.row, kind="stable"))
    begin = 0
    while begin < len(entries.row):
        end = begin + BLOCK
        end = len(entries.row) if end >= len(entries.row) else int(np.searchsorted(entries.row, entries.row[end]))
        if end <= begin:  # one row is longer than a block
            end = int(np.searchsorted(entries.row, entries.row[begin], side="right"))
        yield entries.take(slice(begin, end))
        begin = end


def assemble(
    states: int, actions: int, blocks: Iterable[Entries], reward: Float[np.ndarray, "state action"] | None = None
) -> dict[str, Any]:
    """Successor, probability, reward and outcome reward, with branches to the same successor merged.

    `blocks` hold whole rows, ascending. The reward is that of the entries, or the table `reward`. Branches that pay
    differently are kept apart, and the outcome reward is None when no row has any. Rows that nearly sum to one are
    divided by their sum.
    """
    expected = np.zeros(states * actions) if reward is None else reward.ravel()
    done = []
    for entries in blocks:
        rows, mean = finish(entries, states)
        done.append(rows)
        if reward is None:
            expected[rows.row] = mean
    width = max([1, *(int(rows.count.max(initial=0)) for rows in done)])
    fields: dict[str, Any] = {
        "successor": np.full(states * actions * width, states, np.int32),
        "probability": np.zeros(states * actions * width),
        "outcome_reward": None,
    }
    if any(rows.reward is not None for rows in done):
        fields["outcome_reward"] = np.zeros(states * actions * width)
    while done:
        rows = done.pop()
        first_branch = np.cumsum(rows.count) - rows.count
        where = np.arange(len(rows.successor)) + np.repeat(rows.row * width - first_branch, rows.count)
        fields["successor"][where], fields["probability"][where] = rows.successor, rows.probability
        if fields["outcome_reward"] is not None:
            paid = np.repeat(expected[rows.row], rows.count) if rows.reward is None else rows.reward
            fields["outcome_reward"][where] = paid
    shape = (states, actions, width)
    fields = {name: None if array is None else array.reshape(shape) for name, array in fields.items()}
    return fields | {"reward": expected.reshape(states, actions)}


def finish(entries: Entries, states: int) -> tuple[Rows, Float[np.ndarray, " row"]]:
    """Rows with their branches sorted and merged, and the mean reward of each (0 for entries without rewards)."""
    possible = entries.probability != 0
    entries = merge(sort(entries if possible.all() else entries.take(possible), states))
    start = np.flatnonzero(np.diff(entries.row, prepend=-1))
    count = np.diff(start, append=len(entries.row))
    probability = rescaled(entries.probability, start, count)
    reward, mean = entries.reward, np.zeros(len(start))
    if reward is not None and len(start):
        lowest, highest = np.minimum.reduceat(reward, start), np.maximum.reduceat(reward, start)
        # A row that pays the same whatever happens has exactly that reward, without the rounding of a mean.
        mean = np.where(lowest == highest, lowest, np.add.reduceat(probability * reward, start))
        reward = None if np.all(lowest == highest) else reward
    successor = entries.successor.astype(np.int32, copy=False)
    return Rows(entries.row[start], count, successor, probability, reward), mean


def sort(entries: Entries, states: int) -> Entries:
    """The entries by row and successor, and by reward where the same successor pays differently."""
    key = entries.row * np.int64(states + 1) + entries.successor
    if np.any(key[1:] < key[:-1]):
        order = np.argsort(key)
        entries, key = entries.take(order), key[order]
    if entries.reward is None:
        return entries
    same = key[1:] == key[:-1]
    if np.any(same & (entries.reward[1:] != entries.reward[:-1])):
        again = np.flatnonzero(np.append(same, False) | np.append(False, same))  # few: sorting all would take long
        order = again[np.lexsort((entries.reward[again], key[again]))]
        reward, probability = entries.reward.copy(), entries.probability.copy()
        reward[again], probability[again] = reward[order], probability[order]
        entries = entries._replace(reward=reward, probability=probability)
    return entries


def merge(entries: Entries) -> Entries:
    """Sorted entries with those of equal row, successor and reward made one."""
    same = (entries.row[1:] == entries.row[:-1]) & (entries.successor[1:] == entries.successor[:-1])
    if entries.reward is not None:
        same &= entries.reward[1:] == entries.reward[:-1]
    if not same.any():
        return entries
    start = np.flatnonzero(np.concatenate([[True], ~same]))
    merged = entries.take(start)
    return merged._replace(probability=np.add.reduceat(entries.probability, start))


def rescaled(
    probability: Float[np.ndarray, " entry"], start: Int[np.ndarray, " row"], count: Int[np.ndarray, " row"]
) -> Float[np.ndarray, " entry"]:
    """Rows that nearly sum to one are divided by their sum; others are left for the check to refuse."""
    total = np.add.reduceat(probability, start) if len(start) else np.ones(0)
    miss = np.abs(total - 1)
    near = (miss <= ROUNDING) & (miss > count * np.finfo(float).eps)  # nearer than that, dividing gains nothing
    return probability / np.repeat(np.where(near, total, 1), count) if near.any() else probability


SETTINGS = ("initial", "terminal", "prior", "mask", "discount", "horizon")


def settings(states: int, actions: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Initial distribution, terminal states, prior, mask, discount and horizon as `FiniteMDP` has them."""
    for name in options:
        if name not in SETTINGS:
            raise EntraxError(unknown(name, SETTINGS))
    if states < 1 or actions < 1:
        raise EntraxError("A problem needs at least one state and one action.")
    if states > MAX_STATES:
        raise EntraxError(f"{states} states are more than the {MAX_STATES} that 32-bit indices reach.")
    discount = options.get("discount", 1.0)
    check_discount(discount)
    terminal = flags(options.get("terminal", ()), states, "terminal")
    mask, prior = options.get("mask"), options.get("prior")
    if mask is not None:
        mask = table(mask, states, actions, "mask").astype(bool) | terminal[:, None]
    return {
        "initial": distribution(options.get("initial"), terminal),
        "terminal": terminal,
        "mask": mask,
        "prior": None if prior is None else table(prior, states, actions, "prior").astype(float),
        "discount": float(discount) if isinstance(discount, int | np.number) else discount,
        "horizon": options.get("horizon"),
    }


def live_rows(fields: Mapping[str, Any], actions: int) -> Bool[np.ndarray, "state action"]:
    """Where a state is not terminal and the mask allows the action."""
    live = np.repeat(~fields["terminal"][:, None], actions, 1)
    return live if fields["mask"] is None else live & fields["mask"]


def flags(given: Any, states: int, name: str) -> Bool[np.ndarray, " state"]:
    """One boolean for each state, from that or from a list of states."""
    given = np.asarray(given)
    if given.dtype == bool:
        if given.shape != (states,):
            raise EntraxError(f"{name} has shape {given.shape}: it must be ({states},), one entry for each state.")
        return given.copy()
    chosen = np.zeros(states, bool)
    if given.size and given.dtype.kind not in "iu":
        raise EntraxError(f"{name} has type {given.dtype}: it must be a list of states, or one boolean for each.")
    given = given.reshape(-1).astype(np.int64)
    if (bad := first((given < 0) | (given >= states))) is not None:
        raise EntraxError(f"{name} names state {given[bad]}, but states are 0 to {states - 1}.")
    chosen[given] = True
    return chosen


def distribution(given: Any, terminal: Bool[np.ndarray, " state"]) -> Float[np.ndarray, " state"]:
    """The initial distribution, from itself, from one state, or uniform over the states that are not terminal."""
    states = len(terminal)
    if given is None:
        if terminal.all():
            raise EntraxError("Every state is terminal, so an episode has nowhere to start: give `initial`.")
        return ~terminal / np.count_nonzero(~terminal)
    given = np.asarray(given)
    if given.ndim == 0 and given.dtype.kind in "iu":
        return flags(given, states, "initial").astype(float)
    if given.shape != (states,):
        raise EntraxError(f"initial has shape {given.shape}: it must be ({states},), or the number of a state.")
    return given.astype(float)


def table(given: Any, states: int, actions: int, name: str) -> np.ndarray:
    """An array with one entry for each state and action."""
    given = np.asarray(given)
    if given.shape != (states, actions):
        raise EntraxError(
            f"{name} has shape {given.shape}: it must be {(states, actions)}, one entry for each state and action."
        )
    return given
