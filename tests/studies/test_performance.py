"""The study on performance: numbers of made-up curves, verdicts that can fail, and a tiny one whole."""

import numpy as np
import pytest

from entrax.report.study_figures import draw_study
from entrax.studies import performance
from entrax.studies.study import conduct


def rows(*means):
    """A run's metrics, with evaluations at every hundred steps."""
    return [{"step": 50}, *({"step": 100 * (i + 1), "evaluation": {"mean": mean}} for i, mean in enumerate(means))]


def numbers_of(curves):
    """The numbers of agents by name, each with the evaluations of its seeds."""
    groups = [performance.group("task", name, [rows(*each) for each in runs]) for name, runs in curves.items()]
    return {"seeds": len(next(iter(curves.values()))), "area": performance.scores(groups, "area")}


FAST, SLOW = [(0, 5, 9, 10)] * 5, [(0, 1, 5, 10)] * 5


@pytest.mark.parametrize(
    ("ours", "twin", "ddpg", "verdict"),
    [
        (FAST, SLOW, SLOW, "supported"),
        (FAST, FAST, SLOW, "supported"),  # a tie with certainty
        (SLOW, SLOW, FAST, "refuted"),
        (FAST, SLOW, FAST[:3] + [(9, 10, 10, 10)] * 2, "undecided"),
        (FAST[:3], SLOW[:3], SLOW[:3], "undecided"),  # too few seeds
    ],
)
def test_the_verdict_is_of_the_whole_curve_against_twin_and_ddpg(ours, twin, ddpg, verdict):
    numbers = numbers_of({"SAC": ours, "SAC, α = 0": twin, "DDPG": ddpg, "TD3": [(20, 20, 20, 20)] * len(ours)})
    assert performance.judge(numbers) == verdict


def test_curves_are_of_evaluations_only():
    result = performance.group("task", "SAC", [rows(1.0, 2.0), rows(3.0, 4.0)])
    np.testing.assert_array_equal(result.steps, [100, 200])
    np.testing.assert_array_equal(result.returns, [[1.0, 3.0], [2.0, 4.0]])


def test_a_tiny_study_is_whole(tmp_path, monkeypatch):
    tiny = {"steps": 32, "learning_starts": 16, "eval_every": 16, "eval_episodes": 1, "batch_size": 4, "hidden": (8,)}
    monkeypatch.setattr(performance, "QUICK", performance.LOOP | tiny | {"envs": 2})
    monkeypatch.setattr(performance, "TASKS_QUICK", performance.TASKS_QUICK[1:])
    names = ["SAC", "SAC, α = 0", "DDPG"]
    monkeypatch.setattr(performance, "AGENTS", {name: performance.AGENTS[name] for name in names})
    outcome = conduct(performance.STUDY, quick=True, seeds=2, out=tmp_path).to_json()
    draw_study(outcome, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    result = outcome["numbers"]
    curves = result["curves"]["entrax/PointLines-v0"]
    assert list(curves) == names
    assert curves["DDPG"]["steps"] == [16, 32]
    assert [group["seeds"] for group in result["final"]["groups"]] == [[0, 1]] * 3
    assert outcome["verdict"] == "undecided"  # of two seeds nothing follows
