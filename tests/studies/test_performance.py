"""The study on performance: numbers of made-up curves, verdicts that can fail, and a tiny one whole."""

import dataclasses

import numpy as np
import pytest

from entrax.agents.lookup import get_agent
from entrax.report.study_figures import draw_study
from entrax.studies import performance
from entrax.studies.power import ControlResult, improvement
from entrax.studies.study import conduct
from entrax.training.task import configure

TASKS = [performance.PerformanceTask(name, 1, random=0.0, reference=10.0) for name in ("one", "two")]


def rows(*means):
    """A run's metrics, with evaluations at every hundred steps."""
    return [{"step": 50}, *({"step": 100 * (i + 1), "evaluation": {"mean": mean}} for i, mean in enumerate(means))]


def numbers_of(curves):
    """The numbers of agents by name, each with the evaluations of its seeds, the same in both tasks."""
    groups = [
        performance.group(task.env, name, [rows(*each) for each in runs])
        for task in TASKS
        for name, runs in curves.items()
    ]
    return {"seeds": len(next(iter(curves.values())))} | performance.compare(groups, TASKS, resamples=200)


LATE, EARLY = [(0, 1, 1, 2, 3, 4, 10, 10)] * 5, [(0, 9, 9, 9, 9, 9, 9, 9)] * 5


@pytest.mark.parametrize(
    ("ours", "twin", "ddpg", "verdict"),
    [
        (LATE, EARLY, EARLY, "supported"),
        (LATE, LATE, EARLY, "supported"),  # a tie with certainty
        (EARLY, EARLY, LATE, "refuted"),
        (LATE, EARLY, EARLY[:3] + [(0, 1, 1, 2, 3, 4, 11, 11)] * 2, "undecided"),
        (LATE[:3], EARLY[:3], EARLY[:3], "undecided"),  # too few seeds
        ([(10,) * 8] * 5, [(9,) * 8] * 5, [(9,) * 8] * 5, "undecided"),  # SAC has learned nothing
    ],
)
def test_the_verdict_is_of_the_last_quarter_against_twin_and_ddpg(ours, twin, ddpg, verdict):
    numbers = numbers_of({"SAC": ours, "SAC, α = 0": twin, "DDPG": ddpg, "TD3": [(20,) * 8] * len(ours)})
    assert performance.judge(numbers) == verdict


def test_scores_are_normalised_means_of_the_last_quarter():
    result = performance.group("one", "SAC", [rows(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0), rows(*[3.0] * 8)])
    np.testing.assert_array_equal(result.steps, 100.0 * np.arange(1, 9))
    np.testing.assert_array_equal(performance.last_quarter(result), [8.0, 3.0])
    assert performance.returns([result])["one"]["SAC"]["values"] == [8.0, 3.0]
    tasks = [performance.PerformanceTask("one", 1, random=-2.0, reference=18.0)]
    assert performance.compare([result], tasks, resamples=50)["pooled"]["SAC"]["value"] == pytest.approx(0.375)


def test_what_is_detectable_is_that_of_the_quick_tasks_against_both():
    assert performance.detectable(5) == improvement(5, tasks=2, others=2)


def test_the_control_fails_for_a_measure_of_the_whole_curve(monkeypatch):
    monkeypatch.setattr(performance, "QUARTER", 0.0)
    monkeypatch.setattr(performance, "REPEATS", 3)
    assert not performance.control().seen


def test_every_setting_of_learning_is_written_out():
    for_others = {"augment", "features", "joint_limit"}  # images and discrete actions
    for form in (performance.QUICK, performance.FULL):
        for name in (*form.agents, *form.shown):
            agent, settings = performance.settings_of(form, form.tasks[-1], name)
            configure(get_agent(agent), "paper", settings)
            fields = {field.name for field in dataclasses.fields(get_agent(agent).Config)}
            assert fields - settings.keys() <= for_others
            assert {"steps", "envs", "workers", "normalise_obs", "eval_every", "eval_episodes"} <= settings.keys()
            assert agent == "ppo" or {"learning_starts", "updates_per_step", "chunk"} <= settings.keys()
    _, settings = performance.settings_of(performance.FULL, performance.FULL.tasks[-1], "SAC")
    assert settings["target_entropy"] == -8.0


def test_a_tiny_study_is_whole(tmp_path, monkeypatch):
    form = performance.QUICK
    tiny = {"steps": 32, "envs": 2, "log_every": 16, "eval_every": 16, "eval_episodes": 1}
    learning = {"learning_starts": 16, "batch_size": 4, "hidden": (8,)}
    task = performance.PerformanceTask("Pendulum-v1", 1, random=-1246.0, reference=-149.0)
    small = performance.Form((task,), form.loop | tiny, form.replay | learning, shown=("DDPG",))
    monkeypatch.setattr(performance, "QUICK", small)
    monkeypatch.setattr(performance, "SHOWN", {"DDPG": performance.AGENTS["DDPG"]})
    monkeypatch.setattr(performance, "SHOWN_SEEDS", 1)
    monkeypatch.setattr(performance, "precision", lambda: PRECISION)
    names = ["SAC", "SAC, α = 0"]
    monkeypatch.setattr(performance, "JUDGED", names[1:])
    study = dataclasses.replace(performance.STUDY, power=dataclasses.replace(performance.STUDY.power, control=seen))
    outcome = conduct(study, quick=True, seeds=2, out=tmp_path).to_json()
    draw_study(outcome, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    result = outcome["numbers"]
    assert result["agents"] == [*names, "DDPG"]
    assert result["curves"]["Pendulum-v1"]["DDPG"]["steps"] == [16, 32]
    assert [len(result["returns"]["Pendulum-v1"][name]["values"]) for name in result["agents"]] == [2, 2, 1]
    assert result["settings"]["SAC"]["sac"]["initial_temperature"] == 0.1
    assert outcome["verdict"] == "undecided"  # of two seeds nothing follows


def seen():
    """A control that sees its effect; the study's own is tested by itself."""
    return ControlResult(True)


CURVES = {"sampled": [1.0, 0.0], "mode": [1.0, 0.0], "at_learned": {"sampled": 0.5, "mode": 0.0}}
PRECISION = {"temperatures": [0.01, 0.1], "actions": 41, "rows": [CURVES | {"width": 1, "learned": 0.03}]}
