"""Finite problems in `.npz` files."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from entrax.errors import EntraxError, write_faults
from entrax.problems.checks import FIELDS, check_shapes
from entrax.problems.protocol import Problem

FORMAT = 1
SCALARS = {"format": "iu", "discount": "f", "horizon": "iu"}
REQUIRED = {"format", "discount", "successor", "probability", "reward", "initial", "terminal"}


def save(mdp: Problem, path: Path) -> None:
    """See `FiniteMDP.save`."""
    arrays = {name: getattr(mdp, name) for name in FIELDS}
    arrays |= {"format": np.int64(FORMAT), "discount": np.float64(mdp.discount)}
    if mdp.horizon is not None:
        arrays["horizon"] = np.int64(mdp.horizon)
    stored: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
    with write_faults(path), path.open("wb") as file:
        np.savez(file, allow_pickle=False, **stored)


def load(path: Path) -> dict[str, Any]:
    """See `FiniteMDP.load`."""
    if path.exists() and not path.is_file():
        raise EntraxError(f"{path} cannot be read: it is not a regular file.")
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            headers = {info.filename.removesuffix(".npy"): header(archive, info, size) for info in archive.infolist()}
            check_headers(headers)
            fields: dict[str, Any] = {name: read(archive, name) for name in headers}
    except OSError as error:
        raise EntraxError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # zipfile and NumPy raise many types for a broken file
        cause = str(error) or repr(error)
        raise EntraxError(f"{path} is not a problem saved by entrax, or it is damaged: {cause}.") from error
    if (version := fields.pop("format")) != FORMAT:
        raise EntraxError(f"{path} must have format {FORMAT}, got {version}. Another version of entrax saved it.")
    fields["discount"] = float(fields["discount"])
    fields["horizon"] = int(fields["horizon"]) if "horizon" in fields else None
    return fields


def header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Read an array's shape and type; check that it is complete and uncompressed."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
        raise ValueError(f"{info.filename} is compressed, or larger than the file")
    with archive.open(info) as member:
        shape, dtype = read_header(member)
        needed = dtype.itemsize
        for length in shape:
            needed *= length
        if member.tell() + needed != info.file_size:
            raise ValueError(f"the size of {info.filename}, {info.file_size} bytes, does not fit its shape {shape}")
    return shape, dtype


def read_header(member: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Read shape and type from an `.npy` header; accept C order, plain types only."""
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise ValueError(f"an array has format version {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    if dtype.hasobject or (fortran and len(shape) > 1):
        raise ValueError(f"an array has type {dtype}" if dtype.hasobject else "an array is in Fortran order")
    return shape, dtype


def check_headers(headers: dict[str, tuple[tuple[int, ...], np.dtype]]) -> None:
    """Check that no array is missing or unknown and that shapes and types fit."""
    names = set(headers)
    if missing := REQUIRED - names:
        raise ValueError(f"array {min(missing)!r} is missing")
    if unknown := names - FIELDS.keys() - SCALARS.keys():
        raise ValueError(f"array {min(unknown)!r} is unknown")
    for name, kinds in SCALARS.items():
        if name in headers and (headers[name][0] != () or headers[name][1].kind not in kinds):
            raise ValueError(f"{name} is not a single number of the right type")
    check_shapes({name: headers[name] for name in FIELDS if name in headers})


def read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Read one array."""
    with archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)
