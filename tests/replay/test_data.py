"""The kinds of data: their draws, their requirements on the training loop, and the policy of a rollout."""

import sys
from types import ModuleType
from typing import Any

import equinox as eqx
import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

import entrax
from entrax.errors import EntraxError
from entrax.policies.base import Memoryless
from entrax.replay import Rollout, Sequences, Uniform, UniformReplay
from entrax.spec import Discrete, Leaf, Spec, Transition

LEAF = Leaf("obs", (1,), "float32", 1, (-np.inf,), (np.inf,))
SPEC = Spec(observation=(LEAF,), action=Discrete(3))


def filled(capacity, envs, appends):
    """Every row tells its time and environment."""
    replay = UniformReplay(SPEC, capacity, envs)
    for t in range(appends):
        mark = 100 * t + np.arange(envs)
        flags = np.zeros(envs, bool)
        replay.append(
            Transition(
                obs=mark[:, None],
                action=mark[:, None] % 3,
                reward=mark,
                next_obs=mark[:, None] + 100,
                terminated=flags,
                truncated=flags,
            )
        )
    return replay


@pytest.mark.parametrize(("capacity", "appends"), [(24, 5), (24, 8), (24, 19)])  # not full, full, gone round
def test_windows_are_consecutive_steps_of_one_environment_and_each_is_as_likely(capacity, appends):
    replay = filled(capacity, 3, appends)
    data = Sequences(batch_size=20, length=4, capacity=capacity)
    drawn = data.draw(replay, np.random.default_rng(0), 400)
    assert drawn.obs.shape == (400, 20, 4, 1)
    assert (np.diff(drawn.reward, axis=2) == 100).all()
    np.testing.assert_array_equal(drawn.next_obs[..., 0], drawn.reward + 100)
    first, counts = np.unique(drawn.reward[..., 0], return_counts=True)
    oldest, newest = max(0, appends - 8), appends - 4
    expected = [100 * t + e for t in range(oldest, newest + 1) for e in range(3)]
    np.testing.assert_array_equal(first, expected)
    mean = 8000 / len(expected)
    assert np.abs(counts - mean).max() < 5 * np.sqrt(mean)
    again = data.draw(replay, np.random.default_rng(0), 400)
    np.testing.assert_array_equal(again.reward, drawn.reward)


def test_ends_of_windows_are_the_first_step_and_the_last_of_its_episode():
    replay = filled(24, 3, 19)
    replay.rows.terminated[:], replay.rows.truncated[:] = np.random.default_rng(1).random((2, 8, 3)) < 0.15
    whole, ends = (
        Sequences(batch_size=20, length=4, capacity=24, ends=ends).draw(replay, np.random.default_rng(0), 50)
        for ends in (False, True)
    )
    for name in ("action", "reward", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(ends, name), getattr(whole, name))
    np.testing.assert_array_equal(ends.obs, whole.obs[:, :, :1])
    places = [next((t for t in range(3) if over[t]), 3) for over in (whole.terminated | whole.truncated).reshape(-1, 4)]
    assert set(places) == {0, 1, 2, 3}
    expected = whole.next_obs.reshape(-1, 4, 1)[np.arange(len(places)), places]
    np.testing.assert_array_equal(ends.next_obs.reshape(-1, 1), expected)


def test_no_window_is_drawn_from_fewer_steps():
    with pytest.raises(ValueError, match="only 3 of 4"):
        filled(24, 2, 3).sample_windows(np.random.default_rng(0), 1, 1, 4)


def test_a_rollout_is_the_last_steps_in_order():
    drawn = Rollout(steps=8).draw(filled(8, 2, 7), np.random.default_rng(0), 2)
    np.testing.assert_array_equal(drawn.reward, [[[100 * t + e for e in range(2)] for t in range(3, 7)]])


def test_what_the_data_fix_of_the_training_options():
    assert Uniform(batch_size=4, capacity=10).fixed_options(steps=100, envs=3, learning_starts=0) == {}
    assert Sequences(batch_size=4, length=3, capacity=10).fixed_options(steps=100, envs=3, learning_starts=9) == {}
    expected = {"chunk": 16, "updates_per_step": 1 / 64, "learning_starts": 0}
    assert Rollout(steps=64).fixed_options(steps=64, envs=4, learning_starts=10) == expected


@pytest.mark.parametrize(
    ("data", "asked", "words"),
    [
        (Rollout(steps=64), {"envs": 3}, "`envs` must divide .*64.* got 3"),
        (Rollout(steps=64), {"steps": 63}, r"`steps` must be at least 64\b.* got 63"),
        (Rollout(steps=64, least_envs=2), {}, r"`envs` must be at least 2\b.* got 1"),
        (Sequences(4, 5, 9), {"envs": 2}, r"`replay_size` must be at least 10\b.* got 9"),
        (Sequences(4, 5, 10), {"learning_starts": 9, "envs": 2}, r"`learning_starts` must be at least 10\b.* got 9"),
    ],
)
def test_what_does_not_suit_is_refused(data, asked, words):
    with pytest.raises(EntraxError, match=words):
        data.fixed_options(**{"steps": 1000, "envs": 1, "learning_starts": 100} | asked)


def test_impossible_kinds_are_refused():
    with pytest.raises(EntraxError, match="rollout must be at least 1"):
        Rollout(steps=0)
    with pytest.raises(EntraxError, match="sequence must be at least 1"):
        Sequences(batch_size=1, length=0, capacity=1)
    with pytest.raises(EntraxError, match=r"`replay_size` .*20.* got 10"):
        Sequences(batch_size=20, length=2, capacity=10)


class Walk(gymnasium.Env):
    """Time as the observation; an episode of seven steps."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.place = 0, self.np_random.normal()
        return np.array([self.place], np.float32), {}

    def step(self, action):
        self.t += 1
        self.place += 3.0
        return np.array([self.place], np.float32), 0.0, False, self.t == 7, {}


class Config(eqx.Module):
    rollout: int = eqx.field(static=True, default=8)


class Counting(Memoryless):
    """Acts with the number of updates so far, and with the observation as it was normalised."""

    params: jnp.ndarray

    def sample(self, obs, progress, key):
        return jnp.stack([self.params / 100, obs[0] / 100]), {}

    def mode(self, obs):
        return jnp.zeros(2)


def counting_update(config, state, batch, progress, key):
    late = jnp.max(jnp.abs(batch.action[..., 0] - state.params / 100))
    other = jnp.max(jnp.abs(batch.action[..., 1] - batch.obs[..., 0] / 100))
    return Counting(params=state.params + 1), {"late": late, "other": other}


@pytest.fixture
def counting(monkeypatch):
    agent: Any = ModuleType("counting")
    agent.Config, agent.update = Config, counting_update
    agent.resolve = lambda config, spec: config
    agent.init = lambda config, spec, key: Counting(params=jnp.zeros(()))
    agent.policy = lambda config, state: state
    agent.data = lambda config: Rollout(steps=config.rollout)
    home: Any = ModuleType("counted")
    home.agent = agent
    monkeypatch.setitem(sys.modules, "counted", home)
    return "counted:agent"


@pytest.mark.parametrize("envs", [1, 2])
def test_each_rollout_is_of_the_policy_and_the_scaling_that_learn_from_it(counting, tmp_path, envs):
    settings: dict[str, Any] = {
        "steps": 44,
        "envs": envs,
        "workers": 0,
        "normalise_obs": True,
        "log_every": 8,
        "eval_every": 0,
    }
    run = entrax.train(Walk, agent=counting, run=tmp_path / "run", **settings)
    rows = [row for row in run.metrics() if "late" in row]
    assert sum(row["updates"] for row in rows[-1:]) == 5  # and the last four steps are no rollout
    assert all(row["late"] == 0 for row in rows)
    assert max(row["other"] for row in rows) < 1e-6
    assert run.config["training"]["chunk"] == 8 // envs


@pytest.mark.parametrize("name", ["step", "return", "time"])
def test_what_an_agent_reports_does_not_take_a_name_of_the_loop(counting, tmp_path, monkeypatch, name):
    def update(*given):
        state, info = counting_update(*given)
        return state, info | {name: info["late"]}

    monkeypatch.setattr(sys.modules["counted"].agent, "update", update)
    with pytest.raises(EntraxError, match=f"reports '{name}'"):
        entrax.train(Walk, agent=counting, run=tmp_path / "run", steps=24, log_every=8, workers=0, eval_every=0)


def test_what_a_rollout_settles_is_not_to_be_set(counting, tmp_path):
    for name, value in {"chunk": 4, "learning_starts": 5, "updates_per_step": 1.0}.items():
        with pytest.raises(EntraxError, match=f"^`{name}` is fixed for on-policy agents"):
            entrax.train(Walk, agent=counting, run=tmp_path / "run", steps=40, **dict[str, Any]({name: value}))
    # A preset's are for other agents.
    run = entrax.train(Walk, agent=counting, run=tmp_path / "run", steps=40, preset="fast", workers=0, eval_every=0)
    assert run.config["training"]["updates_per_step"] == 1 / 8
