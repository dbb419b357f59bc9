"""The file that a fine-tuned run begins with: start.safetensors, whose SHA-256 is in config.json."""

import hashlib

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from entrax.errors import EntraxError
from entrax.runs.directory import RunDirectory
from entrax.runs.records import open_plain

FILE = "start.safetensors"


def read_start(run: RunDirectory) -> dict[str, np.ndarray]:
    """What a run with an ancestor began with. Raises EntraxError when it is not what the run was made with."""
    path = run.path / FILE
    with open_plain(path) as file:
        data = file.read()
    if hashlib.sha256(data).hexdigest() != run.config["ancestor"]["start"]:
        raise EntraxError(f"{path} is damaged: its SHA-256 is not the one in config.json.")
    try:
        return load(data)
    except (SafetensorError, ValueError) as error:
        raise EntraxError(f"{path} is damaged: {error}.") from error
