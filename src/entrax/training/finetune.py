"""Fine-tuning: the settings of a new run that starts from another run's checkpoint.

`entrax.training.initial_state` says what of the checkpoint becomes what.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from entrax.agents.base import optional
from entrax.environments.recorded import arguments_again
from entrax.environments.source import EnvSource
from entrax.errors import EntraxError, UsageError, require_one_of
from entrax.replay import Uniform
from entrax.runs.directory import RunDirectory
from entrax.training.from_record import agent_again, source_of
from entrax.training.prior import Reference, check_scaling, kept_prior, read_prior
from entrax.training.request import Request, SourceRequest
from entrax.training.source_checkpoint import (
    SourceCheckpoint,
    check_spaces,
    load_source_checkpoint,
    recorded,
    spec_of_environment,
)
from entrax.training.task import configure

TEMPERATURE_STARTS = ("keep", "restart", "anneal")
INHERITED = ("envs", "workers", "normalise_obs", "eval_episodes", "step_timeout", "restart_envs")
INHERITED_IF_RECORDED = ("eval_envs", "max_episode_steps")  # older runs have none
INHERITED_OFF_POLICY = ("updates_per_step", "chunk")
MOST_STEPS_BEFORE_LEARNING = 1_000


@dataclass(frozen=True)
class SourceSettings:
    """A source checkpoint, and the request with all that follows from it filled in.

    `temperature` is the record of the temperature for config.json; `prior` is the new run's, if any.
    """

    checkpoint: SourceCheckpoint
    source_request: SourceRequest
    request: Request
    temperature: dict[str, Any]
    prior: Reference | None

    @property
    def stored(self) -> int:
        """Transitions that are carried over."""
        if not self.source_request.keep_replay or "replay" not in self.checkpoint.meta:
            return 0
        record = self.checkpoint.meta["replay"]
        return (record["rows"] - record["window"]) * int(self.checkpoint.run.config["training"]["envs"])


def settings_from_source(request: Request, existing: RunDirectory | None) -> SourceSettings:
    """Read the source checkpoint and fill in what the user leaves to it: environment, agent, seed and settings.

    Raises EntraxError when the checkpoint is missing, its spaces differ, or a setting contradicts what is carried over.
    """
    source_request = request.source
    assert source_request is not None
    settings, env = dict(request.settings), request.env
    source = load_source_checkpoint(source_request.path, source_request.checkpoint, request.agent)
    if source_request.keep_optimiser and not source.whole:
        raise UsageError(f"`keep_optimiser` requires a full checkpoint such as final: {source.name} has a policy only.")
    if existing is not None:
        check_same_source(existing, recorded(source), source_request)
        settings.setdefault("learning_starts", existing.config["training"]["learning_starts"])
    if env is None:
        env = own_environment(source.run, request.env_args)
    check_spaces(source.spec, spec_of_environment(env, request.env_args or {}), str(source_request.path))
    chosen, temperature = temperature_settings(source, source_request.temperature_start, settings)
    prior = kept_prior(source) if request.prior is None else read_prior(request.prior)
    if prior is not None:
        check_scaling(prior, source)
    config = source.run.config
    request = replace(
        request,
        env=env,
        agent=agent_again(source.run, request.agent),
        settings=inherited(source, settings | chosen, settings["steps"], source_request.keep_replay),
        preset=config["preset"],
        seed=config["seed"] if request.seed is None else request.seed,
    )
    return SourceSettings(
        checkpoint=source, source_request=source_request, request=request, temperature=temperature, prior=prior
    )


def own_environment(run: RunDirectory, env_args: Mapping[str, Any] | None) -> EnvSource:
    """Return the run's environment. Raises EntraxError, with its arguments, if the user must name it again."""
    try:
        return source_of(run, None, env_args)
    except EntraxError as error:
        had = arguments_again(run.config.get("environment"))
        raise UsageError(f"{error} With `env`, give all its arguments again: {had}." if had else str(error)) from error


def check_same_source(existing: RunDirectory, record: Mapping[str, Any], source_request: SourceRequest) -> None:
    """Raise EntraxError when an existing run does not start from the same checkpoint in the same way."""
    origin = existing.config.get("ancestor")
    if (
        origin is None
        or origin["sha256"] != record["sha256"]
        or origin["temperature"]["start"] != source_request.temperature_start
        or origin.get("keep_optimiser", "opt_state" in origin["carried"]) != source_request.keep_optimiser
        or bool(origin["replay"]) != source_request.keep_replay
    ):
        what = "a run from scratch" if origin is None else f"one from {origin['checkpoint']} of {origin['path']}"
        raise UsageError(f"{existing.path} holds another run, {what}; choose another `run`.")


def inherited(source: SourceCheckpoint, given: Mapping[str, Any], steps: int, keep_replay: bool) -> dict[str, Any]:
    """Return the source's settings that do not depend on the number of steps, then those `given`."""
    config = source.run.config
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in config["agent_config"].items()}
    settings |= {name: config["training"][name] for name in INHERITED}
    settings |= {name: config["training"].get(name) for name in INHERITED_IF_RECORDED}
    settings |= {"normalise_rewards": config["training"].get("normalise_rewards", False)} | dict(given)
    _, chosen = configure(source.agent, config["preset"], settings)
    data = source.agent.data(source.agent.resolve(chosen, source.spec))
    if keep_replay and not isinstance(data, Uniform):
        raise UsageError("`keep_replay` requires an agent that learns from single transitions.")
    if not data.on_policy:
        wait = max(min(MOST_STEPS_BEFORE_LEARNING, -(-steps // 10)), data.steps_needed(settings["envs"]))
        loop = {name: config["training"][name] for name in INHERITED_OFF_POLICY}
        settings = loop | {"learning_starts": 0 if keep_replay else wait} | settings
    if settings["normalise_obs"] != config["training"]["normalise_obs"]:
        raise UsageError("`normalise_obs` cannot change, since a policy keeps its normaliser; remove it.")
    if settings["normalise_rewards"] != config["training"].get("normalise_rewards", False):
        raise UsageError("`normalise_rewards` cannot change, since values are carried over in its units; remove it.")
    return settings


def temperature_settings(
    source: SourceCheckpoint, start: str, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings that `start` implies (those `given` win), and their record for config.json."""
    require_one_of("temperature_start", start, TEMPERATURE_STARTS)
    names, alpha = {f.name for f in fields(source.config)}, source.temperature
    record: dict[str, Any] = {"start": start, "ancestor": alpha, "learned": source.learned, "anneal": None}
    if start == "restart":
        return {}, record
    end = None
    if start == "anneal":
        end = given.get("temperature")
        if "temperature" not in names or alpha is None:
            raise UsageError(f"{source.name} of {source.run.path} has no temperature to anneal from.")
        if isinstance(end, str) or end is None or not end > 0:
            raise UsageError("`temperature_start=anneal` requires a positive `temperature` to end at.")
    continued = optional(source.agent, "continued")
    own: dict[str, Any] = {} if continued is None else continued(source.config, source.progress, end)
    if end is not None and "temperature" not in own:
        record |= {"anneal": {"start": alpha, "end": float(end)}}
    # What is given wins, but for the temperature to anneal to: it is the end, not the start.
    return {k: v for k, v in own.items() if k not in given or (k == "temperature" and end is not None)}, record
