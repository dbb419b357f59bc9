"""Traits of an environment beyond its spaces: its time limit and its running statistics."""

import numbers
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np

STATISTICS = {"mean", "var", "count"}
"""The attributes of running statistics such as Gymnasium's RunningMeanStd."""


class Traits(NamedTuple):
    """The traits of an environment, its wrappers and the environments inside them."""

    time_limit: int | None
    """The largest of the limits on an episode's steps; None if no limit is known."""
    learners: tuple[str, ...]
    """The classes of layers that keep running statistics, which depend on earlier episodes."""
    render_fps: float | None = None
    """The environment's steps per second of its own time; None if it does not say."""


def traits_of(env: gymnasium.Env) -> Traits:
    """Return the traits of `env`, read from the attributes of its layers."""
    layers = _layers(env)
    names = [type(layer).__name__ for layer in layers if _learns(layer)]
    fps = env.metadata.get("render_fps")
    return Traits(
        time_limit=max(_limits(layers), default=None),
        learners=tuple(dict.fromkeys(names)),
        render_fps=float(fps) if isinstance(fps, int | float | np.number) and fps > 0 else None,
    )


def time_limit_of(env: gymnasium.Env) -> int | None:
    """Return the steps after which `env` truncates an episode, the smallest of its layers' limits; None if unknown."""
    return min(_limits(_layers(env)), default=None)


def _layers(env: gymnasium.Env) -> list[Any]:
    return [part for part in _reachable(env) if isinstance(part, gymnasium.Env | gymnasium.vector.VectorEnv)]


def _limits(layers: list[Any]) -> list[int]:
    found = [vars(layer).get("_max_episode_steps") for layer in layers]
    return [int(limit) for limit in found if isinstance(limit, numbers.Integral)]


def _reachable(root: Any) -> Iterator[Any]:
    """Yield `root` and all objects in its environments and containers, each once."""
    waiting, seen = [root], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, gymnasium.Env | gymnasium.vector.VectorEnv):
            waiting += vars(part).values()
        elif isinstance(part, list | tuple | dict):
            waiting += part.values() if isinstance(part, dict) else part


def _learns(layer: Any) -> bool:
    """Return whether a layer updates running statistics, which some layers can stop."""
    if vars(layer).get("_update_running_mean") is False:
        return False
    parts = [layer, *(part for part in vars(layer).values() if not isinstance(part, gymnasium.Env))]
    parts += [inner for part in parts if isinstance(part, dict) for inner in part.values()]
    return any(getattr(part, "__dict__", {}).keys() >= STATISTICS for part in parts)
