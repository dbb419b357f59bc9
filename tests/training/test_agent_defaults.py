"""The agents' own defaults for the loop, and rewards that are scaled."""

import json
import shutil
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

import entrax
from entrax.agents import ppo, reinforce, sac, xqc
from entrax.errors import EntraxError
from entrax.runs import checkpoints
from entrax.runs.audit import fingerprint
from entrax.spec import Continuous, Discrete, Leaf, Spec

OBS = (Leaf("", (3,), "float32", 3, (-1.0,) * 3, (1.0,) * 3),)
BOX = Spec(OBS, Continuous((1,), "float32", (-1.0,), (1.0,)))
DISCRETE = Spec(OBS, Discrete(2))
PICTURE = Spec((Leaf("", (6, 6, 1), "uint8", 36, (0.0,), (255.0,)),), BOX.action)
SMALL: dict[str, Any] = {"workers": 0, "eval_every": 0, "hidden": (8,)}
ROLLOUTS: dict[str, Any] = SMALL | {"rollout_steps": 128, "batch_size": 32, "epochs": 2, "steps": 300}


@pytest.mark.parametrize(
    ("agent", "settings", "spec", "expected"),
    [
        (ppo, {}, BOX, {"envs": 8, "normalise_obs": True, "normalise_rewards": True}),
        (ppo, {"temperature": 0.1}, BOX, {"envs": 8, "normalise_obs": True, "normalise_rewards": False}),
        (ppo, {}, PICTURE, {"envs": 8, "normalise_obs": False, "normalise_rewards": True}),
        (ppo, {}, DISCRETE, {"envs": 8, "normalise_obs": False, "normalise_rewards": False}),
        (ppo, {"rollout_steps": 320}, DISCRETE, {"envs": 5, "normalise_obs": False, "normalise_rewards": False}),
        (xqc, {}, BOX, {"updates_per_step": 2.0, "normalise_rewards": True}),
        (reinforce, {}, BOX, {"envs": 4}),
        (reinforce, {"baseline": "none"}, BOX, {"envs": 1}),
        (reinforce, {"baseline": "mean"}, BOX, {"envs": 2}),
        (reinforce, {"memory": 4}, BOX, {"envs": 1}),
    ],
)
def test_what_suits_an_agent(agent, settings, spec, expected):
    config = agent.resolve(agent.Config(**settings), spec)
    assert agent.loop_defaults(config, spec) == expected


@pytest.mark.parametrize("agent", ["ppo", "reinforce", "pcl"])
@pytest.mark.parametrize("steps", [600, 2_000])
def test_several_environments_by_default_as_many_as_the_steps_allow(agent, steps, tmp_path):
    run = entrax.train("CartPole-v1", agent, steps=steps, run=tmp_path / "run", hook=lambda row: True, **SMALL)
    assert run.config["training"]["envs"] == {"ppo": 8, "reinforce": 4, "pcl": 2 if steps == 600 else 8}[agent]


def test_what_is_named_wins_and_a_run_that_is_resumed_stays_as_it_was(tmp_path):
    own: dict[str, Any] = {"envs": 2, "normalise_obs": False, "normalise_rewards": False}
    run = entrax.train("Pendulum-v1", "ppo", run=tmp_path / "run", **ROLLOUTS | own)
    assert {name: run.config["training"][name] for name in own} == own
    more = entrax.train("Pendulum-v1", "ppo", run=tmp_path / "run", resume=True, **ROLLOUTS | {"steps": 400})
    assert {name: more.config["training"][name] for name in own} == own
    assert more.metrics()[-1]["step"] == 400


def louder():
    return gymnasium.wrappers.TransformReward(gymnasium.make("Pendulum-v1"), lambda reward: 1024.0 * float(reward))


@pytest.mark.parametrize(
    ("agent", "settings"),
    [
        ("ppo", ROLLOUTS | {"envs": 2}),
        ("sac", SMALL | {"steps": 80, "normalise_rewards": True, "batch_size": 16}),
    ],
)
def test_the_unit_of_the_rewards_does_not_count_when_they_are_scaled(agent, settings, tmp_path):
    one = entrax.train("Pendulum-v1", agent, run=tmp_path / "one", **settings)
    other = entrax.train(louder, agent, run=tmp_path / "other", **settings)
    prints = [fingerprint(run.directory) for run in (one, other)]
    assert prints[0]["parameters"] == prints[1]["parameters"]
    assert prints[0]["replay"] != prints[1]["replay"]
    arrays, _ = checkpoints.load(one.directory, "latest")
    assert arrays["normaliser/rewards/sum_of_squares"] > 0


def test_what_rewards_are_scaled_by_is_carried_over(tmp_path):
    first = entrax.train("Pendulum-v1", "ppo", run=tmp_path / "first", **ROLLOUTS)
    before, _ = checkpoints.load(first.directory, "latest")
    second = entrax.finetune(first.path, steps=128, envs=2, run=tmp_path / "second", eval_every=0)
    after, _ = checkpoints.load(second.directory, "latest")
    assert after["normaliser/rewards/count"] == before["normaliser/rewards/count"] + 128
    with pytest.raises(EntraxError, match="normalise_rewards"):
        entrax.finetune(first.path, steps=128, run=tmp_path / "third", normalise_rewards=False)


def test_a_data_set_gives_the_scale_for_good(tmp_path):
    settings: dict[str, Any] = SMALL | {"steps": 60, "batch_size": 8, "normalise_rewards": True}
    first = entrax.train("Pendulum-v1", "sac", run=tmp_path / "first", **settings)
    second = entrax.train("Pendulum-v1", "sac", run=tmp_path / "second", data=first.path, **settings)
    before, after = (checkpoints.load(run.directory, "latest")[0] for run in (first, second))
    np.testing.assert_allclose(
        after["normaliser/rewards/sum_of_squares"], before["normaliser/rewards/sum_of_squares"], rtol=1e-6
    )


def test_values_in_units_of_their_own_are_not_composed(tmp_path):
    settings: dict[str, Any] = SMALL | {"steps": 20, "temperature": 0.1, "normalise_rewards": True}
    run = entrax.train("CartPole-v1", "dqn", run=tmp_path / "run", **settings)
    with pytest.raises(EntraxError, match="scaled its rewards"):
        entrax.compose([run.path, run.path], "CartPole-v1")


@pytest.mark.parametrize("default", [{"workers": 0}, {"max_episode_steps": 5}, {"lerning_starts": 5}])
def test_defaults_that_come_too_late_or_do_not_exist_are_refused(tmp_path, default):
    agent = SimpleNamespace(**vars(sac) | {"loop_defaults": lambda config, spec: default})
    with pytest.raises(EntraxError, match=f"loop_defaults .*{next(iter(default))}"):
        entrax.train("Pendulum-v1", agent, run=tmp_path / "run", steps=20, **SMALL)
    assert not (tmp_path / "run").exists()


def test_a_run_of_an_older_version_has_the_default_of_a_newer_option(tmp_path):
    run = entrax.train("Pendulum-v1", "ppo", run=tmp_path / "run", **ROLLOUTS | {"envs": 2, "normalise_rewards": False})
    file = run.path / "config.json"
    record = json.loads(file.read_text())
    del record["training"]["normalise_rewards"]
    file.write_text(json.dumps(record))
    for checkpoint_folder in (run.path / "checkpoints").iterdir():
        shutil.rmtree(checkpoint_folder)
    again = entrax.train("Pendulum-v1", "ppo", run=run.path, resume=True, **ROLLOUTS | {"envs": 2})
    assert again.config["training"].get("normalise_rewards", False) is False
