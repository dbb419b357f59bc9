"""Resuming an interrupted run where it was last saved."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple

from entrax.environments.check import check_environment
from entrax.environments.faults import EnvironmentFault
from entrax.environments.make import make_pool
from entrax.environments.pool import Pool
from entrax.environments.recorded import check_same_environment
from entrax.environments.source import EnvSource
from entrax.errors import EntraxError, UsageError, say, show
from entrax.programs import release_programs
from entrax.runs import checkpoints
from entrax.runs.directory import RunDirectory
from entrax.runs.lock import writing
from entrax.runs.metrics import MetricsWriter
from entrax.runs.versions import differences, provenance
from entrax.training.chunks import chunks
from entrax.training.devices import Devices, set_up
from entrax.training.from_record import config_of, options_of, source_of
from entrax.training.initial_state import InitialState
from entrax.training.loop import Loop
from entrax.training.options import TrainingOptions
from entrax.training.precision import in_32_bits
from entrax.training.request import ResumeRequest
from entrax.training.rollouts import HostRollouts
from entrax.training.run import Run, load
from entrax.training.run_state import RunState, from_checkpoint
from entrax.training.task import Task, check_resources

DAMAGED = (EntraxError, KeyError, IndexError, TypeError, ValueError, OverflowError)
"""What reading a damaged checkpoint may raise."""


@in_32_bits
def resume(request: ResumeRequest) -> Run:
    """Finish the run and return it; see `entrax.api.resume`. A refused request leaves the directory as it was."""
    directory = RunDirectory.open(request.path)
    if directory.config["format"] < 2:
        raise EntraxError(
            f"{request.path} was made by an older entrax that could not resume; it can only be evaluated."
        )
    with writing(directory.path):
        checkpoints.check_config(directory)
        _check_steps(directory, request.steps)
        if finished(directory, request.steps):
            show(f"{request.path} is finished: it has all of its {_done(directory):,} steps.")
            return load(request.path, "final", agent=request.agent, env=request.env, env_args=request.env_args)
        source = source_of(directory, request.env, request.env_args)
        check_same_environment(directory.config["environment"], source, str(request.path))
        if request.steps is not None or request.device is not None:
            directory = _changed(directory, request.steps, request.device)
        options = options_of(directory)
        devices = set_up(options.device, options.threads)  # before the task, whose arrays start JAX
        task = _task(directory, request.agent, source)
        check_resources(task, InitialState.of(directory).transitions)
        return _resumed(task, directory, devices, request)


def _resumed(task: Task, directory: RunDirectory, devices: Devices, request: ResumeRequest) -> Run:
    options, writer, session = task.options, MetricsWriter(directory), request.session
    with ExitStack() as stack:
        stack.callback(release_programs)
        stack.callback(writer.close)
        pool = stack.enter_context(make_pool(task.source, options.envs, options.workers, options.step_timeout))
        new_rollouts = partial(_new_rollouts, stack, task, directory, pool, devices)
        loop = _restored(task, directory, devices, new_rollouts, writer, session.start_time)
        writer.loggers = list(session.loggers(directory))
        for logger in writer.loggers:
            logger.begin(directory.metrics())
        loop.train(session.hook)
        controller = loop.controller()
    return Run(directory=directory, controller=controller, checkpoint="final", env=task.source, agent=task.agent)


def finished(directory: RunDirectory, steps: int | None) -> bool:
    """Return whether a run has all of its steps, or `steps`, and its final checkpoint is whole."""
    expected = directory.config["training"]["steps"] if steps is None else steps
    ends = [name for name in checkpoints.available(directory) if name.startswith("final")]
    return any(checkpoints.step_of(name) >= expected and _is_whole(directory, name) for name in ends)


def _is_whole(directory: RunDirectory, name: str) -> bool:
    try:
        checkpoints.load_meta(directory, name)
    except EntraxError:
        return False
    return True


def _done(directory: RunDirectory) -> int:
    """Return the step of the newest checkpoint that can be resumed from."""
    return max((checkpoints.step_of(name) for name in _resumable(directory)), default=0)


def _check_steps(directory: RunDirectory, steps: int | None) -> None:
    """Raise UsageError if the run has more steps already."""
    done, envs = _done(directory), directory.config["training"]["envs"]
    if steps is not None and steps + envs <= done:  # the last step of all environments together may exceed the number
        raise UsageError(f"`steps` must be at least {done}, which {directory.path} has already, got {steps}.")


def _changed(directory: RunDirectory, steps: int | None, device: str | None) -> RunDirectory:
    options = options_of(directory)
    changed = replace(options, steps=options.steps if steps is None else steps, device=device or options.device)
    if options.steps < changed.steps > (options.horizon or 0):
        show(f"Schedules end at step {options.horizon:,}; a learning rate, for example, stays as it is there.")
    return directory.with_training(steps=changed.steps, device=changed.device)


def _task(directory: RunDirectory, agent: str | Any | None, source: EnvSource) -> Task:
    config = directory.config
    options, spec = options_of(directory), directory.spec
    checked = check_environment(source, config["seed"], workers=options.workers, step_timeout=options.step_timeout)
    if checked.spec != spec:
        raise UsageError(f"{source.id} has other observations or actions than when the run {directory.path} began.")
    module, resolved = config_of(directory, agent)
    return Task(source=checked.source, spec=spec, agent=module, config=resolved, options=options, seed=config["seed"])


class _ResumePoint(NamedTuple):
    """The run as it was at a checkpoint."""

    name: str
    meta: dict[str, Any]
    state: RunState
    rollouts: HostRollouts
    salvaged: bool


def _new_rollouts(
    stack: ExitStack, task: Task, run: RunDirectory, pool: Pool, devices: Devices, initial: InitialState
) -> HostRollouts:
    """Return rollouts that `stack` closes, whatever becomes of them."""
    return stack.enter_context(closing(HostRollouts(task, run, pool, devices.actor, initial)))


def _restored(
    task: Task,
    run: RunDirectory,
    devices: Devices,
    new_rollouts: Callable[[InitialState], HostRollouts],
    writer: MetricsWriter,
    start_time: float,
) -> Loop:
    """Return the loop at the newest checkpoint that is whole and lies on the schedule, or at the initial state.

    Without a whole checkpoint it is the newest whose own files are whole, without what else is damaged. New settings
    and warnings are written once it is clear that the run continues.
    """
    initial = InitialState.of(run)
    template = initial.template(task, devices)
    make_loop = partial(
        Loop, task=task, run=run, initial=initial, devices=devices, writer=writer, start_time=start_time
    )
    warnings = [
        _warned(f"{difference}: the run is resumed, but results may differ in their last bits.")
        for difference in differences(run.config["versions"])
    ]
    if task.source.local_only is not None:
        warnings.append(_warned(f"The environment stays in this process: {task.source.local_only}."))
    failures: list[str] = []
    for salvage in (False, True):
        for name in _resumable(run):
            rollouts = new_rollouts(initial)
            try:
                point = _read(task, run, template, rollouts, name, salvage)
            except EnvironmentFault:
                raise  # no older checkpoint helps against that, and trying one would cut the log
            except DAMAGED as error:
                failures.append(str(error) if isinstance(error, EntraxError) else f"{name} is damaged: {error!r}.")
                if not salvage:
                    warnings.append(_warned(f"{failures[-1]} Trying the checkpoint before it."))
                continue
            if point is not None:
                loop = make_loop(state=point.state, rollouts=rollouts)
                _continue_from(point, loop, warnings)
                return loop
    if failures:
        raise EntraxError(
            f"{run.path} cannot be resumed from any checkpoint; `entrax verify {run.path}` names what is damaged. "
            f"{failures[-1]}"
        )
    _write(run, warnings)
    run.cut_metrics({"bytes": 0})
    run.append_event({"kind": "resumed", "step": 0, "message": "Nothing had been saved: the run restarts at step 0."})
    rollouts = new_rollouts(initial)
    state = initial.load(template)
    rollouts.begin(initial.fill(rollouts.replay))
    return make_loop(state=state, rollouts=rollouts)


def _resumable(run: RunDirectory) -> Iterator[str]:
    """Yield the names of checkpoints with a whole state, the newest first."""
    return (name for name in reversed(checkpoints.available(run)) if not name.startswith("best"))


def _read(
    task: Task, run: RunDirectory, template: RunState, rollouts: HostRollouts, name: str, salvage: bool
) -> _ResumePoint | None:
    """Return the run as it was at a checkpoint; None at the end of a shorter run, which a longer one does not reach.

    Restoring the acting side comes last, since it cuts the log.
    """
    arrays, meta = checkpoints.load_finite(run, name)
    if name.startswith("final") or not _on_the_schedule(task.options, meta):
        return None
    if not salvage:
        run.check_metrics(meta["metrics"], name)
    state = from_checkpoint(template, arrays, meta)
    rollouts.restore(arrays, meta, salvage)
    return _ResumePoint(name=name, meta=meta, state=state, rollouts=rollouts, salvaged=salvage)


def _continue_from(point: _ResumePoint, loop: Loop, warnings: list[str]) -> None:
    """Write what is known to hold, and bring metrics and events to where the checkpoint was."""
    run, name, meta = loop.run, point.name, point.meta
    try:
        run.events()
    except EntraxError as error:
        run.salvage_events()
        warnings.append(_warned(f"{error} The rows that can be read are left."))
    _write(run, warnings)
    loop.note_inexact()
    try:
        run.check_metrics(meta["metrics"], name)
        run.cut_metrics(meta["metrics"])
    except EntraxError as error:
        loop.note_inexact(f"{error} {run.salvage_metrics(meta['step']):,} rows are left.")
    run.append_event({"kind": "resumed", "step": meta["step"], "message": f"Resumed from {name}."})
    if point.salvaged:
        loop.save("step")  # the earlier ones refer to the log and the rows that were damaged
    checkpoints.drop_others(run, name, earlier=point.salvaged)


def _on_the_schedule(options: TrainingOptions, meta: dict[str, Any]) -> bool:
    chunk = next((chunk for chunk in chunks(options) if chunk.index == meta["chunk"]), None)
    return chunk is not None and (chunk.first_step, chunk.first_update) == (meta["step"], meta["updates"])


def _warned(message: str) -> str:
    """Print the message and return it."""
    say(message)
    return message


def _write(run: RunDirectory, warnings: list[str]) -> None:
    """Publish the configuration and add the warnings to the events."""
    run.publish_config()
    if not any(row.get("kind") == "started" for row in run.events()):  # the process ended before that was written
        run.append_event({"kind": "started", "step": 0, **provenance()})
    for message in warnings:
        run.append_event({"kind": "warning", "step": None, "message": message})


def check_same_run(directory: RunDirectory, config: dict[str, Any]) -> None:
    """Raise EntraxError, naming the first setting, when `config` is not that of the run in the directory."""
    old = directory.config
    identity = [(name, old.get(name, ""), config.get(name, "")) for name in ("environment", "agent", "inner")]
    # A setting that is newer than the run was at its default.
    settings = [(name, value, config["agent_config"].get(name)) for name, value in old["agent_config"].items()]
    settings += [(name, old[name], config[name]) for name in ("preset", "seed")]
    settings += [
        (name, value, config["training"][name])
        for name, value in asdict(options_of(directory)).items()
        if name not in ("steps", "device", "horizon")
    ]
    _check_equal(directory, identity)
    _check_sources(directory, config)  # before the settings, whose defaults depend on them
    _check_equal(directory, settings)


def _check_equal(directory: RunDirectory, pairs: list[tuple[str, Any, Any]]) -> None:
    for name, before, now in pairs:
        if before != now:
            raise UsageError(_other_run(directory, name, before, now))


def _check_sources(directory: RunDirectory, config: dict[str, Any]) -> None:
    for name in ("prior", "data"):
        before, now = ((record.get(name) or {"path": "none"}) for record in (directory.config, config))
        if before.get("sha256") != now.get("sha256"):
            if before["path"] == now["path"]:
                raise UsageError(f"The {name} {now['path']} has changed since {directory.path} began.")
            raise UsageError(_other_run(directory, name, before["path"], now["path"]))


def _other_run(directory: RunDirectory, name: str, before: Any, now: Any) -> str:
    return f"{directory.path} holds a run with {name.replace('_', ' ')} {before}, not {now}; choose another `run`."
