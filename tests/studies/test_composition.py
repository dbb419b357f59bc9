"""The study on composition: what its verdict follows from, its numbers on made-up episodes, and a tiny one whole."""

from dataclasses import replace

import numpy as np
import pytest

from entrax.report.study_figures import draw_study
from entrax.studies import composition
from entrax.studies.runs import PlayedEpisodes
from entrax.studies.study import conduct

TINY = {"steps": 40, "envs": 2, "workers": 0, "eval_every": 0, "learning_starts": 20, "batch_size": 4, "hidden": (8, 8)}


def numbers(shares, learned=(0.1, 0.1)):
    known = [each for each in shares if each is not None]
    return {
        "share": {"values": shares, "median": float(np.median(known)) if known else None},
        "learned": {goal: {"median": each} for goal, each in zip("xy", learned, strict=True)},
    }


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (numbers([0.9] * 4), "supported"),
        (numbers([0.9, 0.9, 0.9, -3.0, 0.9]), "supported"),
        (numbers([0.6] * 4), "undecided"),
        (numbers([0.4] * 4), "refuted"),
        (numbers([0.9] * 3), "undecided"),
        (numbers([0.9, 0.9, 0.9, None, None]), "undecided"),  # too few learned the combined task
        (numbers([None] * 5), "undecided"),
        (numbers([0.1] * 5, learned=(0.1, 0.6)), "undecided"),  # a constituent did not learn its own task
    ],
)
def test_the_verdict_follows_from_the_shares_where_all_was_learned(result, verdict):
    assert composition.judge(result) == verdict


def test_a_share_is_of_the_way_from_the_better_constituent():
    returns = {"x alone": [-10.0, -8.0, -4.0], "y alone": [-6.0, -9.0, -5.0]}
    returns |= {"composed": [-3.0, -8.0, -2.0], "trained on both": [-2.0, -4.0, -4.5]}
    result = composition.share({arm: np.array(each) for arm, each in returns.items()})
    assert result == {"values": [0.75, 0.0, None], "median": 0.375}


def test_distances_and_returns_of_episodes_by_hand():
    paths = np.zeros((2, 3, 4), np.float32)
    paths[:, -1, :2] = [[1.5, -1.0], [0.0, -3.0]]
    paths[..., 3] = [[1.0, 2.0, 0.0], [3.0, 4.0, 0.0]]
    played = PlayedEpisodes(paths=paths, rewards=np.array([[1.0, 2.0], [0.0, 4.0]]), terminated=np.zeros(2, bool))
    np.testing.assert_allclose(composition.distances(composition.QUICK, played), [0.75, 1.0])
    obs, episode, t = composition.states(played)
    assert (episode.tolist(), t.tolist(), obs[:, 3].tolist()) == ([0, 0, 1, 1], [0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0])

    np.testing.assert_allclose(composition.discounted(played.rewards, 0.9), [2.8, 3.6])


@pytest.mark.long
def test_a_tiny_study_is_whole(tmp_path, monkeypatch):
    tiny = replace(composition.QUICK, episodes=2, settings=TINY | {"temperature": 0.3, "critics": 1, "particles": 4})
    monkeypatch.setattr(composition, "QUICK", tiny)
    outcome = conduct(composition.STUDY, quick=True, seeds=1, out=tmp_path).to_json()
    draw_study(outcome, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    result = outcome["numbers"]
    assert len(list((tmp_path / "runs").iterdir())) == 3
    assert list(result["arms"]) == [*composition.ARMS, "own sampler", "random"]
    for arm in result["arms"].values():
        assert -50 * 7 < arm["values"][0] < 0
        assert np.all(np.array(arm["distances"]) < 7)
    assert result["bound"]["value"][0] > 0
    assert np.shape(result["paths"]["composed"]) == (2, 51, 2)
    assert outcome["verdict"] == "undecided"
