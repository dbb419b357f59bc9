import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrax.errors import EntraxError
from entrax.runs.records import append_line, dumps, publish_bytes, publish_json, read_json, read_lines

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def strict(text):
    """Parsed as the standard has it: Python's own reader would accept NaN and Infinity."""

    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def without_nonfinite(value):
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [without_nonfinite(item) for item in value]
    if isinstance(value, dict):
        return {key: without_nonfinite(item) for key, item in value.items()}
    return value


@given(json_values)
def test_anything_is_written_as_strict_json_and_nonfinite_numbers_as_null(value):
    assert strict(dumps(value)) == without_nonfinite(value)


def test_arrays_and_numpy_numbers_become_plain_numbers():
    row = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": np.array(np.nan), "d": np.bool_(True), "e": (np.inf, 1)}
    assert strict(dumps(row)) == {"a": 0.5, "b": [1, 2], "c": None, "d": True, "e": [None, 1]}


@pytest.mark.parametrize("value", [{"a": {1, 2}}, {1: "a"}, object()])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(TypeError):
        dumps(value)


def test_a_line_cut_short_is_not_read_and_is_dropped_by_the_next(tmp_path):
    log = tmp_path / "log.jsonl"
    append_line(log, {"step": 1})
    with open(log, "ab") as file:
        file.write(b'{"step": 2, "ret')
    assert read_lines(log) == [{"step": 1}]
    append_line(log, {"step": 3, "text": "zwei\nZeilen"})
    assert read_lines(log) == [{"step": 1}, {"step": 3, "text": "zwei\nZeilen"}]
    assert log.read_bytes().count(b"\n") == 2


def test_a_log_that_begins_with_a_torn_line_is_empty(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"st')
    append_line(log, {"step": 0})
    assert read_lines(log) == [{"step": 0}]


@pytest.mark.parametrize("damaged", [b"{}\nnot json\n", b"{}\n[1]\n", b"{}\n\xff\n"])
def test_a_damaged_line_is_named(tmp_path, damaged):
    log = tmp_path / "log.jsonl"
    log.write_bytes(damaged)
    with pytest.raises(EntraxError, match=r"Line 2 of .*log\.jsonl is damaged"):
        read_lines(log)


def test_publishing_replaces_the_file_whole_and_leaves_nothing_else(tmp_path):
    publish_json(tmp_path / "a.json", {"long": "x" * 1000})
    publish_json(tmp_path / "a.json", {"b": 2})
    assert read_json(tmp_path / "a.json") == {"b": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("damaged", ["", "{", "[1, 2]", "3"])
def test_a_damaged_file_is_named(tmp_path, damaged):
    (tmp_path / "a.json").write_text(damaged)
    with pytest.raises(EntraxError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json")


def test_what_a_killed_process_left_of_a_file_goes_when_it_is_published(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    gone = tmp_path / f".report.html.{int(done.stdout)}.partial"
    running = tmp_path / f".report.html.{os.getppid()}.partial"
    for path in (gone, running):
        path.write_text("half")
    publish_bytes(tmp_path / "report.html", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([running.name, "report.html"])
