"""The one way in: from a request to a trained run."""

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from entrax.environments.make import make_pool
from entrax.errors import UsageError, say
from entrax.programs import release_programs
from entrax.runs.directory import RunDirectory
from entrax.runs.lock import writing
from entrax.runs.metrics import MetricsWriter
from entrax.runs.records import to_json
from entrax.runs.versions import provenance
from entrax.training.dataset import Dataset, read_data
from entrax.training.devices import set_up
from entrax.training.finetune import SourceSettings, settings_from_source
from entrax.training.initial_state import InitialState, Origin, create, from_prior_and_data, from_source_checkpoint
from entrax.training.loop import Loop
from entrax.training.precision import in_32_bits
from entrax.training.prior import Reference, read_prior
from entrax.training.request import Request, ResumeRequest
from entrax.training.resume import check_same_run, resume
from entrax.training.rollouts import HostRollouts
from entrax.training.run import Run
from entrax.training.task import Resolved, Task, resolve


class Inputs(NamedTuple):
    """What is read before a run starts. `record` is what config.json says of prior and data set."""

    prior: Reference | None = None
    data: Dataset | None = None
    source: SourceSettings | None = None
    record: dict[str, Any] = {}  # noqa: RUF012

    @property
    def stored(self) -> int:
        """Transitions that the replay starts with."""
        return len(self.data.steps.reward) if self.data is not None else self.source.stored if self.source else 0


@in_32_bits
def train(request: Request) -> Run:
    """Train what is asked for and return the finished run; see `entrax.api.train` and `entrax.api.finetune`."""
    runs = Path("runs").absolute()  # before an environment changes the working directory
    existing = existing_run(request)
    inputs = read_inputs(request, existing)
    if inputs.source is not None:
        request = inputs.source.request
    if request.settings.get("target_kl") not in (None, 0) and "prior" not in inputs.record:
        raise UsageError("`target_kl` requires a `prior`.")
    resolved = resolve(request, existing, inputs.stored, offline="data" in inputs.record)
    task, config = resolved.task, resolved.record | inputs.record
    if existing is not None:
        check_same_run(existing, to_json(config))
        options = task.options
        return resume(
            ResumeRequest(
                path=existing.path,
                steps=options.steps,
                device=options.device,
                agent=task.agent,
                env=task.source,
                session=request.session,
            )
        )
    path = RunDirectory.unused_path(runs, _stem(resolved)) if request.run is None else Path(request.run)
    origin = _origin(task, inputs)
    if origin is None:
        directory = RunDirectory.create(path, config, again=request.resume)
    else:
        directory = create(path, config, origin)
    with writing(directory.path):
        return _trained(resolved, directory, request)


def existing_run(request: Request) -> RunDirectory | None:
    """Return the run that is to be resumed, if there is one."""
    if not request.resume or request.run is None:
        return None
    return RunDirectory.open(request.run) if (Path(request.run) / "config.json").exists() else None


def read_inputs(request: Request, existing: RunDirectory | None) -> Inputs:
    """Read prior, data set and source checkpoint; a run to resume has its own copies of the first two."""
    paths = {name: path for name, path in (("prior", request.prior), ("data", request.data)) if path is not None}
    copies = {name: existing.config[name] for name in paths if existing is not None and name in existing.config}
    copied = copies.keys() == paths.keys() and all(
        _same_path(copies[name]["path"], path) for name, path in paths.items()
    )
    if request.source is not None:
        _set_up(request, existing)
        source = settings_from_source(replace(request, prior=None) if copied else request, existing)
        record = {} if source.prior is None else {"prior": source.prior.record}
        return Inputs(prior=source.prior, source=source, record=record | copies if copied else record)
    if copied:
        return Inputs(record=copies)
    _set_up(request, existing)
    prior = None if request.prior is None else read_prior(request.prior)
    data = None if request.data is None else read_data(request.data)
    record = {} if prior is None else {"prior": prior.record}
    return Inputs(prior=prior, data=data, record=record | ({} if data is None else {"data": data.record}))


def _set_up(request: Request, existing: RunDirectory | None) -> None:
    """Choose devices and threads before JAX is started by the arrays of what is read."""
    recorded = None if existing is None else existing.config["training"]["threads"]
    set_up(request.settings.get("device"), request.settings.get("threads") or recorded)


def _same_path(one: str | Path, other: str | Path) -> bool:
    return Path(one).absolute() == Path(other).absolute()


def _origin(task: Task, inputs: Inputs) -> Origin | None:
    """Return what the initial state is made of; None from scratch."""
    if inputs.source is not None:
        source = inputs.source
        return from_source_checkpoint(task, source.checkpoint, source.source_request, source.temperature, inputs.prior)
    if inputs.prior is None and inputs.data is None:
        return None
    return from_prior_and_data(task, inputs.prior, inputs.data)


def _stem(resolved: Resolved) -> str:
    task = resolved.task
    return f"{task.source.stem}_{Path(resolved.record['agent']).stem}_{task.seed}"


def _trained(resolved: Resolved, directory: RunDirectory, request: Request) -> Run:
    """Train a run that has a directory and no checkpoint."""
    task, session = resolved.task, request.session
    directory.append_event({"kind": "started", "step": 0, **provenance()})
    for warning in resolved.warnings:
        say(warning)
        directory.append_event({"kind": "warning", "step": 0, "message": warning})
    writer = MetricsWriter(directory, session.loggers(directory))
    initial = InitialState.of(directory)
    options = task.options
    with ExitStack() as stack:
        stack.callback(release_programs)
        stack.callback(writer.close)
        pool = stack.enter_context(make_pool(task.source, options.envs, options.workers, options.step_timeout))
        rollouts = stack.enter_context(closing(HostRollouts(task, directory, pool, resolved.devices.actor, initial)))
        state = initial.load(initial.template(task, resolved.devices))
        rollouts.begin(initial.fill(rollouts.replay))
        loop = Loop(
            task=task,
            run=directory,
            state=state,
            rollouts=rollouts,
            initial=initial,
            devices=resolved.devices,
            writer=writer,
            start_time=session.start_time,
        )
        loop.train(session.hook)
        controller = loop.controller()
    return Run(directory=directory, controller=controller, checkpoint="final", env=task.source, agent=task.agent)
