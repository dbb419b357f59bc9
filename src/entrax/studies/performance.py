"""Compare the learning speed of SAC, its twin without entropy, and other agents.

The twin is the same code at temperature 0: a stochastic policy that maximises the return alone. All agents take the
same number of steps and updates, with `--quick` also with the same batch size, learning rate and layers, and are
evaluated by the mode of their policies. A run's score is the mean return along its learning curve; the last return is
reported too. Intervals are percentile bootstraps over seeds, stratified by task (Agarwal et al. 2021,
arXiv:2108.13264).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from entrax.evaluation.compare import Group, compare_groups, curves
from entrax.studies.power import ControlResult, Power, improvement
from entrax.studies.runs import trained_run
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide

AGENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "SAC": ("sac", {}),
    "SAC, α = 0": ("sac", {"temperature": 0.0}),
    "DDPG": ("ddpg", {}),
    "TD3": ("td3", {}),
    "soft Q": ("soft-q", {"particles": 16}),
}
"""By the name in this study, the agent's name and its own settings."""
OURS, JUDGED = "SAC", ("SAC, α = 0", "DDPG")

LOOP: dict[str, Any] = {"envs": 8, "workers": 0, "eval_episodes": 10}
QUICK: dict[str, Any] = LOOP | {
    "steps": 5_000,
    "learning_starts": 500,
    "eval_every": 500,
    "learning_rate": 1e-3,
    "batch_size": 64,
    "hidden": (64, 64),
}
FULL: dict[str, Any] = LOOP | {"steps": 100_000, "eval_every": 5_000}
"""All other settings of the full study are the agents' defaults."""


@dataclass(frozen=True)
class PerformanceTask:
    """An environment, and settings of single agents in it.

    The temperature of soft Q-learning is not learned and must be chosen.
    """

    env: str
    env_args: dict[str, Any]
    own: dict[str, dict[str, Any]]


TASKS_QUICK = (
    PerformanceTask("Pendulum-v1", {}, {"soft-q": {"temperature": 5.0}}),
    PerformanceTask("entrax/PointLines-v0", {"goal": "both"}, {"soft-q": {"temperature": 0.2}}),
)
TASKS_FULL = (PerformanceTask("HalfCheetah-v5", {}, {"soft-q": {"temperature": 1.0}}),)


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure learning curves, scores and improvements of all agents on every task."""
    shared, tasks = (QUICK, TASKS_QUICK) if quick else (FULL, TASKS_FULL)
    groups = []
    for task in tasks:
        for name, (agent, own) in AGENTS.items():
            settings = shared | own | task.own.get(agent, {})
            runs = [trained_run(task.env, agent, settings, seed, out, env_args=task.env_args) for seed in seeds]
            groups.append(group(task.env, name, [run.metrics() for run in runs]))
    return {
        "agents": AGENTS,
        "settings": shared,
        "tasks": [asdict(task) for task in tasks],
        "seeds": len(seeds),
        "curves": curves(groups),
        "area": scores(groups, "area"),
        "final": scores(groups, "final"),
    }


def group(task: str, name: str, runs: Sequence[Sequence[Mapping[str, Any]]]) -> Group:
    """Collect one agent's evaluations on one task from its runs' metrics."""
    evaluations = [{row["step"]: row["evaluation"]["mean"] for row in rows if "evaluation" in row} for rows in runs]
    steps, seeds = sorted(evaluations[0]), tuple(range(len(runs)))
    return Group(
        task=task,
        method=name,
        runs=tuple(f"{name} {seed}" for seed in seeds),
        seeds=seeds,
        last=(steps[-1],) * len(runs),
        steps=np.array(steps, float),
        returns=np.array([[means[step] for means in evaluations] for step in steps], float),
    )


def scores(groups: Sequence[Group], score: str) -> dict[str, Any]:
    """Return the groups' values of one score, the pooled ones, and the improvements."""
    comparison = compare_groups(groups, score)
    return {key: comparison[key] for key in ("groups", "pooled", "improvement")}


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    over = {row["over"]: row for row in numbers["area"]["improvement"] if row["method"] == OURS}
    if numbers["seeds"] < MIN_SEEDS:
        return "undecided"
    return decide(
        supported=all(over[other]["low"] >= 0.5 for other in JUDGED),
        refuted=any(over[other]["high"] < 0.5 for other in JUDGED),
    )


def control() -> ControlResult:
    """Judge made-up curves of which one rises earlier."""

    def rising(late: float) -> list[list[dict[str, Any]]]:
        means = [[step - late - 0.1 * seed for step in range(1, 6)] for seed in range(MIN_SEEDS)]
        return [[{"step": i, "evaluation": {"mean": mean}} for i, mean in enumerate(each)] for each in means]

    groups = [group("made up", name, rising(0.0 if name == OURS else 2.0)) for name in (OURS, *JUDGED)]
    area = scores(groups, "area")
    verdict = judge({"seeds": MIN_SEEDS, "area": area})
    return ControlResult(seen=verdict == "supported", numbers={"improvement": area["improvement"]})


STUDY = Study(
    name="performance",
    claim="At equal steps SAC is at least as good as its twin without entropy, and as DDPG.",
    criterion=(
        "A run's score is its mean return along the learning curve. Supported if the 95 % interval of the probability "
        "that a run of SAC has a better score than a run of the other is at or above 1/2, against SAC at α = 0 and "
        "against DDPG. Refuted if against one of them the interval is below 1/2. TD3 and soft Q-learning are "
        f"reported and not judged. Undecided with fewer than {MIN_SEEDS} seeds."
    ),
    run=run,
    judge=judge,
    power=Power(
        effect="A run of SAC has a better score than a run of its twin, and than one of DDPG.",
        detectable=improvement,
        measure="the probability that a run of SAC is better",
        assumption="scores of one task are independent, normal, and spread alike in both arms",
        case="made-up learning curves: one rises earlier than the others in every seed",
        control=control,
    ),
    exact=False,
)
