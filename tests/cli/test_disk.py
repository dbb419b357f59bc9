"""A disk that fails: whatever the file, one sentence names it and the exit status is 5."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import entrax
from entrax.cli import main
from entrax.environments.source import as_source
from entrax.errors import CannotWrite, FileFault
from entrax.problems import FiniteMDP
from entrax.report.video import record
from entrax.runs import checkpoints, records, transition_log
from entrax.runs.audit import verify
from entrax.runs.directory import RunDirectory

GOLDEN = Path(__file__).parent.parent / "runs" / "golden" / "format-2"
SMALL: dict[str, Any] = {
    "agent": "sac",
    "steps": 48,
    "hidden": (8, 8),
    "batch_size": 8,
    "learning_starts": 16,
    "chunk": 8,
}
SMALL |= {"eval_every": 24, "eval_episodes": 1, "checkpoint_every": 16, "log_every": 8, "workers": 0}


class Disk:
    """Counts what is done to files, and fails at the operation with number `fails_at`."""

    def __init__(self, monkeypatch):
        self.done, self.fails_at, self.error = 0, None, errno.ENOSPC
        for module, name in [(os, "fsync"), (os, "replace"), (os, "rename"), (os, "ftruncate")]:
            monkeypatch.setattr(module, name, self.failing(getattr(module, name)))
        for module in (records, transition_log):
            monkeypatch.setattr(module, "open", self.failing(open), raising=False)

    def failing(self, operation):
        def attempt(*arguments, **named):
            self.done += 1
            if self.done == self.fails_at:
                raise OSError(self.error, os.strerror(self.error))
            return operation(*arguments, **named)

        return attempt


@pytest.fixture(scope="module")
def operations(tmp_path_factory):
    """How many operations a run needs."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        entrax.train("Pendulum-v1", run=tmp_path_factory.mktemp("disk") / "run", **SMALL)
    return disk.done


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_any_operation_of_a_run_may_fail(tmp_path, monkeypatch, operations, share):
    disk = Disk(monkeypatch)
    disk.fails_at = 1 + round(share * (operations - 1))
    disk.error = errno.EIO if share > 0.5 else errno.ENOSPC
    with pytest.raises(FileFault) as fault:
        entrax.train("Pendulum-v1", run=tmp_path / "run", **SMALL)
    assert fault.value.exit_code == 5
    assert str(tmp_path / "run") in str(fault.value)
    assert os.strerror(disk.error) in str(fault.value)
    if (tmp_path / "run" / "config.json").exists():
        assert all(finding.damage is None for finding in verify(RunDirectory.open(tmp_path / "run")))


def test_a_run_that_was_removed_is_named_and_does_not_come_back(tmp_path):
    def hook(row):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)

    with pytest.raises(CannotWrite, match=f"{tmp_path / 'run'}.*No such file") as fault:
        entrax.train("Pendulum-v1", run=tmp_path / "run", hook=hook, **SMALL)
    assert fault.value.exit_code == 5
    assert not (tmp_path / "run").exists()


def failure(capsys, *arguments):
    """The exit status and the one sentence of a verb that fails."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    [sentence] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("entrax: ")]
    return left.value.code, sentence


@pytest.mark.parametrize("file", ["learning_curve.png", "report.html"])
def test_what_a_report_cannot_write_is_named(tmp_path, monkeypatch, capsys, file):
    run, write = shutil.copytree(GOLDEN, tmp_path / "run"), records.write_bytes

    def full(path, data):
        if file in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, data)

    monkeypatch.setattr(records, "write_bytes", full)
    code, sentence = failure(capsys, "report", run, "--no-video")
    assert code == 5
    assert str(run / file) in sentence
    assert "No space left" in sentence


@pytest.mark.parametrize(
    "verb",
    [
        "plan FrozenLake-v1 --temperature 0.1 --discount 0.9",
        f"compare {GOLDEN}",
        f"stress {GOLDEN} --families sensor_noise --levels 0,1 --episodes 1 --workers 0",
    ],
    ids=lambda verb: verb.split()[0],
)
def test_a_figure_in_a_directory_that_is_not_there_is_named(tmp_path, capsys, verb):
    figure = tmp_path / "gone" / "figure.png"
    code, sentence = failure(capsys, *verb.split(), "--figure", figure)
    assert code == 5
    assert str(figure) in sentence
    assert "No such file" in sentence


def test_a_film_that_cannot_be_written_is_named(tmp_path):
    def act(obs, episodes, t):
        return np.zeros((1, 1), np.float32)

    with pytest.raises(CannotWrite, match=r"film\.mp4.*No such file"):
        record(as_source("Pendulum-v1", {}), act, tmp_path / "gone" / "film.mp4", 0, max_seconds=0.2)


def test_a_problem_that_cannot_be_written_is_named(tmp_path):
    problem = FiniteMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), discount=0.9)
    with pytest.raises(CannotWrite, match=r"lake\.npz"):
        problem.save(tmp_path / "gone" / "lake.npz")


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    run = RunDirectory.open(shutil.copytree(GOLDEN, tmp_path / "run"))

    def broken(*arguments, **named):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("hashlib.file_digest", broken)
    with pytest.raises(FileFault, match=r"meta\.json could not be read \(Input/output error\)") as fault:
        checkpoints.load(run)
    assert fault.value.exit_code == 5


def test_standard_output_may_be_full(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "entrax.cli", "agents"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 5
    assert done.stderr.splitlines() == ["entrax: Standard output cannot be read or written (No space left on device)."]
