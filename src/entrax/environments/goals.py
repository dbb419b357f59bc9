"""Goal environments: observations with `achieved_goal` and `desired_goal`, and rewards that follow from the two.

The interface is that of gymnasium-robotics: `compute_reward(achieved, desired, info)`, and `compute_terminated` of the
same arguments if the goal decides the end of an episode.
"""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Bool, Float, Num

from entrax.errors import EntraxError, UsageError
from entrax.spec import Leaf, Spec

ACHIEVED, DESIRED = "achieved_goal", "desired_goal"
TRIED = 4
"""Rows for which a function of many goals at once is compared with itself, one at a time."""


def goal_places(spec: Spec) -> tuple[tuple[int, int], tuple[int, int], Leaf]:
    """Return the entries [start, stop) of the achieved and of the desired goal, and the part of the latter.

    Raises:
        UsageError: the observation has no such parts, or they are no vectors of the same size.
    """
    places, leaves, start = {}, {}, 0
    for leaf in spec.observation:
        name = leaf.name.split("/")[-1]
        places[name], leaves[name], start = (start, start + leaf.size), leaf, start + leaf.size
    if not {ACHIEVED, DESIRED} <= leaves.keys():
        raise UsageError(
            f"`hindsight` requires a goal environment, whose observation is a Dict with {ACHIEVED} and {DESIRED}. This "
            f"one has {', '.join(leaves)}."
        )
    achieved, desired = leaves[ACHIEVED], leaves[DESIRED]
    if achieved.size != desired.size or achieved.shape != desired.shape or achieved.options or desired.options:
        raise UsageError(f"{ACHIEVED} and {DESIRED} must be of one shape, and each a Box or MultiBinary.")
    return places[ACHIEVED], places[DESIRED], desired


class Outcome:
    """Rewards and terminations under other goals, as an environment computes them.

    Args:
        env: the environment; it is not stepped.
        goal: the part of the observation that is the goal.

    Raises:
        UsageError: it has no `compute_reward`.
    """

    def __init__(self, env: gymnasium.Env, goal: Leaf):
        if not env.has_wrapper_attr("compute_reward"):
            raise UsageError(
                "`hindsight` requires an environment with a method compute_reward(achieved, desired, info)."
            )
        self._goal = goal
        self._reward = _Rowwise(env.get_wrapper_attr("compute_reward"))
        ends = env.has_wrapper_attr("compute_terminated")
        self._terminated = _Rowwise(env.get_wrapper_attr("compute_terminated")) if ends else None

    def __call__(
        self, achieved: Num[np.ndarray, "row entry"], desired: Num[np.ndarray, "row entry"]
    ) -> tuple[Float[np.ndarray, " row"], Bool[np.ndarray, " row"] | None]:
        """Return the reward of reaching `achieved` under each goal, and whether the episode terminates there."""
        goals = [flat.astype(self._goal.dtype).reshape(-1, *self._goal.shape) for flat in (achieved, desired)]
        terminated = None if self._terminated is None else self._terminated(*goals).astype(bool)
        return self._reward(*goals).astype(np.float32), terminated


class _Rowwise:
    """A function of two goals and an info, for many goals: at once where it can, else one after the other."""

    def __init__(self, function: Callable[[Any, Any, dict[str, Any]], Any]):
        self._function = function
        self._at_once: bool | None = None

    def __call__(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        if self._at_once is None:
            self._at_once = self._works_at_once(achieved[:TRIED], desired[:TRIED])
        try:
            if self._at_once:
                return np.asarray(self._function(achieved, desired, {}))
            return self._each(achieved, desired)
        except Exception as error:
            name = getattr(self._function, "__name__", "compute_reward")
            raise EntraxError(f"The environment's {name} raised {type(error).__name__}: {error}") from error

    def _works_at_once(self, achieved: np.ndarray, desired: np.ndarray) -> bool:
        """Compare on pairs that the first rows may miss: a goal that is reached is among them."""
        some = np.concatenate([achieved, achieved[:1]]), np.concatenate([desired, achieved[:1]])
        try:
            tried = np.asarray(self._function(*some, {}))
        except Exception:  # a function for one goal can raise anything when it is given several
            return False
        return tried.shape == (len(some[0]),) and np.array_equal(tried, self._each(*some))

    def _each(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        return np.array([self._function(a, d, {}) for a, d in zip(achieved, desired, strict=True)])
