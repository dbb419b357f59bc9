"""How many environments an evaluation has, and how long its episodes may be."""

from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import pytest

import entrax
from entrax.errors import EntraxError
from entrax.runs import checkpoints
from entrax.training.source_checkpoint import kept_rows, load_source_checkpoint

SMALL: dict[str, Any] = {
    "agent": "sac",
    "steps": 120,
    "learning_starts": 30,
    "chunk": 4,
    "hidden": (8, 8),
    "batch_size": 8,
    "log_every": 40,
    "eval_every": 30,
    "eval_episodes": 2,
    "seed": 1,
}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_environment_of_which_there_is_one_is_trained_and_evaluated(tmp_path, workers):
    port = tmp_path / "port"
    one: dict[str, Any] = {"env": "single:Single", "env_args": {"port": str(port)}, "workers": workers, "eval_envs": 1}
    run = entrax.train(**SMALL | one, run=tmp_path / "run")
    evaluated = [row["step"] for row in run.metrics() if "evaluation" in row]
    assert len(evaluated) == 4
    # Episodes of 7 steps; those under way when an evaluation begins end there, and are not counted.
    expected = {end for start, until in pairwise([0, *evaluated]) for end in range(start + 7, until + 1, 7)}
    rows = kept_rows(load_source_checkpoint(run.path, "final", None))
    assert set(np.flatnonzero(rows["truncated"]) + 1) == expected | set(evaluated[:-1])
    assert {row["length"] for row in run.metrics() if row.get("length") is not None} == {7.0}
    assert all(length == 7 for row in run.metrics() if "evaluation" in row for length in row["evaluation"]["lengths"])
    here = entrax.load(run.path, env="single:Single", env_args={"port": str(port)})
    assert not port.exists()
    assert here.evaluate(3, workers=workers).lengths == (7, 7, 7)
    with pytest.raises(EntraxError, match="FileExistsError"):
        here.evaluate(3, workers=workers, eval_envs=2)


def test_the_number_of_environments_changes_returns_by_rounding_only(tmp_path):
    run = entrax.train("Pendulum-v1", **SMALL | {"eval_every": 0, "max_episode_steps": 20}, run=tmp_path / "run")
    one, three = (run.evaluate(3, eval_envs=count, workers=0) for count in (1, 3))
    np.testing.assert_allclose(one.returns, three.returns, rtol=1e-5)
    assert one.lengths == three.lengths == (20, 20, 20)


class Survives(gymnasium.Env):
    """Never ends by itself, once it is asked to go on: the policy is good at once."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, False, False, {}


def test_a_policy_that_never_fails_does_not_end_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("entrax.evaluation.episodes.UNKNOWN_LIMIT", 50)
    run = entrax.train(lambda: Survives(), **SMALL, run=tmp_path / "run", workers=0)
    assert checkpoints.load(run.directory)[1]["step"] == 120
    said = capsys.readouterr().err
    assert said.count("no known time limit") == 1
    assert said.count("cut off after 50 steps") == 1
    kinds = [event["message"] for event in run.directory.events() if event["kind"] == "warning"]
    assert len(kinds) == 2


def test_a_limit_of_the_users_holds_in_training_and_evaluation(tmp_path, capsys):
    run = entrax.train(lambda: Survives(), **SMALL, run=tmp_path / "run", workers=0, max_episode_steps=6)
    assert run.config["training"]["max_episode_steps"] == 6
    rows = kept_rows(load_source_checkpoint(run.path, "final", None))
    np.testing.assert_array_equal(np.flatnonzero(rows["truncated"]), np.arange(5, 120, 6))
    assert run.evaluate(2).lengths == (6, 6)
    assert entrax.load(run.path, env=lambda: Survives()).evaluate(2).lengths == (6, 6)
    assert "time limit" not in capsys.readouterr().err
