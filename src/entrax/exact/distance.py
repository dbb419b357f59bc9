"""Which states an episode can visit, and how many steps each is from the end.

A sweep propagates values by one step.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse import csgraph

from entrax.exact.checks import is_traced
from entrax.problems.finite import FiniteMDP

Branches = Bool[np.ndarray, "state action branch"]


def levels(mdp: FiniteMDP, grade: Float[np.ndarray, "state action"] | None = None) -> Int[np.ndarray, " state"]:
    """Return the least number of transitions to the end; −1 if unreachable.

    With a `grade` of actions, actions of a higher grade are used only in states that cannot reach the end by lower
    grades. The levels of such states are above all levels of lower grades.
    """
    possible = possible_branches(mdp)
    level = np.full(mdp.states + 1, -1)
    level[np.append(np.asarray(mdp.terminal), True)] = 0
    if grade is None:
        return _extend_levels(level, np.asarray(mdp.successor), possible)[:-1]
    for highest in np.unique(grade[possible.any(axis=2)]):
        level = _extend_levels(level, np.asarray(mdp.successor), possible & (grade <= highest)[..., None])
        if np.all(level >= 0):
            break
    return level[:-1]


def reachable(mdp: FiniteMDP) -> Bool[np.ndarray, " state"]:
    """Return the states that an episode can visit by allowed actions.

    All states are returned if the problem is traced.
    """
    if is_traced((mdp.initial, mdp.successor, mdp.probability, mdp.terminal)):
        return np.ones(mdp.states, bool)
    first, terminal = np.asarray(mdp.initial) > 0, np.asarray(mdp.terminal)
    if np.all(first | terminal):
        return np.ones(mdp.states, bool)
    return visited(graph_of(np.asarray(mdp.successor), possible_branches(mdp)), first)


def visited(graph: sparse.csr_array, first: Bool[np.ndarray, " state"]) -> Bool[np.ndarray, " state"]:
    """Return the states that `graph` reaches from the `first` states, and these.

    Node S must have no outgoing edges; it is used as the source of the search.
    """
    source, starts = len(first), np.flatnonzero(first)
    entries = (np.ones(len(starts), np.int8), (np.full(len(starts), source), starts))
    order = csgraph.breadth_first_order(
        graph + sparse.csr_array(entries, shape=graph.shape), source, return_predecessors=False
    )
    reached = np.zeros(source + 1, bool)
    reached[order] = True
    return reached[:-1]


def possible_branches(mdp: FiniteMDP) -> Branches:
    """Return the branches of positive probability of actions that are not excluded.

    Traced arrays exclude nothing.
    """
    possible = np.asarray(mdp.probability) > 0
    if mdp.prior is not None and not is_traced(mdp.prior):
        possible &= (np.asarray(mdp.prior) > 0)[..., None]
    if not is_traced(mdp.reward):
        possible &= (np.asarray(mdp.reward) > -np.inf)[..., None]
    return possible


def graph_of(successor: Int[np.ndarray, "state action branch"], possible: Branches) -> sparse.csr_array:
    """Return the graph of the `possible` branches; node S is the end of an episode."""
    count = possible.sum((1, 2))
    start = np.concatenate([[0], np.cumsum(count), [int(count.sum())]])
    nodes = len(successor) + 1
    return sparse.csr_array((np.ones(start[-1], np.int8), successor[possible], start), shape=(nodes, nodes))


def _extend_levels(
    level: Int[np.ndarray, " node"], successor: Int[np.ndarray, "state action branch"], possible: Branches
) -> Int[np.ndarray, " node"]:
    """Assign levels to the states that can reach a state that has one."""
    backward = graph_of(successor, possible).T.tocsr()
    # Each frontier holds the predecessors of the last one that have no level yet.
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
