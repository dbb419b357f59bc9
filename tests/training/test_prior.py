"""Runs with a prior: the policy of another run in them for good, and that run needed no more."""

import json
import shutil
from typing import Any

import numpy as np
import pytest

import entrax
from entrax.errors import EntraxError
from entrax.runs import checkpoints
from entrax.runs.audit import fingerprint, verify
from entrax.runs.directory import RunDirectory
from entrax.runs.start_file import read_start_file
from tests.forging import forge_config
from tests.killing import Killed, killer

SMALL: dict[str, Any] = {
    "learning_starts": 32,
    "chunk": 8,
    "hidden": (8, 8),
    "batch_size": 8,
    "eval_every": 0,
    "log_every": 16,
}
ROLLOUT: dict[str, Any] = {"hidden": (8, 8), "rollout_steps": 32, "batch_size": 8, "eval_every": 0}


def arrays(path, group, which="final"):
    there, _ = checkpoints.load(RunDirectory.open(path), which)
    return {name.removeprefix(f"{group}/"): a.tobytes() for name, a in there.items() if name.startswith(f"{group}/")}


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A run of PPO on the cart and pole, with a normaliser."""
    path = tmp_path_factory.mktemp("old") / "run"
    entrax.train("CartPole-v1", "ppo", steps=64, run=path, normalise_obs=True, seed=1, **ROLLOUT)
    return path


def soft(path, **settings):
    chosen: dict[str, Any] = SMALL | {"steps": 96, "temperature": 0.1, "normalise_obs": True, "checkpoint_every": 32}
    return entrax.train("CartPole-v1", "dqn", run=path, **chosen | settings)


@pytest.mark.long
def test_it_survives_its_prior_and_any_kill_to_the_byte(old, tmp_path):
    shutil.copytree(old, tmp_path / "old")
    whole = soft(tmp_path / "whole", prior=tmp_path / "old")
    with pytest.raises(Killed):
        soft(tmp_path / "new", prior=tmp_path / "old", hook=killer(0))
    assert checkpoints.available(RunDirectory.open(tmp_path / "new")) == []
    shutil.rmtree(tmp_path / "old")
    with pytest.raises(Killed):
        entrax.resume(tmp_path / "new", hook=killer(4))
    resumed = soft(tmp_path / "new", prior=tmp_path / "old", resume=True)
    assert fingerprint(resumed.directory) == fingerprint(whole.directory)
    assert all(found.damage is None for found in verify(whole.directory))
    obs = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(entrax.load(tmp_path / "new").policy(obs), whole.policy(obs))

    policy = arrays(old, "policy")
    assert policy
    assert arrays(whole.path, "state/prior") == policy  # never changed, part of the state, and so of the fingerprint
    assert arrays(whole.path, "normaliser") == arrays(old, "normaliser")
    record = whole.config["prior"]
    assert (record["checkpoint"], record["step"], record["seed"], record["agent"]) == ("final-000000064", 64, 1, "ppo")
    assert whole.config["start"]["carried"] == ["prior", "normaliser"]
    assert whole.config["start"]["reset"] == ["params/critic", "targets", "opt_state", "updates"]
    assert any(row.get("kl_to_prior", 0) > 0 for row in whole.metrics())
    [event] = [event for event in whole.directory.events() if event["kind"] == "begun"]
    assert event["message"].startswith("Prior: final-000000064 of ")


def test_without_a_prior_there_is_no_trace_of_one(tmp_path):
    run = soft(tmp_path / "run")
    assert not {"prior", "start", "data"} & run.config.keys()
    assert not arrays(run.path, "state/prior")
    assert not (run.path / "start.safetensors").exists()


def test_nothing_that_a_run_names_is_imported(old, tmp_path, monkeypatch):
    run = soft(tmp_path / "run", prior=old)
    (tmp_path / "stranger.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    config = json.loads((run.path / "config.json").read_text())
    config["prior"]["agent"] = "stranger:agent"
    forge_config(run.path, config)
    with pytest.raises(EntraxError, match="nothing that a run names is imported"):
        entrax.load(run.path)


@pytest.mark.long
def test_a_prior_that_had_a_prior_and_fine_tuning_near_oneself(old, tmp_path):
    first = soft(tmp_path / "first", prior=old)
    second = entrax.train(
        "CartPole-v1", "ppo", steps=32, run=tmp_path / "second", prior=first.path, normalise_obs=True,
        temperature=0.1, **ROLLOUT,
    )  # fmt: skip
    assert second.config["prior"]["prior"]["agent"] == "ppo"
    shutil.rmtree(first.path)
    tuned = entrax.finetune(second.path, steps=32, run=tmp_path / "tuned", eval_every=0)
    assert tuned.config["prior"] == second.config["prior"]  # a setting like any other
    assert arrays(tuned.path, "state/prior") == arrays(second.path, "state/prior")
    near = entrax.finetune(second.path, steps=32, run=tmp_path / "near", prior=second.path, eval_every=0)
    assert near.config["ancestor"]["carried"] == ["params/policy", "params/value", "prior", "normaliser"]
    assert "prior" not in near.config["ancestor"]["reset"]
    begun = read_start_file(near.directory)
    policy = {
        n.removeprefix("state/params/policy/"): a for n, a in begun.items() if n.startswith("state/params/policy")
    }
    assert all(np.array_equal(a, begun[f"state/prior/{name}"]) for name, a in policy.items())
    [row] = [row for row in near.metrics() if "kl_to_prior" in row]
    assert row["kl_to_prior"] < 0.01  # it begins at 0


def test_what_cannot_be_a_prior_is_refused_before_anything_is_made(old, tmp_path):
    for env, agent, settings, words in (
        ("Acrobot-v1", "dqn", {}, r"spaces of .*: observation has shape \(6,\), not \(4,\)"),
        ("CartPole-v1", "dqn", {"normalise_obs": False}, "`normalise_obs` must be True"),
        ("CartPole-v1", "dqn", {"temperature": 0.0}, "positive for a prior to count"),
        ("CartPole-v1", "reinforce", {"steps": 256}, "reinforce takes no prior"),
        ("CartPole-v1", "dqn", {"prior": tmp_path / "nowhere"}, "is not a run"),
        ("CartPole-v1", "discrete-sac", {"prior": None, "target_kl": 0.5}, "`target_kl` requires a `prior`"),
        ("CartPole-v1", "discrete-sac", {"target_kl": 0.5}, "target_kl.* must be 0 where"),
    ):
        chosen: dict[str, Any] = {"steps": 64, "normalise_obs": True, "temperature": 0.1, "prior": old} | settings
        with pytest.raises(EntraxError, match=words):
            entrax.train(env, agent, run=tmp_path / "new", **chosen)
        assert not (tmp_path / "new").exists()
    run = soft(tmp_path / "run", prior=old, hook=lambda row: True)
    for other in (None, run.path):
        with pytest.raises(EntraxError, match="holds a run with prior"):
            soft(tmp_path / "run", prior=other, resume=True)
    with pytest.raises(EntraxError, match="its values are relative to that"):
        entrax.compose([run.path, run.path], "CartPole-v1")
