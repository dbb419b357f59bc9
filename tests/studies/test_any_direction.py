"""The study on moving in any direction: what is measured, on paths that are known, and numbers that refute."""

import numpy as np
import pytest

from entrax.environments.point import DT
from entrax.studies import any_direction, runs
from entrax.studies.directions import ANT, POINT
from entrax.studies.study import summarise_seeds

TINY = {"steps": 40, "envs": 2, "workers": 0, "eval_every": 0, "learning_starts": 20, "batch_size": 4, "hidden": (8, 8)}
NAN = [np.nan, np.nan]


def test_headings_lead_from_the_start_to_the_last_place():
    paths = np.array([[[1, 1], [9, 9], [1, 3]], [[0, 0], [-2, 0], NAN], [[5, 0], [6, -1], NAN]], float)
    np.testing.assert_allclose(any_direction.headings_of(paths), [90, 180, -45])


@pytest.mark.parametrize(
    ("headings", "length"),
    [([30, 30], 1), ([0, 90, 180, -90], 0), ([0, 90], np.sqrt(0.5)), ([179, -181], 1), ([10, 190, 10], 1 / 3)],
)
def test_the_resultant_is_one_for_one_heading_and_nothing_all_round(headings, length):
    assert any_direction.resultant(np.array(headings, float)) == pytest.approx(length, abs=1e-12)


def test_a_sector_is_taken_by_two_episodes():
    headings = np.array([0.0, 29.9, 30.0, -1.0, -29.0, 180.0, -180.0, 359.9])
    assert any_direction.sectors(headings) == 3  # 0 to 30, 330 to 360, 180 to 210; only one is in 30 to 60


def test_uniform_headings_pass_for_all_round():
    drawn = np.random.default_rng(0).uniform(-180, 180, (2000, any_direction.EPISODES))
    taken = np.array([any_direction.sectors(each) for each in drawn])
    assert taken.mean() == pytest.approx(11.9, abs=0.1)
    assert taken.min() > any_direction.ALL_ROUND


def test_the_control_sees_the_effect_and_could_miss_it(monkeypatch):
    assert any_direction.control().seen
    monkeypatch.setattr(any_direction, "LEAST_EPISODES", 15)
    assert not any_direction.control().seen


@pytest.mark.parametrize(
    ("soft", "one_start", "deterministic", "gone", "verdict"),
    [
        (12, 9, 4, 0.8, "supported"),
        (12, 9, 4, 0.4, "undecided"),  # all round, but hardly moving
        (12, 8, 4, 0.8, "undecided"),
        (8, 12, 4, 0.8, "undecided"),
        (12, 9, 5, 0.8, "undecided"),
        (12, 4, 2, 0.8, "refuted"),
        (12, 9, 9, 0.8, "refuted"),
    ],
)
def test_the_verdict_follows_from_the_sectors(soft, one_start, deterministic, gone, verdict):
    for seeds, judged in ((3, "undecided"), (4, verdict)):
        numbers = {
            "soft": {
                "sectors": summarise_seeds([float(soft)] * seeds),
                "sectors_of_one_start": summarise_seeds([float(one_start)] * seeds),
                "distances": summarise_seeds([gone] * seeds),
            },
            "deterministic": {
                "sectors": summarise_seeds([float(deterministic)] * seeds),
                "distances": summarise_seeds([1.0] * seeds),
            },
        }
        assert any_direction.judge(numbers) == judged


@pytest.fixture(scope="module")
def untaught(tmp_path_factory):
    return runs.trained_run(POINT.anywhere, "td3", TINY, 0, tmp_path_factory.mktemp("runs"))


def test_paths_are_places_and_the_return_is_their_length(untaught):
    observed, *_ = runs.paths_of(untaught, 3, sample=False)
    paths, terminated, returns = runs.paths_of(untaught, 3, sample=False, observe=any_direction.place)
    assert paths.shape == (3, 101, 2)
    assert not terminated.any()
    moved = np.diff(paths.astype(float), axis=1)
    np.testing.assert_allclose(moved / DT, observed[:, 1:, :2], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=2).sum(axis=1) / DT, returns, rtol=1e-4)
    assert len(np.unique(paths[:, 0], axis=0)) == 3


def test_from_one_start_only_draws_tell_episodes_apart(untaught):
    paths, *_ = runs.paths_of(untaught, 3, sample=False, observe=any_direction.place, same_start=True)
    np.testing.assert_array_equal(paths[1:], np.broadcast_to(paths[0], paths[1:].shape))


def test_the_ants_place_is_observed_too():
    from entrax.environments.source import EnvSource

    env = EnvSource(ANT.anywhere).make()
    env.reset(seed=0)
    *_, info = env.step(np.zeros(8))
    np.testing.assert_array_equal(any_direction.place(env), [info["x_position"], info["y_position"]])
    env.close()
