"""The page of all studies, from made-up results, and the pictures beside them."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from entrax.errors import EntraxError
from entrax.report import study_figures
from entrax.report.study_page import Entry, Part, command_of, write_page
from entrax.report.study_pictures import draw_pictures
from entrax.runs.records import publish_json
from entrax.studies.results import load_result

PICTURE = b"\x89PNG picture"


def result(**changes):
    made = {
        "study": "walk",
        "claim": "A <claim>.",
        "criterion": "Supported if α < 1 & β > 2.",
        "verdict": "supported",
        "quick": True,
        "seeds": 5,
        "first_seed": 20,
        "statement": {"lines": ["effect: an <effect>", "control: seen"]},
        "numbers": {"values": [1]},
    }
    return made | changes


def entry(name="walk", **changes):
    made = {
        "name": name,
        "claim": "A <claim>.",
        "criterion": "Supported if α < 1 & β > 2.",
        "look": "Left: a 'line' & a \"dot\". Right: <nothing>.",
        "result": result(study=name),
    }
    return Entry(**made | changes)


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data + "\n"

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(out, *entries):
    return Page(write_page(out, [Part("First & last", "A <text>.", entries)]))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "walk"
    folder.mkdir()
    for name in ("figure.png", "film.png", "film.mp4"):
        (folder / name).write_bytes(PICTURE)
    return tmp_path


def test_a_study_is_read_from_claim_to_command(pictures):
    page = page_of(pictures, entry())
    order = (
        "A <claim>.",
        "supported",
        "seeds 20 to 24, quick form",
        "What to look at.",
        "Left: a 'line' & a \"dot\". Right: <nothing>.",
        "The criterion",
        "Supported if α < 1 & β > 2.",
        "Stated before the first seed",
        "effect: an <effect>",
        "entrax study walk --quick --seeds 5 --first-seed 20",
    )
    section = page.text[page.text.index("A <text>.") :]
    places = [section.index(words) for words in order]
    assert places == sorted(places)
    names = [name for name, _ in page.tags]
    assert names.index("img") < names.index("video") < names.index("details")
    assert names.count("details") == names.count("summary") == 2


def test_figures_are_described_and_films_are_beside_the_page(pictures):
    page = page_of(pictures, entry())
    (image,), (video,) = page.all("img"), page.all("video")
    assert image["alt"] == "Figure of walk. Left: a 'line' & a \"dot\"."
    assert image["src"].startswith("data:image/png;base64,")
    assert (pictures / video["src"]).read_bytes() == PICTURE
    assert video["poster"] == image["src"]
    assert "controls" in video
    assert "walk/figure.png" in {link["href"] for link in page.all("a")}
    links = [attributes.get(name, "") for _, attributes in page.tags for name in ("src", "href", "poster", "data")]
    assert not [link for link in links if re.match(r"\w+:|/", link) and not link.startswith("data:")]
    assert not {"script", "link", "iframe"} & {name for name, _ in page.tags}


def test_the_contents_lead_to_every_study_and_count_the_verdicts(tmp_path):
    entries = [
        entry("one"),
        entry("two", result=result(study="two", verdict="undecided")),
        entry("three", result=None),
    ]
    page = page_of(tmp_path, *entries)
    targets = {attributes["href"][1:] for attributes in page.all("a") if attributes["href"].startswith("#")}
    assert targets == {"part-1", "one", "two", "three"}
    assert targets <= {attributes.get("id") for _, attributes in page.tags}
    assert "Of 3 claims: 1 supported, 1 undecided, 1 not run." in page.text
    assert "not mean that the claim is false" in re.sub(r"\s+", " ", page.text)


def test_a_study_that_was_not_run_has_its_command_and_no_picture(pictures):
    page = page_of(pictures, entry(result=None))
    assert not page.all("img")
    assert "entrax study walk --quick\n" in page.text
    assert "look at" not in page.text


def test_a_failed_control_and_an_earlier_criterion_are_said(tmp_path):
    failed = result(verdict="control failed", numbers={})
    assert "no seed was run" in page_of(tmp_path, entry(result=failed)).text
    earlier = page_of(tmp_path, entry(result=result(criterion="Another."))).text
    assert "look at" not in earlier  # there is no picture
    assert "earlier criterion" in earlier
    assert "Another." in earlier
    assert "earlier criterion" not in page_of(tmp_path, entry()).text


def test_every_text_is_escaped(tmp_path):
    (tmp_path / "<b>'").mkdir()
    (tmp_path / "<b>'" / "figure.png").write_bytes(PICTURE)
    (tmp_path / "<b>'" / "film.mp4").write_bytes(PICTURE)
    evil = "</title><script>alert('1')</script>\x1b[31m\" onload='x'"
    made = result(claim=evil, criterion=evil, statement={"lines": [evil]})
    page = page_of(
        tmp_path, entry("<b>'", claim=evil, criterion=evil, look=evil, result=made), entry(evil, result=None)
    )
    assert "script" not in {name for name, _ in page.tags}
    assert not [attributes for _, attributes in page.tags if "onload" in attributes]
    assert "\x1b" not in page.text
    assert page.all("video")[0]["src"] == "%3Cb%3E%27/film.mp4"


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"quick": False, "first_seed": 0}, "--seeds 5"),
        ({"quick": True, "first_seed": 0, "seeds": 1}, "--quick --seeds 1"),
        ({"quick": False, "first_seed": 3}, "--seeds 5 --first-seed 3"),
    ],
)
def test_the_command_names_form_and_seeds(changes, flags):
    assert command_of(entry(result=result(**changes))) == f"entrax study walk {flags}"


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Lets `walk` have a figure and a film; the list tells what was drawn."""
    drawn = []

    def film(numbers, folder):
        drawn.append("film")
        if numbers["values"]:
            for name in ("film.mp4", "film.png"):
                (folder / name).write_bytes(PICTURE)
        return bool(numbers["values"])

    def figure(made, path):
        drawn.append("figure")
        path.write_bytes(PICTURE)

    monkeypatch.setattr(study_figures, "FIGURES", {"walk": (1, print)})
    monkeypatch.setattr(study_figures, "FILMS", {"walk": film})
    monkeypatch.setattr(study_figures, "draw_study", figure)
    (tmp_path / "walk").mkdir()
    publish_json(tmp_path / "walk" / "numbers.json", result())
    return drawn


def test_only_missing_and_older_pictures_are_drawn_again(drawn, tmp_path):
    folder = tmp_path / "walk"
    pictures = [folder / "figure.png", folder / "film.mp4"]
    assert draw_pictures(result(), folder, keep=True) == pictures
    assert drawn == ["figure", "film"]
    draw_pictures(result(), folder, keep=True)
    assert drawn == ["figure", "film"]
    pictures[0].unlink()
    draw_pictures(result(), folder, keep=True)
    assert drawn == ["figure", "film", "figure"]
    later = pictures[0].stat().st_mtime_ns + 10**9
    os.utime(folder / "numbers.json", ns=(later, later))
    draw_pictures(result(), folder, keep=True)
    assert drawn[3:] == ["figure", "film"]
    draw_pictures(result(), folder)
    assert drawn[5:] == ["figure", "film"]


def test_pictures_of_an_earlier_result_are_removed(drawn, tmp_path):
    folder = tmp_path / "walk"
    draw_pictures(result(), folder)
    assert draw_pictures(result(numbers={"values": []}), folder) == [folder / "figure.png"]
    assert draw_pictures(result(numbers={}), folder) == []
    assert [path.name for path in folder.iterdir()] == ["numbers.json"]


def test_a_result_is_read_and_checked(tmp_path):
    assert load_result("walk", tmp_path) is None
    path = tmp_path / "walk" / "numbers.json"
    path.parent.mkdir()
    publish_json(path, result())
    loaded = load_result("walk", tmp_path)
    assert loaded is not None
    assert loaded.to_json() == result()
    for changes, words in (
        ({"verdict": "proved"}, "verdict must be"),
        ({"study": "other"}, "another study"),
        ({"statement": {}}, "no 'statement.lines'"),
        ({"seeds": 0}, "seeds must be"),
    ):
        publish_json(path, result(**changes))
        with pytest.raises(EntraxError, match=words):
            load_result("walk", tmp_path)
