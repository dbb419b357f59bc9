"""From a request to a task: everything checked and resolved before a run starts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import ModuleType
from typing import Any, NamedTuple

import equinox as eqx

from entrax.agents.base import loop_defaults_of
from entrax.agents.check import check_agent
from entrax.agents.lookup import agent_names, get_agent
from entrax.agents.registry import default_agent, is_registered
from entrax.environments.check import CheckedEnvironment, check_environment
from entrax.environments.goals import goal_places
from entrax.environments.source import EnvSource, as_source
from entrax.errors import UsageError
from entrax.foreign import unknown
from entrax.replay import Data, Uniform
from entrax.runs.directory import RunDirectory
from entrax.runs.versions import versions
from entrax.spec import Spec
from entrax.training.devices import Devices, available_threads, set_up
from entrax.training.memory import check_memory, check_networks
from entrax.training.normaliser import check_reward_scale
from entrax.training.options import TrainingOptions, checked_types, get_preset
from entrax.training.request import Request

PARAMETERS = {"env", "agent", "env_args", "run"}
"""What `entrax.train` takes besides settings."""
BEFORE_SPEC = {"steps", "horizon", "workers", "step_timeout", "max_episode_steps", "device", "threads"}
"""Options that are used before an agent's own defaults are known, which depend on the environment."""


@dataclass(frozen=True)
class Task:
    """Everything that a run's outcome depends on, besides its initial state."""

    source: EnvSource
    spec: Spec
    agent: ModuleType
    config: Any  # as `agent.resolve` returned it
    options: TrainingOptions  # resolved
    seed: int


class Resolved(NamedTuple):
    """A task with the content of its config.json, the warnings of its environment's check, and the devices to use."""

    task: Task
    record: dict[str, Any]
    warnings: tuple[str, ...]
    devices: Devices


def resolve(request: Request, existing: RunDirectory | None, stored: int, offline: bool) -> Resolved:
    """Check a request and fill in every default.

    Args:
        request: what the user asks for.
        existing: the run to resume, whose agent, horizon and threads are the defaults.
        stored: transitions that the initial state holds.
        offline: whether they are all that is learned from.

    Raises EntraxError for anything that does not fit, EnvironmentFault for an environment that misbehaves.
    """
    agent, preset, settings = request.agent, request.preset, dict(request.settings)
    if existing is not None:
        recorded = existing.config["training"]
        agent = existing.config["agent"] if agent is None and is_registered(existing.config["agent"]) else agent
        settings |= {name: settings.get(name, recorded[name]) for name in ("horizon", "threads")}
    if agent is not None:
        configure(get_agent(agent), preset, settings)  # a mistake is reported before the environment is stepped
    checked = _checked_environment(request, loop_options(preset, settings))
    agent = default_agent(checked.spec, get_preset(preset).algorithm) if agent is None else agent
    module, names = get_agent(agent), agent_names(agent)
    options, config = configure(module, preset, settings)
    if options.threads is None:
        options = replace(options, threads=available_threads())  # a resumed run needs as many
    devices = set_up(options.device, options.threads)  # before `resolve`, whose arrays start JAX
    resolved = module.resolve(config, checked.spec)
    if not is_registered(names["agent"]):  # ours are checked by the tests
        check_agent(module, checked.spec, resolved)
    options = complete(options, module, resolved, checked.spec, settings, preset, existing=existing, offline=offline)
    task = Task(
        source=checked.source, spec=checked.spec, agent=module, config=resolved, options=options, seed=request.seed
    )
    check_resources(task, stored)
    return Resolved(task, _record(task, names, config, preset), checked.warnings, devices)


def check_resources(task: Task, stored: int) -> None:
    """Raise EntraxError if replay or networks don't fit into memory, or rewards cannot be scaled as asked."""
    check_memory(task.agent.data(task.config), task.spec, task.options, stored)
    check_reward_scale(task.config, task.options.normalise_rewards)
    check_networks(task.agent, task.config, task.spec)


def _checked_environment(request: Request, options: TrainingOptions) -> CheckedEnvironment:
    assert request.env is not None
    source = as_source(request.env, request.env_args or {})
    source = replace(source, max_episode_steps=options.max_episode_steps)
    return check_environment(source, request.seed, workers=options.workers, step_timeout=options.step_timeout)


def _record(task: Task, agent: Mapping[str, str], config: Any, preset: str) -> dict[str, Any]:
    """Return the content of config.json: with the versions, all that a run follows from."""
    return {
        "versions": versions(),
        "environment": task.source.to_json(),
        **agent,
        "agent_config": asdict(config),
        "training": asdict(task.options),
        "preset": preset,
        "seed": task.seed,
        "spec": asdict(task.spec),
    }


def complete(
    options: TrainingOptions,
    agent: ModuleType,
    config: Any,
    spec: Spec,
    settings: Mapping[str, Any],
    preset: str,
    *,
    existing: RunDirectory | None = None,
    offline: bool = False,
) -> TrainingOptions:
    """Return the options with the agent's own defaults and what its kind of data fixes.

    `options` and `config` are those of `configure`, the latter resolved.

    Raises EntraxError for options that do not fit the agent's data or the observations.
    """
    options = _with_agent_defaults(options, agent, config, spec, existing, settings, preset)
    if options.normalise_obs and spec.image is not None:
        raise UsageError("An image is scaled by its own range: remove `normalise_obs`.")
    if options.normalise_obs and spec.mask is not None:
        raise UsageError("An action mask is not to be scaled: remove `normalise_obs`.")
    if options.normalise_obs and vars(config).get("termination", "learned") not in ("learned", "never"):
        raise UsageError("`termination` is a rule for observations in their units: remove `normalise_obs`.")
    if options.hindsight > 0:
        goal_places(spec)
        if not isinstance(agent.data(config), Uniform):
            raise UsageError("`hindsight` requires an agent that learns from single transitions, such as dqn or sac.")
    if offline:
        options = offline_options(options, agent.data(config), settings)
    return apply_data_constraints(options, agent.data(config), settings)


def _with_agent_defaults(
    options: TrainingOptions,
    agent: ModuleType,
    config: Any,
    spec: Spec,
    existing: RunDirectory | None,
    settings: Mapping[str, Any],
    preset: str,
) -> TrainingOptions:
    """Apply the agent's own defaults, or those of a run to resume, to what neither the user nor the preset sets."""
    own = loop_defaults_of(agent, config, spec, {f.name for f in fields(TrainingOptions)} - BEFORE_SPEC)
    named = settings.keys() | get_preset(preset).options.keys()
    defaults = {name: value for name, value in own.items() if name not in named}
    if existing is not None:
        recorded = existing.config["training"]  # that of an older run may lack an option, which then had its default
        return replace(options, **{name: recorded.get(name, getattr(TrainingOptions(), name)) for name in defaults})
    data, first = agent.data(config), options.learning_starts or 0
    while defaults.get("envs", 1) > 1 and not data.on_policy and data.steps_needed(defaults["envs"]) > first:
        defaults["envs"] //= 2
    return replace(options, **defaults)


def offline_options(options: TrainingOptions, data: Data, settings: Mapping[str, Any]) -> TrainingOptions:
    """Return the options of a run that learns from a data set only.

    Raises EntraxError when `settings` has options of collecting, or the agent is on-policy.
    """
    if data.on_policy:
        raise UsageError("`data` requires an agent with a replay: this one learns from its own latest steps only.")
    for name in sorted({"envs", "learning_starts", "restart_envs"} & settings.keys()):
        raise UsageError(f"`{name}` has no effect with `data`, which takes no steps; remove it.")
    return replace(options, envs=1, learning_starts=data.steps_needed(1))


def apply_data_constraints(options: TrainingOptions, data: Data, settings: Mapping[str, Any]) -> TrainingOptions:
    """Return the options with those that the agent's kind of data fixes.

    Raises EntraxError when `settings` has one of these, when others don't suit the data, or when one chunk would
    overflow the replay.
    """
    fixed = data.fixed_options(options.steps, options.envs, options.learning_starts or 0)
    for name in sorted(fixed.keys() & settings.keys()):
        raise UsageError(f"`{name}` is fixed for on-policy agents; remove it.")
    options = replace(options, **fixed)  # type: ignore[arg-type]
    if options.chunk * options.envs > data.capacity:
        raise UsageError(
            f"A chunk of {options.chunk} steps of {options.envs} environments does not fit a replay of "
            f"{data.capacity}: lower `chunk` or raise `replay_size`."
        )
    return options


def configure(agent: Any, preset: str, settings: Mapping[str, Any]) -> tuple[TrainingOptions, eqx.Module]:
    """Return the options and the agent's configuration: defaults, then the preset's values, then `settings`.

    Raises EntraxError for a setting that neither has.
    """
    chosen, option_names = get_preset(preset), {f.name for f in fields(TrainingOptions)}
    config_names = {f.name for f in fields(agent.Config)}
    for name in settings:
        if name not in option_names | config_names:
            raise UsageError(unknown(name, option_names | config_names | PARAMETERS))
    values = {k: v for k, v in (chosen.agent | dict(settings)).items() if k in config_names}
    config = agent.Config(**checked_types(agent.Config, values))
    return loop_options(preset, settings).resolved(), config


def loop_options(preset: str, settings: Mapping[str, Any]) -> TrainingOptions:
    """Return the training options: defaults, then the preset's values, then those of `settings` that are options.

    The preset's `learning_starts` does not exceed a tenth of the horizon.
    """
    names = {f.name for f in fields(TrainingOptions)}
    given = {k: v for k, v in settings.items() if k in names}
    options = TrainingOptions(**checked_types(TrainingOptions, get_preset(preset).options | given))
    if options.learning_starts is None or "learning_starts" in given:
        return options
    return replace(options, learning_starts=min(options.learning_starts, options.tenth))
