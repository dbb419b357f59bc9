"""Maximum-entropy reinforcement learning and control as inference in JAX."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["EntraxError", "Run", "compose", "control", "finetune", "load", "perturb", "resume", "train", "transitions"]

if TYPE_CHECKING:
    from entrax.api import control as control
    from entrax.api import finetune as finetune
    from entrax.api import resume as resume
    from entrax.api import train as train
    from entrax.api import transitions as transitions
    from entrax.environments.perturb import perturb as perturb
    from entrax.errors import EntraxError as EntraxError
    from entrax.training.compose import compose as compose
    from entrax.training.run import Run as Run
    from entrax.training.run import load as load

_HOMES = {
    "EntraxError": "entrax.errors",
    "Run": "entrax.training.run",
    "compose": "entrax.training.compose",
    "load": "entrax.training.run",
    "perturb": "entrax.environments.perturb",
} | dict.fromkeys(("control", "finetune", "resume", "train", "transitions"), "entrax.api")


def __getattr__(name: str) -> Any:
    """Resolve the public names on first use, so that importing the package (in a worker, for help) costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'entrax' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, for `dir(entrax)` and for completion."""
    return sorted({*__all__, "__version__", "__doc__", "__file__", "__name__", "__path__"})
