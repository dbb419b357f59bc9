"""Commands that entrax prints work as they are printed, and what is given by a file works in every verb."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from entrax.cli import main

ODD = """a "b" 'c' $HOME `id` * \\ ; & é"""
CART = f"""
import os, pathlib, signal
import motors
from gymnasium.envs.classic_control import PendulumEnv


class TwoMotorCart(PendulumEnv):
    steps = 0

    def __init__(self, render_mode=None, note="", folder=None, bounds=None):
        super().__init__(render_mode=render_mode)
        assert note == {ODD!r} == motors.NOTE
        assert type(bounds) is tuple
        assert bounds == (0.7, float("inf"), {{1: True}})
        self.interrupted = folder / "interrupted"

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.t += 1
        TwoMotorCart.steps += 1
        if TwoMotorCart.steps == 30 and not self.interrupted.exists():
            self.interrupted.touch()
            os.kill(os.getpid(), signal.SIGINT)
        obs, reward, *_, info = super().step(action)
        return obs, reward, False, self.t >= 5, info
"""


@pytest.fixture
def room(tmp_path, monkeypatch) -> Path:
    """A directory with a cart and an agent, as the working directory, and with `entrax` on the path."""
    room = tmp_path / "my carts"
    room.mkdir()
    monkeypatch.chdir(room)
    (room / "mycart.py").write_text(CART)
    (room / "motors.py").write_text(f"NOTE = {ODD!r}\n")
    (room / "my_sac.py").write_text("from entrax.agents.sac import Config, data, init, policy, resolve, update\n")
    (tmp_path / "entrax").write_text(f"#!{sys.executable}\nfrom entrax.cli import main\nmain()\n")
    (tmp_path / "entrax").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return room


def typed(command: str, status: int = 0) -> str:
    """What a command prints, typed into a shell in another directory."""
    done = subprocess.run(command, shell=True, cwd="/", capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def hint(pattern: str, printed: str) -> str:
    result = re.search(pattern, printed)
    assert result is not None, printed
    return result[1]


@pytest.mark.long
def test_resume_and_evaluate_work_as_they_are_printed(room):
    arguments = ["mycart.py:TwoMotorCart", "--agent", "my_sac.py", "--workers", "0", "--envs", "1", "--steps", "40"]
    arguments += ["--learning-starts", "4", "--batch-size", "2", "--hidden", "4", "--eval-every", "0"]
    for argument in (
        f"note={ODD}",
        f'folder={{"$path": "{room}"}}',
        'bounds={"$tuple": [0.7, Infinity, {"$dict": [[1, true]]}]}',
    ):
        arguments += ["--env-arg", argument]
    done = subprocess.run(["entrax", "train", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 130, done.stderr
    resumed = typed(hint(r"`(entrax resume .*)` continues", done.stderr) + " --no-video")
    assert "return" in typed(hint(r"again   (entrax evaluate .*)", resumed) + " --episodes 2")


STUDY = """
from entrax.studies.power import ControlResult, median_power
from entrax.studies.study import Study

STUDY = Study(
    name="mine",
    claim="A claim.",
    criterion="Always.",
    look="A point.",
    run=lambda quick, seeds, out: {},
    judge=lambda numbers: "supported",
    power=median_power("An effect.", "a case", lambda: ControlResult(seen=True)),
)
"""


@pytest.mark.parametrize("name", ["my_study:STUDY", "./my_study.py:STUDY"])
def test_a_study_is_given_by_module_or_file(room, name):
    (room / "my_study.py").write_text(STUDY)
    done = subprocess.run(
        ["entrax", "study", name, "--quick"], capture_output=True, text=True, timeout=300, check=False
    )
    assert "mine: supported" in done.stdout, done.stderr
    assert (room / "studies" / "mine" / "numbers.json").exists()


@pytest.mark.long
def test_infinity_goes_from_training_to_all_that_follows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--steps", "12", "--learning-starts", "4", "--episodes", "1", "--no-video"]
    main(["train", "Hopper-v5", "--env-arg", "healthy_z_range=[0.7,Infinity]", "--hidden", "4", "--run", "run", *small])
    main(["evaluate", "run", "--episodes", "1"])
    main(["resume", "run", "--steps", "20", "--no-video"])
    main(["stress", "run", "--levels", "0,1", "--families", "motor_strength", "--episodes", "1"])
    main(
        [
            "stress",
            "run",
            "--levels",
            "0,1",
            "--families",
            "motor_strength",
            "--episodes",
            "1",
            "--variant",
            "healthy_z_range=[0,Infinity]",
        ]
    )
    main(["finetune", "run", "--run", "tuned", *small])
    kwargs = json.loads((tmp_path / "tuned" / "config.json").read_text())["environment"]["kwargs"]
    assert kwargs == {"healthy_z_range": [0.7, {"$float": "inf"}]}
