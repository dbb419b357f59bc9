"""A trained policy and the directory it comes from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from entrax.agents.base import get_agent
from entrax.agents.controller import Controller, Scaling, act_in_episodes
from entrax.environments.source import EnvSource, as_source
from entrax.environments.spaces import flattener
from entrax.errors import EntraxError
from entrax.evaluation.episodes import Evaluation, evaluate
from entrax.runs import checkpoint as checkpoints
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import unflatten
from entrax.spec import Continuous, Progress, spec_from_json
from entrax.training.devices import set_up
from entrax.training.normaliser import Normaliser


def load(path: str | Path, checkpoint: str = "latest", *, agent: str | None = None) -> "Run":
    """See `entrax.api.load`."""
    directory = RunDirectory.open(path)
    config = directory.config
    name = config["agent"]
    if ":" in name and agent != name:
        raise EntraxError(f"This run's agent is {name!r}, outside entrax; name it again (--agent {name}) to load it.")
    set_up(None, None)
    module, spec = get_agent(name), spec_from_json(config["spec"])
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in config["agent_config"].items()}
    resolved = module.resolve(module.Config(**values), spec)
    arrays, _ = checkpoints.load(directory, checkpoint)
    template = eqx.filter_eval_shape(lambda: module.policy(resolved, module.init(resolved, spec, jr.key(0))))
    normaliser = Normaliser(spec.obs_size, config["training"]["normalise_obs"])
    normaliser.restore(_below("normaliser", arrays))
    mean, scale = normaliser.scaling()
    controller = Controller(
        policy=unflatten(template, _below("policy", arrays)), scaling=Scaling(mean=mean, scale=scale), spec=spec
    )
    return Run(directory=directory, controller=controller, checkpoint=checkpoint)


@dataclass(frozen=True)
class Run:
    """A trained policy and the directory it comes from."""

    directory: RunDirectory
    controller: Controller
    checkpoint: str = "latest"

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self.directory.path

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, with versions."""
        return self.directory.config

    def metrics(self) -> list[dict[str, Any]]:
        """All rows of the run, oldest first."""
        return self.directory.metrics()

    def policy(self, obs: Any, sample: bool = False, key: PRNGKeyArray | None = None) -> np.ndarray:
        """Actions within the environment's bounds, for one observation or a batch of them.

        Args:
            obs: what the environment returned (an array, or a dictionary or tuple for such spaces), or a batch of flat
                observations [batch, obs].
            sample: draw from the policy instead of taking its mode.
            key: a JAX random key, needed to sample.

        Returns an array of the action's shape, or [batch, *shape].
        """
        flat, single = self._flat(obs)
        if not sample:
            action = self.controller.mode(flat)
        elif key is None:
            raise EntraxError("A sampled action needs a key: run.policy(obs, sample=True, key=jax.random.key(0)).")
        else:
            progress = Progress(step=np.int32(0), horizon=np.int32(1))
            action = self.controller.sample(flat, progress, jr.split(key, len(flat)))
        assert isinstance(self.controller.spec.action, Continuous)
        shaped = np.asarray(action).reshape(len(flat), *self.controller.spec.action.shape)
        return shaped[0] if single else shaped

    def evaluate(
        self,
        episodes: int = 20,
        *,
        sample: bool = False,
        seed: int | None = None,
        workers: int | None = None,
        env: str | Callable[[], gymnasium.Env] | None = None,
    ) -> Evaluation:
        """Returns of whole episodes, by the policy's mode or sampled; `seed` is the run's own by default.

        The seeds of the episodes differ from those that chose the best checkpoint. `env` is needed again for a run
        whose environment cannot be made from its configuration.
        """
        seed = self.config["seed"] if seed is None else seed
        return evaluate(
            act_in_episodes(self.controller, sample=sample, seed=seed),
            self.source(env),
            episodes=episodes,
            seed=seed,
            policy="sampled" if sample else "mode",
            workers=workers,
        )

    def source(self, env: str | Callable[[], gymnasium.Env] | None = None) -> EnvSource:
        """How to make the run's environment; raises EntraxError when only `env` could tell and it is not given."""
        if env is not None:
            return as_source(env, self.config["environment"]["kwargs"])
        return EnvSource.from_json(self.config["environment"])

    def _flat(self, obs: Any) -> tuple[np.ndarray, bool]:
        size = self.controller.spec.obs_size
        if isinstance(obs, dict | tuple):
            space = self.source().make().observation_space
            return flattener(space)(obs)[None], True
        array = np.asarray(obs, np.float32)
        if array.ndim == 2 and array.shape[1] == size:
            return array, False
        if array.size == size:
            return array.reshape(1, size), True
        raise EntraxError(f"The policy takes observations of {size} numbers, or batches of them, not {array.shape}.")


def _below(group: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose path begins with `group`, by the rest of their path."""
    return {k.removeprefix(f"{group}/"): v for k, v in arrays.items() if k.startswith(f"{group}/")}
