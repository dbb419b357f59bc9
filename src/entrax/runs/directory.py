"""A run: one seed and one directory that explains itself.

    config.json      the resolved configuration, with versions
    metrics.jsonl    one row at each reported step count: the truth that every figure is drawn from
    events.jsonl     resumes, faults and warnings
    checkpoints/     see `entrax.runs.checkpoint`

One process writes to a run; any number may read it meanwhile.
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
"""1: no replay log, and checkpoints that cannot be resumed from; 2: the present one."""


@dataclass(frozen=True)
class RunDirectory:
    """A run on disk. Build one with `create` or `open`; `config` is what config.json holds."""

    path: Path
    config: dict[str, Any]

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any], *, again: bool = False) -> "RunDirectory":
        """Start a run in `path`, which must be empty or not exist yet, and write its configuration.

        With `again`, what a process that was killed right here left behind is no hindrance. Raises EntraxError when
        the directory holds something already or cannot be written.
        """
        path = Path(path).absolute()  # environments may change the working directory
        try:
            path.mkdir(parents=True, exist_ok=True)
            if again and not (path / "config.json").exists():
                _clear_beginnings(path)
            if any(path.iterdir()):
                raise UsageError(f"{path} is not empty; give `run` a directory that does not exist yet.")
            # Of two processes that both found it empty, only one makes this directory: the run is the one's who did.
            (path / "checkpoints").mkdir()
            publish_json(path / "config.json", {"format": FORMAT, **config})
        except FileExistsError as error:
            raise UsageError(f"{path} is taken already; give `run` a directory that does not exist yet.") from error
        except OSError as error:
            raise FileFault(
                f"The run directory {path} cannot be written ({error.strerror}); choose another with `run`."
            ) from error
        return cls(path=path, config=to_json({"format": FORMAT, **config}))

    @classmethod
    def open(cls, path: str | Path) -> "RunDirectory":
        """The run in `path`. Raises EntraxError when there is none, or one of a format this version cannot read."""
        path = Path(path).absolute()
        if not path.is_dir():
            raise UsageError(f"There is no run at {path}: no such directory.")
        if not (path / "config.json").is_file():
            raise UsageError(f"{path} is not a run: it holds no config.json.")
        _refuse_links(path)
        config = read_json(path / "config.json", CONFIG)
        check_format(config, path / "config.json", FORMAT)
        return cls(path=path, config=config)

    @staticmethod
    def unused_path(root: str | Path, stem: str) -> Path:
        """A new, empty directory `root/<stem>_<n>` with the lowest free n from 1 on.

        It is made before it is returned, so that no two processes are ever given the same one.
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
                f"No run directory can be made in {root} ({error.strerror}); choose one with `run`."
            ) from error

    @property
    def spec(self) -> Spec:
        """What the environment was like. Raises EntraxError when config.json does not say it."""
        try:
            return spec_from_json(self.config["spec"])
        except (TypeError, ValueError) as error:
            raise EntraxError(f"{self.path / 'config.json'} is damaged: spec: {error}.") from error

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.path / "checkpoints"

    @property
    def figure(self) -> Path:
        """Where the learning curve belongs."""
        return self.path / "learning_curve.png"

    @property
    def video(self) -> Path:
        """Where the film of the policy belongs."""
        return self.path / "video.mp4"

    @property
    def report(self) -> Path:
        """Where the report belongs."""
        return self.path / "report.html"

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one row to metrics.jsonl; numbers that are not finite become null."""
        append_line(self.path / "metrics.jsonl", row)

    def metrics_record(self) -> dict[str, Any]:
        """Flush metrics.jsonl to the disk; its length and SHA-256, for a checkpoint."""
        return log_record(self.path / "metrics.jsonl")

    def check_metrics(self, record: Mapping[str, Any], checkpoint: str) -> None:
        """Raises EntraxError unless metrics.jsonl still begins as it did at `record`, which `checkpoint` holds."""
        path = self.path / "metrics.jsonl"
        if not log_is_whole(path, record):
            raise EntraxError(f"{path} is damaged: it does not begin as it did when {checkpoint} was saved.")

    def cut_metrics(self, record: Mapping[str, Any]) -> None:
        """Drop the rows that came after `record`."""
        cut_log(self.path / "metrics.jsonl", record)

    def salvage_metrics(self, step: int) -> int:
        """Keep the rows of a damaged metrics.jsonl up to `step` that can be read; how many there are."""

        def belongs(row: Mapping[str, Any]) -> bool:
            return row.get("step", step + 1) <= step

        return salvage_log(self.path / "metrics.jsonl", METRICS, belongs)

    def salvage_events(self) -> None:
        """Keep the rows of events.jsonl that can be read."""
        salvage_log(self.path / "events.jsonl", EVENT, lambda row: True)

    def config_digest(self) -> str:
        """SHA-256 of the configuration, without the two settings that a resumed run may change."""
        training = {k: v for k, v in self.config["training"].items() if k not in ("steps", "device")}
        return hashlib.sha256(dumps(self.config | {"training": training}).encode()).hexdigest()

    def with_training(self, **settings: Any) -> "RunDirectory":
        """The run with other settings under `training`, which `publish_config` writes."""
        config = self.config | {"training": self.config["training"] | settings}
        return RunDirectory(path=self.path, config=checked(to_json(config), CONFIG, self.path / "config.json"))

    def publish_config(self) -> None:
        """Write the configuration to config.json, if it is another."""
        if self.config != RunDirectory.open(self.path).config:
            publish_json(self.path / "config.json", self.config)

    def append_event(self, row: Mapping[str, Any]) -> None:
        """Add one row to events.jsonl, such as {"kind": "warning", "step": 0, "message": "…"}."""
        append_line(self.path / "events.jsonl", row)

    def metrics(self) -> list[dict[str, Any]]:
        """All rows of metrics.jsonl, oldest first."""
        return read_lines(self.path / "metrics.jsonl", METRICS)

    def events(self) -> list[dict[str, Any]]:
        """All rows of events.jsonl, oldest first."""
        return read_lines(self.path / "events.jsonl", EVENT)


def _refuse_links(path: Path) -> None:
    """A run may come from a stranger: what is written to it must not end up elsewhere."""
    inside = [path / name for name in ("checkpoints", "replay", "faults")]
    for entry in [*path.iterdir(), *(entry for folder in inside if folder.is_dir() for entry in folder.iterdir())]:
        if entry.is_symlink():
            raise EntraxError(f"{entry} is a link; a run's files must lie in its own directory.")


def _clear_beginnings(path: Path) -> None:
    """Remove what `create` makes before it publishes config.json."""
    for partial in path.glob(".config.json.*.partial"):
        partial.unlink()
    if (path / "checkpoints").is_dir() and not any((path / "checkpoints").iterdir()):
        (path / "checkpoints").rmdir()


def check_format(record: Mapping[str, Any], path: Path, known: int) -> None:
    """Refuse, by EntraxError, a record of a format that is newer than `known` or that is none."""
    version = record.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise EntraxError(f"{path} is damaged: its format should be a number from 1 on, not {version!r}.")
    if version > known:
        raise EntraxError(
            f"{path} has format {version}, and this entrax reads formats up to {known}: install a newer one."
        )
