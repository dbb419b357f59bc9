"""The study on stacking: verdicts of made-up shares, policies that learn nothing, and a tiny one whole."""

import dataclasses

import numpy as np
import pytest

from entrax.agents.lookup import get_agent
from entrax.environments import stacking as environment
from entrax.report import stacking_figures
from entrax.report.study_figures import FILMS, draw_study
from entrax.studies import stacking
from entrax.studies.power import ControlResult, shift
from entrax.studies.stacking_control import feedback, repeat
from entrax.studies.study import conduct
from entrax.training.task import configure
from tests.report.test_video import decoded


def arm(recovered, undisturbed=0.95):
    """An arm whose seeds recover from these shares of the disturbances."""
    none = np.broadcast_to(undisturbed, len(recovered))
    return {"recovered": list(recovered), "counts": (none >= stacking.LEARNED).tolist()}


GOOD, POOR = (0.9, 0.85, 0.95, 0.9, 0.88), (0.6, 0.55, 0.65, 0.5, 0.62)


@pytest.mark.parametrize(
    ("soft", "hard", "verdict"),
    [
        (arm(GOOD), arm(POOR), "supported"),
        (arm(POOR), arm(GOOD), "refuted"),
        (arm(GOOD), arm(GOOD), "undecided"),
        (arm((0.45, 0.4, 0.44, 0.41, 0.46)), arm((0.1,) * 5), "refuted"),  # better, but it does not recover
        (arm(GOOD[:3]), arm(POOR[:3]), "undecided"),  # too few seeds
        (arm(GOOD), arm(POOR, [0.9, 0.7, 0.7, 0.9, 0.9]), "undecided"),  # too few have learned to stack
        (arm((*GOOD[:4], 0.0), [0.9, 0.9, 0.9, 0.9, 0.5]), arm(POOR), "supported"),  # the fifth does not count
    ],
)
def test_the_verdict_is_of_the_seeds_that_stack_undisturbed(soft, hard, verdict):
    assert stacking.judge(stacking.compare({"SAC": soft, "TD3": hard})) == verdict


def test_what_is_detectable_is_in_shares_of_episodes():
    deviations = shift(5)
    assert deviations is not None
    assert stacking.detectable(5) == pytest.approx(stacking.SPREAD * deviations)
    assert stacking.detectable(3) is None


@pytest.fixture(scope="module")
def measured():
    """What is measured of a policy that looks where the lower brick is, and of one that repeats its actions."""
    acts = {"looks": feedback, "blind": repeat(stacking.ENV, 4, seed=1)}
    return {name: stacking.measure_policy(act, seed=1, episodes=4) for name, act in acts.items()}


def test_who_looks_recovers_and_who_does_not_look_does_not(measured):
    for each in measured.values():
        assert each["none"] == 1.0
    for change in stacking.CHANGES:
        assert measured["looks"][change] >= 3 / 4
        assert measured["blind"][change] <= 1 / 4


def test_the_course_begins_before_the_disturbance_and_falls_after_it(measured):
    course = measured["looks"]["after"]["arm"]
    assert len(course) == stacking.BEFORE + stacking.AFTER
    assert course[0] == 0.0
    assert course[-1] >= 3 / 4
    assert course[stacking.BEFORE + 5] < course[-1]
    forces, starts = (measured["looks"][key]["arm"] for key in ("forces", "start"))
    assert np.any(forces, axis=2).argmax(axis=1).tolist() == [start + 1 for start in starts]
    assert np.any(forces, axis=2).sum(axis=1).tolist() == [environment.PUSHED] * stacking.FILMED
    assert measured["looks"]["poses"]["arm"].shape == (stacking.FILMED, 101, 7)


def test_arms_are_combined_by_seed(measured):
    result = stacking.combine([measured["looks"], measured["blind"] | {"none": 0.5}])
    assert result["counts"] == [True, False]
    assert result["recovered"] == [np.mean([each["arm"], each["brick"]]) for each in measured.values()]
    assert result["poses"] is measured["looks"]["poses"]


@pytest.mark.long
def test_the_control_sees_the_effect():
    assert stacking.control().seen


@pytest.mark.long
def test_the_control_fails_without_disturbances(monkeypatch):
    monkeypatch.setattr(stacking, "CONTROL_SEEDS", range(4))
    monkeypatch.setattr(stacking, "CONTROL_EPISODES", 2)
    monkeypatch.setattr(environment.Stacking, "_disturb", lambda self: None)
    assert not stacking.control().seen


def test_every_setting_of_learning_is_written_out():
    for_images = {"augment", "features"}
    for form in (stacking.QUICK, stacking.FULL):
        for agent, own in stacking.AGENTS.items():
            configure(get_agent(agent), "paper", form | own)
            names = {field.name for field in dataclasses.fields(get_agent(agent).Config)}
            assert names - (form | own).keys() <= for_images


def test_a_tiny_study_is_whole(tmp_path, monkeypatch):
    tiny = {"steps": 32, "envs": 2, "log_every": 16, "eval_every": 16, "eval_episodes": 1, "learning_starts": 16}
    monkeypatch.setattr(stacking, "QUICK", stacking.QUICK | tiny | {"batch_size": 4, "hidden": (8,)})
    monkeypatch.setattr(stacking, "EPISODES", 2)
    monkeypatch.setattr(stacking_figures, "HELD", 2)
    stated = dataclasses.replace(stacking.STUDY.power, control=lambda: ControlResult(True))
    outcome = conduct(dataclasses.replace(stacking.STUDY, power=stated), quick=True, seeds=1, out=tmp_path).to_json()
    assert outcome["verdict"] == "undecided"
    draw_study(outcome, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    numbers = outcome["numbers"]
    assert numbers["curves"]["td3"]["steps"] == [16, 32]
    assert numbers["recoveries"] == {"SAC": None, "SAC, sampled": None, "TD3": None}
    assert not FILMS["stacking"]({}, tmp_path)


@pytest.mark.long
def test_the_film_shows_both_agents_under_both_disturbances(tmp_path, monkeypatch, measured):
    monkeypatch.setattr(stacking_figures, "HELD", 2)
    short = {
        key: {change: each[:1, 18:60:6] for change, each in measured["looks"][key].items()}
        for key in ("poses", "forces")
    } | {"start": {change: [1] for change in stacking.CHANGES}}
    short["forces"]["arm"][0, 2] = [30.0, 0.0, 30.0]
    numbers = {"environment": stacking.ENV, "arms": dict.fromkeys(("SAC", "TD3"), short)}
    assert stacking_figures.write_stacking_film(numbers, tmp_path)
    size, _, pictures = decoded(tmp_path / "film.mp4")
    assert size == (960, 524)
    assert len(pictures) == 2 * (7 + 2)
    assert (tmp_path / "film.png").read_bytes().startswith(b"\x89PNG")
