"""Gaits: what is read off a body, distances by hand, verdicts that can fail, figure and film, and a tiny study."""

import dataclasses
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest

from entrax.agents.lookup import get_agent
from entrax.report import gait_figures
from entrax.report.study_figures import FILMS, draw_study
from entrax.studies import gaits as study
from entrax.studies import performance, walking
from entrax.studies.power import ControlResult
from entrax.studies.runs import paths_of
from entrax.studies.study import conduct
from entrax.training.task import configure
from tests.report.test_video import decoded

BODY = study.MADE_UP
TROT, BOUND = (0.5, 0.5, 2.0, 0.0), (0.1, 0.5, 2.0, 0.0)  # lag, duty, strides a second, angle


def walkers(*styles, seed=0):
    """Gaits of made-up runs."""
    rng = np.random.default_rng(seed)
    return [walking.gaits_of(BODY, study.made_up(rng, BODY, style))[0] for style in styles]


def test_the_parts_of_a_gait_are_those_it_was_made_with():
    [trot] = walkers((0.25, 0.4, 2.5, 0.3))
    np.testing.assert_allclose(trot.duty.mean(axis=0), 0.4, atol=0.03)
    np.testing.assert_allclose(np.angle(trot.phase) / (2 * np.pi), -0.25, atol=0.03)
    assert np.abs(trot.phase).min() > 0.9
    np.testing.assert_allclose(trot.frequency, 2.5, atol=0.05)
    np.testing.assert_allclose(trot.joints, 0.65, atol=0.02)  # 0.3 within [-1, 1]
    np.testing.assert_allclose(trot.torso, [[1.0, 0.0]] * study.EPISODES)


def test_distances_by_hand():
    trot, bound, fast = walkers(TROT, BOUND, (0.5, 0.5, 4.0, 0.4))
    apart = {name: float(each.mean()) for name, each in walking.distances(trot, bound).items()}
    assert apart["phase"] == pytest.approx(np.sin(np.pi * 0.4), abs=0.03)  # ½ |e^{iφ} − e^{iφ'}|
    assert max(apart[part] for part in ("duty", "frequency", "joints", "torso")) < 0.03
    assert apart["all"] == pytest.approx(np.mean([apart[part] for part in walking.PARTS]))
    apart = {name: float(each.mean()) for name, each in walking.distances(trot, fast).items()}
    assert apart["frequency"] == pytest.approx(1.0, abs=0.05)  # an octave
    assert apart["joints"] == pytest.approx(0.2, abs=0.02)


def test_two_runs_with_one_gait_have_no_excess_and_two_gaits_within_a_run_count_as_its_own():
    trot, again, bound = walkers(TROT, TROT, BOUND)
    means = walking.mean_distances([trot, again, bound])["all"]
    np.testing.assert_allclose(means, means.T)
    beyond = walking.excess(means)
    np.testing.assert_array_equal(np.diag(beyond), 0.0)
    assert abs(beyond[0, 1]) < 0.01 < 0.15 < beyond[0, 2]
    both = walking.Gaits(*(np.concatenate([a[:5], b[:5]]) for a, b in zip(trot, bound, strict=True)))
    mixed = walking.excess(walking.mean_distances([both, both])["all"])
    assert mixed[0, 1] < 0.2 * beyond[0, 2]


def test_a_foot_without_steps_has_no_phase():
    step = np.tile([1.0, 0.0], 50)
    feet = np.stack([step, np.ones(100), np.zeros(100), 1.0 - step], axis=1)
    np.testing.assert_allclose(walking.relative_phases(feet, 10.0, 0.05), [0.0, 0.0, -1.0], atol=1e-9)
    feet[:, 3] = np.arange(100) < 1  # a foot that hardly touches the ground
    assert walking.relative_phases(feet, 10.0, 0.05)[2] == 0.0
    irregular = (np.random.default_rng(0).uniform(size=(1000, 2)) < 0.5).astype(float)
    assert abs(walking.relative_phases(irregular, 2.0, 0.05)[0]) < 0.4


def test_falls_and_standing_are_no_walks():
    rng = np.random.default_rng(0)
    paths = study.made_up(rng, BODY, TROT)[:4]
    paths[1, round(2.5 / BODY.dt) :] = np.nan  # ends after a second and a half of steady walk
    paths[2, :, 0] = 0.0
    paths[3, :, 0] *= -1.0
    counted, walks = walking.gaits_of(BODY, paths)
    np.testing.assert_array_equal(walks, [True, False, False, False])
    assert len(counted.duty) == 1
    none, _ = walking.gaits_of(BODY, paths[1:])
    assert [len(each) for each in none] == [0] * 5


@pytest.mark.parametrize("name", walking.FEET)
def test_what_is_recorded_of_a_body_follows_its_model(name):
    env = gymnasium.make(name)
    env.reset(seed=0)
    body = walking.body_of(env, walking.FEET[name])
    inner: Any = env.unwrapped
    assert body.height == {"HalfCheetah-v5": 0.7, "Walker2d-v5": 1.25, "Ant-v5": 0.75}[name]
    entries = walking.observe_body(body, env)
    feet = len(body.feet)
    assert entries.shape == (inner.model.nq + 2 + feet,)
    np.testing.assert_array_equal(entries[: inner.model.nq], inner.data.qpos)
    assert len(body.joints) == inner.model.nu
    low, high = body.ranges.T
    assert (low < high).all()
    for _ in range(60):  # it settles on the ground
        env.step(np.zeros(env.action_space.shape, np.float32))
    if name != "Walker2d-v5":  # which falls over
        np.testing.assert_array_equal(walking.observe_body(body, env)[-feet:], 1.0)
    raised = inner.data.qpos.copy()
    raised[2 if name == "Ant-v5" else 1] += 3.0
    inner.set_state(raised, np.zeros(inner.model.nv))
    entries = walking.observe_body(body, env)
    np.testing.assert_array_equal(entries[-feet:], 0.0)
    assert entries[-feet - 2] > 3.0
    env.close()


def numbers(soft, hard, seed=0):
    rng = np.random.default_rng(seed)
    arms = {
        name: {"judged": study.describe(BODY, [study.made_up(rng, BODY, style) for style in styles])}
        for name, styles in ((study.SOFT, soft), (study.DETERMINISTIC, hard))
    }
    return study.compare([{"arms": arms}])


SAME, APART = [TROT] * 4, [TROT, BOUND, (0.3, 0.3, 3.0, 0.3), (0.8, 0.7, 1.5, -0.3)]


@pytest.mark.parametrize(
    ("soft", "hard", "verdict"),
    [
        (SAME, APART, "supported"),
        (APART, SAME, "refuted"),
        (APART, APART, "undecided"),
        (SAME, SAME, "undecided"),
        (SAME[:3], APART, "undecided"),  # too few
    ],
)
def test_the_verdict_compares_what_exceeds_a_run_s_own_differences(soft, hard, verdict):
    result = numbers(soft, hard)
    assert study.judge(result) == verdict
    if len(soft) >= 4:
        both = result["differs"]
        apart = both[study.SOFT]["mean"] - both[study.DETERMINISTIC]["mean"]
        assert result["difference"]["mean"] == pytest.approx(apart)


def test_runs_that_do_not_walk_are_named_and_not_counted():
    rng = np.random.default_rng(0)
    paths = [study.made_up(rng, BODY, TROT) for _ in range(3)]
    paths[1][:, :, 0] = 0.0
    result = study.describe(BODY, paths)
    assert result["walks"] == [1.0, 0.0, 1.0]
    assert result["counted"] == [0, 2]
    assert result["gaits"][1] is None
    assert result["excess"].shape == (2, 2)
    assert result["gaits"][0]["phase"] == pytest.approx([0.5], abs=0.03)


def test_the_full_form_s_runs_are_those_of_performance():
    assert [task.env for task in study.WHOLE.tasks] == ["Walker2d-v5", "Ant-v5"]
    for task in study.WHOLE.tasks:
        for name in study.ARMS:
            theirs = performance.settings_of(performance.FULL, task, name)
            assert performance.settings_of(study.WHOLE, task, name) == theirs
    for name in (study.SOFT, study.DETERMINISTIC):
        agent, settings = performance.settings_of(study.QUICK, study.QUICK.tasks[0], name)
        configure(get_agent(agent), "paper", settings)


@pytest.mark.long
def test_figure_and_film_of_a_tiny_study(tmp_path, monkeypatch):
    form = study.QUICK
    tiny = {"steps": 32, "envs": 2, "log_every": 16}
    small = performance.Form(
        form.tasks, form.loop | tiny, form.replay | {"learning_starts": 16, "batch_size": 4, "hidden": (8,)}
    )
    monkeypatch.setattr(study, "QUICK", small)
    monkeypatch.setattr(study, "EPISODES", 2)
    monkeypatch.setattr(study, "FILM_SECONDS", 0.2)
    monkeypatch.setattr(study, "paths_of", partial(short_paths, paths_of))
    power = dataclasses.replace(study.STUDY.power, control=lambda: ControlResult(True))
    outcome = conduct(dataclasses.replace(study.STUDY, power=power), quick=True, seeds=2, out=tmp_path).to_json()
    assert outcome["verdict"] == "undecided"
    [task] = outcome["numbers"]["tasks"]
    assert list(task["arms"]) == [study.SOFT, study.DETERMINISTIC]
    assert "mode" in task["arms"][study.SOFT]
    assert "mode" not in task["arms"][study.DETERMINISTIC]
    shown = task["arms"][study.SOFT]["judged"]["shown"]
    assert [np.shape(each["poses"]) for each in shown] == [(4, 9)] * 2
    draw_study(outcome, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    if FILMS["gaits"](outcome["numbers"], tmp_path):  # needs OpenGL
        size, fps, pictures = decoded(tmp_path / "film.mp4")
        assert size == (2 * gait_figures.TILE[0], 2 * (gait_figures.TILE[1] + gait_figures.LABEL))
        assert fps == 20.0
        assert len(pictures) == 4
        assert (tmp_path / "film.png").read_bytes().startswith(b"\x89PNG")


def short_paths(play, *args, **kwargs):
    """Whole episodes of HalfCheetah have a thousand steps; a few are enough here."""
    paths, *rest = play(*args, **kwargs)
    return paths[:, :40], *rest


def test_the_control_sees_one_gait_and_several():
    assert study.control().seen
