"""The same seed gives the same parameters to the byte, however the environments are stepped and watched."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import entrax
from entrax.runs import checkpoints
from entrax.runs.directory import RunDirectory

SMALL: dict[str, Any] = {"steps": 300, "learning_starts": 60, "chunk": 8, "hidden": (8, 8), "batch_size": 8}
QUIET: dict[str, Any] = {"eval_every": 0, "checkpoint_every": 0, "log_every": 1000}


def parameters(path, which="final"):
    """Every array of a checkpoint (networks, targets, optimisers, normaliser) as bytes."""
    arrays, _ = checkpoints.load(RunDirectory.open(path), which)
    assert any(np.size(array) > 16 for array in arrays.values())
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that trains on Pendulum and returns the parameters; what was trained before is remembered."""
    known = {}

    def train(seed=0, again=0, **settings):
        key = (seed, again, tuple(sorted(settings.items())))
        if key not in known:
            run = tmp_path_factory.mktemp("run") / "run"
            entrax.train("Pendulum-v1", seed=seed, run=run, **SMALL | QUIET | settings)
            known[key] = run
        return parameters(known[key])

    return train


@pytest.mark.parametrize("envs", [1, 3])
def test_the_same_seed_gives_the_same_bytes_twice(trained, envs):
    assert trained(envs=envs, workers=0) == trained(envs=envs, workers=0, again=1)


@pytest.mark.parametrize(("envs", "workers"), [pytest.param(1, 1, marks=pytest.mark.long), (3, 2)])
def test_workers_give_the_bytes_of_one_process(trained, envs, workers):
    here, there = trained(envs=envs, workers=0), trained(envs=envs, workers=workers)
    assert here == there
    assert there == trained(envs=envs, workers=workers, again=1)


def test_another_seed_gives_other_parameters(trained):
    one, other = trained(envs=1, workers=0), trained(seed=1, envs=1, workers=0)
    assert one.keys() == other.keys()
    policy = [name for name in one if name.startswith("policy/") and one[name] != other[name]]
    assert policy


def test_watching_does_not_alter_the_parameters(trained):
    watched = trained(envs=3, workers=0, eval_every=100, eval_episodes=2, checkpoint_every=50, log_every=24)
    assert watched == trained(envs=3, workers=0)


def test_a_normalised_run_repeats_too_and_differs(trained):
    settings: dict[str, Any] = {"envs": 3, "normalise_obs": True, "updates_per_step": 0.5}
    here = trained(workers=0, **settings)
    assert here == trained(workers=2, **settings)
    assert here != trained(envs=3, workers=0, updates_per_step=0.5)


@pytest.mark.long
def test_the_value_agent_repeats_too(trained):
    assert trained(agent="sac-value", envs=1) == trained(agent="sac-value", envs=1, again=1)


def test_another_process_gives_the_same_bytes(trained, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "7"}
    arguments = {"seed": 0, "run": str(tmp_path / "run"), **SMALL, **QUIET, "envs": 3, "workers": 0}
    script = f"import entrax; entrax.train('Pendulum-v1', **{arguments!r})"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert parameters(tmp_path / "run") == trained(envs=3, workers=0)


def test_a_stopped_run_ends_where_the_whole_one_passed(tmp_path):
    settings: dict[str, Any] = SMALL | QUIET | {"log_every": 50}
    entrax.train("Pendulum-v1", run=tmp_path / "whole", **settings | {"checkpoint_every": 50})
    entrax.train("Pendulum-v1", run=tmp_path / "stopped", hook=lambda row: row["step"] > 200, **settings)
    resumable, stopped = checkpoints.available(RunDirectory.open(tmp_path / "stopped"))
    assert resumable == stopped.replace("final", "step")
    assert parameters(tmp_path / "stopped") == parameters(tmp_path / "whole", resumable)
    assert parameters(tmp_path / "stopped") != parameters(tmp_path / "whole")


def test_the_loaded_policy_is_the_trained_one(tmp_path):
    run = entrax.train("Pendulum-v1", seed=3, run=tmp_path / "run", **SMALL | QUIET)
    loaded = entrax.load(Path(run.path))
    obs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(run.policy(obs), loaded.policy(obs))
