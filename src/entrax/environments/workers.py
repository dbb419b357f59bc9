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
from entrax.environments.messages import DONE, STEP, receive, send_json, shared_arrays, shared_bytes
from entrax.environments.pool import Step
from entrax.environments.slot import Slot
from entrax.environments.source import EnvSource
from entrax.environments.spaces import action_size
from entrax.errors import EntraxError

START_SECONDS = 120.0


class Worker:
    """One process, its socket, and the numbers of the environments it steps."""

    def __init__(self, indices: list[int], setup: dict[str, Any], memory: int):
        self.indices = indices
        self.socket, theirs = socket.socketpair()
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "entrax.environments.worker", str(theirs.fileno()), str(memory)],
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
        probe = Slot(source, 0)  # the constructor's mistakes are reported from here, and the spec is needed first
        self.spec = probe.spec
        probe.close()
        sizes: dict[str, Any] = {"count": count, "obs_size": self.spec.obs_size}
        sizes |= {"obs_dtype": np.dtype(self.spec.obs_dtype).name, "action_size": action_size(self.spec.action)}
        with tempfile.TemporaryFile() as file:
            file.truncate(shared_bytes(**sizes))
            self._memory = os.dup(file.fileno())
        self._shared = shared_arrays(self._memory, **sizes)
        self._setup = {"source": source.to_process(), "path": sys.path, **sizes}
        self._episodes: list[tuple[int | None, int]] = [(None, 0)] * count  # (seed, steps), for messages
        groups = [list(map(int, group)) for group in np.array_split(np.arange(count), workers)]
        self._workers = [Worker(group, self._setup, self._memory) for group in groups]
        self._answers(self._workers, START_SECONDS)

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
        )

    def replay(self, index: int, seed: int, actions: Float[np.ndarray, "t action"]) -> str:
        worker = self._worker_of(index)
        self._episodes[index] = (seed, len(actions))
        request = {"do": "replay", "index": index, "seed": seed}
        self._tell(worker, request | {"actions": actions.ravel().tolist(), "shape": list(actions.shape)})
        return self._expect(worker, None)["hash"]

    def restart(self, index: int) -> set[int]:
        old = self._worker_of(index)
        if old.alive():
            self._tell(old, {"do": "restart", "index": index})
            self._expect(old, START_SECONDS)
            return {index}
        self._shared.stepping[old.indices] = False
        new = Worker(old.indices, self._setup, self._memory)
        self._workers[self._workers.index(old)] = new
        self._expect(new, START_SECONDS)
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

    def _answers(self, workers: list[Worker], timeout: float | None) -> list[dict[str, Any]]:
        """One answer of each, all of them read before the first fault is raised: none must be left for later."""
        deadline = None if timeout is None else time.monotonic() + timeout
        answers, faults = [], []
        for worker in workers:
            try:
                answers.append(
                    self._expect(worker, None if deadline is None else max(0.0, deadline - time.monotonic()))
                )
            except (EntraxError, RuntimeError) as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        return answers

    def _expect(self, worker: Worker, timeout: float | None) -> dict[str, Any]:
        try:
            kind, content = worker.answer(timeout)
        except TimeoutError:
            worker.kill()
            self._lost(worker, f"did not answer within {self.step_timeout or START_SECONDS:g} s")
        except (EOFError, OSError):
            self._lost(worker, f"lost its worker process (exit status {worker.exit_status()})")
        if kind == DONE:
            return {}
        if "fault" in content:
            raise EnvironmentFault(*content["fault"])
        if "error" in content:
            raise EntraxError(content["error"])
        if "misuse" in content:
            raise RuntimeError(content["misuse"])
        return content

    def _lost(self, worker: Worker, cause: str) -> NoReturn:
        index = next((i for i in worker.indices if self._shared.stepping[i]), worker.indices[0])
        seed, step = self._episodes[index]
        raise EnvironmentFault(index, seed, step, cause)
