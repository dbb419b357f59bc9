"""Gymnasium's spaces as entrax sees them: one float32 vector in, one array of actions out.

`spec_of` and `flattener` read the same tree of parts, so the leaves of a Spec and the entries of the flat vector cannot
drift apart. The order of the entries is that of `gymnasium.spaces.utils.flatten`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Float32

from entrax.errors import EntraxError
from entrax.spec import Continuous, Discrete, Leaf, MultiDiscrete, Spec

EXACT_INTEGER = 2**24
"""Every integer up to here, in magnitude, is a float32."""


class BadObservation(ValueError):
    """An observation that is not of its space; the message says in what way."""


@dataclass(frozen=True)
class _Part:
    """One leaf space, or a container with `children` (key, part); `size` entries of the flat vector."""

    name: str
    space: spaces.Space
    size: int
    children: tuple[tuple[Any, "_Part"], ...] = ()


def spec_of(env: gymnasium.Env) -> Spec:
    """The environment's Spec. Raises EntraxError, with the reason, for spaces entrax doesn't support."""
    parts = _leaves(_part_of(env.observation_space, ""))
    return Spec(observation=tuple(_leaf_of(part) for part in parts), action=_action_spec(env.action_space))


def flattener(space: spaces.Space) -> Callable[[Any], Float32[np.ndarray, " obs"]]:
    """A function from observations of `space` to fresh flat vectors.

    Boxes are raveled and cast; Discrete and MultiDiscrete become one-hots; Dict and Tuple are concatenated in
    Gymnasium's order. Making it raises EntraxError for a space that doesn't fit; calling it raises BadObservation for
    a value that is not of the space. Values are copied, so an environment may reuse its buffers. Floats outside a
    box's bounds pass: many environments state bounds they don't keep.
    """
    return partial(_flatten, _part_of(space, ""))


def _flatten(part: _Part, obs: Any) -> Float32[np.ndarray, " obs"]:
    flat = np.zeros(part.size, np.float32)
    _write(part, obs, flat)
    return flat


def _part_of(space: spaces.Space, name: str) -> _Part:
    shown = f"The observation space's part {name!r}" if name else "The observation space"
    match space:
        case spaces.Dict():
            items: Any = space.spaces.items()
        case spaces.Tuple():
            items = enumerate(space.spaces)
        case spaces.Box():
            _check_box(space, shown)
            return _Part(name or "obs", space, int(np.prod(space.shape)))
        case spaces.Discrete():
            return _Part(name or "obs", space, int(space.n))
        case spaces.MultiDiscrete():
            return _Part(name or "obs", space, int(np.sum(space.nvec)))
        case spaces.MultiBinary():
            return _Part(name or "obs", space, int(np.prod(space.shape)))
        case _:
            raise EntraxError(
                f"{shown} is a {type(space).__name__} space, which has no vector of fixed length; "
                "entrax takes Box, Discrete, MultiDiscrete, MultiBinary and Dict or Tuple of them."
            )
    children = tuple((key, _part_of(inner, f"{name}/{key}" if name else str(key))) for key, inner in items)
    return _Part(name, space, sum(child.size for _, child in children), children)


def _check_box(space: spaces.Box, shown: str) -> None:
    if space.dtype == np.uint8 and len(space.shape) >= 2:
        raise EntraxError(
            f"{shown} is an image (uint8, shape {space.shape}), and entrax learns from vectors only so far: "
            "use a version of the environment that observes its state."
        )
    if np.issubdtype(space.dtype, np.integer):
        # Through Python's integers: the magnitude of int64's minimum is no int64.
        if any(abs(int(bound)) > EXACT_INTEGER for bound in (*space.low.flat, *space.high.flat)):
            raise EntraxError(
                f"{shown} holds integers beyond ±{EXACT_INTEGER}, which float32 cannot tell apart: "
                "state tighter bounds or rescale it, for example with gymnasium.wrappers.TransformObservation."
            )


def _leaves(part: _Part) -> list[_Part]:
    if isinstance(part.space, spaces.Dict | spaces.Tuple):
        return [leaf for _, child in part.children for leaf in _leaves(child)]
    return [part]


def _leaf_of(part: _Part) -> Leaf:
    space = part.space
    if isinstance(space, spaces.Box):
        low, high = _floats(space.low), _floats(space.high)
    else:
        low, high = (0.0,) * part.size, (1.0,) * part.size
    shape = tuple(int(length) for length in space.shape or ())
    return Leaf(name=part.name, shape=shape, dtype=str(space.dtype), size=part.size, low=low, high=high)


def _floats(bounds: np.ndarray) -> tuple[float, ...]:
    return tuple(float(bound) for bound in bounds.flat)


def _write(part: _Part, value: Any, out: Float32[np.ndarray, " part"]) -> None:
    """Writes `value` into `out`, the entries of the flat vector that belong to `part`."""
    space = part.space
    if isinstance(space, spaces.Box):
        _write_box(part, space, value, out)
    elif isinstance(space, spaces.Dict | spaces.Tuple):
        _check_container(part, value)
        start = 0
        for key, child in part.children:
            _write(child, value[key], out[start : start + child.size])
            start += child.size
    elif isinstance(space, spaces.MultiBinary):
        array = _array(part, value, "iub")
        if np.any((array != 0) & (array != 1)):
            raise BadObservation(f"{_shown(part)} holds values other than 0 and 1")
        out[:] = array.ravel()
    elif isinstance(space, spaces.Discrete):
        out[_choices(part, value, np.asarray(space.n), np.asarray(space.start))] = 1
    elif isinstance(space, spaces.MultiDiscrete):
        offsets = np.cumsum(space.nvec.ravel()) - space.nvec.ravel()
        out[offsets + _choices(part, value, space.nvec, space.start).ravel()] = 1


def _write_box(part: _Part, space: spaces.Box, value: Any, out: Float32[np.ndarray, " part"]) -> None:
    integral = space.dtype.kind in "iu"
    array = _array(part, value, "iub" if integral else "fiub")
    if integral and np.any((array > EXACT_INTEGER) | (array < -EXACT_INTEGER)):
        raise BadObservation(f"{_shown(part)} holds an integer beyond ±{EXACT_INTEGER}, outside of its bounds")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and that is refused by a sentence
        out[:] = array.ravel()
    if not np.isfinite(out).all():
        raise BadObservation(f"{_shown(part)} holds {'NaN' if np.isnan(out).any() else 'an infinite value'}")


def _choices(part: _Part, value: Any, n: np.ndarray, start: np.ndarray) -> np.ndarray:
    choice = _array(part, value, "iu").astype(np.int64) - start
    if np.any((choice < 0) | (choice >= n)):
        raise BadObservation(f"{_shown(part)} is {value!r}, outside of {part.space}")
    return choice


def _array(part: _Part, value: Any, kinds: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise BadObservation(f"{_shown(part)} is not an array") from None
    if array.dtype.kind not in kinds:
        raise BadObservation(f"{_shown(part)} has dtype {array.dtype} where its space has {part.space.dtype}")
    if array.shape != part.space.shape:
        raise BadObservation(f"{_shown(part)} has shape {array.shape} where its space has {part.space.shape}")
    return array


def _check_container(part: _Part, value: Any) -> None:
    if isinstance(part.space, spaces.Dict):
        keys = [key for key, _ in part.children]
        if not isinstance(value, dict) or set(value) != set(keys):
            got = f"keys {sorted(map(str, value))}" if isinstance(value, dict) else type(value).__name__
            raise BadObservation(f"{_shown(part)} has {got} where its space has keys {sorted(map(str, keys))}")
    elif not isinstance(value, tuple | list) or len(value) != len(part.children):
        raise BadObservation(f"{_shown(part)} is not a tuple of {len(part.children)} parts as its space says")


def _shown(part: _Part) -> str:
    return "the observation" if part.name in ("", "obs") else f"the observation's part {part.name!r}"


def _action_spec(space: spaces.Space) -> Continuous | Discrete | MultiDiscrete:
    match space:
        case spaces.Box():
            return _continuous(space)
        case spaces.Discrete():
            return Discrete(n=int(space.n), start=int(space.start))
        case spaces.MultiDiscrete() if space.nvec.ndim == 1 and not np.any(space.start):
            return MultiDiscrete(nvec=tuple(int(n) for n in space.nvec))
        case spaces.MultiDiscrete():
            raise EntraxError("A MultiDiscrete action space must be one vector of choices that start at 0.")
        case _:
            raise EntraxError(
                f"entrax takes Box, Discrete and MultiDiscrete actions; this action space is {type(space).__name__}: "
                "wrap the environment in gymnasium.wrappers.TransformAction."
            )


def _continuous(space: spaces.Box) -> Continuous:
    if space.dtype.kind != "f":
        raise EntraxError(f"An action Box must be of floats, not {space.dtype}: use MultiDiscrete for whole numbers.")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise EntraxError(
            "The action space has infinite bounds, so actions in [-1, 1] cannot be scaled to it: give its Box finite "
            "bounds, or wrap the environment in gymnasium.wrappers.TransformAction with a bounded Box."
        )
    return Continuous(
        shape=tuple(space.shape), dtype=str(space.dtype), low=_floats(space.low), high=_floats(space.high)
    )


def action_size(action: Continuous | Discrete | MultiDiscrete) -> int:
    """Entries of one flat action: those of the box, 1 for Discrete, one for each place of MultiDiscrete."""
    match action:
        case Continuous():
            return action.size
        case Discrete():
            return 1
        case MultiDiscrete():
            return len(action.nvec)


def action_adapter(action: Continuous | Discrete | MultiDiscrete) -> Callable[[np.ndarray], Any]:
    """`to_env_action` with everything that depends on the space computed once."""
    match action:
        case Continuous():
            low, high = np.asarray(action.low, np.float64), np.asarray(action.high, np.float64)
            return partial(_to_box, low, high, action.shape, np.dtype(action.dtype))
        case Discrete():
            return partial(_to_discrete, action.start)
        case MultiDiscrete():
            return _to_multi_discrete


def to_env_action(action: Continuous | Discrete | MultiDiscrete, flat: np.ndarray) -> Any:
    """What `env.step` takes for one flat action `[action]`, in a fresh array.

    Continuous entries, in the environment's bounds, are clipped to them; a Discrete choice 0 … n-1 is moved by `start`.
    """
    return action_adapter(action)(flat)


def _to_box(low: np.ndarray, high: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, flat: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(flat, low), high).astype(dtype).reshape(shape)


def _to_discrete(start: int, flat: np.ndarray) -> np.int64:
    return np.int64(flat[0]) + np.int64(start)


def _to_multi_discrete(flat: np.ndarray) -> np.ndarray:
    return flat.astype(np.int64)


def rescale(action: Continuous, unit_action: Float[np.ndarray, "*batch action"]) -> Float[np.ndarray, "*batch action"]:
    """Actions in [-1, 1] (beyond it they are clipped) in the environment's bounds, which ±1 reaches exactly.

    Computed in float64, returned in the dtype of the action space.
    """
    low, high = np.asarray(action.low, np.float64), np.asarray(action.high, np.float64)
    unit = np.clip(np.asarray(unit_action, np.float64), -1.0, 1.0)
    # Halving first keeps the ends exact and cannot overflow; rounding in between could leave the bounds by a hair.
    inside = low * (0.5 * (1.0 - unit)) + high * (0.5 * (1.0 + unit))
    return np.clip(inside, low, high).astype(action.dtype)
