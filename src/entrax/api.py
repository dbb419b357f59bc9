"""Training and loading from Python."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.random as jr
import numpy as np

from entrax.agents.base import get_agent
from entrax.agents.controller import Controller, Scaling, act_in_episodes
from entrax.environments.check import check_environment
from entrax.environments.source import EnvSource, as_source
from entrax.errors import EntraxError, closest
from entrax.evaluation.episodes import Evaluation, evaluate
from entrax.runs import checkpoint
from entrax.runs.directory import RunDirectory
from entrax.runs.metrics import MetricsWriter, View
from entrax.runs.pytree import flatten, unflatten
from entrax.runs.versions import versions
from entrax.spec import Progress, Spec
from entrax.training.devices import set_up
from entrax.training.normaliser import Normaliser
from entrax.training.options import Options, get_preset
from entrax.training.run import Hook, Task, Training


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
) -> "Run":
    """Train `agent` on `env` and return the finished run.

    Args:
        env: a Gymnasium id, `module:EnvId`, or a function that makes the environment.
        agent: a name that `entrax agents` lists, or `module:name`.
        steps: environment steps, over all parallel environments.
        seed: everything random follows from it.
        run: the run's directory, which must not exist yet; by default `runs/<env>_<agent>_<seed>_<n>`.
        preset: "paper" or "fast"; settings given by name win over the preset's.
        env_args: keyword arguments of the environment.
        hook: called with every metrics row; training stops early when it returns True.
        views: further places that rows are shown, such as TensorBoard.
        started: `time.perf_counter()` when the clock of training seconds starts; by default now.
        **settings: fields of `entrax.training.options.Options` and of the agent's `Config`.

    Raises EntraxError, in one sentence, for anything that cannot be: an unknown name or setting, a value out of range,
    an environment that misbehaves, a directory in use.
    """
    started = time.perf_counter() if started is None else started
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
    module.data(task.config)  # refuses impossible sizes before anything is written
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
    return Run(directory, source, task.spec, training.controller(), "final")


def configure(agent: Any, preset: str, settings: Mapping[str, Any]) -> tuple[Options, eqx.Module]:
    """The options and the agent's configuration: defaults, then the preset's values, then `settings`.

    Raises EntraxError for a setting that neither has.
    """
    chosen, option_names = get_preset(preset), {f.name for f in fields(Options)}
    config_names = {f.name for f in fields(agent.Config)}
    for name in settings:
        if name not in option_names | config_names:
            raise EntraxError(f"There is no setting {name!r}{closest(name, option_names | config_names)}.")
    of_preset = chosen.options | {k: v for k, v in chosen.agent.items() if k in config_names}
    values = of_preset | dict(settings)
    options = Options(**{k: v for k, v in values.items() if k in option_names}).resolved()
    return options, agent.Config(**{k: v for k, v in values.items() if k in config_names})


def load(path: str | Path, checkpoint: str = "latest", *, agent: str | None = None) -> "Run":
    """The run in directory `path` with the policy of one of its checkpoints.

    Args:
        path: the run's directory.
        checkpoint: "latest", "best", "final", or a checkpoint's name.
        agent: the agent again, needed when it is a third party's: nothing named by a file is imported.
    """
    directory = RunDirectory.open(path)
    return _load(directory, checkpoint, agent)


def _load(directory: RunDirectory, which: str, agent: str | None) -> "Run":
    config = directory.config
    name = config["agent"]
    if ":" in name and agent != name:
        raise EntraxError(f"This run's agent is {name!r}, outside entrax; name it again with --agent {name} to load it.")
    set_up("cpu", None)
    module, spec = get_agent(name), spec_from_json(config["spec"])
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in config["agent_config"].items()}
    resolved = module.resolve(module.Config(**values), spec)
    arrays, _ = checkpoint.load(directory, which)
    template = eqx.filter_eval_shape(lambda: module.policy(resolved, module.init(resolved, spec, jr.key(0))))
    policy = unflatten(template, {k[7:]: v for k, v in arrays.items() if k.startswith("policy/")})
    normaliser = Normaliser(spec.obs_size, config["training"]["normalise_obs"])
    normaliser.restore({k[11:]: v for k, v in arrays.items() if k.startswith("normaliser/")})
    mean, scale = normaliser.scaling()
    controller = Controller(policy=policy, scaling=Scaling(mean=mean, scale=scale), spec=spec)
    return Run(directory, EnvSource.from_json(config["environment"]), spec, controller, which)
