"""Composition of runs on disk, and the bound estimated from episodes."""

import dataclasses
import json
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import special

import entrax
from entrax.agents import discrete_sac, dqn, soft_q
from entrax.cli import main
from entrax.environments.source import EnvSource
from entrax.environments.spaces import spec_of
from entrax.errors import EntraxError
from entrax.nets import ActionValues
from entrax.policies.choices import Choices
from entrax.policies.composed import ComposedChoices, TablePart
from entrax.policies.controller import Controller, identity_scaling
from entrax.runs import checkpoints
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import flatten
from entrax.training.compose import Composed

AGENTS = {"soft-q": soft_q, "dqn": dqn, "discrete-sac": discrete_sac}
TRAINING = {"normalise_obs": True, "envs": 1, "horizon": 100, "steps": 100}


def made(path, agent, env, seed, **settings):
    """A run as training leaves it, without training: its parameters are those of a fresh state."""
    module, spec = AGENTS[agent], spec_of(gymnasium.make(env))
    config = module.Config(hidden=(8, 8), **settings)
    resolved = module.resolve(config, spec)
    state = module.init(resolved, spec, jr.key(seed))
    described = {
        **{"environment": {"id": env, "kwargs": {}, "travels": True}, "agent": agent, "seed": seed},
        **{"agent_config": dataclasses.asdict(config), "training": TRAINING, "spec": dataclasses.asdict(spec)},
    }
    run = RunDirectory.create(path, described)
    size = spec.obs_size
    normaliser = {"count": np.array(4.0), "mean": np.full(size, 0.1), "sum_of_squares": np.full(size, 4.0 + seed)}
    tree = {"state": state, "policy": module.policy(resolved, state), "normaliser": normaliser}
    checkpoints.save(run, "final-000000100", flatten(tree), {"step": 100, "updates": 0, "agent": agent})
    checkpoints.save(run, "best-000000100", flatten({"policy": tree["policy"]}), {"step": 100, "agent": agent})
    return state


def test_discrete_runs_act_by_the_mean_of_their_values(tmp_path):
    states = [made(tmp_path / "a", "dqn", "CartPole-v1", 0, temperature=0.5)]
    states.append(made(tmp_path / "b", "discrete-sac", "CartPole-v1", 1, temperature=0.5, pessimism=1.0))
    composed = entrax.compose([tmp_path / "a", tmp_path / "b"], "CartPole-v1", env_args={"max_episode_steps": 9})
    assert (composed.temperature, composed.no_bound) == (0.5, None)
    assert composed.discount == pytest.approx(0.99)
    obs = jnp.array([0.5, -0.2, 0.03, 0.1])
    scaled = [(obs - 0.1) / np.sqrt(s / 4.0) for s in (4.0, 5.0)]
    q = (states[0].params.critic(scaled[0]) + jnp.min(states[1].params.critics(scaled[1]), axis=0)) / 2
    np.testing.assert_allclose(composed.controller.policy(obs), jax.nn.softmax(q / 0.5), rtol=1e-5)
    played, bound = composed.evaluate(3, seed=1)
    assert played.policy == "sampled"
    assert bound is not None
    assert bound.value > 0
    assert composed.evaluate(3, seed=1) == (played, bound)


def test_soft_q_runs_are_composed_and_the_command_line_tells(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("ab"):
        made(tmp_path / name, "soft-q", "Pendulum-v1", seed, temperature=0.5)
    flags = ["--env", "Pendulum-v1", "--env-arg", "max_episode_steps=5", "--episodes", "2", "--candidates", "16"]
    main(["compose", "a", "b", *flags, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["lengths"] == [5, 5]
    assert found["bound"]["episodes"] == 2
    assert found["bound"]["value"] > 0
    part = entrax.compose(["a", "b"], "Pendulum-v1").controller.policy.parts[0]
    obs, action = jnp.zeros(3), jnp.zeros((1, 1))
    in_units = jnp.min(part.critics(part.scaling(obs), action[0]))
    np.testing.assert_allclose(part.q(obs, action), [0.5 * in_units], rtol=1e-6)
    main(["compose", "a", "b", *flags, "--combine", "sum"])
    said = capsys.readouterr().out
    assert "sum of 2 runs at temperature 0.5, without learning" in said
    assert "bound   none: a product of densities may integrate to more than 1" in said


def test_what_cannot_be_composed_is_a_sentence(tmp_path):
    made(tmp_path / "soft", "dqn", "CartPole-v1", 0, temperature=0.5)
    made(tmp_path / "warm", "dqn", "CartPole-v1", 1, temperature=0.7)
    made(tmp_path / "hard", "dqn", "CartPole-v1", 2)
    made(tmp_path / "other", "dqn", "Acrobot-v1", 3, temperature=0.5)
    refused: list[tuple[list[str], dict[str, Any], str]] = [
        (["soft", "warm"], {}, r"have the temperatures 0\.5, 0\.7: choose one"),
        (["soft", "hard"], {}, r"hard has temperature 0\.0: only soft"),
        (["soft", "other"], {}, r"spaces of .*other: observation has shape \(4,\), not \(6,\); action has n 2, not 3"),
        (["soft"], {}, "at least 2 runs"),
        (["soft", "warm"], {"combine": "meen"}, "did you mean 'mean'"),
        (["soft", "soft"], {"checkpoint": "best"}, "holds a policy only"),
    ]
    for names, settings, words in refused:
        with pytest.raises(EntraxError, match=words):
            entrax.compose([tmp_path / name for name in names], "CartPole-v1", **settings)
    there = entrax.compose([tmp_path / "soft", tmp_path / "warm"], "CartPole-v1", temperature=0.5)
    assert there.no_bound == "it needs runs of the temperature that they are composed at"


STATES, GAMMA, LENGTH = 3, 0.7, 25
TRANSITIONS = np.random.default_rng(0).dirichlet(np.full(STATES, 0.5), size=(STATES, 2))


class Chain(gymnasium.Env):
    """A random problem of 3 states and 2 actions; observes its state as one-hot. Starts in state 0."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (STATES,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.t = 0, 0
        return np.eye(STATES, dtype=np.float32)[0], {}

    def step(self, action):
        self.state = self.np_random.choice(STATES, p=TRANSITIONS[self.state, int(action)])
        self.t += 1
        return np.eye(STATES, dtype=np.float32)[self.state], 0.0, False, self.t >= LENGTH, {}


def test_the_estimated_bound_is_the_expectation():
    """Against the sum over the distribution of states at every step, from episodes cut off where γ^t is 1e-4."""
    tables = np.random.default_rng(1).normal(size=(2, STATES, 2))

    def part(table):
        network = ActionValues(STATES, (1, 2), (), jr.key(0))
        where = lambda n: (n.network.layers[0].weight, n.network.layers[0].bias)  # noqa: E731
        weight, bias = where(network)
        shaped = jnp.asarray(table if weight.shape == table.shape else table.T, jnp.float32)
        critics = eqx.tree_at(where, network, (shaped, jnp.zeros_like(bias)))
        return TablePart(scaling=identity_scaling(spec), critics=critics, choices=choices)

    spec = spec_of(Chain())
    choices = Choices(nvec=(2,), sizes=(2,))
    policy = ComposedChoices(parts=tuple(map(part, tables)), temperature=0.5, choices=choices, combine="mean")
    composed = Composed(
        controller=Controller(policy=policy, scaling=identity_scaling(spec), spec=spec),
        source=EnvSource(id="Chain", kwargs={}, factory=Chain),
        combine="mean",
        temperature=0.5,
        discount=GAMMA,
        no_bound=None,
    )
    pi = special.softmax(tables.mean(axis=0) / 0.5, axis=1)
    gap = -0.5 * np.log(np.sqrt(special.softmax(tables / 0.5, axis=2)).prod(axis=0).sum(axis=1))
    at, G = np.eye(STATES)[0], 0.0
    for t in range(1, LENGTH):
        at = np.einsum("s,sa,sab->b", at, pi, TRANSITIONS)
        G += GAMMA**t * at @ gap
    _, bound = composed.evaluate(83)  # rows that have run out of episodes play on, uncounted
    assert bound is not None
    assert abs(bound.value - G) < 4 * bound.error < 0.3 * G
