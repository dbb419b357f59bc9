"""Conditions for the convergence of tabular learners with probability 1.

    1. Σ η = ∞ and Σ η² < ∞ for every (state, action)
    2. Every (state, action) is visited infinitely often: the behaviour never stops exploring, and episodes return to
       every state that they can reach.
    3. The backup is a contraction: the discount is below 1, or the temperature is 0 and every policy ends its episodes.
    4. Rewards are bounded, which is always true for a finite problem.

Under these conditions Q-learning, soft Q-learning and expected SARSA with a fixed behaviour converge. The limit of
SARSA is the optimum only if the behaviour also becomes greedy, see `EpsilonGreedy`. The conditions do not apply if
several states share an observation.

References:
    Robbins and Monro (1951), A stochastic approximation method, for 1.
    Jaakkola, Jordan and Singh (1994), On the convergence of stochastic iterative dynamic programming algorithms.
"""

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from entrax.problems.finite import FiniteMDP
from entrax.tabular.schedules import Behaviour, StepSize
from entrax.tabular.simulator import allowed_actions, make_simulator


def unmet_conditions(mdp: FiniteMDP, step_size: StepSize, behaviour: Behaviour) -> tuple[str, ...]:
    """Return one sentence for each condition that fails or cannot be shown.

    An empty result means that the learner converges with probability 1.

    Args:
        mdp: the problem.
        step_size: the learner's step sizes.
        behaviour: the learner's behaviour.
    """
    unmet = []
    if not step_size.sum_diverges:
        unmet.append(f"The step sizes must have an infinite sum; the power {step_size.power} is above 1.")
    if not step_size.squares_converge:
        unmet.append(f"The squared step sizes must have a finite sum; the power {step_size.power} is not above ½.")
    if not behaviour.explores_forever:
        unmet.append("The behaviour must give every allowed action a positive probability.")
    transient = _transient_states(mdp)
    if transient.size:
        unmet.append(
            f"Episodes can leave state {transient[0]} and never return to it. Let them end, or start in this state."
        )
    if not mdp.discount < 1 and _can_avoid_the_end(mdp):
        unmet.append("The discount must be below 1, because some policy never ends its episodes.")
    return tuple(unmet)


def _graph(mdp: FiniteMDP) -> tuple[sparse.csr_array, np.ndarray]:
    """Return the graph of allowed transitions (node S: the end) and the start states."""
    simulator = make_simulator(mdp)
    possible = (np.asarray(mdp.probability) > 0) & allowed_actions(mdp)[..., None]
    source = np.nonzero(possible)[0]
    target = np.where(np.asarray(simulator.ends), mdp.states, np.asarray(mdp.successor))[possible]
    size = mdp.states + 1
    return sparse.csr_array((np.ones(len(source)), (source, target)), (size, size)), np.flatnonzero(mdp.initial)


def _transient_states(mdp: FiniteMDP) -> np.ndarray:
    """Return reachable states that some other reachable state cannot reach."""
    edges, starts = _graph(mdp)
    restarts = sparse.csr_array((np.ones(len(starts)), (np.full(len(starts), mdp.states), starts)), edges.shape)
    edges = (edges + restarts).tocsr()
    reached = csgraph.breadth_first_order(edges, mdp.states, return_predecessors=False)
    # An exploring behaviour ends up in the strongly connected components without an exit.
    _, component = csgraph.connected_components(edges, directed=True, connection="strong")
    rows, columns = edges.nonzero()
    has_exit = np.zeros(component.max() + 1, bool)
    has_exit[component[rows[component[rows] != component[columns]]]] = True
    closed = np.unique(component[reached][~has_exit[component[reached]]])
    if len(closed) == 1:
        return np.sort(reached[has_exit[component[reached]] & (reached < mdp.states)])
    return np.sort(reached[reached < mdp.states])


def _can_avoid_the_end(mdp: FiniteMDP) -> bool:
    """Return whether some policy can stay inside a set of states for ever."""
    simulator = make_simulator(mdp)
    possible = np.asarray(mdp.probability) > 0
    target = np.where(np.asarray(simulator.ends), mdp.states, np.asarray(mdp.successor))
    inside = np.append(~np.asarray(mdp.terminal), False)
    while True:
        stays = allowed_actions(mdp) & np.all(inside[target] | ~possible, axis=-1)
        kept = np.append(inside[:-1] & stays.any(axis=1), False)
        if np.array_equal(kept, inside):
            return bool(inside.any())
        inside = kept
