"""Metrics rows: written to metrics.jsonl, and shown by loggers such as TensorBoard and Weights & Biases."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from entrax.runs.directory import RunDirectory


@runtime_checkable
class Logger(Protocol):
    """A further place for metrics rows."""

    name: str

    def begin(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace what was logged before by the rows of a resumed run."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Log one row."""

    def close(self) -> None:
        """Finish logging."""


class MetricsWriter:
    """Writes each row to the run and to the loggers.

    A logger that fails is dropped; training continues.
    """

    def __init__(self, run: RunDirectory, loggers: Sequence[Logger] = ()) -> None:
        self.run = run
        self.loggers = list(loggers)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append `row` to metrics.jsonl and pass it to every logger."""
        self.run.append_metrics(row)
        for logger in list(self.loggers):
            try:
                logger.write(row)
            except Exception as error:  # a logger must not end the training
                self._drop(logger, error, row.get("step"))

    def close(self) -> None:
        """Close the loggers."""
        for logger in list(self.loggers):
            try:
                logger.close()
            except Exception as error:
                self._drop(logger, error, None)
        self.loggers = []

    def _drop(self, logger: Logger, error: Exception, step: int | None) -> None:
        self.loggers.remove(logger)
        message = f"{logger.name} was dropped: {type(error).__name__}: {error}"
        self.run.append_event({"kind": "warning", "step": step, "message": message})


def scalars(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of a row by slash-separated names ("evaluation/mean").

    Lists, texts and nulls are left out.
    """
    numbers: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            numbers |= scalars(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[prefix + key] = float(value)
    return numbers
