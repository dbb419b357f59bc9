"""What matters of an environment beyond its spaces: its time limit, and the layers that learn."""

import numbers
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium

STATISTICS = {"mean", "var", "count"}
"""Attributes of running statistics, such as Gymnasium's RunningMeanStd."""


class Traits(NamedTuple):
    """What the layers of an environment (its wrappers, and environments that they hold) say of themselves."""

    time_limit: int | None
    """Steps after which an episode is truncated; None if no limit is known."""
    learners: tuple[str, ...]
    """Classes of the layers that keep running statistics, and so remember earlier episodes."""


def traits_of(env: gymnasium.Env) -> Traits:
    """The traits of `env`, read from the attributes of its layers."""
    layers = [part for part in _held(env) if isinstance(part, gymnasium.Env | gymnasium.vector.VectorEnv)]
    limits = [vars(layer).get("_max_episode_steps") for layer in layers]
    names = [type(layer).__name__ for layer in layers if _learns(layer)]
    return Traits(
        time_limit=max((int(limit) for limit in limits if isinstance(limit, numbers.Integral)), default=None),
        learners=tuple(dict.fromkeys(names)),
    )


def _held(root: Any) -> Iterator[Any]:
    """`root`, and what the environments and containers in it hold, each once."""
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
    """Whether a layer updates running statistics as it is stepped; some can be told to stop."""
    if vars(layer).get("_update_running_mean") is False:
        return False
    parts = [layer, *(part for part in vars(layer).values() if not isinstance(part, gymnasium.Env))]
    parts += [inner for part in parts if isinstance(part, dict) for inner in part.values()]
    return any(getattr(part, "__dict__", {}).keys() >= STATISTICS for part in parts)
