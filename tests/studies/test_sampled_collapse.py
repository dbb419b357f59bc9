"""Collapse with samples: numbers of made-up metrics, verdicts that can fail, exact answers, and a tiny study whole."""

import copy
import dataclasses

import numpy as np
import pytest
from scipy import stats

from entrax.agents.lookup import get_agent
from entrax.report.study_figures import draw_study
from entrax.runs.records import to_json
from entrax.studies import sampled_collapse as study
from entrax.studies.entropy_collapse import paired_interval
from entrax.studies.power import POWER, ControlResult, gained_share
from entrax.studies.study import conduct
from entrax.training.task import configure


def metrics(entropy, returns, ends):
    """A run's rows: entropy and return of rollouts, and as many evaluations by the mode."""
    rollouts = [{"entropy": e, "return": r} for e, r in zip(entropy, returns, strict=True)]
    evaluations = [{"evaluation": {"mean": end, "success_rate": float(end > 0.5)}} for end in ends]
    return [row for pair in zip(rollouts, evaluations, strict=True) for row in pair]


COLLAPSED = metrics([0.6, 0.1, 0.0], [None, 0.1, None], [0.0, 0.1, 0.1])
KEPT = metrics([0.7, 0.6, 0.3], [0.2, None, 0.9], [0.0, 0.1, 1.0])


def numbers(reach, count=12):
    """The numbers of a study in which that many seeds of each arm, in the study's order, reach the far end."""
    arms = []
    for (name, alpha), hits in zip(
        [(n, a) for n in study.AGENTS for a in (0.0, study.TEMPERATURE)], reach, strict=True
    ):
        low = 0.1 if alpha == 0 else 0.6
        runs = [metrics([0.7, low, 0.0], [0.0] * 3, [0.0, 0.0, float(seed < hits)]) for seed in range(count)]
        arms.append({"agent": name, "temperature": alpha} | study.measure(runs))
    more = {name: paired_interval(study.gains(arms, name)) for name in study.AGENTS}
    return {"seeds": count, "arms": arms, "more_reached": more}


def test_courses_and_final_results_are_read_off_the_metrics():
    result = study.measure([COLLAPSED, KEPT])
    np.testing.assert_allclose(result["entropy"]["median"], [0.65, 0.35, 0.15])
    assert result["half_entropy"]["values"] == [0.1, 0.6]
    np.testing.assert_array_equal(result["last_returns"], [0.1, 0.9])
    np.testing.assert_array_equal(result["success"], [0.0, 0.0, 0.5])
    np.testing.assert_array_equal(result["reached"], [False, True])
    np.testing.assert_array_equal(study.filled([None, 0.3, None]), [0.0, 0.3, 0.3])
    np.testing.assert_array_equal(study.reached(np.array([0.94, 0.96])), [False, True])


@pytest.mark.parametrize(
    ("reach", "count", "verdict"),
    [
        ((0, 12, 0, 8), 12, "supported"),
        ((0, 12, 0, 2), 12, "undecided"),  # the interval of one agent includes 0
        ((12, 12, 12, 12), 12, "undecided"),
        ((0, 12, 8, 0), 12, "refuted"),
        ((0, 9, 0, 9), 9, "undecided"),  # too few seeds
    ],
)
def test_both_agents_must_gain(reach, count, verdict):
    assert study.judge(numbers(reach, count)) == verdict


def test_an_entropy_that_is_lower_refutes():
    result = numbers((0, 12, 0, 12))
    equal, lost = copy.deepcopy(result), copy.deepcopy(result)
    equal["arms"][3]["half_entropy"] = equal["arms"][2]["half_entropy"]
    lost["arms"][3]["half_entropy"] = {"low": 0.0, "high": 0.05}
    assert [study.judge(each) for each in (result, equal, lost)] == ["supported", "undecided", "refuted"]


def test_the_soft_optimum_takes_the_far_reward_which_a_random_walk_seldom_finds():
    exact = study.exact_answers()
    assert exact["optimum"] == exact["soft_mode"] == pytest.approx(1.0)
    assert exact["soft_success"] > 0.8
    assert exact["uniform_success"] == pytest.approx(2 / 30)


def test_the_control_needs_the_entropy(monkeypatch):
    assert study.control().seen
    monkeypatch.setattr(study, "TEMPERATURE", 0.001)
    assert not study.control().seen


def test_what_is_detectable_is_that_of_four_gains_in_each_of_two_agents():
    share = gained_share(20, agents=2)
    assert share is not None
    assert stats.binom.sf(3, 20, share) ** 2 == pytest.approx(POWER)
    assert gained_share(9, agents=2) is None
    for gains, above in ((3, False), (4, True)):
        assert (paired_interval((np.arange(20) < gains).astype(float))["low"] > 0) == above


def test_every_setting_of_learning_is_written_out():
    elsewhere = {"joint_limit", "initial_log_std", "average_rate", "context"}  # of other actions and objectives
    for name in study.AGENTS:
        agent, settings = study.settings_of(name, study.TEMPERATURE, 4_000)
        configure(get_agent(agent), "paper", settings)
        fields = {field.name for field in dataclasses.fields(get_agent(agent).Config)}
        assert fields - settings.keys() <= elsewhere
        assert study.settings_of(name, 0.0, 4_000)[1] == settings | {"temperature": 0.0}


def test_the_figure_is_drawn_from_the_numbers(tmp_path):
    result = numbers((0, 12, 1, 8)) | {"environment": study.CORRIDOR, "exact": {"optimum": 1.0}, "steps": [1, 2, 3]}
    stated = {"lines": ["effect: one"]}
    outcome = {"study": "sampled-collapse", "verdict": "supported", "statement": stated, "numbers": to_json(result)}
    draw_study(outcome, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_a_tiny_study_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "ROWS", 2)
    monkeypatch.setitem(study.STEPS, "quick", 128)
    monkeypatch.setattr(study, "LOOP", study.LOOP | {"envs": 2})
    small = {"rollout_steps": 32, "batch_size": 16, "epochs": 1}
    tiny = {
        name: (agent, own | {k: v for k, v in small.items() if k in own}) for name, (agent, own) in study.AGENTS.items()
    }
    monkeypatch.setattr(study, "AGENTS", tiny)
    power = dataclasses.replace(study.STUDY.power, control=lambda: ControlResult(True))
    outcome = conduct(dataclasses.replace(study.STUDY, power=power), quick=True, seeds=2, out=tmp_path).to_json()
    draw_study(outcome, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert outcome["verdict"] == "undecided"
    result = outcome["numbers"]
    assert [(arm["agent"], arm["temperature"]) for arm in result["arms"]] == [
        (name, alpha) for name in tiny for alpha in (0.0, study.TEMPERATURE)
    ]
    for arm in result["arms"]:
        assert len(arm["success"]) == len(arm["entropy"]["median"]) == len(result["steps"]) == 2
        assert 0.5 < arm["entropy"]["median"][0] <= np.log(2) + 1e-6
