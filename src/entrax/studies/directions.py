"""Bodies, agents and settings of the studies `any-direction` and `fine-tuning`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrax.studies.runs import trained_run
from entrax.training.run import Run

Settings = dict[str, Any]
Agents = dict[str, tuple[str, Settings]]


@dataclass(frozen=True)
class DirectionSetup:
    """The environments, agents and settings of a quick or full study.

    Attributes:
        anywhere: the environment in which every direction is rewarded.
        hallway: the environment in which one direction is rewarded.
        agents: by kind, the agent's name and its own settings.
        pretraining: settings of the loop in `anywhere`.
        tuning: settings of the loop in `hallway`, also of a run from scratch.
        step_seconds: of simulated time that a step takes.
        shown_every: how many steps lie between two positions of a path that are kept to be drawn.
        directions: those of the hallways, in degrees.
    """

    anywhere: str
    hallway: str
    agents: Agents
    pretraining: Settings
    tuning: Settings
    step_seconds: float
    shown_every: int
    directions: tuple[float, ...] = (0.0, 90.0, 180.0, 270.0)

    def pretrained(self, kind: str, seed: int, out: Path) -> Run:
        """Return the run of this kind of agent in `anywhere`."""
        agent, settings = self.agents[kind]
        return trained_run(self.anywhere, agent, settings | self.pretraining, seed, out)


LOOP: Settings = {"envs": 8, "workers": 0, "updates_per_step": 0.25, "discount": 0.9}
"""A step spent without reward costs (1 − γ) V. The smaller γ, the larger the temperature at which moving still pays."""


def _agents(*, soft: float, sac: float, shared: Settings, soft_hidden: tuple[int, ...]) -> Agents:
    """Return the agents of a body, with the temperatures of soft Q-learning and SAC."""
    learning = shared | {"hidden": soft_hidden, "critics": 1, "particles": 16}
    learning |= {"target_rate": 0.02, "anneal_fraction": 1.0}
    noise = {"noise": 0.3, "noise_correlation": 0.9}
    return {
        "soft": ("soft-q", learning | {"temperature": soft, "final_temperature": soft}),
        "low": ("soft-q", learning | {"temperature": soft / 100, "final_temperature": soft / 100}),
        "deterministic": ("ddpg", shared | noise),
        "sac": ("sac", shared | {"temperature": sac}),
        "td3": ("td3", shared | noise),
    }


POINT = DirectionSetup(
    anywhere="entrax/PointAnyDirection-v0",
    hallway="entrax/PointHallway-v0",
    agents=_agents(
        soft=0.5,
        sac=0.2,
        shared={"learning_rate": 1e-3, "hidden": (64, 64), "batch_size": 64},
        soft_hidden=(64, 64, 64),
    ),
    pretraining=LOOP | {"steps": 16_000, "learning_starts": 1_600, "eval_every": 0},
    tuning=LOOP | {"steps": 2_000, "learning_starts": 200, "eval_every": 100, "eval_episodes": 5},
    step_seconds=0.1,
    shown_every=1,
)
"""The study with `--quick`."""

ANT = DirectionSetup(
    anywhere="entrax/AntAnyDirection-v0",
    hallway="entrax/AntHallway-v0",
    agents=_agents(
        soft=0.05,
        sac=0.05,
        shared={"learning_rate": 1e-3, "hidden": (128, 128), "batch_size": 128},
        soft_hidden=(128, 128, 64),
    ),
    pretraining=LOOP | {"steps": 300_000, "learning_starts": 5_000, "eval_every": 0},
    tuning=LOOP
    | {"steps": 50_000, "updates_per_step": 0.5, "learning_starts": 2_000, "eval_every": 2_500, "eval_episodes": 3},
    step_seconds=0.05,
    shown_every=10,
)
"""The full study."""
