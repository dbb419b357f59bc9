"""A Markov decision problem given whole: finitely many states and actions, sparse transitions.

Every (state, action) has at most K branches: `successor[s, a, k]` is where branch k leads and `probability[s, a, k]`
how likely it is. Index S, one past the last state, means that the episode ended on that transition (Gymnasium's
`terminated`); padding has index S and probability 0. A solver therefore appends one 0 to its values and needs no
other case:

    Q(s,a) = r(s,a) + γ Σ_k p_k V(s'_k),   V(S) = 0                                                       (1)

A terminal state is a state in which nothing more happens: its value is 0 and its rows are padding. Actions that the
mask takes away have padded rows too.
"""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

Table = Float[Array | np.ndarray, "state action"]
Branches = Float[Array | np.ndarray, "state action branch"]


class FiniteMDP(eqx.Module):
    """A finite problem. Arrays are NumPy as the constructors make them, and may be JAX (to differentiate by them).

    `reward` is r(s,a), the expectation over branches where the reward depends on the outcome; `outcome_reward`, if
    any, is r(s,a,k) of each branch, which the exact posterior needs and the variational policy does not. `prior` holds
    weights ≥ 0 of π₀(a|s); `mask` is True where an action is allowed. `horizon` counts decisions; None is no end.
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

    @property
    def states(self) -> int:
        """S, the number of states; also the index that stands for the end of the episode."""
        return self.reward.shape[0]

    @property
    def actions(self) -> int:
        """A, the largest number of actions in a state."""
        return self.reward.shape[1]
