"""The studies on two passages: what is read off episodes, numbers that refute, and both of them once, tiny."""

import numpy as np
import pytest

from entrax.report.study_figures import draw_study
from entrax.studies import passages, robustness, two_passages
from entrax.studies.runs import PlayedEpisodes
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
    np.testing.assert_array_equal(robustness.seen_closed(PATHS), [np.nan, 1, np.nan, np.nan])


@pytest.mark.parametrize(
    ("first", "share"),
    [([-1, -1, 1, 0], 1 / 3), ([1, 1, 1, 1], 0.0), ([-1, 1, 0, 0], 0.5), ([-1, 0, 0, 0], None), ([0, 0], None)],
)
def test_the_lesser_share_is_of_those_that_take_a_passage(first, share):
    assert passages.lesser_share(np.array(first)) == (None if share is None else pytest.approx(share))


def training(*arrived):
    count = len(arrived)
    ends, first = 100 * np.arange(1, count + 1), np.ones(count, int)
    return passages.TrainingEpisodes(end=ends, first=first, arrived=np.array(arrived, bool))


def test_training_is_reliable_after_ten_arrivals_in_a_row():
    assert two_passages.reliable(training(*[0] * 3, *[1] * 9, 0, *[1] * 12)) == 2300
    assert two_passages.reliable(training(*[1] * 9, 0, *[1] * 9)) is None
    assert two_passages.reliable(training()) is None
    shares = two_passages.course(training(0, 1, 1, 1), 500)
    assert np.sum(np.isfinite(shares)) == 4
    assert (shares[3], shares[7], shares[15]) == (0.0, 1.0, 1.0)  # steps 76 to 100, 176 to 200, 376 to 400


@pytest.mark.parametrize(
    ("soft", "hard", "low", "high", "verdict"),
    [
        (0.4, 0.0, 0.6, 1.0, "supported"),
        (0.4, 0.0, 0.4, 0.8, "undecided"),
        (0.4, 0.0, 0.1, 0.4, "refuted"),
        (0.01, 0.0, 0.6, 1.0, "refuted"),
        (0.01, 0.0, 0.4, 0.8, "refuted"),
        (0.4, 0.2, 0.4, 0.8, "refuted"),
        (None, None, 0.6, 1.0, "undecided"),
        (None, None, 0.1, 0.4, "refuted"),
    ],
)
def test_the_passages_decide(soft, hard, low, high, verdict):
    for seeds, judged in ((3, "undecided"), (4, verdict)):
        result = {
            kind: {"lesser": [share] * seeds, "median_lesser": share, "reliable": [100] * seeds}
            for kind, share in (("soft", soft), ("deterministic", hard))
        }
        assert two_passages.judge(result | {"faster": {"low": low, "high": high}}) == judged


def test_what_is_regained_is_the_part_of_what_was_to_be_had():
    rewards = np.array([[10.0, -4.0, 6.0, 8.0], [1.0, 1.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0]])
    paths = np.zeros((3, 5, 6))
    paths[1, 3:] = np.nan  # ended before anything happened
    played = PlayedEpisodes(paths=paths, rewards=rewards, terminated=np.ones(3, bool))
    course = robustness.regained(played, np.array([2.0, 3.0, np.nan]), 20.0)
    assert course is not None
    np.testing.assert_allclose(course[:4], [0.0, 6 / 14, 1.0, 1.0])  # of 20 - 6 still to be had
    assert len(course) == robustness.AFTER + 1
    both = robustness.regained(played, np.array([2.0, np.nan, 3.0]), 15.01)  # of 9.01, and of a hundredth
    assert both is not None
    np.testing.assert_allclose(both[:3], np.array([0.0, 6 + 5, 14 + 5]) / (9.01 + 0.01))
    assert robustness.regained(played, np.array([np.nan, np.nan, 3.0]), 14.0) is None
    assert robustness.regained(played, np.full(3, np.nan), 20.0) is None
    np.testing.assert_allclose(robustness.relative(np.array([-10.0, -15.0])), [1.0, 0.5])


def test_motors_run_wild_for_a_while_and_each_episode_in_its_way():
    changed = robustness.with_random_actions(lambda obs, episode, t: np.zeros((len(obs), 2), np.float32), seed=3)
    obs, episode = np.zeros((2, 6), np.float32), np.arange(2, dtype=np.int32)
    actions = np.array([changed(obs, episode, np.full(2, t, np.int32)) for t in range(40)])
    wild = np.flatnonzero(actions.any(axis=(1, 2)))
    np.testing.assert_array_equal(wild, np.arange(robustness.CALM, robustness.CALM + robustness.WILD))
    assert (actions[wild] == actions[wild[0]]).all()
    assert (actions[wild[0], 0] != actions[wild[0], 1]).all()


def arms(soft, hard, seeds=5, matched=5):
    """Scores of both kinds, the same for every seed but for a little."""
    values = {"soft": soft, "twin": hard, "td3": hard}
    few = np.arange(seeds) < matched
    return {
        name: {score: value + 0.01 * np.arange(seeds) for score in robustness.SCORES} | {"matched": few}
        for name, value in values.items()
    }


@pytest.mark.parametrize(
    ("soft", "hard", "matched", "verdict"),
    [
        (0.8, 0.5, 5, "supported"),
        (0.5, 0.8, 5, "refuted"),
        (0.5, 0.5, 5, "undecided"),
        (0.8, 0.5, 3, "undecided"),
        (0.5, 0.8, 3, "undecided"),
    ],
)
def test_what_is_kept_decides(soft, hard, matched, verdict):
    result = arms(soft, hard, matched=matched)
    differences = {
        score: {other: robustness.difference(result["soft"], result[other], score) for other in robustness.OTHERS}
        for score in robustness.SCORES
    }
    assert robustness.judge({"differences": differences}) == verdict


LIMIT = 40


class Short(passages.PassageSetup):
    """With episodes of few steps."""

    def arguments(self, closed):
        return super().arguments(closed) | {"max_episode_steps": LIMIT}


HIDDEN = {"hidden": (8, 8)}
FORM = Short(
    body="point",
    scale=1.0,
    agents={
        "soft-q": ("soft-q", HIDDEN | {"critics": 1, "particles": 4, "temperature": 0.2}),
        "soft": ("sac", HIDDEN | {"temperature": 0.1}),
        "td3": ("td3", HIDDEN),
        "td3, longer": ("td3", HIDDEN),
    },
    loop={"steps": 96, "envs": 2, "workers": 0, "eval_every": 96, "learning_starts": 80, "batch_size": 4},
    hard={"temperature": 0.0, "keep_replay": True, "steps": 32, "eval_every": 32},
)


def test_both_studies_run_and_are_drawn(tmp_path, monkeypatch):
    for module in (two_passages, robustness):
        monkeypatch.setattr(module, "POINT", FORM)
    monkeypatch.setattr(two_passages, "ROLLOUTS", 2)
    monkeypatch.setattr(robustness, "RECOVERIES", 2)
    monkeypatch.setattr(robustness, "EPISODES", 1)
    monkeypatch.setattr(robustness, "LEVELS", (0.0, 1.0))
    for study in (two_passages.STUDY, robustness.STUDY):
        outcome = conduct(study, quick=True, seeds=1, out=tmp_path)
        assert outcome.verdict == "undecided"  # of one seed
        draw_study(outcome.to_json(), tmp_path / f"{study.name}.png")
        assert (tmp_path / f"{study.name}.png").stat().st_size > 10_000
    result = outcome.numbers["arms"]
    assert set(result["soft"]["skipped"]) == {"push", "mass", "friction", "gravity", "motor_strength"} | {
        "slope_up", "slope_down", "stairs_up", "stairs_down", "obstacles"
    }  # fmt: skip
    assert result["twin"]["after"] == FORM.hard
    assert len(list((tmp_path / "runs").iterdir())) == 6  # each of two agents with two passages and one; soft; its twin

    episodes = passages.training_episodes(FORM.trained("td3", 0, tmp_path), 1.0)
    np.testing.assert_array_equal(episodes.end, [80, 80])  # one of each environment; the next were not finished
    assert not episodes.arrived.any()  # so soon nobody can
