"""Learning from a fixed set of transitions: the replay of a run or a Minari data set, and not a step taken."""

import shutil
import sys
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

import entrax
from entrax.environments.spaces import spec_of
from entrax.errors import EntraxError
from entrax.exact import plan
from entrax.problems import FiniteMDP
from entrax.replay import Uniform
from entrax.runs import checkpoints
from entrax.runs.audit import fingerprint
from entrax.runs.directory import RunDirectory
from entrax.runs.start_file import read_start_file
from entrax.spec import Transition
from entrax.tabular import LeastSquares, fitted_q_iteration, one_hot_pairs
from entrax.training.dataset import Dataset, check_data, in_order_of
from entrax.training.source_checkpoint import kept_rows, load_source_checkpoint
from tests.killing import Killed

SMALL: dict[str, Any] = {"chunk": 8, "hidden": (8, 8), "batch_size": 8, "eval_every": 0}
RANDOM: dict[str, Any] = {"learning_starts": 10_000_000, "hidden": (8, 8), "eval_every": 0}  # steps, and no update


class Cart(gymnasium.Wrapper):
    """The cart and pole, whose steps are counted."""

    taken = 0

    def __init__(self):
        super().__init__(gymnasium.make("CartPole-v1"))

    def step(self, action):
        Cart.taken += 1
        return self.env.step(action)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    path = tmp_path_factory.mktemp("lake") / "run"
    entrax.train("FrozenLake-v1", "dqn", steps=6000, run=path, seed=2, **RANDOM)
    return path


@pytest.fixture(scope="module")
def cart(tmp_path_factory):
    """200 random steps of each of two environments, of which the replay keeps the last 150."""
    path = tmp_path_factory.mktemp("cart") / "run"
    entrax.train("CartPole-v1", "dqn", steps=400, envs=2, workers=0, replay_size=300, run=path, **RANDOM)
    return path


@pytest.mark.parametrize("temperature", [pytest.param(0.0, marks=pytest.mark.long), 0.1])
def test_fitted_q_on_a_replay_is_value_iteration_on_the_estimated_model(lake, temperature):
    data = entrax.transitions(lake)
    state, following = data.obs.argmax(axis=1), data.next_obs.argmax(axis=1)
    left = np.unique(state)
    assert len(data.reward) == 6000
    assert len(set(zip(state.tolist(), data.action.tolist(), strict=True))) == 4 * len(left)  # every pair was tried
    with jax.enable_x64(True):
        estimated = FiniteMDP.from_data(
            state=state, action=data.action, reward=data.reward, next_state=following, terminated=data.terminated,
            unseen="mask", states=16, actions=4, discount=0.9, initial=0,
        )  # fmt: skip
        solution = plan(estimated, temperature)
        found = fitted_q_iteration(
            data._replace(obs=state, next_obs=following), LeastSquares(), actions=4, discount=0.9,
            temperature=temperature, encode=one_hot_pairs(16, 4), tolerance=1e-9,
        )  # fmt: skip
        assert found.status == "converged"
        assert solution.value[0] > 0
        np.testing.assert_allclose(found.q(left), np.asarray(solution.q)[left], atol=1e-6)


def test_the_replay_comes_environment_by_environment(cart):
    data = entrax.transitions(cart)
    assert [part.shape for part in data.fields().values()] == [(300, 4), (300,), (300,), (300, 4), (300,), (300,)]
    assert data.action.dtype.kind == "i"
    follows = np.all(data.next_obs[:-1] == data.obs[1:], axis=1)
    np.testing.assert_array_equal(follows, ~(data.terminated | data.truncated)[:-1])
    assert data.truncated[[149, 299]].tolist() == (~data.terminated[[149, 299]]).tolist()


def test_actions_are_as_the_environment_took_them(tmp_path):
    run = entrax.train(
        "Pendulum-v1",
        "ppo",
        steps=64,
        rollout_steps=64,
        batch_size=32,
        hidden=(8, 8),
        eval_every=0,
        run=tmp_path / "ppo",
    )
    drawn, given = (
        kept_rows(load_source_checkpoint(run.path, "latest", None))["action"],
        entrax.transitions(run.path).action,
    )
    assert (abs(drawn) > 1).any()
    np.testing.assert_array_equal(given, np.clip(drawn, -1, 1))


def test_what_a_fine_tuned_run_had_from_elsewhere_does_not_lead_to_its_own_steps(cart, tmp_path):
    for envs in (1, 2):  # with one, rows that were two environments' come one after the other
        tuned = entrax.finetune(
            cart, "CartPole-v1", steps=40, keep_replay=True, envs=envs, workers=0, run=tmp_path / str(envs), seed=5
        )
        data = entrax.transitions(tuned.path)
        follows = np.all(data.next_obs[:-1] == data.obs[1:], axis=1)
        np.testing.assert_array_equal(follows, ~(data.terminated | data.truncated)[:-1])
        assert follows.any()


@pytest.mark.parametrize(
    "settings", [pytest.param({}, marks=pytest.mark.long), {"n_step": 3, "temperature": 0.1, "normalise_obs": True}]
)
def test_it_takes_no_step_and_survives_its_data_and_any_kill_to_the_byte(cart, tmp_path, settings):
    shutil.copytree(cart, tmp_path / "old")
    chosen: dict[str, Any] = SMALL | {"log_every": 16, "checkpoint_every": 24} | settings
    before = Cart.taken
    entrax.train(Cart, "dqn", steps=8, data=tmp_path / "old", run=tmp_path / "short", **chosen)
    checked = Cart.taken - before
    whole = entrax.train(Cart, "dqn", steps=80, data=tmp_path / "old", run=tmp_path / "whole", **chosen)
    assert Cart.taken - before == 2 * checked

    def kill(row):
        if row["step"] > 40:
            raise Killed

    with pytest.raises(Killed):
        entrax.train(Cart, "dqn", steps=80, data=tmp_path / "old", run=tmp_path / "new", hook=kill, **chosen)
    shutil.rmtree(tmp_path / "old")
    again: dict[str, Any] = chosen | {"run": tmp_path / "new", "resume": True}
    resumed = entrax.train(Cart, "dqn", steps=80, data=tmp_path / "old", **again)
    assert fingerprint(resumed.directory) == fingerprint(whole.directory)

    data, kept = entrax.transitions(cart), entrax.transitions(whole.path)
    for given, there in zip(data, kept, strict=True):
        np.testing.assert_array_equal(given, there)
    row = whole.metrics()[-1]
    assert (row["step"], row["updates"], row["episodes"]) == (80, 80 - settings.get("n_step", 0), 0)
    record = whole.config["data"]
    assert (record["transitions"], record["environment"]["id"], record["step"]) == (300, "CartPole-v1", 400)
    if settings:
        mean = read_start_file(whole.directory)["normaliser/mean"]
        np.testing.assert_allclose(mean, data.obs.mean(axis=0), rtol=1e-5)
        last, _ = checkpoints.load(RunDirectory.open(whole.path))
        np.testing.assert_array_equal(last["normaliser/mean"], mean)
    with pytest.raises(EntraxError, match="holds a run with data"):
        entrax.train(Cart, "dqn", steps=80, run=whole.path, resume=True, **chosen)


def test_what_cannot_be_learned_from_is_refused_before_anything_is_made(cart, tmp_path):
    best = tmp_path / "best"
    refused: list[tuple[str, str, dict[str, Any], str]] = [
        ("CartPole-v1", "ppo", {}, "`data` requires an agent with a replay"),
        ("CartPole-v1", "dqn", {"envs": 2}, "`envs` has no effect with `data`"),
        ("CartPole-v1", "dqn", {"learning_starts": 10}, "`learning_starts` has no effect with `data`"),
        ("CartPole-v1", "dqn", {"replay_size": 100}, "has 300 transitions: `replay_size` must be at least that"),
        ("CartPole-v1", "dqn", {"n_step": 301}, "has 300 transitions, but this agent requires 301"),
        ("Acrobot-v1", "dqn", {}, r"observation has shape \(6,\), not \(4,\)"),
    ]
    for env, agent, settings, words in refused:
        with pytest.raises(EntraxError, match=words):
            entrax.train(env, agent, steps=1024, data=cart, run=best, **settings)
        assert not best.exists()


def minari(monkeypatch, found):
    monkeypatch.setitem(sys.modules, "minari", found)


def test_a_minari_data_set_is_read_as_an_agent_would_have_seen_it(monkeypatch, tmp_path):
    """Two episodes, of observations in a Dict and actions from 1 on; the second stops in the middle."""
    episodes = [
        SimpleNamespace(
            observations={"cue": np.array([0, 2, 1]), "at": np.array([[0.5], [1.5], [2.5]])},
            actions=np.array([1, 3]),
            rewards=np.array([1.0, -1.0]),
            terminations=np.array([False, True]),
            truncations=np.array([False, False]),
        ),
        SimpleNamespace(
            observations={"cue": np.array([1, 1]), "at": np.array([[3.5], [4.5]])},
            actions=np.array([2]),
            rewards=np.array([2.0]),
            terminations=np.array([False]),
            truncations=np.array([False]),
        ),
    ]
    found = SimpleNamespace(
        observation_space=spaces.Dict({"cue": spaces.Discrete(3), "at": spaces.Box(0.0, 9.0, (1,), np.float64)}),
        action_space=spaces.Discrete(3, start=1),
        spec=SimpleNamespace(dataset_id="toy/two-v0", env_spec=None),
        iterate_episodes=lambda: iter(episodes),
    )
    minari(monkeypatch, SimpleNamespace(load_dataset=lambda name: found))
    data = entrax.transitions("toy/two-v0")
    # The leaves come in the order of the space, which Gymnasium sorts by name.
    np.testing.assert_array_equal(data.obs, [[0.5, 1, 0, 0], [1.5, 0, 0, 1], [3.5, 0, 1, 0]])
    np.testing.assert_array_equal(data.next_obs, [[1.5, 0, 0, 1], [2.5, 0, 1, 0], [4.5, 0, 1, 0]])
    assert data.action.tolist() == [0, 2, 1]
    assert data.reward.tolist() == [1.0, -1.0, 2.0]
    assert data.terminated.tolist() == [False, True, False]
    assert data.truncated.tolist() == [False, False, True]
    assert isinstance(data, Transition)

    found.action_space, episodes[1:] = spaces.Box(-2.0, np.array([2.0, 6.0, -2.0], np.float32)), []
    episodes[0].actions = np.array([[-2.0, 2.0, -2.0], [1.0, 6.0, -2.0]])  # the last entry can only be -2
    np.testing.assert_allclose(entrax.transitions("toy/two-v0").action, [[-1.0, 0.0, 0.0], [0.5, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("field", "value"), [("rewards", 1e300), ("rewards", np.nan), ("observations", 1e300), ("actions", np.nan)]
)
def test_a_minari_data_set_that_is_not_finite_is_refused(monkeypatch, field, value):
    one: dict[str, Any] = {"observations": np.zeros((2, 1)), "actions": np.zeros((1, 1)), "rewards": np.zeros(1)}
    one[field].flat[0] = value
    box = spaces.Box(-1.0, 1.0, (1,), np.float64)
    found = SimpleNamespace(
        observation_space=box,
        action_space=box,
        spec=SimpleNamespace(dataset_id="toy/odd-v0", env_spec=None),
        iterate_episodes=lambda: iter([SimpleNamespace(**one, terminations=np.ones(1), truncations=np.zeros(1))]),
    )
    minari(monkeypatch, SimpleNamespace(load_dataset=lambda name: found))
    with pytest.raises(EntraxError, match=r"toy/odd-v0 .*(not finite|infinity)"):
        entrax.transitions("toy/odd-v0")


def test_actions_must_have_the_bounds_of_the_data_but_not_their_type():
    def spec(high, dtype):
        env = gymnasium.Env()
        env.observation_space, env.action_space = spaces.Box(-1, 1, (1,)), spaces.Box(-high, high, (1,), dtype)
        return spec_of(env)

    steps = Transition(*(np.zeros((5, *shape), np.float32) for shape in ((1,), (1,), (), (1,), (), ())))
    data = Dataset(spec=spec(0.1, np.float64), steps=steps, record={"path": "toy"})
    check_data(data, spec(0.1, np.float32), Uniform(batch_size=1, capacity=5))
    with pytest.raises(EntraxError, match="The actions of toy have other bounds"):
        check_data(data, spec(0.2, np.float32), Uniform(batch_size=1, capacity=5))


def test_without_minari_or_the_data_set_a_sentence_says_what_to_do(monkeypatch):
    minari(monkeypatch, None)  # which makes its import fail
    with pytest.raises(EntraxError, match=r"no run directory .* `pip install entrax\[minari\]`"):
        entrax.transitions("D4RL/door/human-v2")

    def load_dataset(name):
        raise FileNotFoundError("Dataset not found locally")

    minari(monkeypatch, SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(EntraxError, match="`minari download D4RL/door/human-v2`"):
        entrax.transitions("D4RL/door/human-v2")


@pytest.mark.long
def test_dqn_learns_the_cart_and_pole_from_the_replay_of_an_earlier_run(tmp_path):
    """Three seeds on one set of data; docs/discrete.md has what each comes to."""
    quiet: dict[str, Any] = {"steps": 20_000, "eval_every": 0, "checkpoint_seconds": 0.0}
    entrax.train("CartPole-v1", "dqn", run=tmp_path / "earlier", **quiet)
    runs = [
        entrax.train("CartPole-v1", "dqn", run=tmp_path / str(s), seed=s, data=tmp_path / "earlier", **quiet)
        for s in range(3)
    ]
    assert min(run.evaluate(20).mean for run in runs) > 100  # of 500; a random policy's is about 22


def test_parts_of_observations_match_by_name_in_whatever_order():
    parts = {"b": spaces.Discrete(2), "a": spaces.Dict({"x": spaces.Box(-9, 9, (1,)), "w": spaces.Box(-9, 9, (2,))})}

    def spec(names):
        env = gymnasium.Env()
        env.observation_space = spaces.Dict(OrderedDict((name, parts[name]) for name in names))
        env.action_space = spaces.Discrete(2)
        return spec_of(env)

    rows = np.arange(10, dtype=np.float32).reshape(2, 5)  # a/w, a/x, b
    none = np.zeros(2, np.float32)
    steps = Transition(rows, none, none, rows + 100, none, none)
    data = in_order_of(spec(["b", "a"]), Dataset(spec=spec(["a", "b"]), steps=steps, record={"path": "toy"}))
    np.testing.assert_array_equal(data.steps.obs, rows[:, [3, 4, 0, 1, 2]])
    np.testing.assert_array_equal(data.steps.next_obs, data.steps.obs + 100)
    check_data(data, spec(["b", "a"]), Uniform(batch_size=1, capacity=5))
    other = in_order_of(spec(["b", "a"]), Dataset(spec=spec(["b"]), steps=steps, record={"path": "toy"}))
    with pytest.raises(EntraxError, match="observation/a/w is new"):
        check_data(other, spec(["b", "a"]), Uniform(batch_size=1, capacity=5))
