"""The directory of a run, which has one seed.

    config.json      the resolved configuration, with versions
    metrics.jsonl    one row at each reported step count, the source of every figure
    events.jsonl     resumes, faults and warnings
    checkpoints/     see `entrax.runs.checkpoints`

One process writes to a run; any number of others can read it at the same time.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrax.errors import EntraxError, FileFault, UsageError
from entrax.runs.records import (
    append_line,
    cut_log,
    dumps,
    log_is_whole,
    log_record,
    publish_json,
    read_json,
    read_lines,
    salvage_log,
    to_json,
)
from entrax.runs.schema import CONFIG, EVENT, METRICS, checked
from entrax.spec import Spec, spec_from_json

FORMAT = 2
"""1: without a transition log, cannot be resumed; 2: the current format."""


@dataclass(frozen=True)
class RunDirectory:
    """A run on disk, made by `create` or `open`.

    `config` is the content of config.json.
    """

    path: Path
    config: dict[str, Any]

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any], *, again: bool = False) -> "RunDirectory":
        """Create a run in a directory that is empty or does not exist yet.

        Args:
            path: the directory.
            config: the content of config.json, without the format number.
            again: remove what a process left that was killed in this function.

        Raises:
            UsageError: if the directory is not empty.
            FileFault: if the directory cannot be written.
        """
        path = Path(path).absolute()  # environments may change the working directory
        try:
            path.mkdir(parents=True, exist_ok=True)
            if again and not (path / "config.json").exists():
                _clear_partial_run(path)
            if any(path.iterdir()):
                raise UsageError(f"{path} is not empty. Give `run` a directory that does not exist yet.")
            # If two processes both find it empty, only one of them makes this directory and owns the run.
            (path / "checkpoints").mkdir()
            publish_json(path / "config.json", {"format": FORMAT, **config})
        except FileExistsError as error:
            raise UsageError(f"{path} is in use. Give `run` a directory that does not exist yet.") from error
        except OSError as error:
            raise FileFault(
                f"The run directory {path} cannot be written ({error.strerror}). Choose another with `run`."
            ) from error
        return cls(path=path, config=to_json({"format": FORMAT, **config}))

    @classmethod
    def open(cls, path: str | Path, *, control: bool = False) -> "RunDirectory":
        """Open the run in `path`.

        Args:
            path: the directory.
            control: whether a run of `entrax control` is expected, which trains no policy and has no checkpoints.

        Raises:
            UsageError: if there is no run, or one of the other kind.
            EntraxError: if config.json is damaged or its format is newer than this version.
        """
        if not isinstance(path, str | Path):
            raise UsageError(f"A run is named by the path of its directory, got {path!r}.")
        path = Path(path).absolute()
        if not path.is_dir():
            raise UsageError(f"{path} is not a run: there is no such directory.")
        if not (path / "config.json").is_file():
            raise UsageError(f"{path} is not a run: it has no config.json.")
        _refuse_links(path)
        config = read_json(path / "config.json", CONFIG)
        check_format(config, path / "config.json", FORMAT)
        if ("control" in config) != control:
            other = "control`, which trains no policy" if "control" in config else "train`, not of `entrax control`"
            raise UsageError(f"{path} is a run of `entrax {other}.")
        return cls(path=path, config=config)

    @staticmethod
    def unused_path(root: str | Path, stem: str) -> Path:
        """Make a new directory `root/<stem>_<n>` with the lowest free n from 1 on.

        Making it reserves it: no two processes get the same one. Raises FileFault if it cannot be made.
        """
        root = Path(root).absolute()
        stem = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in stem)
        number = 1
        try:
            root.mkdir(parents=True, exist_ok=True)
            while True:
                path = root / f"{stem}_{number}"
                try:
                    path.mkdir()
                    return path
                except FileExistsError:
                    number += 1
        except OSError as error:
            raise FileFault(
                f"No run directory can be made in {root} ({error.strerror}). Choose one with `run`."
            ) from error

    @property
    def spec(self) -> Spec:
        """The spec of the environment. Raises EntraxError if it is damaged in config.json."""
        try:
            return spec_from_json(self.config["spec"])
        except (TypeError, ValueError) as error:
            raise EntraxError(f"{self.path / 'config.json'} is damaged: spec: {error}.") from error

    @property
    def checkpoints(self) -> Path:
        """The directory of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def figure(self) -> Path:
        """The file of the learning curve."""
        return self.path / "learning_curve.png"

    @property
    def video(self) -> Path:
        """The file of the film of the policy."""
        return self.path / "video.mp4"

    @property
    def report(self) -> Path:
        """The file of the report."""
        return self.path / "report.html"

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Append one row to metrics.jsonl; numbers that are not finite become null."""
        append_line(self.path / "metrics.jsonl", row)

    def metrics_record(self) -> dict[str, Any]:
        """Flush metrics.jsonl to the disk and return its length and SHA-256."""
        return log_record(self.path / "metrics.jsonl")

    def check_metrics(self, record: Mapping[str, Any], checkpoint: str) -> None:
        """Raise EntraxError if the rows of metrics.jsonl before `record` have changed.

        `record` is that of the checkpoint.
        """
        path = self.path / "metrics.jsonl"
        if not log_is_whole(path, record):
            raise EntraxError(f"{path} is damaged: its rows have changed since {checkpoint} was saved.")

    def cut_metrics(self, record: Mapping[str, Any]) -> None:
        """Remove the rows after `record`."""
        cut_log(self.path / "metrics.jsonl", record)

    def salvage_metrics(self, step: int) -> int:
        """Keep the readable rows of metrics.jsonl up to `step`; return their number."""

        def belongs(row: Mapping[str, Any]) -> bool:
            return row.get("step", step + 1) <= step

        return salvage_log(self.path / "metrics.jsonl", METRICS, belongs)

    def salvage_events(self) -> None:
        """Keep the readable rows of events.jsonl."""
        salvage_log(self.path / "events.jsonl", EVENT, lambda row: True)

    def config_digest(self) -> str:
        """Return the SHA-256 of the configuration without `steps` and `device`.

        A resumed run can change these two.
        """
        training = {k: v for k, v in self.config["training"].items() if k not in ("steps", "device")}
        return hashlib.sha256(dumps(self.config | {"training": training}).encode()).hexdigest()

    def with_training(self, **settings: Any) -> "RunDirectory":
        """Return the run with other settings under `training`.

        `publish_config` writes them.
        """
        config = self.config | {"training": self.config["training"] | settings}
        return RunDirectory(path=self.path, config=checked(to_json(config), CONFIG, self.path / "config.json"))

    def publish_config(self) -> None:
        """Write the configuration to config.json, if it has changed."""
        if self.config != RunDirectory.open(self.path).config:
            publish_json(self.path / "config.json", self.config)

    def append_event(self, row: Mapping[str, Any]) -> None:
        """Append one row to events.jsonl.

        A row is like {"kind": "warning", "step": 0, "message": "…"}.
        """
        append_line(self.path / "events.jsonl", row)

    def metrics(self) -> list[dict[str, Any]]:
        """Return all rows of metrics.jsonl, oldest first."""
        return read_lines(self.path / "metrics.jsonl", METRICS)

    def events(self) -> list[dict[str, Any]]:
        """Return all rows of events.jsonl, oldest first."""
        return read_lines(self.path / "events.jsonl", EVENT)


def _refuse_links(path: Path) -> None:
    """Raise EntraxError for a link: in a run from a stranger it could lead writes elsewhere."""
    inside = [path / name for name in ("checkpoints", "replay", "faults", "episodes")]
    for entry in [*path.iterdir(), *(entry for folder in inside if folder.is_dir() for entry in folder.iterdir())]:
        if entry.is_symlink():
            raise EntraxError(f"{entry} is a link. A run's files must be in its own directory.")


def _clear_partial_run(path: Path) -> None:
    """Remove the files that `create` makes before it publishes config.json."""
    for partial in path.glob(".config.json.*.partial"):
        partial.unlink()
    if (path / "checkpoints").is_dir() and not any((path / "checkpoints").iterdir()):
        (path / "checkpoints").rmdir()


def check_format(record: Mapping[str, Any], path: Path, known: int) -> None:
    """Raise EntraxError if the format of a record is missing or newer than `known`."""
    version = record.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise EntraxError(f"{path} is damaged: its format must be an integer of at least 1, got {version!r}.")
    if version > known:
        raise EntraxError(
            f"{path} has format {version}, and this version of entrax reads formats up to {known}. Install a newer one."
        )
