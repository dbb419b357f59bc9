"""Demonstrations: trajectories of states and actions in a finite problem, with weights.

A trajectory of T decisions has T actions and T + 1 states, or T states if the outcome of the last action is unknown. An
episode that ended by a transition to index S, past the last state, has S (or a terminal state) as its last state.
"""

from collections.abc import Iterable
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from entrax.errors import UsageError
from entrax.problems import FiniteMDP

UNKNOWN = -1
"""The next state of a last action whose outcome is unknown."""

Column = Int[np.ndarray, " decision"]


class Demonstrations(eqx.Module):
    """Weighted trajectories, stored by decision.

    Build them with `from_trajectories`, `load_demonstrations` or `demonstrate`.

    Attributes:
        state: s of each decision.
        action: a of each decision.
        next_state: s' of each decision; `UNKNOWN` after the last action of a trajectory whose outcome is unknown.
        trajectory: the number of the trajectory of each decision, in order from 0.
        time: t of each decision, from 0 in each trajectory.
        weight: a weight above 0 for each trajectory. A trajectory of weight 2 counts as two.
    """

    state: Column
    action: Column
    next_state: Column
    trajectory: Column
    time: Column
    weight: Float[np.ndarray, " trajectory"]

    @classmethod
    def from_trajectories(cls, trajectories: Iterable[tuple[Any, Any]], weight: Any = None) -> "Demonstrations":
        """Build demonstrations from pairs (states, actions).

        Args:
            trajectories: one pair for each trajectory. With T actions, `states` has T + 1 entries, or T if the outcome
                of the last action is unknown.
            weight: one number above 0 for each trajectory; by default 1.

        Raises:
            UsageError: there is no trajectory, one has no decision, sizes do not fit, or a weight is not valid.
        """
        pairs = [
            (_whole(states, "states", i), _whole(actions, "actions", i))
            for i, (states, actions) in enumerate(trajectories)
        ]
        if not pairs:
            raise UsageError("`trajectories` must have at least one trajectory.")
        for i, (states, actions) in enumerate(pairs):
            if len(actions) == 0:
                raise UsageError(f"Trajectory {i} must have at least one action; it has none. Remove it.")
            if len(states) - len(actions) not in (0, 1):
                raise UsageError(
                    f"Trajectory {i} must have as many states as actions, or one more; it has {len(states)} states "
                    f"and {len(actions)} actions."
                )
        length = np.array([len(actions) for _, actions in pairs])
        following = [states[1:] if len(states) > len(actions) else [*states[1:], UNKNOWN] for states, actions in pairs]
        return cls(
            state=np.concatenate([states[: len(actions)] for states, actions in pairs]),
            action=np.concatenate([actions for _, actions in pairs]),
            next_state=np.concatenate([np.asarray(states, np.int64) for states in following]),
            trajectory=np.repeat(np.arange(len(pairs)), length),
            time=np.concatenate([np.arange(n) for n in length]),
            weight=_weights(weight, len(pairs)),
        )

    @property
    def lengths(self) -> Int[np.ndarray, " trajectory"]:
        """The number of decisions of each trajectory."""
        return np.bincount(self.trajectory, minlength=len(self.weight))

    @property
    def decisions(self) -> float:
        """The number of decisions, each with the weight of its trajectory."""
        return float(np.sum(self.weight[self.trajectory]))

    @property
    def rarest(self) -> float:
        """The least share of the decisions that one decision has."""
        return float(np.min(self.weight)) / self.decisions

    @property
    def first(self) -> Column:
        """The index of the first decision of each trajectory."""
        return np.flatnonzero(self.time == 0)

    @property
    def last(self) -> Column:
        """The index of the last decision of each trajectory."""
        return np.append(self.first[1:], len(self.time)) - 1

    def trajectories(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the pairs (states, actions)."""
        pairs = []
        for first, last in zip(self.first, self.last, strict=True):
            final = self.next_state[last : last + 1]
            states = np.concatenate([self.state[first : last + 1], final[final != UNKNOWN]])
            pairs.append((states, self.action[first : last + 1]))
        return pairs

    def check(self, mdp: FiniteMDP) -> None:
        """Check that every decision is possible in a problem.

        Raises:
            UsageError: the message names trajectory and decision.
        """
        self._refuse(~_between(self.state, mdp.states), "state", self.state, f"states 0 to {mdp.states - 1}")
        self._refuse(~_between(self.action, mdp.actions), "action", self.action, f"actions 0 to {mdp.actions - 1}")
        known = self.next_state != UNKNOWN
        wrong = known & ~_between(self.next_state, mdp.states + 1)
        self._refuse(wrong, "next state", self.next_state, f"states 0 to {mdp.states}, where {mdp.states} is the end")
        terminal = np.append(np.asarray(mdp.terminal), True)
        if (bad := _first(terminal[self.state])) is not None:
            raise UsageError(f"{self._at(bad)} acts in state {self.state[bad]}, in which the episode is over.")
        if (bad := _first(~allowed_actions(mdp)[self.state, self.action])) is not None:
            raise UsageError(
                f"{self._at(bad)} takes action {self.action[bad]} in state {self.state[bad]}, which the mask, the "
                "prior or a reward of -inf excludes."
            )
        successor = np.asarray(mdp.successor)[self.state, self.action]
        same = successor == self.next_state[:, None]
        same |= (terminal[np.where(known, self.next_state, 0)])[:, None] & (successor == mdp.states)
        chance = np.sum(np.where(same, np.asarray(mdp.probability)[self.state, self.action], 0.0), axis=1)
        if (bad := _first(known & ~(chance > 0))) is not None:
            raise UsageError(
                f"{self._at(bad)} goes from state {self.state[bad]} by action {self.action[bad]} to state "
                f"{self.next_state[bad]}, which has probability 0 in the problem."
            )
        if mdp.horizon is not None and (bad := _first(self.time >= mdp.horizon)) is not None:
            raise UsageError(
                f"Trajectory {self.trajectory[bad]} must have at most {mdp.horizon} decisions, the `horizon` of the "
                f"problem; it has {self.lengths[self.trajectory[bad]]}."
            )

    def _at(self, decision: int) -> str:
        return f"Trajectory {self.trajectory[decision]} at decision {self.time[decision]}"

    def _refuse(self, wrong: np.ndarray, name: str, column: np.ndarray, meaning: str) -> None:
        if (bad := _first(wrong)) is not None:
            raise UsageError(f"{self._at(bad)} has {name} {column[bad]}; the problem has {meaning}.")


def allowed_actions(mdp: FiniteMDP) -> np.ndarray:
    """Return True where an action is not excluded, shape (S, A); no action is allowed in a terminal state."""
    allowed = np.asarray(mdp.reward) > -np.inf
    if mdp.mask is not None:
        allowed = allowed & np.asarray(mdp.mask)
    if mdp.prior is not None:
        allowed = allowed & (np.asarray(mdp.prior) > 0)
    allowed &= ~np.asarray(mdp.terminal)[:, None]
    return np.asarray(allowed)


def _between(column: np.ndarray, end: int) -> np.ndarray:
    return np.asarray((column >= 0) & (column < end))


def _first(wrong: np.ndarray) -> int | None:
    return int(wrong.argmax()) if wrong.any() else None


def _whole(values: Any, name: str, trajectory: int) -> np.ndarray:
    """Return a list as integers."""
    try:
        array = np.asarray(values)
    except ValueError:  # of lists of different lengths
        array = np.zeros((0, 0))
    if array.size == 0 and array.ndim == 1:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UsageError(f"`{name}` of trajectory {trajectory} must be a list of whole numbers, got {values!r:.80}.")
    return array.astype(np.int64)


def _weights(weight: Any, count: int) -> np.ndarray:
    if weight is None:
        return np.ones(count)
    array = np.asarray(weight)
    if array.shape != (count,) or array.dtype.kind not in "iuf":
        raise UsageError(f"`weight` must have {count} numbers, one for each trajectory, got shape {array.shape}.")
    if (bad := _first(~((array > 0) & np.isfinite(array)))) is not None:
        raise UsageError(f"`weight` of trajectory {bad} must be finite and above 0, got {array[bad]}.")
    return array.astype(float)
