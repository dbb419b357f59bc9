"""Setups of the studies on `entrax/TwoPassage-v0`, and measures of its episodes.

The task determines which temperatures are useful. The rewards up to the goal have about the same sum on every path, so
that an action gains by the time it saves: a step is worth (1 − γ) V ≈ 0.01 · 85 of the discounted rewards. A uniform
action has an entropy of log 4 = 1.4 nats, worth α · 1.4. At α = 0.5 that is nearly as much, and the policy wanders. At
0.1 to 0.2 a step towards the goal is worth 3 to 7 α more than one that leads nowhere, and the longer path from a start
0.1 off the middle, 0.7 steps more, costs 2 to 6 α.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from entrax.environments.maze import ANT_SCALE, GOAL, REACH
from entrax.environments.source import EnvSource
from entrax.errors import UsageError
from entrax.studies.runs import finetuned_run, trained_run
from entrax.training.run import Run, load
from entrax.training.source_checkpoint import load_source_checkpoint, stored

ENV = "entrax/TwoPassage-v0"
SIDES = ("left", "right")
Settings = dict[str, Any]


@dataclass(frozen=True)
class PassageSetup:
    """The body, agents and settings of a quick or full study.

    Attributes:
        body: "point" or "ant".
        scale: of the maze, relative to the point's.
        agents: by kind, the agent's name and its own settings.
        loop: settings that all agents share.
        hard: settings with which the "twin" continues the "soft" run, without entropy.
    """

    body: str
    scale: float
    agents: dict[str, tuple[str, Settings]]
    loop: Settings
    hard: Settings

    def trained(self, kind: str, seed: int, out: Path, closed: str = "none") -> Run:
        """Return the run of this kind of agent, trained with this passage closed."""
        agent, settings = self.agents[kind]
        return trained_run(ENV, agent, self.loop | settings, seed, out, env_args=self.arguments(closed))

    def best(self, kind: str, seed: int, out: Path) -> Run:
        """Return the best checkpoint of the run with both passages open."""
        run = self.trained("soft" if kind == "twin" else kind, seed, out)
        run = finetuned_run(run, ENV, self.hard, out, env_args=self.arguments("none")) if kind == "twin" else run
        return load(run.path, "best")

    def source(self, closed: str) -> EnvSource:
        """Return how to make the environment with this passage closed."""
        return EnvSource(ENV, self.arguments(closed))

    def arguments(self, closed: str) -> Settings:
        """Return the arguments of the environment."""
        return {"body": self.body, "closed": closed}


POINT = PassageSetup(
    body="point",
    scale=1.0,
    agents={
        "soft-q": (
            "soft-q",
            {"temperature": 0.2, "learning_rate": 2e-3, "target_rate": 0.02, "hidden": (64, 64, 64), "critics": 1}
            | {"particles": 16, "updates_per_step": 0.5},
        ),
        "soft": ("sac", {"temperature": 0.1, "hidden": (64, 64), "learning_rate": 1e-3}),
        "td3": ("td3", {"noise": 0.3, "hidden": (64, 64)}),
        "td3, longer": ("td3", {"noise": 0.3, "hidden": (64, 64), "steps": 40_000, "eval_every": 4_000}),
    },
    loop={"envs": 8, "workers": 0, "batch_size": 64, "steps": 16_000, "learning_starts": 1_600, "eval_every": 1_600},
    hard={"temperature": 0.0, "keep_replay": True, "steps": 6_000, "eval_every": 2_000},
)
"""The study with `--quick`."""

ANT = PassageSetup(
    body="ant",
    scale=ANT_SCALE,
    agents={
        "soft-q": ("soft-q", {"temperature": 0.2, "learning_rate": 1e-3, "critics": 1, "particles": 16}),
        "soft": ("sac", {"temperature": 0.1, "learning_rate": 1e-3}),
        "td3": ("td3", {"noise": 0.3, "hidden": (256, 256)}),
        "td3, longer": ("td3", {"noise": 0.3, "hidden": (256, 256), "steps": 600_000, "eval_every": 60_000}),
    },
    loop={"envs": 8, "workers": 0, "steps": 300_000, "updates_per_step": 0.25, "eval_every": 30_000},
    hard={"temperature": 0.0, "keep_replay": True, "steps": 100_000, "eval_every": 25_000},
)
"""The full study."""


class TrainingEpisodes(NamedTuple):
    """Finished episodes of training, ordered by the step at which they end.

    `end` counts steps over all environments.

    `first` is the passage whose entrance the body saw first: -1 left, 1 right, 0 neither.
    """

    end: Int[np.ndarray, " episode"]
    first: Int[np.ndarray, " episode"]
    arrived: Bool[np.ndarray, " episode"]


def first_passage(paths: Float[np.ndarray, "episode time obs"]) -> Int[np.ndarray, " episode"]:
    """Return the passage that each episode saw first: -1 left, 1 right, 0 neither.

    The last two entries of an observation are what has been seen of the left and of the right passage; 0 is nothing.
    """
    seen = np.nan_to_num(paths[:, :, -2:]) != 0.0
    when = np.where(seen.any(axis=1), seen.argmax(axis=1), paths.shape[1])
    return np.sign(when[:, 0] - when[:, 1])


def last_places(paths: Float[np.ndarray, "episode time obs"]) -> Float[np.ndarray, "episode 2"]:
    """Return the last position of each episode."""
    last = np.sum(np.isfinite(paths[:, :, 0]), axis=1) - 1
    return paths[np.arange(len(paths)), last, :2]


def at_goal(place: Float[np.ndarray, "*batch 2"], scale: float) -> Bool[np.ndarray, "*batch"]:
    """Return whether a position is within reach of the goal, in a maze of this scale."""
    return np.asarray(np.linalg.norm(place - scale * np.array(GOAL), axis=-1) < scale * REACH)


def lesser_share(first: Int[np.ndarray, " episode"]) -> float | None:
    """Return the less used passage's share of the episodes that saw one.

    None if fewer than half of the episodes saw one.
    """
    left, right = int(np.sum(first == -1)), int(np.sum(first == 1))
    return min(left, right) / (left + right) if 2 * (left + right) >= len(first) > 0 else None


def training_episodes(run: Run, scale: float) -> TrainingEpisodes:
    """Read the episodes of a run's training from its replay.

    Raises:
        EntraxError: if the replay no longer holds the first episodes.
    """
    steps, envs = stored(load_source_checkpoint(run.path, "latest", None)), run.config["training"]["envs"]
    if steps.reward.size < run.config["training"]["steps"]:
        raise UsageError(f"The replay of {run.path} no longer holds the first episodes. Raise `replay_size`.")
    next_obs, over = steps.next_obs, steps.terminated | steps.truncated
    rows = []
    for env in range(envs):
        start = 0
        for last in np.flatnonzero(over[:, env]):
            path = next_obs[start : last + 1, env]
            rows.append(((last + 1) * envs, first_passage(path[None])[0], at_goal(path[-1, :2], scale)))
            start = int(last) + 1
    ends, first, arrived = np.array(sorted(rows, key=lambda each: each[0]), int).reshape(-1, 3).T
    return TrainingEpisodes(end=ends, first=first, arrived=arrived.astype(bool))
