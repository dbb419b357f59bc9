"""Training runs of studies, kept by their configuration: what is finished is loaded, what was begun goes on."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from entrax.agents.controller import act_in_episodes
from entrax.environments.make import make_pool
from entrax.environments.seeds import episode_seed
from entrax.environments.source import EnvSource
from entrax.evaluation.episodes import Act
from entrax.runs.directory import RunDirectory
from entrax.runs.records import dumps
from entrax.training.launch import train
from entrax.training.resume import finished
from entrax.training.trained import Run, load


def trained(
    env: str,
    agent: str,
    settings: Mapping[str, Any],
    seed: int,
    out: Path,
    *,
    env_args: Mapping[str, Any] | None = None,
) -> Run:
    """The run of this configuration in `out`/runs, trained as far as it was not. Raises EntraxError as `train` does.

    The directory's name is a digest of the arguments, so that whatever they determine is trained once.
    """
    named = [sorted(values.items()) for values in (settings, env_args or {})]
    path = out / "runs" / hashlib.sha256(dumps([env, agent, seed, named]).encode()).hexdigest()[:16]
    if (path / "config.json").exists() and finished(RunDirectory.open(path), None):
        return load(path)
    return train(env, agent, seed=seed, run=path, env_args=env_args, resume=True, **settings)


def paths_of(
    run: Run, episodes: int, *, sample: bool, seed: int = 0
) -> tuple[Float[np.ndarray, "episode time obs"], Bool[np.ndarray, " episode"], Float[np.ndarray, " episode"]]:
    """Flat observations of whole episodes, NaN after their end; whether they terminated; and their returns."""
    played = play(act_in_episodes(run.controller, sample=sample, seed=seed), run.source(), episodes)
    return played.paths, played.terminated, played.rewards.sum(axis=1)


class Played(NamedTuple):
    """Whole episodes. `paths` are flat observations, NaN after an episode's end, where rewards are 0."""

    paths: Float[np.ndarray, "episode time obs"]
    rewards: Float[np.ndarray, "episode step"]
    terminated: Bool[np.ndarray, " episode"]


def play(act: Act, source: EnvSource, episodes: int) -> Played:
    """Play episodes side by side, stepped in this process; they start alike whoever acts."""
    number, live = np.arange(episodes, dtype=np.int32), np.ones(episodes, bool)
    terminated, rewards = np.zeros(episodes, bool), []
    with make_pool(source, episodes, workers=0) as pool:
        first = pool.reset_many({i: episode_seed(0, i, 0, "evaluation") for i in range(episodes)})
        path = [np.stack([first[i] for i in range(episodes)]).astype(np.float32)]
        while live.any():
            obs = np.where(live[:, None], path[-1], 0).astype(np.float32)
            step = pool.step(act(obs, number, np.full(episodes, len(path) - 1, np.int32)))
            rewards.append(np.where(live, step.reward, 0.0))
            path.append(np.where(live[:, None], step.next_obs, np.nan).astype(np.float32))
            terminated |= step.terminated & live
            ended = np.flatnonzero(step.terminated | step.truncated)
            live[ended] = False
            pool.reset_many({int(i): 0 for i in ended})  # they are stepped along, and not looked at
    return Played(paths=np.stack(path, axis=1), rewards=np.stack(rewards, axis=1), terminated=terminated)
