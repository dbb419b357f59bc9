"""Training runs of studies, kept by their configuration: what is finished is loaded, what was begun goes on."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Bool, Float

from entrax.agents.base import get_agent
from entrax.environments.pool import LocalPool
from entrax.environments.seeds import episode_seed
from entrax.environments.source import EnvSource
from entrax.errors import UsageError
from entrax.evaluation.episodes import Act
from entrax.policies.controller import act_in_episodes
from entrax.runs.directory import RunDirectory
from entrax.runs.records import dumps, to_json
from entrax.training.request import Request, SourceRequest
from entrax.training.resume import finished
from entrax.training.run import Run, load
from entrax.training.source_checkpoint import load_source_checkpoint, recorded
from entrax.training.task import configure
from entrax.training.train import train

Look = Callable[[gymnasium.Env], Float[np.ndarray, " entry"]]


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

    The directory's name is a digest of the arguments, so that whatever they determine is trained once. Raises
    EntraxError, too, for a finished run of an entrax whose defaults were others.
    """
    named = [sorted(values.items()) for values in (settings, env_args or {})]
    path = kept(out, [env, agent, seed, named])
    if not complete(path):
        request = Request(env=env, agent=agent, settings=settings, seed=seed, run=path, env_args=env_args, resume=True)
        return train(request)
    found = load(path)
    check_defaults(found, agent, settings)
    return found


def tuned(
    ancestor: Run,
    env: str,
    settings: Mapping[str, Any],
    out: Path,
    *,
    env_args: Mapping[str, Any] | None = None,
) -> Run:
    """What `trained` gave fine-tuned in `env`, with the ancestor's seed, and kept in the same way.

    Raises EntraxError as `finetune` does, and for a finished run whose ancestor has been trained anew.
    """
    named = [sorted(values.items()) for values in (settings, env_args or {})]
    path = kept(out, ["after", ancestor.path.name, env, named])
    if not complete(path):
        own = {f.name for f in fields(SourceRequest)} & settings.keys()
        source = SourceRequest(path=ancestor.path, **{name: settings[name] for name in own})
        rest = {name: value for name, value in settings.items() if name not in own}
        return train(
            Request(env=env, settings=rest, seed=None, run=path, env_args=env_args, source=source, resume=True)
        )
    found = load(path)
    before = recorded(load_source_checkpoint(ancestor.path, settings.get("checkpoint", "latest"), None))
    if found.config["ancestor"]["sha256"] != before["sha256"]:
        raise UsageError(f"{path} does not begin with what {ancestor.path} is now: remove it, or take another `out`.")
    return found


def kept(out: Path, arguments: list[Any]) -> Path:
    """The directory of a run that follows from these arguments, whose digest is its name."""
    return out / "runs" / hashlib.sha256(dumps(arguments).encode()).hexdigest()[:16]


def complete(path: Path) -> bool:
    """Whether a run is there that has taken all of its steps."""
    return (path / "config.json").exists() and finished(RunDirectory.open(path), None)


def check_defaults(run: Run, agent: str, settings: Mapping[str, Any]) -> None:
    """Raises EntraxError when a setting that was left to its default has another one by now."""
    options, config = configure(get_agent(agent), run.config["preset"], settings)
    for group, values in (("agent_config", config), ("training", options)):
        then = run.config[group]
        for name, now in to_json(asdict(values)).items():
            if name not in ("threads", "device") and then.get(name, now) != now:
                raise UsageError(
                    f"{run.path} was trained with {name} {then[name]}, which is {now} by now; remove it, or choose "
                    "another `out`."
                )


def paths_of(
    run: Run, episodes: int, *, sample: bool, seed: int = 0, look: Look | None = None, same_start: bool = False
) -> tuple[Float[np.ndarray, "episode time entry"], Bool[np.ndarray, " episode"], Float[np.ndarray, " episode"]]:
    """What is seen in whole episodes, as `play` has it; whether they terminated; and their returns."""
    act = act_in_episodes(run.controller, sample=sample, seed=seed)
    played = play(act, run.source(), episodes, seed=seed, look=look, same_start=same_start)
    return played.paths, played.terminated, played.rewards.sum(axis=1)


class Played(NamedTuple):
    """Whole episodes. `paths` are what is seen, NaN after an episode's end, where rewards are 0."""

    paths: Float[np.ndarray, "episode time entry"]
    rewards: Float[np.ndarray, "episode step"]
    terminated: Bool[np.ndarray, " episode"]


def play(
    act: Act,
    source: EnvSource,
    episodes: int,
    *,
    seed: int = 0,
    look: Look | None = None,
    same_start: bool = False,
) -> Played:
    """Play episodes side by side, stepped in this process; of one seed they start alike whoever acts.

    Seen are the flat observations, or what `look` tells of an environment. With `same_start` all episodes are seeded as
    the first one is.
    """
    number, live = np.arange(episodes, dtype=np.int32), np.ones(episodes, bool)
    terminated, rewards = np.zeros(episodes, bool), []
    with LocalPool(source, episodes) as pool:

        def seen(obs: np.ndarray) -> np.ndarray:
            here = obs if look is None else np.stack([look(slot.env) for slot in pool.slots])
            return np.where(live[:, None], here, np.nan).astype(np.float32)

        starts = {i: episode_seed(seed, 0 if same_start else i, 0, "evaluation") for i in range(episodes)}
        first = pool.reset_many(starts)
        obs = np.stack([first[i] for i in range(episodes)])
        path = [seen(obs)]
        while live.any():
            step = pool.step(act(obs, number, np.full(episodes, len(path) - 1, np.int32)))
            rewards.append(np.where(live, step.reward, 0.0))
            path.append(seen(step.next_obs))
            obs = np.where(live[:, None], step.next_obs, 0).astype(obs.dtype)
            terminated |= step.terminated & live
            ended = np.flatnonzero(step.terminated | step.truncated)
            live[ended] = False
            pool.reset_many({int(i): 0 for i in ended})  # they are stepped along, and not looked at
    return Played(paths=np.stack(path, axis=1), rewards=np.stack(rewards, axis=1), terminated=terminated)
