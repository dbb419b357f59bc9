"""The study on fine-tuning: what is counted, on curves that are known; the four arms at their smallest; the verdict."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from entrax.report.study_figures import draw_study
from entrax.runs.records import to_json
from entrax.studies import any_direction, directions, fine_tuning
from entrax.studies.power import ControlResult
from entrax.studies.study import conduct

STEPS = np.arange(100.0, 2100.0, 100.0)


def rising(at: float, final: float = 100.0, seeds: int = 5) -> np.ndarray:
    """Returns [seed, 2 directions, evaluation] whose mean over three evaluations is first above 2/3 `final` at `at`."""
    return np.broadcast_to(np.where(at - 100 <= STEPS, final, 0.0), (seeds, 2, len(STEPS)))


def test_the_mean_is_centred_and_shorter_at_the_ends():
    returns = np.array([[[3.0, 0.0, 6.0, 9.0]]])
    np.testing.assert_allclose(fine_tuning.smoothed(returns), [[[1.5, 3.0, 5.0, 7.5]]])


def test_steps_are_counted_to_the_return_that_is_wanted_and_no_further_than_there_are():
    returns = np.zeros((1, 2, len(STEPS)))
    returns[0, 0, 5:] = 90.0
    needed, reached = fine_tuning.steps_to(np.array([80.0, 80.0]), STEPS, returns)
    np.testing.assert_array_equal(needed, [[STEPS[6], STEPS[-1]]])
    np.testing.assert_array_equal(reached, [[True, False]])


def test_ratios_are_those_of_the_steps_and_what_counts_is_the_best_arms():
    returns = {
        "soft": rising(500, final=90.0),
        "low": rising(1000),
        "deterministic": rising(9000),  # never
        "scratch": rising(500),
    }
    result = fine_tuning.compare_arms(STEPS, returns, wait=200.0)
    np.testing.assert_allclose(result["target"], 80.0)
    assert result["reached"] == {"soft": 1.0, "low": 1.0, "deterministic": 0.0, "scratch": 1.0}
    soft = result["per_seed"]["soft"]["median"]
    for arm in fine_tuning.OTHERS:
        ratio = result["per_seed"][arm]["median"] / soft
        assert result["ratios"][arm] == pytest.approx({"value": ratio, "low": ratio, "high": ratio})
    assert result["ratios"]["low"]["value"] == pytest.approx(1000 / 500)
    assert result["ratios"]["deterministic"]["value"] == pytest.approx(2000 / 500)
    assert result["ratios"]["scratch"]["value"] == pytest.approx(1)
    assert result["ratios_without_wait"]["low"]["value"] == pytest.approx(800 / 300)


def test_an_interval_is_as_wide_as_seeds_differ():
    late = np.concatenate([rising(400, seeds=2), rising(1600, seeds=3)])
    result = fine_tuning.compare_arms(
        STEPS, {arm: rising(400) for arm in fine_tuning.ARMS} | {"scratch": late}, wait=0.0
    )
    interval = result["ratios"]["scratch"]
    assert 1 <= interval["low"] < interval["value"] < interval["high"] == pytest.approx(4)
    assert interval["value"] == pytest.approx(4 ** (3 / 5))


def numbers(
    low: float, high: float, *, seeds: int = 5, reached: float = 1.0, target: float = 80.0, without_wait: float = 2.0
) -> dict:
    sure = {"value": 3.0, "low": 2.0, "high": 4.0}
    ratios = {"low": sure, "deterministic": sure, "scratch": {"value": low, "low": low, "high": high}}
    later = ratios | {"low": {"value": without_wait, "low": without_wait, "high": without_wait + 0.1}}
    result = {"per_seed": {"soft": {"values": [1.0] * seeds}}, "reached": {"soft": reached}}
    return result | {"target": [target, 80.0], "ratios": ratios, "ratios_without_wait": later}


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (numbers(1.5, 2.0), "supported"),
        (numbers(0.9, 2.0), "undecided"),
        (numbers(0.3, 0.8), "refuted"),
        (numbers(1.5, 2.0, without_wait=0.95), "undecided"),
        (numbers(1.5, 2.0, without_wait=0.5), "refuted"),
        (numbers(1.5, 2.0, seeds=3), "undecided"),
        (numbers(1.5, 2.0, reached=0.5), "undecided"),
        (numbers(1.5, 2.0, target=-1.0), "undecided"),
    ],
)
def test_the_verdict_follows_from_the_intervals(given, verdict):
    assert fine_tuning.judge(given) == verdict


def small(form: directions.DirectionSetup) -> directions.DirectionSetup:
    """The form with so few steps that nothing is learned."""
    tiny = {"batch_size": 4}
    loop = {"envs": 2, "workers": 0, "learning_starts": 16, "checkpoint_seconds": 0.0}
    return replace(
        form,
        directions=(90.0,),
        agents={
            kind: (agent, own | tiny | {"hidden": tuple(8 for _ in own["hidden"])})
            for kind, (agent, own) in form.agents.items()
        },
        pretraining=loop | {"steps": 48, "eval_every": 0},
        tuning=loop | {"steps": 64, "eval_every": 32, "eval_episodes": 1},
    )


@pytest.mark.long
def test_both_studies_share_runs_and_train_each_once(tmp_path, monkeypatch):
    form = small(directions.POINT)
    for study in (any_direction, fine_tuning):
        monkeypatch.setattr(study, "POINT", form)
    monkeypatch.setattr(any_direction, "EPISODES", 3)
    seen = replace(any_direction.STUDY.power, control=lambda: ControlResult(seen=True))  # not in three episodes
    first = conduct(replace(any_direction.STUDY, power=seen), quick=True, seeds=1, out=tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 4
    outcome = conduct(fine_tuning.STUDY, quick=True, seeds=1, out=tmp_path)
    made = written(tmp_path)
    assert len(made) == 5 + 4  # pretrained; of each arm one in the hallway
    assert conduct(fine_tuning.STUDY, quick=True, seeds=1, out=tmp_path) == outcome
    assert written(tmp_path) == made
    assert (first.verdict, outcome.verdict) == ("undecided", "undecided")
    for each in (first, outcome):
        draw_study(to_json(each.to_json()), tmp_path / each.study / "figure.png")
        assert (tmp_path / each.study / "figure.png").stat().st_size > 10_000

    before = form.pretrained("deterministic", 0, tmp_path)
    ((scratch,), (tuned,)) = (fine_tuning.runs_of(form, arm, 0, tmp_path) for arm in ("scratch", "deterministic"))
    for run in (scratch, tuned):
        hallway = run.config["environment"]
        assert (hallway["id"], hallway["kwargs"]) == (form.hallway, {"direction": 90.0})
    assert tuned.config["ancestor"]["path"] == str(before.path)
    assert (tuned.config["agent"], tuned.config["training"]) == ("ddpg", scratch.config["training"])
    assert (scratch.config["agent"], scratch.config.get("ancestor")) == ("soft-q", None)
    assert written(tmp_path) == made


def written(out: Path) -> dict[str, int]:
    """When each run last wrote its metrics."""
    return {path.name: (path / "metrics.jsonl").stat().st_mtime_ns for path in (out / "runs").iterdir()}
