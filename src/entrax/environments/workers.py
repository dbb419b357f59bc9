"""Environments in worker processes of our own: no fork, no multiprocessing, so user scripts need no main guard."""

import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float, Num

from entrax.environments.faults import EnvironmentFault
from entrax.environments.messages import DONE, STEP, Shared, receive, send_json, shared_arrays, shared_bytes
from entrax.environments.pool import Step, check_alike
from entrax.environments.slot import Replayed
from entrax.environments.source import EnvSource
from entrax.environments.spaces import action_size
from entrax.environments.traits import Traits
from entrax.errors import EntraxError
from entrax.spec import spec_from_json

START_SECONDS = 120.0
"""An environment may take so long to be made; longer where the limit of a step is longer."""


class Worker:
    """One process, its socket, and the numbers of the environments it steps."""

    def __init__(self, indices: list[int], setup: dict[str, Any], memory: int):
        self.indices = indices
        self.socket, theirs = socket.socketpair()
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "entrax.environments.worker", str(theirs.fileno()), str(memory)],
                pass_fds=(theirs.fileno(), memory),
                stdin=subprocess.DEVNULL,
                env=os.environ | threads | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )
        send_json(self.socket, setup | {"indices": indices})

    def answer(self, timeout: float | None) -> tuple[bytes, Any]:
        """The next message. Raises TimeoutError, or EOFError when the process is gone."""
        if timeout is not None and not select.select([self.socket], [], [], timeout)[0]:
            raise TimeoutError
        return receive(self.socket)

    def alive(self) -> bool:
        """Whether the process is there to be asked."""
        return self.socket.fileno() >= 0 and self.process.poll() is None

    def exit_status(self) -> int:
        """The status of a process whose socket was found closed; one that lingers is killed."""
        self.socket.close()
        try:
            return self.process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode

    def kill(self) -> None:
        """End the process at once: after a timeout, what it may still answer must never be read."""
        self.socket.close()
        self.process.kill()
        self.process.wait()


class WorkerPool:
    """`count` environments spread over `workers` processes, which step theirs at the same time."""

    def __init__(self, source: EnvSource, count: int, workers: int, step_timeout: float | None = None):
        self.source, self.count, self.step_timeout = source, count, step_timeout
        self.start_seconds = max(START_SECONDS, step_timeout or 0.0)
        with tempfile.TemporaryFile() as file:
            self._memory = os.dup(file.fileno())
        self._shared: Shared
        self._setup = {"source": source.to_process(), "path": sys.path}
        self._episodes: list[tuple[int | None, int]] = [(None, 0)] * count  # (seed, steps), for messages
        groups = [list(map(int, group)) for group in np.array_split(np.arange(count), workers)]
        self._workers: list[Worker] = []
        try:
            self._workers = [Worker(group, self._setup, self._memory) for group in groups]
            self._share([made for worker in self._workers for made in self._made(worker)])
        except BaseException:
            self.close()
            raise

    def _made(self, worker: Worker) -> list[dict[str, Any]]:
        """What the worker's environments are, each once it is made."""
        return [self._one_made(worker, index) for index in worker.indices]

    def _one_made(self, worker: Worker, index: int) -> dict[str, Any]:
        self._episodes[index] = (None, 0)
        return self._expect(worker, self.start_seconds, index)

    def _share(self, made: list[dict[str, Any]]) -> None:
        """Lay out the memory that the pool and its workers share, now that the sizes are known."""
        specs = [spec_from_json(each["spec"]) for each in made]
        check_alike(specs)
        limit, learners = made[0]["traits"]
        self.spec, self.traits = specs[0], Traits(time_limit=limit, learners=tuple(learners))
        self._sizes: dict[str, Any] = {"count": self.count, "obs_size": self.spec.obs_size}
        self._sizes |= {
            "obs_dtype": np.dtype(self.spec.obs_dtype).name,
            "action_size": action_size(self.spec.action),
        }
        os.truncate(self._memory, shared_bytes(**self._sizes))
        self._shared = shared_arrays(self._memory, **self._sizes)
        for worker in self._workers:
            self._tell(worker, self._sizes)

    def reset_many(self, seeds: Mapping[int, int]) -> dict[int, Num[np.ndarray, " obs"]]:
        asked = []
        for worker in self._workers:
            mine = {i: int(seeds[i]) for i in worker.indices if i in seeds}
            if mine:
                for index, seed in mine.items():
                    self._episodes[index] = (seed, 0)
                self._tell(worker, {"do": "reset", "seeds": mine})
                asked.append(worker)
        self._answers(asked, self.step_timeout)
        return {i: self._shared.next_obs[i].copy() for i in seeds}

    def step(self, actions: Float[np.ndarray, "env action"]) -> Step:
        self.send(actions)
        return self.receive()

    def send(self, actions: Float[np.ndarray, "env action"]) -> None:
        self._shared.action[:] = actions
        self._episodes = [(seed, steps + 1) for seed, steps in self._episodes]
        for worker in self._workers:
            self._tell(worker, None)

    def receive(self) -> Step:
        self._answers(self._workers, self.step_timeout)
        shared = self._shared
        return Step(
            next_obs=shared.next_obs.copy(),
            reward=shared.reward.copy(),
            terminated=shared.terminated.copy(),
            truncated=shared.truncated.copy(),
            success=shared.success.copy(),
        )

    def replay(self, index: int, seed: int, actions: Float[np.ndarray, "t action"]) -> Replayed:
        worker = self._worker_of(index)
        self._episodes[index] = (seed, len(actions))
        request = {"do": "replay", "index": index, "seed": seed}
        self._tell(worker, request | {"actions": actions.ravel().tolist(), "shape": list(actions.shape)})
        limit = None if self.step_timeout is None else self.step_timeout * (1 + len(actions))
        return Replayed(**self._expect(worker, limit, index))

    def restart(self, index: int) -> set[int]:
        old = self._worker_of(index)
        if old.alive():
            self._tell(old, {"do": "restart", "index": index})
            self._one_made(old, index)
            return {index}
        self._shared.busy[old.indices] = False
        new = Worker(old.indices, self._setup, self._memory)
        self._workers[self._workers.index(old)] = new
        self._made(new)
        self._tell(new, self._sizes)
        return set(old.indices)

    def close(self) -> None:
        for worker in self._workers:
            worker.socket.close()
        for worker in self._workers:
            try:
                worker.process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                worker.kill()
        self._workers = []
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _worker_of(self, index: int) -> Worker:
        return next(worker for worker in self._workers if index in worker.indices)

    def _tell(self, worker: Worker, request: dict[str, Any] | None) -> None:
        try:
            worker.socket.sendall(STEP) if request is None else send_json(worker.socket, request)
        except OSError:
            self._lost(worker, f"lost its worker process (exit status {worker.exit_status()})")

    def _answers(self, workers: list[Worker], limit: float | None) -> list[dict[str, Any]]:
        """One answer of each, all of them read before the first fault is raised: none must be left for later."""
        asked = time.monotonic()
        answers, faults = [], []
        for worker in workers:
            try:
                answers.append(self._expect(worker, limit, asked=asked))
            except (EntraxError, RuntimeError) as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        return answers

    def _expect(
        self, worker: Worker, limit: float | None, index: int | None = None, asked: float | None = None
    ) -> dict[str, Any]:
        """The worker's answer about environment `index`, or about all of its own, each of which may take `limit` s."""
        try:
            kind, content = self._message(worker, limit, index, time.monotonic() if asked is None else asked)
        except TimeoutError:
            worker.kill()
            making = index is not None and self._episodes[index][0] is None
            advice = " (a longer `step_timeout` allows more)" if making else ""
            self._lost(worker, f"did not answer within {limit:g} s{advice}", index)
        except (EOFError, OSError):
            self._lost(worker, f"lost its worker process (exit status {worker.exit_status()})", index)
        if kind == DONE:
            return {}
        if "fault" in content:
            raise EnvironmentFault(*content["fault"])
        if "error" in content:
            raise EntraxError(content["error"])
        if "misuse" in content:
            raise RuntimeError(content["misuse"])
        return content

    def _message(self, worker: Worker, limit: float | None, index: int | None, asked: float) -> tuple[bytes, Any]:
        if limit is None or index is not None:
            return worker.answer(limit)
        busy: int | None = worker.indices[0]
        while True:
            try:
                return worker.answer(max(0.0, asked + limit - time.monotonic()))
            except TimeoutError:
                before, busy = busy, self._busy(worker)
                if busy == before:
                    raise
                asked = time.monotonic()  # the worker has gone on to its next environment, which has its own time

    def _busy(self, worker: Worker) -> int | None:
        """The environment that the worker is resetting or stepping."""
        return next((i for i in worker.indices if self._shared.busy[i]), None)

    def _lost(self, worker: Worker, cause: str, index: int | None = None) -> NoReturn:
        if index is None:
            busy = self._busy(worker)
            index = worker.indices[0] if busy is None else busy
        seed, step = self._episodes[index]
        raise EnvironmentFault(index, seed, step, cause)
