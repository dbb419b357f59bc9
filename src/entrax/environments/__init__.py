"""Environments: sources, pools and workers, perturbations, and the environments of entrax. Nothing here needs JAX.

Importing the package registers the ids of entrax's environments with Gymnasium: write `import entrax.environments`
before `gymnasium.make("entrax/MultiGoal-v0")`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from entrax.environments.names import register_names

__all__ = [
    "FAMILIES",
    "ActionMask",
    "CheckedEnvironment",
    "EnvSource",
    "EnvironmentFault",
    "Pool",
    "as_source",
    "check_environment",
    "episode_seed",
    "make_pool",
    "simulator_of",
    "spec_of",
]

if TYPE_CHECKING:
    from entrax.environments.action_mask import ActionMask
    from entrax.environments.check import CheckedEnvironment, check_environment
    from entrax.environments.faults import EnvironmentFault
    from entrax.environments.make import make_pool
    from entrax.environments.perturb import FAMILIES
    from entrax.environments.pool import Pool
    from entrax.environments.seeds import episode_seed
    from entrax.environments.simulator import simulator_of
    from entrax.environments.source import EnvSource, as_source
    from entrax.environments.spaces import spec_of

_MODULES = {
    "ActionMask": "action_mask",
    "CheckedEnvironment": "check",
    "EnvSource": "source",
    "EnvironmentFault": "faults",
    "FAMILIES": "perturb",
    "Pool": "pool",
    "as_source": "source",
    "check_environment": "check",
    "episode_seed": "seeds",
    "make_pool": "make",
    "simulator_of": "simulator",
    "spec_of": "spaces",
}

register_names()


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that a worker process imports only what it needs."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
