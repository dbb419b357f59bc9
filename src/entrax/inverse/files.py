"""Demonstrations in files: JSON to read and write by hand, `.npz` for many.

JSON holds {"trajectories": [{"states": [0, 4, 5], "actions": [1, 1], "weight": 1.0}, …]}, where weights are optional.
`.npz` holds the same as columns: `states` and `actions` of all trajectories, one after another, `decisions` and
`observed`, the numbers of actions and states of each, and optionally `weight`. Nothing is unpickled.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from entrax.errors import EntraxError, UsageError, write_faults
from entrax.inverse.demonstrations import Demonstrations

COLUMNS = ("states", "actions", "decisions", "observed")
LARGEST = 2**30
"""The most bytes of a file."""


def load_demonstrations(path: str | Path) -> Demonstrations:
    """Read demonstrations from a `.json` or `.npz` file.

    Raises:
        EntraxError: the file cannot be read, is damaged, or holds no valid trajectories.
    """
    path = Path(path)
    if path.suffix not in (".json", ".npz"):
        raise UsageError(f"{path} must be a .json or .npz file with demonstrations.")
    if path.exists() and not path.is_file():
        raise EntraxError(f"{path} cannot be read: it is not a regular file.")
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        pairs, weight = (_read_json if path.suffix == ".json" else _read_npz)(path)
    except OSError as error:
        raise EntraxError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # json, zipfile and NumPy raise many types for a broken file
        cause = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error) or repr(error)
        raise EntraxError(f"{path} holds no demonstrations, or it is damaged: {cause.rstrip('.')}.") from error
    try:
        return Demonstrations.from_trajectories(pairs, weight)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def save_demonstrations(demos: Demonstrations, path: str | Path) -> None:
    """Write demonstrations to a `.json` or `.npz` file.

    Raises:
        EntraxError: another ending, or the file cannot be written.
    """
    path, pairs = Path(path), demos.trajectories()
    if path.suffix not in (".json", ".npz"):
        raise UsageError(f"{path} must end in .json or .npz.")
    with write_faults(path):
        if path.suffix == ".npz":
            columns: dict[str, Any] = {
                "states": np.concatenate([states for states, _ in pairs]),
                "actions": np.concatenate([actions for _, actions in pairs]),
                "decisions": np.array([len(actions) for _, actions in pairs]),
                "observed": np.array([len(states) for states, _ in pairs]),
                "weight": demos.weight,
            }
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, **columns)
            return
        rows = [
            {"states": states.tolist(), "actions": actions.tolist(), "weight": float(weight)}
            for (states, actions), weight in zip(pairs, demos.weight, strict=True)
        ]
        text = ",\n".join(json.dumps(row) for row in rows)
        path.write_text(f'{{"trajectories": [\n{text}\n]}}\n', encoding="utf-8")


def _read_json(path: Path) -> tuple[list[tuple[Any, Any]], Any]:
    data = json.loads(path.read_bytes())
    rows = data["trajectories"] if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError('it must be {"trajectories": [{"states": […], "actions": […]}, …]}')
    if unknown := {name for row in rows for name in row} - {"states", "actions", "weight"}:
        raise ValueError(f"{min(unknown)!r} is unknown; a trajectory has states, actions and weight")
    if not all(isinstance(row[name], list) for row in rows for name in ("states", "actions")):
        raise ValueError("states and actions must be lists")
    weight = [row.get("weight", 1.0) for row in rows]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in weight):
        raise ValueError("a weight must be a number")
    return [(row["states"], row["actions"]) for row in rows], weight


def _read_npz(path: Path) -> tuple[list[tuple[Any, Any]], Any]:
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > LARGEST:
            raise ValueError(f"it holds more than {LARGEST:,} bytes")
    with np.load(path, allow_pickle=False) as arrays:
        columns = {name: arrays[name] for name in COLUMNS}
        weight = arrays.get("weight", None)
    if any(column.ndim != 1 or column.dtype.kind not in "iu" for column in columns.values()):
        raise ValueError("states, actions, decisions and observed must be lists of whole numbers")
    ends = {}
    for name, count in (("states", "observed"), ("actions", "decisions")):
        lengths = columns[count].astype(np.int64)
        if np.any(lengths < 0) or lengths.sum() != len(columns[name]) or len(lengths) != len(columns["decisions"]):
            raise ValueError(f"{count!r} does not fit {name!r}")
        ends[name] = np.split(columns[name], np.cumsum(lengths)[:-1])
    return list(zip(ends["states"], ends["actions"], strict=True)), weight
