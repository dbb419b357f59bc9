"""The file that a run with an ancestor, a prior or a data set begins with, whose SHA-256 is in config.json."""

import hashlib
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from entrax.errors import EntraxError
from entrax.runs.directory import RunDirectory
from entrax.runs.records import open_plain

FILE = "start.safetensors"


def start_of(run: RunDirectory) -> dict[str, Any] | None:
    """What config.json tells of the start: under `ancestor` for a fine-tuned run, under `start` for others, or None."""
    return run.config.get("ancestor") or run.config.get("start")


def read_start(run: RunDirectory) -> dict[str, np.ndarray]:
    """What a run began with that has a start. Raises EntraxError when it is not what the run was made with."""
    path = run.path / FILE
    with open_plain(path) as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != (start_of(run) or {}).get("start"):
        raise EntraxError(f"{path} is damaged: its SHA-256 is not the one in config.json.")
    try:
        return load(data)
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise EntraxError(f"{path} is damaged: {error}.") from error
