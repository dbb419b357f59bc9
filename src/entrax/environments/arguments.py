"""Exact JSON for an environment's arguments: decoding returns equal values of the same types.

JSON has no infinity, tuples, arrays or keys other than strings. Each of these becomes an object with one key that
begins with "$", such as {"$tuple": [0.7, {"$float": "inf"}]}. A function or class that can be imported is recorded by
its name. Other objects, such as a lambda, cannot be recorded.
"""

import base64
import copy
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from entrax.references import reference_of, resolve

LARGEST = 10**4000
"""The limit of integers: Python's JSON reads at most 4,300 digits."""


class NotRecordable(TypeError):
    """A value that JSON cannot hold exactly."""


def encode(value: Any) -> Any:
    """Return `value` as JSON data.

    Raises NotRecordable, naming the type that cannot be recorded.
    """
    try:
        return _encode(value)
    except RecursionError as error:
        raise NotRecordable(f"a {type(value).__name__} that is nested too deeply") from error


def decode(data: Any, named: Callable[[str], Any] = resolve) -> Any:
    """Return the value that `encode` turned into `data`.

    Args:
        data: JSON data.
        named: finds a function or class by its name; by default it imports.

    Raises:
        ValueError, TypeError, KeyError: for data that `encode` does not return.
    """
    if isinstance(data, list):
        return [decode(item, named) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1 or not next(iter(data)).startswith("$"):
        return {key: decode(item, named) for key, item in data.items()}
    ((tag, content),) = data.items()
    return _decode_tagged(tag, content, named)


def recordable(value: Any) -> bool:
    """Return whether `encode` can record the value."""
    try:
        encode(value)
    except NotRecordable:
        return False
    return True


def record(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as JSON data for a file.

    An argument that cannot be recorded becomes {"$lost": type}.
    """
    recorded = {}
    for name, value in arguments.items():
        try:
            recorded[name] = encode(value)
        except NotRecordable as error:
            recorded[name] = {"$lost": str(error)}
    return recorded


def own_copy(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep copy of the arguments that can be recorded; share the others."""
    return {name: copy.deepcopy(value) if recordable(value) else value for name, value in arguments.items()}


def _encode(value: Any) -> Any:
    kind = type(value)  # a subclass may behave differently
    if value is None or kind is bool:
        return value
    if kind is int and abs(value) < LARGEST:
        return value
    if kind is str and _is_text(value):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if kind is list:
        return [_encode(item) for item in value]
    if kind is dict:
        return _encode_dict(value)
    if kind in (tuple, set, frozenset):
        items = [_encode(item) for item in value]
        return {f"${kind.__name__}": items if kind is tuple else sorted(items, key=repr)}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if kind is type(Path()) and _is_text(str(value)):
        return {"$path": str(value)}
    if isinstance(value, np.dtype) and value.kind in "biufU":
        return {"$dtype": value.str}
    if (isinstance(value, np.generic) or kind is np.ndarray) and _is_exact(value.dtype):
        return _encode_array(value)
    if callable(value) and (reference := reference_of(value)) is not None:
        return {"$name": reference}
    raise NotRecordable(f"a {kind.__name__}" if not callable(value) else getattr(value, "__qualname__", kind.__name__))


def _encode_dict(value: dict[Any, Any]) -> dict[str, Any]:
    if all(type(key) is str and _is_text(key) and not key.startswith("$") for key in value):
        return {key: _encode(item) for key, item in value.items()}
    return {"$dict": [[_encode(key), _encode(item)] for key, item in value.items()]}


def _encode_array(value: Any) -> dict[str, Any]:
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    content = {"dtype": value.dtype.str, "shape": list(value.shape), "values": _encode(value.ravel().tolist())}
    return {"$number": content} if isinstance(value, np.generic) else {"$array": content | {"order": order}}


def _is_exact(dtype: np.dtype) -> bool:
    """Return whether Python's numbers and texts represent the values exactly."""
    return dtype.kind in "biuU" or dtype in (np.float16, np.float32, np.float64)


def _is_text(value: str) -> bool:
    """Return whether a file can hold the text, unlike half of a surrogate pair."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _decode_tagged(tag: str, content: Any, named: Callable[[str], Any]) -> Any:
    match tag:
        case "$float" if content in ("inf", "-inf", "nan"):
            return float(content)
        case "$tuple":
            return tuple(decode(item, named) for item in content)
        case "$set":
            return {decode(item, named) for item in content}
        case "$frozenset":
            return frozenset(decode(item, named) for item in content)
        case "$dict":
            return {decode(key, named): decode(item, named) for key, item in content}
        case "$bytes":
            return base64.b64decode(content, validate=True)
        case "$path":
            return Path(content)
        case "$dtype":
            return _dtype(content)
        case "$number":
            return _decode_array(content)[()]
        case "$array":
            return _decode_array(content)
        case "$name" if isinstance(content, str):
            return named(content)
    raise ValueError(f"unknown kind of argument {tag}")


def _decode_array(content: Mapping[str, Any]) -> np.ndarray:
    values = np.array(decode(content["values"]), _dtype(content["dtype"]))
    return np.array(values.reshape(content["shape"]), order=content.get("order", "C"))


def _dtype(text: Any) -> np.dtype:
    dtype = np.dtype(text)
    if dtype.kind not in "biufU":
        raise ValueError(f"{text!r} is not a type of numbers or texts")
    return dtype
