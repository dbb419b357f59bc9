"""Whether the value of an undiscounted problem is finite, decided before anything is solved.

Every state must be able to reach the end, or a set in which nothing is ever earned. Then the value can be infinite
only by staying somewhere for ever or for ever longer: in an end component (see `components`), where the best soft
average reward g counts the entropy, or the divergence from the prior, of choosing among the actions that stay.

- g < 0 in every component: finite. Staying costs without bound, so every policy worth considering ends.
- g > 0 in one: infinite.
- g = 0 at temperature 0: staying for ever is worth 0, where it earns nothing on the way. `without_idling` then gives
  a problem with the same values in which one cannot idle.
- g = 0 at a temperature > 0: infinite, since leaving with probability p a step earns entropy of order log 1/p as
  p → 0; except in `quiet` states, which have no other choice and are worth 0. A g that rounding cannot tell from 0 is
  refused too.

Source of the hard case: Bertsekas and Tsitsiklis (1991), An analysis of stochastic shortest path problems; of the
collapse of components: Haddad and Monmege (2014), Reachability in MDPs: refining convergence of value iteration.
"""

from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from entrax.exact.bellman import Sweep, make_sweep
from entrax.exact.components import Components, end_components, gain_bounds
from entrax.exact.distance import graph_of, possible_branches, reachable, visited
from entrax.problems.finite import FiniteMDP
from entrax.problems.graph import cannot_terminate


class Verdict(NamedTuple):
    """Where one idles for free, if anywhere, and why the problem is refused, if it is."""

    idle: Components | None
    complaint: str | None


class Reduced(NamedTuple):
    """A problem with `quiet` states, of value 0, made terminal, and `dropped` ones, which have no value."""

    mdp: FiniteMDP
    quiet: Bool[np.ndarray, " state"]
    dropped: Bool[np.ndarray, " state"]
    verdict: Verdict


def reduced(mdp: FiniteMDP, kl: bool, temperature: float) -> Reduced:
    """The problem as it can be solved without a discount, or the verdict that it cannot.

    States that no episode visits are dropped where the problem is not shown to be finite with them.
    """
    nowhere = np.zeros(mdp.states, bool)
    verdict = _examine(mdp, make_sweep(mdp, kl), temperature)
    if verdict.complaint is None:
        return Reduced(mdp, nowhere, nowhere, verdict)
    quiet = nowhere if temperature == 0 else _quiet(mdp, kl)
    smaller, dropped = mdp, nowhere
    for dropped in (nowhere, ~(reachable(mdp) | quiet)):
        smaller = ended_at(mdp, quiet | dropped)
        verdict = _examine(smaller, make_sweep(smaller, kl), temperature)
        if verdict.complaint is None:
            break
    return Reduced(smaller, quiet, dropped, verdict)


def ended_at(mdp: FiniteMDP, ends: Bool[np.ndarray, " state"]) -> FiniteMDP:
    """`mdp` with the `ends` as terminal states."""
    if not ends.any():
        return mdp
    live = ~ends[:, None, None]
    return replace(
        mdp,
        successor=np.where(live, mdp.successor, mdp.states),
        probability=np.where(live, mdp.probability, 0.0),
        reward=np.where(ends[:, None], 0.0, mdp.reward),
        outcome_reward=None,
        terminal=np.asarray(mdp.terminal) | ends,
        mask=None if mdp.mask is None else np.asarray(mdp.mask) | ends[:, None],
    )


def _quiet(mdp: FiniteMDP, kl: bool) -> Bool[np.ndarray, " state"]:
    """The states from which nothing can be earned, whatever one does: no reward, and no entropy or divergence."""
    possible = possible_branches(mdp)
    offered = np.asarray(mdp.probability).any(axis=2)
    if mdp.prior is not None:
        offered &= np.asarray(mdp.prior) > 0
    allowed = possible.any(axis=2)
    earns = np.any(allowed & (np.asarray(mdp.reward) != 0), axis=1)
    earns |= np.any(offered & ~allowed, axis=1) if kl else allowed.sum(axis=1) > 1
    inner = possible & (np.asarray(mdp.successor) < mdp.states)
    return ~visited(graph_of(np.asarray(mdp.successor), inner).T.tocsr(), earns)


def _examine(mdp: FiniteMDP, sweep: Sweep, temperature: float) -> Verdict:
    allowed = np.asarray(jnp.isfinite(sweep.reward)).T
    components = end_components(mdp, allowed)
    complaint = None
    if components.number:
        lower, upper = gain_bounds(sweep, jnp.asarray(temperature), components)
        refused = ~(upper < 0)
        if temperature == 0:
            refused &= _earns(mdp, components)
        if np.any(refused):
            complaint = _infinite(components, lower, int(np.flatnonzero(refused)[0]), temperature)
        elif temperature == 0:
            idle = end_components(mdp, components.kept & (np.asarray(mdp.reward) == 0))
            if idle.number:
                return Verdict(idle, None)  # what cannot end is found in the problem without idling
    stuck = cannot_terminate(mdp, allowed.astype(float))
    if len(stuck):
        complaint = (
            f"without a discount the value is not defined: state {stuck[0]} cannot reach the end of an episode "
            f"({len(stuck)} such states). Give a discount below 1, or a horizon."
        )
    return Verdict(None, complaint)


def _earns(mdp: FiniteMDP, components: Components) -> Bool[np.ndarray, " component"]:
    """Whether some reward in a component is positive."""
    reward, inside = np.where(components.kept, np.asarray(mdp.reward), 0.0).max(axis=1), components.label >= 0
    earns = np.zeros(components.number, bool)
    np.logical_or.at(earns, components.label[inside], reward[inside] > 0)
    return earns


def _infinite(components: Components, lower: np.ndarray, which: int, temperature: float) -> str:
    members = np.flatnonzero(components.label == which)
    verdict = "is infinite" if lower[which] > 0 else "is infinite, or rounding cannot tell it from that"
    soft = temperature > 0
    return (
        f"without a discount the value of state {members[0]} {verdict}: one can stay for ever in {len(members)} "
        f"state(s) at no loss of {'reward and entropy together' if soft else 'reward'}. Give a discount below 1, a "
        f"horizon{', a lower temperature' if soft else ''}{', or the kl convention' if soft else ''}."
    )


def steer(
    idle: Components, q: Float[np.ndarray, "state action"], policy: Float[np.ndarray, "state action"]
) -> Float[np.ndarray, "state action"]:
    """`policy` where one cannot idle; in idle components one that gets to the best way out, from anywhere in them.

    There all the ways of staying tie with leaving, and a policy that only stays would earn nothing. States with the
    best leaving action take it; the others choose evenly among what stays, which leads everywhere in the component.
    """
    inside = idle.label >= 0
    leaving = np.where(idle.kept | ~inside[:, None], -np.inf, q)
    best = np.full(idle.number, -np.inf)
    np.maximum.at(best, idle.label[inside], leaving[inside].max(axis=1))
    worth = np.where(inside & (best[idle.label] > -np.inf), best[idle.label], -1.0)[:, None]
    chosen = (leaving >= np.where(worth >= 0, worth - 1e-12 * worth, np.inf)) & np.isfinite(leaving)
    taken = np.where(chosen.any(axis=1, keepdims=True), chosen, idle.kept)
    return np.where(inside[:, None], taken / np.maximum(taken.sum(axis=1, keepdims=True), 1), policy)


def without_idling(mdp: FiniteMDP, idle: Components) -> tuple[FiniteMDP, Int[np.ndarray, " state"]]:
    """A problem in which an idle component is left, or the episode ends, at once; and where each state is in it.

    Inside a component one can get from anywhere to anywhere for free: all its states are worth the best of their
    actions that leave, or 0 for staying for ever. Each component gets a root, from which a binary tree of free choices
    leads to its states with actions that leave, their other actions taken away, and to a terminal state.
    """
    states, actions = np.asarray(mdp.reward).shape
    allowed = np.ones((states, actions), bool) if mdp.mask is None else np.asarray(mdp.mask).copy()
    if mdp.prior is not None:
        allowed &= np.asarray(mdp.prior) > 0
    allowed &= ~idle.kept & (np.asarray(mdp.reward) > -np.inf)
    place = np.arange(states)
    children, terminal = [], []
    total = states
    order = np.argsort(idle.label, kind="stable")
    bounds = np.searchsorted(idle.label[order], np.arange(idle.number + 1))
    for which in range(idle.number):
        members = order[bounds[which] : bounds[which + 1]]
        leaving = members[allowed[members].any(axis=1)]
        inner = len(leaving)  # one leaf more than inner nodes: the terminal state, which comes last
        node = np.concatenate([total + np.arange(inner), leaving, [total + inner]])
        children.append(np.stack([node[1::2][:inner], node[2::2][:inner]], axis=1))
        terminal.append(np.arange(inner + 1) == inner)
        place[members] = total
        total += inner + 1
    return _rebuilt(mdp, allowed, place, np.concatenate(children), np.concatenate(terminal)), place


def _rebuilt(
    mdp: FiniteMDP,
    allowed: Bool[np.ndarray, "state action"],
    place: Int[np.ndarray, " state"],
    children: Int[np.ndarray, "node two"],
    ending: Bool[np.ndarray, " extra"],
) -> FiniteMDP:
    states, actions, branches = np.asarray(mdp.successor).shape
    extra = len(ending)
    total = states + extra
    successor = np.full((total, actions, branches), total, np.int32)
    probability = np.zeros((total, actions, branches))
    reward = np.zeros((total, actions))
    mask = np.zeros((total, actions), bool)
    moved = np.append(place, total)[np.asarray(mdp.successor)]
    successor[:states] = np.where(allowed[..., None], moved, total)
    probability[:states] = np.where(allowed[..., None], mdp.probability, 0.0)
    reward[:states] = np.where(allowed, mdp.reward, 0.0)
    mask[:states] = allowed
    nodes = states + np.flatnonzero(~ending)
    successor[nodes, :2, 0] = children
    probability[nodes, :2, 0] = 1.0
    mask[nodes, :2] = True
    terminal = np.concatenate([np.asarray(mdp.terminal) | ~allowed.any(axis=1), ending])
    return FiniteMDP(
        successor=successor,
        probability=probability,
        reward=reward,
        initial=np.bincount(place, np.asarray(mdp.initial), total),
        terminal=terminal,
        mask=mask | terminal[:, None],
        discount=1.0,
    )
