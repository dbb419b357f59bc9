"""What a run's config.json says, made again: its agent, configuration, policy and environment.

Nothing that a record names is imported: an agent or an environment of others is given again by the user.
"""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import equinox as eqx
import jax.random as jr

from entrax.agents.base import optional
from entrax.agents.lookup import agent_name, agents_with, get_agent, wraps
from entrax.agents.registry import is_registered
from entrax.environments.recorded import Given, flags_again, harmless, quoted, recorded_source, shown
from entrax.environments.source import EnvSource
from entrax.errors import EntraxError, UsageError
from entrax.references import from_anywhere, is_file
from entrax.runs.directory import RunDirectory
from entrax.spec import Spec
from entrax.training.options import TrainingOptions, checked_types

LONGEST_COMMAND = 2000
"""The most characters of a command that is worth copying."""


def config_of(directory: RunDirectory, agent: str | Any | None) -> tuple[ModuleType, Any]:
    """Return the run's agent and its resolved configuration; a third party's must be given again by `agent`."""
    module = get_agent(agent_again(directory, agent))
    return module, _configured(module, directory.config, directory.spec, directory.path / "config.json")


def agent_again(directory: RunDirectory, agent: str | Any | None) -> Any:
    """Return what `get_agent` takes for the run's algorithm: a recorded name of the registry, or what the user names.

    Raises UsageError where the user must name an agent, or names another one than the run's.
    """
    outer, inner = agent if isinstance(agent, tuple) else (agent, None)
    outer = _again(directory, "agent", outer)
    if "inner" not in directory.config or not wraps(outer):  # an agent in memory is whole
        return outer
    return outer, _again(directory, "inner", inner)


def _again(directory: RunDirectory, key: str, agent: str | Any | None) -> Any:
    name, what = directory.config[key], "agent" if key == "agent" else "inner agent"
    if is_registered(name):
        if agent is not None and get_agent(agent) is not get_agent(name):
            raise UsageError(f"The {what} of {directory.path} is {name}, not {shown(agent_name(agent))}.")
        return name
    if agent is None:
        raise UsageError(
            f"This run's {what} is {shown(name)}, outside entrax; name it again (--{key} {quoted(name)}) to load it."
        )
    return agent


def _configured(module: ModuleType, record: Mapping[str, Any], spec: Spec, file: object = "config.json") -> Any:
    """Return the resolved configuration that `file` holds. Raises EntraxError when it is damaged."""
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
    """Return a policy whose arrays are shapes only, to be filled from a checkpoint."""
    if prior is None:
        return eqx.filter_eval_shape(lambda: agent.policy(config, agent.init(config, spec, jr.key(0))))
    return agent.policy(config, state_template(agent, config, spec, prior))


def state_template(agent: ModuleType, config: Any, spec: Spec, prior: Mapping[str, Any] | None) -> Any:
    """Return a state to be filled from a file; its arrays are shapes, except those of a run with a prior."""
    if prior is None:
        return eqx.filter_eval_shape(lambda: agent.init(config, spec, jr.key(0)))
    return with_prior_placeholder(agent, config, agent.init(config, spec, jr.key(0)), spec, prior)


def with_prior_placeholder(
    agent: ModuleType, config: Any, state: Any, spec: Spec, prior: Mapping[str, Any] | None
) -> Any:
    """Add placeholder arrays for the prior, if there is one.

    Raises EntraxError when the agent takes no prior, or not this one.
    """
    if prior is None:
        return state
    with_prior = optional(agent, "with_prior")
    if with_prior is None:
        able = ", ".join(agents_with("with_prior"))
        raise UsageError(f"Agent {agent.__name__.rpartition('.')[2]} takes no prior; {able} do.")
    if not is_registered(prior["agent"]):
        name = shown(prior["agent"])
        raise UsageError(f"The prior is of {name}, outside entrax; nothing that a run names is imported.")
    module = get_agent(prior["agent"])
    template = policy_template(module, _configured(module, prior, spec), spec, prior.get("prior"))
    return with_prior(config, state, template)


def source_of(
    directory: RunDirectory, env: Given | None = None, env_args: Mapping[str, Any] | None = None
) -> EnvSource:
    """Return how to make the run's environment, or `env` with its arguments; see `recorded_source`."""
    source = recorded_source(directory.config.get("environment"), env, env_args, file=directory.path / "config.json")
    return replace(source, max_episode_steps=recorded_count(directory, "max_episode_steps"))


def recorded_count(directory: RunDirectory, name: str) -> int | None:
    """Return a training option that older runs lack. Raises EntraxError when it is no positive integer."""
    value = directory.config["training"].get(name)
    if value is None or (type(value) is int and value > 0):
        return value
    raise EntraxError(f"{directory.path / 'config.json'} is damaged: {name} should be a positive integer.")


def command_again(verb: str, directory: RunDirectory, checkpoint: str = "latest") -> str:
    """Return the command of a verb on a run, with what the user must name again.

    Where no command can say that, return a line of Python.
    """
    config, path = directory.config, str(directory.path)
    flags = flags_again(config["environment"])
    words = ["entrax", verb, path, *([] if checkpoint == "latest" else ["--checkpoint", checkpoint]), *(flags or [])]
    names = {key: config[key] for key in ("agent", "inner") if key in config}
    foreign = {key: name for key, name in names.items() if not is_registered(name)}
    words += [word for key, name in foreign.items() for word in (f"--{key}", from_anywhere(name))]
    command = shlex.join(words)
    named = all(":" in name or is_file(name) for name in foreign.values())
    if flags is not None and named and command.isprintable() and len(command) <= LONGEST_COMMAND:
        return command
    call = f"resume({path!r}" if verb == "resume" else f"load({path!r}, {checkpoint!r}"
    return f"entrax.{call}, ...) in Python, with env, env_args and agent as they were given"


def options_of(directory: RunDirectory) -> TrainingOptions:
    """Return the training options of a run. Raises EntraxError when config.json does not hold such."""
    try:
        return TrainingOptions(**directory.config["training"])
    except (EntraxError, TypeError) as error:
        raise EntraxError(f"{directory.path / 'config.json'} is damaged: {error}.") from error
