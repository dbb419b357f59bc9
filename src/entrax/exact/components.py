"""End components of a problem and their gains (optimal average rewards).

An end component is a set of states with one or more actions in each, such that these actions never leave the set and
lead from every state of it to every other. Under any policy, with probability 1 either the episode ends or the states
visited infinitely often form an end component.

References:
    de Alfaro (1997), Formal verification of probabilistic systems, chapter 3.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy import sparse
from scipy.sparse import csgraph

from entrax.errors import UsageError
from entrax.exact.bellman import Scalar, Sweep, backup, rounding
from entrax.problems.finite import FiniteMDP

_ROUNDS = 200  # the most rounds of sweeps to decide the sign of a gain
_MORE_ROUNDS = 5_000  # the most rounds to compute a gain to a tolerance
_SWEEPS = 20  # sweeps in a round


class Components(NamedTuple):
    """The maximal end components of a problem.

    Attributes:
        label: the component of each state, from 0; −1 for states in none.
        kept: which actions stay in the component of their state.
    """

    label: Int[np.ndarray, " state"]
    kept: Bool[np.ndarray, "state action"]

    @property
    def number(self) -> int:
        return int(self.label.max(initial=-1)) + 1


def end_components(mdp: FiniteMDP, allowed: Bool[np.ndarray, "state action"]) -> Components:
    """Return the maximal end components of `mdp` with the `allowed` actions.

    The algorithm repeatedly computes strongly connected components and removes the actions that may leave theirs.
    """
    successor = np.asarray(mdp.successor)
    possible = np.asarray(mdp.probability) > 0
    states = mdp.states
    ends = np.any(possible & (successor == states), axis=2)
    kept = allowed & ~ends & ~np.asarray(mdp.terminal)[:, None]
    inside = np.where(successor < states, successor, 0)  # actions that may end the episode are not kept
    while True:
        edge = possible & kept[..., None]
        start = np.concatenate([[0], np.cumsum(edge.sum((1, 2)))])
        graph = sparse.csr_array((np.ones(start[-1], np.int8), inside[edge], start), shape=(states, states))
        _, label = csgraph.connected_components(graph, directed=True, connection="strong")
        leaves = np.any(edge & (label[inside] != label[:, None, None]), axis=2)
        if not leaves.any():
            break
        kept &= ~leaves
    stays = kept.any(axis=1)
    numbered = np.full(states, -1)
    numbered[stays] = np.unique(label[stays], return_inverse=True)[1]
    return Components(label=numbered, kept=kept)


def closed_classes(mdp: FiniteMDP, taken: Bool[np.ndarray, "state action"]) -> Int[np.ndarray, " state"]:
    """Return the closed class of each state, −1 for transient states.

    Every `taken` action has positive probability.

    Raises:
        UsageError: there are several classes, so that the average reward depends on the initial state, or episodes
            can end.
    """
    successor, states = np.asarray(mdp.successor), mdp.states
    edge = (np.asarray(mdp.probability) > 0) & taken[..., None]
    check_unending(mdp, taken)
    start = np.concatenate([[0], np.cumsum(edge.sum((1, 2)))])
    graph = sparse.csr_array((np.ones(start[-1], np.int8), successor[edge], start), shape=(states, states))
    count, label = csgraph.connected_components(graph, directed=True, connection="strong")
    leaves = np.any(edge & (label[np.where(edge, successor, 0)] != label[:, None, None]), axis=(1, 2))
    is_open = np.zeros(count, bool)
    is_open[label[leaves]] = True
    refuse_several(np.where(is_open[label], -1, label))
    return np.where(is_open[label], -1, label)


def check_unending(mdp: FiniteMDP, taken: Bool[np.ndarray, "state action"]) -> None:
    """Refuse a problem that can end, for which an average reward is not defined."""
    edge = (np.asarray(mdp.probability) > 0) & taken[..., None]
    ends = np.flatnonzero(np.asarray(mdp.terminal) | np.any(edge & (np.asarray(mdp.successor) == mdp.states), (1, 2)))
    if len(ends):
        raise UsageError(
            f"The average reward requires a problem that never ends, but episodes can end in state {ends[0]}."
        )


def refuse_several(label: Int[np.ndarray, " state"]) -> None:
    """Refuse several components: the average reward may depend on the start."""
    sets = np.unique(label[label >= 0])
    if len(sets) > 1:
        one, other = (np.flatnonzero(label == which)[0] for which in sets[:2])
        raise UsageError(
            f"The average reward may depend on the initial state, because a policy can stay for ever near state {one} "
            f"or near state {other}. Use entrax.exact.gains, which returns a gain for each state."
        )


def gain_bounds(
    sweep: Sweep, temperature: Scalar, components: Components, tolerance: float | None = None
) -> tuple[Float[np.ndarray, " component"], Float[np.ndarray, " component"]]:
    """Return certified bounds (lower, upper) on the optimal gain of each component.

    For any h, min(T h − h) ≤ g ≤ max(T h − h) over a component (Odoni 1969), where T is restricted to its actions.
    Damped value iteration narrows these bounds until every sign is decided, or, with a `tolerance`, until both are
    within it of their middle, for at most a fixed number of sweeps.
    """
    label = jnp.asarray(components.label)
    inside = Sweep(
        successor=sweep.successor,
        probability=sweep.probability,
        reward=jnp.where(jnp.asarray(components.kept).T, sweep.reward, -jnp.inf),
        log_prior=sweep.log_prior,
        discount=jnp.asarray(1.0),
    )
    h = jnp.zeros(label.shape[0])
    lower = upper = np.zeros(0)
    for _ in range(_ROUNDS if tolerance is None else _MORE_ROUNDS):
        h, low, high = _narrow(inside, temperature, label, components.number, h)
        lower, upper = np.asarray(low), np.asarray(high)
        if np.all((upper < 0) | (lower > 0) if tolerance is None else upper - lower <= 2 * tolerance):
            break
    return lower, upper


@eqx.filter_jit
def _narrow(
    sweep: Sweep, temperature: Scalar, label: Int[Array, " state"], count: int, h: Float[Array, " state"]
) -> tuple[Array, Array, Array]:
    """Return h after some damped sweeps, and the bounds on the gains from h before."""
    inside = label >= 0

    def change(h: Array) -> Array:
        return jnp.where(inside, backup(sweep, temperature, h) - h, 0.0)

    def step(_: object, h: Array) -> Array:
        rise = change(h)
        top = jax.ops.segment_max(rise, label, count)
        return jnp.where(inside, h + 0.5 * (rise - top[label]), 0.0)

    gap, slack = change(h), rounding(sweep, temperature, h)
    low = -jax.ops.segment_max(slack - gap, label, count)
    high = jax.ops.segment_max(gap + slack, label, count)
    return jax.lax.fori_loop(0, _SWEEPS, step, h), low, high
