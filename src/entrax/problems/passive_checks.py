"""Conversion and checks of linearly solvable problems; every error names the state."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse import csgraph

from entrax.errors import UsageError, require_one_of
from entrax.problems.assemble import flags
from entrax.problems.checks import check_discount, check_horizon, first

Number = float | int
KINDS = ("first-exit", "finite-horizon", "average", "discounted")
_TOLERANCE = 1e-8  # the largest |sum − 1| of a row


class Fields(NamedTuple):
    """The fields of a `LinearlySolvable`, converted."""

    passive: Any
    cost: Float[np.ndarray, "*time state"]
    exits: Bool[np.ndarray, " state"]
    kind: str
    discount: float
    horizon: int | None
    final_cost: Float[np.ndarray, " state"] | None

    @property
    def forbidden(self) -> Bool[np.ndarray, " state"]:
        """The states of infinite cost at all times."""
        return np.all(np.isposinf(np.atleast_2d(self.cost)), axis=0)


def convert(
    passive: Any,
    cost: ArrayLike | Number,
    exits: Any,
    kind: str,
    discount: Any,
    horizon: int | None,
    final_cost: ArrayLike | None,
) -> Fields:
    """Convert the arguments to arrays of the right shapes.

    Rows of exits and forbidden states are removed from the passive dynamics.

    Raises:
        UsageError: an argument has the wrong type or shape, or does not belong to the kind.
    """
    require_one_of("kind", kind, KINDS)
    matrix = _matrix(passive)
    states = matrix.shape[0]
    ended = flags(exits, states, "exits")
    costs = _costs(cost, states, kind)
    decisions = _horizon(kind, horizon, costs)
    check_discount(discount)
    if kind in ("first-exit", "average") and discount != 1:
        raise UsageError(f"`discount` must be 1 for the kind {kind}, got {discount}. Use the kind discounted.")
    if not discount > 0 or (kind == "discounted" and not discount < 1):
        raise UsageError(f"`discount` must be above 0, and below 1 for the kind discounted, got {discount}.")
    fields = Fields(
        passive=matrix,
        cost=costs,
        exits=ended,
        kind=str(kind),
        discount=float(discount),
        horizon=decisions,
        final_cost=_final_cost(final_cost, costs, ended, kind),
    )
    kept = sparse.diags_array((~(ended | fields.forbidden)).astype(float))
    rows = sparse.csr_array(kept @ matrix)
    rows.eliminate_zeros()
    rows.sort_indices()
    return fields._replace(passive=rows)


def check_problem(fields: Fields) -> None:
    """Check the numbers of a problem.

    Raises:
        UsageError: the problem is not valid.
    """
    _check_costs(fields)
    _check_rows(fields)
    live = ~(fields.exits | fields.forbidden)
    if not live.any():
        raise UsageError("The problem needs a state that is neither an exit nor forbidden by a cost of inf.")
    if fields.kind == "average" and fields.exits.any():
        raise UsageError(f"The average cost requires a problem without `exits`, got state {np.argmax(fields.exits)}.")
    if fields.kind == "first-exit":
        _check_exits(fields, live)
    elif fields.cost.ndim == 1 and fields.kind != "finite-horizon":
        _check_successors(fields, live)
    if fields.kind == "average":
        _check_one_set(fields, live)


def _matrix(passive: Any) -> Any:
    """Return a CSR array of 64-bit floats, after checks of its shape and entries."""
    matrix = sparse.csr_array(passive, dtype=float) if sparse.issparse(passive) else None
    if matrix is None:
        given = np.asarray(passive, float)
        if given.ndim != 2:
            raise UsageError(f"`passive` must have shape (states, states), got {given.shape}.")
        matrix = sparse.csr_array(given)
    if matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 1:
        raise UsageError(f"`passive` must have shape (states, states), got {matrix.shape}.")
    matrix.sum_duplicates()
    return matrix


def _costs(cost: ArrayLike | Number, states: int, kind: str) -> Float[np.ndarray, "*time state"]:
    given = np.asarray(cost, float)
    if given.ndim == 0:
        given = np.full(states, float(given))
    if given.shape[-1] != states or given.ndim > 2 or 0 in given.shape:
        raise UsageError(f"`cost` must have shape ({states},), one entry for each state, got {given.shape}.")
    if given.ndim == 2 and kind != "finite-horizon":
        raise UsageError(f"`cost` may change with time for the kind finite-horizon only, got shape {given.shape}.")
    return given.copy()


def _horizon(kind: str, horizon: Any, cost: np.ndarray) -> int | None:
    check_horizon(horizon)
    if kind != "finite-horizon":
        if horizon is not None:
            raise UsageError(f"`horizon` belongs to the kind finite-horizon, got {horizon} for the kind {kind}.")
        return None
    if cost.ndim == 2 and horizon not in (None, len(cost)):
        raise UsageError(f"`cost` and `horizon` must have the same number of steps, got {len(cost)} and {horizon}.")
    if cost.ndim == 1 and horizon is None:
        raise UsageError("The kind finite-horizon requires `horizon`, the number of steps.")
    return len(cost) if cost.ndim == 2 else int(horizon)


def _final_cost(
    given: ArrayLike | None, cost: np.ndarray, exits: np.ndarray, kind: str
) -> Float[np.ndarray, " state"] | None:
    if kind != "finite-horizon":
        if given is not None:
            raise UsageError("`final_cost` belongs to the kind finite-horizon; put the costs of exits in `cost`.")
        return None
    if given is None:
        return np.where(exits, np.atleast_2d(cost)[-1], 0.0)
    final = np.asarray(given, float)
    if final.shape != exits.shape:
        raise UsageError(f"`final_cost` must have shape {exits.shape}, one entry for each state, got {final.shape}.")
    return final.copy()


def _check_costs(fields: Fields) -> None:
    for name, cost in (("cost", fields.cost), ("final_cost", fields.final_cost)):
        if cost is not None and (bad := first(~(cost > -np.inf))) is not None:
            raise UsageError(
                f"`{name}` of state {bad[-1]} must be a number above -inf, or inf to forbid the state; got {cost[bad]}."
            )


def _check_rows(fields: Fields) -> None:
    matrix = fields.passive
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    if (bad := first(~(matrix.data >= 0))) is not None:
        raise UsageError(
            f"`passive` must hold probabilities of at least 0; that from state {row[bad]} to state "
            f"{matrix.indices[bad]} is {matrix.data[bad]}."
        )
    total = matrix.sum(axis=1)
    live = ~(fields.exits | fields.forbidden)
    if (bad := first(live & ~(np.abs(total - 1) <= _TOLERANCE))) is not None:
        raise UsageError(f"The row of state {bad[0]} in `passive` must sum to 1, got {total[bad]:.10g}.")


def _check_exits(fields: Fields, live: Bool[np.ndarray, " state"]) -> None:
    """Check that every live state can reach an exit of finite cost."""
    open_exits = np.flatnonzero(fields.exits & ~fields.forbidden)
    if not len(open_exits):
        raise UsageError(
            "The kind first-exit requires an exit of finite cost. Name it in `exits`, or use another kind."
        )
    states = len(live)
    # One more node, which leads to all open exits, so that one search finds every state that reaches one.
    backward = sparse.csr_array(fields.passive.T)  # rows of forbidden states are empty, so no path passes one
    source = sparse.csr_array((np.ones(len(open_exits)), (np.zeros(len(open_exits), int), open_exits)), (1, states))
    graph = sparse.block_array([[backward, None], [source, sparse.csr_array((1, 1))]], format="csr")
    reached = np.zeros(states + 1, bool)
    reached[csgraph.breadth_first_order(graph, states, return_predecessors=False)] = True
    stuck = np.flatnonzero(live & ~reached[:-1])
    if len(stuck):
        raise UsageError(
            f"State {stuck[0]} cannot reach an exit of finite cost under the passive dynamics ({len(stuck)} such "
            "states). Add a path, or forbid the state by a cost of inf."
        )


def _check_successors(fields: Fields, live: Bool[np.ndarray, " state"]) -> None:
    """Check that every live state has a successor that is not forbidden."""
    allowed = fields.passive @ (~fields.forbidden).astype(float)
    if (bad := first(live & ~(allowed > 0))) is not None:
        raise UsageError(f"All successors of state {bad[0]} are forbidden. Forbid the state too, by a cost of inf.")


def _check_one_set(fields: Fields, live: Bool[np.ndarray, " state"]) -> None:
    """Check that the controller can stay for ever in one set of connected states only."""
    states = np.flatnonzero(live)
    inner = fields.passive[states][:, states]
    _, label = csgraph.connected_components(inner, directed=True, connection="strong")
    row = np.repeat(np.arange(len(states)), np.diff(inner.indptr))
    unending = np.unique(label[row[label[row] == label[inner.indices]]])
    if len(unending) > 1:
        one, other = (states[np.argmax(label == which)] for which in unending[:2])
        raise UsageError(
            f"The average cost may depend on the initial state, because a controller can stay for ever near state "
            f"{one} or near state {other}. Connect them in both directions, or forbid one set by costs of inf."
        )
