"""A run whose replay or metrics were damaged goes on with what is whole, and says what was lost."""

import shutil
from typing import Any

import numpy as np
import pytest

import entrax
from entrax.runs import checkpoints, transition_log
from entrax.runs.audit import fingerprint, verify
from entrax.runs.directory import RunDirectory
from entrax.training.source_checkpoint import load_source_checkpoint, stored
from tests.killing import Killed, killer

COMMON: dict[str, Any] = {
    "steps": 256,
    "checkpoint_every": 32,
    "log_every": 32,
    "eval_every": 0,
    "workers": 0,
    "hidden": (8, 8),
}
OFF_POLICY: dict[str, Any] = COMMON | {"batch_size": 8, "learning_starts": 32, "chunk": 8}
RUNS = {
    "uniform": ("Pendulum-v1", "sac", OFF_POLICY),
    "sequences": ("CartPole-v1", "dqn", OFF_POLICY | {"n_step": 3}),
    "rollouts": ("CartPole-v1", "ppo", COMMON | {"rollout_steps": 32, "batch_size": 16, "normalise_obs": True}),
}


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """Runs that were killed after their checkpoint at step 128, their logs in many segments."""
    root = tmp_path_factory.mktemp("cut_off")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transition_log, "SEGMENT_BYTES", 1000)
        for name, (env, agent, settings) in RUNS.items():
            with pytest.raises(Killed):
                entrax.train(env, agent, run=root / name, hook=killer(4), **settings)
            run = RunDirectory.open(root / name)
            checkpoints.drop_others(run, checkpoints.resolve(run, "latest"), earlier=True)  # they need other segments
    return root


@pytest.fixture
def killed(request, cut_off, tmp_path):
    """A copy of one of them."""
    return RunDirectory.open(shutil.copytree(cut_off / getattr(request, "param", "uniform"), tmp_path / "run"))


every = pytest.mark.parametrize("killed", RUNS, indirect=True)


def segments(run):
    """The segments that the newest checkpoint needs."""
    record = checkpoints.load(run)[1]["replay"]
    first = record["window"] // record["segment_rows"]
    names = [transition_log.segment_name(n) for n in range(first, record["rows"] // record["segment_rows"] + 1)]
    return [run.path / "replay" / name for name in names if (run.path / "replay" / name).stat().st_size]


def resumed(run, capsys, lost):
    """Resume the run to its end; every statement of a marked run is checked."""
    capsys.readouterr()
    again = entrax.resume(run.path)
    said = capsys.readouterr().err
    inexact = [event["message"] for event in again.directory.events() if event["kind"] == "inexact"]
    assert inexact
    assert all(message in said for message in inexact)
    assert any(lost in message for message in inexact)
    arrays, meta = checkpoints.load(again.directory)
    assert (meta["step"], meta["exact"]) == (256, False)
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert all(finding.damage is None for finding in verify(again.directory))
    return again


def flip(path):
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


DAMAGES = {"flipped": flip, "gone": lambda path: path.unlink(), "short": lambda path: path.write_bytes(b"short")}


@pytest.mark.parametrize(
    ("killed", "damage"),
    [
        *((name, "flipped") for name in RUNS),
        pytest.param("uniform", "gone", marks=pytest.mark.long),
        pytest.param("uniform", "short", marks=pytest.mark.long),
    ],
    indirect=["killed"],
)
def test_a_damaged_segment_is_left_out(killed, damage, capsys):
    before = stored(load_source_checkpoint(killed.path, "latest", None))
    needed = segments(killed)
    DAMAGES[damage](needed[len(needed) // 2])
    run = resumed(killed, capsys, f"{needed[len(needed) // 2]} is damaged")
    after = stored(load_source_checkpoint(run.path, "latest", None))
    assert len(after.reward)
    if run.config["agent"] != "ppo":  # which forgets by itself
        kept = len(after.reward) - 128  # the steps after the checkpoint
        assert 0 < kept < len(before.reward)
        front = np.flatnonzero(after.truncated[:kept, 0] & ~before.truncated[:kept, 0])
        assert len(front) == 1  # where the missing rows were, an episode is cut
        place = front[0] + 1
        np.testing.assert_array_equal(after.obs[:place], before.obs[:place])
        np.testing.assert_array_equal(after.obs[place:kept], before.obs[len(before.obs) - kept + place :])


@every
def test_a_log_that_is_gone_altogether_is_begun_again(killed, capsys):
    shutil.rmtree(killed.path / "replay")
    resumed(killed, capsys, "0 are left")


@every
def test_a_salvaged_run_is_resumed_exactly(killed, tmp_path):
    flip(segments(killed)[0])
    with pytest.raises(Killed):
        entrax.resume(killed.path, hook=killer(1))
    shutil.copytree(killed.path, tmp_path / "copy")
    with pytest.raises(Killed):
        entrax.resume(killed.path, hook=killer(1))
    assert fingerprint(entrax.resume(killed.path).directory) == fingerprint(entrax.resume(tmp_path / "copy").directory)


def binary(path):
    path.write_bytes(bytes(range(256)) * 8)


def middle(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\xff{]\n", *lines[2:]]))


@pytest.mark.parametrize(("damage", "left"), [(lambda path: path.unlink(), 0), (binary, 0), (middle, 3)])
def test_damaged_metrics_keep_the_rows_that_can_be_read(killed, damage, left, capsys):
    damage(killed.path / "metrics.jsonl")
    run = resumed(killed, capsys, f"{left} rows are left")
    steps = [row["step"] for row in run.metrics()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 256
    assert len(steps) == left + 4


def test_damaged_events_keep_the_rows_that_can_be_read(killed, capsys):
    events = killed.path / "events.jsonl"
    events.write_bytes(b'{"kind": "warning", "step": 0, "message": "slow"}\n\xff{]\n')
    run = entrax.resume(killed.path)
    assert f"Line 2 of {events} is damaged" in capsys.readouterr().err
    assert [event["kind"] for event in run.directory.events()] == ["warning", "started", "warning", "resumed"]
    assert checkpoints.load(run.directory)[1]["exact"]


def test_metrics_and_replay_may_both_be_damaged(killed, capsys):
    (killed.path / "metrics.jsonl").unlink()
    flip(segments(killed)[-1])
    resumed(killed, capsys, "segment")


def test_without_its_log_a_run_on_given_data_has_the_data_again(tmp_path, capsys):
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", "sac", run=tmp_path / "old", hook=killer(6), **OFF_POLICY)
    settings = {name: value for name, value in OFF_POLICY.items() if name != "learning_starts"}
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", "sac", run=tmp_path / "new", hook=killer(3), data=tmp_path / "old", **settings)
    (tmp_path / "new" / "replay" / "segment-000000").unlink()
    run = resumed(RunDirectory.open(tmp_path / "new"), capsys, "0 transitions of the replay are lost")
    assert len(stored(load_source_checkpoint(run.path, "latest", None)).reward) == 192
