"""The log of rows against a plain list: appending, records, going back to a record, dropping what nobody needs."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from entrax.errors import EntraxError
from entrax.runs import transition_log
from entrax.runs.transition_log import TransitionLog, check, read_rows, segment_name

ROW = 3


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(transition_log, "SEGMENT_BYTES", 4 * ROW)


def rows(start, count):
    return b"".join(bytes([i % 251, i % 7, i // 251]) for i in range(start, start + count))


class Model(RuleBasedStateMachine):
    """`kept` is the expected content of the log; each record comes with its content at that time."""

    records = Bundle("records")
    root: Path

    @initialize()
    def begin(self):
        self.folder = Model.root / str(len(list(Model.root.iterdir())))
        self.log, self.kept, self.serial, self.needed = TransitionLog(self.folder, ROW), [], 0, 0

    @rule(count=st.integers(0, 11))
    def append(self, count):
        self.log.append(rows(self.serial, count))
        self.kept += [rows(i, 1) for i in range(self.serial, self.serial + count)]
        self.serial += count

    @rule(target=records, behind=st.integers(0, 9))
    def record(self, behind):
        """A checkpoint with a replay of the last `behind` rows, as far as they are there."""
        window = max(self.needed, self.log.rows - behind)
        return self.log.record(window), list(self.kept)

    @rule(pair=records, garbage=st.binary(max_size=5))
    def go_back(self, pair, garbage):
        """As after a crash: rows, also torn ones, were written after the record."""
        record, kept = pair
        if record["window"] < self.needed or kept != self.kept[: len(kept)]:
            return  # nobody keeps that checkpoint any more
        self.log.close()
        with open(self.folder / segment_name(self.log.rows // 4), "ab") as file:
            file.write(garbage)
        self.log, self.kept = TransitionLog.resume(self.folder, record), list(kept)
        assert b"".join(read_rows(self.folder, record, record["window"], record["rows"])) == b"".join(
            self.kept[record["window"] :]
        )

    @rule(pair=consumes(records))
    def drop(self, pair):
        """This record becomes the oldest that anybody goes back to."""
        record, kept = pair
        if kept == self.kept[: len(kept)]:
            self.needed = max(self.needed, record["window"])
            self.log.drop_before(self.needed)

    @invariant()
    def holds_what_the_list_holds(self):
        record = self.log.record(self.needed)
        check(self.folder, record)
        assert b"".join(read_rows(self.folder, record, self.needed, self.log.rows)) == b"".join(
            self.kept[self.needed :]
        )
        assert self.needed - 4 < self.log.first * 4 or self.log.first == self.log.rows // 4

    def teardown(self):
        self.log.close()


def test_against_a_list(tmp_path):
    Model.root = tmp_path
    run_state_machine_as_test(Model, settings=settings(max_examples=25, stateful_step_count=15, deadline=None))


@pytest.fixture
def log(tmp_path):
    log = TransitionLog(tmp_path / "replay", ROW)
    log.append(rows(0, 10))  # two sealed segments and two rows of the third
    yield log
    log.close()


def test_a_record_costs_the_new_rows_only(log, monkeypatch):
    log.record()
    read = []
    monkeypatch.setattr(transition_log, "open_plain", lambda path: read.append(path))
    log.append(rows(10, 1))
    assert log.record()["rows"] == 11
    assert read == []


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "link"])
def test_a_damaged_segment_is_named_and_nothing_is_cut(log, number, damage):
    record = log.record()
    path = log.folder / segment_name(number)
    data = bytearray(path.read_bytes())
    match damage:
        case "flip":
            data[-1] ^= 1
            path.write_bytes(data)
        case "cut":
            path.write_bytes(data[:-1])
        case "gone":
            path.unlink()
        case "link":
            path.rename(log.folder / "elsewhere")
            os.symlink(log.folder / "elsewhere", path)
    before = {file.name: file.stat().st_size for file in log.folder.iterdir()}
    with pytest.raises(EntraxError, match=segment_name(number)):
        TransitionLog.resume(log.folder, record)
    assert {file.name: file.stat().st_size for file in log.folder.iterdir()} == before


def test_a_full_disk_names_what_did_not_fit(log, monkeypatch):
    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    record = log.record()
    log.close()
    log._file = Full()
    with pytest.raises(EntraxError, match=r"segment-000002 cannot be written \(No space left.*needs 3 bytes"):
        log.append(rows(10, 1))
    again = TransitionLog.resume(log.folder, record)
    assert again.rows == 10
    again.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [("segment_rows", 0), ("row_bytes", -1), ("rows", 10**18), ("rows", "many"), ("sealed", None), ("window", 99)],
)
def test_a_record_that_cannot_be_is_refused(log, name, value):
    with pytest.raises(EntraxError, match="is damaged"):
        TransitionLog.resume(log.folder, log.record() | {name: value})
