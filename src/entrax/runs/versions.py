"""Provenance of a run: versions, CPU and command."""

import hashlib
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from entrax import __version__

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "gymnasium", "mujoco", "numpy")


def versions() -> dict[str, str | None]:
    """Return the versions of everything that results depend on.

    These are entrax, Python, the packages and the CPU; None for a package that is not installed.
    """
    packages = {name: _version(name) for name in PACKAGES}
    return {"entrax": __version__, **packages, "python": platform.python_version(), "cpu": cpu_features()}


def differences(recorded: Mapping[str, str | None]) -> list[str]:
    """Return a clause for each change that can affect the last bits of results."""
    now = versions()
    return [
        f"{'the features of the CPU' if name == 'cpu' else name} changed from {before} to {now[name]}"
        for name, before in recorded.items()
        if name in now and name != "python" and now[name] != before
    ]


def cpu_features() -> str:
    """Return the machine type and a digest of the CPU's features.

    Compiled code depends on them.
    """
    flags = ""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text(errors="replace").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def provenance() -> dict[str, Any]:
    """Return the command of this process and the date, for the report.

    No result depends on them.
    """
    name = Path(sys.argv[0]).name
    if name in ("entrax", "__main__.py"):
        command = shlex.join(["entrax", *sys.argv[1:]])
    else:
        command = "a notebook" if name.startswith("ipykernel") else shlex.join(["python", name, *sys.argv[1:]])
    return {"command": command, "time": {"date": datetime.now(UTC).isoformat(timespec="seconds")}}
