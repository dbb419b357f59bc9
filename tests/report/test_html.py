import base64
import re
from html.parser import HTMLParser

import pytest

from entrax.report.curve import learning_curve
from entrax.report.html import write_report
from entrax.runs.directory import RunDirectory

CONFIG = {
    "versions": {"entrax": "0.1.0", "jax": "0.10.2"},
    "environment": {"id": "Pen<dulum>-v1", "kwargs": {"g": 9.81}},
    "agent": "sac",
    "agent_config": {"learning_rate": 3e-4, "hidden": [256, 256]},
    "training": {"steps": 1000, "envs": 2},
    "preset": "paper",
    "seed": 3,
    "spec": {},
}
TIME = {"seconds": 5.0, "steps_per_second": 200.0, "updates_per_second": 100.0}


class Page(HTMLParser):
    """What a browser would load, and the text it would show."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.tags, self.text = {}, [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "poster", "data", "action"):
                self.sources[tag] = value

    def handle_data(self, data):
        self.text += data + "\n"


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.create(tmp_path / "run", CONFIG)
    for step in (500, 1000):
        run.append_metrics({"step": step, "updates": step // 2, "return": float("nan"), "entropy": 0.1, "time": TIME})
        evaluation = {"mean": -float(step), "std": 1.0, "episodes": 2, "returns": [-1.0, -2.0], "policy": "mode"}
        run.append_metrics({"step": step, "updates": step // 2, "evaluation": evaluation, "time": {"seconds": 5.0}})
    run.append_event({"kind": "warning", "step": 700, "message": "a <script> was slow"})
    started = {"command": "entrax train 'Pen<dulum>-v1'", "time": {"date": "2026-01-02T03:04:05+00:00"}}
    run.append_event({"kind": "started", "step": 0} | started)
    for which, mean, more in (("mode", -7.25, {}), ("sampled", -9.5, {"success_rate": 0.25}), ("best", -6.5, {})):
        event = {"kind": "evaluation", "which": which, "mean": mean, "std": 0.5, "episodes": 20, "policy": "mode"}
        run.append_event(event | more)
    return run


def test_the_report_holds_figure_and_film_whole_and_loads_nothing(run):
    learning_curve({"sac": run.metrics()}, run.figure, "sac")
    run.video.write_bytes(bytes(range(256)) * 40)
    path = write_report(run)
    assert path == run.report
    page = Page(path.read_text(encoding="utf-8"))
    assert "80 % of their episodes" in page.text
    assert page.sources.keys() == {"img", "video"}
    kinds, contents = zip(*(source.split(";base64,") for source in page.sources.values()), strict=True)
    assert kinds == ("data:image/png", "data:video/mp4")
    assert [base64.b64decode(c) for c in contents] == [run.figure.read_bytes(), run.video.read_bytes()]
    markup = re.sub(r'"data:[^"]*"', '""', path.read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//|url\(|@import|<script|<link|<iframe", markup)
    assert "name='viewport'" in markup  # else a phone shows it at a desk's width


def test_the_report_shows_configuration_numbers_and_warnings(run):
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    for shown in (
        "Pen<dulum>-v1 · sac · seed 3",
        "entrax train 'Pen<dulum>-v1'",
        ", started on 2026-01-02 03:04:05 UTC.",
        "-7.2 ± 0.5 (20 episodes)",
        "-9.5 ± 0.5 (20 episodes, 25% successful)",
        "of the best checkpoint",
        "step 700: a <script> was slow",
        "sum of the rewards of an episode",
        "-500.0 at step 500",
        "1,000 in 5 s of training (200 a second)",
        "[256, 256]",
        "0.0003",
        "9.81",
        "paper",
        "0.10.2",
    ):
        assert shown in text, shown


def test_a_return_that_is_not_finite_is_shown_as_such(run):
    run.append_event({"kind": "evaluation", "policy": "mode", "mean": None, "std": None, "episodes": 3})
    assert "not finite (3 episodes)" in Page(write_report(run).read_text(encoding="utf-8")).text


def test_without_a_film_the_report_says_why(run):
    page = Page(write_report(run, no_video="no headless OpenGL <was> found").read_text(encoding="utf-8"))
    assert "No video: no headless OpenGL <was> found." in page.text
    assert "video" not in page.tags


def test_a_run_that_has_hardly_begun_has_a_report(tmp_path):
    run = RunDirectory.create(tmp_path / "run", CONFIG)
    run.append_metrics({"step": 0, "evaluation": {"mean": float("nan"), "std": None, "returns": [None]}, "time": {}})
    assert "seed 3" in Page(write_report(run).read_text(encoding="utf-8")).text


def test_a_run_of_an_older_version_has_a_report(tmp_path):
    run = RunDirectory.create(tmp_path / "run", CONFIG)
    run.append_event({"kind": "evaluation", "mean": -7.25, "std": 0.5, "episodes": 20, "policy": "sampled"})
    text = Page(write_report(run).read_text(encoding="utf-8")).text
    assert "of sampled actions\n-7.2 ± 0.5 (20 episodes)" in text
    assert "Trained by" not in text
    assert "No warning and no fault." in text
