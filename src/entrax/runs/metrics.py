"""Metrics on their way to disk: metrics.jsonl is the truth, TensorBoard and Weights & Biases are loggers of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from entrax.runs.directory import RunDirectory


@runtime_checkable
class Logger(Protocol):
    """Something that shows metrics rows as they come."""

    name: str

    def begin(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show the rows of a run that is taken up again, and nothing else that was shown of it before."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Show one row."""

    def close(self) -> None:
        """Finish showing."""


class MetricsWriter:
    """Writes each row to the run and hands it on to the loggers. A view that fails is dropped; the run goes on."""

    def __init__(self, run: RunDirectory, loggers: Sequence[Logger] = ()) -> None:
        self.run = run
        self.loggers = list(loggers)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append `row` to metrics.jsonl and show it in every view."""
        self.run.append_metrics(row)
        for view in list(self.loggers):
            try:
                view.write(row)
            except Exception as error:  # a network or a full disk elsewhere is no reason to lose the training
                self._drop(view, error, row.get("step"))

    def close(self) -> None:
        """Close the loggers."""
        for view in list(self.loggers):
            try:
                view.close()
            except Exception as error:
                self._drop(view, error, None)
        self.loggers = []

    def _drop(self, view: Logger, error: Exception, step: int | None) -> None:
        self.loggers.remove(view)
        message = f"{view.name} shows nothing from here on: {type(error).__name__}: {error}"
        self.run.append_event({"kind": "warning", "step": step, "message": message})


def scalars(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a row by their slash-separated names ("evaluation/mean"); lists, texts and nulls are left out."""
    numbers: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            numbers |= scalars(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[prefix + key] = float(value)
    return numbers
