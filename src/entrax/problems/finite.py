"""A Markov decision problem given whole: finitely many states and actions, sparse transitions.

Every (state, action) has at most K branches: `successor[s, a, k]` is where branch k leads and `probability[s, a, k]`
how likely it is. Index S, one past the last state, means that the episode ended on that transition (Gymnasium's
`terminated`); padding has index S and probability 0. A solver therefore appends one 0 to its values and needs no
other case:

    Q(s,a) = r(s,a) + γ Σ_k p_k V(s'_k),   V(S) = 0                                                       (1)

A terminal state is a state in which nothing more happens: its value is 0 and its rows are padding. Actions that the
mask takes away have padded rows too. A transition may lead to a terminal state by its index, or end at S.
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


class Options(TypedDict, total=False):
    """What every constructor of `FiniteMDP` takes besides transitions and rewards.

    `initial` is a distribution over states or one state; by default uniform over the states that are not terminal.
    `terminal` is a list of states or one boolean for each; rows of terminal states are ignored. `prior`, `mask`,
    `discount` and `horizon` are as in `FiniteMDP`; rows that the mask takes away are ignored too.
    """

    initial: ArrayLike
    terminal: ArrayLike
    prior: ArrayLike | None
    mask: ArrayLike | None
    discount: Number
    horizon: int | None


class FiniteMDP(eqx.Module):
    """A finite problem. Arrays are NumPy as the constructors make them, and may be JAX (to differentiate by them).

    `reward` is r(s,a), the expectation over branches where the reward depends on the outcome; `outcome_reward`, if
    any, is r(s,a,k) of each branch, which the exact posterior needs and the variational policy does not. A reward of −∞
    forbids its action. `prior` holds
    weights ≥ 0 of π₀(a|s); `mask` is True where an action is allowed. `horizon` counts decisions; None is no end.

    NumPy arrays are checked when the problem is made: EntraxError names the state and action that are wrong.
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
        """Check the numbers in JAX arrays as well. Raises EntraxError; not for use inside a transformation."""
        checks.check_values(self)

    @property
    def states(self) -> int:
        """S, the number of states; also the index that stands for the end of the episode."""
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
    def from_dense(cls, transition: ArrayLike, reward: ArrayLike, **options: Unpack[Options]) -> "FiniteMDP":
        """From `transition[s, a, s']`, shape (S, A, S), and `reward[s, a]` or `reward[s, a, s']`.

        Toolboxes that put the action first, (A, S, S), need `np.moveaxis(transition, 0, 1)`. That cannot be noticed
        where there are as many actions as states.

        A transition of shape (S, A, S + 1) has in its last column the probability that the episode ends there.
        """
        from entrax.problems import tables

        return cls(**tables.from_dense(transition, reward, options))

    @classmethod
    def from_sparse(cls, transition: Sequence[Any], reward: Any, **options: Unpack[Options]) -> "FiniteMDP":
        """From one SciPy sparse matrix or array of shape (S, S), or (S, S + 1) as in `from_dense`, for each action.

        `reward` is an array `reward[s, a]` or `reward[s, a, s']`, or a list of one matrix of rewards on (s, s'), dense
        or sparse, for each action.
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
        **options: Unpack[Options],
    ) -> "FiniteMDP":
        """From tuples (s, a, p, s', r, terminated): with probability p action a in s leads to s' and earns r.

        Where `terminated` is true the episode ends, whatever rows s' has. Actions that a state has no tuple for are
        masked. A state that is only ever reached by termination and has no tuples is terminal. The numbers of states
        and actions are the largest index and one, unless given. `from_columns` takes arrays.
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
        **options: Unpack[Options],
    ) -> "FiniteMDP":
        """As `from_transitions`, from one array for each entry of the tuples; for millions of transitions.

        A single number stands for all of them."""
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
        **options: Unpack[Options],
    ) -> "FiniteMDP":
        """The maximum-likelihood model of observed transitions (certainty equivalence).

        p(s'|s,a) is the share of the times that a was taken in s; the reward of (s, a, s') is the mean of those seen.
        `unseen` says what becomes of actions never taken in a state: "mask" takes them away, "error" refuses them.
        With "mask", states that the data never mention are terminal. Source: Kumar and Varaiya (1986), Stochastic
        systems, on certainty equivalence.
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
    def from_gymnasium(cls, env: Any, *, trust_table: bool = False, **options: Unpack[Options]) -> "FiniteMDP":
        """From a Gymnasium id or environment whose `unwrapped.P[s][a]` lists (p, s', r, terminated).

        Wrappers that change steps or episodes are refused, and so is a class with its own `step` or `reset`, unless
        `trust_table` says that it follows its table. FrozenLake, CliffWalking and Taxi do, without a fickle passenger.

        Only the `terminated` of a transition says that an episode ends: some tables have live rows in states where
        no episode goes on. Such states are terminal here. A `TimeLimit` is ignored: give a `horizon` to have one.
        `initial` is by default the environment's `initial_state_distrib`.
        """
        from entrax.problems import toy_text

        return cls(**toy_text.from_gymnasium(env, trust_table, options))

    def to_sparse(self) -> list[Any]:
        """One SciPy CSR array of shape (S, S + 1) for each action, the last column the end; as `from_sparse` takes."""
        from entrax.problems import tables

        return tables.to_sparse(np.asarray(self.successor), np.asarray(self.probability))

    def to_dense(self) -> Float[np.ndarray, "state action next"]:
        """Transition probabilities of shape (S, A, S + 1), the last column the end; as `from_dense` takes."""
        return np.stack([matrix.toarray() for matrix in self.to_sparse()], axis=1)

    @classmethod
    def load(cls, path: str | Path) -> "FiniteMDP":
        """The problem that `save` wrote. Nothing is unpickled; sizes and types are checked before anything is read."""
        from entrax.problems import files

        return cls(**files.load(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write the problem into an `.npz` file."""
        from entrax.problems import files

        files.save(self, Path(path))
