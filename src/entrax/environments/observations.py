"""Conversion of observations, one or a batch, to the flat vectors of agents, by the leaves of a Spec."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Num, UInt8

from entrax.spec import Leaf

ObsVector = Float[np.ndarray, " obs"] | UInt8[np.ndarray, " obs"]
ObsRows = Num[np.ndarray, "batch obs"]
Node = Leaf | dict[Any, Any] | list[Any]
"""A leaf, or the contents of a dictionary or a tuple."""


class Flattener:
    """Flattens observations into vectors.

    Vectors are float32, with the leaves in their order and discrete leaves one-hot. Images stay uint8. The methods
    raise ValueError with a clause about the value ("returned …") if it does not fit the leaves.
    """

    def __init__(self, leaves: Sequence[Leaf]):
        self.leaves = leaves
        self.size = sum(leaf.size for leaf in leaves)

    def one(self, value: Any) -> ObsVector:
        """Return one observation as a new vector."""
        arrays = self._arrays(value)
        for leaf, array in zip(self.leaves, arrays, strict=True):
            if array.shape != leaf.shape:
                raise _misfit(leaf, array)
        return self._rows([array[None] for array in arrays])[0]

    def rows(self, value: Any) -> tuple[ObsRows, bool]:
        """Return one observation or a batch of them as new rows, and whether it was one.

        A batch is an array [batch, *shape], a dictionary or tuple of such arrays, a list of observations, or an array
        of flat vectors [batch, obs]. The shape decides; one that fits both is an observation of the environment.
        """
        flat = self._as_flat(value)
        if flat is not None:
            return flat
        if isinstance(value, list) and not isinstance(self._tree, Leaf):
            if not value:
                raise ValueError("returned an empty list")
            each = [self._arrays(part) for part in value]
            arrays = [_array([part[place] for part in each]) for place in range(len(self.leaves))]
        else:
            arrays = self._arrays(value)
        counts = {_count(leaf, array) for leaf, array in zip(self.leaves, arrays, strict=True)}
        if len(counts) > 1:
            raise ValueError("returned parts that are neither all one observation nor all batches of one size")
        single = counts == {None}
        return self._rows([array[None] for array in arrays] if single else arrays), single

    @cached_property
    def _tree(self) -> Node:
        return _tree([(leaf, leaf.path or ()) for leaf in self.leaves])

    def _arrays(self, value: Any) -> list[np.ndarray]:
        arrays: list[np.ndarray] = []
        _collect(self._tree, value, arrays)
        return arrays

    def _rows(self, arrays: Sequence[np.ndarray]) -> ObsRows:
        parts = [_leaf_rows(leaf, array) for leaf, array in zip(self.leaves, arrays, strict=True)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _as_flat(self, value: Any) -> tuple[ObsRows, bool] | None:
        """Return the rows of an array of flat vectors; None if it is no such array or its shape is ambiguous."""
        if isinstance(value, dict | tuple | list):
            return None
        array = _array(value)
        leaf, shape = self._tree, array.shape
        if shape[-1:] != (self.size,) or len(shape) > 2:
            return None
        if isinstance(leaf, Leaf):
            fits = shape == leaf.shape or shape[1:] == leaf.shape
            if fits or (len(shape) == len(leaf.shape) == 2 and leaf.shape[1] == self.size):
                return None
        image = isinstance(leaf, Leaf) and leaf.is_image
        whole = Leaf("observation", (self.size,), "uint8" if image else "float32", self.size, (), ())
        rows = array.reshape(-1, self.size)
        return (_numbers(whole, rows, images=image), len(shape) == 1)


def _tree(placed: Sequence[tuple[Leaf, tuple[tuple[str, Any], ...]]]) -> Node:
    """Return the leaves, each with the rest of its path, as nested dictionaries and lists."""
    if not placed[0][1]:
        return placed[0][0]
    parts: dict[Any, list[Any]] = {}
    for leaf, path in placed:
        parts.setdefault(path[0][1], []).append((leaf, path[1:]))
    inside = {key: _tree(part) for key, part in parts.items()}
    return inside if placed[0][1][0][0] == "key" else list(inside.values())


def _collect(node: Node, value: Any, arrays: list[np.ndarray]) -> None:
    """Append the arrays of `value` to `arrays`, in the order of the leaves."""
    if isinstance(node, Leaf):
        arrays.append(_array(value))
    elif isinstance(node, dict):
        if not isinstance(value, dict) or value.keys() != node.keys():
            raise ValueError(f"returned {kind_of(value)} where its space has the entries {', '.join(map(str, node))}")
        for key, part in node.items():
            _collect(part, value[key], arrays)
    else:
        if not isinstance(value, tuple) or len(value) != len(node):
            raise ValueError(f"returned {kind_of(value)} where its space is a tuple of {len(node)}")
        for part, inside in zip(node, value, strict=True):
            _collect(part, inside, arrays)


def _array(value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:  # such as a ragged list
        raise ValueError(f"returned {kind_of(value)} that is no array of numbers") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"returned {kind_of(value)} where its space has numbers")
    return array


def _count(leaf: Leaf, array: np.ndarray) -> int | None:
    """Return the number of observations in the array; None if it is a single one."""
    if array.shape == leaf.shape:
        return None
    if array.ndim == len(leaf.shape) + 1 and array.shape[1:] == leaf.shape:
        return len(array)
    raise _misfit(leaf, array)


def _misfit(leaf: Leaf, array: np.ndarray) -> ValueError:
    if leaf.options:
        return ValueError(f"returned {kind_of(array)} where its space has integers of shape {leaf.shape}")
    return ValueError(f"returned an observation of shape {array.shape} where its space has {leaf.shape}")


def _leaf_rows(leaf: Leaf, array: np.ndarray) -> ObsRows:
    return _one_hots(leaf, array) if leaf.options else _numbers(leaf, array, images=leaf.is_image)


def _numbers(leaf: Leaf, array: np.ndarray, *, images: bool) -> ObsRows:
    if images:
        if array.dtype != leaf.dtype:
            raise ValueError(f"returned an image of dtype {array.dtype} where its space has {leaf.dtype}")
        return array.astype(np.uint8).reshape(len(array), leaf.size)
    if array.dtype.kind == "f" and np.dtype(leaf.dtype).kind != "f":
        raise ValueError(f"returned an observation of dtype {array.dtype} where its space has {leaf.dtype}")
    with np.errstate(over="ignore"):  # checked below
        rows = array.astype(np.float32).reshape(len(array), leaf.size)  # a copy: the environment may reuse its buffer
    if not np.isfinite(rows).all():
        raise ValueError("returned an observation with NaN or infinity")
    return rows


def _one_hots(leaf: Leaf, array: np.ndarray) -> ObsRows:
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"returned {kind_of(array)} of {array.dtype} where its space has integers of shape {leaf.shape}"
        )
    sizes = np.array(leaf.options)
    chosen = array.reshape(len(array), len(sizes)).astype(np.int64) - np.array(leaf.start)
    if (chosen < 0).any() or (chosen >= sizes).any():
        shown = array[0] if len(array) == 1 else array
        raise ValueError(f"returned {shown}, which is outside its discrete space")
    rows = np.zeros((len(array), leaf.size), np.float32)
    places = np.concatenate([[0], np.cumsum(sizes)[:-1]]) + chosen
    np.put_along_axis(rows, places, 1.0, axis=1)
    return rows


def kind_of(value: Any) -> str:
    """Return the type of a value, in words."""
    return f"a {type(value).__name__}"
