"""Hindsight experience replay (Andrychowicz et al. 2017, arXiv:1707.01495): goals that were reached after all.

A goal environment observes the goal it is to reach and what it has achieved. A step of an episode that missed its goal
is also a step of one that aimed at what was achieved later. So in a share of each batch the goal of a transition t
becomes what was achieved after step t' of the same episode, t' ≥ t uniform (the paper's "future"), and reward and
termination are computed again for it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from entrax.replay.uniform import UniformReplay
from entrax.spec import Transition

Numbers = Int[np.ndarray, "batches batch"]


@dataclass(frozen=True)
class Goals:
    """Where the flat observation has what was achieved and what is desired, and what the latter decides.

    Attributes:
        achieved: the entries [start, stop) of what was achieved.
        desired: those of the goal, as many.
        outcome: the rewards of reaching `achieved`, [row, entry], under the goals `desired`, and whether the episodes
            terminate there; None in place of the latter if goals do not decide it.
    """

    achieved: tuple[int, int]
    desired: tuple[int, int]
    outcome: Callable[
        [Num[np.ndarray, "row entry"], Num[np.ndarray, "row entry"]],
        tuple[Float[np.ndarray, " row"], Bool[np.ndarray, " row"] | None],
    ]


class Hindsight:
    """A `Source` that draws from a replay as it is, and replaces the goals of a share of the transitions.

    Args:
        replay: the transitions.
        goals: the goals in their observations.
        share: of the transitions, from 0 to 1; 0.8 in the paper.
    """

    def __init__(self, replay: UniformReplay, goals: Goals, share: float):
        self.replay, self.goals, self.share = replay, goals, share

    def __len__(self) -> int:
        return len(self.replay)

    def sample(self, rng: np.random.Generator, batches: int, batch_size: int) -> Transition:
        """Draw transitions uniformly, with replacement: fields of shape [batches, batch_size, ...]."""
        replay, shape = self.replay, (batches, batch_size)
        if len(replay) == 0:
            raise ValueError("the replay is empty")
        step, env = np.divmod(rng.integers(len(replay), size=shape), replay.envs)
        drawn = {name: rows[self._place(step), env] for name, rows in replay.rows.fields().items()}
        chosen = rng.random(shape) < self.share
        later = step + np.floor(rng.random(shape) * (self._last_steps(step, env) - step + 1)).astype(int)
        if chosen.any():
            reached = replay.rows.next_obs[self._place(later[chosen]), env[chosen]]
            self._relabel(drawn, chosen, reached[:, slice(*self.goals.achieved)])
        return Transition(**drawn)

    def _relabel(
        self, drawn: dict[str, np.ndarray], chosen: Bool[np.ndarray, "batches batch"], goal: np.ndarray
    ) -> None:
        for name in ("obs", "next_obs"):
            rows = drawn[name][chosen]
            rows[:, slice(*self.goals.desired)] = goal
            drawn[name][chosen] = rows
        achieved = drawn["next_obs"][chosen][:, slice(*self.goals.achieved)]
        drawn["reward"][chosen], terminated = self.goals.outcome(achieved, goal)
        if terminated is not None:
            drawn["terminated"][chosen] = terminated

    def _place(self, step: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
        """Return where in the ring a step is, counted from the oldest that is stored."""
        stored = len(self.replay) // self.replay.envs
        return (self.replay.appended - stored + step) % self.replay.times

    def _last_steps(self, step: Numbers, env: Numbers) -> Numbers:
        """Return the last stored step of the episodes in which some steps are."""
        rows, stored = self.replay.rows, len(self.replay) // self.replay.envs
        place = self._place(np.arange(stored))
        last = np.empty_like(step)
        for each in range(self.replay.envs):
            over = rows.terminated[place, each] | rows.truncated[place, each]
            over[-1] = True
            ends = np.flatnonzero(over)
            own = env == each
            last[own] = ends[np.searchsorted(ends, step[own])]
        return last
