"""Exploration that is correlated from step to step."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import entrax
from entrax.agents import ddpg, td3
from entrax.errors import EntraxError
from entrax.policies.controller import Controller, act_in_episodes, identity_scaling
from entrax.policies.deterministic import CorrelatedNoisyPolicy
from entrax.runs.audit import fingerprint
from entrax.runs.pytree import flatten
from entrax.spec import Continuous, Leaf, Progress, Spec
from entrax.training.actor import Actor
from tests.killing import Killed, killer

SPEC = Spec((Leaf("", (1,), "float32", 1, (-1.0,), (1.0,)),), Continuous((2,), "float32", (-1.0,) * 2, (1.0,) * 2))
PROGRESS = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))
ENVS, TIMES, CHUNK, SMALL = 16, 800, 16, 1e-3


def noise_of(agent, correlation, restore_at=None, episode=10**9, older=False):
    """ε [time, env, entry] of actions over many hand-overs; at `restore_at` another actor goes on."""
    config = agent.resolve(agent.Config(noise=SMALL, noise_correlation=correlation, hidden=(4,)), SPEC)
    policy = agent.policy(config, agent.init(config, SPEC, jr.key(0)))
    actor, obs = Actor(SPEC.action, jax.devices()[0], ENVS), np.zeros((ENVS, 1), np.float32)
    drawn = []
    for chunk in range(TIMES // CHUNK):
        if chunk == restore_at:
            arrays = flatten(actor.arrays())
            actor = Actor(SPEC.action, jax.devices()[0], ENVS)
            actor.restore({"noise": arrays["carry"]} if older else arrays)
            np.testing.assert_array_equal(flatten(actor.arrays())["carry"], arrays["carry"])
        actor.hand_over(actor.pack(policy, identity_scaling(SPEC), PROGRESS), jr.fold_in(jr.key(1), chunk))
        for t in range(CHUNK):
            first = np.full(ENVS, (chunk * CHUNK + t) % episode == 0)
            action, _ = actor(obs, t, first)
            np.testing.assert_array_equal(actor(obs, t, first)[0], action)  # asked again after a fault
            drawn.append((action - np.asarray(policy.mean(jnp.zeros(1)))) / SMALL)
    return np.array(drawn)


def correlation(noise, lag):
    return np.mean(noise[lag:] * noise[:-lag])


@pytest.mark.parametrize("agent", [ddpg, td3])
@pytest.mark.parametrize(("rho", "error"), [(None, 0.03), (0.0, 0.03), (0.85, 0.12)])
def test_it_is_a_stationary_process_of_the_given_correlation(agent, rho, error):
    noise = noise_of(agent, rho)
    assert abs(np.mean(noise)) < error
    assert abs(np.mean(noise**2) - 1.0) < error
    for lag in (1, 2, CHUNK):  # over hand-overs too
        assert abs(correlation(noise, lag) - (rho or 0.0) ** lag) < error
    assert abs(np.mean(noise[..., 0] * noise[..., 1])) < error  # entries and environments are independent
    assert abs(np.mean(noise[:, 0] * noise[:, 1])) < 3 * error


def test_every_episode_begins_anew_in_the_stationary_law():
    noise = noise_of(td3, 0.99, episode=20)
    first = noise[::20]
    assert abs(np.mean(first**2) - 1.0) < 0.15
    assert abs(np.mean(first[1:] * noise[19::20][: len(first) - 1])) < 0.15
    assert np.mean(noise[1:20] * noise[:19]) > 0.8


@pytest.mark.parametrize("older", [False, True])
def test_it_goes_on_where_it_was_saved(older):
    np.testing.assert_array_equal(noise_of(td3, 0.9), noise_of(td3, 0.9, restore_at=7, older=older))


@pytest.mark.long
def test_a_run_that_was_killed_ends_with_the_bytes_of_a_whole_one(tmp_path):
    settings: dict[str, Any] = {
        "steps": 120,
        "learning_starts": 20,
        "batch_size": 8,
        "hidden": (8,),
        "noise_correlation": 0.9,
    }
    settings |= {"eval_every": 0, "log_every": 20, "checkpoint_every": 40}
    whole = entrax.train("Pendulum-v1", "td3", run=tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", "td3", run=tmp_path / "cut", hook=killer(4), **settings)
    resumed = entrax.resume(tmp_path / "cut")
    assert any(event["kind"] == "resumed" and event["step"] > 0 for event in resumed.directory.events())
    assert fingerprint(resumed.directory) == fingerprint(whole.directory)
    white = entrax.train("Pendulum-v1", "td3", run=tmp_path / "white", **settings | {"noise_correlation": None})
    assert fingerprint(white.directory)["replay"] != fingerprint(whole.directory)["replay"]


def test_a_sampled_evaluation_has_the_noise_too_and_the_mode_has_none():
    config = td3.resolve(td3.Config(noise=SMALL, noise_correlation=0.9, hidden=(4,)), SPEC)
    policy = td3.policy(config, td3.init(config, SPEC, jr.key(0)))
    assert isinstance(policy, CorrelatedNoisyPolicy)
    controller = Controller(policy=policy, scaling=identity_scaling(SPEC), spec=SPEC)
    obs, mean = np.zeros((1, 1), np.float32), np.asarray(policy.mean(jnp.zeros(1)))
    acts = {sample: act_in_episodes(controller, sample=sample, seed=0) for sample in (False, True)}
    drawn = []
    for t in range(TIMES):
        now = obs, np.zeros(1, np.int32), np.full(1, t % 400, np.int32)
        np.testing.assert_array_equal(acts[False](*now)[0], mean)
        drawn.append((acts[True](*now) - mean) / SMALL)
    noise = np.array(drawn)
    assert abs(correlation(noise, 1) / np.mean(noise**2) - 0.9) < 0.06


@pytest.mark.parametrize("rho", [1.0, -0.1, float("nan")])
def test_correlations_outside_their_range_are_refused(rho):
    with pytest.raises(EntraxError, match="noise_correlation"):
        td3.Config(noise_correlation=rho)
