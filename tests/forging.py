"""A stranger's changes to a run: made so that every hash is right."""

import json
from pathlib import Path
from typing import Any

from entrax.runs.checkpoints import META, STATE, SUMS, available
from entrax.runs.checkpoints import _digest as digest
from entrax.runs.directory import RunDirectory


def forge_config(path: Path, config: dict[str, Any]) -> None:
    """Write config.json, and its hash to every checkpoint."""
    (path / "config.json").write_text(json.dumps(config))
    run = RunDirectory.open(path)
    for name in available(run):
        record = json.loads((run.checkpoints / name / META).read_text())
        record["meta"]["config"] = run.config_digest()
        forge_meta(run.checkpoints / name, record)


def forge_meta(checkpoint: Path, record: Any) -> None:
    """Write a checkpoint's meta.json, and its hash."""
    (checkpoint / META).write_text(json.dumps(record))
    forge_sums(checkpoint)


def forge_sums(checkpoint: Path) -> None:
    """Write the hashes of a checkpoint's files."""
    (checkpoint / SUMS).write_text("".join(f"{digest(checkpoint / file)}  {file}\n" for file in (META, STATE)))
