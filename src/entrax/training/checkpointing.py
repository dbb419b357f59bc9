"""What a checkpoint holds of a run under way, and how a run continues from it.

Random keys are not among it: every draw follows from the seed and the number of its chunk. Nor are schedules, which
follow from the options and the chunk, nor the actor's snapshot, which is the policy of the saved state.
"""

import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from entrax.replay import UniformReplay
from entrax.runs import checkpoint, transition_log
from entrax.runs.pytree import flatten, subtree, unflatten
from entrax.runs.transition_log import TransitionLog
from entrax.training.devices import put
from entrax.training.pending import Diverged

if TYPE_CHECKING:
    from entrax.training.loop import Training

Arrays = dict[str, np.ndarray]


class Cost:
    """What is spent while it is entered: seconds on the clock, and seconds of this thread's CPU time."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.thread_time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall += time.perf_counter() - self._began[0]
        self.cpu += time.thread_time() - self._began[1]


def save(training: "Training", kind: str) -> None:
    """Publish a checkpoint: "step" can be resumed from, "final" ends the run, "best" is but a policy to use.

    Raises Diverged rather than save what is not finite, and CannotWrite with the earlier checkpoints as they were.
    """
    training.pending.raise_if_diverged()
    jax.block_until_ready(training.state)  # learning goes on until here; what follows is the cost of saving
    with training.cost:
        _save(training, kind)


def _save(training: "Training", kind: str) -> None:
    policy = training.task.agent.policy(training.config, training.state)
    scaling = training.normaliser.arrays() | {"rewards": training.rewards.arrays()}
    tree: dict[str, Any] = {"policy": policy, "normaliser": scaling}
    run = training.run
    meta = {"step": training.step, "updates": training.updates, "agent": run.config["agent"]}
    meta["config"] = run.config_digest()
    if kind != "best":
        collected, counts = training.collector.save()
        tree |= {"state": training.state, "collector": collected, "actor": training.actor.arrays()}
        tree["info"] = {str(i): info for i, (_, info) in enumerate(training.info)}
        meta |= _progress(training) | {"collector": counts}
    arrays = flatten(tree)
    _refuse_infinite(arrays, training.step)
    checkpoint.save(run, checkpoint.checkpoint_name(kind, training.step), arrays, meta)
    if kind == "step":
        training.saved_at = (training.next_chunk, training.seconds())
        training.windows.append(meta["replay"]["window"])
        assert training.log is not None
        training.log.drop_before(min(training.windows))


def _refuse_infinite(arrays: Arrays, step: int) -> None:
    """Raises Diverged when a number is not finite, which no update was."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise Diverged(f"{name} is not finite at step {step}: no checkpoint is written of it.")


def _progress(training: "Training") -> dict[str, Any]:
    assert training.log is not None
    return {
        "chunk": training.next_chunk,
        "info_updates": [updates for updates, _ in training.info],
        "last_row": list(training.last_row),
        "best": training.best if np.isfinite(training.best) else None,
        "seconds": training.seconds(),
        "exact": training.exact,
        "replay": training.log.record(window=training.log.rows - len(training.replay) // training.replay.envs),
        "appended": training.replay.appended,
        "metrics": training.run.metrics_record(),
    }


def restore(training: "Training", arrays: Arrays, meta: dict[str, Any], salvage: bool = False) -> None:
    """Bring a run that has not begun to where `save` left it. Raises EntraxError when something does not fit.

    With `salvage`, transitions that are damaged are left out, and the run is marked as inexact.
    """
    training.step = meta["step"]
    training.state = put(unflatten(training.state, subtree("state", arrays)), training.devices.learner)
    training.normaliser.restore(subtree("normaliser", arrays))
    training.rewards.restore(subtree("normaliser/rewards", arrays))
    training.actor.restore(subtree("actor", arrays))
    infos = [subtree(f"info/{i}", arrays) for i in range(len(meta["info_updates"]))]
    training.info = list(zip(meta["info_updates"], infos, strict=True))
    training.next_chunk, training.updates = meta["chunk"], meta["updates"]
    step, seconds, updates = meta["last_row"]
    training.last_row = (step, seconds, updates)
    training.saved_at = (training.next_chunk, meta["seconds"])
    training.best = -np.inf if meta["best"] is None else meta["best"]
    _restore_replay(training, meta, salvage)  # cuts the log, so all else must fit
    training.exact &= meta["exact"]
    training.start_time -= meta["seconds"]
    training.collector.restore(subtree("collector", arrays), meta["collector"])


def _restore_replay(training: "Training", meta: dict[str, Any], salvage: bool) -> None:
    folder, record, replay = training.run.path / "replay", meta["replay"], training.replay
    damage = transition_log.damage(folder, record) if salvage else None
    if damage is not None:
        training.log = TransitionLog.after(folder, record)
        _salvage(training, training.log, record, damage)
        return
    replay.appended = meta.get("appended", record["rows"]) - (record["rows"] - record["window"])
    training.log = TransitionLog.resume(folder, record)
    for packed in transition_log.read_rows(folder, record, record["window"], record["rows"]):
        replay.unpack(packed)
    training.windows.append(training.log.first * training.log.segment_rows)  # older checkpoints may need what is kept


def _salvage(training: "Training", log: TransitionLog, record: dict[str, Any], damage: str) -> None:
    """Put the transitions that are whole into the replay and into a log after the damaged one."""
    replay = training.replay
    replay.appended = 0
    if training.offline and training.start is not None:  # the run has the whole data set in another file, too
        whole: Iterable[bytes] = training.start.fill(replay)
    else:
        whole = _whole(log.folder, record, replay)
    for packed in whole:
        log.append(packed)
    lost = (record["rows"] - record["window"]) * replay.envs - len(replay)
    training.inexact(f"{damage} {lost:,} transitions of the replay are lost, {len(replay):,} are left.")


def _whole(folder: Path, record: dict[str, Any], replay: UniformReplay) -> Iterator[bytes]:
    """Append what is whole to the replay, with every episode cut where rows are missing after it; and as packed."""
    end = record["rows"], record["rows"]
    for (start, stop), (following, _) in pairwise([*transition_log.whole_spans(folder, record), end]):
        for packed in transition_log.read_rows(folder, record, start, stop):
            replay.unpack(packed)
        if stop < following:
            for env in range(replay.envs):
                replay.cut(env)
        yield replay.packed(stop - start)
