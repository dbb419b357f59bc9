"""A finite Markov decision problem with sparse transitions.

Every (state, action) has at most K branches: branch k leads to `successor[s, a, k]` with probability
`probability[s, a, k]`. Index S, one past the last state, means that the episode ends on that transition (Gymnasium's
`terminated`). Padding has index S and probability 0. A solver appends one 0 to its values and needs no special case:

    Q(s,a) = r(s,a) + γ Σ_k p_k V(s'_k),   V(S) = 0                                                       (1)

In a terminal state the episode is over: its value is 0 and its rows are padding. Rows of masked actions are padding
too. An episode ends when it enters a terminal state or by a transition to index S.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Integer
from numpy.typing import ArrayLike

from entrax.problems import checks
from entrax.problems.columns import Columns

Table = Float[Array | np.ndarray, "state action"]
Number = float | int
Column = ArrayLike | Number
Branches = Float[Array | np.ndarray, "state action branch"]


class ProblemOptions(TypedDict, total=False):
    """Arguments of all constructors of `FiniteMDP` besides transitions and rewards.

    Attributes:
        initial: a distribution over states, or one state; by default uniform over the states that are not terminal.
        terminal: a list of states, or one boolean for each state. Rows of terminal states are ignored.
        prior: weights ≥ 0 of π₀(a|s), shape (S, A).
        mask: True where an action is allowed, shape (S, A). Rows of masked actions are ignored.
        discount: γ in [0, 1]; by default 1.
        horizon: the number of decisions; None for no limit.
    """

    initial: ArrayLike
    terminal: ArrayLike
    prior: ArrayLike | None
    mask: ArrayLike | None
    discount: Number
    horizon: int | None


class FiniteMDP(eqx.Module):
    """A finite problem of S states, A actions and K branches per (state, action).

    The constructors make NumPy arrays. JAX arrays are accepted, to differentiate with respect to them.

    Attributes:
        successor: the state that each branch leads to; S for the end of the episode.
        probability: the probability of each branch.
        reward: r(s,a), the mean over branches if the reward depends on the outcome. −∞ forbids the action.
        initial: the distribution of the first state.
        terminal: True where the episode is over.
        discount: γ in [0, 1].
        outcome_reward: r(s,a,k) of each branch, or None. Only the exact posterior uses it.
        prior: weights ≥ 0 of π₀(a|s), or None.
        mask: True where an action is allowed, or None if all are.
        horizon: the number of decisions; None for no limit.

    Raises:
        UsageError: the problem is not valid; the message names the state and action. The values of JAX arrays are
            checked by `validate` only.
    """

    successor: Integer[Array | np.ndarray, "state action branch"]
    probability: Branches
    reward: Table
    initial: Float[Array | np.ndarray, " state"]
    terminal: Bool[Array | np.ndarray, " state"]
    discount: Float[Array, ""] | float = 1.0
    outcome_reward: Branches | None = None
    prior: Table | None = None
    mask: Bool[Array | np.ndarray, "state action"] | None = None
    horizon: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        checks.check(self)

    def validate(self) -> None:
        """Check the values of all arrays, including JAX arrays.

        Not for use inside a JAX transformation.

        Raises:
            UsageError: the problem is not valid.
        """
        checks.check_values(self)

    @property
    def states(self) -> int:
        """S, the number of states; also the index of the end of the episode."""
        return self.reward.shape[0]

    @property
    def actions(self) -> int:
        """A, the largest number of actions in a state."""
        return self.reward.shape[1]

    @property
    def branches(self) -> int:
        """K, the largest number of branches of a (state, action)."""
        return self.successor.shape[2]

    @classmethod
    def from_dense(cls, transition: ArrayLike, reward: ArrayLike, **options: Unpack[ProblemOptions]) -> "FiniteMDP":
        """Build a problem from dense arrays.

        Args:
            transition: `transition[s, a, s']`, shape (S, A, S); or (S, A, S + 1), with the probability that the
                episode ends in the last column. For an array of shape (A, S, S) pass `np.moveaxis(transition, 0, 1)`;
                the mistake cannot be detected if there are as many actions as states.
            reward: `reward[s, a]` or `reward[s, a, s']`.
            **options: see `ProblemOptions`.

        Raises:
            UsageError: an argument is not valid.
        """
        from entrax.problems import tables

        return cls(**tables.from_dense(transition, reward, options))

    @classmethod
    def from_sparse(cls, transition: Sequence[Any], reward: Any, **options: Unpack[ProblemOptions]) -> "FiniteMDP":
        """Build a problem from sparse matrices.

        Args:
            transition: one SciPy sparse matrix or array for each action, of shape (S, S), or (S, S + 1) with the end
                in the last column.
            reward: an array `reward[s, a]` or `reward[s, a, s']`, or one dense or sparse matrix over (s, s') for each
                action.
            **options: see `ProblemOptions`.

        Raises:
            UsageError: an argument is not valid.
        """
        from entrax.problems import tables

        return cls(**tables.from_sparse(transition, reward, options))

    @classmethod
    def from_transitions(
        cls,
        transitions: Iterable[tuple[Any, ...]],
        *,
        states: int | None = None,
        actions: int | None = None,
        **options: Unpack[ProblemOptions],
    ) -> "FiniteMDP":
        """Build a problem from tuples (s, a, p, s', r, terminated).

        With probability p, action a in state s leads to s' with reward r; if `terminated` is true the episode then
        ends, even if s' has tuples of its own. An action without tuples in a state is masked. A state without tuples
        that is entered by termination only is terminal.

        Args:
            transitions: the tuples. For millions of them use `from_columns`.
            states: S; by default the largest index plus 1.
            actions: A; by default the largest index plus 1.
            **options: see `ProblemOptions`.

        Raises:
            UsageError: an argument is not valid.
        """
        from entrax.problems import tables

        return cls(**tables.from_transitions(transitions, states, actions, options))

    @classmethod
    def from_columns(
        cls,
        *,
        state: ArrayLike,
        action: Column,
        probability: Column,
        next_state: Column,
        reward: Column,
        terminated: Column,
        states: int | None = None,
        actions: int | None = None,
        **options: Unpack[ProblemOptions],
    ) -> "FiniteMDP":
        """Build a problem as `from_transitions` does, from one array per tuple entry.

        A single number is broadcast to all transitions.
        """
        from entrax.problems import tables

        columns = {
            "state": state,
            "action": action,
            "probability": probability,
            "next_state": next_state,
            "reward": reward,
            "terminated": terminated,
        }
        return cls(**tables.from_columns(Columns.read(columns, states, actions), options))

    @classmethod
    def from_data(
        cls,
        *,
        state: ArrayLike,
        action: Column,
        reward: Column,
        next_state: Column,
        terminated: Column,
        unseen: str,
        states: int | None = None,
        actions: int | None = None,
        **options: Unpack[ProblemOptions],
    ) -> "FiniteMDP":
        """Estimate the maximum-likelihood model of transitions (certainty equivalence).

        p(s'|s,a) is the relative frequency of s' after (s, a). The reward of (s, a, s') is the mean observed reward.

        Args:
            state: s of each transition.
            action: a of each transition.
            reward: r of each transition.
            next_state: s' of each transition.
            terminated: True where the episode ended.
            unseen: "mask" to mask actions that were never taken in a state and make states that do not occur
                terminal; "error" to raise an error.
            states: S; by default the largest index plus 1.
            actions: A; by default the largest index plus 1.
            **options: see `ProblemOptions`.

        Raises:
            UsageError: an argument is not valid, or a state is entered but never left.

        References:
            Kumar and Varaiya (1986), Stochastic systems, on certainty equivalence.
        """
        from entrax.problems import tables

        columns = {
            "state": state,
            "action": action,
            "probability": 1.0,
            "next_state": next_state,
            "reward": reward,
            "terminated": terminated,
        }
        return cls(**tables.from_data(Columns.read(columns, states, actions), unseen, options))

    @classmethod
    def from_gymnasium(cls, env: Any, *, trust_table: bool = False, **options: Unpack[ProblemOptions]) -> "FiniteMDP":
        """Build a problem from the table of a Gymnasium environment.

        Only the flag `terminated` marks the end of an episode. Tables may have rows for states in which no episode
        continues; such states are terminal here. A `TimeLimit` is ignored: pass a `horizon` instead.

        Args:
            env: a Gymnasium id, or an environment whose `unwrapped.P[s][a]` lists (p, s', r, terminated).
            trust_table: accept a class with its own `step` or `reset`, which must follow its table. FrozenLake,
                CliffWalking and Taxi without a fickle passenger follow theirs and need no `trust_table`.
            **options: see `ProblemOptions`; `initial` is by default the environment's `initial_state_distrib`.

        Raises:
            UsageError: there is no table, or a wrapper or class may change steps or episodes.
        """
        from entrax.problems import toy_text

        return cls(**toy_text.from_gymnasium(env, trust_table, options))

    def to_sparse(self) -> list[Any]:
        """Return one SciPy CSR array, shape (S, S + 1), for each action.

        The last column is the end of the episode.
        """
        from entrax.problems import tables

        return tables.to_sparse(np.asarray(self.successor), np.asarray(self.probability))

    def to_dense(self) -> Float[np.ndarray, "state action next"]:
        """Return transition probabilities of shape (S, A, S + 1).

        The last column is the end of the episode.
        """
        return np.stack([matrix.toarray() for matrix in self.to_sparse()], axis=1)

    @classmethod
    def load(cls, path: str | Path) -> "FiniteMDP":
        """Load a problem that `save` wrote.

        Nothing is unpickled. Sizes and types are checked before arrays are read.

        Raises:
            EntraxError: the file cannot be read, or is not a saved problem.
        """
        from entrax.problems import files

        return cls(**files.load(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write the problem to an `.npz` file."""
        from entrax.problems import files

        files.save(self, Path(path))
