"""Which versions of what a run was made with."""

import platform
from importlib import metadata

from entrax import __version__

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "gymnasium", "mujoco", "numpy")


def versions() -> dict[str, str | None]:
    """Versions by name, for config.json: entrax, Python and the packages results depend on. None: not installed."""
    return {"entrax": __version__, **{name: _version(name) for name in PACKAGES}, "python": platform.python_version()}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
