"""Collecting: the environments in the middle of their episodes, and what happens to them step by step."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from entrax.environments.faults import EnvironmentFault
from entrax.environments.pool import Pool, Step
from entrax.environments.seeds import episode_seed
from entrax.environments.slot import obs_digest, rewards_digest
from entrax.replay import UniformReplay
from entrax.spec import Transition

Choose = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From observations [env, obs] to actions, as the agent sees them and as the environment takes them."""


class Collector:
    """Steps every environment of a pool and stores the transitions; every episode has a seed of its own.

    `start` or `restore` comes first. Up to `restarts_allowed` faults of environments are answered by a new episode in a
    new environment; `note` is told of each, and of any episode that could not be taken up exactly.
    """

    def __init__(
        self,
        pool: Pool,
        replay: UniformReplay,
        seed: int,
        restarts_allowed: int = 0,
        note: Callable[[str], None] = lambda reason: None,
    ):
        self.pool, self.replay, self.seed = pool, replay, seed
        self.restarts_allowed, self.restarts, self.note = restarts_allowed, 0, note
        self.episode = [0] * pool.count
        self.returns = np.zeros(pool.count)
        self.lengths = np.zeros(pool.count, np.int64)
        self.ended: list[tuple[float, int]] = []
        """(return, length) of the episodes that ended since the list was last emptied, in step order."""
        self.obs = np.zeros((pool.count, pool.spec.obs_size), pool.spec.obs_dtype)
        self.actions: list[list[np.ndarray]] = [[] for _ in range(pool.count)]
        """What every environment was given since its episode began, in its own bounds."""
        self.rewards: list[str | None] = [""] * pool.count
        """A digest of the rewards since then; None in an episode from a checkpoint that holds none."""

    def start(self) -> None:
        """Begin the first episodes."""
        self._begin(range(self.pool.count))

    def leave(self) -> None:
        """Truncate the episodes under way, so that the environments can be used by others; `start` begins the next."""
        for i in np.flatnonzero(self.lengths):
            self.replay.cut(int(i))
            self.episode[i] += 1

    def step(self, choose: Choose) -> None:
        """One step of every environment, with the actions that `choose` finds for the observations."""
        unit, action, step = self._stepped(choose)
        self.replay.append(
            Transition(
                obs=self.obs,
                action=unit,
                reward=step.reward,
                next_obs=step.next_obs,
                terminated=step.terminated,
                truncated=step.truncated,
            )
        )
        for actions, taken in zip(self.actions, action, strict=True):
            actions.append(taken.copy())  # a view would keep all that it was computed with
        self.rewards = [
            None if before is None else rewards_digest(before, reward)
            for before, reward in zip(self.rewards, step.reward, strict=True)
        ]
        self.returns += step.reward
        self.lengths += 1
        self.obs = step.next_obs.copy()
        ended = np.flatnonzero(step.terminated | step.truncated)
        for i in ended:
            self.ended.append((float(self.returns[i]), int(self.lengths[i])))
            self.episode[i] += 1
        if len(ended):
            self._begin(map(int, ended))

    def save(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """All of this that a checkpoint holds: a tree of arrays, and JSON data."""
        actions = {str(i): np.array(actions) for i, actions in enumerate(self.actions) if actions}
        tree = {"actions": actions, "obs": self.obs, "returns": self.returns, "lengths": self.lengths}
        counts = {"episode": list(self.episode), "ended": list(self.ended), "restarts": self.restarts}
        return tree, counts | {"rewards": list(self.rewards)}

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Continue from what `save` gave, the arrays by their paths.

        Every environment is brought back into the middle of its episode.
        """
        self.episode, self.restarts = list(meta["episode"]), meta["restarts"]
        self.ended = [(total, length) for total, length in meta["ended"]]
        self.obs, self.returns, self.lengths = (arrays[name].copy() for name in ("obs", "returns", "lengths"))
        self.rewards = list(meta.get("rewards", [None] * self.pool.count))
        self.actions = [list(arrays.get(f"actions/{i}", ())) for i in range(self.pool.count)]
        self._take_up(range(self.pool.count))

    def _stepped(self, choose: Choose) -> tuple[np.ndarray, np.ndarray, Step]:
        while True:
            unit, action = choose(self.obs)
            try:
                return unit, action, self.pool.step(action)
            except EnvironmentFault as fault:
                self._restart(fault)
                # The others may have taken the step, or lost a process they shared: they go back to before it.
                self._take_up(i for i in range(self.pool.count) if i != fault.index)

    def _begin(self, indices: Iterable[int]) -> None:
        waiting = set(indices)
        while waiting:
            seeds = {i: self._seed(i) for i in sorted(waiting)}
            try:
                first = self.pool.reset_many(seeds)
            except EnvironmentFault as fault:
                lost = self._restart(fault)
                self._take_up(lost - waiting)
                waiting -= {fault.index}
                continue
            for i, obs in first.items():
                self.obs[i] = obs
                self.returns[i] = self.lengths[i] = 0
                self.actions[i], self.rewards[i] = [], ""
            return

    def _restart(self, fault: EnvironmentFault) -> set[int]:
        """A new environment and episode in place of the one that failed, whose rows so far stay.

        Returns the environments that lost a process they shared with it.
        """
        if self.restarts >= self.restarts_allowed:
            raise fault
        self.restarts += 1
        i = fault.index
        self.note(f"{fault} It was restarted ({self.restarts} of {self.restarts_allowed}); its episode was dropped.")
        lost = self.pool.restart(i) - {i}
        self._give_up(i)
        return lost

    def _take_up(self, indices: Iterable[int]) -> None:
        """Replay episodes up to now; where that does not lead to the same observation, begin another.

        An episode with other rewards goes on, since nothing tells which are the right ones, but the run is inexact.
        """
        waiting = list(indices)
        while waiting:
            i = waiting.pop(0)
            actions = np.array(self.actions[i]).reshape(len(self.actions[i]), self.pool.spec.action.size)
            try:
                replayed = self.pool.replay(i, self._seed(i), actions)
                if replayed.obs == obs_digest(self.obs[i]):
                    if self.rewards[i] not in (None, replayed.rewards):
                        self.note(
                            f"Replaying the episode of environment {i} gave other rewards: they depend on something "
                            "besides the seed and the actions."
                        )
                    continue
                why = "replaying its actions led to another observation"
            except (EnvironmentFault, RuntimeError) as error:
                why = f"replaying its actions failed: {error}"
                waiting += self.pool.restart(i) - {i, *waiting}
            self.note(f"The episode of environment {i} could not be taken up ({why}); a new one was begun.")
            self._give_up(i)

    def _give_up(self, i: int) -> None:
        self.replay.cut(i)  # in a row that is in the log already it is not: the run is inexact from here anyway
        self.episode[i] += 1
        self._begin([i])

    def _seed(self, i: int) -> int:
        return episode_seed(self.seed, i, self.episode[i], stream="training")
