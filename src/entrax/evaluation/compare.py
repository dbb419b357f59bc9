"""Comparison of methods from several runs each: groups of seeds, intervals and probabilities of improvement.

A *task* is an environment with its arguments. A *method* is an agent with the settings that distinguish it from the
others on the same task. A group holds the runs of one method on one task, which differ in their seed only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError, require_one_of
from entrax.evaluation.statistics import (
    bootstrap,
    estimate,
    estimate_improvement,
    performance_profile,
    pooled_interquartile_mean,
    summarise,
)

SCORES = ("final", "area")
WITHOUT_INFLUENCE = (
    *("workers", "log_every", "eval_every", "eval_episodes", "checkpoint_every", "checkpoint_seconds"),
    *("restart_envs", "step_timeout", "device", "threads"),
)
"""Settings of the training loop that do not change what is learned."""
THRESHOLDS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class EvaluatedRun:
    """A run's configuration, as in config.json, and its mean returns by steps."""

    name: str
    config: Mapping[str, Any]
    evaluations: Mapping[int, float]


@dataclass(frozen=True)
class Group:
    """The runs of one method on one task, at their common evaluation steps.

    `last` holds the last evaluation step of each run.
    """

    task: str
    method: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    last: tuple[int, ...]
    steps: Float[np.ndarray, " step"]
    returns: Float[np.ndarray, "step seed"]

    def scores(self, score: str) -> Float[np.ndarray, " seed"]:
        """Return one score for each seed.

        The score is the return at the last step ("final") or its mean over the steps ("area").
        """
        if score == "final" or len(self.steps) == 1:
            return self.returns[-1]
        return np.asarray(np.trapezoid(self.returns, self.steps, axis=0) / (self.steps[-1] - self.steps[0]))


def grouped(runs: Sequence[EvaluatedRun]) -> list[Group]:
    """Group the runs by task and method, in their order.

    Raises:
        UsageError: if two runs have the same configuration and seed, or the runs of a group share no evaluation step.
    """
    keys = [(_task(run.config), _settings(run.config)) for run in runs]
    varying = _varying(keys)
    members: dict[tuple[str, str], list[EvaluatedRun]] = {}
    for run, (task, settings) in zip(runs, keys, strict=True):
        members.setdefault((task, _method(settings, varying)), []).append(run)
    return [_group(task, method, inside) for (task, method), inside in members.items()]


def compare_groups(groups: Sequence[Group], score: str = "final", resamples: int = 2000) -> dict[str, Any]:
    """Compare the groups, with 95 % intervals.

    The groups of one task are compared at the evaluation steps that all of them have. Scores are pooled over the tasks
    that all methods have, each task scaled so that its worst run has 0 and its best has 1. The bootstrap keeps that
    scale fixed.

    Args:
        groups: the groups, as `grouped` returns them.
        score: "final" for the return at the last step, "area" for the mean return over the steps.
        resamples: the number of bootstrap samples.

    Returns:
        JSON data: `groups`, `improvement` (every ordered pair of methods), `pooled`, `profiles`, and `warnings` where
        some runs were evaluated beyond the last common step.

    Raises:
        UsageError: if the groups of one task share no evaluation step.
    """
    require_one_of("score", score, SCORES)
    groups = _aligned(groups)
    methods = list(dict.fromkeys(group.method for group in groups))
    scores = {(group.task, group.method): group.scores(score) for group in groups}
    tasks = [task for task in dict.fromkeys(g.task for g in groups) if all((task, m) in scores for m in methods)]
    ends = {task: _ends([values for (at, _), values in scores.items() if at == task]) for task in tasks}
    pooled = {m: [_scaled(scores[task, m], ends[task]) for task in tasks] for m in methods} if tasks else {}
    return {
        "score": score,
        "confidence": 0.95,
        "warnings": _warnings(groups),
        "groups": [
            {"task": g.task, "method": g.method, "runs": list(g.runs)}
            | {"step": float(g.steps[-1]), "scores": scores[g.task, g.method].tolist()}
            | summarise(scores[g.task, g.method], resamples=resamples).to_json() | {"seeds": list(g.seeds)}
            for g in groups
        ],
        "improvement": _improvements(scores, methods, resamples),
        "tasks": tasks,
        "scale": {task: {"low": low, "high": high} for task, (low, high) in ends.items()},
        "pooled": {m: estimate(pooled_interquartile_mean, values, resamples=resamples).to_json()
                   for m, values in pooled.items()},
        "thresholds": THRESHOLDS.tolist(),
        "profiles": {m: _band(lambda s: performance_profile(s, THRESHOLDS), values, resamples)
                     for m, values in pooled.items()},
    }  # fmt: skip


def curves(groups: Sequence[Group], resamples: int = 2000) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return learning curves by task and method, with their intervals.

    A curve has `steps` and the interquartile mean over seeds at each: `value`, `low` and `high`. Each bootstrap sample
    takes the same seeds at every step. The intervals hold pointwise, not for the whole curve.
    """
    bands: dict[str, dict[str, dict[str, list[float]]]] = {}
    for group in groups:
        band = _band(pooled_interquartile_mean, [group.returns], resamples)
        bands.setdefault(group.task, {})[group.method] = {"steps": group.steps.tolist()} | band
    return bands


def _aligned(groups: Sequence[Group]) -> list[Group]:
    """Restrict the groups to the evaluation steps that all groups of their task have."""
    common: dict[str, set[float]] = {}
    for group in groups:
        common[group.task] = common.get(group.task, set(group.steps)) & set(group.steps)
    for task, steps in common.items():
        if not steps:
            raise UsageError(f"The methods on {task} were evaluated at no common step.")
    kept = [np.isin(group.steps, list(common[group.task])) for group in groups]
    return [replace(g, steps=g.steps[at], returns=g.returns[at]) for g, at in zip(groups, kept, strict=True)]


def _warnings(aligned: Sequence[Group]) -> list[str]:
    """Return a sentence for each task whose runs were evaluated beyond the last step of the comparison."""
    warnings = []
    for task in dict.fromkeys(group.task for group in aligned):
        here = [group for group in aligned if group.task == task]
        ends = {run: end for group in here for run, end in zip(group.runs, group.last, strict=True)}
        at, shortest = int(here[0].steps[-1]), min(ends, key=lambda run: ends[run])
        if max(ends.values()) > at:
            warnings.append(
                f"{task} is compared up to step {at:,}, the last evaluation that all of its runs have: {shortest} "
                f"ends at {ends[shortest]:,}, others at up to {max(ends.values()):,}."
            )
    return warnings


def _improvements(
    scores: Mapping[tuple[str, str], Float[np.ndarray, " seed"]], methods: Sequence[str], resamples: int
) -> list[dict[str, Any]]:
    """Return the probability of improvement for every ordered pair of methods, over the tasks that both have."""
    rows = []
    for ours, theirs in permutations(methods, 2):
        shared = [task for task, method in scores if method == ours and (task, theirs) in scores]
        if shared:
            pair = [[scores[task, method] for task in shared] for method in (ours, theirs)]
            improvement = estimate_improvement(*pair, resamples=resamples)
            rows.append({"method": ours, "over": theirs, "tasks": shared} | improvement.to_json())
    return rows


def _band(statistic: Any, scores: Sequence[np.ndarray], resamples: int) -> dict[str, list[float]]:
    value, low, high = bootstrap(statistic, scores, resamples=resamples)
    return {"value": value.tolist(), "low": low.tolist(), "high": high.tolist()}


def _ends(scores: Sequence[Float[np.ndarray, " seed"]]) -> tuple[float, float]:
    together = np.concatenate(scores)
    return float(together.min()), float(together.max())


def _scaled(scores: Float[np.ndarray, " seed"], ends: tuple[float, float]) -> Float[np.ndarray, " seed"]:
    low, high = ends
    return (scores - low) / (high - low if high > low else 1.0)


def _group(task: str, method: str, runs: Sequence[EvaluatedRun]) -> Group:
    seeds = [run.config["seed"] for run in runs]
    for place, seed in enumerate(seeds):
        if seed in seeds[:place]:
            twin = runs[seeds.index(seed)].name
            raise UsageError(f"{runs[place].name} and {twin} have the same configuration and seed; remove one.")
    steps = sorted(set.intersection(*(set(run.evaluations) for run in runs)))
    if not steps:
        raise UsageError(f"The runs {', '.join(run.name for run in runs)} were evaluated at no common step.")
    returns = np.array([[run.evaluations[step] for run in runs] for step in steps], float)
    return Group(
        task=task,
        method=method,
        runs=tuple(run.name for run in runs),
        seeds=tuple(seeds),
        last=tuple(max(run.evaluations) for run in runs),
        steps=np.array(steps, float),
        returns=returns,
    )


def _task(config: Mapping[str, Any]) -> str:
    environment = config["environment"]
    arguments = " ".join(f"{k}={json.dumps(v)}" for k, v in sorted(environment["kwargs"].items()))
    return f"{environment['id']} {arguments}".strip()


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that influence learning, without task and seed, flat and as text."""
    training = {k: v for k, v in config["training"].items() if k not in WITHOUT_INFLUENCE}
    settings = {"agent": config["agent"]} | training | config["agent_config"]
    ancestor = config.get("ancestor")
    if ancestor is not None:
        settings["after"] = f"{_task(ancestor)} at {ancestor['step']}"
        temperature = ancestor["temperature"]
        settings["temperature start"] = temperature["start"]
        span = temperature.get("anneal")
        if span is not None and not temperature.get("learned"):  # a learned one differs between seeds
            settings["annealed from"] = f"{span['start']:.6g}"
        settings |= {"carried": " ".join(ancestor["carried"]), "kept replay": bool(ancestor["replay"])}
    if "prior" in config:
        prior = config["prior"]
        settings["prior"] = f"{prior['agent']} on {_task(prior)} at {prior['step']}"
    if "data" in config:
        settings["data"] = f"{config['data']['transitions']} transitions, {config['data']['sha256'][:8]}"
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}


def _varying(keys: Sequence[tuple[str, Mapping[str, str]]]) -> dict[str, list[str]]:
    """Return, by agent, the settings in which its runs on one task differ."""
    values_of: dict[tuple[str, str, str], set[str | None]] = {}
    names = list(dict.fromkeys(name for _, settings in keys for name in settings))
    for task, settings in keys:
        for name in names:
            if name in settings or name in ("after", "prior", "data"):  # lacking one is a difference, too
                values_of.setdefault((settings["agent"], name, task), set()).add(settings.get(name))
    varying: dict[str, list[str]] = {settings["agent"]: [] for _, settings in keys}
    for (agent, name, _), values in values_of.items():
        if len(values) > 1 and name not in varying[agent]:
            varying[agent].append(name)
    return varying


def _method(settings: Mapping[str, str], varying: Mapping[str, Sequence[str]]) -> str:
    shown = [f"{name}={settings[name]}" for name in varying[settings["agent"]] if name in settings]
    return " ".join([settings["agent"], *shown])
