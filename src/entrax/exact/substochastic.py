"""Linear systems (I − M) x = b with a sparse M ≥ 0 of spectral radius below 1.

Elimination without pivoting does not cancel in such systems (they are M-matrices), so every component of the solution
has a small relative error. Its memory depends on the graph: it is used if the bandwidth shows that the graph is narrow
or like a map. Other graphs, in which information spreads in few steps, are solved by BiCGSTAB, preconditioned by the
triangle of the matrix in an order of the states in which control mostly moves forward.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse import csgraph, linalg

Vector = Float[np.ndarray, " state"]

_SMALL = 500  # states for which any fill is cheap
_MAP = 4.0  # a map of n cells has a bandwidth of about √n
_DIGITS = 1e-10  # of an iterative solve, relative to the largest entry of the right-hand side
_MAX_PRODUCTS = 2000
_ON_THE_DIAGONAL: Any = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True, "Equil": False}}


Solver = Callable[[Vector], Vector]
"""Solves (I − M) x = b for one M, given b."""


def eliminates_cheaply(matrix: Any) -> bool:
    """Return whether elimination in a graph like this one takes little memory."""
    states = matrix.shape[0]
    if states <= _SMALL:
        return True
    order = csgraph.reverse_cuthill_mckee(sparse.csr_array(matrix), symmetric_mode=False)
    place = np.empty(states, np.int64)
    place[order] = np.arange(states)
    row = np.repeat(place, np.diff(matrix.indptr))
    bandwidth = int(np.max(np.abs(row - place[matrix.indices]), initial=0))
    return bool(bandwidth <= _MAP * np.sqrt(states))


def by_elimination(matrix: Any) -> Solver:
    """Return a solver by sparse elimination on the diagonal; its results are NaN if I − M is singular to rounding."""
    system = sparse.csc_array(sparse.eye_array(matrix.shape[0]) - matrix)
    try:
        factors = linalg.splu(system, permc_spec="MMD_AT_PLUS_A", **_ON_THE_DIAGONAL)
    except RuntimeError:
        return lambda b: np.full_like(b, np.nan)
    return factors.solve


def by_iteration(matrix: Any, ahead: Vector) -> Solver:
    """Return an iterative solver; control moves towards states of smaller `ahead`."""
    order = np.argsort(ahead, kind="stable")
    system = sparse.csr_array(sparse.eye_array(matrix.shape[0], format="csr") - matrix)[order][:, order]
    try:
        triangle = linalg.splu(sparse.csc_array(sparse.tril(system)), permc_spec="NATURAL", **_ON_THE_DIAGONAL)
    except RuntimeError:
        return lambda b: np.full_like(b, np.nan)
    preconditioner = linalg.LinearOperator(system.shape, triangle.solve)

    def solve(b: Vector) -> Vector:
        size = float(np.max(np.abs(b), initial=0.0))
        if size == 0.0:
            return np.zeros_like(b)
        with np.errstate(all="ignore"):  # it may diverge; the error of every result is certified
            x, _ = linalg.bicgstab(
                system, b[order] / size, rtol=0.0, atol=_DIGITS, maxiter=_MAX_PRODUCTS, M=preconditioner
            )
        result = np.empty_like(b)
        result[order] = x * size
        return result

    return solve
