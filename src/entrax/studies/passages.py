"""Setups of the studies on `entrax/TwoPassage-v0`, and measures of its episodes.

The task determines which temperatures are useful. The rewards up to the goal have about the same sum on every path, so
that an action gains by the time it saves: a step is worth (1 − γ) V of the discounted rewards. A uniform action has an
entropy of log 4 = 1.4 nats, worth 1.4 α, which must be less, or the policy wanders. At γ = 0.99 with V ≈ 85 the largest
useful temperature is about 0.2; at γ = 0.95 with V ≈ 40 it is above 1.

A larger temperature also makes the effect of an error in Q smaller. The passage is decided by about twelve actions in
the same state, so that a difference of Q between the sides of 0.4 α already gives odds of 99 to 1. That is 0.1 % of V
at γ = 0.99 and α = 0.2, and 1 % at γ = 0.95 and α = 1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from entrax.environments.maze import GOAL, REACH
from entrax.environments.source import EnvSource
from entrax.errors import UsageError
from entrax.studies.runs import finetuned_run, run_with_snapshots, trained_run
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
        hard: settings with which the "twin" continues the "soft" run, with little or no entropy.
    """

    body: str
    scale: float
    agents: dict[str, tuple[str, Settings]]
    loop: Settings
    hard: Settings

    def with_snapshots(self, kind: str, seed: int, out: Path) -> tuple[Run, list[Run]]:
        """Return the run of this kind of agent with both passages open, and its policies along training."""
        agent, settings = self.agents[kind]
        return run_with_snapshots(ENV, agent, self.loop | settings, seed, out, env_args=self.arguments("none"))

    def trained(self, kind: str, seed: int, out: Path, closed: str = "none") -> Run:
        """Return the run of this kind of agent, trained with this passage closed."""
        agent, settings = self.agents[kind]
        return trained_run(ENV, agent, self.loop | settings, seed, out, env_args=self.arguments(closed))

    def best(self, kind: str, seed: int, out: Path) -> Run:
        """Return the best checkpoint of the run with both passages open, by the return of its mode."""
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
        "soft": (
            "soft-q",
            {"temperature": 1.0, "final_temperature": 1.0, "anneal_fraction": 1.0, "critics": 1, "particles": 16}
            | {"learning_rate": 2e-3, "target_rate": 0.02, "hidden": (64, 64, 64), "eval_every": 0},
        ),
        "td3": (
            "td3",
            {"noise": 1.0, "noise_correlation": 0.95, "learning_rate": 1e-3, "target_rate": 0.02, "hidden": (64, 64)}
            | {"discount": 0.98, "steps": 40_000, "eval_every": 8_000, "eval_episodes": 5},
        ),
    },
    loop={"envs": 8, "workers": 0, "steps": 16_000, "learning_starts": 1_600, "updates_per_step": 0.5, "chunk": 16}
    | {"batch_size": 64, "discount": 0.95},
    hard={"final_temperature": 0.05, "anneal_fraction": 0.5, "keep_replay": True, "steps": 8_000, "eval_every": 2_000},
)
"""Of `robustness` with `--quick`."""


class TrainingEpisodes(NamedTuple):
    """Finished episodes of training, ordered by the step at which they end.

    `end` counts steps over all environments.

    `first` is the passage whose entrance the body saw first: -1 left, 1 right, 0 neither.

    `nearest` is the smallest distance from the goal, relative to the maze's scale.
    """

    end: Int[np.ndarray, " episode"]
    first: Int[np.ndarray, " episode"]
    arrived: Bool[np.ndarray, " episode"]
    nearest: Float[np.ndarray, " episode"]


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
            nearest = np.linalg.norm(path[:, :2] / scale - np.array(GOAL), axis=1).min()
            rows.append(((last + 1) * envs, first_passage(path[None])[0], at_goal(path[-1, :2], scale), nearest))
            start = int(last) + 1
    table = np.array(sorted(rows, key=lambda each: each[0]), float).reshape(-1, 4)
    ends, first, arrived = table[:, :3].astype(int).T
    return TrainingEpisodes(end=ends, first=first, arrived=arrived.astype(bool), nearest=table[:, 3])
