"""Which states can reach which, from the pattern of the transitions alone."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from entrax.problems.finite import FiniteMDP


def cannot_terminate(
    mdp: "FiniteMDP", policy: Float[np.ndarray, "state action"] | None = None
) -> Int[np.ndarray, " stuck"]:
    """The states from which no sequence of allowed actions, or of actions that `policy` takes, can end the episode.

    Where there are none, every policy that takes all those actions with positive probability ends its episodes, so
    that the values of an undiscounted problem without entropy are finite; otherwise an error can name the first one.
    """
    from scipy import sparse
    from scipy.sparse import csgraph

    successor, possible = np.asarray(mdp.successor), np.asarray(mdp.probability) > 0
    if policy is not None:
        possible = possible & (np.asarray(policy) > 0)[..., None]
    end, terminal = mdp.states, np.flatnonzero(np.asarray(mdp.terminal))
    count = possible.sum((1, 2))
    # Column s of the matrix has the successors of s, so that the search from the end runs along transitions backwards.
    start = np.concatenate([[0], np.cumsum(count), [int(count.sum())]])
    forward = sparse.csc_array((np.ones(start[-1], np.int8), successor[possible], start), shape=(end + 1, end + 1))
    ends = sparse.csr_array((np.ones(len(terminal), np.int8), (np.full(len(terminal), end), terminal)), forward.shape)
    backward = (forward.tocsr() + ends).tocsr()
    ending = csgraph.breadth_first_order(backward, end, return_predecessors=False)
    stuck = np.ones(end + 1, bool)
    stuck[ending] = False
    return np.flatnonzero(stuck)
