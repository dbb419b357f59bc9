"""`entrax study`, with a study that takes no time."""

import json

import pytest

from entrax.cli import main
from entrax.report import study_figures
from entrax.studies import catalogue
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Study

SEEN = {"effect": True}


def seen():
    return SEEN["effect"]


@pytest.fixture
def toy(monkeypatch):
    """Makes a toy the only study: its numbers are the seeds, its figure their values."""
    study = Study(
        name="toy",
        claim="Seeds are many.",
        criterion="Supported if there are two. Refuted if there is one.",
        look="A line rises. One of a single seed is a point.",
        run=lambda quick, seeds, out: {"seeds": list(seeds)},
        judge=lambda numbers: "supported" if len(numbers["seeds"]) > 1 else "refuted",
        power=exact_power("Seeds differ.", "two seeds", lambda: ControlResult(seen())),
    )
    monkeypatch.setattr(catalogue, "NAMES", ("toy",))
    monkeypatch.setattr(catalogue, "get_study", lambda name: study)
    draw = {"toy": (1, lambda axes, numbers: axes[0].plot(numbers["seeds"]))}
    monkeypatch.setattr(study_figures, "FIGURES", draw)


def entrax(*arguments):
    main(["study", *map(str, arguments)])


def test_the_verdict_is_printed_and_numbers_and_figure_are_written(toy, tmp_path, capsys):
    entrax("toy", "--seeds", 1, "--out", tmp_path)
    assert "toy: refuted" in capsys.readouterr().out
    assert json.loads((tmp_path / "toy" / "numbers.json").read_text())["verdict"] == "refuted"
    assert (tmp_path / "toy" / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_one_object_with_verdict_and_numbers(toy, tmp_path, capsys):
    entrax("toy", "--quick", "--json", "--out", tmp_path)
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verdict"], answer["numbers"], answer["quick"]) == ("supported", {"seeds": [0, 1, 2, 3, 4]}, True)


def test_the_statement_is_printed_before_the_verdict(toy, tmp_path, capsys):
    entrax("toy", "--seeds", 3, "--first-seed", 5, "--out", tmp_path)
    said = capsys.readouterr().out
    assert said.index("effect: Seeds differ.") < said.index("control: two seeds: seen") < said.index("toy: supported")
    assert json.loads((tmp_path / "toy" / "numbers.json").read_text())["numbers"] == {"seeds": [5, 6, 7]}


def test_a_failed_control_is_said_and_has_no_figure(toy, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(SEEN, "effect", False)
    entrax("all", "--out", tmp_path)
    said = capsys.readouterr().out
    assert "NOT seen" in said
    assert "toy: control failed" in said
    assert not (tmp_path / "toy" / "figure.png").exists()
    assert "control failed" in (tmp_path / "index.html").read_text()


def test_all_makes_a_page_that_needs_nothing_else(toy, tmp_path, capsys):
    entrax("all", "--quick", "--out", tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "supported" in page
    assert "data:image/png;base64," in page
    assert "<script" not in page
    assert "http" not in page
    assert str(tmp_path / "index.html") in capsys.readouterr().out


def test_without_a_name_the_studies_are_listed(toy, capsys):
    entrax()
    assert capsys.readouterr().out.split() == ["toy", "Seeds", "are", "many."]


def test_a_wrong_name_is_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        entrax("tie", "--out", tmp_path)
    assert left.value.code == 2
    assert "no study 'tie'" in capsys.readouterr().err
