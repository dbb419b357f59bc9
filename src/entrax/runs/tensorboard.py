"""The TensorBoard logger. TensorBoard is imported only when one is made."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from entrax.errors import EntraxError
from entrax.runs.metrics import scalars
from entrax.runs.records import to_json


class TensorBoardLogger:
    """Writes every number of a row to event files in `folder`, at the row's step."""

    name = "TensorBoard"

    def __init__(self, folder: str | Path) -> None:
        """Start the event file; raise EntraxError if TensorBoard is not installed."""
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise EntraxError("TensorBoard is not installed: run `pip install tensorboard`, or turn it off.") from error
        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        for earlier in Path(folder).glob("events.out.tfevents.*"):
            earlier.unlink()  # of a resumed run, whose rows `begin` writes again
        self._writer = EventFileWriter(str(folder))

    def begin(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows of a resumed run again."""
        for row in rows:
            self.write(row)

    def write(self, row: Mapping[str, Any]) -> None:
        """Log one row."""
        numbers = {name: value for name, value in scalars(to_json(row)).items() if math.isfinite(value)}
        step = int(numbers.pop("step"))
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=self._summary(value=values)))

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()
