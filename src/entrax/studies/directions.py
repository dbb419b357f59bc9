"""Bodies, agents and settings of the studies `any-direction` and `fine-tuning`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrax.studies.runs import trained_run
from entrax.training.run import Run

Settings = dict[str, Any]


@dataclass(frozen=True)
class DirectionSetup:
    """The environments, agents and settings of a quick or full study.

    Attributes:
        anywhere: the environment in which every direction is rewarded.
        hallway: the environment in which one direction is rewarded.
        directions: those of the hallways, in degrees.
        agents: by kind, the agent's name and its own settings. The policy of "soft" is sampled, the others' are not.
        pretraining: settings of the loop in `anywhere`.
        tuning: settings of the loop in `hallway`, also of a run from scratch.
    """

    anywhere: str
    hallway: str
    directions: tuple[float, ...]
    agents: dict[str, tuple[str, Settings]]
    pretraining: Settings
    tuning: Settings

    def pretrained(self, kind: str, seed: int, out: Path) -> Run:
        """Return the run of this kind of agent in `anywhere`."""
        agent, settings = self.agents[kind]
        return trained_run(self.anywhere, agent, settings | self.pretraining, seed, out)


LOOP: Settings = {"envs": 8, "workers": 0, "updates_per_step": 0.25}

POINT_SAC: Settings = {"learning_rate": 1e-3, "hidden": (64, 64), "batch_size": 64}
POINT_TD3: Settings = {"hidden": (64, 64), "batch_size": 64}

POINT = DirectionSetup(
    anywhere="entrax/PointAnyDirection-v0",
    hallway="entrax/PointHallway-v0",
    directions=(0.0, 90.0, 180.0, 270.0),
    agents={
        "soft": ("sac", POINT_SAC | {"temperature": 0.2}),
        "low": ("sac", POINT_SAC | {"temperature": 0.002}),
        "deterministic": ("td3", POINT_TD3),
    },
    pretraining=LOOP | {"steps": 10_000, "learning_starts": 1_000, "eval_every": 0},
    tuning=LOOP | {"steps": 4_000, "learning_starts": 200, "eval_every": 100, "eval_episodes": 5},
)
"""The study with `--quick`."""

ANT_SAC: Settings = {"learning_rate": 1e-3, "hidden": (128, 128), "batch_size": 128}
ANT_TD3: Settings = {"hidden": (128, 128), "batch_size": 128}

ANT = DirectionSetup(
    anywhere="entrax/AntAnyDirection-v0",
    hallway="entrax/AntHallway-v0",
    directions=(0.0, 90.0, 180.0, 270.0),
    agents={
        "soft": ("sac", ANT_SAC | {"temperature": 0.05}),
        "low": ("sac", ANT_SAC | {"temperature": 0.0005}),
        "deterministic": ("td3", ANT_TD3),
    },
    pretraining=LOOP | {"steps": 300_000, "learning_starts": 5_000, "eval_every": 0},
    tuning=LOOP
    | {"steps": 50_000, "updates_per_step": 0.5, "learning_starts": 2_000, "eval_every": 2_500, "eval_episodes": 3},
)
"""The full study."""
