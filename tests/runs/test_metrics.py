import struct
import sys
from typing import Any

import pytest

from entrax.errors import EntraxError
from entrax.runs.directory import RunDirectory
from entrax.runs.metrics import MetricsWriter, scalars
from entrax.runs.tensorboard import TensorBoardLogger
from entrax.runs.wandb import WandbLogger

ROW = {
    "step": 7,
    "return": None,
    "critic_loss": 0.5,
    "bad": float("nan"),
    "evaluation": {"mean": 2.0, "returns": [1.0, 3.0], "policy": "mode"},
}


class Listener:
    def __init__(self, name, fails=False):
        self.name, self.fails, self.rows, self.closed = name, fails, [], False

    def begin(self, rows):
        self.rows += rows

    def write(self, row):
        if self.fails:
            raise ConnectionError("the network is gone")
        self.rows.append(row)

    def close(self):
        self.closed = True


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", {})


def test_a_view_that_fails_is_dropped_with_an_event_and_the_rest_goes_on(run):
    good, bad = Listener("good"), Listener("bad", fails=True)
    writer = MetricsWriter(run, [bad, good])
    writer.write({"step": 1})
    writer.write({"step": 2})
    writer.close()
    assert [row["step"] for row in run.metrics()] == [row["step"] for row in good.rows] == [1, 2]
    (event,) = run.events()
    assert event["kind"] == "warning"
    assert event["step"] == 1
    assert "bad was dropped: ConnectionError: the network is gone" in event["message"]
    assert good.closed
    assert not bad.closed


def test_scalars_are_the_numbers_by_path():
    assert scalars({**ROW, "flag": True, "bad": 1}) == {
        "step": 7.0,
        "critic_loss": 0.5,
        "bad": 1.0,
        "evaluation/mean": 2.0,
    }


def test_tensorboard_shows_each_finite_number_at_its_step(tmp_path):
    event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2")
    for row in (ROW | {"step": 99}, ROW):  # the second logger is of the same run, resumed before step 99
        logger = TensorBoardLogger(tmp_path)
        logger.begin([row])
        logger.close()
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    shown: dict[Any, Any] = {}
    while data:  # records are: length, its checksum, the event, its checksum
        (length,) = struct.unpack("<Q", data[:8])
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        shown |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
        data = data[16 + length :]
    assert shown == {(7, "critic_loss"): 0.5, (7, "evaluation/mean"): 2.0}


def test_what_is_not_installed_is_a_sentence(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(EntraxError, match="pip install wandb"):
        WandbLogger(run, project="p")
    with pytest.raises(EntraxError, match="pip install tensorboard"):
        TensorBoardLogger(run.path)
