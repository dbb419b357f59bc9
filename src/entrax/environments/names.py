"""The ids of our environments in Gymnasium's registry. Their modules are imported when one is made."""

from typing import Any

from gymnasium.envs.registration import register, registry

NAMES: dict[str, dict[str, Any]] = {
    "entrax/ActionMask-v0": {"entry_point": "entrax.environments.action_mask:action_mask"},
    "entrax/MultiGoal-v0": {"entry_point": "entrax.environments.multigoal:MultiGoal", "max_episode_steps": 30},
    "entrax/Perturbed-v0": {"entry_point": "entrax.environments.perturb:perturbed"},
    "entrax/PointAnyDirection-v0": {
        "entry_point": "entrax.environments.any_direction:PointAnyDirection",
        "max_episode_steps": 100,
    },
    "entrax/PointLines-v0": {"entry_point": "entrax.environments.point_lines:PointLines", "max_episode_steps": 50},
    "entrax/AntAnyDirection-v0": {
        "entry_point": "entrax.environments.any_direction:AntAnyDirection",
        "max_episode_steps": 1000,
    },
    "entrax/PointHallway-v0": {
        "entry_point": "entrax.environments.hallway:PointHallway",
        "max_episode_steps": 100,
    },
    "entrax/AntHallway-v0": {"entry_point": "entrax.environments.hallway:AntHallway", "max_episode_steps": 1000},
    "entrax/TwoPassage-v0": {"entry_point": "entrax.environments.two_passage:two_passage", "max_episode_steps": 400},
    "entrax/Reacher-v0": {"entry_point": "entrax.environments.reacher:Reacher", "max_episode_steps": 25},
    "entrax/ReacherPixels-v0": {
        "entry_point": "entrax.environments.reacher:Reacher",
        "kwargs": {"pixels": True},
        "max_episode_steps": 25,
    },
    "entrax/BitFlip-v0": {"entry_point": "entrax.environments.bit_flip:BitFlip"},
    "entrax/Corridor-v0": {"entry_point": "entrax.environments.corridor:Corridor", "max_episode_steps": 200},
    "entrax/Atari-v0": {"entry_point": "entrax.environments.atari:Atari", "max_episode_steps": 27_000},
    "entrax/PendulumNoVelocity-v0": {
        "entry_point": "entrax.environments.pendulum:PendulumNoVelocity",
        "max_episode_steps": 200,
    },
    "entrax/Stacking-v0": {"entry_point": "entrax.environments.stacking:Stacking", "max_episode_steps": 100},
    "entrax/LinearQuadratic-v0": {
        "entry_point": "entrax.environments.linear_quadratic:LinearQuadratic",
        "max_episode_steps": 20,
    },
    "entrax/Pusher-v0": {"entry_point": "entrax.environments.pusher:Pusher", "max_episode_steps": 100},
}
"""The arguments of `gymnasium.register` by id."""

NAMES |= {
    f"MinAtar/{game.title().replace('_', '')}-v{version}": {
        "entry_point": "entrax.environments.minatar:MinAtar",
        "kwargs": {"game": game, "minimal_actions": version == 1},
        "max_episode_steps": 10_000,
    }
    for game in ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
    for version in (0, 1)
}


def register_names() -> None:
    """Register the ids with Gymnasium."""
    for name, arguments in NAMES.items():
        if name not in registry:
            register(id=name, **arguments)
