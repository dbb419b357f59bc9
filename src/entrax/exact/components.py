"""Where one can stay for ever, and what one earns there per step: end components and their gains.

An end component is a set of states, with an action or more in each, that those actions never leave and within which
they lead from every state to every other. Whatever one does, almost surely one ends up inside one or the episode ends.

Source: de Alfaro (1997), Formal verification of probabilistic systems, chapter 3.
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

_ROUNDS = 200  # of sweeps each, before a gain is left undecided
_MORE_ROUNDS = 5_000  # where its size is asked for, and not its sign only
_SWEEPS = 20


class Components(NamedTuple):
    """The maximal end components: `label[s]` from 0, −1 for states in none; `kept[s, a]`: the actions that stay."""

    label: Int[np.ndarray, " state"]
    kept: Bool[np.ndarray, "state action"]

    @property
    def number(self) -> int:
        return int(self.label.max(initial=-1)) + 1


def end_components(mdp: FiniteMDP, allowed: Bool[np.ndarray, "state action"]) -> Components:
    """The maximal end components of `mdp` with the `allowed` actions only.

    Rounds of strongly connected components: actions that may leave theirs are dropped, until none does.
    """
    successor = np.asarray(mdp.successor)
    possible = np.asarray(mdp.probability) > 0
    states = mdp.states
    ends = np.any(possible & (successor == states), axis=2)
    kept = allowed & ~ends & ~np.asarray(mdp.terminal)[:, None]
    inside = np.where(successor < states, successor, 0)  # what may end the episode is not kept
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
    """The closed class of each state, −1 for transient ones, when every `taken` action has positive probability.

    Raises `EntraxError` unless there is one class and no way to end: the average reward depends on the start otherwise.
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
    """Refuse a problem that can end, for which an average reward per step means nothing."""
    edge = (np.asarray(mdp.probability) > 0) & taken[..., None]
    ends = np.flatnonzero(np.asarray(mdp.terminal) | np.any(edge & (np.asarray(mdp.successor) == mdp.states), (1, 2)))
    if len(ends):
        raise UsageError(f"an average reward needs a problem that never ends, and episodes can end in state {ends[0]}.")


def refuse_several(label: Int[np.ndarray, " state"]) -> None:
    """Refuse more than one set of states in which one can be for ever."""
    sets = np.unique(label[label >= 0])
    if len(sets) > 1:
        one, other = (np.flatnonzero(label == which)[0] for which in sets[:2])
        raise UsageError(
            f"the average reward may depend on where one starts: one can stay for ever around state {one} and around "
            f"state {other} without getting from the one to the other. `exact.gains.gains` has one for each state."
        )


def gain_bounds(
    sweep: Sweep, temperature: Scalar, components: Components, tolerance: float | None = None
) -> tuple[Float[np.ndarray, " component"], Float[np.ndarray, " component"]]:
    """Certified bounds (lower, upper) on the largest soft average reward of staying in each component for ever.

    For any h, min(T h − h) ≤ g ≤ max(T h − h) over a component (Odoni 1969), T being restricted to it. Damped value
    iteration narrows them until every sign is decided (with a `tolerance`, until they are within it of their middle) or
    it has gone on long enough.
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
    """Bounds on the gains by h, and h some damped sweeps later, about 0 in each component."""
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
