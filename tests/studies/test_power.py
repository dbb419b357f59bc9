"""What a study states before its first seed: closed forms, simulations, and a control that stops it."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from entrax.evaluation.statistics import estimate_improvement
from entrax.studies import entropy_collapse, power
from entrax.studies.catalogue import NAMES, get_study
from entrax.studies.study import Study, conduct

QUICK_CONTROLS = (
    "certainty-equivalence",
    "run-to-run",
    "any-direction",
    "fine-tuning",
    "reward-robustness",
    "composition",
    "performance",
)
"""Studies whose control takes less than a second."""


@pytest.mark.parametrize("name", NAMES)
def test_every_study_states_what_it_could_detect(name):
    study = get_study(name)
    stated = study.power
    for sentence in (stated.effect, stated.measure, stated.assumption, stated.case):
        assert len(sentence) > 10
    least = stated.detectable(study.seeds)
    assert least is not None
    assert 0 < least < 5
    more = stated.detectable(2 * study.seeds)
    assert more is not None
    assert more < least


@pytest.mark.parametrize("name", QUICK_CONTROLS)
def test_the_effect_is_seen_where_it_is_known_to_be(name, x64):
    assert get_study(name).power.control().seen


def test_closed_forms_are_those_of_the_binomial():
    for seeds in (4, 5, 20):
        rare = power.failing_share(seeds)
        assert stats.binom.sf(0, seeds, rare) == pytest.approx(power.POWER)
        typical = power.share_of_seeds(seeds)
        assert stats.binom.sf(seeds // 2, seeds, typical) == pytest.approx(power.POWER)
    assert power.share_of_seeds(3) is None
    gained = power.gained_share(100)
    assert stats.binom.sf(3, 100, gained) == pytest.approx(power.POWER)


def test_the_interval_of_paired_starts_excludes_0_from_four_gains_on():
    for gains, above in ((3, False), (4, True)):
        interval = entropy_collapse.paired_interval((np.arange(100) < gains).astype(float))
        assert (interval["low"] > 0) == above


def test_simulated_effects_are_detected_as_often_as_promised():
    rng = np.random.default_rng(7)
    shift = power.shift(5)
    likely = power.improvement(5)
    assert shift is not None
    assert likely is not None
    apart = 2**0.5 * stats.norm.ppf(likely)
    seen = np.zeros(2)
    for _ in range(300):
        ours, theirs = rng.normal(size=(2, 5))
        mine, yours = rng.integers(5, size=(2, 300, 5))
        means = ours[mine].mean(axis=1) + shift - theirs[yours].mean(axis=1)
        better = (ours[:, None] + apart > theirs).astype(float)
        drawn = better[mine[:, :, None], yours[:, None]].mean(axis=(1, 2))
        seen += np.percentile(means, 2.5) > 0, power.above_half(better[None], drawn)
    np.testing.assert_allclose(seen / 300, power.POWER, atol=0.08)
    assert power.shift(3) is None
    assert power.improvement(3) is None


def test_a_failed_control_stops_the_study(tmp_path):
    def run(quick: bool, seeds: range, out: Path) -> dict:
        raise AssertionError("no seed is run")

    stated = power.exact_power("An effect.", "a case", lambda: power.ControlResult(False, {"found": 0}))
    study = Study("toy", "A claim.", "A rule.", run, lambda numbers: "supported", stated, look="A line.")
    heard: list[dict] = []
    outcome = conduct(study, quick=True, seeds=3, out=tmp_path, report=heard.append)
    assert (outcome.verdict, outcome.numbers) == ("control failed", {})
    written = json.loads((tmp_path / "toy" / "numbers.json").read_text())
    assert written["statement"] == heard[0]
    assert heard[0]["control"] == {"seen": False, "numbers": {"found": 0}}
    assert heard[0]["lines"][2].endswith("NOT seen")


def test_the_statement_comes_before_the_seeds_that_are_asked_for(tmp_path):
    order: list[int] = []

    def run(quick: bool, seeds: range, out: Path) -> dict:
        order.extend(seeds)
        return {}

    stated = power.exact_power("An effect.", "a case", lambda: power.ControlResult(True))
    study = Study("toy", "A claim.", "A rule.", run, lambda numbers: "supported", stated, look="A line.")
    outcome = conduct(study, quick=True, seeds=2, out=tmp_path, first_seed=5, report=lambda _: order.append(-1))
    assert order == [-1, 5, 6]
    assert (outcome.first_seed, outcome.seeds, outcome.statement["seeds"]) == (5, 2, 2)


def test_the_simulated_interval_is_that_of_an_estimate():
    rng, agree = np.random.default_rng(0), 0
    for _ in range(8):
        ours, theirs = list(rng.normal(1.2, 1.0, (2, 5))), list(rng.normal(size=(2, 5)))
        better = np.array([x[:, None] > y for x, y in zip(ours, theirs, strict=True)], float)
        mine, yours = rng.multinomial(5, np.full(5, 0.2), (2, 2, 1000)) / 5
        seen = power.above_half(better, np.sum((mine @ better) * yours, axis=-1).mean(axis=0))
        agree += bool(seen) == (estimate_improvement(ours, theirs, resamples=1000).low > 0.5)
    assert agree >= 7  # an end at exactly 1/2 may go either way
    more, fewer = power.improvement(5, tasks=2), power.improvement(5, tasks=4)
    assert more is not None
    assert fewer is not None
    assert 0.5 < fewer < more < 1.0
