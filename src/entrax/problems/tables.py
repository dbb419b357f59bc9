"""Conversion of tables, matrices, transitions and data to fields of `FiniteMDP`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Integer

from entrax.errors import UsageError, closest
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
        hint = " Use np.moveaxis(transition, 0, 1) to put states first." if swapped else ""
        raise UsageError(f"`transition` must have shape (states, actions, states), got {shape}.{hint}")
    states, actions, _ = shape
    if reward.shape != shape:
        reward = table(reward, states, actions, "reward")
    fields = settings(states, actions, options)
    where = np.nonzero((transition != 0) & live_rows(fields, actions)[..., None])
    row, probability = where[0] * actions + where[1], transition[where]
    return build_fields(fields, actions, row, where[2], probability, reward[where] if reward.ndim == 3 else reward)


def from_sparse(transition: Sequence[Any], reward: Any, options: Mapping[str, Any]) -> Fields:
    """See `FiniteMDP.from_sparse`."""
    from scipy import sparse

    if sparse.issparse(transition):
        raise UsageError("`transition` must be a list of matrices, one for each action; got one matrix.")
    matrices = [sparse.csr_array(matrix, dtype=float) for matrix in transition]
    if not matrices:
        raise UsageError("`transition` must hold one matrix for each action; got none.")
    states, actions = matrices[0].shape[0], len(matrices)
    for action, matrix in enumerate(matrices):
        if matrix.shape != matrices[0].shape or matrix.shape[1] - states not in (0, 1):
            raise UsageError(
                f"Matrices of `transition` must have shape {(states, states)}; "
                f"the one of action {action} has {matrix.shape}."
            )
    fields = settings(states, actions, options)
    entries = [matrix.tocoo() for matrix in matrices]
    row = np.concatenate([entry.row * np.int64(actions) + action for action, entry in enumerate(entries)])
    successor = np.concatenate([entry.col for entry in entries])
    probability = np.concatenate([entry.data for entry in entries])
    if sparse.issparse(reward):
        reward = reward.toarray()
    if isinstance(reward, np.ndarray) and reward.shape == (states, actions, matrices[0].shape[1]):
        reward = list(np.moveaxis(reward, 1, 0))  # from reward[s, a, s']
    if isinstance(reward, Sequence) and any(np.ndim(matrix) == 2 for matrix in reward):
        rewards = outcome_rewards(reward, matrices, entries)
    else:
        rewards = table(reward, states, actions, "reward").astype(float)
    return build_fields(fields, actions, row, successor, probability, rewards)


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
    """Return each transition's reward from one matrix for each action."""
    from scipy import sparse

    shapes, expected = [np.shape(matrix) for matrix in rewards], [matrix.shape for matrix in matrices]
    if shapes != expected:
        raise UsageError(f"Matrices of `reward` must have the shapes of `transition`, {expected}, got {shapes}.")
    parts = []
    for matrix, entry in zip(rewards, entries, strict=True):
        matrix = sparse.csr_array(matrix, dtype=float) if sparse.issparse(matrix) else np.asarray(matrix, float)
        values = matrix[entry.row, entry.col]
        parts.append(np.asarray(values.todense() if sparse.issparse(values) else values).ravel())
    return np.concatenate(parts)


def build_fields(
    fields: Fields,
    actions: int,
    row: Int[np.ndarray, " entry"],
    successor: Integer[np.ndarray, " entry"],
    probability: Float[np.ndarray, " entry"],
    reward: np.ndarray,
) -> Fields:
    """Add transitions and rewards; `reward` is r(s,a), or one number per branch."""
    live = live_rows(fields, actions)
    kept = live.ravel()[row]
    if (bad := first(kept & ~(probability >= 0))) is not None:
        where = at(divmod(int(row[bad]), actions))
        raise UsageError(
            f"Probabilities of {where} must be at least 0; the one of state {successor[bad]} is {probability[bad]}."
        )
    by_branch = reward.ndim == 1
    if by_branch and (bad := first(kept & ~(reward < np.inf))) is not None:
        where = at(divmod(int(row[bad]), actions))
        raise UsageError(
            f"`reward` of {where} must be finite, or -inf to forbid the action; "
            f"the one of state {successor[bad]} is {reward[bad]}."
        )
    entries = Entries(row=row, successor=successor, probability=probability, reward=reward if by_branch else None)
    entries = entries if kept.all() else entries.take(kept)
    table_reward = None if by_branch else np.where(live, reward, 0.0)
    return fields | assemble(len(live), actions, blocks_of(entries), table_reward)


def from_transitions(
    transitions: Iterable[Any], states: int | None, actions: int | None, options: Mapping[str, Any]
) -> Fields:
    """See `FiniteMDP.from_transitions`."""
    rows = list(transitions)
    for number, row in enumerate(rows):
        if len(row) != 6:
            raise UsageError(f"Transitions must be (s, a, p, s', r, terminated); transition {number} is {row}.")
    if not rows:
        raise UsageError("There must be at least one transition.")
    names = ("state", "action", "probability", "next_state", "reward", "terminated")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return from_columns(Columns.read(columns, states, actions), options)


def from_columns(columns: Columns, options: Mapping[str, Any]) -> Fields:
    """See `FiniteMDP.from_columns`."""
    available = columns.available()
    options = dict(options)
    if "terminal" not in options:
        by_termination_only = columns.successors(columns.ends) & ~columns.successors(columns.continues)
        options["terminal"] = by_termination_only & ~available.any(1)
    fields = settings(columns.states, columns.actions, options)
    allowed = available if fields["mask"] is None else available & fields["mask"]
    allowed |= fields["terminal"][:, None]
    if (bad := first(~allowed.any(1))) is not None:
        raise UsageError(f"State {bad[0]} has no transitions. If nothing happens in it, name it in `terminal`.")
    fields["mask"] = None if allowed.all() else allowed
    successor = np.where(columns.terminated, columns.states, columns.next_state)
    return build_fields(fields, columns.actions, columns.row, successor, columns.probability, columns.reward)


def from_data(columns: Columns, unseen: str, options: Mapping[str, Any]) -> Fields:
    """See `FiniteMDP.from_data`."""
    if unseen not in ("mask", "error"):
        raise UsageError(f"`unseen` must be 'mask' or 'error', got {unseen!r}{closest(unseen, ('mask', 'error'))}")
    states, actions = columns.states, columns.actions
    observed = columns.available()
    options = dict(options)
    if "terminal" not in options:
        over = ~columns.successors(columns.continues) & ~observed.any(1)
        options["terminal"] = over if unseen == "mask" else over & columns.successors(columns.ends)
    terminal = settings(states, actions, options)["terminal"]
    missing = ~observed & ~terminal[:, None]
    if unseen == "error" and (bad := first(missing)) is not None:
        raise UsageError(f"The data hold no transition of {at(bad)}. Set `unseen` to 'mask' to mask such actions.")
    if (bad := first(~observed.any(1) & ~terminal)) is not None:
        raise UsageError(
            f"The data enter state {bad[0]} but never leave it. Remove those transitions, or name it in `terminal`."
        )
    return from_columns(estimated(columns), options)


def estimated(columns: Columns) -> Columns:
    """Compute the frequency and mean reward of each (s, a, s', terminated)."""
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
