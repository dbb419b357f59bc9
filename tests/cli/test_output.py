"""With --json standard output is one JSON object, whatever the environment prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import entrax
from entrax.cli import main
from entrax.cli.output import json_alone, print_json

WAYS = ("print", "a stream", "a descriptor", "C", "a process")


class Quiet(gymnasium.Env):
    """With the spaces of the environment that prints."""

    action_space = observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, False, True, {}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "run"
    entrax.train(lambda: Quiet(), "sac", run=path, steps=8, hidden=(8, 8), batch_size=8, eval_every=0)
    return path


@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_an_environment_prints_is_elsewhere(run, workers):
    arguments = ["evaluate", str(run), "--env", "chatty:Chatty", "--episodes", "2", "--workers", workers, "--json"]
    ended = subprocess.run(
        [sys.executable, "-m", "entrax.cli", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ended.stdout)["returns"] == [2.0, 2.0]
    assert {f"by {way}" for way in WAYS} <= set(ended.stderr.splitlines())


def test_afterwards_output_is_as_it_was(capfd):
    def verb():
        print_json({})
        print("aside")
        os.write(1, b"aside\n")
        raise ValueError("too late to lose the answer")

    with pytest.raises(ValueError, match="late"), json_alone():
        verb()
    print("afterwards", flush=True)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("{}\nafterwards\n", "aside\naside\n")


def test_help_is_no_json(capsys):
    main(["evaluate", "--json", "--help"])
    assert "--eval-envs" in capsys.readouterr().out
