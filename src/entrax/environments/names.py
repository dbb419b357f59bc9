"""Our environments' names in Gymnasium's registry, as strings: nothing of them is imported before one is made."""

from typing import Any

from gymnasium.envs.registration import register, registry

NAMES: dict[str, dict[str, Any]] = {
    "entrax/MultiGoal-v0": {"entry_point": "entrax.environments.multigoal:MultiGoal", "max_episode_steps": 30},
}
"""Arguments of `gymnasium.register` by id."""


def register_names() -> None:
    """Make the names known to Gymnasium."""
    for name, arguments in NAMES.items():
        if name not in registry:
            register(id=name, **arguments)
