"""The bodies, agents and settings of the studies on moving in any direction and on fine-tuning from there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrax.studies.runs import trained
from entrax.training.run import Run

Settings = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """How much a study does: on which body, and with which agents and settings.

    `agents` are by what they are: the agent's name and its own settings. The policy of "soft" is sampled, the others'
    are not. `pretraining` and `tuning` are settings of the loop; a run from scratch has those of `tuning`.
    """

    anywhere: str
    hallway: str
    directions: tuple[float, ...]  # of the hallways, in degrees
    agents: dict[str, tuple[str, Settings]]
    pretraining: Settings
    tuning: Settings

    def pretrained(self, kind: str, seed: int, out: Path) -> Run:
        """The run of this kind of agent that moves in any direction."""
        agent, settings = self.agents[kind]
        return trained(self.anywhere, agent, settings | self.pretraining, seed, out)


LOOP: Settings = {"envs": 8, "workers": 0, "updates_per_step": 0.25}

POINT_SAC: Settings = {"learning_rate": 1e-3, "hidden": (64, 64), "batch_size": 64}
POINT_TD3: Settings = {"hidden": (64, 64), "batch_size": 64}

POINT = Form(
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
"""What `--quick` does."""

ANT_SAC: Settings = {"learning_rate": 1e-3, "hidden": (128, 128), "batch_size": 128}
ANT_TD3: Settings = {"hidden": (128, 128), "batch_size": 128}

ANT = Form(
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
"""The full form."""
