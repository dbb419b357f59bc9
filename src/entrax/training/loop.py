"""The loop: chunk after chunk, learn, act, report, evaluate and save."""

import time
from typing import Any, NamedTuple

import jax
import numpy as np

from entrax.errors import UsageError, say
from entrax.policies.controller import Controller
from entrax.runs import checkpoints
from entrax.runs.directory import RunDirectory
from entrax.runs.metrics import MetricsWriter
from entrax.runs.pytree import flatten
from entrax.spec import Progress
from entrax.training.chunks import Chunk, chunks, crossed, evaluates_after
from entrax.training.devices import Devices, put
from entrax.training.from_record import command_again
from entrax.training.initial_state import InitialState
from entrax.training.interrupts import Interrupted, Interrupts
from entrax.training.learner import Learner
from entrax.training.pending import Diverged, diverged
from entrax.training.request import Hook
from entrax.training.rollouts import Packed, Rollouts
from entrax.training.run_state import LastRow, RunState, scales, to_checkpoint, unchecked_arrays
from entrax.training.selection import evaluate_mode
from entrax.training.stopwatch import Stopwatch
from entrax.training.task import Task

ROW_NAMES = {"step", "updates", "episodes", "return", "length", "time", "evaluation"}


class LastSave(NamedTuple):
    """The chunk before which the run was last saved, if it was, and the seconds of training then."""

    chunk: int | None
    seconds: float


class Clock:
    """Seconds of training since the process started, compilation included, evaluation not."""

    def __init__(self, start_time: float, before: float = 0.0):
        self._zero = start_time - before

    def seconds(self) -> float:
        """Return the seconds of training of this run, those of earlier processes included."""
        return time.perf_counter() - self._zero

    def exclude(self, seconds: float) -> None:
        """Do not count the last `seconds`."""
        self._zero += seconds


class Loop:
    """Drives a run from its state to the end of the schedule, or until the hook stops it."""

    def __init__(
        self,
        task: Task,
        run: RunDirectory,
        state: RunState,
        rollouts: Rollouts,
        initial: InitialState,
        devices: Devices,
        writer: MetricsWriter,
        start_time: float,
    ):
        self.task, self.run, self.state, self.rollouts, self.initial = task, run, state, rollouts, initial
        self.devices, self.writer = devices, writer
        self.learner = Learner(task, run, devices.learner)
        self.state.agent = put(state.agent, devices.learner)
        self.clock = Clock(start_time, state.seconds)
        self.cost = Stopwatch()
        self.last_save = LastSave(chunk=state.chunk or None, seconds=state.seconds)
        self._evaluated_at = -1
        self._warned: set[str] = set()

    def train(self, hook: Hook | None = None) -> None:
        """Run the rest of the schedule, then save the final checkpoint.

        Raises Interrupted after a signal, once the run is saved. The caller closes pool and rollouts.
        """
        with Interrupts() as interrupts:
            stopped = self._run(interrupts, hook)
            if self.task.options.eval_every and not (stopped and self._evaluated_at == self.state.step):
                self._report(self._evaluate(), hook)
            self.save("final")
            self._warn_without_updates()
            if interrupts.requested is not None:
                message = f"Interrupted after the end of training; {self.run.path} is complete."
                raise Interrupted(interrupts.requested, message)

    def _run(self, interrupts: Interrupts, hook: Hook | None) -> bool:
        """Run the chunks, until the end or until the hook stops them; return whether it did."""
        options = self.task.options
        for chunk in chunks(options):
            if chunk.index < self.state.chunk:
                continue
            interrupts.renew()
            if interrupts.requested is not None:
                self.save("step")
                where = f"at step {self.state.step}; `{command_again('resume', self.run)}` continues the run."
                raise Interrupted(interrupts.requested, f"Interrupted and saved {where}")
            if chunk.reaches_end and 0 < chunk.index != self.last_save.chunk:
                self.save("step")  # the last point that a longer run has in common with this one
            self._play(chunk)
            before, last = chunk.first_step, chunk.steps_per_env == 0
            unfinished, stopped = self.state.step < options.steps, False
            if last or (crossed(options.log_every or 0, before, self.state.step) and unfinished):
                stopped |= self._report(self._row(), hook)
            if evaluates_after(options, chunk):
                stopped |= self._report(self._evaluate(), hook)
                self.rollouts.return_from_evaluation()
            if unfinished and (stopped or self._save_is_due(before)):
                self.save("step")
            if stopped:
                event = {"kind": "stopped", "step": self.state.step, "message": "The hook stopped the run."}
                self.run.append_event(event)
                return True
        return False

    def _play(self, chunk: Chunk) -> None:
        """Learn and collect for one chunk, and advance the counters."""
        state, on_policy = self.state, self.rollouts.data.on_policy
        progress = self._progress(chunk)
        self.learner.config, state.agent = self.initial.annealed(
            self.task.agent, self.learner.config, state.agent, progress
        )
        # An off-policy agent acts by the policy before the updates, so that acting does not wait for them.
        packed = None if on_policy else self._packed(chunk, progress)
        self._learn(chunk, progress)
        if on_policy:
            if chunk.updates and self.rollouts.can_draw():  # the rollout was acted and learned from at the old scale
                self._normalise(self.task.options.chunk)
            packed = self._packed(chunk, progress)
        try:
            self.rollouts.collect(chunk, packed, lambda: self._check_before_acting(chunk))
        finally:
            self.note_inexact()
        if chunk.steps_per_env and not on_policy:
            self._normalise(chunk.steps_per_env)
        if chunk.steps_per_env and state.reward_scale.enabled and not self.rollouts.offline:
            steps = self.rollouts.last(chunk.steps_per_env)
            state.reward_scale.advance(steps.reward, steps.terminated | steps.truncated)
        state.chunk = chunk.index + 1
        state.step, state.updates = (
            chunk.first_step + chunk.steps_per_env * self.task.options.envs,
            chunk.first_update + chunk.updates,
        )

    def _learn(self, chunk: Chunk, progress: Progress) -> None:
        """Hand the chunk's updates to the learner; they run while the caller continues."""
        self.learner.pending.raise_if_diverged(keep=1)
        if chunk.updates == 0 or not self.rollouts.can_draw():
            return
        state = self.state
        batches = self.rollouts.draw(chunk, self.learner.batches(chunk))
        scaled = batches._replace(reward=state.reward_scale(batches.reward))
        scaling = state.normaliser.scaling()
        state.agent, info = self.learner.update(state.agent, chunk, batches, scaled, scaling, progress)
        state.reports.append((chunk.updates, info))

    def _check_before_acting(self, chunk: Chunk) -> None:
        """Raise Diverged if the policy that acts next is not finite."""
        self.learner.pending.raise_if_diverged(keep=int(chunk.updates > 0 and not self.rollouts.data.on_policy))

    def _packed(self, chunk: Chunk, progress: Progress) -> Packed | None:
        """Return what the chunk's steps are acted with; None where they are random or not taken at all."""
        random = chunk.random_actions and self.initial.record is None  # what was learned before is no worse than chance
        if self.rollouts.offline or random or not chunk.steps_per_env:
            return None
        return self.rollouts.pack(self._policy(), self.state.normaliser.scaling(), progress)

    def _progress(self, chunk: Chunk) -> Progress:
        horizon = self.task.options.horizon
        return Progress(step=np.asarray(chunk.first_step, np.int32), horizon=np.asarray(horizon, np.int32))

    def _normalise(self, times: int) -> None:
        """Count the observations of the last `times` steps; the scale of a prior or of a data set stays."""
        normaliser = self.state.normaliser
        if normaliser.enabled and not self.rollouts.offline and "prior" not in self.run.config:
            normaliser.advance(self.rollouts.last(times).obs.reshape(-1, self.task.spec.obs_size))

    def _policy(self) -> Any:
        return self.task.agent.policy(self.learner.config, self.state.agent)

    def controller(self) -> Controller:
        """Return the present policy, ready to act."""
        policy, scaling = put((self._policy(), self.state.normaliser.scaling()), self.devices.actor)
        return Controller(policy=policy, scaling=scaling, spec=self.task.spec)

    def _row(self) -> dict[str, Any]:
        """Return a row of metrics, and start the next one's means."""
        self.learner.pending.raise_if_diverged()
        state, ended = self.state, self.rollouts.pop_ended()
        reports, state.reports = jax.device_get(state.reports), []
        row: dict[str, Any] = {"step": state.step, "updates": state.updates, "episodes": self.rollouts.episodes()}
        row["return"] = float(np.mean([r for r, _ in ended])) if ended else None
        row["length"] = float(np.mean([n for _, n in ended])) if ended else None
        total = sum(n for n, _ in reports)
        for name in reports[0][1] if reports else ():
            if name in ROW_NAMES:
                raise UsageError(f"`update` of the agent reports {name!r}, a name of the training loop: rename it.")
            row[name] = float(sum(n * info[name] for n, info in reports) / total)
        seconds, last = self.clock.seconds(), state.last_row
        elapsed = max(seconds - last.seconds, 1e-9)
        row["time"] = {
            "seconds": seconds,
            "steps_per_second": (state.step - last.step) / elapsed,
            "updates_per_second": (state.updates - last.updates) / elapsed,
            "saving": self.cost.wall + self.rollouts.cost.wall,
            "saving_cpu": self.cost.cpu + self.rollouts.cost.cpu,
        }
        state.last_row = LastRow(step=state.step, seconds=seconds, updates=state.updates)
        return row

    def _report(self, row: dict[str, Any], hook: Hook | None) -> bool:
        """Write a row and show it to the hook; return whether the hook asks to stop.

        Raises Diverged if a number is not finite.
        """
        self.writer.write(row)
        broken = [k for k, v in row.items() if isinstance(v, float) and not np.isfinite(v)]
        if broken:
            raise Diverged(diverged(f"before step {row['step']}", ", ".join(broken)))
        return hook is not None and bool(hook(row))

    def _evaluate(self) -> dict[str, Any]:
        """Return an evaluation row; save the policy as the best one if it is."""
        self.learner.pending.raise_if_diverged()
        state, task = self.state, self.task
        self._evaluated_at = state.step
        jax.block_until_ready(state.agent)
        seconds, paused_at = self.clock.seconds(), time.perf_counter()
        pool = self.rollouts.pool
        result = evaluate_mode(self.controller(), task.source, task.options, task.seed, pool, self._warn_once)
        if result.mean > state.best:
            state.best = result.mean
            self.save("best")
        self.clock.exclude(time.perf_counter() - paused_at)
        times = {"seconds": seconds}
        return {"step": state.step, "updates": state.updates, "evaluation": result.to_json(), "time": times}

    def save(self, kind: str) -> None:
        """Publish a checkpoint: "step" can be resumed from, "final" ends the run, "best" holds only a policy.

        Raises Diverged rather than save a number that is not finite, and CannotWrite with the earlier checkpoints as
        they were.
        """
        self.learner.pending.raise_if_diverged()
        jax.block_until_ready(self.state.agent)  # learning goes on until here; the rest is the cost of saving
        with self.cost:
            self._save(kind)

    def _save(self, kind: str) -> None:
        state, run = self.state, self.run
        state.seconds = self.clock.seconds()
        meta = {"agent": run.config["agent"], "config": run.config_digest()}
        if kind == "best":
            tree: dict[str, Any] = {"normaliser": scales(state)}
            meta |= {"step": state.step, "updates": state.updates}
        else:
            (tree, counters), (acting, counts) = to_checkpoint(state), self.rollouts.save()
            tree |= acting
            meta |= counters | counts | {"metrics": run.metrics_record()}
        arrays = flatten(tree | {"policy": self._policy()})
        unchecked = unchecked_arrays(self.task.agent, state.agent)
        if kind != "best" and unchecked:
            meta["unchecked"] = unchecked
        for name, array in arrays.items():
            if name not in unchecked and not np.isfinite(array).all():
                raise Diverged(diverged(f"before step {state.step}", name))
        checkpoints.save(run, checkpoints.checkpoint_name(kind, state.step), arrays, meta)
        if kind == "step":
            self.last_save = LastSave(chunk=state.chunk, seconds=state.seconds)
            self.rollouts.saved(meta)

    def _save_is_due(self, before: int) -> bool:
        options = self.task.options
        late = 0 < options.checkpoint_seconds <= self.clock.seconds() - self.last_save.seconds
        return late or crossed(options.checkpoint_every, before, self.state.step)

    def _warn_without_updates(self) -> None:
        if self.state.updates == 0:
            fewer = "" if self.rollouts.data.on_policy else ", or lower `learning_starts` or raise `updates_per_step`"
            self._warn_once(
                f"Nothing was learned: the run ended after {self.state.step:,} steps, before its first update. Take "
                f"more steps{fewer}."
            )

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            say(message)
            self.run.append_event({"kind": "warning", "step": self.state.step, "message": message})

    def note_inexact(self, *reasons: str) -> None:
        """Record that the run is not what an uninterrupted, faultless one would be, if it is not."""
        for reason in (*reasons, *self.rollouts.pop_inexact()):
            self.state.exact = False
            say(reason)
            self.run.append_event({"kind": "inexact", "step": self.state.step, "message": reason})
