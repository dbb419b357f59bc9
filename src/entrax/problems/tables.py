"""Problems from dense tables, sparse matrices, lists of transitions and observed data: the fields of a `FiniteMDP`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Integer

from entrax.errors import EntraxError, closest
from entrax.problems.assemble import Entries, assemble, blocks_of, live_rows, settings, table
from entrax.problems.checks import at, first
from entrax.problems.columns import Columns

Fields = dict[str, Any]


def from_dense(transition: Any, reward: Any, options: Mapping[str, Any]) -> Fields:
    """See `FiniteMDP.from_dense`."""
    transition, reward = np.asarray(transition, float), np.asarray(reward, float)
    shape = transition.shape
    swapped = len(shape) == 3 and shape[1] == shape[2] != shape[0] and reward.shape[:2] != shape[:2]
    if len(shape) != 3 or shape[2] - shape[0] not in (0, 1) or swapped:
        hint = "; np.moveaxis(transition, 0, 1) puts states first" if swapped else ""
        raise EntraxError(f"transition has shape {shape}: it must be (states, actions, states){hint}.")
    states, actions, _ = shape
    if reward.shape != shape:
        reward = table(reward, states, actions, "reward")
    fields = settings(states, actions, options)
    where = np.nonzero((transition != 0) & live_rows(fields, actions)[..., None])
    row, probability = where[0] * actions + where[1], transition[where]
    return built(fields, actions, row, where[2], probability, reward[where] if reward.ndim == 3 else reward)


def from_sparse(transition: Sequence[Any], reward: Any, options: Mapping[str, Any]) -> Fields:
    """See `FiniteMDP.from_sparse`."""
    from scipy import sparse

    if sparse.issparse(transition):
        raise EntraxError("transition is one matrix: give a list of them, one for each action.")
    matrices = [sparse.csr_array(matrix, dtype=float) for matrix in transition]
    if not matrices:
        raise EntraxError("A problem needs at least one action: transition holds no matrix.")
    states, actions = matrices[0].shape[0], len(matrices)
    for action, matrix in enumerate(matrices):
        if matrix.shape != matrices[0].shape or matrix.shape[1] - states not in (0, 1):
            raise EntraxError(f"The matrix of action {action} has shape {matrix.shape}: it must be {(states, states)}.")
    fields = settings(states, actions, options)
    entries = [matrix.tocoo() for matrix in matrices]
    row = np.concatenate([entry.row * np.int64(actions) + action for action, entry in enumerate(entries)])
    successor = np.concatenate([entry.col for entry in entries])
    probability = np.concatenate([entry.data for entry in entries])
    if sparse.issparse(reward):
        reward = reward.toarray()
    if isinstance(reward, np.ndarray) and reward.shape == (states, actions, matrices[0].shape[1]):
        reward = list(np.moveaxis(reward, 1, 0))  # reward[s, a, s'], as `from_dense` takes it
    if isinstance(reward, Sequence) and any(np.ndim(matrix) == 2 for matrix in reward):
        rewards = outcome_rewards(reward, matrices, entries)
    else:
        rewards = table(reward, states, actions, "reward").astype(float)
    return built(fields, actions, row, successor, probability, rewards)


def to_sparse(
    successor: Integer[np.ndarray, "state action branch"], probability: Float[np.ndarray, "state action branch"]
) -> list[Any]:
    """See `FiniteMDP.to_sparse`."""
    from scipy import sparse

    states, actions, _ = successor.shape
    matrices = []
    for action in range(actions):
        possible = probability[:, action] > 0
        start = np.concatenate([[0], np.cumsum(possible.sum(1))])
        entries = (probability[:, action][possible], successor[:, action][possible], start)
        matrices.append(sparse.csr_array(entries, shape=(states, states + 1)))
        matrices[-1].sum_duplicates()
    return matrices


def outcome_rewards(rewards: Sequence[Any], matrices: list[Any], entries: list[Any]) -> Float[np.ndarray, " entry"]:
    """The reward of each transition from a dense or sparse matrix for each action, 0 where a sparse one holds none."""
    from scipy import sparse

    shapes, wanted = [np.shape(matrix) for matrix in rewards], [matrix.shape for matrix in matrices]
    if shapes != wanted:
        raise EntraxError(f"The matrices of rewards have shapes {shapes}: they must be those of transition, {wanted}.")
    found = []
    for matrix, entry in zip(rewards, entries, strict=True):
        matrix = sparse.csr_array(matrix, dtype=float) if sparse.issparse(matrix) else np.asarray(matrix, float)
        values = matrix[entry.row, entry.col]
        found.append(np.asarray(values.todense() if sparse.issparse(values) else values).ravel())
    return np.concatenate(found)


def built(
    fields: Fields,
    actions: int,
    row: Int[np.ndarray, " entry"],
    successor: Integer[np.ndarray, " entry"],
    probability: Float[np.ndarray, " entry"],
    reward: np.ndarray,
) -> Fields:
    """All fields from entries and settings; the reward is one of each entry, or a table."""
    live = live_rows(fields, actions)
    kept = live.ravel()[row]
    if (bad := first(kept & ~(probability >= 0))) is not None:
        where = at(divmod(int(row[bad]), actions))
        raise EntraxError(f"{where} leads to state {successor[bad]} with probability {probability[bad]}.")
    of_entries = reward.ndim == 1
    if of_entries and (bad := first(kept & ~(reward < np.inf))) is not None:
        where = at(divmod(int(row[bad]), actions))
        raise EntraxError(f"The reward of {where} is {reward[bad]} when it leads to state {successor[bad]}.")
    entries = Entries(row, successor, probability, reward if of_entries else None)
    entries = entries if kept.all() else entries.take(kept)
    expected = None if of_entries else np.where(live, reward, 0.0)
    return fields | assemble(len(live), actions, blocks_of(entries), expected)


def from_transitions(
    transitions: Iterable[Any], states: int | None, actions: int | None, options: Mapping[str, Any]
) -> Fields:
    """See `FiniteMDP.from_transitions`."""
    rows = list(transitions)
    for number, row in enumerate(rows):
        if len(row) != 6:
            raise EntraxError(f"Transition {number} is {row}: it must be (s, a, p, s', r, terminated).")
    if not rows:
        raise EntraxError("There are no transitions.")
    names = ("state", "action", "probability", "next_state", "reward", "terminated")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return from_columns(Columns.read(columns, states, actions), options)


def from_columns(columns: Columns, options: Mapping[str, Any]) -> Fields:
    """See `FiniteMDP.from_columns`."""
    seen = columns.seen()
    options = dict(options)
    if "terminal" not in options:
        options["terminal"] = columns.entered(columns.ends) & ~columns.entered(columns.goes_on) & ~seen.any(1)
    fields = settings(columns.states, columns.actions, options)
    allowed = seen if fields["mask"] is None else seen & fields["mask"]
    allowed |= fields["terminal"][:, None]
    if (bad := first(~allowed.any(1))) is not None:
        raise EntraxError(f"State {bad[0]} has no transitions: name it in `terminal` if nothing happens there.")
    fields["mask"] = None if allowed.all() else allowed
    successor = np.where(columns.terminated, columns.states, columns.next_state)
    return built(fields, columns.actions, columns.row, successor, columns.probability, columns.reward)


def from_data(columns: Columns, unseen: str, options: Mapping[str, Any]) -> Fields:
    """See `FiniteMDP.from_data`."""
    if unseen not in ("mask", "error"):
        raise EntraxError(f"unseen is {unseen!r}: it must be 'mask' or 'error'{closest(unseen, ('mask', 'error'))}")
    states, actions = columns.states, columns.actions
    seen = columns.seen()
    options = dict(options)
    if "terminal" not in options:
        over = ~columns.entered(columns.goes_on) & ~seen.any(1)
        options["terminal"] = over if unseen == "mask" else over & columns.entered(columns.ends)
    terminal = settings(states, actions, options)["terminal"]
    missing = ~seen & ~terminal[:, None]
    if unseen == "error" and (bad := first(missing)) is not None:
        raise EntraxError(f"The data hold no transition of {at(bad)}: unseen='mask' takes such actions away.")
    if (bad := first(~seen.any(1) & ~terminal)) is not None:
        raise EntraxError(
            f"The data enter state {bad[0]} but never leave it: leave those transitions out, or name it in `terminal`."
        )
    return from_columns(estimated(columns), options)


def estimated(columns: Columns) -> Columns:
    """Frequencies and mean rewards of each (s, a, s', terminated), the maximum-likelihood model."""
    end = columns.states + columns.next_state
    outcome = np.where(columns.terminated, end, columns.next_state)
    key = columns.row * np.int64(2 * columns.states) + outcome
    _, where, which, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    row = columns.row[where]
    visits = np.bincount(row, weights=count, minlength=columns.states * columns.actions)
    return Columns(
        state=columns.state[where],
        action=columns.action[where],
        probability=count / visits[row],
        next_state=columns.next_state[where],
        reward=np.bincount(which, weights=columns.reward) / count,
        terminated=columns.terminated[where],
        states=columns.states,
        actions=columns.actions,
    )
