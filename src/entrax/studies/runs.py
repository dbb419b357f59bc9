"""The training runs of studies, kept by their configuration.

A finished run is loaded, another one resumed.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Bool, Float

from entrax.agents.lookup import get_agent
from entrax.environments.pool import LocalPool
from entrax.environments.seeds import episode_seed
from entrax.environments.source import EnvSource
from entrax.errors import UsageError
from entrax.evaluation.episodes import Act
from entrax.policies.controller import act_in_episodes
from entrax.runs import checkpoints
from entrax.runs.directory import RunDirectory
from entrax.runs.records import dumps, to_json
from entrax.training.request import Hook, Request, Session, SourceRequest
from entrax.training.resume import finished
from entrax.training.run import Run, load
from entrax.training.source_checkpoint import load_source_checkpoint, recorded
from entrax.training.task import complete, configure
from entrax.training.train import train

Observe = Callable[[gymnasium.Env], Float[np.ndarray, " entry"]]


def trained_run(
    env: str,
    agent: str,
    settings: Mapping[str, Any],
    seed: int,
    out: Path,
    *,
    env_args: Mapping[str, Any] | None = None,
    hook: Hook | None = None,
) -> Run:
    """Return the run of this configuration in `out`/runs, trained if needed.

    The directory's name is a digest of the arguments, so that a configuration is trained once. `hook` sees its rows of
    metrics.

    Raises:
        EntraxError: as `train` does, and for a finished run that was trained with other defaults.
    """
    path = run_path(out, [env, agent, seed, named(settings, env_args)])
    if not is_finished(path):
        request = Request(env=env, agent=agent, settings=settings, seed=seed, run=path, env_args=env_args, resume=True)
        return train(replace(request, session=Session(hook=hook)))
    run = load(path)
    check_defaults(run, agent, settings)
    return run


def run_with_snapshots(
    env: str, agent: str, settings: Mapping[str, Any], seed: int, out: Path, *, env_args: Mapping[str, Any]
) -> tuple[Run, list[Run]]:
    """Return the run as `trained_run` does, and its policies along training.

    A run keeps its newest checkpoints only. All are copied to `out`/snapshots, one for every row of metrics if
    `log_every` and `checkpoint_every` are equal.
    """
    path = run_path(out, [env, agent, seed, named(settings, env_args)])
    kept = out / "snapshots" / path.name

    def copy(row: Mapping[str, Any]) -> None:
        run = RunDirectory.open(path)
        (kept / run.checkpoints.name).mkdir(parents=True, exist_ok=True)
        for name in checkpoints.available(run):
            place = kept / run.checkpoints.name / name
            if not place.exists():
                aside = place.with_name(f"{name}.partial")
                shutil.rmtree(aside, ignore_errors=True)
                shutil.copytree(run.checkpoints / name, aside)
                aside.rename(place)
        shutil.copy(path / "config.json", kept)

    run = trained_run(env, agent, settings, seed, out, env_args=env_args, hook=copy)
    copy({})
    names = [name for name in checkpoints.available(RunDirectory.open(kept)) if not name.startswith("best")]
    return run, [load(kept, name) for name in names]


def finetuned_run(
    source: Run,
    env: str,
    settings: Mapping[str, Any],
    out: Path,
    *,
    env_args: Mapping[str, Any] | None = None,
) -> Run:
    """Return the run `source` fine-tuned in `env` with its seed, kept in the same way.

    Raises:
        EntraxError: as `finetune` does, and for a finished run if `source` has been trained again since.
    """
    path = run_path(out, ["after", source.path.name, env, named(settings, env_args)])
    if not is_finished(path):
        own = {field.name for field in fields(SourceRequest)} & settings.keys()
        checkpoint = SourceRequest(path=source.path, **{name: settings[name] for name in own})
        rest = {name: value for name, value in settings.items() if name not in own}
        return train(
            Request(env=env, settings=rest, seed=None, run=path, env_args=env_args, source=checkpoint, resume=True)
        )
    run = load(path)
    record = recorded(load_source_checkpoint(source.path, settings.get("checkpoint", "latest"), None))
    if run.config["ancestor"]["sha256"] != record["sha256"]:
        raise UsageError(
            f"{path} was fine-tuned from another checkpoint of {source.path}. Remove it, or choose another `out`."
        )
    return run


def named(settings: Mapping[str, Any], env_args: Mapping[str, Any] | None) -> list[Any]:
    """Return settings and environment arguments in an order that does not depend on how they were written."""
    return [sorted(values.items()) for values in (settings, env_args or {})]


def run_path(out: Path, arguments: list[Any]) -> Path:
    """Return the directory of a run; its name is a digest of the arguments."""
    return out / "runs" / hashlib.sha256(dumps(arguments).encode()).hexdigest()[:16]


def is_finished(path: Path) -> bool:
    """Return whether a run exists at `path` and has taken all of its steps."""
    return (path / "config.json").exists() and finished(RunDirectory.open(path), None)


def check_defaults(run: Run, agent: str, settings: Mapping[str, Any]) -> None:
    """Raise EntraxError if the run was trained with other defaults.

    Only settings that are not given are checked.
    """
    module, spec, preset = get_agent(agent), run.controller.spec, run.config["preset"]
    options, config = configure(module, preset, settings)
    options = complete(options, module, module.resolve(config, spec), spec, settings, preset)
    for group, values in (("agent_config", config), ("training", options)):
        then = run.config[group]
        for name, now in to_json(asdict(values)).items():
            if name not in ("threads", "device") and then.get(name, now) != now:
                raise UsageError(
                    f"{run.path} was trained with {name} {then[name]}; the default is now {now}. Remove the run, "
                    "or choose another `out`."
                )


def paths_of(
    run: Run, episodes: int, *, sample: bool, seed: int = 0, observe: Observe | None = None, same_start: bool = False
) -> tuple[Float[np.ndarray, "episode time entry"], Bool[np.ndarray, " episode"], Float[np.ndarray, " episode"]]:
    """Play whole episodes; return paths, terminations and returns."""
    act = act_in_episodes(run.controller, sample=sample, seed=seed)
    played = play(act, run.source(), episodes, seed=seed, observe=observe, same_start=same_start)
    return played.paths, played.terminated, played.rewards.sum(axis=1)


class PlayedEpisodes(NamedTuple):
    """Whole episodes. After an episode's end its `paths` are NaN and its rewards 0."""

    paths: Float[np.ndarray, "episode time entry"]
    rewards: Float[np.ndarray, "episode step"]
    terminated: Bool[np.ndarray, " episode"]


def play(
    act: Act,
    source: EnvSource,
    episodes: int,
    *,
    seed: int = 0,
    observe: Observe | None = None,
    same_start: bool = False,
) -> PlayedEpisodes:
    """Play episodes in parallel environments of this process.

    Args:
        act: the policy.
        source: how to make the environment.
        episodes: how many.
        seed: of the initial states, which do not depend on the policy.
        observe: returns what is recorded of an environment; by default the flat observation.
        same_start: seed all episodes like the first one.
    """
    number, live = np.arange(episodes, dtype=np.int32), np.ones(episodes, bool)
    terminated, rewards = np.zeros(episodes, bool), []
    with LocalPool(source, episodes) as pool:

        def record(obs: np.ndarray) -> np.ndarray:
            entries = obs if observe is None else np.stack([observe(slot.env) for slot in pool.slots])
            return np.where(live[:, None], entries, np.nan).astype(np.float32)

        starts = {i: episode_seed(seed, 0 if same_start else i, 0, "evaluation") for i in range(episodes)}
        first = pool.reset_many(starts)
        obs = np.stack([first[i] for i in range(episodes)])
        path = [record(obs)]
        while live.any():
            step = pool.step(act(obs, number, np.full(episodes, len(path) - 1, np.int32)))
            rewards.append(np.where(live, step.reward, 0.0))
            path.append(record(step.next_obs))
            obs = np.where(live[:, None], step.next_obs, 0).astype(obs.dtype)
            terminated |= step.terminated & live
            ended = np.flatnonzero(step.terminated | step.truncated)
            live[ended] = False
            pool.reset_many({int(i): 0 for i in ended})  # they are stepped on, and not recorded
    return PlayedEpisodes(paths=np.stack(path, axis=1), rewards=np.stack(rewards, axis=1), terminated=terminated)
