"""Agents under 64-bit floats, which JAX_ENABLE_X64=1 asks for: the same run, byte for byte, as without."""

from typing import Any

import jax
import pytest

import entrax
from entrax.agents.registry import REGISTRY
from entrax.runs.audit import fingerprint
from tests.marks import long_except

LOOP: dict[str, Any] = {"workers": 0, "steps": 48, "eval_every": 0, "log_every": 24, "hidden": (4,)}
REPLAY = {"learning_starts": 16, "chunk": 8, "batch_size": 8}
ROLLOUTS = {"rollout_steps": 16, "envs": 1}
MODEL = {"members": 2, "held_out": 4, "updates_per_step": 1.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": ROLLOUTS | {"batch_size": 16},
    "reinforce": ROLLOUTS,
    "recurrent-sac": REPLAY | {"length": 6, "burn_in": 2},
    "pets": REPLAY | MODEL | {"plans": 8, "best_plans": 4, "iterations": 1, "plan_length": 3},
    "mbpo": REPLAY | MODEL | {"elites": 2, "model_hidden": (4,), "model_batch_size": 8, "starts": 4},
    "pcl": {"path_length": 2, "window": 4, "batch_size": 4, "envs": 1},
}
CASES = [
    (agent, env)
    for agent, entry in REGISTRY.items()
    for space, env in (("Box", "Pendulum-v1"), ("Discrete", "CartPole-v1"))
    if space in entry.actions
]


@pytest.fixture
def x64():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def of(run):
    return fingerprint(run.directory), run.evaluate(1).returns


@pytest.mark.parametrize(("agent", "env"), long_except(("sac", "dqn"), CASES))
def test_every_agent_learns_and_acts_the_same(agent, env, tmp_path, request):
    settings = LOOP | SETTINGS.get(agent, REPLAY)
    usual = of(entrax.train(env, agent, run=tmp_path / "usual", **settings))
    request.getfixturevalue("x64")
    assert of(entrax.train(env, agent, run=tmp_path / "wide", **settings)) == usual


@pytest.mark.long
def test_a_run_goes_on_in_the_other_kind_of_process(tmp_path, request):
    settings = LOOP | REPLAY
    whole = entrax.train("Pendulum-v1", "sac", run=tmp_path / "whole", **settings)
    entrax.train("Pendulum-v1", "sac", run=tmp_path / "parted", hook=lambda row: True, **settings)
    request.getfixturevalue("x64")
    assert fingerprint(entrax.resume(tmp_path / "parted").directory) == fingerprint(whole.directory)
    tuned = entrax.finetune(tmp_path / "whole", env="Pendulum-v1", run=tmp_path / "tuned", steps=48)
    obs = tuned.source().make().reset(seed=0)[0]
    assert tuned.player().act(obs) == tuned.policy(obs)
