"""Runs of every agent of the registry: killed and resumed, they end as runs that were not."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import entrax
from entrax.agents.base import wrapping
from entrax.agents.lookup import get_agent
from entrax.agents.registry import REGISTRY
from entrax.runs import checkpoints
from entrax.runs.audit import fingerprint, verify
from tests.killing import Killed, killer
from tests.marks import long_except

COMMON: dict[str, Any] = {
    "steps": 96,
    "hidden": (8, 8),
    "eval_every": 0,
    "log_every": 16,
    "checkpoint_every": 16,
    "workers": 0,
}
OFF_POLICY = COMMON | {"batch_size": 8, "learning_starts": 16, "chunk": 8}
MODEL: dict[str, Any] = {"members": 2, "held_out": 4, "updates_per_step": 1.0}
SETTINGS = {
    "recurrent-sac": OFF_POLICY | {"memory": 4, "length": 4, "burn_in": 2, "envs": 2},
    "soft-q": OFF_POLICY | {"hidden": (8, 8, 8), "particles": 4, "value_particles": 4},
    "pets": OFF_POLICY | MODEL | {"plans": 8, "best_plans": 4, "iterations": 1, "plan_length": 3},
    "mbpo": OFF_POLICY
    | MODEL
    | {"elites": 2, "model_hidden": (8,), "model_batch_size": 8, "starts": 4, "final_length": 3},
    "dqn": OFF_POLICY | {"n_step": 2},
    "ppo": COMMON | {"rollout_steps": 16, "batch_size": 8, "envs": 2},
    "reinforce": COMMON | {"rollout_steps": 16, "memory": 4, "envs": 2},
    "pcl": OFF_POLICY | {"window": 6, "path_length": 3, "envs": 2},
}


@pytest.mark.parametrize("name", long_except(("sac", "reinforce"), REGISTRY))
def test_killed_and_resumed_it_ends_as_one_that_was_not(name, tmp_path):
    env = "Pendulum-v1" if "Box" in REGISTRY[name].actions else "CartPole-v1"
    settings = SETTINGS.get(name, OFF_POLICY)
    whole = entrax.train(env, name, run=tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        entrax.train(env, name, run=tmp_path / "cut", hook=killer(3), **settings)
    resumed = entrax.resume(tmp_path / "cut")
    assert any(event["kind"] == "resumed" for event in resumed.directory.events())
    assert fingerprint(resumed.directory) == fingerprint(whole.directory)


def with_a_floor(**names):
    """SAC with one more number in its state, -∞ until something is learned."""
    sac = get_agent("sac")

    def update(config, state, batch, progress, key):
        inner, info = sac.update(config, state["inner"], batch, progress, key)
        return {"inner": inner, "floor": jnp.maximum(state["floor"], -jnp.inf)}, info

    return wrapping(
        sac,
        init=lambda config, spec, key: {"inner": sac.init(config, spec, key), "floor": jnp.asarray(-jnp.inf)},
        policy=lambda config, state: sac.policy(config, state["inner"]),
        temperature=lambda config, state, progress: None,
        with_temperature=lambda config, state, temperature: (config, state),
        transferred_paths=lambda config, source, keep: ("inner/params", "inner/targets"),
        update=update,
        **names,
    )


def test_what_need_not_be_finite_is_saved_and_resumed(tmp_path):
    agent = with_a_floor(finite=lambda state: state | {"floor": None})
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", agent, run=tmp_path / "run", hook=killer(3), **OFF_POLICY)
    run = entrax.resume(tmp_path / "run", agent=agent)
    arrays, meta = checkpoints.load(run.directory)
    assert meta["unchecked"] == ["state/floor"]
    assert arrays["state/floor"] == -np.inf
    verify(run.directory)
    tuned = entrax.finetune(run.path, steps=16, agent=agent, run=tmp_path / "tuned", eval_every=0)
    assert tuned.config["ancestor"]["carried"] == ["inner", "normaliser"]


def test_without_that_name_the_run_has_diverged(tmp_path):
    with pytest.raises(entrax.EntraxError, match="not finite"):
        entrax.train("Pendulum-v1", with_a_floor(), run=tmp_path / "run", **OFF_POLICY)
