"""Conversion of branches and options to the padded arrays of `FiniteMDP`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from entrax.errors import UsageError
from entrax.foreign import unknown
from entrax.problems.checks import check_discount, first

ROUNDING = 1e-6  # rows whose sum is this close to 1, as with 32-bit probabilities, are divided by their sum
BLOCK = 1 << 19  # entries processed at a time
MAX_STATES = np.iinfo(np.int32).max - 1


class Entries(NamedTuple):
    """Branches as parallel arrays; `row` is s·A + a, successor S is the end."""

    row: Int[np.ndarray, " entry"]
    successor: Integer[np.ndarray, " entry"]
    probability: Float[np.ndarray, " entry"]
    reward: Float[np.ndarray, " entry"] | None

    def take(self, index: Any) -> "Entries":
        """Return the entries at `index`, any NumPy index."""
        reward = None if self.reward is None else self.reward[index]
        return Entries(
            row=self.row[index], successor=self.successor[index], probability=self.probability[index], reward=reward
        )


@dataclass(frozen=True)
class Rows:
    """Rows with merged branches: row numbers, branch counts, concatenated branches.

    `reward` is None if within each row all branches have the same reward.
    """

    row: Int[np.ndarray, " row"]
    count: Int[np.ndarray, " row"]
    successor: Integer[np.ndarray, " entry"]
    probability: Float[np.ndarray, " entry"]
    reward: Float[np.ndarray, " entry"] | None


def blocks_of(entries: Entries) -> Iterator[Entries]:
    """Yield entries in blocks of whole rows, ascending, to limit memory."""
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
    """Build the arrays of transitions and rewards, merging equal branches.

    Branches with different rewards are not merged. The outcome reward is None if no row has different rewards. Rows
    whose sum is nearly 1 are divided by their sum.

    Args:
        states: S.
        actions: A.
        blocks: entries in blocks of whole rows, ascending.
        reward: r(s,a); None to compute it from the rewards of the entries.
    """
    mean_reward = np.zeros(states * actions) if reward is None else reward.ravel()
    parts = []
    for entries in blocks:
        rows, mean = finish(entries, states)
        parts.append(rows)
        if reward is None:
            mean_reward[rows.row] = mean
    width = max([1, *(int(rows.count.max(initial=0)) for rows in parts)])
    fields: dict[str, Any] = {
        "successor": np.full(states * actions * width, states, np.int32),
        "probability": np.zeros(states * actions * width),
        "outcome_reward": None,
    }
    if any(rows.reward is not None for rows in parts):
        fields["outcome_reward"] = np.zeros(states * actions * width)
    while parts:  # freed one by one
        rows = parts.pop()
        first_branch = np.cumsum(rows.count) - rows.count
        where = np.arange(len(rows.successor)) + np.repeat(rows.row * width - first_branch, rows.count)
        fields["successor"][where], fields["probability"][where] = rows.successor, rows.probability
        if fields["outcome_reward"] is not None:
            by_branch = np.repeat(mean_reward[rows.row], rows.count) if rows.reward is None else rows.reward
            fields["outcome_reward"][where] = by_branch
    shape = (states, actions, width)
    fields = {name: None if array is None else array.reshape(shape) for name, array in fields.items()}
    return fields | {"reward": mean_reward.reshape(states, actions)}


def finish(entries: Entries, states: int) -> tuple[Rows, Float[np.ndarray, " row"]]:
    """Sort and merge the branches of each row; also return each row's mean reward."""
    possible = entries.probability != 0
    entries = merge(sort(entries if possible.all() else entries.take(possible), states))
    start = np.flatnonzero(np.diff(entries.row, prepend=-1))
    count = np.diff(start, append=len(entries.row))
    probability = rescaled(entries.probability, start, count)
    reward, mean = entries.reward, np.zeros(len(start))
    if reward is not None and len(start):
        lowest, highest = np.minimum.reduceat(reward, start), np.maximum.reduceat(reward, start)
        # If all branches have the same reward, the row has exactly that reward: a mean would round it.
        mean = np.where(lowest == highest, lowest, np.add.reduceat(probability * reward, start))
        reward = None if np.all(lowest == highest) else reward
    successor = entries.successor.astype(np.int32, copy=False)
    rows = Rows(row=entries.row[start], count=count, successor=successor, probability=probability, reward=reward)
    return rows, mean


def sort(entries: Entries, states: int) -> Entries:
    """Sort entries by row, successor and reward."""
    key = entries.row * np.int64(states + 1) + entries.successor
    if np.any(key[1:] < key[:-1]):
        order = np.argsort(key)
        entries, key = entries.take(order), key[order]
    if entries.reward is None:
        return entries
    same = key[1:] == key[:-1]
    if np.any(same & (entries.reward[1:] != entries.reward[:-1])):
        repeated = np.flatnonzero(np.append(same, False) | np.append(False, same))  # few: sorting all would be slow
        order = repeated[np.lexsort((entries.reward[repeated], key[repeated]))]
        reward, probability = entries.reward.copy(), entries.probability.copy()
        reward[repeated], probability[repeated] = reward[order], probability[order]
        entries = entries._replace(reward=reward, probability=probability)
    return entries


def merge(entries: Entries) -> Entries:
    """Merge sorted entries of equal row, successor and reward."""
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
    """Divide rows whose sum is nearly 1 by their sum; the checks reject other rows."""
    total = np.add.reduceat(probability, start) if len(start) else np.ones(0)
    miss = np.abs(total - 1)
    near = (miss <= ROUNDING) & (miss > count * np.finfo(float).eps)  # below rounding, dividing gains nothing
    return probability / np.repeat(np.where(near, total, 1), count) if near.any() else probability


SETTINGS = ("initial", "terminal", "prior", "mask", "discount", "horizon")


def settings(states: int, actions: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the options of a constructor to fields of `FiniteMDP`, with defaults.

    Raises:
        UsageError: an option is unknown or has the wrong type, shape or range.
    """
    for name in options:
        if name not in SETTINGS:
            raise UsageError(unknown(name, SETTINGS))
    if states < 1 or actions < 1:
        raise UsageError(f"A problem needs at least one state and one action, got {states} and {actions}.")
    if states > MAX_STATES:
        raise UsageError(f"A problem can have at most {MAX_STATES} states, because indices are 32-bit; got {states}.")
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
    """Return where a state is not terminal and the mask allows the action."""
    live = np.repeat(~fields["terminal"][:, None], actions, 1)
    return live if fields["mask"] is None else live & fields["mask"]


def flags(given: Any, states: int, name: str) -> Bool[np.ndarray, " state"]:
    """Return one boolean for each state, from booleans or from a list of states."""
    given = np.asarray(given)
    if given.dtype == bool:
        if given.shape != (states,):
            raise UsageError(f"`{name}` must have shape ({states},), one entry for each state, got {given.shape}.")
        return given.copy()
    chosen = np.zeros(states, bool)
    if given.size and given.dtype.kind not in "iu":
        raise UsageError(f"`{name}` must be a list of states or one boolean for each, got type {given.dtype}.")
    given = given.reshape(-1).astype(np.int64)
    if (bad := first((given < 0) | (given >= states))) is not None:
        raise UsageError(f"`{name}` must name states from 0 to {states - 1}, got {given[bad]}.")
    chosen[given] = True
    return chosen


def distribution(given: Any, terminal: Bool[np.ndarray, " state"]) -> Float[np.ndarray, " state"]:
    """Return the initial distribution from a distribution, one state or None.

    None is uniform over the states that are not terminal.
    """
    states = len(terminal)
    if given is None:
        if terminal.all():
            raise UsageError("Every state is terminal, so no episode can start. Give `initial`.")
        return ~terminal / np.count_nonzero(~terminal)
    given = np.asarray(given)
    if given.ndim == 0 and given.dtype.kind in "iu":
        return flags(given, states, "initial").astype(float)
    if given.shape != (states,):
        raise UsageError(f"`initial` must have shape ({states},) or be one state's index, got shape {given.shape}.")
    return given.astype(float)


def table(given: Any, states: int, actions: int, name: str) -> np.ndarray:
    """Return the array after checking that its shape is (states, actions)."""
    given = np.asarray(given)
    if given.shape != (states, actions):
        raise UsageError(
            f"`{name}` must have shape {(states, actions)}, one entry for each state and action, got {given.shape}."
        )
    return given
