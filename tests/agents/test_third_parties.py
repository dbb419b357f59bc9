"""Agents in one file, from the command line through training, a kill, resuming, evaluation and film."""

import json
from pathlib import Path
from typing import Any

import pytest

import entrax
from entrax.cli import main
from entrax.runs.audit import fingerprint
from entrax.runs.directory import RunDirectory
from tests.killing import Killed, killer

EXAMPLES = Path(__file__).parents[2] / "examples"
FLAGS = ["--steps", "96", "--learning-starts", "32", "--eval-every", "0", "--checkpoint-every", "20"]
SETTINGS: dict[str, Any] = {"steps": 96, "learning_starts": 32, "eval_every": 0, "checkpoint_every": 20}


@pytest.mark.parametrize(
    ("agent", "flags"),
    [
        (str(EXAMPLES / "smallest_agent.py"), ["--rate", "0.2"]),
        pytest.param(
            str(EXAMPLES / "planning_agent.py"),
            ["--plan-steps", "4", "--candidates", "8"],
            marks=pytest.mark.long,
        ),
    ],
)
def test_an_agent_in_one_file_goes_through_every_verb(agent, flags, tmp_path, capsys):
    run = str(tmp_path / "run")
    main(["train", "Pendulum-v1", "--agent", agent, *FLAGS, *flags, "--run", run])
    assert (tmp_path / "run" / "video.mp4").stat().st_size > 0
    capsys.readouterr()
    main(["evaluate", run, "--agent", agent, "--episodes", "2", "--json"])
    assert len(json.loads(capsys.readouterr().out)["returns"]) == 2
    own = {flag[2:].replace("-", "_"): float(value) for flag, value in zip(flags[::2], flags[1::2], strict=True)}
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", agent, run=tmp_path / "killed", hook=killer(2), **SETTINGS | own)
    main(["resume", str(tmp_path / "killed"), "--agent", agent, "--episodes", "1", "--no-video", "--json"])
    prints = [fingerprint(RunDirectory.open(tmp_path / name)) for name in ("run", "killed")]
    assert prints[0] == prints[1]
