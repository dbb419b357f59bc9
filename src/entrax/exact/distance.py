"""Which states an episode can visit, and how far each is from its end: values spread one such step in a sweep."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse import csgraph

from entrax.exact.checks import is_traced
from entrax.problems.finite import FiniteMDP

Branches = Bool[np.ndarray, "state action branch"]


def levels(mdp: FiniteMDP, grade: Float[np.ndarray, "state action"] | None = None) -> Int[np.ndarray, " state"]:
    """The least number of transitions to the end of an episode; −1 where it cannot be reached.

    With a `grade` of actions, those of a higher grade are only used from states that have no way by lower ones, whose
    levels come after all lower ones.
    """
    possible = possible_branches(mdp)
    level = np.full(mdp.states + 1, -1)
    level[np.append(np.asarray(mdp.terminal), True)] = 0
    if grade is None:
        return _extended(level, np.asarray(mdp.successor), possible)[:-1]
    for highest in np.unique(grade[possible.any(axis=2)]):
        level = _extended(level, np.asarray(mdp.successor), possible & (grade <= highest)[..., None])
        if np.all(level >= 0):
            break
    return level[:-1]


def reachable(mdp: FiniteMDP) -> Bool[np.ndarray, " state"]:
    """The states that an episode can visit: those that the initial distribution leads to by allowed actions.

    All of them where the problem is traced, so that this cannot be known.
    """
    if is_traced((mdp.initial, mdp.successor, mdp.probability, mdp.terminal)):
        return np.ones(mdp.states, bool)
    first, terminal = np.asarray(mdp.initial) > 0, np.asarray(mdp.terminal)
    if np.all(first | terminal):
        return np.ones(mdp.states, bool)
    return visited(graph_of(np.asarray(mdp.successor), possible_branches(mdp)), first)


def visited(graph: sparse.csr_array, first: Bool[np.ndarray, " state"]) -> Bool[np.ndarray, " state"]:
    """The states that the edges of `graph` lead to from the `first` ones, these included."""
    outside, sources = len(first), np.flatnonzero(first)  # a node of its own, which stands for the start
    entries = (np.ones(len(sources), np.int8), (np.full(len(sources), outside), sources))
    order = csgraph.breadth_first_order(
        graph + sparse.csr_array(entries, shape=graph.shape), outside, return_predecessors=False
    )
    found = np.zeros(outside + 1, bool)
    found[order] = True
    return found[:-1]


def possible_branches(mdp: FiniteMDP) -> Branches:
    """The branches of positive probability, of actions that are not excluded as far as this is known."""
    possible = np.asarray(mdp.probability) > 0
    if mdp.prior is not None and not is_traced(mdp.prior):
        possible &= (np.asarray(mdp.prior) > 0)[..., None]
    if not is_traced(mdp.reward):
        possible &= (np.asarray(mdp.reward) > -np.inf)[..., None]
    return possible


def graph_of(successor: Int[np.ndarray, "state action branch"], possible: Branches) -> sparse.csr_array:
    """The `possible` branches as a graph of S + 1 nodes, the last of which is the end of an episode."""
    count = possible.sum((1, 2))
    start = np.concatenate([[0], np.cumsum(count), [int(count.sum())]])
    nodes = len(successor) + 1
    return sparse.csr_array((np.ones(start[-1], np.int8), successor[possible], start), shape=(nodes, nodes))


def _extended(
    level: Int[np.ndarray, " node"], successor: Int[np.ndarray, "state action branch"], possible: Branches
) -> Int[np.ndarray, " node"]:
    """`level` with the states that can get to one that has a level."""
    backward = graph_of(successor, possible).T.tocsr()
    # One frontier at a time: the predecessors of the last level's states that have no level yet.
    frontier = np.flatnonzero(level >= 0)
    distance = int(level.max())
    while frontier.size:
        distance += 1
        first, last = backward.indptr[frontier], backward.indptr[frontier + 1]
        offset = np.repeat(first - np.concatenate([[0], np.cumsum(last - first)[:-1]]), last - first)
        reached = backward.indices[offset + np.arange(len(offset))]
        frontier = np.unique(reached[level[reached] < 0])
        level[frontier] = distance
    return level
