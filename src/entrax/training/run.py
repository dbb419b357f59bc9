"""One run, from a configuration to a trained policy on disk."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np

from entrax.agents.controller import Controller, Scaling, act_in_episodes
from entrax.environments.make import make_pool
from entrax.environments.pool import Pool
from entrax.environments.source import EnvSource
from entrax.environments.spaces import rescale
from entrax.errors import EntraxError
from entrax.evaluation.episodes import Evaluation, evaluate
from entrax.replay import UniformReplay
from entrax.runs import checkpoint
from entrax.runs.directory import RunDirectory
from entrax.runs.metrics import MetricsWriter
from entrax.runs.pytree import flatten
from entrax.spec import Continuous, Progress, Spec
from entrax.training.collector import Collector, act
from entrax.training.devices import Devices, put
from entrax.training.learner import update_many
from entrax.training.normaliser import Normaliser
from entrax.training.options import Options
from entrax.training.schedule import Chunk, chunks, crossed

Hook = Callable[[dict[str, Any]], bool | None]

# Streams of random numbers: each is split off the run's seed by its own number, then by the chunk's.
INIT, UPDATE, ACT, SAMPLE, RANDOM = range(5)


@dataclass(frozen=True)
class Task:
    """Everything a run's outcome depends on."""

    source: EnvSource
    spec: Spec
    agent: ModuleType
    config: Any  # as `agent.resolve` returned it
    options: Options  # resolved
    seed: int


class Training:
    """A run while it is being trained. `train` does it all; the other methods are its steps."""

    def __init__(self, task: Task, run: RunDirectory, writer: MetricsWriter, devices: Devices, started: float):
        self.task, self.run, self.writer, self.devices = task, run, writer, devices
        self.started, self.paused = started, 0.0
        """Process start, and seconds since then that were spent on evaluation: both `time.perf_counter` seconds."""
        options, data = task.options, task.agent.data(task.config)
        self.batch_size = data.batch_size
        self.pool: Pool = make_pool(task.source, options.envs, options.workers, options.step_timeout)
        self.replay = UniformReplay(task.spec, min(data.capacity, options.steps + options.envs), options.envs)
        self.collector = Collector(self.pool, self.replay, task.seed)
        self.normaliser = Normaliser(task.spec.obs_size, options.normalise_obs)
        self.key = put(jr.key(task.seed), devices.learner)
        self.actor_key = put(jr.key(task.seed), devices.actor)
        self.config = put(task.config, devices.learner)
        init = eqx.filter_jit(task.agent.init)
        self.state = init(self.config, task.spec, jr.fold_in(self.key, INIT))
        self.info: list[tuple[int, dict[str, jax.Array]]] = []
        """(updates, mean info) of the chunks since the last row."""
        self.updates_per_chunk = int(np.ceil(options.updates_per_step * options.chunk * options.envs)) + 1
        self.last_row = (0, 0.0, 0)
        self.best = -np.inf

    def train(self, hook: Hook | None = None) -> RunDirectory:
        """Run the whole schedule, with rows, evaluations and checkpoints; `hook` sees each row and stops by True."""
        options, stopped = self.task.options, False
        step = updates = 0
        with self.pool:
            for chunk in chunks(options):
                scaling = self._scaling()
                policy = self.task.agent.policy(self.config, self.state)
                self._learn(chunk, scaling)
                self._collect(chunk, policy, scaling)
                step, before = chunk.step + chunk.times * options.envs, chunk.step
                updates = chunk.update + chunk.updates
                last = chunk.times == 0
                going_on = step < options.steps
                if last or (crossed(options.log_every or 0, before, step) and going_on):
                    stopped |= self._report(self._row(step, updates), hook)
                if going_on and crossed(options.eval_every or 0, before, step):
                    stopped |= self._report(self._evaluate(step, updates), hook)
                if going_on and crossed(options.checkpoint_every or 0, before, step):
                    self._save("step", step, updates)
                if stopped:
                    self.run.append_event({"kind": "stopped", "step": step, "message": "The hook stopped the run."})
                    break
        self._save("final", step, updates)
        if options.eval_every:
            self._report(self._evaluate(step, updates), hook)
        return self.run

    def seconds(self) -> float:
        """Seconds of training since the process started, compilation included, evaluation not."""
        return time.perf_counter() - self.started - self.paused

    def _learn(self, chunk: Chunk, scaling: Scaling) -> None:
        """Hand the chunk's updates to the learner; they run while the caller goes on."""
        if chunk.updates == 0:
            return
        task = self.task
        rng = np.random.default_rng((task.seed, SAMPLE, chunk.index))
        # Always the same shapes, so that one program serves every chunk.
        batches = self.replay.sample(rng, max(self.updates_per_chunk, chunk.updates), self.batch_size)
        key = jr.fold_in(jr.fold_in(self.key, UPDATE), chunk.index)
        self.state, info = update_many(
            task.agent, self.config, self.state, batches, scaling, self._progress(chunk), key, np.asarray(chunk.updates)
        )
        self.info.append((chunk.updates, info))

    def _collect(self, chunk: Chunk, policy: Any, scaling: Scaling) -> None:
        """Take the chunk's steps, at random or with `policy`, which may still be on its way from the learner."""
        task, envs = self.task, self.task.options.envs
        assert isinstance(task.spec.action, Continuous)
        rng = np.random.default_rng((task.seed, RANDOM, chunk.index))
        key = jr.fold_in(jr.fold_in(self.actor_key, ACT), chunk.index)
        if not chunk.random:
            policy, scaling = put((policy, scaling), self.devices.actor)
        for t in range(chunk.times):
            if chunk.random:
                unit = rng.uniform(-1.0, 1.0, (envs, task.spec.action.size)).astype(np.float32)
                action = rescale(task.spec.action, unit)
            else:
                obs = self.collector.obs
                acted = act(policy, scaling, task.spec.action, obs, self._progress(chunk), key, np.asarray(t))
                unit, action = (np.asarray(a) for a in acted)
            self.collector.store(unit, action)
        self.normaliser.advance(self.replay.last(chunk.times).obs.reshape(-1, task.spec.obs_size))

    def _progress(self, chunk: Chunk) -> Progress:
        return Progress(step=np.asarray(chunk.step, np.int32), horizon=np.asarray(self.task.options.steps, np.int32))

    def _scaling(self) -> Scaling:
        mean, scale = self.normaliser.scaling()
        return Scaling(mean=mean, scale=scale)

    def controller(self) -> Controller:
        """The present policy, ready to act."""
        policy = self.task.agent.policy(self.config, self.state)
        policy, scaling = put((policy, self._scaling()), self.devices.actor)
        return Controller(policy=policy, scaling=scaling, spec=self.task.spec)

    def _row(self, step: int, updates: int) -> dict[str, Any]:
        ended, infos = self.collector.ended, jax.device_get(self.info)
        row: dict[str, Any] = {"step": step, "updates": updates, "episodes": sum(self.collector.episode)}
        row["return"] = float(np.mean([r for r, _ in ended])) if ended else None
        row["length"] = float(np.mean([n for _, n in ended])) if ended else None
        total = sum(n for n, _ in infos)
        for name in infos[0][1] if infos else ():
            row[name] = float(sum(n * i[name] for n, i in infos) / total)
        self.collector.ended, self.info = [], []
        seconds, (step0, seconds0, updates0) = self.seconds(), self.last_row
        elapsed = max(seconds - seconds0, 1e-9)
        rates = {"steps_per_second": (step - step0) / elapsed, "updates_per_second": (updates - updates0) / elapsed}
        row["time"] = {"seconds": seconds, **rates}
        self.last_row = (step, seconds, updates)
        return row

    def _report(self, row: dict[str, Any], hook: Hook | None) -> bool:
        """Write a row and show it to the hook; whether the hook asks to stop.

        Raises EntraxError if learning diverged.
        """
        self.writer.write(row)
        broken = [k for k, v in row.items() if isinstance(v, float) and not np.isfinite(v)]
        if broken:
            raise EntraxError(
                f"Learning diverged before step {row['step']}: {', '.join(broken)} is not finite. A lower "
                "--learning-rate or --normalise-obs may help; the checkpoints written before are whole."
            )
        return hook is not None and hook(row) is True

    def _evaluate(self, step: int, updates: int) -> dict[str, Any]:
        """An evaluation row; keeps the policy as the best one if it is."""
        jax.block_until_ready(self.state)
        seconds, paused_at = self.seconds(), time.perf_counter()
        result = self.evaluation()
        if result.mean > self.best:
            self.best = result.mean
            self._save("best", step, updates)
        self.paused += time.perf_counter() - paused_at
        row = {"step": step, "updates": updates, "evaluation": result.to_json(), "time": {"seconds": seconds}}
        return row

    def evaluation(self) -> Evaluation:
        """Episodes of the present policy's mode; the same episode seeds every time, so that rows compare."""
        options, task = self.task.options, self.task
        with make_pool(task.source, min(options.eval_episodes, 10), options.workers, options.step_timeout) as pool:
            return evaluate(
                act_in_episodes(self.controller(), sample=False, seed=task.seed),
                task.source,
                episodes=options.eval_episodes,
                seed=task.seed,
                policy="mode",
                stream="selection",
                pool=pool,
            )

    def _save(self, kind: str, step: int, updates: int) -> None:
        policy = self.task.agent.policy(self.config, self.state)
        tree: dict[str, Any] = {"policy": policy, "normaliser": self.normaliser.arrays()}
        if kind != "best":
            tree["state"] = self.state
        meta = {"step": step, "updates": updates, "agent": self.run.config["agent"]}
        checkpoint.save(self.run, checkpoint.checkpoint_name(kind, step), flatten(tree), meta)


def options_json(options: Options) -> dict[str, Any]:
    """The options as config.json holds them."""
    return asdict(options)
