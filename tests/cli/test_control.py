"""Text from files and environments: nothing in it commands a terminal, a report or the shape of an answer."""

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrax.cli import main
from entrax.cli.display import LiveDisplay
from entrax.errors import EntraxError, plain, say
from entrax.report.curve import learning_curve
from entrax.runs.directory import RunDirectory
from tests.forging import forge_config

GOLDEN = Path(__file__).parent.parent / "runs" / "golden" / "format-2"
HOSTILE = "\x1b[2J\x1b]0;title\x07\x1b]8;;http://x\x1b\\\x9b31m\rwords\b\u202efdp\u2066\n\ud800$\\frac{"
PIECES = [*"\x1b[]\x9b\x07\\\u202a\u2069\x00\r\ud834ü字🤖 ", "0;31m"]


def commands(text: str) -> list[str]:
    """The characters of a text that a terminal does not just show."""
    hidden = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
    return [x for x in text if x in hidden or (unicodedata.category(x) in ("Cc", "Cs") and x not in "\n\t")]


@given(st.lists(st.sampled_from(PIECES) | st.characters()).map("".join))
def test_nothing_is_left_that_commands(text):
    assert commands(plain(text)) == []
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize("text", ["Grüße, 字, 🤖 — −1·10⁻³", "a\tb\nc", "العربية", "[31m", "]0;x"])
def test_words_stay_as_they_are(text):
    assert plain(text) == text


def test_colours_go_whole_and_words_stay():
    assert plain("\x1b[1;31mred\x1b[0m, \x1b]8;;http://x\x1b\\a link\x1b]8;;\x1b\\") == "red, a link"


def test_an_error_is_one_short_line():
    message = str(EntraxError(f"{HOSTILE}\nentrax: all is well\n" + "x" * 10**6))
    assert "words" in message
    assert commands(message) == []
    assert "\n" not in message
    assert len(message) < 10_000


ENVIRONMENT = f"""
import gymnasium, numpy
class Rude(gymnasium.Env):
    action_space = observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), numpy.float32)
    steps = 0
    def reset(self, *, seed=None, options=None):
        return numpy.zeros(1, numpy.float32), {{}}
    def step(self, action):
        self.steps += 1
        if self.steps > 250:
            raise ValueError({HOSTILE!r})
        return numpy.zeros(1, numpy.float32), 1.0, False, False, {{}}
"""


@pytest.mark.parametrize("flags", [["--workers", "0"], ["--workers", "1", "--restart-envs", "1"]])
def test_what_an_environment_raises(tmp_path, capfd, flags):
    (tmp_path / "rude.py").write_text(ENVIRONMENT, encoding="utf-8", errors="surrogatepass")
    size = ["--hidden", "4", "--batch-size", "4", "--learning-starts", "390", "--updates-per-step", "0.1"]
    with pytest.raises(SystemExit) as left:
        main(["train", f"{tmp_path / 'rude.py'}:Rude", "--run", str(tmp_path / "run"), "--steps", "400", *size, *flags])
    said = capfd.readouterr()
    assert left.value.code == 3
    assert "ValueError" in said.err
    assert "words" in said.err
    assert commands(said.out + said.err) == []
    assert RunDirectory.open(tmp_path / "run").events()  # it had begun, and its files can be read


@pytest.mark.parametrize("field", ["agent", "preset"])
@pytest.mark.parametrize("verb", ["report", "resume", "evaluate", "verify", "compare", "stress", "finetune"])
def test_what_config_json_holds(tmp_path, capfd, verb, field):
    run = shutil.copytree(GOLDEN, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    forge_config(run, config | {field: HOSTILE})
    (run / "config.json").write_text(json.dumps(config | {field: HOSTILE + HOSTILE}))
    with pytest.raises(SystemExit):
        main([verb, str(run)])
    said = capfd.readouterr()
    assert said.err or said.out
    assert commands(said.out + said.err) == []


def test_what_events_hold(tmp_path, capfd):
    run = shutil.copytree(GOLDEN, tmp_path / "run")
    events = [{"kind": "started", "step": 0, "command": HOSTILE, "time": {"date": HOSTILE}}]
    events += [{"kind": "warning", "step": 0, "message": f"{HOSTILE}<script>"}]
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    main(["report", str(run), "--no-video"])
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "words" in page
    assert "<script>" not in page
    assert commands(page + "".join(capfd.readouterr())) == []


def test_json_is_one_object_in_ascii(tmp_path, capfd):
    run = shutil.copytree(GOLDEN, tmp_path / f"ü{chr(0x202E)}字")
    (run / "checkpoints" / "final-000000060" / "meta.json").write_text("{}")
    with pytest.raises(SystemExit):
        main(["verify", str(run), "--json"])
    answer = capfd.readouterr().out
    assert answer.isascii()
    assert json.loads(answer)["whole"] is False


def test_a_figure_takes_no_text_as_a_formula(tmp_path):
    learning_curve({"a": [{"step": 1, "return": 1.0}], HOSTILE: []}, tmp_path / "curve.png", HOSTILE)
    assert (tmp_path / "curve.png").stat().st_size > 0


def test_the_bar_takes_no_text_as_a_format(capfd):
    with LiveDisplay(f"[link=x]{{task.id}}{HOSTILE}", 10) as display:
        display.start()
        display.show({"step": 10, "return": 1.0, "time": {"steps_per_second": 1.0}})
    said = capfd.readouterr().out
    assert "[link=x]{task.id}" in said
    assert "words" in said


def test_warnings_and_tracebacks(monkeypatch, capfd):
    say(HOSTILE)
    assert commands(capfd.readouterr().err) == []
