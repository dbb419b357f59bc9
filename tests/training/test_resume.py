"""A run that was cut off and taken up again ends as one that never was: parameters, replay and metrics, to the byte."""

import os
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import entrax
from entrax.errors import EntraxError
from entrax.runs import checkpoints
from entrax.runs.audit import fingerprint, verify
from entrax.runs.directory import RunDirectory
from tests.forging import forge_config
from tests.killing import Killed, killer
from tests.marks import long_except

SMALL: dict[str, Any] = {
    "steps": 300,
    "learning_starts": 60,
    "chunk": 8,
    "hidden": (8, 8),
    "batch_size": 8,
    "log_every": 24,
    "eval_every": 100,
    "eval_episodes": 1,
    "checkpoint_every": 64,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "one": {},
    "three": {"envs": 3, "workers": 0, "normalise_obs": True},
    "workers": {"envs": 3, "workers": 2, "normalise_obs": True},
    "shared with evaluation": {"eval_envs": 1},
    "small replay": {"replay_size": 100, "updates_per_step": 0.5},
}


def killed(path, at, **settings):
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", agent="sac", seed=3, run=path, hook=killer(at), **SMALL | settings)


def prints(path):
    return fingerprint(RunDirectory.open(path))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Fingerprints of runs that nothing disturbed, by settings; what was trained before is remembered."""
    known = {}

    def train(**settings):
        key = tuple(sorted(settings.items()))
        if key not in known:
            path = tmp_path_factory.mktemp("whole") / "run"
            entrax.train("Pendulum-v1", agent="sac", seed=3, run=path, **SMALL | settings)
            known[key] = prints(path)
        return known[key]

    return train


@pytest.mark.parametrize("variant", long_except(("workers",), VARIANTS))
def test_a_run_killed_twice_ends_as_one_that_was_not(tmp_path, whole, variant):
    settings = VARIANTS[variant]
    killed(tmp_path / "run", 6, **settings)
    with pytest.raises(Killed):
        entrax.resume(tmp_path / "run", hook=killer(5))
    steps = [row["step"] for row in RunDirectory.open(tmp_path / "run").metrics()]
    run = entrax.resume(tmp_path / "run")
    assert prints(tmp_path / "run") == whole(**settings)
    rows = run.metrics()
    assert len({(row["step"], "evaluation" in row) for row in rows}) == len(rows) > len(steps)
    assert all(finding.damage is None for finding in verify(run.directory))
    assert sum(event["kind"] == "resumed" for event in run.directory.events()) == 2


def test_killed_before_anything_was_saved_it_starts_anew(tmp_path, whole):
    killed(tmp_path / "run", 1)
    assert checkpoints.available(RunDirectory.open(tmp_path / "run")) == []
    entrax.resume(tmp_path / "run")
    assert prints(tmp_path / "run") == whole()


def test_saving_leaves_no_trace_in_what_is_computed(whole):
    quiet = whole(checkpoint_every=0)
    assert quiet == whole()


@pytest.mark.parametrize(
    "steps", [pytest.param(300, marks=pytest.mark.long), 296]
)  # the end of the shorter run cuts a chunk, or does not
def test_more_steps_give_what_a_longer_run_with_that_horizon_gives(tmp_path, whole, steps):
    entrax.train("Pendulum-v1", agent="sac", seed=3, run=tmp_path / "run", **SMALL | {"steps": steps})
    entrax.resume(tmp_path / "run", steps=400)
    assert prints(tmp_path / "run") == whole(steps=400, horizon=steps)
    assert RunDirectory.open(tmp_path / "run").config["training"]["horizon"] == steps


def test_steps_that_a_run_has_already_are_refused_and_what_a_stopped_one_has_is_said(tmp_path, capsys):
    run = entrax.train("Pendulum-v1", "sac", run=tmp_path / "run", hook=lambda row: row["step"] >= 40, **SMALL)
    done = checkpoints.step_of(checkpoints.available(run.directory)[-1])
    assert 40 <= done < SMALL["steps"]
    with pytest.raises(EntraxError, match=rf"`steps` must be at least {done}.* got 10"):
        entrax.resume(run.path, steps=10)
    capsys.readouterr()
    entrax.resume(run.path, steps=done)
    assert f"all of its {done} steps" in capsys.readouterr().out
    with pytest.raises(EntraxError, match="`steps` must be an integer"):
        entrax.resume(run.path, steps=0.5)


def test_a_run_that_the_hook_stops_at_an_evaluation_is_not_evaluated_again(tmp_path):
    run = entrax.train("Pendulum-v1", "sac", run=tmp_path / "run", hook=lambda row: "evaluation" in row, **SMALL)
    assert sum("evaluation" in row for row in run.metrics()) == 1


def test_another_setting_is_named(tmp_path):
    entrax.train("Pendulum-v1", "sac", run=tmp_path / "run", **SMALL)
    with pytest.raises(EntraxError, match=r"with learning rate 0.0003, not 0.01; choose"):
        entrax.train("Pendulum-v1", "sac", run=tmp_path / "run", resume=True, learning_rate=0.01, **SMALL)


def test_a_finished_run_stays_as_it_is(tmp_path, capsys):
    entrax.train("Pendulum-v1", agent="sac", seed=3, run=tmp_path / "run", **SMALL | {"steps": 100})
    before = prints(tmp_path / "run")
    run = entrax.resume(tmp_path / "run")
    assert "is finished" in capsys.readouterr().out
    assert prints(tmp_path / "run") == before
    assert run.policy(np.zeros(3)).shape == (1,)


def test_a_damaged_end_is_trained_again(tmp_path, whole, capsys):
    entrax.train("Pendulum-v1", agent="sac", seed=3, run=tmp_path / "run", **SMALL)
    file = tmp_path / "run" / "checkpoints" / "final-000000300" / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    entrax.resume(tmp_path / "run")
    assert f"{file} is damaged" in capsys.readouterr().err
    assert prints(tmp_path / "run") == whole()


def test_fewer_steps_than_there_are_would_lose_some(tmp_path):
    killed(tmp_path / "run", 10)
    with pytest.raises(EntraxError, match="`steps` must be at least 196"):
        entrax.resume(tmp_path / "run", steps=8)


def test_the_same_steps_may_be_asked_for_again_where_the_environments_went_beyond_them(tmp_path, whole):
    settings: dict[str, Any] = VARIANTS["three"] | {"steps": 320, "eval_every": 160}
    entrax.train("Pendulum-v1", agent="sac", seed=3, run=tmp_path / "run", **SMALL | settings)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "final-000000321")  # as if killed just before the end
    entrax.resume(tmp_path / "run", steps=320)
    assert prints(tmp_path / "run") == whole(**settings)


def test_train_with_resume_starts_or_goes_on_and_minds_what_is_there(tmp_path, whole):
    settings: dict[str, Any] = SMALL | {"agent": "sac", "seed": 3, "run": tmp_path / "run", "resume": True}
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", hook=killer(6), **settings)
    with pytest.raises(EntraxError, match="holds a run with chunk 8, not 4"):
        entrax.train("Pendulum-v1", **settings | {"chunk": 4})
    with pytest.raises(EntraxError, match="holds a run with seed 3, not 4"):
        entrax.train("Pendulum-v1", **settings | {"seed": 4})
    entrax.train("Pendulum-v1", **settings)
    assert prints(tmp_path / "run") == whole()


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, whole, capsys):
    killed(tmp_path / "run", 10)
    run = RunDirectory.open(tmp_path / "run")
    newest = checkpoints.resolve(run, "latest")
    file = run.checkpoints / newest / "state.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)
    findings = verify(run)
    (damaged,) = (finding for finding in findings if finding.damage is not None)
    assert (damaged.checkpoint, str(file) in str(damaged.damage)) == (newest, True)
    entrax.resume(tmp_path / "run")
    assert f"{file} is damaged" in capsys.readouterr().err
    assert prints(tmp_path / "run") == whole()


def test_with_no_checkpoint_whole_it_refuses(tmp_path):
    killed(tmp_path / "run", 10)
    run = RunDirectory.open(tmp_path / "run")
    for name in checkpoints.available(run):
        (run.checkpoints / name / "meta.json").write_bytes(b"short")
    with pytest.raises(EntraxError, match=r"from any checkpoint; `entrax verify .*meta.json is damaged"):
        entrax.resume(tmp_path / "run")


def contents(path):
    """All files of a run but the lock, which names its last holder."""
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "lock"}


def damaged(run):
    for name in checkpoints.available(run):
        (run.checkpoints / name / "meta.json").write_bytes(b"short")


@pytest.mark.parametrize(
    ("prepare", "arguments"),
    [
        (lambda run: None, {"steps": 3}),
        (lambda run: None, {"steps": 500, "device": "quantum"}),
        (lambda run: None, {"steps": 500, "env": "MountainCarContinuous-v0"}),
        (lambda run: None, {"steps": 500, "env": "Nowhere-v0"}),
        (lambda run: forge_config(run.path, run.config | {"agent": "own:things"}), {"steps": 500}),
        (damaged, {"steps": 500}),
    ],
)
def test_a_resume_that_is_refused_leaves_the_directory_as_it_was(tmp_path, prepare, arguments):
    killed(tmp_path / "run", 10)
    prepare(RunDirectory.open(tmp_path / "run"))
    before = contents(tmp_path / "run")
    seen = []

    def loggers(run):
        seen.append(run)
        return ()

    with pytest.raises(EntraxError):
        entrax.resume(tmp_path / "run", loggers=loggers, **arguments)
    assert contents(tmp_path / "run") == before
    assert not seen


def test_a_changed_configuration_is_noticed(tmp_path):
    killed(tmp_path / "run", 10)
    file = tmp_path / "run" / "config.json"
    file.write_text(file.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(EntraxError, match=r"config\.json is damaged"):
        entrax.resume(tmp_path / "run")
    assert [event["kind"] for event in RunDirectory.open(tmp_path / "run").events()] == ["started"]
    assert all("config.json" in (finding.damage or "") for finding in verify(RunDirectory.open(tmp_path / "run")))


class Forgetful(gymnasium.Env):
    """`reset(seed)` does not erase its history: an episode cannot be replayed to the same observation."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    steps_of_all = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        Forgetful.steps_of_all += 1
        return np.array([self.steps, Forgetful.steps_of_all], np.float32), 0.0, False, self.steps >= 50, {}


def test_an_episode_that_cannot_be_replayed_is_begun_anew_and_marks_the_run(tmp_path, capsys):
    with pytest.raises(Killed):
        entrax.train(Forgetful, agent="sac", run=tmp_path / "run", hook=killer(6), **SMALL | {"eval_every": 0})
    run = entrax.resume(tmp_path / "run", env=Forgetful)
    [event] = [event for event in run.directory.events() if event["kind"] == "inexact"]
    assert "led to another observation" in event["message"]
    assert event["message"] in capsys.readouterr().err
    assert checkpoints.load(run.directory)[1]["exact"] is False


def test_a_run_remembers_how_many_threads_it_had(tmp_path, monkeypatch):
    """XLA splits products by the number of threads, which changes their last bits."""
    monkeypatch.setenv("NPROC", "1")
    killed(tmp_path / "run", 6)
    monkeypatch.setenv("NPROC", "2")
    entrax.resume(tmp_path / "run")
    assert os.environ["NPROC"] == "1"
    assert RunDirectory.open(tmp_path / "run").config["training"]["threads"] == 1


def test_other_versions_are_a_warning(tmp_path, monkeypatch, capsys):
    from entrax.runs import versions

    killed(tmp_path / "run", 6)
    monkeypatch.setattr(versions, "_version", lambda package: "0.0.0")
    entrax.resume(tmp_path / "run")
    assert "jax changed from" in capsys.readouterr().err


def test_a_run_being_trained_is_refused(tmp_path):
    refused = []

    def hook(row):
        with pytest.raises(EntraxError, match=r"Another process \(number \d+\) is training the run"):
            entrax.resume(tmp_path / "run")
        refused.append(row)
        return True

    entrax.train("Pendulum-v1", agent="sac", run=tmp_path / "run", hook=hook, **SMALL)
    assert refused
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    entrax.resume(tmp_path / "copy")  # the lock went with its holder; the hook's stop was no end


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.long), 1])
@pytest.mark.parametrize(("fault", "exact"), [("", True), ("counted", False), ("noisy", False)])
def test_rewards_that_no_seed_repeats_make_a_resumed_run_inexact(tmp_path, monkeypatch, fault, exact, workers):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "environments")
    settings: dict[str, Any] = SMALL | {"checkpoint_every": 63, "chunk": 7, "eval_every": 0, "workers": workers}
    toy = {"fault": fault, "length": 50}
    with pytest.raises(Killed):
        entrax.train("toys:Toy", agent="sac", env_args=toy, run=tmp_path / "run", hook=killer(8), **settings)
    run = entrax.resume(tmp_path / "run", env="toys:Toy")
    assert checkpoints.load(run.directory, "final")[1]["exact"] is exact
    notes = [event["message"] for event in run.directory.events() if event["kind"] == "inexact"]
    assert any("rewards" in note for note in notes) is not exact


@pytest.mark.parametrize("settings", [{"learning_starts": 300}, {"updates_per_step": 1e-4, "learning_starts": 8}])
def test_a_run_without_an_update_says_so(tmp_path, capsys, settings):
    run = entrax.train("Pendulum-v1", agent="sac", run=tmp_path / "run", **SMALL | {"eval_every": 0} | settings)
    assert "before its first update" in capsys.readouterr().err
    assert any("first update" in event.get("message", "") for event in run.directory.events())


def test_another_environment_or_agent_is_another_run(tmp_path):
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", "sac", env_args={"g": 9.0}, run=tmp_path / "run", hook=killer(3), **SMALL)
    before = (tmp_path / "run" / "config.json").read_bytes()
    for other in (
        {"env_args": {"g": 1.0}},
        {"env": "MountainCarContinuous-v0"},
        {"agent": "td3"},
    ):
        with pytest.raises(EntraxError, match=r"fine-tune|is sac, not"):
            entrax.resume(tmp_path / "run", **other)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    assert entrax.resume(tmp_path / "run", env_args={"g": 9.0}, agent="sac").config["environment"]["kwargs"] == {
        "g": 9.0
    }


def test_the_command_of_a_run_that_was_killed_before_it_was_written(tmp_path):
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", "sac", run=tmp_path / "run", hook=killer(3), **SMALL)
    (tmp_path / "run" / "events.jsonl").unlink()
    run = entrax.resume(tmp_path / "run")
    assert [event["command"] for event in run.directory.events() if event["kind"] == "started"]


def test_checkpoints_that_do_not_fit_leave_the_replay_as_it_was(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", "sac", run=tmp_path / "run", hook=killer(9), **SMALL)
    before = {path: path.read_bytes() for path in (tmp_path / "run" / "replay").iterdir()}

    def unfit(*given):
        raise EntraxError("the state has other parts")

    with monkeypatch.context() as patched:
        patched.setattr("entrax.training.run_state.unflatten", unfit)
        with pytest.raises(EntraxError, match="the state has other parts"):
            entrax.resume(tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run" / "replay").iterdir()} == before
