import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.runs.directory import FORMAT, RunDirectory
from entrax.runs.versions import versions

CONFIG = {"agent": "sac", "seed": 3, "agent_config": {"layers": (256, 256), "target_entropy": float("nan")}}

CLAIM = """
import sys
from entrax.runs.directory import RunDirectory
print("ready", flush=True)
sys.stdin.readline()
for _ in range(50):
    print(RunDirectory.unused_path(sys.argv[1], "Hopper-v5_sac_0").name)
"""


def test_a_run_reads_back_what_was_written(tmp_path):
    run = RunDirectory.create(tmp_path / "deep" / "run", CONFIG)
    run.append_metrics({"step": 1, "return": float("nan"), "q": np.float32(0.25)})
    run.append_metrics({"step": 2, "return": 1.5})
    run.append_event({"kind": "warning", "message": "slow"})
    again = RunDirectory.open(tmp_path / "deep" / "run")
    assert again.config == run.config
    assert again.config == {
        "format": FORMAT,
        "agent": "sac",
        "seed": 3,
        "agent_config": {"layers": [256, 256], "target_entropy": None},
    }
    assert again.metrics() == [{"step": 1, "return": None, "q": 0.25}, {"step": 2, "return": 1.5}]
    assert again.events() == [{"kind": "warning", "message": "slow"}]


def test_a_directory_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(EntraxError, match="is not empty"):
        RunDirectory.create(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    RunDirectory.create(tmp_path / "run", CONFIG)
    with pytest.raises(EntraxError, match="is not empty"):
        RunDirectory.create(tmp_path / "run", CONFIG)


def test_of_two_creators_that_both_found_it_empty_the_second_is_refused(tmp_path, monkeypatch):
    RunDirectory.create(tmp_path, CONFIG)
    monkeypatch.setattr("pathlib.Path.iterdir", lambda path: iter(()))
    with pytest.raises(EntraxError, match="is in use"):
        RunDirectory.create(tmp_path, CONFIG | {"seed": 4})
    assert RunDirectory.open(tmp_path).config["seed"] == 3


def test_a_path_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EntraxError, match="cannot be written"):
        RunDirectory.create(tmp_path / "file" / "run", CONFIG)
    with pytest.raises(EntraxError, match="No run directory can be made"):
        RunDirectory.unused_path(tmp_path / "file", "a")


def test_an_unwritable_directory_is_refused_by_a_sentence(tmp_path, monkeypatch):
    def refuse(*_arguments, **_settings):  # as to anyone but root, who may write anywhere
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EntraxError, match="Permission denied"):
        RunDirectory.create(tmp_path / "run", CONFIG)


def test_what_is_no_run_is_refused_by_a_sentence(tmp_path):
    with pytest.raises(EntraxError, match="no such directory"):
        RunDirectory.open(tmp_path / "nowhere")
    with pytest.raises(EntraxError, match=r"is not a run: .*no config\.json"):
        RunDirectory.open(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (f'{{"format": {FORMAT + 1}}}', "newer"),
        ("{}", "its format must be an integer"),
        ('{"format": "1"}', "its format must be an integer"),
        ('{"format": 1', "is not valid JSON"),
    ],
)
def test_configurations_of_other_formats_are_refused(tmp_path, config, words):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(EntraxError, match=words):
        RunDirectory.open(tmp_path)


def test_unused_paths_count_up_and_hold_no_separators(tmp_path):
    (tmp_path / "ns-Env-v0_sac_0_1").mkdir()
    paths = [RunDirectory.unused_path(tmp_path, "ns/Env-v0_sac_0") for _ in range(2)]
    assert [path.name for path in paths] == ["ns-Env-v0_sac_0_2", "ns-Env-v0_sac_0_3"]
    assert RunDirectory.create(paths[0], CONFIG).path == paths[0]


def test_processes_that_start_at_once_never_get_the_same_path(tmp_path):
    command = [sys.executable, "-c", CLAIM, str(tmp_path)]
    claims = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for claim in claims:
        assert claim.stdout is not None
        assert claim.stdout.readline() == "ready\n"
    for claim in claims:
        assert claim.stdin is not None
        claim.stdin.write("go\n")
        claim.stdin.flush()
    names = [name for claim in claims for name in claim.communicate(timeout=50)[0].split()]
    assert [claim.returncode for claim in claims] == [0, 0]
    assert sorted(names) == sorted(f"Hopper-v5_sac_0_{n}" for n in range(1, 101))


def test_versions_name_what_results_depend_on():
    import jax

    found = versions()
    assert set(found) >= {"entrax", "jax", "jaxlib", "equinox", "optax", "gymnasium", "mujoco", "numpy", "python"}
    assert found["jax"] == jax.__version__
    assert found["python"] == sys.version.split()[0]


def test_a_run_is_read_without_jax(tmp_path):
    RunDirectory.create(tmp_path / "run", CONFIG)
    script = "import sys; from entrax.runs.directory import RunDirectory; from entrax.runs import checkpoints\n"
    script += "RunDirectory.open(sys.argv[1]); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "run")], timeout=50).returncode == 0


@pytest.mark.parametrize("place", ["metrics.jsonl", "checkpoints/step-000000001", "replay", "report.html"])
def test_a_run_with_links_is_refused(tmp_path, place):
    run = RunDirectory.create(tmp_path / "run", {})
    (tmp_path / "precious").write_text("mine")
    (run.path / place).symlink_to(tmp_path / "precious")
    with pytest.raises(EntraxError, match="is a link"):
        RunDirectory.open(run.path)
    assert (tmp_path / "precious").read_text() == "mine"
