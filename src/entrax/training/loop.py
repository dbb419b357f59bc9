"""One run, from a configuration to a trained policy on disk."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array

from entrax.environments.make import make_pool
from entrax.environments.pool import Pool
from entrax.environments.source import EnvSource
from entrax.environments.spaces import random_actions, rescale
from entrax.errors import EntraxError, say
from entrax.policies.controller import Controller, Scaling
from entrax.replay import Data, Rollout, UniformReplay
from entrax.runs import checkpoint
from entrax.runs.directory import RunDirectory
from entrax.runs.metrics import Logger, MetricsWriter
from entrax.runs.transition_log import TransitionLog
from entrax.spec import Progress, Spec, Transition
from entrax.training.actor import Actor
from entrax.training.checkpointing import Cost, save
from entrax.training.chunks import Chunk, chunks, crossed, evaluates_after
from entrax.training.collector import Collector
from entrax.training.devices import Devices, put
from entrax.training.initial_state import Start
from entrax.training.interrupts import Interrupted, Interrupts
from entrax.training.learner import ACT, INIT, RANDOM, SAMPLE, UPDATE, chunk_key, update_many
from entrax.training.normaliser import Normaliser, RewardScale
from entrax.training.options import TrainingOptions
from entrax.training.pending import Diverged, PendingUpdates
from entrax.training.run import command_again, with_prior_placeholder
from entrax.training.selection import evaluate_mode

Hook = Callable[[dict[str, Any]], Any]
Loggers = Callable[[RunDirectory], Sequence[Logger]]


@dataclass(frozen=True)
class Task:
    """Everything a run's outcome depends on."""

    source: EnvSource
    spec: Spec
    agent: ModuleType
    config: Any  # as `agent.resolve` returned it
    options: TrainingOptions  # resolved
    seed: int


class Training:
    """A run while it is being trained. `train` does it all, after `restore` or from the start."""

    def __init__(self, task: Task, run: RunDirectory, writer: MetricsWriter, devices: Devices, start_time: float):
        self.task, self.run, self.writer, self.devices = task, run, writer, devices
        self.start_time, self.paused = start_time, 0.0
        """Process start, and seconds since then that were spent on evaluation: both `time.perf_counter` seconds."""
        options = task.options
        self.data: Data = task.agent.data(task.config)
        self.start = Start.of(run)
        self.offline = "data" in run.config
        """Whether nothing is collected: the replay is what the run began with."""
        rows = options.steps + options.envs + (self.start.transitions if self.start else 0)
        self.replay = UniformReplay(task.spec, min(self.data.capacity, rows), options.envs)
        self.actor = Actor(task.spec.action, devices.actor)
        self.normaliser = Normaliser(task.spec.scaled_size, options.normalise_obs)
        self.rewards = RewardScale.of(task.config, options.envs, options.normalise_rewards)
        self.key = put(jr.key(task.seed), devices.learner)
        self.actor_key = put(jr.key(task.seed), devices.actor)
        self.config = put(task.config, devices.learner)
        init = eqx.filter_jit(task.agent.init)
        fresh = init(self.config, task.spec, jr.fold_in(self.key, INIT))
        self.state = with_prior_placeholder(task.agent, self.config, fresh, task.spec, run.config.get("prior"))
        self.info: list[tuple[int, Any]] = []
        """(updates, mean info) of the chunks since the last row."""
        self.pending = PendingUpdates(run)
        self.updates_per_chunk = int(np.ceil(options.updates_per_step * options.chunk * options.envs)) + 1
        self.next_chunk, self.step, self.updates = 0, 0, 0
        self.last_row = (0, 0.0, 0)
        self.saved_at = (-1, 0.0)
        """The chunk before which the run was last saved, and the seconds of training then."""
        self.windows: deque[int] = deque(maxlen=checkpoint.KEEP)
        """The oldest logged step that each of the kept checkpoints needs."""
        self.best = -np.inf
        self.exact = True
        self.warned: set[str] = set()
        self.log: TransitionLog | None = None
        self.cost = Cost()
        """Spent on the log and on checkpoints by this process."""
        self.pool: Pool = make_pool(task.source, options.envs, options.workers, options.step_timeout)
        self.collector = Collector(self.pool, self.replay, task.seed, options.restart_envs, self.inexact)

    def train(self, hook: Hook | None = None) -> RunDirectory:
        """Run the rest of the schedule, with rows, evaluations and checkpoints.

        `hook` sees each row and stops the run by a true value. Raises Interrupted after a signal, the run being saved.
        The pool stays open, for the caller to close.
        """
        with Interrupts() as interrupts:
            if self.log is None:
                kept = self.start.begin(self) if self.start else []
                self.log = TransitionLog(self.run.path / "replay", self.replay.packed_bytes)
                for steps in kept:
                    self.log.append(steps)
                self.collector.start()
            try:
                self._run(interrupts, hook)
                if self.task.options.eval_every:
                    self._report(self._evaluate(), hook)
                save(self, "final")
                if self.updates == 0:
                    fewer = "" if self.data.on_policy else ", or lower `learning_starts` or raise `updates_per_step`"
                    self._warn_once(
                        f"Nothing was learned: the run ended after {self.step:,} steps, before its first update. Take "
                        f"more steps{fewer}."
                    )
            finally:
                self.log.close()
            if interrupts.requested is not None:
                raise Interrupted(
                    interrupts.requested, f"Interrupted when training had ended; {self.run.path} is whole."
                )
        return self.run

    def _run(self, interrupts: Interrupts, hook: Hook | None) -> None:
        """The chunks, until the end or until the hook stops them."""
        options = self.task.options
        for chunk in chunks(options):
            if chunk.index < self.next_chunk:
                continue
            interrupts.renew()
            if interrupts.requested is not None:
                save(self, "step")
                where = f"at step {self.step}; `{command_again('resume', self.run)}` goes on."
                raise Interrupted(interrupts.requested, f"Interrupted and saved {where}")
            if chunk.cut and 0 < chunk.index != self.saved_at[0]:
                save(self, "step")  # the last point that a longer run has in common with this one
            self._play(chunk)
            before, last = chunk.step, chunk.times == 0
            going_on = self.step < options.steps
            stopped = False
            if last or (crossed(options.log_every or 0, before, self.step) and going_on):
                stopped |= self._report(self._row(), hook)
            if evaluates_after(options, chunk):
                stopped |= self._report(self._evaluate(), hook)
                if options.shares_envs and not self.offline:
                    self.collector.start()
            if going_on and (stopped or self._save_is_due(before)):
                save(self, "step")
            if stopped:
                self.run.append_event({"kind": "stopped", "step": self.step, "message": "The hook stopped the run."})
                return

    def _play(self, chunk: Chunk) -> None:
        if self.start:
            self.config, self.state = self.start.annealed(self.config, self.state, self._progress(chunk))
        # Before the updates, which acting must not wait for; on policy after them.
        packed = None if self.data.on_policy else self._packed(chunk)
        self._learn(chunk)
        if self.data.on_policy:
            if chunk.updates and self._can_draw():  # the rollout was acted, and learned from, with the scaling before
                self._normalise(self.task.options.chunk)
            packed = self._packed(chunk)
        self._collect(chunk, packed)
        if chunk.times and not self.data.on_policy:
            self._normalise(chunk.times)
        if chunk.times and self.rewards.enabled and not self.offline:
            steps = self.replay.last(chunk.times)
            self.rewards.advance(steps.reward, steps.terminated | steps.truncated)
        self.next_chunk = chunk.index + 1
        self.step, self.updates = chunk.step + chunk.times * self.task.options.envs, chunk.update + chunk.updates

    def seconds(self) -> float:
        """Seconds of training since the process started, compilation included, evaluation not."""
        return time.perf_counter() - self.start_time - self.paused

    def _learn(self, chunk: Chunk) -> None:
        """Hand the chunk's updates to the learner; they run while the caller goes on."""
        self.pending.raise_if_diverged(keep=1)
        if chunk.updates == 0 or not self._can_draw():
            return
        task = self.task
        rng = np.random.default_rng((task.seed, SAMPLE, chunk.index))
        # Always the same shapes, so that one program serves every chunk.
        batches = self.data.draw(self.replay, rng, max(self.updates_per_chunk, chunk.updates))
        key = chunk_key(self.key, UPDATE, chunk.index)
        scaled = batches._replace(reward=self.rewards(batches.reward))
        self.state, learned = update_many(
            *(task.agent, self.config, self.state, scaled, self._scaling()),
            *(self._progress(chunk), key, np.asarray(chunk.updates)),
        )
        self.info.append((chunk.updates, learned.info))
        self.pending.add(chunk, batches, learned)

    def _can_draw(self) -> bool:
        """Whether the replay has enough to learn from, which it has unless some of it was lost."""
        return len(self.replay) >= max(1, self.data.steps_needed(self.task.options.envs))

    def _packed(self, chunk: Chunk) -> dict[str, Array] | None:
        """What the chunk's steps are acted with; None where they are random, or not taken at all."""
        random = chunk.random and self.start is None  # what was learned before is no worse than chance
        if self.offline or random or not chunk.times:
            return None
        return self.actor.pack(*self._acting(), self._progress(chunk))

    def _collect(self, chunk: Chunk, packed: dict[str, Array] | None) -> None:
        """Take the chunk's steps, with what is packed or at random."""
        if self.offline:
            return
        task, action = self.task, self.task.spec.action
        rng = np.random.default_rng((task.seed, RANDOM, chunk.index))
        if packed is not None:
            self.actor.hand_over(packed, chunk_key(self.actor_key, ACT, chunk.index), self._recent())
            self.pending.raise_if_diverged(keep=int(chunk.updates > 0 and not self.data.on_policy))  # no acting by NaN
        for t in range(chunk.times):
            if packed is None:
                drawn = random_actions(action, rng, task.options.envs)
                self.collector.step(lambda obs, drawn=drawn: (drawn, rescale(action, drawn)))  # type: ignore[misc]
            else:
                self.collector.step(lambda obs, t=t: self.actor(obs, t, self.collector.lengths == 0))  # type: ignore[misc]
        if task.options.shares_envs and evaluates_after(task.options, chunk):
            self.collector.leave()  # before the log, which must hold where the episodes end
        if chunk.times:
            assert self.log is not None
            with self.cost:
                self.log.append(self.replay.packed(chunk.times))

    def _recent(self) -> Transition | None:
        """What a policy that remembers looks back on."""
        return self.data.recent(self.replay) if isinstance(self.data, Rollout) else None

    def _progress(self, chunk: Chunk) -> Progress:
        horizon = self.task.options.horizon
        return Progress(step=np.asarray(chunk.step, np.int32), horizon=np.asarray(horizon, np.int32))

    def _normalise(self, times: int) -> None:
        """Observations of the last `times` steps count from now on; the scale of a prior or of a data set stays."""
        if not self.normaliser.enabled or self.offline or "prior" in self.run.config:
            return
        self.normaliser.advance(self.replay.last(times).obs.reshape(-1, self.task.spec.obs_size))

    def _acting(self) -> tuple[Any, Scaling]:
        """The present policy and scaling."""
        return self.task.agent.policy(self.config, self.state), self._scaling()

    def _scaling(self) -> Scaling:
        return self.normaliser.scaling()

    def controller(self) -> Controller:
        """The present policy, ready to act."""
        policy, scaling = put(self._acting(), self.devices.actor)
        return Controller(policy=policy, scaling=scaling, spec=self.task.spec)

    def _row(self) -> dict[str, Any]:
        self.pending.raise_if_diverged()
        step, updates = self.step, self.updates
        ended, infos = self.collector.ended, jax.device_get(self.info)
        row: dict[str, Any] = {"step": step, "updates": updates, "episodes": sum(self.collector.episode)}
        row["return"] = float(np.mean([r for r, _ in ended])) if ended else None
        row["length"] = float(np.mean([n for _, n in ended])) if ended else None
        total = sum(n for n, _ in infos)
        for name in infos[0][1] if infos else ():
            if name in {*row, "time", "evaluation"}:
                raise EntraxError(f"`update` of the agent reports {name!r}, a name of the training loop: rename it.")
            row[name] = float(sum(n * i[name] for n, i in infos) / total)
        self.collector.ended, self.info = [], []
        seconds, (step0, seconds0, updates0) = self.seconds(), self.last_row
        elapsed = max(seconds - seconds0, 1e-9)
        rates = {"steps_per_second": (step - step0) / elapsed, "updates_per_second": (updates - updates0) / elapsed}
        row["time"] = {"seconds": seconds, **rates, "saving": self.cost.wall, "saving_cpu": self.cost.cpu}
        self.last_row = (step, seconds, updates)
        return row

    def _report(self, row: dict[str, Any], hook: Hook | None) -> bool:
        """Write a row and show it to the hook; whether the hook asks to stop.

        Raises EntraxError if learning diverged.
        """
        self.writer.write(row)
        broken = [k for k, v in row.items() if isinstance(v, float) and not np.isfinite(v)]
        if broken:
            raise Diverged(
                f"Learning diverged before step {row['step']}: {', '.join(broken)} is not finite. A lower "
                "`learning_rate` or `normalise_obs` may help; the checkpoints written before are whole."
            )
        return hook is not None and bool(hook(row))

    def _evaluate(self) -> dict[str, Any]:
        """An evaluation row; keeps the policy as the best one if it is."""
        self.pending.raise_if_diverged()
        jax.block_until_ready(self.state)
        seconds, paused_at = self.seconds(), time.perf_counter()
        task = self.task
        result = evaluate_mode(self.controller(), task.source, task.options, task.seed, self.pool, self._warn_once)
        if result.mean > self.best:
            self.best = result.mean
            save(self, "best")
        self.paused += time.perf_counter() - paused_at
        return {
            "step": self.step,
            "updates": self.updates,
            "evaluation": result.to_json(),
            "time": {"seconds": seconds},
        }

    def _warn_once(self, message: str) -> None:
        if message not in self.warned:
            self.warned.add(message)
            say(message)
            self.run.append_event({"kind": "warning", "step": self.step, "message": message})

    def close(self) -> None:
        """Close the log, also the one that a checkpoint which could not be restored left open."""
        if self.log is not None:
            self.log.close()
            self.log = None

    def inexact(self, reason: str) -> None:
        """From here on the run is not what an uninterrupted, faultless one would be."""
        self.exact = False
        say(reason)
        self.run.append_event({"kind": "inexact", "step": self.step, "message": reason})

    def _save_is_due(self, before: int) -> bool:
        options = self.task.options
        late = 0 < options.checkpoint_seconds <= self.seconds() - self.saved_at[1]
        return late or crossed(options.checkpoint_every, before, self.step)
