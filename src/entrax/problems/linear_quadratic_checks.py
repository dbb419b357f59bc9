"""Checks of a linear-quadratic problem; every error names the entry and, if it changes, the decision."""

from typing import Any, NamedTuple

import jax
import numpy as np

from entrax.errors import UsageError
from entrax.problems.checks import check_discount, check_horizon

Entry = Any
"""An array, nested lists of numbers, or a number."""

_DIGITS = 1e-9  # the largest relative asymmetry or negative eigenvalue that counts as rounding

SHAPES = {
    "A": "nn",
    "B": "nm",
    "Q": "nn",
    "R": "mm",
    "N": "nm",
    "W": "nn",
    "q": "n",
    "r": "m",
    "constant": "",
    "drift": "n",
    "C": "pn",
    "V": "pp",
    "prior.gain": "mn",
    "prior.offset": "m",
    "prior.covariance": "mm",
}
"""The axes of each array that may have a leading axis of time: n states, m actions, p observations."""
FIXED_SHAPES = {
    "final_Q": "nn",
    "final_q": "n",
    "final_constant": "",
    "initial_mean": "n",
    "initial_covariance": "nn",
}
_SEMIDEFINITE = ("W", "final_Q", "initial_covariance")
_DEFINITE = ("V", "prior.covariance")


class _Worst(NamedTuple):
    """The smallest eigenvalue of a stack of matrices, its index, and the rounding to allow."""

    eigenvalue: float
    place: tuple[int, ...]
    rounding: float


def numbers(given: Entry) -> np.ndarray:
    """Convert to float64.

    Raises:
        UsageError: these are not numbers of one regular shape.
    """
    try:
        return np.asarray(given, float)
    except (TypeError, ValueError):
        raise UsageError("Entries of a linear-quadratic problem must be arrays of real numbers.") from None


def sizes(a: Any, b: Any) -> tuple[int, int]:
    """Return n and m from A and B."""
    for name, array in (("A", a), ("B", b)):
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise UsageError(f"`{name}` must be a matrix, or one for each decision, got shape {array.shape}.")
    return a.shape[-1], b.shape[-1]


def get(problem: Any, name: str) -> Any:
    """Return an array by its name in `SHAPES`; None if the problem lacks it."""
    owner: Any = problem
    for part in name.split("."):
        owner = None if owner is None else getattr(owner, part)
    return owner


def over_time(problem: Any, name: str) -> Any:
    """Return an entry, with time as the first axis of each array, if it changes with time."""
    names = [each for each in SHAPES if each.split(".")[0] == name]
    arrays = [get(problem, each) for each in names]
    varies = [array is not None and array.ndim > len(SHAPES[each]) for each, array in zip(names, arrays, strict=True)]
    if not any(varies):
        return None
    if name != "prior":
        return arrays[0]
    time = next(len(array) for array, varied in zip(arrays, varies, strict=True) if varied)
    numpy_or_jax: Any = jax.numpy if any(isinstance(a, jax.Array) for a in arrays) else np
    full = [a if v else numpy_or_jax.broadcast_to(a, (time, *a.shape)) for a, v in zip(arrays, varies, strict=True)]
    return type(problem.prior)(*full)


def decisions(problem: Any, horizon: int | None) -> int | None:
    """Return T from `horizon` or from arrays that change with time, which must agree."""
    check_horizon(horizon)
    known = {} if horizon is None else {"horizon": int(horizon)}
    for name, axes in SHAPES.items():
        array = get(problem, name)
        if array is not None and array.ndim == len(axes) + 1:
            known[name] = array.shape[0]
    if not known:
        return None
    first, time = next(iter(known.items()))
    for name, other in known.items():
        if other != time:
            raise UsageError(f"`{first}` and `{name}` must have the same number of decisions, got {time} and {other}.")
    check_horizon(time)
    return time


def check_decision(t: int, horizon: int | None) -> None:
    """Check that t is a decision."""
    if t < 0 or (horizon is not None and t >= horizon):
        raise UsageError(f"`t` must be from 0 to {'the last decision' if horizon is None else horizon - 1}, got {t}.")


def check(problem: Any) -> None:
    """Check a problem: shapes and, if all arrays are NumPy, values.

    Raises:
        UsageError: the problem is not valid.
    """
    if (problem.C is None) != (problem.V is None):
        raise UsageError("`C` and `V` must be given together: observations y = C x + v with v ~ N(0, V).")
    n, m = sizes(problem.A, problem.B)
    size = {"n": n, "m": m, "p": 0 if problem.C is None else problem.C.shape[-2] if problem.C.ndim > 1 else 0}
    for name, axes in (SHAPES | FIXED_SHAPES).items():
        array = get(problem, name)
        shape = tuple(size[axis] for axis in axes)
        if array is None:
            continue
        several = name in SHAPES and array.shape == (problem.horizon, *shape)
        if array.shape != shape and not several:
            also = " or, for each decision, with a leading axis of time" if name in SHAPES else ""
            raise UsageError(f"`{name}` must have shape {shape}{also}, got {array.shape}.")
    check_discount(problem.discount)
    if all(isinstance(get(problem, name), np.ndarray | None) for name in SHAPES | FIXED_SHAPES):
        check_values(problem)


def check_values(problem: Any) -> None:
    """Check the numbers of a problem; not for use inside a JAX transformation."""
    arrays = {name: get(problem, name) for name in SHAPES | FIXED_SHAPES}
    arrays = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise UsageError(f"`{name}` must hold finite numbers{_when(name, np.argwhere(~np.isfinite(array))[0])}.")
    for name in ("Q", "R", *_SEMIDEFINITE, *_DEFINITE):
        if name in arrays:
            _check_symmetric(name, arrays[name])
    for name in _SEMIDEFINITE:
        _check_semidefinite(f"`{name}`", arrays[name])
    for name in _DEFINITE:
        if name in arrays and (worst := smallest(arrays[name])).eigenvalue <= worst.rounding:
            raise UsageError(
                f"`{name}` must be positive definite, got the eigenvalue {worst.eigenvalue:.6g}"
                f"{_when(name, worst.place)}."
            )
    _check_semidefinite("The cost [[Q, N], [Nᵀ, R]]", joint_cost(*(arrays[name] for name in "QNR")))


def joint_cost(q: np.ndarray, n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return [[Q, N], [Nᵀ, R]], for each time if any of them changes."""
    time = np.broadcast_shapes(q.shape[:-2], n.shape[:-2], r.shape[:-2])
    q, n, r = (np.broadcast_to(each, (*time, *each.shape[-2:])) for each in (q, n, r))
    upper, lower = np.concatenate([q, n], -1), np.concatenate([np.swapaxes(n, -1, -2), r], -1)
    return np.concatenate([upper, lower], -2)


def smallest(matrices: np.ndarray) -> _Worst:
    """Return the smallest eigenvalue of symmetric matrices, relative to their size."""
    eigenvalues = np.linalg.eigvalsh(matrices)
    rounding = _DIGITS * np.abs(eigenvalues).max(-1)
    excess = eigenvalues[..., 0] + rounding
    index = np.unravel_index(int(np.argmin(excess)), excess.shape)
    place = tuple(int(i) for i in index)
    return _Worst(eigenvalue=float(eigenvalues[..., 0][place]), place=place, rounding=float(rounding[place]))


def _check_semidefinite(subject: str, matrices: np.ndarray) -> None:
    worst = smallest(matrices)
    if worst.eigenvalue < -worst.rounding:
        when = f" at decision {worst.place[0]}" if worst.place else ""
        raise UsageError(f"{subject} must be positive semi-definite, got the eigenvalue {worst.eigenvalue:.6g}{when}.")


def _check_symmetric(name: str, matrices: np.ndarray) -> None:
    gap = np.abs(matrices - np.swapaxes(matrices, -1, -2))
    if np.any(wrong := gap > _DIGITS * np.abs(matrices).max((-1, -2), keepdims=True)):
        place = np.argwhere(wrong)[0]
        i, j = (int(each) for each in place[-2:])
        raise UsageError(
            f"`{name}` must be symmetric, but its entries ({i}, {j}) and ({j}, {i}) differ{_when(name, place)}."
        )


def _when(name: str, index: Any) -> str:
    """Return the words for the decision of an index into an array, if the array changes with time."""
    axes = len(SHAPES.get(name, FIXED_SHAPES.get(name, "")))
    over_time = name in SHAPES and len(index) in (axes + 1, 1 if axes == 2 else -1)
    return f" at decision {int(index[0])}" if over_time else ""
