"""Reachability of states in the graph of possible transitions."""

import numpy as np
from jaxtyping import Float, Int

from entrax.problems.finite import FiniteMDP


def cannot_terminate(
    mdp: FiniteMDP, policy: Float[np.ndarray, "state action"] | None = None
) -> Int[np.ndarray, " stuck"]:
    """Return the states from which no sequence of actions can end the episode.

    If the result is empty, every policy that takes all these actions with positive probability ends its episodes.

    Args:
        mdp: the problem.
        policy: consider only actions of positive probability; None for all allowed actions.
    """
    from scipy import sparse
    from scipy.sparse import csgraph

    successor, possible = np.asarray(mdp.successor), np.asarray(mdp.probability) > 0
    if policy is not None:
        possible = possible & (np.asarray(policy) > 0)[..., None]
    end, terminal = mdp.states, np.flatnonzero(np.asarray(mdp.terminal))
    count = possible.sum((1, 2))
    # Column s of the matrix holds the successors of s, so the search from the end follows transitions backwards.
    start = np.concatenate([[0], np.cumsum(count), [int(count.sum())]])
    forward = sparse.csc_array((np.ones(start[-1], np.int8), successor[possible], start), shape=(end + 1, end + 1))
    ends = sparse.csr_array((np.ones(len(terminal), np.int8), (np.full(len(terminal), end), terminal)), forward.shape)
    backward = (forward.tocsr() + ends).tocsr()
    ending = csgraph.breadth_first_order(backward, end, return_predecessors=False)
    stuck = np.ones(end + 1, bool)
    stuck[ending] = False
    return np.flatnonzero(stuck)
