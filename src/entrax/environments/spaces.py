"""Conversion of Gymnasium's spaces to a Spec, and of actions between the two."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Int32, Num

from entrax.environments.observations import Flattener, ObsVector
from entrax.environments.traits import time_limit_of
from entrax.errors import UsageError
from entrax.spec import IMAGE_DTYPES, MASK, Continuous, Discrete, Leaf, MultiDiscrete, Spec, options_of

EXACT_INTEGERS = 2**24
"""The largest integer up to which all are exact in float32."""

Path = tuple[tuple[str, str | int], ...]


def spec_of(env: gymnasium.Env) -> Spec:
    """Return the spec of an environment.

    Raises UsageError for spaces that are not supported.
    """
    leaves = leaves_of(env.observation_space)
    if len(leaves) > 1 and any(leaf.is_image for leaf in leaves):
        raise UsageError(
            "The observation has an image among other parts. It must be one image, or vectors only: choose by "
            "gymnasium.wrappers.FilterObservation."
        )
    spec = Spec(observation=leaves, action=_action(env.action_space, _clips(env)), time_limit=time_limit_of(env))
    if spec.mask is not None and spec.mask[1] - spec.mask[0] != (options := sum(options_of(spec.action))):
        raise UsageError(
            f"The observation's `{MASK}` has {spec.mask[1] - spec.mask[0]} entries. It must have one for each of the "
            f"{options} options of the action space {env.action_space}."
        )
    return spec


def flattener(space: spaces.Space) -> Callable[[Any], ObsVector]:
    """Return a function that flattens an observation of `space`.

    See `entrax.environments.observations`.
    """
    return Flattener(leaves_of(space)).one


def leaves_of(space: spaces.Space) -> tuple[Leaf, ...]:
    """Return the parts of an observation.

    Raises UsageError for a part that is not supported.
    """
    parts = [("/".join(["observation", *(str(at) for _, at in path)]), path, part) for path, part in _parts(space)]
    return tuple(replace(_leaf(name, part), path=path) for name, path, part in parts)


def to_env_action(action: Continuous | Discrete | MultiDiscrete, flat: Float[np.ndarray, " action"]) -> Any:
    """Convert a flat action for `env.step`.

    The action is clipped to its bounds, in the shape and dtype of the space.
    """
    if isinstance(action, Continuous):
        return np.clip(flat, action.low, action.high).astype(action.dtype).reshape(action.shape)
    return as_env_actions(action, flat[None])[0]


def as_env_actions(
    action: Continuous | Discrete | MultiDiscrete, flat: Num[np.ndarray, "batch action"]
) -> Num[np.ndarray, "batch *shape"]:
    """Convert a batch of flat actions to the shape of the space.

    Discrete actions become integers.
    """
    match action:
        case Continuous():
            return flat.reshape(len(flat), *action.shape)
        case Discrete():
            return flat[:, 0].astype(np.int64) + action.start
        case MultiDiscrete():
            shifted = flat.astype(np.int64) + np.array(action.start or 0, np.int64)
            return shifted.astype(action.dtype).reshape(len(flat), *(action.shape or (-1,)))


def agent_integers(
    action: Discrete | MultiDiscrete, taken: Num[np.ndarray, "batch action"]
) -> Int32[np.ndarray, "batch action"]:
    """Convert the environment's discrete actions to those of an agent, from 0."""
    start = (action.start,) if isinstance(action, Discrete) else action.start or (0,)
    return (taken - np.array(start)).astype(np.int32)


def action_size(action: Continuous | Discrete | MultiDiscrete) -> int:
    """Return the number of entries of the flat action."""
    match action:
        case Continuous():
            return action.size
        case Discrete():
            return 1
        case MultiDiscrete():
            return len(action.nvec)


def random_actions(
    action: Continuous | Discrete | MultiDiscrete, rng: np.random.Generator, count: int
) -> Num[np.ndarray, "count action"]:
    """Draw uniform actions of an agent: float32 in [-1, 1], or int32 from 0."""
    match action:
        case Continuous():
            return rng.uniform(-1.0, 1.0, (count, action.size)).astype(np.float32)
        case Discrete():
            return rng.integers(action.n, size=(count, 1), dtype=np.int32)
        case MultiDiscrete():
            return rng.integers(action.nvec, size=(count, len(action.nvec)), dtype=np.int32)


def random_allowed_actions(
    spec: Spec, rng: np.random.Generator, obs: Num[np.ndarray, "count obs"]
) -> Num[np.ndarray, "count action"]:
    """Draw actions of an agent, uniformly among those that the mask in `obs` allows; without a mask, among all."""
    if spec.mask is None:
        return random_actions(spec.action, rng, len(obs))
    chosen, start = [], spec.mask[0]
    for options in options_of(spec.action):
        allowed = obs[:, start : start + options] > 0.5
        allowed |= ~allowed.any(axis=1, keepdims=True)
        counted = np.cumsum(allowed, axis=1)
        number = np.floor(rng.random((len(obs), 1)) * counted[:, -1:])
        chosen.append(np.argmax(counted > number, axis=1))
        start += options
    return np.stack(chosen, axis=1).astype(np.int32)


def rescale(
    action: Continuous | Discrete | MultiDiscrete, unit: Num[np.ndarray, "*batch action"]
) -> Float[np.ndarray, "*batch action"]:
    """Convert an agent's actions to flat actions of the environment, in float32.

    Continuous actions are rescaled from [-1, 1] to the bounds, exactly at both ends. Integers are unchanged.
    """
    if not isinstance(action, Continuous):
        return unit.astype(np.float32)
    low, high = np.asarray(action.low, np.float32), np.asarray(action.high, np.float32)
    fraction = np.float32(0.5) * (unit + np.float32(1.0))
    return np.clip((np.float32(1.0) - fraction) * low + fraction * high, low, high)


def _parts(space: spaces.Space, path: Path = ()) -> Iterator[tuple[Path, spaces.Space]]:
    match space:
        case spaces.Dict():
            for key, part in space.spaces.items():
                yield from _parts(part, (*path, ("key", key)))
        case spaces.Tuple():
            for place, part in enumerate(space.spaces):
                yield from _parts(part, (*path, ("place", place)))
        case _:
            yield path, space


def _leaf(name: str, space: spaces.Space) -> Leaf:
    options: tuple[int, ...] = ()
    start: tuple[int, ...] = ()
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        size = spaces.utils.flatdim(space)
        low, high = np.zeros(size), np.ones(size)
        if not isinstance(space, spaces.MultiBinary):
            counts, least = (space.n if isinstance(space, spaces.Discrete) else space.nvec), space.start
            options, start = (tuple(np.ravel(part).tolist()) for part in (counts, least))
    elif isinstance(space, spaces.Box):
        if _is_image(space):
            return _image(name, space)
        if space.dtype == np.uint8 and len(space.shape) >= 2:
            raise UsageError(f"The {name} is an image of shape {space.shape}. It must be [height, width, channels].")
        low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
        if np.issubdtype(space.dtype, np.integer) and max(np.abs(low).max(), np.abs(high).max()) > EXACT_INTEGERS:
            raise UsageError(
                f"The {name} holds integers beyond ±2^24, which float32 does not represent exactly. "
                "Wrap the environment so that it observes smaller numbers."
            )
        size = low.size
    else:
        raise UsageError(
            f"The {name} has space {type(space).__name__}. It must be a Box, Discrete, MultiDiscrete, MultiBinary, "
            "Dict or Tuple: wrap the environment in gymnasium.wrappers.TransformObservation."
        )
    shape = tuple(int(n) for n in space.shape or ())
    return Leaf(
        name,
        shape,
        str(space.dtype),
        size,
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        options=options,
        start=start,
    )


def _is_image(space: spaces.Space) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 3 and str(space.dtype) in IMAGE_DTYPES


def _image(name: str, space: spaces.Box) -> Leaf:
    height, width, channels = map(int, space.shape)
    if height < 5 <= min(width, channels):
        raise UsageError(
            f"The {name} is an image of shape {space.shape}, apparently with channels first. They must come last: wrap "
            "the environment in gymnasium.wrappers.TransformObservation."
        )
    if not space.high.any():
        raise UsageError(f"The {name} is an image whose upper bounds are all 0. At least one must be positive.")
    return Leaf(name, (height, width, channels), str(space.dtype), space.high.size, (0.0,), (float(space.high.max()),))


def _clips(env: gymnasium.Env) -> bool:
    """Return whether Gymnasium's ClipAction is around the environment."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.ClipAction):
            return True
        env = env.env
    return False


def _action(space: spaces.Space, clips: bool) -> Continuous | Discrete | MultiDiscrete:
    match space:
        case spaces.Box():
            low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
            if not (np.isfinite(low).all() and np.isfinite(high).all()):
                remedy = (
                    "remove gymnasium.wrappers.ClipAction: agents keep to the bounds inside it."
                    if clips
                    else "give them, with gymnasium.wrappers.TransformAction(env, lambda action: action, "
                    f"gymnasium.spaces.Box(-1.0, 1.0, {space.shape})) or other bounds."
                )
                raise UsageError(f"The action space has no finite bounds; {remedy}")
            if not np.issubdtype(space.dtype, np.floating):
                raise UsageError(f"The action space is a Box of {space.dtype}. It must be a Box of floats.")
            return Continuous(space.shape, str(space.dtype), tuple(low.tolist()), tuple(high.tolist()))
        case spaces.Discrete():
            return Discrete(n=int(space.n), start=int(space.start))
        case spaces.MultiDiscrete():
            return _choices(space, space.nvec, space.start)
        case spaces.MultiBinary():
            return _choices(space, np.full(space.shape, 2), np.zeros(space.shape, int))
        case _:
            raise UsageError(
                f"The action space is a {type(space).__name__}. It must be a Box, Discrete, MultiDiscrete or "
                "MultiBinary: wrap the environment in gymnasium.wrappers.TransformAction."
            )


def _choices(space: spaces.MultiDiscrete | spaces.MultiBinary, nvec: np.ndarray, start: np.ndarray) -> MultiDiscrete:
    return MultiDiscrete(
        nvec=tuple(nvec.ravel().tolist()),
        start=tuple(start.ravel().tolist()) if start.any() else (),
        shape=() if len(space.shape) == 1 else tuple(space.shape),
        dtype=str(space.dtype),
    )
