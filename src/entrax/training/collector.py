"""Collecting transitions: environments within their episodes, stepped together."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from entrax.environments.faults import EnvironmentFault
from entrax.environments.pool import Pool, PoolStep
from entrax.environments.seeds import episode_seed
from entrax.environments.slot import obs_digest, rewards_digest
from entrax.replay import UniformReplay
from entrax.spec import Transition

Choose = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From observations [env, obs] to actions, as the agent sees them and as the environment takes them."""


class Collector:
    """Steps every environment of a pool and stores the transitions; every episode has a seed of its own.

    `start` or `restore` comes first. After up to `restarts_allowed` faults, the environment is made again and starts a
    new episode. `note` is called with each of these, and with each episode that could not be restored exactly.
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
        """(return, length) of the episodes that ended since `pop_ended`, in step order."""
        self.obs = np.zeros((pool.count, pool.spec.obs_size), pool.spec.obs_dtype)
        self.actions: list[list[np.ndarray]] = [[] for _ in range(pool.count)]
        """The actions of every environment's episode so far, in its own bounds."""
        self.reward_digests: list[str | None] = [""] * pool.count
        """A digest of the rewards of every episode so far; None where a checkpoint of an older version had none."""

    def start(self) -> None:
        """Start the first episodes."""
        self._begin(range(self.pool.count))

    def truncate_episodes(self) -> None:
        """Truncate the episodes under way, so that an evaluation can use the environments; `start` starts the next."""
        for i in np.flatnonzero(self.lengths):
            self.replay.cut(int(i))
            self.episode[i] += 1

    def step(self, choose: Choose, carry: Callable[[], np.ndarray] | None = None) -> None:
        """Step every environment once, with the actions that `choose` returns for the observations.

        `carry` returns the policy's carry that it has chosen with, flat, to be stored with the transitions.
        """
        unit, action, step = self._stepped(choose)
        self.replay.append(
            Transition(
                obs=self.obs,
                action=unit,
                reward=step.reward,
                next_obs=step.next_obs,
                terminated=step.terminated,
                truncated=step.truncated,
                carry=None if carry is None else carry(),
            )
        )
        for actions, taken in zip(self.actions, action, strict=True):
            actions.append(taken.copy())  # a view would keep all that it was computed with
        self.reward_digests = [
            None if before is None else rewards_digest(before, reward)
            for before, reward in zip(self.reward_digests, step.reward, strict=True)
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

    def pop_ended(self) -> list[tuple[float, int]]:
        """Return (return, length) of the episodes that ended since the last call, in step order."""
        ended, self.ended = self.ended, []
        return ended

    def save(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a checkpoint holds: a tree of arrays, and JSON data."""
        actions = {str(i): np.array(actions) for i, actions in enumerate(self.actions) if actions}
        tree = {"actions": actions, "obs": self.obs, "returns": self.returns, "lengths": self.lengths}
        counts = {"episode": list(self.episode), "ended": list(self.ended), "restarts": self.restarts}
        return tree, counts | {"rewards": list(self.reward_digests)}

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Continue from what `save` gave, the arrays by their paths.

        Every environment returns to the middle of its episode.
        """
        self.episode, self.restarts = list(meta["episode"]), meta["restarts"]
        self.ended = [(total, length) for total, length in meta["ended"]]
        self.obs, self.returns, self.lengths = (arrays[name].copy() for name in ("obs", "returns", "lengths"))
        self.reward_digests = list(meta.get("rewards", [None] * self.pool.count))
        self.actions = [list(arrays.get(f"actions/{i}", ())) for i in range(self.pool.count)]
        self._replay_episodes(range(self.pool.count))

    def _stepped(self, choose: Choose) -> tuple[np.ndarray, np.ndarray, PoolStep]:
        while True:
            unit, action = choose(self.obs)
            try:
                return unit, action, self.pool.step(action)
            except EnvironmentFault as fault:
                self._restart(fault)
                # The others may have taken the step, or lost a process they shared: they go back to before it.
                self._replay_episodes(i for i in range(self.pool.count) if i != fault.index)

    def _begin(self, indices: Iterable[int]) -> None:
        waiting = set(indices)
        while waiting:
            seeds = {i: self._seed(i) for i in sorted(waiting)}
            try:
                first = self.pool.reset_many(seeds)
            except EnvironmentFault as fault:
                lost = self._restart(fault)
                self._replay_episodes(lost - waiting)
                waiting -= {fault.index}
                continue
            for i, obs in first.items():
                self.obs[i] = obs
                self.returns[i] = self.lengths[i] = 0
                self.actions[i], self.reward_digests[i] = [], ""
            return

    def _restart(self, fault: EnvironmentFault) -> set[int]:
        """Replace the environment that failed and start a new episode; the rows so far stay.

        Returns the environments that lost a process they shared with it.
        """
        if self.restarts >= self.restarts_allowed:
            raise fault
        self.restarts += 1
        i = fault.index
        self.note(f"{fault} It was restarted ({self.restarts} of {self.restarts_allowed}); its episode was dropped.")
        lost = self.pool.restart(i) - {i}
        self._abandon_episode(i)
        return lost

    def _replay_episodes(self, indices: Iterable[int]) -> None:
        """Replay episodes up to now; where the observation then differs, start a new episode.

        An episode whose rewards differ continues, since either may be right, but the run is inexact.
        """
        waiting = list(indices)
        while waiting:
            i = waiting.pop(0)
            actions = np.array(self.actions[i]).reshape(len(self.actions[i]), self.pool.spec.action.size)
            try:
                replayed = self.pool.replay(i, self._seed(i), actions)
                if replayed.obs == obs_digest(self.obs[i]):
                    if self.reward_digests[i] not in (None, replayed.rewards):
                        self.note(
                            f"Replaying the episode of environment {i} gave other rewards: they depend on something "
                            "besides the seed and the actions."
                        )
                    continue
                why = "replaying its actions led to another observation"
            except (EnvironmentFault, RuntimeError) as error:
                why = f"replaying its actions failed: {error}"
                waiting += self.pool.restart(i) - {i, *waiting}
            self.note(f"The episode of environment {i} could not be restored ({why}); a new one was started.")
            self._abandon_episode(i)

    def _abandon_episode(self, i: int) -> None:
        self.replay.cut(i)  # in a row that is in the log already it is not: the run is inexact from here anyway
        self.episode[i] += 1
        self._begin([i])

    def _seed(self, i: int) -> int:
        return episode_seed(self.seed, i, self.episode[i], stream="training")
