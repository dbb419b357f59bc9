"""Runs of every format there ever was: what could be read stays readable, and acts as it did."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import entrax
from entrax.errors import EntraxError
from entrax.runs import directory
from entrax.runs.audit import fingerprint, verify
from entrax.runs.directory import RunDirectory
from tests.forging import forge_config

GOLDEN = Path(__file__).with_name("golden")


def test_there_is_a_golden_run_of_every_format():
    assert {path.name for path in GOLDEN.iterdir()} == {f"format-{n}" for n in range(1, directory.FORMAT + 1)}


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
@pytest.mark.parametrize("which", ["latest", "best", "final", "step-000000040"])
def test_its_checkpoints_are_read_and_act_as_they_did(path, which):
    run = entrax.load(path, which)
    expected = json.loads((path / "expected.json").read_text())
    mode = run.policy(np.array(expected["obs"], np.float32))
    if which in ("latest", "final"):
        np.testing.assert_allclose(mode, expected["mode"], rtol=1e-5)
    else:
        assert mode.shape == (3, 1)
    assert [row["step"] for row in run.metrics()][-1] == 60


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_all_of_it_is_whole(path):
    findings = verify(RunDirectory.open(path))
    assert len(findings) >= 4
    assert all(finding.damage is None for finding in findings)


def test_runs_from_before_there_was_a_log_are_not_resumed(tmp_path):
    shutil.copytree(GOLDEN / "format-1", tmp_path / "run")
    with pytest.raises(EntraxError, match="older entrax"):
        entrax.resume(tmp_path / "run")


def test_the_present_format_is_resumed(tmp_path, capsys):
    shutil.copytree(GOLDEN / "format-2", tmp_path / "run")
    before = fingerprint(RunDirectory.open(tmp_path / "run"), "step-000000056")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "final-000000060")
    run = entrax.resume(tmp_path / "run", steps=80)
    assert run.metrics()[-1]["step"] == 80
    assert fingerprint(run.directory)["replay"] != before["replay"]


def test_a_newer_format_is_refused(tmp_path):
    shutil.copytree(GOLDEN / "format-2", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"format": directory.FORMAT + 1}))
    with pytest.raises(EntraxError, match="newer"):
        entrax.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("agent", "os:system", "name it again"),
        ("environment", {"id": "os:system", "kwargs": {}, "travels": True}, "name it again"),
        ("agent", "../../sac", "name it again"),
    ],
)
def test_nothing_that_a_configuration_names_is_imported(tmp_path, field, value, words):
    shutil.copytree(GOLDEN / "format-2", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    forge_config(tmp_path / "run", config | {field: value})
    with pytest.raises(EntraxError, match=words):
        entrax.load(tmp_path / "run").evaluate(1)
    with pytest.raises(EntraxError, match=f"{words}|No checkpoint"):
        entrax.resume(tmp_path / "run", steps=80)
