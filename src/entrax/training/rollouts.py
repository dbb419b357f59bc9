"""The acting side of training: collect transitions, keep them, draw batches from them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array

from entrax.environments.pool import Pool
from entrax.environments.spaces import random_allowed_actions, rescale
from entrax.errors import UsageError
from entrax.policies.controller import Scaling
from entrax.replay import Data, MixedSource, Rollout, Source, Uniform, UniformReplay
from entrax.runs import checkpoints, transition_log
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import subtree
from entrax.runs.transition_log import TransitionLog
from entrax.spec import Progress, Transition
from entrax.training.actor import Actor
from entrax.training.chunks import Chunk, evaluates_after
from entrax.training.collector import Collector
from entrax.training.devices import put
from entrax.training.goals import hindsight
from entrax.training.initial_state import InitialState
from entrax.training.learner import ACT, RANDOM, SAMPLE, chunk_key
from entrax.training.stopwatch import Stopwatch
from entrax.training.task import Task

Packed = dict[str, Array]


@runtime_checkable
class Rollouts(Protocol):
    """What the loop asks of the acting side; another implementation may keep environments and replay on the device.

    `begin` or `restore` comes first.
    """

    offline: bool
    """Whether nothing is collected: all there is to learn from is in the initial state."""
    data: Data
    pool: Pool
    """The environments, for evaluations that share them."""
    cost: Stopwatch
    """What this process has spent on keeping transitions."""

    def begin(self, stored: Iterable[bytes]) -> None:
        """Start the first episodes; `stored` are packed steps of the initial state, for the log."""
        ...

    def pack(self, policy: Any, scaling: Scaling, progress: Progress) -> Packed:
        """Return the policy as it is after the updates that the learner was given before."""
        ...

    def collect(self, chunk: Chunk, packed: Packed | None, check: Callable[[], None]) -> None:
        """Take the chunk's steps by the packed policy, or at random; `check` is called once the policy is there."""
        ...

    def return_from_evaluation(self) -> None:
        """Start new episodes in environments that an evaluation has used."""
        ...

    def can_draw(self) -> bool:
        """Return whether there is enough to learn from."""
        ...

    def draw(self, chunk: Chunk, updates: int) -> Transition:
        """Return batches for `updates` updates, a function of the seed and the chunk."""
        ...

    def last(self, times: int) -> Transition:
        """Return the last `times` steps [time, env, ...]."""
        ...

    def episodes(self) -> int:
        """Return how many episodes have ended."""
        ...

    def pop_ended(self) -> list[tuple[float, int]]:
        """Return (return, length) of the episodes that ended since the last call."""
        ...

    def pop_inexact(self) -> list[str]:
        """Return what happened since the last call that would not happen in an uninterrupted, faultless run."""
        ...

    def save(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a tree of arrays, and JSON data, for a checkpoint."""
        ...

    def saved(self, meta: Mapping[str, Any]) -> None:
        """Drop what only older checkpoints needed, once the one with `meta` is published."""
        ...

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], salvage: bool) -> None:
        """Continue from what `save` gave, the arrays by their paths; with `salvage` without what is damaged."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class HostRollouts:
    """Environments in a pool of workers, a replay in host memory with a log on disk, and an actor on the CPU.

    With `initial` holding a data set nothing is collected (`offline`). `sources` are drawn from beside the replay, by
    agents that learn from single transitions, each with its share of a batch.
    """

    def __init__(
        self,
        task: Task,
        run: RunDirectory,
        pool: Pool,
        device: jax.Device,
        initial: InitialState,
        sources: Sequence[tuple[Source, float]] = (),
    ):
        options = task.options
        self.task, self.pool, self.initial = task, pool, initial
        self.offline = initial.offline
        self.data: Data = task.agent.data(task.config)
        rows = options.steps + options.envs + initial.transitions
        self.replay = UniformReplay(task.spec, min(self.data.capacity, rows), options.envs, self.data.carry)
        if sources and not isinstance(self.data, Uniform):
            raise UsageError("Several sources require an agent that learns from single transitions.")
        share = 1.0 - sum(share for _, share in sources)
        self._open = ExitStack()
        own: Source = self.replay
        if options.hindsight > 0:
            if initial.transitions and not initial.offline:
                raise UsageError("`hindsight` requires a replay whose episodes are known: remove `keep_replay`.")
            own = self._open.enter_context(hindsight(task, self.replay))
        self.source: Source = MixedSource([(own, share), *sources]) if sources else own
        self.actor = Actor(task.spec.action, device, options.envs)
        self.key = put(jr.key(task.seed), device)
        self._inexact: list[str] = []
        self.collector = Collector(pool, self.replay, task.seed, options.restart_envs, self._inexact.append)
        self.folder = run.path / "replay"
        self.log: TransitionLog | None = None
        self.oldest_needed_steps: deque[int] = deque(maxlen=checkpoints.KEEP)
        """The oldest logged step that each of the kept checkpoints needs."""
        self.cost = Stopwatch()

    def begin(self, stored: Iterable[bytes]) -> None:
        """Start the first episodes, and the log with the packed steps of the initial state."""
        self.log = TransitionLog(self.folder, self.replay.packed_bytes)
        for steps in stored:
            self.log.append(steps)
        self.collector.start()

    def pack(self, policy: Any, scaling: Scaling, progress: Progress) -> Packed:
        """Return the policy as it is after the updates that the learner was given before."""
        return self.actor.pack(policy, scaling, progress)

    def collect(self, chunk: Chunk, packed: Packed | None, check: Callable[[], None]) -> None:
        """Take the chunk's steps by the packed policy, or at random, and log them."""
        if self.offline:
            return
        options = self.task.options
        rng = np.random.default_rng((self.task.seed, RANDOM, chunk.index))
        if packed is not None:
            self.actor.hand_over(packed, chunk_key(self.key, ACT, chunk.index), self._recent())
            check()
        carry = self.actor.carry_used if self.data.carry else None
        for t in range(chunk.steps_per_env):
            if packed is None:
                self.collector.step(partial(self._draw, rng))
            else:
                self.collector.step(partial(self._act, t), carry)
        if options.shares_envs and evaluates_after(options, chunk):
            self.collector.truncate_episodes()  # before the log, which must hold where the episodes end
        if chunk.steps_per_env:
            with self.cost:
                self._open_log().append(self.replay.packed(chunk.steps_per_env))

    def return_from_evaluation(self) -> None:
        """Start new episodes in environments that an evaluation has used."""
        if self.task.options.shares_envs and not self.offline:
            self.collector.start()

    def can_draw(self) -> bool:
        """Return whether there is enough to learn from, which is so unless some of the replay was lost."""
        return len(self.replay) >= max(1, self.data.steps_needed(self.task.options.envs))

    def draw(self, chunk: Chunk, updates: int) -> Transition:
        """Return batches for `updates` updates."""
        rng = np.random.default_rng((self.task.seed, SAMPLE, chunk.index))
        if isinstance(self.data, Uniform):
            return self.data.draw(self.source, rng, updates)
        return self.data.draw(self.replay, rng, updates)

    def last(self, times: int) -> Transition:
        """Return the last `times` steps [time, env, ...]."""
        return self.replay.last(times)

    def episodes(self) -> int:
        """Return how many episodes have ended."""
        return sum(self.collector.episode)

    def pop_ended(self) -> list[tuple[float, int]]:
        """Return (return, length) of the episodes that ended since the last call, in step order."""
        return self.collector.pop_ended()

    def pop_inexact(self) -> list[str]:
        """Return what happened since the last call that would not happen in an uninterrupted, faultless run."""
        reasons = list(self._inexact)
        self._inexact.clear()
        return reasons

    def save(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a tree of arrays, and JSON data; the replay stays in the log, of which they hold the record."""
        log, kept = self._open_log(), len(self.replay) // self.replay.envs
        tree, counts = self.collector.save()
        meta = {"collector": counts, "replay": log.record(window=log.rows - kept), "appended": self.replay.appended}
        return {"collector": tree, "actor": self.actor.arrays()}, meta

    def saved(self, meta: Mapping[str, Any]) -> None:
        """Drop the log's segments that no kept checkpoint needs, once the one with `meta` is published."""
        self.oldest_needed_steps.append(meta["replay"]["window"])
        self._open_log().drop_before(min(self.oldest_needed_steps))

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], salvage: bool) -> None:
        """Continue from what `save` gave, the arrays by their paths; cuts the log, so all else must fit.

        With `salvage` damaged transitions are left out, and `pop_inexact` has the reason.
        """
        self.actor.restore(subtree("actor", dict(arrays)))
        record = meta["replay"]
        damage = transition_log.damage(self.folder, record) if salvage else None
        if damage is not None:
            self._salvage(record, damage)
        else:
            self.replay.appended = meta.get("appended", record["rows"]) - (record["rows"] - record["window"])
            self.log = TransitionLog.resume(self.folder, record)
            for packed in transition_log.read_rows(self.folder, record, record["window"], record["rows"]):
                self.replay.unpack(packed)
            self.oldest_needed_steps.append(self.log.first * self.log.segment_rows)  # older checkpoints may need it
        self.collector.restore(subtree("collector", dict(arrays)), meta["collector"])

    def close(self) -> None:
        """Close the log, and the environment that computes the outcomes of other goals."""
        if self.log is not None:
            self.log.close()
        self._open.close()

    def _open_log(self) -> TransitionLog:
        if self.log is None:
            raise RuntimeError("begin or restore comes first.")
        return self.log

    def _draw(self, rng: np.random.Generator, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        drawn = random_allowed_actions(self.task.spec, rng, obs)
        return drawn, rescale(self.task.spec.action, drawn)

    def _act(self, t: int, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.actor(obs, t, self.collector.lengths == 0)

    def _recent(self) -> Transition | None:
        """Return the steps that the policy's carry is computed again from, if it is."""
        return self.data.recent(self.replay) if isinstance(self.data, Rollout) else None

    def _salvage(self, record: Mapping[str, Any], damage: str) -> None:
        """Put the transitions that are whole into the replay and into a log after the damaged one."""
        replay, self.log = self.replay, TransitionLog.after(self.folder, record)
        replay.appended = 0
        # An offline run has its whole data set in another file, too.
        whole = self.initial.fill(replay) if self.offline else _whole(self.folder, record, replay)
        for packed in whole:
            self.log.append(packed)
        lost = (record["rows"] - record["window"]) * replay.envs - len(replay)
        self._inexact.append(f"{damage} {lost:,} transitions of the replay are lost, {len(replay):,} are left.")


def _whole(folder: Path, record: Mapping[str, Any], replay: UniformReplay) -> Iterator[bytes]:
    """Append what is whole to the replay, with every episode cut where rows are missing after it; yield it packed."""
    end = record["rows"], record["rows"]
    for (start, stop), (following, _) in pairwise([*transition_log.whole_spans(folder, record), end]):
        for packed in transition_log.read_rows(folder, record, start, stop):
            replay.unpack(packed)
        if stop < following:
            for env in range(replay.envs):
                replay.cut(env)
        yield replay.packed(stop - start)
