"""The start file of a run that starts from a checkpoint, a prior or a data set. Its SHA-256 is in config.json."""

import hashlib
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from entrax.errors import EntraxError
from entrax.runs.directory import RunDirectory
from entrax.runs.records import open_plain

FILE = "start.safetensors"


def start_record(run: RunDirectory) -> dict[str, Any] | None:
    """Return the record of the start file in config.json, or None.

    It is under `ancestor` for a fine-tuned run, under `start` for others.
    """
    return run.config.get("ancestor") or run.config.get("start")


def read_start_file(run: RunDirectory) -> dict[str, np.ndarray]:
    """Read the arrays of the start file.

    Raises EntraxError if the file has changed since the run was created.
    """
    path = run.path / FILE
    with open_plain(path) as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != (start_record(run) or {}).get("start"):
        raise EntraxError(f"{path} is damaged: its SHA-256 is not the one in config.json.")
    try:
        return load(data)
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise EntraxError(f"{path} is damaged: {error}.") from error
