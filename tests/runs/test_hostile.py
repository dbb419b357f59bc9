"""Files of a run that hold what they should not: each reader works, or names the file in one sentence."""

import contextlib
import dataclasses
import json
import os
import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import entrax
from entrax.cli.compare import read_evaluations
from entrax.errors import EntraxError
from entrax.report.html import write_report
from entrax.runs import checkpoints, schema
from entrax.runs.audit import fingerprint, verify
from entrax.runs.checkpoints import META, STATE, SUMS
from entrax.runs.directory import RunDirectory
from entrax.runs.records import LARGEST_JSON, append_line, read_lines, salvage_log
from entrax.training.options import TrainingOptions
from tests.forging import forge_config, forge_meta, forge_sums

SMALL: dict[str, Any] = {
    "agent": "sac",
    "steps": 24,
    "hidden": (8, 8),
    "batch_size": 8,
    "learning_starts": 8,
    "chunk": 4,
    "workers": 0,
}
SMALL |= {"eval_every": 12, "eval_episodes": 1, "checkpoint_every": 8, "log_every": 4, "envs": 2}
DEEP = json.loads("[" * 200 + "]" * 200)
VALUES = [None, True, -1, 0, 2**62, 10**400, 0.5, -1e308, "", "x", "\x1b[2J\ud800", [], {}, [[]], {"a": 1}, DEEP]
GONE = object()
"""In the place of a value: the value is missing."""
CONFIG, METRICS, EVENTS = "config.json", "metrics.jsonl", "events.jsonl"
FILES = (CONFIG, CONFIG, META, METRICS, EVENTS)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A run that was resumed and fine-tuned, so that its files hold all there is; without what a report is made of."""
    place = tmp_path_factory.mktemp("hostile")
    entrax.train("Pendulum-v1", run=place / "first", **SMALL)
    entrax.finetune(place / "first", steps=24, run=place / "run", keep_replay=True, workers=0, eval_episodes=1)
    run = RunDirectory.open(place / "run")
    result = entrax.load(run.path).evaluate(1, workers=0).to_json()
    run.append_event({"kind": "evaluation", "step": 24, "which": "mode", "checkpoint": "final"} | result)
    run.append_event({"kind": "warning", "step": None, "message": "slow"})
    return run.path


@pytest.fixture
def copy(original, tmp_path):
    """Copies of the run, each in the place of the one before."""

    def fresh() -> Path:
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return shutil.copytree(original, tmp_path / "run")

    return fresh


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The paths of all values within JSON data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in items for place in places(part, (*path, key)))]


def replaced(value: Any, path: tuple, new: Any) -> Any:
    """JSON data with another value at a place, or with none."""
    if not path:
        return {} if new is GONE else new
    part = value.copy()
    if new is GONE and len(path) == 1:
        del part[path[0]]
    else:
        part[path[0]] = replaced(value[path[0]], path[1:], new)
    return part


def meta_of(run: Path) -> Path:
    return run / "checkpoints" / checkpoints.resolve(RunDirectory.open(run), "final") / META


def forged(run: Path, file: str, number: int, new: Any) -> tuple:
    """Put `new` at a place of a file, and make the hashes fit as far as they can; the place."""
    target = meta_of(run) if file == META else run / file
    text = target.read_text()
    record = json.loads(text) if file in (CONFIG, META) else [json.loads(line) for line in text.splitlines()]
    path = places(record)[number % len(places(record))]
    record = replaced(record, path, new)
    if file == META:
        forge_meta(target.parent, record)
    elif file == CONFIG:
        with contextlib.suppress(EntraxError, TypeError, AttributeError, KeyError):  # it has no digest then
            forge_config(run, record)
    else:
        target.write_text("".join(json.dumps(line) + "\n" for line in record) if isinstance(record, list) else "x")
    return path


READERS = {
    "evaluate": lambda run: entrax.load(run).evaluate(1, workers=0),
    "verify": lambda run: verify(RunDirectory.open(run)),
    "fingerprint": lambda run: fingerprint(RunDirectory.open(run), "final"),
    "report": lambda run: write_report(RunDirectory.open(run)),
    "compare": lambda run: read_evaluations(str(run)),
    "data": lambda run: entrax.transitions(run),
    "resume": lambda run: entrax.resume(run, steps=25),
    "finetune": lambda run: entrax.finetune(run, steps=4, run=run.with_name("tuned"), eval_every=0, workers=0),
}


NAMING = ("config.json", "This run's", "The environment's argument", "Environment ", "Agent ")


def works_or_names(run: Path, read: Callable[[Path], Any]) -> None:
    """Call a reader, which either works or raises one sentence about a file of the run or its environment."""
    shutil.rmtree(run.with_name("tuned"), ignore_errors=True)
    problem = None
    try:
        read(run)
    except EntraxError as error:
        problem = str(error)
    if problem is not None:
        assert "\n" not in problem
        assert len(problem) < 5000
        assert str(run) in problem or any(words in problem for words in NAMING), problem


def forge_everywhere(copy, verb, examples):
    @settings(max_examples=examples)
    @given(st.sampled_from(FILES), st.integers(0, 10_000), st.sampled_from([*VALUES, GONE]))
    def everywhere(file, number, new):
        run = copy()
        forged(run, file, number, new)
        works_or_names(run, READERS[verb])

    everywhere()


@pytest.mark.parametrize("verb", READERS)
def test_a_value_of_any_kind_in_any_place(copy, verb):
    forge_everywhere(copy, verb, 4)


@pytest.mark.long
@pytest.mark.parametrize("verb", READERS)
def test_many_values_in_many_places(copy, verb):
    forge_everywhere(copy, verb, 400)


def test_a_field_of_another_type_is_named_with_its_file(copy):
    for file, path, words in [
        (CONFIG, ("training", "steps"), "training.steps must be an integer"),
        (CONFIG, ("spec", "observation"), "spec.observation must be a list"),
        (META, ("meta", "replay", "rows"), "meta.replay.rows must be an integer"),
    ]:
        run = copy()
        target = run / CONFIG if file == CONFIG else meta_of(run)
        record = replaced(json.loads(target.read_text()), path, "x")
        (run / CONFIG).write_text(json.dumps(record)) if file == CONFIG else forge_meta(target.parent, record)
        with pytest.raises(EntraxError) as refused:
            entrax.load(run)
        assert str(target) in str(refused.value)
        assert words in str(refused.value)


TEXTS = {
    "empty": b"",
    "of zeros": bytes(1000),
    "not UTF-8": b'{"a": "\xff"}\n',
    "a list": b"[]\n",
    "nested": b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n",
    "not a number": b'{"step": NaN}\n',
    "infinite": b'{"step": 1e999}\n',
    "of many digits": b'{"step": ' + b"9" * 100_000 + b"}\n",
    "twice the same": b'{"step": 1, "step": 2}\n',
    "cut": b'{"step": 1\n{',
}


def spoiled(path: Path, how: str) -> None:
    """Put something else where a file is."""
    path.unlink()
    if how == "a directory":
        path.mkdir()
    elif how == "a FIFO":
        os.mkfifo(path)
    elif how == "a link":
        path.symlink_to("/dev/zero")
    elif how in TEXTS:
        path.write_bytes(TEXTS[how])


@pytest.mark.parametrize("how", [*TEXTS, "a directory", "a FIFO", "a link", "missing"])
def test_what_is_no_such_file(copy, how):
    """None hangs, either: the limit of the suite would tell."""
    folder = f"checkpoints/{meta_of(copy()).parent.name}"
    for file, verb in [
        (CONFIG, "verify"),
        (METRICS, "compare"),
        (METRICS, "report"),
        (EVENTS, "report"),
        ("start.safetensors", "verify"),
        ("replay/segment-000000", "resume"),
        (f"{folder}/{META}", "fingerprint"),
        (f"{folder}/{STATE}", "evaluate"),
        (f"{folder}/{SUMS}", "evaluate"),
    ]:
        run = copy()
        spoiled(run / file, how)
        if file.endswith((META, STATE)) and (run / file).is_file():
            forge_sums((run / file).parent)
        works_or_names(run, READERS[verb])


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and its arrays."""
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header: Any, arrays: bytes, size: int | None = None) -> bytes:
    """A safetensors file, which may give another size of its header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + arrays


@pytest.mark.parametrize(
    "verb", ["evaluate", pytest.param("resume", marks=pytest.mark.long), "fingerprint", "finetune", "data"]
)
def test_a_header_of_any_kind(copy, verb):
    @settings(max_examples=4)
    @given(st.integers(0, 10_000), st.sampled_from([*VALUES, GONE, "BF16", "F8_E4M3", "F64", [0, 2**63], [1, 1]]))
    def everywhere(number, new):
        run = copy()
        state = meta_of(run).with_name(STATE)
        header, arrays = header_of(state.read_bytes())
        state.write_bytes(joined(replaced(header, places(header)[number % len(places(header))], new), arrays))
        forge_sums(state.parent)
        works_or_names(run, READERS[verb])

    everywhere()


@pytest.mark.parametrize("size", [0, 1, 10**6, 2**40, 2**63, 2**64 - 1])
def test_a_header_of_another_size(copy, size):
    run = copy()
    state = meta_of(run).with_name(STATE)
    state.write_bytes(joined(*header_of(state.read_bytes()), size))
    forge_sums(state.parent)
    with pytest.raises(EntraxError, match=str(state)):
        entrax.load(run)


@pytest.mark.parametrize("verb", ["evaluate", pytest.param("resume", marks=pytest.mark.long), "finetune"])
def test_arrays_of_another_form(copy, verb):
    state = meta_of(copy()).with_name(STATE)
    names = sorted(load_file(state))
    others = [None, np.zeros(()), np.zeros((3, 5)), np.zeros(0), np.array(7, np.uint8), np.full((2, 3), np.nan)]

    @settings(max_examples=4)
    @given(st.sampled_from(names), st.sampled_from(range(len(others))))
    def everywhere(name, number):
        run, new = copy(), others[number]
        arrays = load_file(state) | ({} if new is None else {name: new})
        save_file({key: array for key, array in arrays.items() if new is not None or key != name}, state)
        forge_sums(state.parent)
        works_or_names(run, READERS[verb])

    everywhere()


@pytest.mark.parametrize("verb", ["evaluate", "finetune", "data"])
def test_numbers_that_are_not_finite_are_damage(copy, verb):
    run = copy()
    state = meta_of(run).with_name(STATE)
    arrays = load_file(state)
    for name in ("policy/network/layers/0/weight", "state/params/policy/network/layers/0/weight"):
        arrays[name] = np.full_like(arrays[name], np.nan)
    save_file(arrays, state)
    forge_sums(state.parent)
    assert any("is not finite" in str(finding.damage) for finding in verify(RunDirectory.open(run)))
    with pytest.raises(EntraxError, match=rf"final-\d+ of {run} is damaged: .*weight is not finite"):
        READERS[verb](run)


@pytest.mark.parametrize("hidden", [[300_000, 300_000], [4_000_000, 4_000_000], [2**40], [2**62, 2**62]])
@pytest.mark.parametrize("verb", ["evaluate", "resume", "finetune"])
def test_networks_that_are_too_large_are_not_made(copy, verb, hidden):
    run = copy()
    config = json.loads((run / CONFIG).read_text())
    forge_config(run, replaced(config, ("agent_config", "hidden"), hidden))
    with pytest.raises(EntraxError, match=r"needed|GB|too large|damaged"):
        READERS[verb](run)


HOLE = 4 * LARGEST_JSON
"""Bytes of a hole, which takes no room on the disk."""


def with_hole(path: Path, before: bytes, after: bytes = b"") -> None:
    path.write_bytes(before)
    with path.open("r+b") as file:
        file.truncate(len(before) + HOLE)
        file.seek(0, os.SEEK_END)
        file.write(after)


def peak_of(act: Callable[[], Any]) -> int:
    """The peak of allocated bytes."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_line_without_end_is_not_read_whole(tmp_path):
    log = tmp_path / METRICS

    def refused():
        with pytest.raises(EntraxError, match=rf"Line 2 of {log} is damaged: it is longer"):
            read_lines(log)

    with_hole(log, b"{}\n", b"\n{}\n")
    assert peak_of(refused) < HOLE
    assert peak_of(lambda: salvage_log(log, {}, lambda row: True)) < HOLE
    assert read_lines(log) == [{}, {}]
    with_hole(log, b"{}\n")  # a line that was cut short is dropped
    assert read_lines(log) == [{}]
    assert peak_of(lambda: append_line(log, {"a": 1})) < LARGEST_JSON
    assert read_lines(log) == [{}, {"a": 1}]


def test_a_file_without_end_is_not_read_whole(copy):
    run = copy()
    with_hole(run / CONFIG, b"{}")

    def refused():
        with pytest.raises(EntraxError, match=r"config\.json is damaged: it is larger"):
            entrax.load(run)

    assert peak_of(refused) < HOLE


NEVER = 10**10
"""A number of steps that a user may give to say never."""


def test_options_that_training_takes_can_be_read_again():
    never = ("learning_starts", "log_every", "eval_every", "checkpoint_every", "max_episode_steps")
    given: dict[str, Any] = dict.fromkeys(never, NEVER)
    options = dataclasses.asdict(TrainingOptions(**given))
    assert schema.checked(options, schema.TRAINING, CONFIG) == options
    with pytest.raises(EntraxError, match="at most"):
        TrainingOptions(steps=2**31)


def test_every_training_option_has_a_form():
    assert schema.TRAINING.keys() == {option.name for option in dataclasses.fields(TrainingOptions)}
