"""Environments here and in workers: the same bytes, the same faults, and no process left behind."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from entrax.environments.faults import EnvironmentFault
from entrax.environments.make import make_pool
from entrax.environments.source import EnvSource
from entrax.environments.workers import WorkerPool
from entrax.spec import Continuous

BOTH = pytest.mark.parametrize("workers", [0, 1])


def toy(**kwargs: object) -> EnvSource:
    return EnvSource(id="toys:Toy", kwargs=dict(kwargs))


def trace(source: EnvSource, workers: int, steps: int) -> list[bytes]:
    with make_pool(source, 3, workers) as pool:
        assert isinstance(pool.spec.action, Continuous)
        first = pool.reset_many({i: 100 + i for i in range(3)})
        rng = np.random.default_rng(0)
        answers = [np.stack([first[i] for i in range(3)])]
        for _ in range(steps):
            answers += pool.step(rng.uniform(-1, 1, (3, int(np.size(pool.spec.action.low)))).astype(np.float32))
    return [answer.tobytes() for answer in answers]


@pytest.mark.parametrize(("source", "steps"), [(toy(length=30), 20), (EnvSource(id="Pendulum-v1"), 50)])
def test_workers_give_the_same_bytes(source: EnvSource, steps: int) -> None:
    assert trace(source, 0, steps) == trace(source, 2, steps)


@BOTH
@pytest.mark.parametrize("truncate", [False, True])
def test_an_episode_ends_with_its_true_last_observation(workers: int, truncate: bool) -> None:
    with make_pool(toy(length=2, truncate=truncate), 1, workers) as pool:
        pool.reset_many({0: 1})
        going = pool.step(np.array([[1.0, 0.5]], np.float32))
        ended = pool.step(np.array([[-1.0, 0.25]], np.float32))
    assert (going.terminated[0], going.truncated[0]) == (False, False)
    assert (ended.terminated[0], ended.truncated[0]) == (not truncate, truncate)
    assert (ended.next_obs[0, 0], ended.next_obs[0, 2], ended.reward[0]) == (2.0, -1.0, 0.25)
    assert going.next_obs[0, 0] == 1.0  # the toy reuses its buffer, and so do workers; what was returned must not move


@BOTH
@pytest.mark.parametrize("kind", ["array flags", "numpy flags"])
def test_the_ends_of_episodes_may_be_bools_of_numpy(workers: int, kind: str) -> None:
    with make_pool(toy(length=2, fault=kind), 1, workers) as pool:
        pool.reset_many({0: 1})
        ends = [pool.step(np.zeros((1, 2), np.float32)).terminated[0] for _ in range(2)]
    assert ends == [False, True]


@BOTH
def test_the_time_limit_truncates(workers: int) -> None:
    with make_pool(EnvSource(id="toys:EntraxToy-v0"), 1, workers) as pool:
        pool.reset_many({0: 1})
        flags = [(s.terminated[0], s.truncated[0]) for s in (pool.step(np.zeros((1, 2), np.float32)) for _ in range(3))]
    assert flags == [(False, False), (False, False), (False, True)]


@BOTH
def test_actions_are_clipped_to_the_bounds(workers: int) -> None:
    with make_pool(toy(), 1, workers) as pool:
        pool.reset_many({0: 1})
        step = pool.step(np.array([[-99.0, 99.0]], np.float32))
    assert (step.next_obs[0, 2], step.reward[0]) == (-2.0, 3.0)


@BOTH
def test_discrete_choices_start_where_the_environment_says(workers: int) -> None:
    with make_pool(EnvSource(id="toys:Choices"), 1, workers) as pool:
        pool.reset_many({0: 1})
        assert pool.step(np.array([[2.0]], np.float32)).next_obs[0, 0] == 7.0


@BOTH
def test_replay_leads_to_the_same_observation_and_goes_on_from_there(workers: int) -> None:
    actions = np.random.default_rng(0).uniform(-2, 2, (12, 1)).astype(np.float32)
    with make_pool(EnvSource(id="Pendulum-v1"), 2, workers) as pool:
        pool.reset_many({0: 7, 1: 8})
        for action in actions[:-1]:
            last = pool.step(np.stack([action, action]))
        assert pool.replay(1, 7, actions[:-1]).obs == hashlib.sha256(last.next_obs[0].tobytes()).hexdigest()
        step = pool.step(np.stack([actions[-1], actions[-1]]))
        np.testing.assert_array_equal(step.next_obs[0], step.next_obs[1])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise", "KeyError: 'lost my keys'"),
        ("nan", "NaN"),
        ("inf", "infinity"),
        ("shape", r"shape \(4,\)"),
        ("text", "numbers"),
        ("nan reward", "reward nan"),
        ("vector reward", "reward"),
        ("text reward", "reward"),
        ("int flag", "terminated"),
    ],
)
def test_a_fault_is_one_sentence_and_the_same_in_a_worker(fault: str, words: str) -> None:
    messages = []
    for workers in (0, 1):
        with make_pool(toy(fault=fault), 1, workers) as pool:
            pool.reset_many({0: 11})
            pool.step(np.zeros((1, 2), np.float32))
            with pytest.raises(EnvironmentFault, match=words) as caught:
                pool.step(np.zeros((1, 2), np.float32))
        fault_ = caught.value
        assert (fault_.index, fault_.seed, fault_.step, fault_.exit_code) == (0, 11, 2, 3)
        assert "seed 11" in str(fault_)
        messages.append(str(fault_))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]


@BOTH
def test_a_fault_in_the_reset_is_step_0(workers: int) -> None:
    with make_pool(toy(fault="raise", at=0), 1, workers) as pool, pytest.raises(EnvironmentFault) as caught:
        pool.reset_many({0: 11})
    assert caught.value.step == 0


def test_a_restarted_environment_goes_on() -> None:
    for workers in (0, 1):
        with make_pool(toy(fault="raise"), 1, workers) as pool:
            first = pool.reset_many({0: 3})[0]
            pool.step(np.zeros((1, 2), np.float32))
            with pytest.raises(EnvironmentFault):
                pool.step(np.zeros((1, 2), np.float32))
            pool.restart(0)
            np.testing.assert_array_equal(pool.reset_many({0: 3})[0], first)


def test_after_a_fault_no_stale_answer_is_read() -> None:
    with make_pool(toy(fault="raise"), 2, workers=2) as pool:
        first = pool.reset_many({0: 1, 1: 2})
        pool.step(np.zeros((2, 2), np.float32))
        with pytest.raises(EnvironmentFault):
            pool.step(np.zeros((2, 2), np.float32))
        pool.restart(0)
        again = pool.reset_many({0: 1, 1: 2})
    np.testing.assert_array_equal([again[0], again[1]], [first[0], first[1]])


@pytest.mark.parametrize("workers", [0, 1])
def test_several_choices_at_once(workers: int) -> None:
    with make_pool(EnvSource(id="toys:Choices", kwargs={"many": True}), 1, workers) as pool:
        pool.reset_many({0: 1})
        np.testing.assert_array_equal(pool.step(np.array([[2.0, 3.0]], np.float32)).next_obs, [[2.0, 3.0]])


@pytest.mark.parametrize("workers", [0, 1])
def test_stepping_an_ended_episode_is_a_mistake_of_the_caller(workers: int) -> None:
    with make_pool(toy(length=1), 1, workers) as pool:
        pool.reset_many({0: 1})
        pool.step(np.zeros((1, 2), np.float32))
        with pytest.raises(RuntimeError, match="episode had ended"):
            pool.step(np.zeros((1, 2), np.float32))


def test_an_id_registered_by_the_script_can_be_made_in_a_pool() -> None:
    script = (
        "import gymnasium\n"
        "from entrax.environments.make import make_pool\n"
        "from entrax.environments.source import EnvSource\n"
        "gymnasium.register(id='EntraxScript-v0', entry_point='toys:Toy')\n"
        "with make_pool(EnvSource(id='EntraxScript-v0'), 2, workers=1) as pool:\n"
        "    assert sorted(pool.reset_many({0: 1, 1: 2})) == [0, 1]\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], env=_environ(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0


def test_a_hanging_environment_is_killed() -> None:
    with make_pool(toy(fault="hang"), 1, step_timeout=2.0) as pool:
        assert isinstance(pool, WorkerPool)
        process = pool._workers[0].process
        pool.reset_many({0: 1})
        pool.step(np.zeros((1, 2), np.float32))
        with pytest.raises(EnvironmentFault, match="within 2 s"):
            pool.step(np.zeros((1, 2), np.float32))
        assert process.poll() == -signal.SIGKILL


def test_a_dead_worker_is_noticed() -> None:
    with make_pool(toy(fault="die"), 1, workers=1) as pool:
        pool.reset_many({0: 1})
        pool.step(np.zeros((1, 2), np.float32))
        with pytest.raises(EnvironmentFault, match="exit status -9"):
            pool.step(np.zeros((1, 2), np.float32))


def test_a_worker_ignores_interrupts_and_has_no_jax(tmp_path: Path) -> None:
    note = tmp_path / "note"
    with make_pool(toy(fault="note", at=2, note=str(note)), 1, workers=1) as pool:
        pool.reset_many({0: 1})
        assert isinstance(pool, WorkerPool)
        pool._workers[0].process.send_signal(signal.SIGINT)
        pool.step(np.zeros((1, 2), np.float32))
        pool.step(np.zeros((1, 2), np.float32))
        worker, jax, threads = note.read_text().split()
    assert int(worker) != os.getpid()
    assert (jax, threads) == ("False", "1")


def test_closing_leaves_no_process() -> None:
    with make_pool(toy(), 2, workers=2) as pool:
        assert isinstance(pool, WorkerPool)
        processes = [worker.process for worker in pool._workers]
    assert [process.poll() for process in processes] == [0, 0]


def test_a_worker_ends_with_its_parent() -> None:
    script = (
        "import signal\n"
        "from entrax.environments.make import make_pool\n"
        "from entrax.environments.source import EnvSource\n"
        "pool = make_pool(EnvSource(id='toys:Toy'), 1, workers=1)\n"  # no main guard
        "print(pool._workers[0].process.pid, flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=_environ()) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert _alive(worker)
        parent.kill()
    deadline = time.monotonic() + 60.0
    while _alive(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(worker)


def _environ() -> dict[str, str]:
    """Variables with which another interpreter finds what this one does."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be reaped doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("cores", "timeout", "there"), [({3}, None, 0), ({3}, 9.0, 1), ({3, 5}, None, 2)])
def test_as_many_workers_as_the_cores_that_may_be_used(cores, timeout, there, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: cores, raising=False)
    with make_pool(toy(), 3, step_timeout=timeout) as pool:
        assert (len(pool._workers) if isinstance(pool, WorkerPool) else 0) == there
