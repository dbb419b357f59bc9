"""The study of changed environments: its criterion, exact arrivals with a passage closed, pairs, and tiny runs."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from entrax.environments.maze import PLUGS
from entrax.report.study_figures import draw_study
from entrax.studies import closed_passage, passages, passages_optimum, performance, perturbed_bodies, robustness
from entrax.studies.power import ControlResult
from entrax.studies.study import conduct


def arms(soft, hard, seeds=5, matched=5):
    """Scores of all arms, the same for every seed but for a little."""
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
    assert robustness.judge({"differences": robustness.differences(result)}) == verdict


def test_one_score_without_an_effect_leaves_the_study_undecided():
    result = arms(0.8, 0.5)
    result["td3"]["arrived"] = result["soft"]["arrived"]
    assert robustness.judge({"differences": robustness.differences(result)}) == "undecided"


def test_no_move_ends_in_the_plug_and_the_other_passage_is_as_before(monkeypatch):
    monkeypatch.setattr(passages_optimum, "CELL", 0.2)
    problem = passages_optimum.make_maze()
    closed = closed_passage.with_closed(problem, "right")
    low, high = PLUGS[1]
    inside = np.all((problem.places > low) & (problem.places < high), axis=1)
    assert inside.any()
    outside = np.flatnonzero(~inside)
    reached = np.unique(closed.successor[outside])
    assert not inside[reached[reached < len(inside)]].any()
    left = problem.places[:, 0] < 0
    np.testing.assert_array_equal(closed.successor[left], problem.successor[left])


def test_the_exact_soft_policy_arrives_though_its_preferred_passage_is_closed(monkeypatch):
    monkeypatch.setattr(passages_optimum, "CELL", 0.2)
    monkeypatch.setattr(closed_passage, "BESIDE", (0.2, 0.0))
    soft, hard = (closed_passage.exact_arrival(alpha, 0.95) for alpha in (1.0, 0.0))
    assert min(soft["open"], hard["open"]) > 0.99
    assert hard["closed"] < 0.05
    assert soft["closed"] > soft["lesser"] - 0.01 > 0.1


@pytest.mark.long
def test_the_control_passes_and_fails_without_a_difference(monkeypatch):
    assert robustness.control().seen
    monkeypatch.setattr(robustness, "exact_arrival", lambda alpha, discount: {"open": 1.0, "closed": 0.0})
    assert not robustness.control().seen


def test_the_first_run_that_matches_counts(monkeypatch, tmp_path):
    returns = iter([50.0, 104.0, 112.0])
    monkeypatch.setattr(closed_passage, "measure", lambda *_: {"nominal": next(returns)})
    tried = []

    class Setup(passages.PassageSetup):
        def best(self, kind, seed, out):
            tried.append((kind, seed))
            return None

    setup = Setup(body="point", scale=1.0, agents={}, loop={}, hard={})
    assert closed_passage.first_match(setup, 108.0, 7, tmp_path) == {"nominal": 104.0, "attempts": 2}
    assert tried == [("td3", 7), ("td3", 1007)]
    returns = iter([1.0] * 10)
    assert closed_passage.first_match(setup, 108.0, 7, tmp_path)["attempts"] == closed_passage.ATTEMPTS


def body_arm(nominal, area):
    return {"nominal": nominal, "areas": {"push": area, "mass": area}}


def test_as_many_seeds_as_possible_are_paired_by_their_return():
    ours = body_arm([100.0, 106.0, 300.0, 10.0], [1.0] * 4)
    theirs = body_arm([104.0, 95.0, 1000.0, 10.0], [0.5, 0.5, 0.5, None])
    assert perturbed_bodies.pair(ours, theirs) == [[0, 1], [1, 0]]  # the nearest pair alone would leave one over
    assert perturbed_bodies.pair(ours, body_arm([500.0, 600.0], [1.0, 1.0])) == []


def bodies(soft, hard, count=3):
    """Two tasks with as many pairs each."""
    each = 0.01 * np.arange(count)
    task = {
        "arms": {"soft": body_arm([1.0] * count, soft + each)}
        | {name: body_arm([1.0] * count, hard + each) for name in ("twin", "td3")},
        "pairs": {other: [[i, i] for i in range(count)] for other in perturbed_bodies.OTHERS},
    }
    return perturbed_bodies.compare([task, task])


def test_pairs_of_all_tasks_decide_the_full_form():
    found = bodies(0.8, 0.5)
    assert found["differences"]["perturbed"]["td3"]["value"] == pytest.approx(0.3)
    assert found["differences"]["perturbed"]["td3"]["pairs"] == 6
    assert set(found["by_family"]) == {"push", "mass"}
    assert robustness.judge(found) == "supported"
    assert robustness.judge(bodies(0.5, 0.8)) == "refuted"
    assert robustness.judge(bodies(0.8, 0.5, count=1)) == "undecided"  # two pairs


class Short(passages.PassageSetup):
    """With episodes of few steps."""

    def arguments(self, closed):
        return super().arguments(closed) | {"max_episode_steps": 40}


HIDDEN = {"hidden": (8, 8)}
SOFT: dict[str, Any] = {"critics": 1, "particles": 4, "temperature": 1.0, "final_temperature": 1.0, "eval_every": 0}
FORM = Short(
    body="point",
    scale=1.0,
    agents={"soft": ("soft-q", HIDDEN | SOFT), "td3": ("td3", HIDDEN | {"eval_every": 96})},
    loop={"steps": 96, "envs": 2, "workers": 0, "learning_starts": 80, "batch_size": 4},
    hard={"final_temperature": 0.1, "anneal_fraction": 0.5, "keep_replay": True, "steps": 32, "eval_every": 32},
)
UNCONTROLLED = replace(
    robustness.STUDY, power=replace(robustness.STUDY.power, control=lambda: ControlResult(seen=True))
)


@pytest.mark.long
def test_the_quick_form_runs_and_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(robustness, "run_passages", partial(closed_passage.run_passages, setup=FORM))
    for name in ("ROLLOUTS", "STARTS", "DRAWS", "ATTEMPTS"):
        monkeypatch.setattr(closed_passage, name, 2)
    outcome = conduct(UNCONTROLLED, quick=True, seeds=1, out=tmp_path)
    assert outcome.verdict == "undecided"  # of one seed
    draw_study(outcome.to_json(), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    found = outcome.numbers["arms"]
    assert found["twin"]["after"] == FORM.hard
    assert found["td3"]["attempts"][0] in (1, 2)
    assert len(list((tmp_path / "runs").iterdir())) == 2 + found["td3"]["attempts"][0]  # soft, its twin, TD3
    assert conduct(UNCONTROLLED, quick=True, seeds=1, out=tmp_path).numbers == outcome.numbers


TINY = performance.Form(
    tasks=(performance.PerformanceTask("Hopper-v5", 3, random=0.0, reference=1.0),),
    loop={"envs": 1, "workers": 0, "steps": 40, "eval_every": 20, "eval_episodes": 1},
    replay={"learning_starts": 20, "batch_size": 4, "hidden": (8, 8)},
)


@pytest.mark.long
def test_the_full_form_runs_is_drawn_and_keeps_its_stress_tests(tmp_path, monkeypatch):
    monkeypatch.setattr(robustness, "run_bodies", partial(perturbed_bodies.run_bodies, form=TINY))
    monkeypatch.setattr(perturbed_bodies, "LEVELS", (0.0, 1.0))
    monkeypatch.setattr(perturbed_bodies, "EPISODES", 1)
    outcome = conduct(UNCONTROLLED, quick=False, seeds=1, out=tmp_path)
    assert outcome.verdict == "undecided"  # of one seed
    draw_study(outcome.to_json(), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    found = outcome.numbers["tasks"]["Hopper-v5"]["arms"]
    assert set(found) == set(perturbed_bodies.ARMS)
    assert set(found["soft"]["areas"]) | set(found["soft"]["skipped"]) == set(perturbed_bodies.FAMILIES)
    assert len(list((tmp_path / "runs").iterdir())) == 3
    kept = list((tmp_path / "stress").iterdir())
    assert len(kept) == len(perturbed_bodies.ARMS)

    def fail(*_):
        raise AssertionError("played again")

    monkeypatch.setattr(perturbed_bodies, "measure_policy", fail)
    assert conduct(UNCONTROLLED, quick=False, seeds=1, out=tmp_path).numbers == outcome.numbers
