"""Decide before solving whether the value of an undiscounted problem is finite.

Every state must be able to reach the end, or a set of states without any reward. Then the value can be infinite only
because policies stay in an end component (see `components`) for ever or arbitrarily long. Let g be the optimal soft
average reward of staying in a component, including the entropy, or the divergence from the prior, of its actions.

- g < 0 in every component: the value is finite. Staying has unbounded cost, so near-optimal policies end.
- g > 0 in one component: the value is infinite.
- g = 0 at temperature 0: staying for ever with rewards of 0 is worth 0. `collapse_components` builds a problem with
  the same values and without such components.
- g = 0 at a temperature > 0: the value is infinite, because leaving with probability p per step earns entropy of order
  log 1/p as p → 0. The exception are `zero_value` states, which have no choice and no reward and are worth 0. The
  problem is also refused if rounding cannot distinguish g from 0.

References:
    Bertsekas and Tsitsiklis (1991), An analysis of stochastic shortest path problems, for temperature 0.
    Haddad and Monmege (2014), Reachability in MDPs: refining convergence of value iteration, for collapsing components.
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
    """Whether an undiscounted value is finite.

    Attributes:
        zero_gain_components: the components in which staying for ever is worth 0, if any, at temperature 0.
        refusal: the message that refuses the problem; None if its value is finite.
    """

    zero_gain_components: Components | None
    refusal: str | None


class ReducedProblem(NamedTuple):
    """An undiscounted problem in which some states were made terminal.

    Attributes:
        mdp: the problem.
        zero_value: states that were made terminal because their value is 0.
        undefined: states that were made terminal because no episode visits them and their value may not be defined.
        verdict: whether the value of `mdp` is finite.
    """

    mdp: FiniteMDP
    zero_value: Bool[np.ndarray, " state"]
    undefined: Bool[np.ndarray, " state"]
    verdict: Verdict


def reduce_undiscounted(mdp: FiniteMDP, kl: bool, temperature: float) -> ReducedProblem:
    """Reduce a problem to one with a finite undiscounted value, if possible.

    States that no episode visits are made terminal only if the problem is not shown to be finite otherwise.
    """
    none = np.zeros(mdp.states, bool)
    verdict = _examine(mdp, make_sweep(mdp, kl), temperature)
    if verdict.refusal is None:
        return ReducedProblem(mdp=mdp, zero_value=none, undefined=none, verdict=verdict)
    zero_value = none if temperature == 0 else _zero_value_states(mdp, kl)
    smaller, undefined = mdp, none
    for undefined in (none, ~(reachable(mdp) | zero_value)):
        smaller = with_terminal(mdp, zero_value | undefined)
        verdict = _examine(smaller, make_sweep(smaller, kl), temperature)
        if verdict.refusal is None:
            break
    return ReducedProblem(mdp=smaller, zero_value=zero_value, undefined=undefined, verdict=verdict)


def with_terminal(mdp: FiniteMDP, ends: Bool[np.ndarray, " state"]) -> FiniteMDP:
    """Return `mdp` with the states `ends` made terminal."""
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


def _zero_value_states(mdp: FiniteMDP, kl: bool) -> Bool[np.ndarray, " state"]:
    """Return the states from which no policy has any reward, entropy or divergence."""
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
    refusal = None
    if components.number:
        lower, upper = gain_bounds(sweep, jnp.asarray(temperature), components)
        refused = ~(upper < 0)
        if temperature == 0:
            refused &= _has_positive_reward(mdp, components)
        if np.any(refused):
            refusal = _infinite(components, lower, int(np.flatnonzero(refused)[0]), temperature)
        elif temperature == 0:
            zero_gain = end_components(mdp, components.kept & (np.asarray(mdp.reward) == 0))
            if zero_gain.number:  # states that cannot end are found in the collapsed problem
                return Verdict(zero_gain_components=zero_gain, refusal=None)
    stuck = cannot_terminate(mdp, allowed.astype(float))
    if len(stuck):
        refusal = (
            f"Without a discount the value is not defined, because state {stuck[0]} cannot reach the end of an episode "
            f"({len(stuck)} such states). Set `discount` below 1, or set `horizon`."
        )
    return Verdict(zero_gain_components=None, refusal=refusal)


def _has_positive_reward(mdp: FiniteMDP, components: Components) -> Bool[np.ndarray, " component"]:
    """Return whether some action that stays in a component has a positive reward."""
    reward, inside = np.where(components.kept, np.asarray(mdp.reward), 0.0).max(axis=1), components.label >= 0
    earns = np.zeros(components.number, bool)
    np.logical_or.at(earns, components.label[inside], reward[inside] > 0)
    return earns


def _infinite(components: Components, lower: np.ndarray, which: int, temperature: float) -> str:
    members = np.flatnonzero(components.label == which)
    verdict = "is infinite" if lower[which] > 0 else "may be infinite (rounding hides the sign of a gain)"
    soft = temperature > 0
    return (
        f"Without a discount the value of state {members[0]} {verdict}: a policy can stay for ever in {len(members)} "
        f"state(s) without a loss of {'reward and entropy' if soft else 'reward'}. Set `discount` below 1"
        f"{', set `horizon`, lower `temperature`, or use the kl `convention`' if soft else ', or set `horizon`'}."
    )


def escape_policy(
    zero_gain: Components, q: Float[np.ndarray, "state action"], policy: Float[np.ndarray, "state action"]
) -> Float[np.ndarray, "state action"]:
    """Replace `policy` in zero-gain components by one that reaches their best exit.

    In such a component all actions that stay tie with leaving, and a policy that only stays would earn nothing. States
    with a best leaving action take it. Other states choose uniformly among the actions that stay, which reach every
    state of the component. If leaving is worth less than 0, all states stay.
    """
    inside = zero_gain.label >= 0
    leaving = np.where(zero_gain.kept | ~inside[:, None], -np.inf, q)
    best = np.full(zero_gain.number, -np.inf)
    np.maximum.at(best, zero_gain.label[inside], leaving[inside].max(axis=1))
    exit_value = np.where(inside & (best[zero_gain.label] > -np.inf), best[zero_gain.label], -1.0)[:, None]
    chosen = (leaving >= np.where(exit_value >= 0, exit_value - 1e-12 * exit_value, np.inf)) & np.isfinite(leaving)
    taken = np.where(chosen.any(axis=1, keepdims=True), chosen, zero_gain.kept)
    return np.where(inside[:, None], taken / np.maximum(taken.sum(axis=1, keepdims=True), 1), policy)


def collapse_components(mdp: FiniteMDP, zero_gain: Components) -> tuple[FiniteMDP, Int[np.ndarray, " state"]]:
    """Build a problem without zero-gain components, and map states to it.

    All states of such a component reach each other with reward 0, so they have the same value: the best of their
    actions that leave, or 0 for staying for ever. Each component is replaced by the root of a binary tree of free
    choices, whose leaves are its states with the actions that leave only, and a terminal state.
    """
    states, actions = np.asarray(mdp.reward).shape
    allowed = np.ones((states, actions), bool) if mdp.mask is None else np.asarray(mdp.mask).copy()
    if mdp.prior is not None:
        allowed &= np.asarray(mdp.prior) > 0
    allowed &= ~zero_gain.kept & (np.asarray(mdp.reward) > -np.inf)
    place = np.arange(states)
    children, terminal = [], []
    total = states
    order = np.argsort(zero_gain.label, kind="stable")
    bounds = np.searchsorted(zero_gain.label[order], np.arange(zero_gain.number + 1))
    for which in range(zero_gain.number):
        members = order[bounds[which] : bounds[which + 1]]
        leaving = members[allowed[members].any(axis=1)]
        inner = len(leaving)  # the leaves are one more: the last one is the terminal state
        node = np.concatenate([total + np.arange(inner), leaving, [total + inner]])
        children.append(np.stack([node[1::2][:inner], node[2::2][:inner]], axis=1))
        terminal.append(np.arange(inner + 1) == inner)
        place[members] = total
        total += inner + 1
    return _with_trees(mdp, allowed, place, np.concatenate(children), np.concatenate(terminal)), place


def _with_trees(
    mdp: FiniteMDP,
    allowed: Bool[np.ndarray, "state action"],
    place: Int[np.ndarray, " state"],
    children: Int[np.ndarray, "node two"],
    ending: Bool[np.ndarray, " extra"],
) -> FiniteMDP:
    """Add nodes of trees after the states of `mdp`; `children` are of inner nodes."""
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
