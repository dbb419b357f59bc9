"""The Weights & Biases logger. The package is imported only when one is made."""

from collections.abc import Mapping, Sequence
from typing import Any

from entrax.errors import EntraxError
from entrax.runs.directory import RunDirectory
from entrax.runs.metrics import scalars
from entrax.runs.records import to_json


class WandbLogger:
    """Logs every number of a row at the row's step.

    The Weights & Biases run has the name of the run's directory.
    """

    name = "Weights & Biases"

    def __init__(self, run: RunDirectory, project: str) -> None:
        """Start a Weights & Biases run; raise EntraxError if that fails or the package is not installed."""
        try:
            import wandb
        except ImportError as error:
            raise EntraxError("Weights & Biases is not installed: run `pip install wandb`, or turn it off.") from error
        try:
            self._run = wandb.init(project=project, name=run.path.name, config=run.config, dir=str(run.path))
        except Exception as error:
            raise EntraxError(f"Weights & Biases could not start a run: {error}") from error

    def begin(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log the rows of a resumed run, in a new Weights & Biases run."""
        for row in rows:
            self.write(row)

    def write(self, row: Mapping[str, Any]) -> None:
        """Log one row."""
        numbers = scalars(to_json(row))
        self._run.log(numbers, step=int(numbers.pop("step")))

    def close(self) -> None:
        """Finish the Weights & Biases run."""
        self._run.finish()
