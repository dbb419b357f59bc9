"""What goes wrong during training: what is said, what is saved, and how the process ends."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

import entrax
from entrax.agents import sac
from entrax.cli.finish import publish
from entrax.environments.faults import EnvironmentFault
from entrax.environments.slot import Slot
from entrax.environments.source import as_source
from entrax.errors import EntraxError
from entrax.runs import checkpoints, records
from entrax.runs.audit import verify
from entrax.runs.directory import RunDirectory
from entrax.training.pending import Diverged
from entrax.training.source_checkpoint import kept_rows, load_source_checkpoint

SMALL: dict[str, Any] = {
    "agent": "sac",
    "steps": 240,
    "learning_starts": 60,
    "chunk": 4,
    "hidden": (8, 8),
    "batch_size": 8,
    "log_every": 40,
    "eval_every": 0,
    "checkpoint_every": 40,
    "seed": 1,
}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


def flaky(tmp_path, fault, **arguments):
    """Settings of a run in which an environment misbehaves at its step 7 while there is no marker."""
    return {"env": "flaky:Once", "env_args": {"fault": fault, "marker": str(tmp_path / "marker"), **arguments}}


def events(path, kind):
    return [event["message"] for event in RunDirectory.open(path).events() if event["kind"] == kind]


SAID = {
    "raise": "raised KeyError: 'lost my keys' at step 7 of the episode with seed",
    "nan": "at step 7 of the episode with seed",
    "reset": "raised ValueError: cannot begin when reset with seed",
    "exit": "tried to end the process (exit status 7) at step 7",
    "leave": "tried to end the process (exit status 0) at step 7",
    "die": "lost its worker process (exit status -9) at step 7",
    "hang": "did not answer within 1 s at step 7",
}
HERE_TOO = ("raise", "nan", "reset", "exit", "leave")  # a process cannot outlive the others itself


@pytest.mark.parametrize(("fault", "workers"), [(fault, 0) for fault in HERE_TOO] + [(fault, 2) for fault in SAID])
def test_a_faulty_environment_is_restarted_and_the_others_go_on(tmp_path, fault, workers):
    settings: dict[str, Any] = SMALL | flaky(tmp_path, fault) | {"envs": 3, "workers": workers, "restart_envs": 2}
    if fault == "hang":
        settings["step_timeout"] = 1.0
    (tmp_path / "marker").touch()  # the random episode before training is spared
    hook_calls: list[dict[str, Any]] = []

    def hook(row):
        if not hook_calls:
            (tmp_path / "marker").unlink()
        hook_calls.append(row)

    run = entrax.train(**settings, run=tmp_path / "run", hook=hook)
    [message] = events(run.path, "inexact")
    assert SAID[fault] in message
    assert "restarted (1 of 2); its episode was dropped" in message
    _, meta = checkpoints.load(run.directory)
    assert (meta["step"], meta["exact"], meta["collector"]["restarts"]) == (240, False, 1)
    assert all(finding.damage is None for finding in verify(run.directory))
    replayed = [row["return"] for row in run.metrics() if row.get("return") is not None]
    assert replayed  # whole episodes of 20 steps, the dropped one not among them
    assert {row["length"] for row in run.metrics() if row.get("length") is not None} == {20.0}
    rows = kept_rows(load_source_checkpoint(run.path, "final", None))
    # A dropped episode has an end, too, lest its last step seem to go on in the next one.
    ends, episodes = np.sum(rows["terminated"] | rows["truncated"]), sum(meta["collector"]["episode"])
    assert ends == episodes - (fault == "reset")  # an episode that never began has no step to end with


def test_restarts_are_bounded_and_what_was_saved_stays(tmp_path):
    (tmp_path / "marker").touch()
    settings: dict[str, Any] = SMALL | flaky(tmp_path, "raise") | {"restart_envs": 2}

    def hook(row):
        (tmp_path / "marker").unlink(missing_ok=True)  # at every row: the third time is once too often

    with pytest.raises(EnvironmentFault, match="Environment 0 raised KeyError"):
        entrax.train(**settings, run=tmp_path / "run", hook=hook)
    assert len(events(tmp_path / "run", "inexact")) == 2
    findings = verify(RunDirectory.open(tmp_path / "run"))
    assert findings
    assert all(finding.damage is None for finding in findings)


def test_without_leave_to_restart_the_run_ends_and_can_be_resumed(tmp_path):
    (tmp_path / "marker").touch()
    settings: dict[str, Any] = SMALL | flaky(tmp_path, "raise") | {"envs": 2, "workers": 0}

    def hook(row):
        if row["step"] > 100 and (tmp_path / "marker").exists() and not list(tmp_path.glob("once")):
            (tmp_path / "marker").unlink()
            (tmp_path / "once").touch()

    with pytest.raises(EnvironmentFault) as fault:
        entrax.train(**settings, run=tmp_path / "run", hook=hook)
    assert fault.value.exit_code == 3
    run = RunDirectory.open(tmp_path / "run")
    assert all(finding.damage is None for finding in verify(run))
    with pytest.raises(EntraxError, match="--env flaky:Once"):
        entrax.resume(run.path)  # nothing that a file names is imported
    with pytest.raises(EntraxError, match="--env-arg marker="):
        entrax.resume(run.path, env="flaky:Once")
    entrax.resume(run.path, env="flaky:Once", env_args=settings["env_args"])
    entrax.train(**settings, run=tmp_path / "whole")
    assert checkpoints.load(run, "final")[0].keys() == checkpoints.load(RunDirectory.open(tmp_path / "whole"))[0].keys()


def test_a_number_that_is_not_finite_is_noticed_with_its_batch(tmp_path, monkeypatch):
    update, broken_at = sac.update, 100

    def breaking(config, state, batch, progress, key):
        state, info = update(config, state, batch, progress, key)
        spoilt = jnp.where(state.updates >= broken_at, jnp.nan, state.params.log_alpha)
        return eqx.tree_at(lambda state: state.params.log_alpha, state, spoilt), info

    monkeypatch.setattr(sac, "update", breaking)
    with pytest.raises(Diverged, match=f"diverged at update {broken_at}, near step") as error:
        # A batch size of its own: what is compiled for a size and an agent is kept, and this agent is broken.
        entrax.train("Pendulum-v1", run=tmp_path / "run", **SMALL | {"batch_size": 9})
    assert error.value.exit_code == 4
    run = RunDirectory.open(tmp_path / "run")
    [event] = [event for event in run.events() if event["kind"] == "diverged"]
    batch = load_file(event["batch"])
    assert batch["obs"].shape == (9, 3)
    arrays, _ = checkpoints.load(run)
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert all(finding.damage is None for finding in verify(run))


def test_an_optimiser_that_overflows_has_diverged_while_every_parameter_is_finite(tmp_path):
    with pytest.raises(Diverged, match=r"update 1, near step .*optimiser") as error:
        entrax.train("Pendulum-v1", run=tmp_path / "run", **SMALL | {"target_entropy": 1e20, "batch_size": 11})
    assert error.value.exit_code == 4
    for name in checkpoints.available(RunDirectory.open(tmp_path / "run")):
        arrays, _ = checkpoints.load(RunDirectory.open(tmp_path / "run"), name)
        assert all(np.isfinite(array).all() for array in arrays.values())


class Rich(gymnasium.Env):
    """Pays `reward` at its third step."""

    observation_space = action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, reward):
        self.reward = reward

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), self.reward if self.steps == 3 else 0.0, False, self.steps == 20, {}


@pytest.mark.parametrize("reward", [1e39, -1e300, np.float64(4e38), 10**40, 10**400, np.inf, np.float16(np.nan)])
def test_a_reward_beyond_float32_is_the_fault_of_the_environment(tmp_path, reward):
    settings: dict[str, Any] = SMALL | {"workers": 0}
    with pytest.raises(
        EnvironmentFault, match=r"(reward|too large) .* at step 3 of the episode with seed \d+"
    ) as error:
        entrax.train(lambda: Rich(reward), run=tmp_path / "run", **settings)
    assert error.value.exit_code == 3


@pytest.mark.parametrize("reward", [3.4e38, -(10**38), True, np.int64(-(2**63)), np.float16(65504)])
def test_the_largest_rewards_are_taken(reward):
    slot = Slot(as_source(lambda: Rich(reward), {}), 0)
    slot.reset(0)
    assert [slot.step(np.zeros(1, np.float32))[1] for _ in range(3)] == [0.0, 0.0, float(reward)]


def test_nothing_is_acted_by_a_policy_that_is_not_finite(tmp_path, monkeypatch):
    update, broken_at = sac.update, 20

    def breaking(config, state, batch, progress, key):
        state, info = update(config, state, batch, progress, key)
        spoilt = jnp.where(state.updates >= broken_at, jnp.nan, 0.0)
        policy = jax.tree.map(lambda x: x + spoilt, state.params.policy)
        return eqx.tree_at(lambda state: state.params.policy, state, policy), info

    monkeypatch.setattr(sac, "update", breaking)
    rare: dict[str, Any] = {"batch_size": 10, "log_every": 1000, "eval_every": 0}  # nothing else looks in between
    with pytest.raises(Diverged, match=f"diverged at update {broken_at}, near step"):
        entrax.train("Pendulum-v1", run=tmp_path / "run", **SMALL | rare)
    assert [event["kind"] for event in RunDirectory.open(tmp_path / "run").events()] == ["started", "diverged"]


def test_a_full_disk_ends_the_run_with_the_bytes_it_needed(tmp_path, monkeypatch):
    original, left = records.write_bytes, [9]

    def full(path, data):
        left[0] -= 1
        if left[0] < 0:
            path.write_bytes(data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        original(path, data)

    monkeypatch.setattr(checkpoints, "write_bytes", full)
    with pytest.raises(EntraxError, match=r"No space left on device\): it needs [\d,]+ bytes") as error:
        entrax.train("Pendulum-v1", run=tmp_path / "run", **SMALL)
    assert error.value.exit_code == 5
    run = RunDirectory.open(tmp_path / "run")
    assert len(checkpoints.available(run)) == 3
    assert all(finding.damage is None for finding in verify(run))
    monkeypatch.setattr(checkpoints, "write_bytes", original)
    assert entrax.resume(run.path).metrics()[-1]["step"] == 240


def command(tmp_path, *flags, env="Pendulum-v1"):
    arguments = ["train", env, "--run", "run", "--no-video", "--hidden", "8,8", "--batch-size", "8"]
    return subprocess.Popen(
        [sys.executable, "-m", "entrax.cli", *arguments, *flags],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_first(tmp_path, number, code):
    process = command(tmp_path, "--steps", "100000000", "--log-every", "100", "--eval-every", "0")
    wait_for_rows(tmp_path / "run")
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "Interrupted and saved at step" in said
    run = RunDirectory.open(tmp_path / "run")
    assert [finding.damage for finding in verify(run)] == [None]
    assert checkpoints.load(run)[1]["step"] > 0


DEAF = """
import signal
from signal import signal as change_signal
import gymnasium
import numpy as np

class Deaf(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        change_signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.steps += 1
        return np.zeros(1, np.float32), 0.0, False, self.steps == 100, {}
"""


def test_an_environment_that_ignores_interrupts_does_not_make_the_run_ignore_them(tmp_path):
    (tmp_path / "deaf.py").write_text(DEAF)
    flags = ["--workers", "0", "--steps", "100000000", "--log-every", "100", "--eval-every", "0"]
    process = command(tmp_path, *flags, env="deaf:Deaf")
    wait_for_rows(tmp_path / "run")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Interrupted and saved at step" in said


@pytest.mark.long
def test_a_run_stays_where_it_is_when_environments_change_the_directory(tmp_path, monkeypatch):
    class Wanderer(Rich):
        def reset(self, *, seed=None, options=None):
            os.chdir(tmp_path / "elsewhere")
            return super().reset(seed=seed)

    def wanderer():
        os.chdir(tmp_path / "elsewhere")
        return Wanderer(0.0)

    (tmp_path / "elsewhere").mkdir()
    settings: dict[str, Any] = SMALL | {"workers": 0, "eval_every": 80, "steps": 160}
    monkeypatch.chdir(tmp_path)
    entrax.train(wanderer, run="run", **settings)
    os.chdir(tmp_path)
    entrax.train(wanderer, **settings)
    os.chdir(tmp_path)
    entrax.finetune("run", wanderer, steps=160, run="tuned")
    os.chdir(tmp_path)
    run = entrax.resume("run", steps=200, env=wanderer)
    assert run.evaluate(1).mean == 0.0
    publish(run, video=False)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == []
    assert {path.name for path in tmp_path.iterdir()} == {"elsewhere", "run", "runs", "tuned"}


def wait_for_rows(run):
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_real_limit_on_files_is_a_sentence(tmp_path):
    """RLIMIT_FSIZE: the kernel refuses to let any file grow beyond a few kilobytes."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)); "
        "from entrax.cli import main; main(sys.argv[1:])"
    )
    flags = ["--steps", "2000", "--hidden", "8,8", "--eval-every", "0", "--checkpoint-every", "100", "--no-video"]
    ended = subprocess.run(
        [sys.executable, "-c", script, "train", "Pendulum-v1", "--run", "run", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert ended.returncode == 5, ended.stderr
    assert "cannot be written (File too large)" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert all(finding.damage is None for finding in verify(RunDirectory.open(tmp_path / "run")))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 30_000
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 0


def test_a_second_signal_ends_the_process_in_the_middle_of_a_step():
    script = (
        "import os, signal\n"
        "from entrax.environments.faults import exits_caught\n"
        "from entrax.training.interrupts import Interrupts\n"
        "with Interrupts(), exits_caught():\n"
        "    for _ in range(2):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True).returncode == 130
