"""A run that was interrupted, taken up again where it was last saved."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from entrax.environments.check import check_environment
from entrax.environments.faults import EnvironmentFault
from entrax.environments.recorded import Given, check_same
from entrax.environments.source import EnvSource
from entrax.errors import EntraxError, UsageError, say, show
from entrax.programs import release_programs
from entrax.runs import checkpoint
from entrax.runs.directory import RunDirectory
from entrax.runs.lock import writing
from entrax.runs.metrics import MetricsWriter
from entrax.runs.versions import differences, provenance
from entrax.training.checkpointing import restore, save
from entrax.training.chunks import chunks
from entrax.training.devices import set_up
from entrax.training.loop import Hook, Loggers, Task, Training
from entrax.training.memory import check_memory, check_networks
from entrax.training.options import TrainingOptions
from entrax.training.precision import in_32_bits
from entrax.training.run import Run, config_of, load, source_of


@in_32_bits
def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    device: str | None = None,
    agent: str | Any | None = None,
    env: Given | None = None,
    env_args: Mapping[str, Any] | None = None,
    hook: Hook | None = None,
    loggers: Loggers = lambda run: (),
    start_time: float | None = None,
) -> Run:
    """See `entrax.api.resume`. What is refused leaves the directory as it was."""
    start_time = time.perf_counter() if start_time is None else start_time
    directory = RunDirectory.open(path)
    if directory.config["format"] < 2:
        raise EntraxError(f"{path} was made by an entrax that could not resume runs; it can only be read.")
    with writing(directory.path):
        checkpoint.check_config(directory)
        if finished(directory, steps):
            show(f"{path} is finished: it has all of its {directory.config['training']['steps']:,} steps.")
            return load(path, "final", agent=agent, env=env, env_args=env_args)
        source = source_of(directory, env, env_args)  # before anything of the directory is changed
        check_same(directory.config["environment"], source, str(path))
        if steps is not None or device is not None:
            directory = _changed(directory, steps, device)
        options = options_of(directory)
        devices = set_up(options.device, options.threads)  # before the task, whose arrays start JAX
        task = _task(directory, agent, source)
        check_memory(task.agent.data(task.config), task.spec, options)
        check_networks(task.agent, task.config, task.spec)
        said = [
            _warned(f"{difference}: the run goes on, but perhaps not to the byte as it would have.")
            for difference in differences(directory.config["versions"])
        ]
        writer = MetricsWriter(directory)
        try:
            training = Training(task, directory, writer, devices, start_time)
            with training.pool, closing(training):
                _restore_newest(training, said)
                writer.loggers = shown = list(loggers(directory))
                for view in shown:
                    view.begin(directory.metrics())
                training.train(hook)
        finally:
            writer.close()
            release_programs()
    return Run(
        directory=directory,
        controller=training.controller(),
        checkpoint="final",
        env=task.source,
        agent=task.agent,
    )


def finished(directory: RunDirectory, steps: int | None) -> bool:
    """Whether a run has been trained for all of its steps, or for `steps`; one whose end is damaged has not."""
    wanted = directory.config["training"]["steps"] if steps is None else steps
    ends = [name for name in checkpoint.available(directory) if name.startswith("final")]
    return any(checkpoint.step_of(name) >= wanted and _is_whole(directory, name) for name in ends)


def _is_whole(directory: RunDirectory, name: str) -> bool:
    try:
        checkpoint.load_meta(directory, name)
    except EntraxError:
        return False
    return True


def _changed(directory: RunDirectory, steps: int | None, device: str | None) -> RunDirectory:
    options = options_of(directory)
    wanted = replace(options, steps=options.steps if steps is None else steps, device=device or options.device)
    done = max((checkpoint.step_of(name) for name in checkpoint.available(directory)), default=0)
    if wanted.steps + options.envs <= done:  # the last step of all environments together may go beyond the number
        raise UsageError(f"{directory.path} has {done} steps already: `steps` must be at least that, not {steps}.")
    if options.steps < wanted.steps > (options.horizon or 0):
        show(
            f"Schedules end at step {options.horizon:,}: what they set, such as a learning rate, stays as it is there."
        )
    return directory.with_training(steps=wanted.steps, device=wanted.device)


def options_of(directory: RunDirectory) -> TrainingOptions:
    """The options that config.json holds. Raises EntraxError when they are not those of a run."""
    try:
        return TrainingOptions(**directory.config["training"])
    except (EntraxError, TypeError) as error:
        raise EntraxError(f"{directory.path / 'config.json'} is damaged: {error}.") from error


def _task(directory: RunDirectory, agent: str | Any | None, source: EnvSource) -> Task:
    config = directory.config
    options, spec = options_of(directory), directory.spec
    checked = check_environment(source, config["seed"], workers=options.workers, step_timeout=options.step_timeout)
    if checked.spec != spec:
        raise UsageError(f"{source.id} has other observations or actions than when the run {directory.path} began.")
    module, resolved = config_of(directory, agent)
    return Task(source=checked.source, spec=spec, agent=module, config=resolved, options=options, seed=config["seed"])


def _restore_newest(training: Training, said: list[str]) -> None:
    """Restore the newest checkpoint that is whole and lies on the way; from the start when nothing was ever saved.

    Without a whole one, restore the newest whose own files are whole, without what else is damaged. The settings and
    the warnings that were `said` are written when it is clear that the run goes on.
    """
    run, why = training.run, ""
    for salvage in (False, True):
        for name in reversed(checkpoint.available(run)):
            if name.startswith("best"):
                continue
            try:
                arrays, meta = checkpoint.load_finite(run, name)
                if name.startswith("final") or not _on_the_way(training.task.options, meta):
                    continue  # the end of a shorter run, which a longer one does not pass through
                if not salvage:
                    run.check_metrics(meta["metrics"], name)
                restore(training, arrays, meta, salvage)
            except EnvironmentFault:
                raise  # no older checkpoint helps against that, and trying one would cut the log
            except (EntraxError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
                why = str(error) if isinstance(error, EntraxError) else f"{name} is damaged: {error!r}."
                if not salvage:
                    said.append(_warned(f"{why} The checkpoint before is tried."))
                training.close()
                continue
            _begin_from(training, name, meta, salvage, said)
            return
    if why:
        raise EntraxError(
            f"No checkpoint of {run.path} can be taken up; `entrax verify {run.path}` names what is damaged. {why}"
        )
    _write(run, said)
    run.cut_metrics({"bytes": 0})
    run.append_event({"kind": "resumed", "step": 0, "message": "Nothing had been saved: the run restarts at step 0."})


def _begin_from(training: Training, name: str, meta: dict[str, Any], salvage: bool, said: list[str]) -> None:
    run = training.run
    try:
        run.events()
    except EntraxError as error:
        run.salvage_events()
        said.append(_warned(f"{error} The rows that can be read are left."))
    _write(run, said)
    try:
        run.check_metrics(meta["metrics"], name)
        run.cut_metrics(meta["metrics"])
    except EntraxError as error:
        training.inexact(f"{error} {run.salvage_metrics(meta['step']):,} rows are left.")
    run.append_event({"kind": "resumed", "step": meta["step"], "message": f"Resumed from {name}."})
    if salvage:
        save(training, "step")  # the earlier ones are of the log and the rows that were damaged
    checkpoint.drop_others(run, name, earlier=salvage)


def _on_the_way(options: TrainingOptions, meta: dict[str, Any]) -> bool:
    chunk = next((chunk for chunk in chunks(options) if chunk.index == meta["chunk"]), None)
    return chunk is not None and (chunk.step, chunk.update) == (meta["step"], meta["updates"])


def _warned(message: str) -> str:
    """The message, printed."""
    say(message)
    return message


def _write(run: RunDirectory, said: list[str]) -> None:
    """Publish the configuration and add the warnings to the events."""
    run.publish_config()
    if not any(row.get("kind") == "started" for row in run.events()):  # killed before that was written
        run.append_event({"kind": "started", "step": 0, **provenance()})
    for message in said:
        run.append_event({"kind": "warning", "step": None, "message": message})


def same_run(directory: RunDirectory, described: dict[str, Any]) -> None:
    """Raises EntraxError naming the first setting in which `described` is not the run that is there."""
    for group in ("environment", "agent", "agent_config", "preset", "seed"):
        before, now = directory.config[group], described[group]
        if group == "agent_config":
            now = {name: now.get(name) for name in before}  # what came later was at its default
        if before != now:
            what = group.replace("_", " ")
            raise UsageError(f"{directory.path} holds a run with {what} {before}, not {now}; choose another `run`.")
    for group in ("prior", "data"):
        before, now = ((config.get(group) or {"path": "none"}) for config in (directory.config, described))
        if before.get("sha256") != now.get("sha256"):
            raise UsageError(f"{directory.path} holds a run with {group} {before['path']}, not {now['path']}.")
    for name, value in asdict(options_of(directory)).items():
        if name not in ("steps", "device", "horizon") and value != described["training"][name]:
            raise UsageError(f"{directory.path} holds a run with {name} {value}, not {described['training'][name]}.")
