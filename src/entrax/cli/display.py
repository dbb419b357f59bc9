"""What a user sees while training runs: a live panel on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from entrax.errors import plain, show
from entrax.runs.directory import RunDirectory

if TYPE_CHECKING:
    from rich.live import Live

    from entrax.evaluation.episodes import EvaluationResult

NUMBERS = ("return", "entropy", "temperature", "q", "critic_loss")


def for_output(title: str, steps: int) -> "Display":
    """The display for this output: live on a terminal, else one line a row."""
    return LiveDisplay(title, steps) if sys.stdout.isatty() else Display(title, steps)


class Display(AbstractContextManager["Display"]):
    """Plain lines."""

    def __init__(self, title: str, steps: int):
        self.title, self.steps = title, steps

    def begin(self) -> None:
        """Say what is trained, once it is known that it can be."""
        show(f"{self.title}: {self.steps:,} steps; compiling")

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def tell(self, sentence: str) -> None:
        """Say something once."""
        show(sentence)

    def show(self, row: dict[str, Any]) -> None:
        """Show one metrics row."""
        show(line(row, self.steps))


class LiveDisplay(Display):
    """A bar with the time left, and the last numbers under it."""

    live: "Live | None" = None

    def begin(self) -> None:
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
    """One row as a line of text."""
    where = f"{row['step']:>9,}/{steps:,}"
    if "evaluation" in row:
        return f"{where}  evaluated {evaluated(row)}"
    rate = row["time"]["steps_per_second"]
    left = (steps - row["step"]) / rate if rate > 0 else 0.0
    return f"{where}  {rate:.0f} steps/s  {duration(left)} left  {numbers(row)}"


def evaluated(row: Mapping[str, Any]) -> str:
    """The evaluation of a row."""
    result = row["evaluation"]
    rate = f", {result['success_rate']:.0%} successful" if "success_rate" in result else ""
    return f"at step {row['step']:,}: return {result['mean']:.1f} ± {result['std']:.1f} ({result['policy']}{rate})"


def successes(result: "EvaluationResult") -> str:
    """The share of successful episodes at the end of a line; nothing where the environment does not say."""
    return "" if result.success_rate is None else f", {result.success_rate:.0%} successful"


def numbers(row: Mapping[str, Any]) -> str:
    """The numbers of a row that tell most."""
    there = [(name, row[name]) for name in NUMBERS if row.get(name) is not None]
    return "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in there)


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def loggers(directory: RunDirectory, tensorboard: bool, project: str | None) -> list[Any]:
    """The further places that rows are shown."""
    chosen: list[Any] = []
    if tensorboard:
        from entrax.runs.tensorboard import TensorBoardLogger

        chosen.append(TensorBoardLogger(directory.path / "tensorboard"))
    if project is not None:
        from entrax.runs.wandb import WandbLogger

        chosen.append(WandbLogger(directory, project))
    return chosen
