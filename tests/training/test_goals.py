"""Runs with hindsight: exact after a kill, and refused where there are no goals."""

from typing import Any

import numpy as np
import pytest

import entrax
from entrax.errors import UsageError
from entrax.runs.audit import fingerprint
from entrax.runs.directory import RunDirectory
from tests.killing import Killed, killer

SMALL: dict[str, Any] = {
    "steps": 240,
    "learning_starts": 40,
    "hidden": (8,),
    "batch_size": 8,
    "hindsight": 0.8,
    "log_every": 24,
    "eval_every": 0,
    "checkpoint_every": 48,
    "env_args": {"bits": 4},
    "discount": 0.9,
}


def test_a_killed_run_with_hindsight_ends_as_one_that_was_not(tmp_path):
    entrax.train("entrax/BitFlip-v0", "dqn", run=tmp_path / "whole", **SMALL)
    with pytest.raises(Killed):
        entrax.train("entrax/BitFlip-v0", "dqn", run=tmp_path / "killed", hook=killer(5), **SMALL)
    entrax.resume(tmp_path / "killed")
    assert fingerprint(RunDirectory.open(tmp_path / "killed")) == fingerprint(RunDirectory.open(tmp_path / "whole"))


def test_goals_are_required_and_agents_of_single_transitions(tmp_path):
    settings = {name: value for name, value in SMALL.items() if name not in ("env_args", "learning_starts")}
    with pytest.raises(UsageError, match="achieved_goal"):
        entrax.train("CartPole-v1", "dqn", run=tmp_path / "a", **settings)
    with pytest.raises(UsageError, match="single transitions"):
        entrax.train("entrax/BitFlip-v0", "ppo", run=tmp_path / "b", **settings | {"batch_size": 64})


@pytest.mark.long
def test_hindsight_learns_what_is_not_learned_without(tmp_path):
    success = {}
    settings: dict[str, Any] = {
        "steps": 12_000,
        "hidden": (128,),
        "discount": 0.98,
        "env_args": {"bits": 12},
        "eval_every": 0,
    }
    for share in (0.0, 0.8):
        run = entrax.train("entrax/BitFlip-v0", "dqn", run=tmp_path / f"{share}", hindsight=share, **settings)
        success[share] = np.mean(np.array(run.evaluate(episodes=50).returns) > -12)
    assert success[0.8] > 0.9
    assert success[0.0] < 0.2
