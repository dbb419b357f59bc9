"""Data sets: the replay of a run, and those of Minari."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
from jaxtyping import Num

from entrax.environments.spaces import agent_integers, flattener, spec_of
from entrax.errors import UsageError
from entrax.replay import Data
from entrax.spec import Continuous, Discrete, MultiDiscrete, Spec, Transition
from entrax.training.source_checkpoint import check_spaces, load_source_checkpoint, recorded, stored


@dataclass(frozen=True)
class Dataset:
    """Transitions [transition, ...], one environment or episode after another; `record` is for config.json."""

    spec: Spec
    steps: Transition
    record: Mapping[str, Any]


def read_data(source: str | Path, checkpoint: str = "latest") -> Dataset:
    """Read the replay of the run in directory `source`, or the Minari data set of that id."""
    if Path(source).is_dir():
        run = load_source_checkpoint(source, checkpoint, None)
        spec, steps, record = run.spec, _in_rows(stored(run)._replace(carry=None)), recorded(run)
        if isinstance(spec.action, Continuous):  # a Gaussian's draws go beyond, and the environment clipped them
            steps = steps._replace(action=np.clip(steps.action, -1.0, 1.0))
    else:
        dataset = _minari(str(source))
        spec = _spec(dataset)
        steps = _episodes(dataset, spec.action)
        made_in = dataset.spec.env_spec
        record = {"path": str(source), "environment": None if made_in is None else made_in.id}
    if not len(steps.reward):
        raise UsageError(f"{source} holds no transition.")
    for name, part in steps.fields().items():
        if not np.isfinite(part).all():
            raise UsageError(f"{source} holds a {name} that is not finite in float32: no agent can learn from it.")
    digest = hashlib.sha256()
    for part in steps.fields().values():
        digest.update(np.ascontiguousarray(part).data)
    record |= {"transitions": len(steps.reward), "sha256": digest.hexdigest()}
    return Dataset(spec=spec, steps=steps, record=record)


def in_order_of(spec: Spec, data: Dataset) -> Dataset:
    """Return the data with the parts of its observations in the order of `spec`, where the names are the same."""
    ends = np.cumsum([leaf.size for leaf in data.spec.observation])
    places = {leaf.name: np.arange(end - leaf.size, end) for leaf, end in zip(data.spec.observation, ends, strict=True)}
    names = [leaf.name for leaf in spec.observation]
    if names == [*places] or sorted(names) != sorted(places):
        return data
    columns = np.concatenate([places[name] for name in names])
    leaves = {leaf.name: leaf for leaf in data.spec.observation}
    return replace(
        data,
        spec=replace(data.spec, observation=tuple(leaves[name] for name in names)),
        steps=data.steps._replace(obs=data.steps.obs[:, columns], next_obs=data.steps.next_obs[:, columns]),
    )


def check_data(data: Dataset, spec: Spec, required: Data) -> None:
    """Raise UsageError unless an agent for `spec` that requires data of some kind can learn from the data."""
    path = data.record["path"]
    check_spaces(data.spec, spec, path)
    ours, theirs = spec.action, data.spec.action
    if (
        isinstance(ours, Continuous)
        and isinstance(theirs, Continuous)
        and not np.allclose((ours.low, ours.high), (theirs.low, theirs.high))  # up to rounding to float32
    ):
        raise UsageError(f"The actions of {path} have other bounds than those of the environment.")
    count, least, most = len(data.steps.reward), required.steps_needed(1), required.capacity
    if count > most:
        raise UsageError(f"{path} has {count} transitions: `replay_size` must be at least that, not {most}.")
    if count < least:
        raise UsageError(f"{path} has {count} transitions, but this agent requires {least} to draw a sequence.")


def _in_rows(steps: Transition) -> Transition:
    """Reshape [time, env, ...] to [transition, ...], one environment after another.

    A step whose successor is not the next step's observation is truncated: the last of each environment, and, in the
    replay of a fine-tuned run, the last of those carried over.
    """
    follows = np.zeros_like(steps.truncated)
    for t in range(1, len(follows)):
        follows[t - 1] = (steps.next_obs[t - 1] == steps.obs[t]).all(axis=-1)
    steps = steps._replace(truncated=steps.truncated | ~(follows | steps.terminated))
    return jax.tree.map(lambda part: np.swapaxes(part, 0, 1).reshape(-1, *part.shape[2:]), steps)


def _minari(name: str) -> Any:
    """Return a Minari data set. Raises EntraxError when it, or Minari, is not installed."""
    try:
        import minari
    except ImportError as error:
        raise UsageError(
            f"There is no run directory {name}. To use it as a Minari data set, `pip install entrax[minari]`."
        ) from error
    try:
        return minari.load_dataset(name)
    except (ValueError, FileNotFoundError, KeyError, ImportError) as error:
        raise UsageError(
            f"{name} is neither a run directory nor a readable Minari data set ({error}). "
            f"To fetch the data set, `minari download {name}`."
        ) from error


def _spec(dataset: Any) -> Spec:
    env: gymnasium.Env = gymnasium.Env()
    env.observation_space, env.action_space = dataset.observation_space, dataset.action_space
    return spec_of(env)


def _episodes(dataset: Any, action: Continuous | Discrete | MultiDiscrete) -> Transition:
    """Return the transitions of a Minari data set, one episode after another."""
    flat = flattener(dataset.observation_space)
    parts = []
    for episode in dataset.iterate_episodes():
        count = len(episode.rewards)
        try:
            obs = np.stack([flat(_at(episode.observations, t)) for t in range(count + 1)])
        except ValueError as error:
            raise UsageError(f"The Minari data set {dataset.spec.dataset_id} has {error}.") from error
        truncated = np.array(episode.truncations, bool)
        truncated[-1] |= not episode.terminations[-1]
        parts.append(
            Transition(
                obs=obs[:-1],
                action=_unit(action, np.asarray(episode.actions).reshape(count, -1)),
                reward=_float32(episode.rewards),
                next_obs=obs[1:],
                terminated=np.asarray(episode.terminations, bool),
                truncated=truncated,
            )
        )
    if not parts:
        raise UsageError(f"The Minari data set {dataset.spec.dataset_id} holds no episode.")
    return jax.tree.map(lambda *part: np.concatenate(part), *parts)


def _float32(values: Any) -> np.ndarray:
    with np.errstate(over="ignore"):  # what becomes infinite is refused later
        return np.asarray(values).astype(np.float32)


def _at(values: Any, t: int) -> Any:
    """Return the observation at time `t` of arrays, or of dictionaries or tuples of arrays."""
    if isinstance(values, dict):
        return {name: _at(part, t) for name, part in values.items()}
    return tuple(_at(part, t) for part in values) if isinstance(values, tuple) else values[t]


def _unit(
    action: Continuous | Discrete | MultiDiscrete, taken: Num[np.ndarray, "time action"]
) -> Num[np.ndarray, "time action"]:
    """Convert the environment's actions to the agent's."""
    if isinstance(action, Continuous):
        low, high = np.asarray(action.low), np.asarray(action.high)
        half = np.where(high > low, (high - low) / 2, 1.0)  # an entry with one value only is 0
        return np.clip((taken - (low + high) / 2) / half, -1.0, 1.0).astype(np.float32)
    return agent_integers(action, taken)
