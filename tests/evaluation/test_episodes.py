import importlib.util
import json
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from entrax.cli.flags import with_flags
from entrax.environments.make import make_pool
from entrax.environments.seeds import episode_seed
from entrax.environments.source import EnvSource, parse_env_args
from entrax.errors import EntraxError
from entrax.evaluation import episodes
from entrax.evaluation.episodes import evaluate

_SPEC = importlib.util.spec_from_file_location("evaluation_toys", Path(__file__).with_name("toys.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
toys = importlib.util.module_from_spec(_SPEC)
sys.modules["evaluation_toys"] = toys
_SPEC.loader.exec_module(toys)

COUNTDOWN = EnvSource(id="Countdown", kwargs={}, factory=toys.Countdown)


def steps_left(obs, episodes, t):
    """The policy of the toy's closed form; and what every policy may rely on."""
    assert obs.dtype == np.float32
    np.testing.assert_array_equal(obs[:, 1], t)
    assert len(set(episodes)) == len(episodes)
    return obs[:, :1]


def expected(count, seed=0, stream="evaluation"):
    lengths = [toys.countdown_length(episode_seed(seed, e, 0, stream)) for e in range(count)]
    return tuple(5.5 * n * n - 4.5 * n for n in lengths), tuple(lengths)


@pytest.mark.parametrize("envs", [1, 3, 7, 20])
def test_returns_are_the_closed_form_however_many_run_at_once(envs):
    result = evaluate(steps_left, COUNTDOWN, episodes=11, seed=0, policy="mode", envs=envs, workers=0)
    returns, lengths = expected(11)
    assert len(set(lengths)) > 3  # long and short ones overlap
    assert (result.returns, result.lengths) == (returns, lengths)
    assert result.mean == pytest.approx(np.mean(returns))
    assert result.std == pytest.approx(np.sqrt(np.mean(np.square(np.subtract(returns, np.mean(returns))))))


def sampled(obs, episodes, t):
    """Random actions keyed by episode and step, as a sampling policy must draw them."""
    return np.array([np.random.default_rng((e, s)).uniform(-1, 1, 1) for e, s in zip(episodes, t, strict=True)])


def test_sampled_returns_do_not_depend_on_how_many_run_at_once():
    results = [evaluate(sampled, COUNTDOWN, episodes=9, seed=5, policy="sampled", envs=n, workers=0) for n in (1, 2, 4)]
    assert results[0] == results[1] == results[2]
    assert results[0].policy == "sampled"


def test_the_policy_always_gets_as_many_rows_as_the_pool_has():
    rows = set()

    def act(obs, episodes, t):
        rows.add((obs.shape, episodes.shape, t.shape))
        return steps_left(obs, episodes, t)

    evaluate(act, COUNTDOWN, episodes=7, seed=0, policy="mode", envs=4, workers=0)
    assert rows == {((4, 2), (4,), (4,))}


def test_a_given_pool_is_used_again_and_left_open():
    with make_pool(COUNTDOWN, 3, workers=0) as pool:
        first, second = (
            evaluate(steps_left, COUNTDOWN, episodes=5, seed=1, policy="mode", pool=pool) for _ in range(2)
        )
        assert pool.reset_many({0: 0})[0].shape == (2,)
    assert first == second
    assert (first.returns, first.lengths) == expected(5, seed=1)


def test_streams_have_different_episodes():
    results = [evaluate(steps_left, COUNTDOWN, episodes=12, seed=0, policy="mode", stream=s, workers=0)
               for s in ("evaluation", "selection")]  # fmt: skip
    assert results[0].returns != results[1].returns
    assert results[1].returns == expected(12, stream="selection")[0]


@pytest.mark.parametrize("envs", [1, 2])
def test_an_episode_cut_off_by_a_time_limit_counts_to_there(envs):
    source = EnvSource(id="limited", kwargs={"limit": 4}, factory=toys.limited)
    result = evaluate(lambda obs, e, t: np.ones((len(obs), 1)), source, episodes=3, seed=0, policy="mode", envs=envs)
    assert result.lengths == (4, 4, 4)
    assert result.returns == (64.0, 64.0, 64.0)  # 4 · 1 + 10 (0 + 1 + 2 + 3)
    assert result.std == 0.0


@pytest.mark.parametrize("envs", [1, 2])
def test_an_endless_episode_is_cut_off_with_a_warning(envs):
    source = EnvSource(id="endless", kwargs={}, factory=partial(toys.Countdown, endless=True))
    said: list[Any] = []
    ones = lambda obs, e, t: np.ones((len(obs), 1))  # noqa: E731
    result = evaluate(
        ones, source, episodes=2, seed=0, policy="mode", envs=envs, workers=0, max_length=4, warn=said.append
    )
    assert (result.lengths, result.returns) == ((4, 4), (64.0, 64.0))
    [sentence] = said
    assert "cut off after 4 steps" in sentence


def test_the_advice_on_endless_episodes_works_where_the_environment_is_given(monkeypatch, capsys):
    """`entrax evaluate` and `entrax stress` take --env-arg, and have no flag of their own for a limit."""
    monkeypatch.setattr(episodes, "UNKNOWN_LIMIT", 5)
    monkeypatch.setitem(gymnasium.registry, "Endless-v0", EnvSpec("Endless-v0", partial(toys.Countdown, endless=True)))
    ones = lambda obs, e, t: np.ones((len(obs), 1))  # noqa: E731
    evaluate(ones, EnvSource("Endless-v0"), episodes=1, seed=0, policy="mode", workers=0)
    advised = re.search(r"--env-arg (\w+=\d+)", with_flags(capsys.readouterr().err))
    assert advised is not None
    limited = EnvSource("Endless-v0", parse_env_args([advised[1]]))
    result = evaluate(ones, limited, episodes=1, seed=0, policy="mode", workers=0)
    assert result.lengths == (1000,)
    assert "cut off" not in capsys.readouterr().err


def test_without_a_known_limit_episodes_are_cut_off_in_the_end(monkeypatch, capsys):
    monkeypatch.setattr(episodes, "UNKNOWN_LIMIT", 5)
    ones = lambda obs, e, t: np.ones((len(obs), 1))  # noqa: E731
    endless = EnvSource(id="endless", kwargs={}, factory=partial(toys.Countdown, endless=True))
    limited = EnvSource(id="limited", kwargs={"limit": 9}, factory=toys.limited)
    ours = replace(endless, max_episode_steps=9)
    lengths = [evaluate(ones, source, episodes=1, seed=0, policy="mode").lengths for source in (endless, limited, ours)]
    assert lengths == [(5,), (9,), (9,)]
    assert capsys.readouterr().err.count("cut off after 5 steps") == 1


def test_an_episode_as_long_as_allowed_is_no_mistake():
    source = EnvSource(id="limited", kwargs={"limit": 4}, factory=toys.limited)
    act = lambda obs, e, t: np.ones((len(obs), 1))  # noqa: E731
    assert evaluate(act, source, episodes=1, seed=0, policy="mode", max_length=4).lengths == (4,)


def test_workers_give_what_this_process_gives():
    def act(obs, episodes, t):
        return -0.5 * obs[:, -1:]

    here, there = (
        evaluate(act, EnvSource("Pendulum-v1", {"max_episode_steps": 20}), episodes=3, seed=2, policy="mode", workers=n)
        for n in (0, 1)
    )
    assert here == there
    assert here.lengths == (20, 20, 20)


def test_progress_counts_every_episode_once():
    seen = []
    evaluate(steps_left, COUNTDOWN, episodes=8, seed=0, policy="mode", envs=3, progress=lambda *done: seen.append(done))
    assert seen == [(done, 8) for done in range(1, 9)]


@pytest.mark.parametrize(("episodes", "envs"), [(0, None), (-1, 2), (3, 0)])
def test_nothing_to_evaluate_is_a_sentence(episodes, envs):
    with pytest.raises(EntraxError, match="at least one episode and one environment"):
        evaluate(steps_left, COUNTDOWN, episodes=episodes, seed=0, policy="mode", envs=envs)


def test_the_record_is_json():
    record = evaluate(steps_left, COUNTDOWN, episodes=3, seed=0, policy="mode", workers=0).to_json()
    assert json.loads(json.dumps(record)) == record
    assert set(record) >= {"mean", "std", "episodes", "returns", "lengths", "policy"}
    assert (record["episodes"], record["policy"]) == (3, "mode")
