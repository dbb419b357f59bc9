"""Environments in worker processes.

Our own processes rather than Gymnasium's or multiprocessing's: no fork beside JAX's threads, no main guard in the
user's script, a time limit for each step, and restarts of single environments.
"""

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
from entrax.environments.messages import (
    DONE,
    PICTURE,
    STEP,
    Picture,
    Shared,
    receive,
    send_json,
    shared_arrays,
    shared_bytes,
)
from entrax.environments.pool import PoolStep, check_alike
from entrax.environments.slot import Replayed
from entrax.environments.source import EnvSource
from entrax.environments.spaces import action_size
from entrax.environments.traits import Traits
from entrax.errors import EntraxError, UsageError
from entrax.spec import spec_from_json

START_SECONDS = 120.0
"""Seconds that making an environment may take, unless the limit of a step is longer."""


class Worker:
    """One worker process, its socket, and the numbers of its environments."""

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
        """Return the next message.

        Raises TimeoutError, or EOFError if the process has ended.
        """
        if timeout is not None and not select.select([self.socket], [], [], timeout)[0]:
            raise TimeoutError
        return receive(self.socket)

    def alive(self) -> bool:
        """Return whether the process is running."""
        return self.socket.fileno() >= 0 and self.process.poll() is None

    def exit_status(self) -> int:
        """Return the exit status of a process whose socket is closed.

        Kill it if it does not end.
        """
        self.socket.close()
        try:
            return self.process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode

    def kill(self) -> None:
        """Kill the process: after a timeout, a late answer must never be read."""
        self.socket.close()
        self.process.kill()
        self.process.wait()


class WorkerPool:
    """`count` environments in `workers` processes, which step at the same time."""

    def __init__(
        self,
        source: EnvSource,
        count: int,
        workers: int,
        step_timeout: float | None = None,
        render_mode: str | None = None,
    ):
        self.source, self.count, self.step_timeout = source, count, step_timeout
        self.start_seconds = max(START_SECONDS, step_timeout or 0.0)
        with tempfile.TemporaryFile() as file:
            self._memory = os.dup(file.fileno())
        self._shared: Shared
        self._setup = {"source": source.to_process(), "path": sys.path, "render_mode": render_mode}
        self._episodes: list[tuple[int | None, int]] = [(None, 0)] * count  # (seed, steps), for messages
        groups = [list(map(int, group)) for group in np.array_split(np.arange(count), workers)]
        self._workers: list[Worker] = []
        try:
            self._workers = [Worker(group, self._setup, self._memory) for group in groups]
            self._share([one for worker in self._workers for one in self._descriptions(worker)])
        except BaseException:
            self.close()
            raise

    def _descriptions(self, worker: Worker) -> list[dict[str, Any]]:
        """Wait for the worker's environments; return the spec and traits of each."""
        return [self._description(worker, index) for index in worker.indices]

    def _description(self, worker: Worker, index: int) -> dict[str, Any]:
        self._episodes[index] = (None, 0)
        return self._expect(worker, self.start_seconds, index)

    def _share(self, descriptions: list[dict[str, Any]]) -> None:
        """Allocate the memory that the pool and its workers share."""
        specs = [spec_from_json(each["spec"]) for each in descriptions]
        check_alike(specs)
        limit, learners, fps = descriptions[0]["traits"]
        self.spec, self.traits = specs[0], Traits(time_limit=limit, learners=tuple(learners), render_fps=fps)
        self._sizes: dict[str, Any] = {"count": self.count, "obs_size": self.spec.obs_size}
        self._sizes |= {
            "obs_dtype": np.dtype(self.spec.obs_dtype).name,
            "action_size": action_size(self.spec.action),
        }
        os.truncate(self._memory, shared_bytes(**self._sizes))
        self._shared = shared_arrays(self._memory, **self._sizes)
        for worker in self._workers:
            self._send(worker, self._sizes)

    def reset_many(self, seeds: Mapping[int, int]) -> dict[int, Num[np.ndarray, " obs"]]:
        waiting = []
        for worker in self._workers:
            mine = {i: int(seeds[i]) for i in worker.indices if i in seeds}
            if mine:
                for index, seed in mine.items():
                    self._episodes[index] = (seed, 0)
                self._send(worker, {"do": "reset", "seeds": mine})
                waiting.append(worker)
        self._answers(waiting, self.step_timeout)
        return {i: self._shared.next_obs[i].copy() for i in seeds}

    def step(self, actions: Float[np.ndarray, "env action"]) -> PoolStep:
        self.send(actions)
        return self.receive()

    def send(self, actions: Float[np.ndarray, "env action"]) -> None:
        self._shared.action[:] = actions
        self._episodes = [(seed, steps + 1) for seed, steps in self._episodes]
        for worker in self._workers:
            self._send(worker, None)

    def receive(self) -> PoolStep:
        self._answers(self._workers, self.step_timeout)
        shared = self._shared
        return PoolStep(
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
        self._send(worker, request | {"actions": actions.ravel().tolist(), "shape": list(actions.shape)})
        limit = None if self.step_timeout is None else self.step_timeout * (1 + len(actions))
        return Replayed(**self._expect(worker, limit, index))

    def render(self, index: int) -> Picture:
        worker = self._worker_of(index)
        self._send(worker, {"do": "render", "index": index})
        answer: Picture = self._expect(worker, self.step_timeout, index)
        return answer

    def restart(self, index: int) -> set[int]:
        old = self._worker_of(index)
        if old.alive():
            self._send(old, {"do": "restart", "index": index})
            self._description(old, index)
            return {index}
        self._shared.busy[old.indices] = False
        new = Worker(old.indices, self._setup, self._memory)
        self._workers[self._workers.index(old)] = new
        self._descriptions(new)
        self._send(new, self._sizes)
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

    def _send(self, worker: Worker, request: dict[str, Any] | None) -> None:
        try:
            worker.socket.sendall(STEP) if request is None else send_json(worker.socket, request)
        except OSError:
            self._raise_lost(worker, f"lost its worker process (exit status {worker.exit_status()})")

    def _answers(self, workers: list[Worker], limit: float | None) -> list[dict[str, Any]]:
        """Read one answer of each worker, then raise the first fault, so that no answer is left unread."""
        asked_at = time.monotonic()
        answers, faults = [], []
        for worker in workers:
            try:
                answers.append(self._expect(worker, limit, asked_at=asked_at))
            except (EntraxError, RuntimeError) as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        return answers

    def _expect(
        self, worker: Worker, limit: float | None, index: int | None = None, asked_at: float | None = None
    ) -> Any:
        """Return the worker's answer about environment `index`, or about each of its own, within `limit` seconds."""
        try:
            kind, content = self._message(worker, limit, index, time.monotonic() if asked_at is None else asked_at)
        except TimeoutError:
            worker.kill()
            making = index is not None and self._episodes[index][0] is None
            advice = " (raise `step_timeout`)" if making else ""
            self._raise_lost(worker, f"did not answer within {limit:g} s{advice}", index)
        except (EOFError, OSError):
            self._raise_lost(worker, f"lost its worker process (exit status {worker.exit_status()})", index)
        if kind == DONE:
            return {}
        if kind == PICTURE:
            return content
        if "fault" in content:
            raise EnvironmentFault(*content["fault"])
        if "error" in content:
            raise (UsageError if content["usage"] else EntraxError)(content["error"])
        if "misuse" in content:
            raise RuntimeError(content["misuse"])
        return content

    def _message(self, worker: Worker, limit: float | None, index: int | None, asked_at: float) -> tuple[bytes, Any]:
        if limit is None or index is not None:
            return worker.answer(limit)
        busy: int | None = worker.indices[0]
        while True:
            try:
                return worker.answer(max(0.0, asked_at + limit - time.monotonic()))
            except TimeoutError:
                before, busy = busy, self._busy(worker)
                if busy == before:
                    raise
                asked_at = time.monotonic()  # the worker has started its next environment, whose time starts now

    def _busy(self, worker: Worker) -> int | None:
        """Return the environment that the worker is resetting or stepping."""
        return next((i for i in worker.indices if self._shared.busy[i]), None)

    def _raise_lost(self, worker: Worker, cause: str, index: int | None = None) -> NoReturn:
        if index is None:
            busy = self._busy(worker)
            index = worker.indices[0] if busy is None else busy
        seed, step = self._episodes[index]
        raise EnvironmentFault(index, seed, step, cause)
