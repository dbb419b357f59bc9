"""`run.policy` and `run.player` take what the environment returns, and never make an environment."""

import json
from typing import Any

import equinox as eqx
import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

import entrax
from entrax.environments.seeds import episode_seed
from entrax.errors import EntraxError
from entrax.policies.base import Memoryless
from entrax.policies.controller import Controller, identity_scaling
from entrax.spec import Continuous, Leaf, Spec
from entrax.training.run import _is_key


class Mixed(gymnasium.Env):
    """A few steps of observations of many kinds; the reward depends on what is done and seen."""

    made = 0
    observation_space = spaces.Dict(
        {"z": spaces.Discrete(3, start=2), "a": spaces.Tuple((spaces.Box(-1, 1, (1, 2)), spaces.MultiDiscrete([2, 3])))}
    )
    action_space = spaces.Box(-2.0, 2.0, (2,), np.float32)

    def __init__(self):
        type(self).made += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        reward = float(action @ self.obs["a"][0][0]) + float(self.obs["z"])
        return self.observe(), reward, False, self.t == 4, {}

    def observe(self):
        row, pair = self.np_random.uniform(-1, 1, (1, 2)).astype(np.float32), self.np_random.integers([2, 3])
        self.obs: dict[str, Any] = {"z": 2 + int(self.np_random.integers(3)), "a": (row, pair)}
        return self.obs


SMALL: dict[str, Any] = {
    "steps": 40,
    "learning_starts": 20,
    "hidden": (8, 8),
    "batch_size": 8,
    "eval_every": 0,
    "workers": 0,
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    path = tmp_path_factory.mktemp("player") / "run"
    entrax.train(Mixed, agent="sac", run=path, **SMALL)
    return entrax.load(path, env=Mixed)


@pytest.fixture(scope="module")
def remembering(tmp_path_factory):
    path = tmp_path_factory.mktemp("player") / "run"
    settings: dict[str, Any] = {
        "agent": "reinforce",
        "memory": 4,
        "rollout_steps": 20,
        "hidden": (8, 8),
        "eval_every": 0,
        "workers": 0,
    }
    entrax.train(Mixed, run=path, steps=40, **settings)
    return entrax.load(path, env=Mixed)


def batch(observations):
    return {
        "z": np.array([obs["z"] for obs in observations]),
        "a": tuple(np.stack([obs["a"][place] for obs in observations]) for place in range(2)),
    }


def test_a_policy_takes_one_observation_or_a_batch_without_an_environment(mixed):
    Mixed.observation_space.seed(0)
    observations = [Mixed.observation_space.sample() for _ in range(5)]
    before = Mixed.made
    one, many, listed = mixed.policy(observations[0]), mixed.policy(batch(observations)), mixed.policy(observations)
    assert one.shape == (2,)
    assert many.shape == (5, 2)
    np.testing.assert_allclose(many[0], one, rtol=1e-5)
    np.testing.assert_array_equal(many, listed)
    assert len(np.unique(many, axis=0)) == 5
    assert Mixed.made == before
    key = jax.random.key(0)
    drawn = mixed.policy(observations, sample=True, key=key)
    np.testing.assert_allclose(mixed.policy(observations[:3], sample=True, key=key), drawn[:3], rtol=1e-5)


def test_what_does_not_fit_is_refused_in_a_sentence(mixed):
    with pytest.raises(EntraxError, match="The policy was given a dict where its space has the entries a, z"):
        mixed.policy({"z": 2})
    with pytest.raises(EntraxError, match="Of what `reset` returns, give it the first part"):
        mixed.policy((Mixed.observation_space.sample(), {}))
    with pytest.raises(EntraxError, match="given a str where its space has numbers"):
        mixed.policy(Mixed.observation_space.sample() | {"z": "one"})
    with pytest.raises(EntraxError, match="requires a `key`"):
        mixed.policy(Mixed.observation_space.sample(), sample=True)


def test_a_record_of_an_older_version_is_completed_by_one_environment(mixed, tmp_path):
    from entrax.runs.directory import RunDirectory
    from entrax.spec import Spec, spec_from_json

    spec = json.loads((mixed.path / "config.json").read_text())["spec"]
    for leaf in spec["observation"]:
        for name in ("path", "options", "start"):
            del leaf[name]
    old: Spec = spec_from_json(spec)
    controller = entrax.load(mixed.path).controller
    controller = type(controller)(policy=controller.policy, scaling=controller.scaling, spec=old)
    run = entrax.Run(directory=RunDirectory.open(mixed.path), controller=controller, env=Mixed)
    before, obs = Mixed.made, Mixed.observation_space.sample()
    for _ in range(3):
        np.testing.assert_array_equal(run.policy(obs), mixed.policy(obs))
    assert Mixed.made == before + 1


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize("which", ["mixed", "remembering"])
def test_a_player_acts_as_an_evaluation_does(which, sample, request):
    run, env = request.getfixturevalue(which), Mixed()
    player, returns = run.player(sample=sample), []
    for episode in range(3):
        player.reset()
        obs, _ = env.reset(seed=episode_seed(run.config["seed"], episode, 0, "evaluation"))
        total, ended = 0.0, False
        while not ended:
            obs, reward, _, ended, _ = env.step(player.act(obs))
            total += reward
        returns.append(total)
    np.testing.assert_allclose(returns, run.evaluate(3, sample=sample, workers=0).returns, rtol=1e-5)


def test_a_player_of_several_environments_begins_single_episodes_again(remembering):
    Mixed.observation_space.seed(1)
    first, second = ([Mixed.observation_space.sample() for _ in range(3)] for _ in range(2))
    player, fresh = remembering.player(), remembering.player()
    player.act(first)
    player.reset(np.array([False, True, False]))
    actions, anew = player.act(second), fresh.act(second)
    np.testing.assert_allclose(actions[1], anew[1], rtol=1e-5)
    assert not np.allclose(actions[0], anew[0], rtol=1e-3)
    with pytest.raises(EntraxError, match="acts in 3 environments, got 1"):
        player.act(second[0])
    with pytest.raises(EntraxError, match="one entry for each of 3"):
        player.reset(np.array([True]))


def test_a_policy_with_memory_names_the_player(remembering):
    with pytest.raises(EntraxError, match=r"run\.player\(\)"):
        remembering.policy(Mixed.observation_space.sample())


class Echo(Memoryless):
    """Acts as it observes; counts how often it is traced."""

    traced: list = eqx.field(static=True)

    def sample(self, obs, progress, key):
        return obs, {}

    def mode(self, obs):
        self.traced.append(obs.shape)
        return obs


def test_a_policy_is_compiled_once_for_batches_of_about_a_size(mixed):
    leaf = Leaf("observation", (2,), "float32", 2, (-1.0,) * 2, (1.0,) * 2, path=())
    spec = Spec((leaf,), Continuous((2,), "float32", (-1.0,) * 2, (1.0,) * 2))
    traced: list[tuple[int, ...]] = []
    echo = Controller(policy=Echo(traced), scaling=identity_scaling(spec), spec=spec)
    run = entrax.Run(directory=mixed.directory, controller=echo)
    for count in (1, 2, 3, 4, 5, 7, 8, 3, 8, 1):
        rows = np.linspace(-1, 1, 2 * count, dtype=np.float32).reshape(count, 2)
        np.testing.assert_allclose(run.policy(rows), rows, atol=1e-6)
    assert len(traced) == 4  # 1, 2, 4 and 8


@pytest.mark.parametrize(
    ("key", "is_key"),
    [
        (jax.random.key(0), True),
        (jax.random.PRNGKey(0), True),
        (jax.random.split(jax.random.key(0)), False),
        (3, False),
        (np.zeros(2), False),
        (None, False),
    ],
)
def test_what_is_a_random_key(key, is_key):
    assert _is_key(key) is is_key
