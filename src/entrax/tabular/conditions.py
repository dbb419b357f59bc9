"""When a tabular learner is sure to converge, checked: what theory asks of the steps, the behaviour and the problem.

    1. Σ η = ∞ and Σ η² < ∞ for every (state, action)                       [Robbins and Monro 1951]
    2. every (state, action) is visited infinitely often: the behaviour explores for ever, and episodes keep coming back
       to every state they can reach
    3. the backup is a contraction: discount < 1, or at temperature 0 without discount every policy ends its episodes
    4. rewards are bounded, as in a finite problem they are

Under these Q-learning, soft Q-learning and expected SARSA of a fixed behaviour converge with probability 1 [Jaakkola,
Jordan and Singh 1994]. SARSA's limit is the optimum only if the behaviour turns greedy as well, see `EpsilonGreedy`.
With observations that stand for several states none of this holds.
"""

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from entrax.problems.finite import FiniteMDP
from entrax.tabular.schedules import Behaviour, StepSize
from entrax.tabular.simulator import allowed_actions, make_simulator


def unmet_conditions(mdp: FiniteMDP, step_size: StepSize, behaviour: Behaviour) -> tuple[str, ...]:
    """One sentence for each condition that fails or cannot be shown; empty if convergence is certain."""
    unmet = []
    if not step_size.sum_diverges:
        unmet.append(f"The step sizes sum to a finite number: the power {step_size.power} is above 1.")
    if not step_size.squares_converge:
        unmet.append(f"The squared step sizes sum to infinity: the power {step_size.power} is not above ½.")
    if not behaviour.explores_forever:
        unmet.append("The behaviour gives some allowed actions probability 0.")
    left = _left_behind(mdp)
    if left.size:
        unmet.append(f"Episodes can leave state {left[0]} and never come back to it: let them end, or start there.")
    if not mdp.discount < 1 and _can_go_on(mdp):
        unmet.append("The discount is 1 and some policy never ends its episodes, so that the backup is no contraction.")
    return tuple(unmet)


def _graph(mdp: FiniteMDP) -> tuple[sparse.csr_array, np.ndarray]:
    """Edges between states under all allowed actions, the end as node S; and the states that episodes start in."""
    simulator = make_simulator(mdp)
    possible = (np.asarray(mdp.probability) > 0) & allowed_actions(mdp)[..., None]
    source = np.nonzero(possible)[0]
    target = np.where(np.asarray(simulator.ends), mdp.states, np.asarray(mdp.successor))[possible]
    size = mdp.states + 1
    return sparse.csr_array((np.ones(len(source)), (source, target)), (size, size)), np.flatnonzero(mdp.initial)


def _left_behind(mdp: FiniteMDP) -> np.ndarray:
    """States that can be reached from a start, but not from every state that can be reached."""
    edges, starts = _graph(mdp)
    again = sparse.csr_array((np.ones(len(starts)), (np.full(len(starts), mdp.states), starts)), edges.shape)
    edges = (edges + again).tocsr()
    reached = csgraph.breadth_first_order(edges, mdp.states, return_predecessors=False)
    # The walk of a behaviour that tries everything settles in the classes that have no way out.
    _, component = csgraph.connected_components(edges, directed=True, connection="strong")
    rows, columns = edges.nonzero()
    has_exit = np.zeros(component.max() + 1, bool)
    has_exit[component[rows[component[rows] != component[columns]]]] = True
    closed = np.unique(component[reached][~has_exit[component[reached]]])
    if len(closed) == 1:
        return np.sort(reached[has_exit[component[reached]] & (reached < mdp.states)])
    return np.sort(reached[reached < mdp.states])


def _can_go_on(mdp: FiniteMDP) -> bool:
    """Whether some policy can avoid the end for ever: in some set of states an action keeps all branches inside."""
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
