"""From what the user asked for to a run under way."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium

from entrax.agents.base import get_agent
from entrax.environments.check import check_environment
from entrax.environments.source import as_source
from entrax.errors import EntraxError, closest
from entrax.runs.directory import RunDirectory
from entrax.runs.metrics import MetricsWriter, View
from entrax.runs.versions import versions
from entrax.training.devices import set_up
from entrax.training.options import Options, check_types, get_preset
from entrax.training.run import Hook, Task, Training
from entrax.training.trained import Run


def train(
    env: str | Callable[[], gymnasium.Env],
    agent: str = "sac",
    *,
    steps: int | None = None,
    seed: int = 0,
    run: str | Path | None = None,
    preset: str = "paper",
    env_args: Mapping[str, Any] | None = None,
    hook: Hook | None = None,
    views: Callable[[RunDirectory], Sequence[View]] = lambda run: (),
    started: float | None = None,
    **settings: Any,
) -> Run:
    """See `entrax.api.train`."""
    started = time.perf_counter() if started is None else started
    if seed < 0:
        raise EntraxError(f"--seed must be at least 0, not {seed}.")
    if steps is not None:
        settings["steps"] = steps
    module = get_agent(agent)
    options, config = configure(module, preset, settings)
    devices = set_up(options.device, options.threads)
    source = as_source(env, env_args or {})
    checked = check_environment(source, seed)
    task = Task(
        source=source,
        spec=checked.spec,
        agent=module,
        config=module.resolve(config, checked.spec),
        options=options,
        seed=seed,
    )
    capacity = module.data(task.config).capacity
    if options.chunk * options.envs > capacity:
        raise EntraxError(
            f"A chunk of {options.chunk} steps of {options.envs} environments does not fit a replay of {capacity}: "
            "lower --chunk or raise --replay-size."
        )
    path = run if run is not None else RunDirectory.unused_path("runs", f"{source.id}_{agent}_{seed}")
    described = {
        "versions": versions(),
        "environment": source.to_json(),
        "agent": agent,
        "agent_config": asdict(config),
        "training": asdict(options),
        "preset": preset,
        "seed": seed,
        "spec": asdict(checked.spec),
    }
    directory = RunDirectory.create(path, described)
    for warning in checked.warnings:
        directory.append_event({"kind": "warning", "step": 0, "message": warning})
    writer = MetricsWriter(directory, views(directory))
    try:
        training = Training(task, directory, writer, devices, started)
        training.train(hook)
    finally:
        writer.close()
    return Run(directory=directory, controller=training.controller(), checkpoint="final")


def configure(agent: Any, preset: str, settings: Mapping[str, Any]) -> tuple[Options, eqx.Module]:
    """The options and the agent's configuration: defaults, then the preset's values, then `settings`.

    Raises EntraxError for a setting that neither has.
    """
    chosen, option_names = get_preset(preset), {f.name for f in fields(Options)}
    config_names = {f.name for f in fields(agent.Config)}
    for name in settings:
        if name not in option_names | config_names:
            raise EntraxError(f"There is no setting {name!r}{closest(name, option_names | config_names)}")
    of_preset = chosen.options | {k: v for k, v in chosen.agent.items() if k in config_names}
    values = of_preset | dict(settings)
    check_types(Options, values)
    check_types(agent.Config, values)
    options = Options(**{k: v for k, v in values.items() if k in option_names}).resolved()
    return options, agent.Config(**{k: v for k, v in values.items() if k in config_names})
