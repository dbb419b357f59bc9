"""`entrax study`, with a study that takes no time."""

import json
import re
import shlex

import pytest

from entrax.cli import main
from entrax.report import study_figures
from entrax.studies import catalogue, study
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Study

SEEN = {"effect": True}


def seen():
    return SEEN["effect"]


@pytest.fixture
def toy(monkeypatch):
    """Makes a toy the only study: its numbers are the seeds, its figure their values."""
    toy = Study(
        name="toy",
        claim="Seeds are many.",
        criterion="Supported if there are two. Refuted if there is one.",
        look="A line rises. One of a single seed is a point.",
        run=lambda quick, seeds, out: {"seeds": list(seeds)},
        judge=lambda numbers: "supported" if len(numbers["seeds"]) > 1 else "refuted",
        power=exact_power("Seeds differ.", "two seeds", lambda: ControlResult(seen())),
    )
    monkeypatch.setattr(catalogue, "NAMES", ("toy",))
    monkeypatch.setattr(catalogue, "CHAPTERS", (catalogue.Chapter("Seeds", "On seeds.", ("toy",)),))
    monkeypatch.setattr(catalogue, "get_study", lambda name: toy)
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


def test_all_makes_a_page_that_needs_no_network(toy, tmp_path, capsys):
    entrax("all", "--quick", "--out", tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "supported" in page
    assert "data:image/png;base64," in page
    assert "<script" not in page
    assert "http" not in page
    assert str(tmp_path / "index.html") in capsys.readouterr().out


def test_the_command_on_the_page_has_the_same_result(toy, tmp_path):
    entrax("all", "--quick", "--seeds", 1, "--first-seed", 7, "--out", tmp_path / "one")
    page = (tmp_path / "one" / "index.html").read_text()
    (command,) = re.findall(r"<code>entrax study (toy .*?)</code>", page)
    entrax(*shlex.split(command), "--out", tmp_path / "again")
    numbers = [(tmp_path / place / "toy" / "numbers.json").read_bytes() for place in ("one", "again")]
    assert numbers[0] == numbers[1]
    assert json.loads(numbers[0])["numbers"] == {"seeds": [7]}


def test_page_is_made_of_earlier_results_and_runs_nothing(toy, tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit):
        entrax("page", "--out", tmp_path)
    assert "no results" in capsys.readouterr().err
    entrax("all", "--seeds", 3, "--out", tmp_path)
    page = (tmp_path / "index.html").read_bytes()
    (tmp_path / "index.html").unlink()
    (tmp_path / "toy" / "figure.png").unlink()
    monkeypatch.setattr(study, "conduct", lambda *_, **__: pytest.fail("a study was run"))
    capsys.readouterr()
    entrax("page", "--out", tmp_path, "--json")
    assert json.loads(capsys.readouterr().out) == {
        "page": str(tmp_path / "index.html"),
        "verdicts": {"toy": "supported"},
    }
    assert (tmp_path / "index.html").read_bytes() == page


def test_page_takes_no_seeds(toy, tmp_path, capsys):
    for flag in (["--quick"], ["--seeds", 2], ["--first-seed", 2]):
        with pytest.raises(SystemExit):
            entrax("page", *flag, "--out", tmp_path)
        assert "runs nothing" in capsys.readouterr().err


def test_numbers_that_cannot_be_drawn_have_no_picture_on_the_page(toy, tmp_path, capsys):
    entrax("toy", "--out", tmp_path)
    path = tmp_path / "toy" / "numbers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"numbers": {"other": 1}}))
    entrax("page", "--out", tmp_path)
    assert "cannot be drawn" in capsys.readouterr().err
    page = (tmp_path / "index.html").read_text()
    assert "supported" in page
    assert "<img" not in page


def test_without_a_name_the_studies_are_listed(toy, capsys):
    entrax()
    assert capsys.readouterr().out.split() == ["toy", "Seeds", "are", "many."]


def test_a_wrong_name_is_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        entrax("tie", "--out", tmp_path)
    assert left.value.code == 2
    assert "no study 'tie'" in capsys.readouterr().err
