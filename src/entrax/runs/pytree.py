"""A pytree's arrays under the names of their paths, and back: what lies between a `State` and a file.

"params/policy/layers/0/weight" names the array at `tree.params.policy.layers[0].weight`. Random keys are stored as
their bits. Leaves that are not arrays (functions, Python numbers) are not stored; reading takes them from a template.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from entrax import xla as xla
from entrax.errors import EntraxError

ROOT = "."  # the name of a tree that is a single array


def flatten(tree: Any) -> dict[str, np.ndarray]:
    """Every array of `tree` by the name of its path, as NumPy arrays that keep shape and dtype (0-d ones stay 0-d).

    Raises EntraxError when two paths would get the same name, which takes a mapping with keys such as 1 and "1".
    """
    arrays: dict[str, np.ndarray] = {}
    for path, leaf in tree_util.tree_flatten_with_path(tree)[0]:
        if not _is_array(leaf):
            continue
        name = path_name(path)
        if name in arrays:
            raise EntraxError(f"Two arrays would both be stored as {name!r}; rename a key of the mapping they lie in.")
        arrays[name] = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    return arrays


def unflatten(template: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """`template` with its arrays replaced by those of `arrays`, which must be the same in name, shape and dtype.

    The template's arrays may be `jax.ShapeDtypeStruct`s, but for random keys, whose kind only a real key tells.
    NumPy arrays stay NumPy arrays. Raises EntraxError naming the first array that is missing, superfluous or
    different.
    """
    leaves, structure = tree_util.tree_flatten_with_path(template)
    wanted = {path_name(path) for path, leaf in leaves if _is_array(leaf)}
    for name in arrays:
        if name not in wanted:
            raise EntraxError(f"The array {name!r} has no place here: was it saved by another agent or configuration?")
    restored = [_restored(path_name(path), leaf, arrays) if _is_array(leaf) else leaf for path, leaf in leaves]
    return tree_util.tree_unflatten(structure, restored)


def nested(arrays: Mapping[str, np.ndarray]) -> Any:
    """Return a tree of dictionaries that `flatten` gives these names and arrays for."""
    if ROOT in arrays:
        return arrays[ROOT]
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *groups, last = (part.replace("~1", "/").replace("~0", "~") for part in name.split("/"))
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = array
    return tree


def subtree(group: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays whose path begins with `group`, by the rest of their path; `ROOT` for the group itself."""
    if group in arrays:
        return {ROOT: arrays[group]}
    return {k.removeprefix(f"{group}/"): v for k, v in arrays.items() if k.startswith(f"{group}/")}


def path_name(path: tuple[Any, ...]) -> str:
    """The name of a path as `jax.tree_util.tree_flatten_with_path` gives it, such as "opt_state/0/mu".

    A "/" inside a mapping's key is written "~1" and a "~" as "~0", so that different paths have different names.
    """
    return "/".join(_segment(entry) for entry in path) if path else ROOT


def _segment(entry: Any) -> str:
    match entry:
        case tree_util.GetAttrKey(name=name):
            return name
        case tree_util.SequenceKey(idx=index):
            return str(index)
        case tree_util.DictKey(key=key) | tree_util.FlattenedIndexKey(key=key):
            return str(key).replace("~", "~0").replace("/", "~1")
    raise TypeError(f"Unknown kind of path entry: {entry!r}")


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _restored(name: str, leaf: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if name not in arrays:
        raise EntraxError(f"The array {name!r} is missing: was this saved by another agent or configuration?")
    array = arrays[name]
    if _is_key(leaf):
        _check(name, array, jax.random.key_data(leaf))
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(leaf))
    _check(name, array, leaf)
    if isinstance(leaf, np.generic):
        return array[()]
    if isinstance(leaf, np.ndarray):
        return np.array(array)
    if leaf.weak_type and leaf.shape == ():
        return jnp.asarray(array.item())  # a Python number's weak type, without which a compiled step would retrace
    return jnp.asarray(array)


def _check(name: str, array: np.ndarray, leaf: Any) -> None:
    if array.shape != leaf.shape:
        raise EntraxError(f"The array {name!r} has shape {array.shape} where {leaf.shape} is needed.")
    if array.dtype != leaf.dtype:
        raise EntraxError(f"The array {name!r} has dtype {array.dtype} where {leaf.dtype} is needed.")
