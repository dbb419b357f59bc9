"""The full form of `robustness`: SAC, its twin without entropy, and TD3 on perturbed MuJoCo bodies.

The runs are those of the full form of `performance`, trained once for both studies in the same directory: the best
checkpoint of each is used. A run's score is the area under its relative return over severity,
n(s) = 1 + (R(s) − R(0))/|R(0)|, averaged over the families (`entrax.evaluation.stress`).

Runs are compared with runs of the same unperturbed return. On each task the seeds of two arms are paired so that as
many pairs as possible have unperturbed returns within `NEAR` of each other, relative to the larger one, and among these
pairings the closest is taken. Other seeds are not compared. The score of a pair is the difference of its scores.

Each stress test is kept in `out`/stress, so that a study that was killed continues.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.errors import write_faults
from entrax.evaluation.statistics import estimate, pooled_interquartile_mean
from entrax.evaluation.stress import stress_test
from entrax.policies.controller import act_in_episodes
from entrax.runs.records import dumps, publish_bytes, read_json, to_json
from entrax.studies.performance import FULL, Form, PerformanceTask, settings_of
from entrax.studies.runs import run_path, trained_run
from entrax.studies.study import MIN_SEEDS
from entrax.training.run import Run, load

ARMS = {"soft": ("SAC", True), "soft, mode": ("SAC", False), "twin": ("SAC, α = 0", False), "td3": ("TD3", False)}
"""By name, the agent of `performance` and whether its actions are sampled."""
OTHERS = ("twin", "td3")
FAMILIES: tuple[str, ...] = (
    *("push", "slope_up", "slope_down", "stairs_up", "stairs_down", "obstacles"),
    *("mass", "motor_strength", "action_delay"),
)
"""Pushes, the ground, a payload on every part of the body, weak motors, and late actions."""
LEVELS = (0.0, 0.25, 0.5, 1.0)
EPISODES = 5  # in each condition
NEAR = 0.1

Scores = Float[np.ndarray, " seed"]


def run_bodies(seeds: range, out: Path, form: Form = FULL) -> dict[str, Any]:
    """Measure every arm on every task, pair the seeds, and compare the pairs."""
    tasks = {task.env: measure_task(form, task, seeds, out) for task in form.tasks}
    return {"form": "bodies", "levels": LEVELS, "near": NEAR, "tasks": tasks} | compare(list(tasks.values()))


def measure_task(form: Form, task: PerformanceTask, seeds: range, out: Path) -> dict[str, Any]:
    """Return the unperturbed returns, areas and curves of every arm, and the pairs of seeds."""
    arms: dict[str, Any] = {}
    for arm, (name, sample) in ARMS.items():
        agent, settings = settings_of(form, task, name)
        runs = [trained_run(task.env, agent, settings, seed, out) for seed in seeds]
        each = [
            kept_stress(load(run.path, "best"), task.env, sample, seed, out)
            for run, seed in zip(runs, seeds, strict=True)
        ]
        families = list(each[0]["areas"])
        arms[arm] = {
            "agent": agent,
            "settings": settings,
            "sampled": sample,
            "nominal": [one["nominal"] for one in each],
            "areas": {name: [one["areas"][name] for one in each] for name in families},
            "relative": {name: [one["relative"][name] for one in each] for name in families},
            "skipped": each[0]["skipped"],
        }
    pairs = {other: pair(arms["soft"], arms[other]) for other in OTHERS}
    return {"arms": arms, "pairs": pairs}


def kept_stress(policy: Run, env: str, sample: bool, seed: int, out: Path) -> dict[str, Any]:
    """Return the result of a stress test, from `out`/stress if it has been made before."""
    arguments = [policy.path.name, env, sample, seed, FAMILIES, LEVELS, EPISODES]
    path = out / "stress" / f"{run_path(out, arguments).name}.json"
    if path.exists():
        return dict(read_json(path))
    result: dict[str, Any] = to_json(measure_policy(policy, env, sample, seed))
    with write_faults(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    publish_bytes(path, dumps(result).encode())
    return result


def measure_policy(policy: Run, env: str, sample: bool, seed: int) -> dict[str, Any]:
    """Play a policy under every perturbation; an area is None if the unperturbed return may be 0."""
    stressed = stress_test(
        act_in_episodes(policy.controller, sample=sample, seed=seed),
        policy.source(),
        seed=seed,
        policy="sampled" if sample else "mode",
        families=FAMILIES,
        levels=LEVELS,
        episodes=EPISODES,
    )
    nominal = stressed.unperturbed.mean
    return {
        "nominal": nominal,
        "areas": {name: None if area is None else area.mean for name, area in stressed.areas.items()},
        "relative": {
            name: [1.0 + (each.mean - nominal) / abs(nominal) for each in outcomes]
            for name, outcomes in stressed.families.items()
        },
        "skipped": stressed.skipped,
    }


def score(arm: Mapping[str, Any]) -> Scores:
    """Return each seed's area, averaged over the families; NaN if one is unknown."""
    return np.mean([np.array(each, float) for each in arm["areas"].values()], axis=0)


def pair(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[list[int]]:
    """Return the pairs of seeds with the same unperturbed return, as positions in both arms."""
    from scipy.optimize import linear_sum_assignment  # takes a second to import

    x, y = np.array(ours["nominal"], float)[:, None], np.array(theirs["nominal"], float)[None]
    apart = np.abs(x - y) / np.maximum(np.maximum(np.abs(x), np.abs(y)), 1e-9)
    known = np.isfinite(score(ours))[:, None] & np.isfinite(score(theirs))[None]
    allowed = (apart <= NEAR) & known
    far = 1.0 + len(x) * NEAR  # costs more than all allowed pairs together
    rows, columns = linear_sum_assignment(np.where(allowed, apart, far))
    return [[int(i), int(j)] for i, j in zip(rows, columns, strict=True) if allowed[i, j]]


def compare(tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the interquartile mean of the pairs' differences over all tasks, with 95 % intervals.

    `differences` has what is judged, and `by_family` the same for each family that applies to every task.
    """
    shared = [name for name in FAMILIES if all(name in task["arms"]["soft"]["areas"] for task in tasks)]
    families = {name: {other: _difference(tasks, other, name) for other in OTHERS} for name in shared}
    judged = {other: _difference(tasks, other, None) for other in OTHERS}
    return {"differences": {"perturbed": judged}, "by_family": families}


def _difference(tasks: Sequence[Mapping[str, Any]], other: str, family: str | None) -> dict[str, Any] | None:
    """Return the difference in one family, or averaged over all; None with fewer than `MIN_SEEDS` pairs."""
    gains = []
    for task in tasks:
        arms, pairs = task["arms"], np.array(task["pairs"][other], int).reshape(-1, 2)
        ours, theirs = (
            score(arms[arm]) if family is None else np.array(arms[arm]["areas"][family], float)
            for arm in ("soft", other)
        )
        gains.append(ours[pairs[:, 0]] - theirs[pairs[:, 1]])
    gains = [each for each in gains if len(each)]
    count = sum(len(each) for each in gains)
    return None if count < MIN_SEEDS else estimate(pooled_interquartile_mean, gains).to_json() | {"pairs": count}
