"""Fine-tuning: a new run that begins with what an old one has learned.

Arrays are chosen by their paths in the agent's State, which are the same for every agent:

    params/…            carried over: the policy, the critics and what else there is
    params/log_alpha    as `temperature_start` says
    targets/…           carried over
    opt_state/…, and counters of updates    made anew, unless `keep_optimiser`

A checkpoint of a policy only ("best") lacks what its policy does not need: that is made anew, and targets then start as
the parameters do. The normaliser comes along, the replay if `keep_replay`. What became of each is in config.json under
`ancestor`, with the path, the step and the SHA-256 of the checkpoint. Schedules begin anew.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from jax import tree_util

from entrax.agents.registry import REGISTRY
from entrax.environments.recorded import Given, arguments_again
from entrax.environments.source import EnvSource
from entrax.errors import EntraxError, UsageError, closest, damage_of
from entrax.replay import Uniform
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import flatten, path_name, subtree, unflatten
from entrax.training.devices import set_up
from entrax.training.initial_state import create
from entrax.training.launch import absolute, configure, existing, threads_of
from entrax.training.launch import train as launch
from entrax.training.loop import Hook, Loggers, Task
from entrax.training.normaliser import CLIP, Normaliser
from entrax.training.precision import in_32_bits
from entrax.training.prior import Reference, check_scaling, fresh_state, kept_prior, parts_of, read_prior
from entrax.training.run import Run, source_of
from entrax.training.source_checkpoint import (
    SourceCheckpoint,
    check_spaces,
    kept_rows,
    load_source_checkpoint,
    recorded,
    spec_of_environment,
)

TEMPERATURE_STARTS = ("keep", "restart", "anneal")
INHERITED = ("envs", "workers", "normalise_obs", "eval_episodes", "step_timeout", "restart_envs")
INHERITED_IF_RECORDED = ("eval_envs", "max_episode_steps")  # older runs have none
INHERITED_OFF_POLICY = ("updates_per_step", "chunk")
MOST_STEPS_BEFORE_LEARNING = 1_000


@in_32_bits
def finetune(
    path: str | Path,
    env: Given | None = None,
    *,
    steps: int,
    checkpoint: str = "latest",
    temperature_start: str = "keep",
    keep_replay: bool = False,
    keep_optimiser: bool = False,
    prior: str | Path | None = None,
    seed: int | None = None,
    run: str | Path | None = None,
    env_args: Mapping[str, Any] | None = None,
    agent: str | Any | None = None,
    hook: Hook | None = None,
    loggers: Loggers = lambda run: (),
    start_time: float | None = None,
    resume: bool = False,
    **settings: Any,
) -> Run:
    """See `entrax.api.finetune`."""
    run, prior = absolute(run), absolute(prior)
    there = existing(run) if resume else None
    set_up(settings.get("device"), threads_of(settings, there))  # before the ancestor, whose arrays start JAX
    old = load_source_checkpoint(path, checkpoint, agent)
    if there is not None:
        check_same(there, recorded(old), temperature_start, keep_optimiser)
        settings.setdefault("learning_starts", there.config["training"]["learning_starts"])
    if env is None:
        env = own_environment(old.run, env_args)
    check_spaces(old.spec, spec_of_environment(env, env_args or {}), str(path))
    chosen, temperature = temperature_settings(old, temperature_start, settings)
    settings = inherited(old, settings | chosen, steps, keep_replay)
    reference = kept_prior(old) if prior is None else read_prior(prior)
    if reference is not None:
        check_scaling(reference, old)

    def begin(task: Task, place: str | Path, described: dict[str, Any]) -> RunDirectory:
        check_units(old, task)
        with damage_of(f"{old.name} of {old.run.path}"):
            arrays, fate = inherit(old, task, temperature_start, keep_optimiser, reference)
        if temperature["anneal"] is not None:
            temperature["anneal"]["in_state"] = "state/params/log_alpha" in arrays
        rows = kept_rows(old) if keep_replay else {}
        arrays |= {f"replay/{name}": values for name, values in rows.items()}
        record = recorded(old) | fate | {"replay": len(rows.get("reward", ())), "temperature": temperature}
        return create(Path(place), described, arrays, record)

    return launch(
        env,
        old.run.config["agent"] if old.run.config["agent"] in tuple(REGISTRY) else agent,
        steps=steps,
        seed=old.run.config["seed"] if seed is None else seed,
        run=run,
        preset=old.run.config["preset"],
        env_args=env_args,
        hook=hook,
        loggers=loggers,
        start_time=start_time,
        resume=resume,
        begin=begin,
        record={} if reference is None else {"prior": reference.record},
        **settings,
    )


def own_environment(run: RunDirectory, env_args: Mapping[str, Any] | None) -> EnvSource:
    """The run's environment. Raises EntraxError, with the arguments it had, if the user must name it again."""
    try:
        return source_of(run, None, env_args)
    except EntraxError as error:
        had = arguments_again(run.config.get("environment"))
        raise UsageError(f"{error} With `env`, give all its arguments again: {had}." if had else str(error)) from error


def check_same(there: RunDirectory, record: Mapping[str, Any], temperature_start: str, keep_optimiser: bool) -> None:
    """Raises EntraxError when the run that is there does not begin with the same checkpoint in the same way."""
    found = there.config.get("ancestor")
    if (
        found is None
        or found["sha256"] != record["sha256"]
        or found["temperature"]["start"] != temperature_start
        or ("opt_state" in found["carried"]) != keep_optimiser
    ):
        what = (
            "a run from scratch" if found is None else f"one that begins with {found['checkpoint']} of {found['path']}"
        )
        raise UsageError(f"{there.path} holds another run, {what}; choose another `run`.")


def check_units(old: SourceCheckpoint, task: Task) -> None:
    """Raises EntraxError when what is carried over would be read in other units than it was learned in."""
    if old.run.config["agent"] == "soft-q" and float(task.config.temperature) != float(old.config.temperature):
        raise UsageError(
            f"The critics of soft-q are in units of its temperature: it can go on at {old.temperature:.6g} only."
        )


def inherited(old: SourceCheckpoint, given: Mapping[str, Any], steps: int, keep_replay: bool) -> dict[str, Any]:
    """The old run's agent and the settings of its loop that do not depend on the steps, then what was `given`."""
    config = old.run.config
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in config["agent_config"].items()}
    settings |= {name: config["training"][name] for name in INHERITED}
    settings |= {name: config["training"].get(name) for name in INHERITED_IF_RECORDED}
    settings |= {"normalise_rewards": config["training"].get("normalise_rewards", False)} | dict(given)
    _, wanted = configure(old.agent, config["preset"], settings)
    data = old.agent.data(old.agent.resolve(wanted, old.spec))
    if keep_replay and not isinstance(data, Uniform):
        raise UsageError("`keep_replay` is for agents that learn from single transitions: others need unbroken steps.")
    if not data.on_policy:
        wait = max(min(MOST_STEPS_BEFORE_LEARNING, -(-steps // 10)), data.steps_needed(settings["envs"]))
        loop = {name: config["training"][name] for name in INHERITED_OFF_POLICY}
        settings = loop | {"learning_starts": 0 if keep_replay else wait} | settings
    if settings["normalise_obs"] != config["training"]["normalise_obs"]:
        raise UsageError("A policy keeps its normaliser, or its having none: leave `normalise_obs` as it was.")
    if settings["normalise_rewards"] != config["training"].get("normalise_rewards", False):
        raise UsageError("`normalise_rewards` cannot change: the values are carried over in its units; remove it.")
    return settings


def temperature_settings(
    old: SourceCheckpoint, start: str, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `start` makes of the agent's settings (those `given` win), and the record of it for config.json."""
    if start not in TEMPERATURE_STARTS:
        known = ", ".join(TEMPERATURE_STARTS)
        raise UsageError(f"`temperature_start` takes {known}, not {start!r}{closest(start, TEMPERATURE_STARTS)}")
    names, alpha = {f.name for f in fields(old.config)}, old.temperature
    record: dict[str, Any] = {"start": start, "ancestor": alpha, "learned": old.learned, "anneal": None}
    if start == "restart":
        return {}, record
    if start == "anneal":
        end = given.get("temperature")
        if "temperature" not in names or alpha is None:
            raise UsageError(f"There is no temperature in {old.run.path}'s {old.name} to anneal from.")
        if isinstance(end, str) or end is None or not end > 0:
            raise UsageError("`temperature_start=anneal` needs the temperature to end at: a positive `temperature`.")
        if "final_temperature" in names:
            own = {"temperature": alpha, "final_temperature": end, "anneal_fraction": 1.0}
            return own | {k: v for k, v in _exploration(old).items() if k not in given}, record
        return {}, record | {"anneal": {"start": alpha, "end": float(end)}}
    chosen: dict[str, Any] = {}
    if "final_temperature" in names:
        chosen = {"temperature": alpha, "final_temperature": None} | _exploration(old)
    if "initial_entropy_share" in names:
        chosen["initial_entropy_share"] = 0.0  # the target entropy stays where it had come to
    return {k: v for k, v in chosen.items() if k not in given}, record


def _exploration(old: SourceCheckpoint) -> dict[str, Any]:
    return {"exploration": old.scheduled("exploration"), "final_exploration": old.scheduled("exploration")}


def inherit(
    old: SourceCheckpoint, task: Task, temperature_start: str, keep_optimiser: bool, prior: Reference | None = None
) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """The whole state and normaliser that the new run begins with, and which parts were carried over and made anew.

    Raises EntraxError when an array has another shape than the new configuration needs.
    """
    fresh = fresh_state(task, prior)
    wanted, there = flatten(fresh), learned_arrays(old, task, fresh)
    keep_alpha = temperature_start == "keep" and isinstance(vars(task.config).get("temperature"), str)

    def carries(name: str) -> bool:
        if name == "params/log_alpha":
            return keep_alpha
        part = name.split("/")[0]
        return part in ("params", "targets") or (keep_optimiser and part != "prior")  # which `fresh` has already

    carried = {name: array for name, array in there.items() if carries(name)}
    if old.whole:  # everything but what is made anew must be there: `unflatten` names the first array that is not
        made_anew = {name: array for name, array in wanted.items() if not carries(name)}
    else:
        made_anew = {name: array for name, array in wanted.items() if name not in carried}
    arrays = flatten(unflatten(fresh, made_anew | carried))
    state = {f"state/{name}": array for name, array in arrays.items()}
    normaliser = {name: array for name, array in old.arrays.items() if name.startswith("normaliser/")}
    normaliser.pop("normaliser/rewards/returns", None)  # of the old run's episodes
    if prior is None and task.options.normalise_obs:  # an older run's has no clip; a prior's stays as it was
        normaliser["normaliser/clip"] = np.asarray(CLIP)
    Normaliser(task.spec.scaled_size, task.options.normalise_obs).restore(
        subtree("normaliser", normaliser)
    )  # may raise
    reference = ["prior"] if prior is not None else []
    reset = [part for part in parts_of(made_anew) if part != "prior"]
    fate = {"carried": [*parts_of(carried), *reference, "normaliser"], "reset": reset}
    return state | normaliser, fate


def learned_arrays(old: SourceCheckpoint, task: Task, fresh: Any) -> dict[str, np.ndarray]:
    """The arrays of the ancestor's checkpoint by their paths in the State.

    Those of a policy alone are found by making the policy of a fresh state and looking where its arrays lie there: an
    array that a fresh state has twice, as a parameter and as its target, is found in both.
    """
    if old.whole:
        return subtree("state", old.arrays)
    places: dict[int, list[str]] = {}
    for name, leaf in _leaves(fresh).items():
        places.setdefault(id(leaf), []).append(name)
    policy = _leaves(task.agent.policy(task.config, fresh))
    kept = subtree("policy", old.arrays)
    return {place: kept[name] for name, leaf in policy.items() if name in kept for place in places.get(id(leaf), ())}


def _leaves(tree: Any) -> dict[str, Any]:
    return {path_name(path): leaf for path, leaf in tree_util.tree_flatten_with_path(tree)[0]}
