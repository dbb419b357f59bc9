"""From what the user asked for to a run under way."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

from entrax.agents.base import agent_name, get_agent
from entrax.agents.registry import REGISTRY, default_agent
from entrax.environments.check import check_environment
from entrax.environments.recorded import Given
from entrax.environments.source import as_source
from entrax.errors import UsageError, say
from entrax.foreign import unknown
from entrax.programs import release_programs
from entrax.replay import Data
from entrax.runs.directory import RunDirectory
from entrax.runs.lock import writing
from entrax.runs.metrics import MetricsWriter
from entrax.runs.records import to_json
from entrax.runs.versions import provenance, versions
from entrax.spec import Spec
from entrax.training.devices import available_threads, set_up
from entrax.training.loop import Hook, Loggers, Task, Training
from entrax.training.memory import check_memory, check_networks
from entrax.training.normaliser import RewardScale
from entrax.training.options import TrainingOptions, checked_types, get_preset
from entrax.training.resume import resume as resume_run
from entrax.training.resume import same_run
from entrax.training.run import Run

PARAMETERS = {"env", "agent", "env_args", "run"}
"""What `train` takes besides settings."""
Begin = Callable[[Task, str | Path, dict[str, Any]], RunDirectory]


def train(
    env: Given,
    agent: str | Any | None = None,
    *,
    steps: int | float | None = None,
    seed: Any = 0,
    run: str | Path | None = None,
    preset: str = "paper",
    env_args: Mapping[str, Any] | None = None,
    hook: Hook | None = None,
    loggers: Loggers = lambda run: (),
    start_time: float | None = None,
    resume: bool = False,
    begin: Begin | None = None,
    record: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """See `entrax.api.train`.

    `begin` makes the directory of a run that does not begin with nothing; `record` is what its config.json tells of it.
    """
    start_time = time.perf_counter() if start_time is None else start_time
    runs, run = Path("runs").absolute(), absolute(run)  # before an environment changes the working directory
    if steps is not None:
        settings["steps"] = steps
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise UsageError(f"`seed` must be an integer from 0 to {2**63 - 1:,}, got {seed!r}.")
    if env_args is not None and not isinstance(env_args, Mapping):
        raise UsageError(f"`env_args` must be a dictionary of arguments by name, got {env_args!r}.")
    if hook is not None and not callable(hook):
        raise UsageError(f"`hook` must be a function of a row of metrics, got {hook!r}.")
    seed = int(seed)
    if settings.get("target_kl") not in (None, 0) and "prior" not in (record or {}):
        raise UsageError("`target_kl` requires a `prior`.")
    there = existing(run) if resume else None
    if there is not None:
        agent = there.config["agent"] if agent is None and there.config["agent"] in tuple(REGISTRY) else agent
        settings |= {name: settings.get(name, there.config["training"][name]) for name in ("horizon", "threads")}
    if agent is not None:
        configure(get_agent(agent), preset, settings)  # a mistake is better told before anything is stepped
    loop = loop_options(preset, settings)
    source = replace(as_source(env, env_args or {}), max_episode_steps=loop.max_episode_steps)
    checked = check_environment(source, seed, workers=loop.workers, step_timeout=loop.step_timeout)
    agent = default_agent(checked.spec) if agent is None else agent
    module, name = get_agent(agent), agent_name(agent)
    options, config = configure(module, preset, settings)
    if options.threads is None:
        options = replace(options, threads=available_threads())  # a resumed run must have as many
    devices = set_up(options.device, options.threads)  # before `resolve`, whose arrays start JAX
    resolved = module.resolve(config, checked.spec)
    named = settings.keys() | get_preset(preset).options.keys()
    options = with_agent_defaults(options, module, resolved, checked.spec, named, there)
    if options.normalise_obs and checked.spec.image is not None:
        raise UsageError("An image is scaled by its own range: remove `normalise_obs`.")
    if "data" in (record or {}):
        options = offline_options(options, module.data(resolved), settings)
    options = apply_data_constraints(options, module.data(resolved), settings)
    check_memory(module.data(resolved), checked.spec, options)
    RewardScale.of(resolved, options.envs, options.normalise_rewards)  # refuses what has no discount
    check_networks(module, resolved, checked.spec)
    source = checked.source
    task = Task(source=source, spec=checked.spec, agent=module, config=resolved, options=options, seed=seed)
    if there is not None:
        same_run(there, to_json(described(task, name, config, preset) | dict(record or {})))
        return resume_run(
            there.path,
            steps=options.steps,
            device=options.device,
            agent=module,
            env=source,
            hook=hook,
            loggers=loggers,
            start_time=start_time,
        )
    path = run if run is not None else RunDirectory.unused_path(runs, f"{source.stem}_{Path(name).stem}_{seed}")
    whole = described(task, name, config, preset) | dict(record or {})
    directory = begin(task, path, whole) if begin else RunDirectory.create(path, whole, again=resume)
    with writing(directory.path):
        directory.append_event({"kind": "started", "step": 0, **provenance()})
        for warning in checked.warnings:
            say(warning)
            directory.append_event({"kind": "warning", "step": 0, "message": warning})
        writer = MetricsWriter(directory, loggers(directory))
        try:
            training = Training(task, directory, writer, devices, start_time)
            with training.pool:
                training.train(hook)
        finally:
            writer.close()
            release_programs()
    return Run(directory=directory, controller=training.controller(), checkpoint="final", env=source, agent=module)


def absolute(path: str | Path | None) -> Path | None:
    """The path from the root on, which holds in any working directory."""
    return None if path is None else Path(path).absolute()


def existing(run: str | Path | None) -> RunDirectory | None:
    """The run to resume, if it is there. Raises EntraxError when none is named."""
    if run is None:
        raise UsageError("`resume` needs `run`: the directory of the run to resume, or to start if it is not there.")
    return RunDirectory.open(run) if (Path(run) / "config.json").exists() else None


def threads_of(settings: Mapping[str, Any], there: RunDirectory | None) -> int | None:
    """As many threads as asked for, or as the run that is there has; None if neither says."""
    recorded = None if there is None else there.config["training"]["threads"]
    return settings.get("threads") or recorded


def described(task: Task, agent: str, config: Any, preset: str) -> dict[str, Any]:
    """What config.json is to hold: with the versions, all that a run follows from."""
    return {
        "versions": versions(),
        "environment": task.source.to_json(),
        "agent": agent,
        "agent_config": asdict(config),
        "training": asdict(task.options),
        "preset": preset,
        "seed": task.seed,
        "spec": asdict(task.spec),
    }


def with_agent_defaults(
    options: TrainingOptions, agent: Any, config: Any, spec: Spec, named: Collection[str], report: RunDirectory | None
) -> TrainingOptions:
    """The options with the agent's own defaults, or those of a run to resume, for what is not among `named`."""
    if "loop_defaults" not in vars(agent):
        return options
    defaults = {name: value for name, value in agent.loop_defaults(config, spec).items() if name not in named}
    if report is not None:
        recorded = report.config["training"]
        return replace(options, **{name: recorded.get(name, False) for name in defaults})
    data, first = agent.data(config), options.learning_starts or 0
    while defaults.get("envs", 1) > 1 and not data.on_policy and data.steps_needed(defaults["envs"]) > first:
        defaults["envs"] //= 2
    return replace(options, **defaults)


def offline_options(options: TrainingOptions, data: Data, settings: Mapping[str, Any]) -> TrainingOptions:
    """The options of a run that takes no step.

    Raises EntraxError when some of `settings` are about steps, or for an agent that learns from its own steps only.
    """
    if data.on_policy:
        raise UsageError("This agent learns from what its own policy did last: `data` is for agents with a replay.")
    for name in sorted({"envs", "learning_starts", "restart_envs"} & settings.keys()):
        raise UsageError(f"`{name}` is about steps, of which `data` leaves none: remove it.")
    return replace(options, envs=1, learning_starts=data.steps_needed(1))


def apply_data_constraints(options: TrainingOptions, data: Data, settings: Mapping[str, Any]) -> TrainingOptions:
    """The options with those that the kind of data settles.

    Raises EntraxError when one of them is among `settings`, when others don't suit the data, or when one chunk would
    overflow the replay.
    """
    settled = data.loop(options.steps, options.envs, options.learning_starts or 0)
    for name in sorted(settled.keys() & settings.keys()):
        raise UsageError(f"`{name}` is settled by what this agent learns from: remove it.")
    options = replace(options, **settled)  # type: ignore[arg-type]
    if options.chunk * options.envs > data.capacity:
        raise UsageError(
            f"A chunk of {options.chunk} steps of {options.envs} environments does not fit a replay of "
            f"{data.capacity}: lower `chunk` or raise `replay_size`."
        )
    return options


def configure(agent: Any, preset: str, settings: Mapping[str, Any]) -> tuple[TrainingOptions, eqx.Module]:
    """The options and the agent's configuration: defaults, then the preset's values, then `settings`.

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
    """The options of the loop: defaults, then the preset's values, then those of `settings` that are options."""
    names = {f.name for f in fields(TrainingOptions)}
    values = get_preset(preset).options | {k: v for k, v in settings.items() if k in names}
    options = TrainingOptions(**checked_types(TrainingOptions, values))
    if "learning_starts" in settings or options.learning_starts is None:
        return options
    return replace(options, learning_starts=min(options.learning_starts, options.tenth))  # the preset's
