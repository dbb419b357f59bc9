"""How far each state is from the end of an episode: values spread one such step in a sweep."""

import numpy as np
from jaxtyping import Int
from scipy import sparse

from entrax.exact.checks import is_traced
from entrax.problems.finite import FiniteMDP


def levels(mdp: FiniteMDP) -> Int[np.ndarray, " state"]:
    """The least number of transitions to the end of an episode; −1 where it cannot be reached."""
    successor, possible = np.asarray(mdp.successor), np.asarray(mdp.probability) > 0
    if mdp.prior is not None and not is_traced(mdp.prior):
        possible &= (np.asarray(mdp.prior) > 0)[..., None]
    states = mdp.states
    start = np.concatenate([[0], np.cumsum(possible.sum((1, 2)))])
    entries = (np.ones(start[-1], np.int8), successor[possible], start)
    backward = sparse.csr_array(entries, shape=(states, states + 1)).T.tocsr()
    level = np.full(states + 1, -1)
    level[np.append(np.asarray(mdp.terminal), True)] = 0
    # One frontier at a time: the predecessors of the last level's states that have no level yet.
    frontier = np.flatnonzero(level == 0)
    distance = 0
    while frontier.size:
        distance += 1
        first, last = backward.indptr[frontier], backward.indptr[frontier + 1]
        offset = np.repeat(first - np.concatenate([[0], np.cumsum(last - first)[:-1]]), last - first)
        reached = backward.indices[offset + np.arange(len(offset))]
        frontier = np.unique(reached[level[reached] < 0])
        level[frontier] = distance
    return level[:states]
