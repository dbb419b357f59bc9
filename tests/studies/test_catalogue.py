"""What every study has in common."""

import json
import re
from pathlib import Path

import pytest

from entrax.errors import EntraxError
from entrax.report.study_figures import FIGURES
from entrax.studies.catalogue import NAMES, get_study
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, conduct, decide, summarise_seeds


@pytest.mark.parametrize("name", NAMES)
def test_a_study_has_a_claim_a_criterion_and_a_figure(name):
    study = get_study(name)
    assert study.name == name
    assert study.claim.endswith(".")
    assert "upported if" in study.criterion
    assert "efuted if" in study.criterion
    assert name in FIGURES


@pytest.mark.parametrize("name", NAMES)
def test_a_study_says_in_one_to_three_sentences_what_to_look_at(name):
    look = get_study(name).look
    assert look.endswith(".")
    assert 1 <= len(re.findall(r"\.(?= |$)", look)) <= 3
    assert len(look) < 600


def test_an_unknown_study_is_answered_with_the_closest():
    with pytest.raises(EntraxError, match=r"There is no study 'tie'.*ties"):
        get_study("tie")


def test_the_outcome_is_written_and_its_verdict_follows_from_its_numbers(tmp_path):
    def run(quick: bool, seeds: range, out: Path) -> dict:
        return {"values": [quick, len(seeds)]}

    stated = exact_power("An effect.", "a case", lambda: ControlResult(True))

    def judge(numbers: Numbers) -> Verdict:
        return decide(numbers["values"][1] > 2, numbers["values"][1] < 2)

    study = Study("toy", "A claim.", "A rule.", run, judge, stated, look="A line.")
    verdicts = {}
    for seeds in (1, 2, 3):
        verdicts[seeds] = conduct(study, quick=True, seeds=seeds, out=tmp_path).verdict
        written = json.loads((tmp_path / "toy" / "numbers.json").read_text())
        assert (written["verdict"], written["numbers"]["values"]) == (verdicts[seeds], [True, seeds])
    assert verdicts == {1: "refuted", 2: "undecided", 3: "supported"}
    with pytest.raises(EntraxError, match=r"`seeds` .*at least 1.*0"):
        conduct(study, quick=True, seeds=0, out=tmp_path)
    with pytest.raises(EntraxError, match=r"`first_seed` .*at least 0.*-1"):
        conduct(study, quick=True, seeds=1, out=tmp_path, first_seed=-1)


def test_an_interval_encloses_its_middle():
    result = summarise_seeds([1.0, 2.0, 3.0, 4.0, 100.0])
    assert result["low"] <= result["interquartile_mean"] == 3.0 <= result["high"]
    assert result["median"] == 3.0
