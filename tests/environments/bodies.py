"""Parts of environments that Gymnasium's types do not show."""

from typing import Any

import gymnasium

from entrax.environments.perturb import Perturbed
from entrax.environments.terrain import Terrain


def innermost(env: gymnasium.Env) -> Any:
    """Return the innermost environment, with the attributes of its own class."""
    return env.unwrapped


def ground_of(env: Perturbed) -> Terrain:
    """Return the ground that a perturbation has put under a body."""
    assert env._height is not None
    return env._height._ground
