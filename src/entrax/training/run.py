"""A trained policy and the directory it comes from."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Num, PRNGKeyArray

from entrax.agents.base import agent_name, get_agent
from entrax.agents.registry import REGISTRY
from entrax.environments.observations import Flattener
from entrax.environments.recorded import Given, flags_again, harmless, quoted, recorded_source, shown
from entrax.environments.source import EnvSource
from entrax.environments.spaces import as_env_actions, leaves_of
from entrax.errors import EntraxError, UsageError, damage_of
from entrax.evaluation.episodes import Evaluation, evaluate
from entrax.policies.controller import Compiled, Controller, act_in_episodes
from entrax.references import from_anywhere, is_file
from entrax.runs import checkpoint as checkpoints
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import subtree, unflatten
from entrax.spec import Spec
from entrax.training.devices import set_up
from entrax.training.normaliser import Normaliser
from entrax.training.options import checked_types
from entrax.training.player import Player, fitting
from entrax.training.precision import in_32_bits

LONGEST_COMMAND = 2000
"""Characters that one can be asked to type or copy."""


@in_32_bits
def load(
    path: str | Path,
    checkpoint: str = "latest",
    *,
    agent: str | Any | None = None,
    env: Given | None = None,
    env_args: Mapping[str, Any] | None = None,
) -> "Run":
    """See `entrax.api.load`."""
    directory = RunDirectory.open(path)
    arrays, _ = checkpoints.load_finite(directory, checkpoint, groups=("policy", "normaliser"))
    set_up(None, None)
    module, resolved = config_of(directory, agent)
    spec = directory.spec
    template = policy_template(module, resolved, spec, directory.config.get("prior"))
    normaliser = Normaliser(spec.scaled_size, directory.config["training"]["normalise_obs"])
    with damage_of(f"The checkpoint {checkpoint!r} of {directory.path}"):
        normaliser.restore(subtree("normaliser", arrays))
        policy = unflatten(template, subtree("policy", arrays))
    controller = Controller(policy=policy, scaling=normaliser.scaling(), spec=spec)
    return Run(
        directory=directory,
        controller=controller,
        checkpoint=checkpoint,
        env=env,
        env_args=env_args,
        agent=module,
    )


def config_of(directory: RunDirectory, agent: str | Any | None) -> tuple[ModuleType, Any]:
    """The run's algorithm and its resolved configuration; a third party's must be given again by `agent`."""
    name = directory.config["agent"]
    ours = name in tuple(REGISTRY)
    if not ours and agent is None:
        raise UsageError(
            f"This run's agent is {shown(name)}, outside entrax; name it again (--agent {quoted(name)}) to load it."
        )
    module = get_agent(name if ours else agent)
    if ours and agent is not None and get_agent(agent) is not module:
        raise UsageError(f"{directory.path} is a run of {name}, not of {shown(agent_name(agent))}.")
    return module, _configured(module, directory.config, directory.spec, directory.path / "config.json")


def _configured(module: ModuleType, record: Mapping[str, Any], spec: Spec, file: object = "config.json") -> Any:
    """The resolved configuration of an algorithm that `file` holds. Raises EntraxError when it cannot be one."""
    values = record["agent_config"]
    if not harmless(values):
        raise UsageError(f"A setting of the agent in {file} names a module or a file; a run must not choose those.")
    try:
        config = module.resolve(module.Config(**checked_types(module.Config, values)), spec)
        module.data(config)  # raises EntraxError where settings contradict each other
    except (EntraxError, TypeError, ValueError, OverflowError) as error:
        raise EntraxError(f"{file} is damaged: agent_config: {error}") from error
    return config


def policy_template(agent: ModuleType, config: Any, spec: Spec, prior: Mapping[str, Any] | None) -> Any:
    """A policy to be filled from a file: its arrays are shapes where it can be made without computing them."""
    if prior is None:
        return eqx.filter_eval_shape(lambda: agent.policy(config, agent.init(config, spec, jr.key(0))))
    return agent.policy(config, with_prior_placeholder(agent, config, agent.init(config, spec, jr.key(0)), spec, prior))


def with_prior_placeholder(
    agent: ModuleType, config: Any, state: Any, spec: Spec, prior: Mapping[str, Any] | None
) -> Any:
    """The state with room for the prior that config.json tells of, its arrays as shapes; as it is where that is None.

    Raises EntraxError when the agent takes no prior, or not this one.
    """
    if prior is None:
        return state
    if "with_prior" not in vars(agent):
        raise UsageError(f"Agent {agent.__name__.rpartition('.')[2]} takes no prior: dqn, discrete-sac and ppo do.")
    if prior["agent"] not in tuple(REGISTRY):
        name = shown(prior["agent"])
        raise UsageError(f"The prior is of {name}, outside entrax; nothing that a run names is imported.")
    module = get_agent(prior["agent"])
    template = policy_template(module, _configured(module, prior, spec), spec, prior.get("prior"))
    return agent.with_prior(config, state, template)


def command_again(verb: str, directory: RunDirectory, checkpoint: str = "latest") -> str:
    """Return the command of a verb on a run, with what the user must name again.

    Where no command can say that, return a line of Python.
    """
    config, path = directory.config, str(directory.path)
    flags, name = flags_again(config["environment"]), config["agent"]
    words = ["entrax", verb, path, *([] if checkpoint == "latest" else ["--checkpoint", checkpoint]), *(flags or [])]
    if name not in tuple(REGISTRY):
        words += ["--agent", from_anywhere(name)]
    command = shlex.join(words)
    named = name in tuple(REGISTRY) or ":" in name or is_file(name)
    if flags is not None and named and command.isprintable() and len(command) <= LONGEST_COMMAND:
        return command
    call = f"resume({path!r}" if verb == "resume" else f"load({path!r}, {checkpoint!r}"
    return f"entrax.{call}, ...) in Python, with env, env_args and agent as they were given"


def source_of(
    directory: RunDirectory, env: Given | None = None, env_args: Mapping[str, Any] | None = None
) -> EnvSource:
    """How to make the run's environment, or `env` with its arguments; see `recorded_source`."""
    source = recorded_source(directory.config.get("environment"), env, env_args, file=directory.path / "config.json")
    return replace(source, max_episode_steps=_recorded_count(directory, "max_episode_steps"))


def _recorded_count(directory: RunDirectory, name: str) -> int | None:
    """A training option that older runs lack. Raises EntraxError when it is no positive integer."""
    value = directory.config["training"].get(name)
    if value is None or (type(value) is int and value > 0):
        return value
    raise EntraxError(f"{directory.path / 'config.json'} is damaged: {name} should be a positive integer.")


@dataclass(frozen=True)
class Run:
    """A trained policy and the directory it comes from."""

    directory: RunDirectory
    controller: Controller
    checkpoint: str = "latest"
    env: Given | None = None
    env_args: Mapping[str, Any] | None = None
    agent: ModuleType | None = None

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

    @in_32_bits
    def policy(self, obs: Any, sample: bool = False, key: PRNGKeyArray | None = None) -> np.ndarray:
        """Actions within the environment's bounds, for one observation or a batch of them.

        Args:
            obs: what the environment returns, or a batch of it: an array [batch, *shape], a dictionary or tuple of such
                arrays, or a list of observations. Flat observations [batch, obs], as `entrax.transitions` has them, are
                taken where they cannot be mistaken for the environment's.
            sample: draw from the policy instead of taking its mode.
            key: a JAX random key, needed to sample.

        Returns an array of the action's shape (0-d for one Discrete action), or [batch, *shape]. Raises EntraxError for
        what does not fit the policy's observations, and for a policy over histories.
        """
        if self._compiled.remembers:
            raise UsageError(
                "This policy acts on an episode so far, not on one observation: player = run.player() acts step by "
                "step by player.act(obs), and player.reset() begins an episode."
            )
        if sample and key is None:
            raise UsageError("A sampled action needs a key: run.policy(obs, sample=True, key=jax.random.key(0)).")
        rows, single = fitting(self._flattener, obs)
        action, _ = self._compiled(_padded(rows), key=key if sample else None)
        shaped = as_env_actions(self._compiled.spec.action, action[: len(rows)])
        return np.asarray(shaped[0]) if single else shaped

    @in_32_bits
    def player(self, *, sample: bool = False, seed: int | None = None) -> Player:
        """The policy for a loop over an environment, with whatever it remembers of an episode.

        Args:
            sample: draw from the policy instead of taking its mode.
            seed: of the draws; by default the run's.

        `player.reset()` begins an episode, `player.act(obs)` returns an action.
        """
        seed = self.config["seed"] if seed is None else seed
        return Player(self._compiled, self._flattener, sample=sample, seed=seed)

    @in_32_bits
    def evaluate(
        self,
        episodes: int = 20,
        *,
        sample: bool = False,
        seed: int | None = None,
        workers: int | None = None,
        env: Given | None = None,
        eval_envs: int | None = None,
    ) -> Evaluation:
        """Returns of whole episodes, by the policy's mode or sampled; `seed` is the run's own by default.

        The seeds of the episodes differ from those that chose the best checkpoint. `env` is needed again for a run
        whose environment cannot be made from its configuration. `eval_envs` environments are made, by default as many
        as the run's evaluations had; another number changes the returns by rounding only.
        """
        seed = self.config["seed"] if seed is None else seed
        source = self.source(env)
        return evaluate(
            act_in_episodes(self.controller, sample=sample, seed=seed),
            source,
            episodes=episodes,
            seed=seed,
            policy="sampled" if sample else "mode",
            envs=_recorded_count(self.directory, "eval_envs") if eval_envs is None else eval_envs,
            workers=workers,
            step_timeout=self.step_timeout(source, workers),
        )

    def step_timeout(self, source: EnvSource, workers: int | None) -> float | None:
        """The run's limit of seconds for a step, where environments can be in processes that can be killed."""
        limit: float | None = self.config["training"]["step_timeout"]
        return limit if source.importable and workers != 0 else None

    def source(self, env: Given | None = None) -> EnvSource:
        """How to make the run's environment; see `source_of`."""
        return source_of(self.directory, self.env if env is None else env, self.env_args)

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiled(self.controller, jax.devices("cpu")[-1])

    @cached_property
    def _flattener(self) -> Flattener:
        leaves = self.controller.spec.observation
        if any(leaf.path is None for leaf in leaves) and not (len(leaves) == 1 and leaves[0].is_plain):
            env = self.source().make()  # a record of an older version lacks what flattening needs
            leaves = leaves_of(env.observation_space)
            env.close()
        return Flattener(leaves)


def _padded(rows: Num[np.ndarray, "batch obs"]) -> Num[np.ndarray, "padded obs"]:
    """The rows, and zeros up to the next power of two, so that batches of many sizes share a few programs."""
    count = 1 << max(len(rows) - 1, 0).bit_length()
    if count == len(rows):
        return rows
    padded = np.zeros((count, rows.shape[1]), rows.dtype)
    padded[: len(rows)] = rows
    return padded
