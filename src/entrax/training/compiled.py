"""Compiling functions of any trees, without waiting for what they compute."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import PyTreeDef

from entrax import xla as xla


class Kind(NamedTuple):
    """A tree without its arrays: the structure, and the leaves with None in the places of arrays. Hashable."""

    structure: PyTreeDef
    others: tuple[Any, ...]

    def with_arrays(self, arrays: list[Any]) -> Any:
        """Return the tree with these arrays."""
        left = iter(arrays)
        leaves = [next(left) if other is None else other for other in self.others]
        return jax.tree.unflatten(self.structure, leaves)


def taken_apart(tree: Any) -> tuple[Kind, list[Any]]:
    """Return the kind of a tree, and its arrays."""
    leaves, structure = jax.tree.flatten(tree)
    others = tuple(None if _is_array(leaf) else leaf for leaf in leaves)
    return Kind(structure, others), [leaf for leaf in leaves if _is_array(leaf)]


class CompiledFunction:
    """`function` by `jax.jit`, for any pytrees whose leaves are arrays or hashable; a call returns at once.

    `equinox.filter_jit` takes such trees too, but comes back only when the results are there.
    """

    def __init__(self, function: Callable[..., Any]):
        self._function = function
        self._results: dict[Kind, Kind] = {}
        """The kind of the results, by that of the arguments."""
        self._run = jax.jit(self._on_arrays, static_argnums=0)

    def __call__(self, *arguments: Any) -> Any:
        kind, arrays = taken_apart(arguments)
        arrays = self._run(kind, arrays)
        return self._results[kind].with_arrays(arrays)

    def _on_arrays(self, kind: Kind, arrays: list[Any]) -> list[Any]:
        made, results = taken_apart(self._function(*kind.with_arrays(arrays)))
        assert self._results.setdefault(kind, made) == made  # of other shapes too
        return results


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)
