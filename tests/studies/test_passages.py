"""The studies on two passages: what is read off episodes, numbers that refute, and both of them once, tiny."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from entrax.exact import plan
from entrax.problems import FiniteMDP
from entrax.report.passage_figures import write_film
from entrax.report.study_figures import draw_study
from entrax.runs.checkpoints import KEEP
from entrax.studies import passages, passages_optimum, two_passages
from entrax.studies.power import ControlResult
from entrax.studies.study import conduct

GOAL = (0.0, 5.5)


def path(*steps):
    """Observations of place, velocity and what is seen, of an episode that ends before the longest one."""
    rows = np.full((5, 6), np.nan)
    for t, (x, y, left, right) in enumerate(steps):
        rows[t] = x, y, 0, 0, left, right
    return rows


WENT_LEFT = path((0, 0, 0, 0), (-2, 3, 1, 0), (*GOAL, 1, 0))
LEFT_THEN_RIGHT = path((0, 0, 0, 0), (-2, 3, -1, 0), (2, 2, -1, 0), (2, 3, -1, 1))
WENT_RIGHT = path((0, 0, 0, 0), (0.1, 1, 0, 0), (2, 3, 0, 1))
STUCK = path((0, 0, 0, 0), (0, 1.3, 0, 0))
PATHS = np.stack([WENT_LEFT, LEFT_THEN_RIGHT, WENT_RIGHT, STUCK])


def test_the_first_passage_and_the_end_are_read_off_the_observations():
    np.testing.assert_array_equal(passages.first_passage(PATHS), [-1, -1, 1, 0])
    ends = passages.last_places(PATHS)
    np.testing.assert_array_equal(ends[[0, 3]], [GOAL, (0, 1.3)])
    np.testing.assert_array_equal(passages.at_goal(ends, 1.0), [True, False, False, False])
    assert passages.at_goal(np.array([0.9, 11.0]), 2.0)


@pytest.mark.parametrize(
    ("first", "share"),
    [([-1, -1, 1, 0], 1 / 3), ([1, 1, 1, 1], 0.0), ([-1, 1, 0, 0], 0.5), ([-1, 0, 0, 0], None), ([0, 0], None)],
)
def test_the_lesser_share_is_of_those_that_take_a_passage(first, share):
    assert passages.lesser_share(np.array(first)) == (None if share is None else pytest.approx(share))


def training(*arrived):
    count = len(arrived)
    ends, first = 100 * np.arange(1, count + 1), np.ones(count, int)
    nearest = 5.0 - 0.1 * np.arange(count)
    return passages.TrainingEpisodes(end=ends, first=first, arrived=np.array(arrived, bool), nearest=nearest)


def test_training_is_reliable_after_ten_arrivals_in_a_row():
    assert two_passages.reliable(training(*[0] * 3, *[1] * 9, 0, *[1] * 12)) == 2300
    assert two_passages.reliable(training(*[1] * 9, 0, *[1] * 9)) is None
    assert two_passages.reliable(training()) is None
    assert two_passages.first_arrival(training(0, 0, 1, 0)) == 300
    assert two_passages.first_arrival(training(0, 0)) is None
    distances = two_passages.nearest(training(0, 0, 0, 1), 500)  # a part is of 25 steps
    assert distances[2] == np.inf
    np.testing.assert_allclose([distances[3], distances[7], distances[-1]], [5.0, 4.9, 4.7])
    shares = two_passages.course(training(0, 1, 1, 1), 500)
    assert np.sum(np.isfinite(shares)) == 4
    assert (shares[3], shares[7], shares[15]) == (0.0, 1.0, 1.0)  # steps 76 to 100, 176 to 200, 376 to 400


ARM = {"lesser": 0.4, "one_start": 0.3, "arrived": 1.0}


def numbers_of(seeds=5, low=0.6, high=1.0, soft=None, hard=None, unseen=0):
    """Numbers of the study with both passages, with changes of either arm."""
    arms = {}
    for name, values in (("soft-q", ARM | (soft or {})), ("ddpg", ARM | {"lesser": 0.0}), ("td3", {"lesser": 0.0})):
        values = values | (hard or {}) if name == "td3" else values
        hidden = unseen if name == "td3" else 0
        arms[name] = {
            "lesser": [None] * hidden + [values["lesser"]] * (seeds - hidden),
            "lesser_of_one_start": [values.get("one_start", 0.0)] * seeds,
            "median_lesser": values["lesser"],
            "median_of_one_start": values.get("one_start", 0.0),
            "median_arrived": values.get("arrived", 1.0),
            "reliable": [100] * seeds,
        }
    sure = {"low": 0.7, "high": 1.0}
    return {"arms": arms, "faster": {"ddpg": sure, "td3": {"low": low, "high": high}}}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "supported"),
        ({"seeds": 3}, "undecided"),
        ({"low": 0.4}, "supported"),
        ({"low": 0.1, "high": 0.4}, "undecided"),
        ({"soft": {"lesser": 0.08}}, "undecided"),
        ({"soft": {"one_start": 0.08}}, "undecided"),
        ({"soft": {"one_start": 0.04}}, "refuted"),
        ({"soft": {"arrived": 0.8}}, "undecided"),
        ({"hard": {"lesser": 0.2}}, "refuted"),
        ({"unseen": 1}, "supported"),
        ({"unseen": 2}, "undecided"),
    ],
)
def test_the_passages_decide(changes, verdict):
    assert two_passages.judge(numbers_of(**changes)) == verdict


def test_the_detectable_share_is_detected_as_often_as_promised(monkeypatch):
    share = two_passages.detectable_share(5)
    assert share is not None
    rng, odds = np.random.default_rng(3), np.log(1 / share - 1)
    chances = 1 / (1 + np.exp(odds + two_passages.SPREAD * rng.normal(size=(4000, 5))))
    counted = rng.binomial(two_passages.ROLLOUTS, chances) / two_passages.ROLLOUTS
    seen = np.median(np.minimum(counted, 1 - counted), axis=1) >= two_passages.BOTH
    assert np.mean(seen) == pytest.approx(0.8, abs=0.03)
    more = two_passages.detectable_share(20)
    assert more is not None
    assert more < share
    monkeypatch.setattr(two_passages, "SPREAD", 1e-6)
    certain = two_passages.detectable_share(21)
    assert certain is not None
    assert certain == pytest.approx(two_passages.BOTH, abs=0.01)
    assert two_passages.detectable_share(3) is None


def test_the_exact_soft_policy_takes_both_passages_and_the_hard_one_the_nearer(monkeypatch):
    monkeypatch.setattr(passages_optimum, "CELL", 0.2)
    middle = passages_optimum.use_of_passages(1.0, 0.95, (0.0, 0.0))
    np.testing.assert_allclose([middle.left, middle.right, middle.arrived], [0.5, 0.5, 1.0], atol=1e-6)
    cold, warm = (passages_optimum.use_of_passages(*setting, (0.2, 0.0)) for setting in ((0.2, 0.99), (1.0, 0.95)))
    assert cold.lesser < warm.lesser < 0.5
    assert warm.right > warm.left  # the start is to the right


def test_the_grid_has_the_values_of_the_exact_planner(monkeypatch):
    """Two values of the next test, without its minute of compilation."""
    monkeypatch.setattr(passages_optimum, "CELL", 0.2)
    grid = passages_optimum.make_maze()
    middle = np.argmin(np.sum(grid.places**2, axis=1))
    for alpha, planned in ((1.0, 37.38948851), (0.0, 38.10076463)):
        value, policy = passages_optimum.solve(grid, alpha, 0.95)
        assert value[middle] == pytest.approx(planned, abs=1e-5)
        np.testing.assert_allclose(policy.sum(axis=1), 1.0)


@pytest.mark.long
@pytest.mark.parametrize("alpha", [1.0, 0.0])
def test_every_value_of_the_grid_is_that_of_the_exact_planner(alpha):
    """The area of an action, 4/49, counts as a reward of α log(4/49)."""
    grid = passages_optimum.make_maze()
    value, policy = passages_optimum.solve(grid, alpha, 0.95)
    count = len(grid.places)
    with jax.enable_x64(True):
        mdp = FiniteMDP(
            successor=grid.successor,
            probability=grid.probability,
            reward=grid.reward + alpha * np.log(4.0 / passages_optimum.ACTIONS**2),
            initial=np.eye(count)[0],
            terminal=np.zeros(count, bool),
            discount=0.95,
        )
        planned = plan(mdp, alpha, method="value-iteration", tolerance=1e-6)
    assert planned.converged
    np.testing.assert_allclose(value, planned.value, atol=3 * passages_optimum.TOLERANCE / (1 - 0.95))
    if alpha > 0.0:  # at 0 ties are shared by the planner, and go to one action here
        np.testing.assert_allclose(policy, planned.policy, atol=1e-6)


LIMIT = 40


class Short(passages.PassageSetup):
    """With episodes of few steps."""

    def arguments(self, closed):
        return super().arguments(closed) | {"max_episode_steps": LIMIT}


HIDDEN = {"hidden": (8, 8)}
SOFT = {"critics": 1, "particles": 4, "temperature": 1.0, "final_temperature": 0.7, "discount": 0.95}
SHORT: dict[str, Any] = {"steps": 96, "envs": 2, "workers": 0, "learning_starts": 80, "batch_size": 4}
BOTH = Short(
    body="point",
    scale=1.0,
    agents={
        "soft-q": ("soft-q", HIDDEN | SOFT),
        "ddpg": ("ddpg", HIDDEN),
        "td3": ("td3", HIDDEN),
    },
    loop=SHORT | {"chunk": 8, "eval_every": 0, "log_every": 16, "checkpoint_every": 16, "checkpoint_seconds": 0.0},
    hard={},
)


@pytest.mark.long
def test_two_passages_run_and_are_drawn_and_filmed(tmp_path, monkeypatch):
    monkeypatch.setattr(two_passages, "POINT", BOTH)
    monkeypatch.setattr(two_passages, "ROLLOUTS", 2)
    seen = replace(two_passages.STUDY.power, control=lambda: ControlResult(seen=True))  # it has a test of its own
    study = replace(two_passages.STUDY, power=seen)
    outcome = conduct(study, quick=True, seeds=1, out=tmp_path)
    assert outcome.verdict == "undecided"  # of one seed
    assert len(list((tmp_path / "runs").iterdir())) == 6  # each of three agents with two passages and one
    draw_study(outcome.to_json(), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert write_film(outcome.numbers, tmp_path)
    assert b"ftyp" in (tmp_path / "film.mp4").read_bytes()[:12]
    assert (tmp_path / "film.png").read_bytes().startswith(b"\x89PNG")

    film = outcome.numbers["arms"]["soft-q"]["film"]
    assert len(film["steps"]) > KEEP  # all, though a run keeps its newest only
    assert film["steps"] == sorted({*film["steps"], 96})
    assert len(outcome.numbers["arms"]["soft-q"]["gap"][0]) == len(film["steps"])
    assert np.array(film["q"]).max() == 0.0
    assert conduct(study, quick=True, seeds=1, out=tmp_path).numbers == outcome.numbers

    episodes = passages.training_episodes(BOTH.trained("td3", 0, tmp_path), 1.0)
    np.testing.assert_array_equal(episodes.end, [80, 80])  # one of each environment; the next were not finished
    assert not episodes.arrived.any()  # so soon nobody can
    assert (episodes.nearest > 0.5).all()
