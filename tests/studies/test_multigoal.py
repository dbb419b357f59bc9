"""The studies on four goals: what is counted, that runs are kept, and numbers that refute."""

import shutil
from typing import Any

import numpy as np
import pytest

import entrax
from entrax.environments.multigoal import GOALS, MultiGoal
from entrax.errors import EntraxError
from entrax.runs.audit import fingerprint
from entrax.studies import four_goals, four_goals_optimum, multigoal, run_to_run, runs
from entrax.training.options import PRESETS, Preset

NAN = [np.nan, np.nan]
TINY: dict[str, Any] = {
    "steps": 40,
    "envs": 2,
    "workers": 0,
    "eval_every": 0,
    "learning_starts": 20,
    "batch_size": 8,
    "hidden": (8, 8),
}


def test_episodes_count_for_the_goal_they_end_in():
    paths = np.array([[[0, 0], [4.5, 0]], [[0, 0], [0, -4.2]], [[0, 0], [3.0, 0]], [[0.1, 4.9], NAN]])
    shares = multigoal.shares_of_goals(paths, np.array([True, True, False, True]))
    np.testing.assert_allclose(shares, [0.25, 0, 0.25, 0.25])


@pytest.mark.parametrize(
    ("least", "deterministic", "verdict"),
    [(0.2, 0.9, "supported"), (0.07, 0.9, "undecided"), (0.01, 0.9, "refuted"), (0.2, 0.3, "refuted")],
)
def test_the_verdict_follows_from_the_shares(least, deterministic, verdict):
    for seeds, judged in ((3, "undecided"), (4, verdict)):
        soft = {"least": {"median": least, "values": [least] * seeds}}
        numbers = {"soft": soft, "deterministic": {"most": {"median": deterministic}}}
        assert multigoal.judge(numbers) == judged


def test_a_configuration_is_trained_once_and_its_episodes_are_whole(tmp_path):
    run = runs.trained_run(four_goals.ENV, "td3", TINY, 0, tmp_path)
    written = (run.path / "metrics.jsonl").stat().st_mtime_ns
    again = runs.trained_run(four_goals.ENV, "td3", TINY, 0, tmp_path)
    assert again.path == run.path
    assert (again.path / "metrics.jsonl").stat().st_mtime_ns == written
    assert len(list((tmp_path / "runs").iterdir())) == 1

    paths, terminated, returns = runs.paths_of(again, 3, sample=False)
    assert paths.shape[0::2] == (3, 2)
    for path, ended, earned in zip(paths, terminated, returns, strict=True):
        live = path[np.isfinite(path[:, 0])]
        apart = np.linalg.norm(live[:, None] - GOALS, axis=2).min(axis=1)
        assert (apart[-1] < 1) == ended
        assert ended or len(live) == 31
        moves = np.diff(live, axis=0)
        inside = np.abs(live[1:]).max() < 7  # a wall would hide part of the action
        expected = np.sum(-30 * np.sum(moves**2, axis=1) - apart[1:] ** 2) + 10 * ended
        assert not inside or earned == pytest.approx(expected, rel=1e-3)


def test_a_run_that_was_cut_short_goes_on_to_the_same_end(tmp_path):
    settings: dict[str, Any] = TINY | {"chunk": 4, "log_every": 8, "checkpoint_every": 8}
    whole = runs.trained_run(four_goals.ENV, "td3", settings, 0, tmp_path / "whole")

    def cut(row):
        if row["step"] >= 24:
            raise KeyboardInterrupt

    path = tmp_path / "cut" / "runs" / whole.path.name
    with pytest.raises(KeyboardInterrupt):
        entrax.train(four_goals.ENV, "td3", seed=0, run=path, env_args={}, hook=cut, **settings)
    assert not runs.is_finished(path)
    again = runs.trained_run(four_goals.ENV, "td3", settings, 0, tmp_path / "cut")
    assert any("Resumed from step-" in event.get("message", "") for event in again.directory.events())
    assert fingerprint(again.directory) == fingerprint(whole.directory)


def test_a_finished_run_of_other_defaults_is_not_taken_for_this_one(tmp_path, monkeypatch):
    run = runs.trained_run(four_goals.ENV, "td3", TINY, 0, tmp_path)
    monkeypatch.setitem(PRESETS, "paper", Preset(options={}, agent={"target_rate": 0.5}))
    with pytest.raises(EntraxError, match=rf"{run.path.name} .*target_rate 0\.005.* 0\.5"):
        runs.trained_run(four_goals.ENV, "td3", TINY, 0, tmp_path)
    assert runs.trained_run(four_goals.ENV, "td3", TINY | {"target_rate": 0.005}, 0, tmp_path).path != run.path


def test_a_finished_run_of_another_ancestor_is_not_taken_for_this_one(tmp_path):
    before = runs.trained_run(four_goals.ENV, "td3", TINY, 0, tmp_path)
    after = runs.finetuned_run(before, four_goals.ENV, {"steps": 20}, tmp_path)
    written = (after.path / "metrics.jsonl").stat().st_mtime_ns
    assert runs.finetuned_run(before, four_goals.ENV, {"steps": 20}, tmp_path).path == after.path
    assert (after.path / "metrics.jsonl").stat().st_mtime_ns == written
    shutil.rmtree(before.path)
    again = entrax.train(four_goals.ENV, "td3", seed=1, run=before.path, **TINY)
    with pytest.raises(EntraxError, match=f"{after.path.name} .*another checkpoint.*{before.path.name}"):
        runs.finetuned_run(again, four_goals.ENV, {"steps": 20}, tmp_path)


def test_runs_that_visit_other_places_are_far_apart():
    line = np.linspace(0, 4.5, 10)
    east, west = np.stack([line, 0 * line], axis=1)[None], np.stack([-line, 0 * line], axis=1)[None]
    both = np.concatenate([east, west])
    apart = run_to_run.pairwise([run_to_run.shares_of_cells(each) for each in (east, west, east)])
    assert apart[0, 1] > 0.8  # they share the cells about the origin
    assert apart[0, 2] == 0
    assert 0.4 < run_to_run.total_variation(*map(run_to_run.shares_of_cells, (east, both))) < 0.5
    alike = np.full((5, 5), 0.05) - 0.05 * np.eye(5)
    far = alike + 0.5 * (1 - np.eye(5))
    for hard, soft, verdict in ((far, alike, "supported"), (alike, far, "refuted"), (alike, alike, "undecided")):
        assert run_to_run.judge({"difference": run_to_run.difference(hard, soft)}) == verdict
    for seeds, verdict in ((1, "undecided"), (2, "undecided"), (3, "undecided"), (4, "supported")):
        result = run_to_run.difference(far[:seeds, :seeds], alike[:seeds, :seeds])
        assert result["mean"] == (None if seeds == 1 else pytest.approx(0.5))
        assert run_to_run.judge({"difference": result}) == verdict


TEMPERATURE, DISCOUNT = 10.0, 0.99


@pytest.fixture(scope="module")
def worth():
    """The value of entering every position of the grid, in the soft optimum."""
    paid, _, reached = four_goals_optimum.goals(four_goals_optimum.axis_tables(TEMPERATURE)[0])
    return paid + DISCOUNT * np.where(reached, 0.0, four_goals_optimum.solve(TEMPERATURE, DISCOUNT))


def moves(place):
    """The 441 actions, where they lead from a place of the grid, and the logarithms of their quadrature weights."""
    steps = np.stack(np.meshgrid(np.arange(-10, 11), np.arange(-10, 11), indexing="ij"), axis=-1).reshape(-1, 2)
    weights = 0.01 * np.prod(np.where(np.abs(steps) == 10, 0.5, 1.0), axis=1)
    return np.round(0.1 * steps, 1), np.clip(place + steps, 0, 140), np.log(weights)


@pytest.mark.parametrize("place", [(70, 70), (101, 71), (137, 1)])  # the middle, before a goal, in a corner
def test_the_optimum_is_a_fixed_point_of_the_environment(worth, place):
    actions, successors, weights = moves(np.array(place))
    value = four_goals_optimum.solve(TEMPERATURE, DISCOUNT)
    env, q = MultiGoal(), []
    env.reset(seed=0)
    for action, (x, y) in zip(actions, successors, strict=True):
        env.path = [np.round(0.1 * (np.array(place) - 70), 1)]
        _, reward, terminated, *_ = env.step(action)
        q.append(reward + DISCOUNT * value[x, y] * (not terminated))
    soft = TEMPERATURE * np.logaddexp.reduce(np.array(q) / TEMPERATURE + weights)
    assert value[place] == pytest.approx(soft, abs=1e-6)


def test_the_optimum_earns_what_its_policy_earns(worth):
    result = four_goals_optimum.optimum(TEMPERATURE, DISCOUNT)
    np.testing.assert_allclose(result["shares"], result["shares"][0])
    assert 0.2 < result["shares"][0] <= 0.25
    rng, env, returns = np.random.default_rng(0), MultiGoal(), np.zeros(200)
    for episode in range(len(returns)):
        place, over, t = 70 + np.round(rng.normal(size=2)).astype(int), False, 0
        env.reset(seed=0)
        env.path = [0.1 * (place - 70)]
        while not over and t < 30:
            actions, successors, weights = moves(place)
            logits = (worth[tuple(successors.T)] - 30.0 * np.sum(actions**2, axis=1)) / TEMPERATURE + weights
            drawn = int(np.argmax(logits + rng.gumbel(size=len(logits))))
            _, reward, over, *_ = env.step(actions[drawn])
            returns[episode] += reward
            place, t = successors[drawn], t + 1
    assert abs(returns.mean() - result["return"]) < 4 * returns.std() / np.sqrt(len(returns))
