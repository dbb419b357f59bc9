"""The display of a run in training: a live panel, or plain lines."""

import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from entrax.errors import plain, show
from entrax.report.results import success_text
from entrax.runs.directory import RunDirectory

if TYPE_CHECKING:
    from rich.live import Live

NUMBERS = ("return", "entropy", "temperature", "q", "critic_loss")


def make_display(title: str, steps: int) -> "Display":
    """Return a live display on a terminal, else one that prints a line for each row."""
    return LiveDisplay(title, steps) if sys.stdout.isatty() else Display(title, steps)


class Display(AbstractContextManager["Display"]):
    """A display of plain lines.

    Args:
        title: what is trained.
        steps: the environment steps of the whole run.
    """

    def __init__(self, title: str, steps: int):
        self.title, self.steps = title, steps

    def start(self) -> None:
        """Announce the run, after its settings were checked."""
        show(f"{self.title}: {self.steps:,} steps; compiling")

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, row: dict[str, Any]) -> None:
        """Show a row of metrics."""
        show(line(row, self.steps))


class LiveDisplay(Display):
    """A bar with the time left, and the newest numbers under it."""

    live: "Live | None" = None

    def start(self) -> None:
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.text import Text

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        self.progress = Progress(TextColumn("{task.description}", markup=False), *columns)
        self.task = self.progress.add_task(plain(self.title), total=self.steps, rate="compiling")
        self.numbers, self.evaluated = Text(""), Text("")
        self.live = Live(Group(self.progress, self.numbers, self.evaluated), refresh_per_second=4)
        self.live.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.__exit__(kind, error, trace)

    def show(self, row: dict[str, Any]) -> None:
        if "evaluation" in row:
            self.evaluated.plain = "  evaluated " + evaluated(row)
            return
        rate = f"{row['time']['steps_per_second']:.0f} steps/s"
        self.progress.update(self.task, completed=min(row["step"], self.steps), rate=rate)
        self.numbers.plain = "  " + numbers(row)


def line(row: Mapping[str, Any], steps: int) -> str:
    """Return a row as a line of text; `steps` is the length of the run."""
    where = f"{row['step']:>9,}/{steps:,}"
    if "evaluation" in row:
        return f"{where}  evaluated {evaluated(row)}"
    rate = row["time"]["steps_per_second"]
    left = (steps - row["step"]) / rate if rate > 0 else 0.0
    return f"{where}  {rate:.0f} steps/s  {duration(left)} left  {numbers(row)}"


def evaluated(row: Mapping[str, Any]) -> str:
    """Return the evaluation of a row as text."""
    result = row["evaluation"]
    success = success_text(result.get("success_rate"))
    return f"at step {row['step']:,}: return {result['mean']:.1f} ± {result['std']:.1f} ({result['policy']}{success})"


def numbers(row: Mapping[str, Any]) -> str:
    """Return the most informative numbers of a row as text."""
    known = [(name, row[name]) for name in NUMBERS if row.get(name) is not None]
    return "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in known)


def duration(seconds: float) -> str:
    """Return a time as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def start_display(
    display: Display, directory: RunDirectory, sentences: Iterable[str], given: Mapping[str, Any]
) -> list[Any]:
    """Start the display of a run, print `sentences`, and return the chosen loggers."""
    display.start()
    for sentence in sentences:
        show(sentence)
    chosen: list[Any] = []
    if given["tensorboard"]:
        from entrax.runs.tensorboard import TensorBoardLogger

        chosen.append(TensorBoardLogger(directory.path / "tensorboard"))
    if given["wandb"] is not None:
        from entrax.runs.wandb import WandbLogger

        chosen.append(WandbLogger(directory, given["wandb"]))
    return chosen
