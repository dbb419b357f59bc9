"""The first contact with an environment, and every later one: no crash, exit or hang of it goes unnoticed."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import NormalizeObservation, NormalizeReward, TimeLimit

from entrax.environments import workers as workers_module
from entrax.environments.check import check_environment
from entrax.environments.faults import EnvironmentFault
from entrax.environments.make import make_pool
from entrax.environments.source import EnvSource
from entrax.environments.traits import traits_of
from entrax.errors import EntraxError

STILL = np.zeros((1, 2), np.float32)
PLACES = {"while it was made": -1, "when reset with seed 5": 0, "at step 2": 2}
EVERYWHERE = pytest.mark.parametrize(("where", "at"), PLACES.items())


def toy(**kwargs: object) -> EnvSource:
    return EnvSource(id="toys:Toy", kwargs={"truncate": True} | dict(kwargs))


def play(source: EnvSource, workers: int | None = None, step_timeout: float | None = None) -> None:
    with make_pool(source, 1, workers, step_timeout) as pool:
        pool.reset_many({0: 5})
        pool.step(STILL)
        pool.step(STILL)


@EVERYWHERE
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("fault", "status"), [("exit", 7), ("leave", 0)])
def test_an_environment_cannot_end_the_process(fault: str, status: int, workers: int, where: str, at: int) -> None:
    leave = os._exit
    with pytest.raises(EntraxError, match=rf"tried to end the process \(exit status {status}\) {where}"):
        play(toy(fault=fault, at=at), workers)
    assert os._exit is leave


@EVERYWHERE
def test_a_crash_is_met_in_a_worker_first(where: str, at: int) -> None:
    with pytest.raises(EnvironmentFault, match=r"exit status -9\)"):
        check_environment(toy(fault="die", at=at), 0)


@pytest.mark.parametrize("at", [0, 2])
def test_the_check_obeys_the_time_limit(at: int) -> None:
    with pytest.raises(EnvironmentFault, match=r"within 0\.3 s"):
        check_environment(toy(fault="hang", at=at), 0, step_timeout=0.3)


def test_the_check_keeps_to_this_process_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the note tells it
    notes = [tmp_path / "here", tmp_path / "there"]
    for note, workers in zip(notes, (0, None), strict=True):
        check_environment(toy(fault="note", at=1, note=str(note)), 0, workers=workers)
    here, there = (int(note.read_text().split()[0]) for note in notes)
    assert here == os.getpid() != there


def test_what_only_this_process_can_make_is_checked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toys.Here", gymnasium.make("Pendulum-v1").unwrapped.__class__, raising=False)
    assert check_environment(EnvSource(id="toys:Here"), 0).spec.obs_size == 3


def test_making_may_take_as_long_as_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "START_SECONDS", 0.01)
    play(toy(fault="slow", at=-1), 1, step_timeout=60.0)
    with pytest.raises(EnvironmentFault, match=r"within 0\.01 s .*`step_timeout`.* while it was made"):
        play(toy(fault="slow", at=-1), 1)


def test_a_replay_obeys_the_time_limit() -> None:
    slow = pytest.raises(EnvironmentFault, match=r"within 0\.3 s at step 2 .* seed 5")
    with make_pool(toy(fault="hang"), 1, 1, step_timeout=0.1) as pool, slow:
        pool.replay(0, 5, np.zeros((2, 2), np.float32))


def test_each_environment_of_a_worker_has_the_whole_limit() -> None:
    for at in (0, 1):
        with make_pool(toy(fault="slow", at=at), 3, workers=1, step_timeout=2.5) as pool:
            pool.reset_many(dict.fromkeys(range(3), 5))
            assert pool.step(np.zeros((3, 2), np.float32)).next_obs[2, 0] == 1.0


@pytest.mark.parametrize("fault", ["exit", "leave", "raise"])
def test_closing_ends_nothing_else(fault: str) -> None:
    for workers in (0, 1):
        play(toy(fault=fault, at=-2), workers)


def test_a_worker_closes_its_environments(tmp_path: Path) -> None:
    play(toy(fault="note", at=-2, note=str(tmp_path / "note")), 1)
    assert (tmp_path / "note").exists()


def test_a_process_forked_by_the_environment_can_end_itself() -> None:
    script = (
        "import os\n"
        "from entrax.environments.faults import exits_caught\n"
        "with exits_caught():\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        os._exit(3)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": path}, check=True)


class Uneven(gymnasium.Env):
    """Every second one observes more than the first."""

    made = 0
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self) -> None:
        Uneven.made += 1
        self.observation_space = spaces.Box(-1.0, 1.0, (1 + Uneven.made % 2,), np.float32)


def test_environments_of_a_pool_are_alike() -> None:
    with pytest.raises(EntraxError, match="Environment 1 has other observations"):
        make_pool(EnvSource(id="uneven", factory=Uneven), 2, 0)


def test_an_environment_without_spaces_is_a_sentence() -> None:
    with pytest.raises(EntraxError, match="spaces of 'nothing' cannot be read"):
        make_pool(EnvSource(id="nothing", factory=gymnasium.Env), 1, 0)


class Mine(NormalizeObservation):
    """A user's own."""


class Several(gymnasium.Wrapper):
    """Keeps statistics by name, of a class of its own."""

    class Statistics:
        def __init__(self) -> None:
            self.mean, self.var, self.count = 0.0, 1.0, 0

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.statistics = {"speed": self.Statistics()}


class Holder(gymnasium.Env):
    """Steps an environment out of a list that it holds."""

    def __init__(self, env: gymnasium.Env):
        self.envs = [env]
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, *, seed=None, options=None):
        return self.envs[0].reset(seed=seed)

    def step(self, action):
        return self.envs[0].step(action)


LEARNERS: dict[str, Callable[[gymnasium.Env], gymnasium.Env]] = {
    "NormalizeObservation": NormalizeObservation,
    "NormalizeReward": NormalizeReward,
    "Mine": lambda env: TimeLimit(Mine(env), 50),
    "Several": Several,
    "NormalizeObservation in a holder": lambda env: Holder(NormalizeObservation(env)),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_wrapper_that_learns_is_named(name: str) -> None:
    source = EnvSource(id="learns", factory=lambda: LEARNERS[name](gymnasium.make("Pendulum-v1")))
    (warning,) = check_environment(source, 0, workers=0).warnings
    assert name.split()[0] in warning
    assert "`normalise_obs`" in warning


def test_a_wrapper_that_has_stopped_learning_is_none() -> None:
    env = NormalizeObservation(gymnasium.make("Pendulum-v1"))
    env.update_running_mean = False
    assert traits_of(env).learners == ()


class Remembers(gymnasium.Wrapper):
    """Pays more in every episode."""

    episodes = 0

    def reset(self, **named):
        self.episodes += 1
        return self.env.reset(**named)

    def step(self, action):
        obs, _, *rest = self.env.step(action)
        return obs, float(self.episodes), *rest


def test_memory_of_earlier_episodes_is_noticed_by_what_it_does() -> None:
    source = EnvSource(id="remembers", factory=lambda: Remembers(gymnasium.make("Pendulum-v1")))
    (warning,) = check_environment(source, 0, workers=0).warnings
    assert "remembers earlier episodes" in warning


def test_an_unknown_time_limit_is_said() -> None:
    unlimited = EnvSource(id="CartPole", factory=lambda: gymnasium.make("CartPole-v1").unwrapped)
    (warning,) = check_environment(unlimited, 0, workers=0).warnings
    assert "`max_episode_steps`" in warning
    assert check_environment(replace(unlimited, max_episode_steps=30), 0, workers=0).warnings == ()
    assert check_environment(EnvSource(id="CartPole-v1"), 0).warnings == ()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_limit_of_ours_truncates_any_environment(workers: int) -> None:
    source = replace(toy(length=9, truncate=False), max_episode_steps=2)
    with make_pool(source, 1, workers) as pool:
        assert pool.traits.time_limit == 2
        pool.reset_many({0: 1})
        ends = [(step.terminated[0], step.truncated[0]) for step in (pool.step(STILL), pool.step(STILL))]
    assert ends == [(False, False), (False, True)]


def test_two_threads_and_a_third() -> None:
    """Each thread's environment is kept from ending the process; a thread outside may, but not with status 0."""
    script = """
import os, threading
from entrax.environments.faults import exits_caught
leave, first, second = os._exit, exits_caught(), exits_caught()
other = threading.Thread(target=second.__enter__)
first.__enter__(); other.start(); other.join(); first.__exit__(None, None, None)
print(os._exit is leave)
threading.Thread(target=os._exit, args=(0,)).start()
threading.Event().wait()
"""
    done = subprocess.run([sys.executable, "-uc", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("False\n", 1)
