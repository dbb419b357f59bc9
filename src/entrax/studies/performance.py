"""Compare the returns that SAC, its twin without entropy, and other agents reach in equally many steps.

The twin is the same code at temperature 0: a stochastic policy that maximises the return alone. Agents with a replay
take the same number of steps and updates with the same learning rate, batches and layers, and all are evaluated by the
mode of their policies. A run's score is the mean of its evaluations in the last quarter of the steps, normalised by the
task: 0 is the return of random actions and 1 the published return of SAC after 300,000 steps, so that the interquartile
mean of the full form reads as a share of it. Intervals are bootstraps over seeds, stratified by task (Agarwal et al.
2021, arXiv:2108.13264).

Beside it stands a task where maximum entropy hurts, solved exactly (`entrax.studies.precision`). It is not judged.

All settings are written out here, so that the study does not change with defaults. Those of networks and loop are for
few updates (docs/fast-preset.md), and the same for all. A learned temperature begins at 0.1: from 1 it was still at 0.4
after a third of an earlier quick form. The tasks of the quick form, its steps and the number of seeds were chosen with
seeds 10 to 13; docs/studies.md lists what was tried.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from entrax.evaluation.compare import Group, curves
from entrax.evaluation.statistics import estimate, estimate_improvement, pooled_interquartile_mean, summarise
from entrax.studies.power import ControlResult, Power, improvement
from entrax.studies.precision import precision
from entrax.studies.runs import trained_run
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide

Settings = dict[str, Any]

SAC: Settings = {"temperature": "learned", "initial_temperature": 0.1, "layer_norm": False, "policy_delay": 1}


class Contestant(NamedTuple):
    """An agent of the study.

    Attributes:
        agent: its name.
        own: its own settings.
        replay: whether it also has the settings of agents with a replay.
        entropy_target: whether its `target_entropy` is minus the number of action entries.
    """

    agent: str
    own: Settings
    replay: bool = True
    entropy_target: bool = False


AGENTS: dict[str, Contestant] = {
    "SAC": Contestant("sac", SAC, entropy_target=True),
    "SAC, α = 0": Contestant("sac", SAC | {"temperature": 0.0}, entropy_target=True),
    "DDPG": Contestant("ddpg", {"policy_learning_rate": 1e-3, "noise": 0.1, "noise_correlation": None}),
    "TD3": Contestant(
        "td3",
        {"noise": 0.1, "noise_correlation": None, "target_noise": 0.2, "target_noise_clip": 0.5, "policy_delay": 2},
    ),
}
"""By the name in this study."""
OURS, JUDGED = "SAC", ("SAC, α = 0", "DDPG")
SHOWN: dict[str, Contestant] = {
    "soft Q": Contestant(
        "soft-q",
        {"temperature": 0.2, "final_temperature": 0.2, "anneal_fraction": 1.0, "bandwidth": None}
        | {"proposal": "sampler", "uniform_share": 0.1, "particles": 16, "value_particles": 32, "critics": 2}
        | {"hidden": (256, 256, 64)},
    ),
    "PPO": Contestant(
        "ppo",
        {"learning_rate": 3e-4, "final_learning_rate": 0.0, "discount": 0.99, "gae_lambda": 0.95, "clip": 0.2}
        | {"value_coefficient": 1.0, "entropy_coefficient": 0.0, "temperature": 0.0, "max_gradient_norm": 0.5}
        | {"initial_log_std": 0.0, "epochs": 10, "batch_size": 64, "rollout_steps": 2048}
        | {"normalise_advantages": True, "hidden": (64, 64), "normalise_obs": True, "normalise_rewards": True},
        replay=False,
    ),
}
"""Agents of the full study that are shown and not judged, with the first `SHOWN_SEEDS` seeds."""
SHOWN_SEEDS = 3
QUARTER = 0.75  # the last quarter begins after this part of the steps


@dataclass(frozen=True)
class PerformanceTask:
    """An environment, the entries of an action, and the returns that are normalised to 0 and 1.

    `spread` is the standard deviation of the reference over its runs, where it was published.
    """

    env: str
    actions: int
    random: float
    reference: float
    spread: float | None = None


@dataclass(frozen=True)
class Form:
    """A version of the study: its tasks, settings of all agents and of those with a replay, and its agents.

    `beside` and `shown` name the agents that are not judged, those of `shown` with fewer seeds.
    """

    tasks: tuple[PerformanceTask, ...]
    loop: Settings
    replay: Settings
    beside: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents that are trained with every seed."""
        return (OURS, *JUDGED, *self.beside)


LOOP: Settings = {"envs": 8, "eval_envs": None, "checkpoint_every": 0, "checkpoint_seconds": 60.0}
REPLAY: Settings = {"chunk": 16, "normalise_obs": False, "normalise_rewards": False}
REPLAY |= {"learning_rate": 1e-3, "discount": 0.99, "target_rate": 0.005, "replay_size": 300_000}
HALF_CHEETAH = PerformanceTask("HalfCheetah-v5", 6, random=-289.4, reference=8593.0, spread=1016.0)
HOPPER = PerformanceTask("Hopper-v5", 3, random=18.8, reference=2160.0, spread=1033.0)
WALKER = PerformanceTask("Walker2d-v5", 6, random=2.8, reference=2470.0, spread=1655.0)
ANT = PerformanceTask("Ant-v5", 8, random=-70.3, reference=3533.0, spread=1644.0)
SEEDS = 8
"""The seeds of the study by default, and of its control."""
QUICK = Form(
    tasks=(HOPPER, WALKER),
    loop=LOOP | {"workers": 0, "steps": 12_000, "log_every": 600, "eval_every": 1_200, "eval_episodes": 5},
    replay=REPLAY | {"learning_starts": 1_200, "updates_per_step": 0.5, "batch_size": 64, "hidden": (64, 64)},
)
FULL = Form(
    tasks=(HALF_CHEETAH, HOPPER, WALKER, ANT),
    loop=LOOP | {"workers": 2, "steps": 300_000, "log_every": 3_000, "eval_every": 15_000, "eval_episodes": 5},
    replay=REPLAY | {"learning_starts": 10_000, "updates_per_step": 0.25, "batch_size": 256, "hidden": (256, 256)},
    beside=("TD3",),
    shown=tuple(SHOWN),
)
"""References are SAC's at 300,000 steps of the v4 tasks, ten runs; docs/studies.md says from where."""


def settings_of(form: Form, task: PerformanceTask, name: str) -> tuple[str, Settings]:
    """Return an agent's name and all of its settings on a task."""
    chosen = (AGENTS | SHOWN)[name]
    target = {"target_entropy": -float(task.actions)} if chosen.entropy_target else {}
    return chosen.agent, form.loop | (form.replay if chosen.replay else {}) | chosen.own | target


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure learning curves, scores and improvements of all agents on every task."""
    form = QUICK if quick else FULL
    groups = []
    for task in form.tasks:
        for name in (*form.agents, *form.shown):
            agent, settings = settings_of(form, task, name)
            chosen = seeds if name in form.agents else seeds[:SHOWN_SEEDS]
            runs = [trained_run(task.env, agent, settings, seed, out) for seed in chosen]
            groups.append(group(task.env, name, [each.metrics() for each in runs]))
    return {
        "agents": list(dict.fromkeys(each.method for each in groups)),
        "settings": {n: dict([settings_of(form, form.tasks[0], n)]) for n in (*form.agents, *form.shown)},
        "tasks": [asdict(task) for task in form.tasks],
        "seeds": len(seeds),
        "judged": [QUARTER * form.loop["steps"], form.loop["steps"]],
        "curves": curves(groups),
        "returns": returns(groups),
        "precision": precision(),
    } | compare(groups, form.tasks)


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


def last_quarter(group: Group) -> Float[np.ndarray, " seed"]:
    """Return each seed's mean over the evaluations in the last quarter of the steps."""
    return np.asarray(group.returns[group.steps > QUARTER * group.steps[-1]].mean(axis=0))


def returns(groups: Sequence[Group]) -> dict[str, dict[str, Any]]:
    """Return the last quarter's returns by task and agent: the seeds, and their location and spread."""
    result: dict[str, dict[str, Any]] = {}
    for each in groups:
        values = last_quarter(each)
        result.setdefault(each.task, {})[each.method] = {"values": values.tolist()} | summarise(values).to_json()
    return result


def compare(groups: Sequence[Group], tasks: Sequence[PerformanceTask], resamples: int = 2000) -> dict[str, Any]:
    """Return what is judged, over all tasks, with 95 % intervals.

    Args:
        groups: the evaluations of every agent on every task.
        tasks: the tasks, with the returns that are normalised to 0 and 1.
        resamples: the number of bootstrap samples.

    Returns:
        `pooled`, each agent's interquartile mean of all normalised scores; `improvement`, the probability that a run of
        SAC has a better score, by the other agent; and `learned`, the probability that a run of SAC has a better score
        than its first evaluation.
    """
    ends = {task.env: (task.random, task.reference) for task in tasks}

    def scores(name: str, of: Any = last_quarter) -> list[Float[np.ndarray, " seed"]]:
        mine = [each for each in groups if each.method == name]
        return [(of(each) - ends[each.task][0]) / (ends[each.task][1] - ends[each.task][0]) for each in mine]

    names, ours = list(dict.fromkeys(each.method for each in groups)), scores(OURS)
    pooled = {n: estimate(pooled_interquartile_mean, scores(n), resamples=resamples).to_json() for n in names}
    others = [name for name in names if name != OURS]
    better = {n: estimate_improvement(ours, scores(n), resamples=resamples).to_json() for n in others}
    first = scores(OURS, lambda each: each.returns[0])
    learned = estimate_improvement(ours, first, resamples=resamples).to_json()
    return {"pooled": pooled, "improvement": better, "learned": learned}


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    pooled, better = numbers["pooled"], numbers["improvement"]
    if numbers["seeds"] < MIN_SEEDS or numbers["learned"]["low"] <= 0.5:
        return "undecided"
    ahead = {name: pooled[OURS]["value"] >= pooled[name]["value"] for name in JUDGED}
    return decide(
        supported=all(ahead[name] and better[name]["low"] >= 0.5 for name in JUDGED),
        refuted=any(not ahead[name] and better[name]["high"] < 0.5 for name in JUDGED),
    )


REPEATS = 8  # made-up studies of the control, with and without an effect
LARGE = 1.5  # the effect of the control, in the smallest detectable one
RESAMPLES = 200  # bootstrap samples of each
OFTEN, SELDOM = 0.75, 0.25  # the least share of them supported with an effect, and the largest without one


def detectable(seeds: int) -> float | None:
    """Return `improvement` on the tasks of the quick form, against all agents of `JUDGED` at once."""
    return improvement(seeds, tasks=len(QUICK.tasks), others=len(JUDGED))


def control() -> ControlResult:
    """Judge made-up studies of `SEEDS` seeds, with an effect that is larger than the detectable one and without one.

    SAC learns later than the others in all of them, so that only the last quarter has the effect.
    """
    likely = detectable(SEEDS)
    assert likely is not None
    rng, apart = np.random.default_rng(0), LARGE * 2**0.5 * NormalDist().inv_cdf(likely)
    tasks = [PerformanceTask(f"made up {i}", 1, random=0.0, reference=10.0) for i in range(len(QUICK.tasks))]

    def made_up(task: str, name: str, effect: float) -> Group:
        late, runs = 4.0 * (name == OURS), []
        for plateau in rng.normal(10.0 + effect * (name == OURS), 1.0, size=SEEDS):
            means = plateau * np.clip((np.arange(1.0, 21.0) - late) / 10.0, 0.0, 1.0) + rng.normal(0.0, 0.3, size=20)
            runs.append([{"step": i, "evaluation": {"mean": mean}} for i, mean in enumerate(means, start=1)])
        return group(task, name, runs)

    def supported(effect: float) -> float:
        drawn = ([made_up(t.env, n, effect) for t in tasks for n in (OURS, *JUDGED)] for _ in range(REPEATS))
        verdicts = [judge({"seeds": SEEDS} | compare(each, tasks, RESAMPLES)) for each in drawn]
        return verdicts.count("supported") / REPEATS

    with_effect, without = supported(apart), supported(0.0)
    return ControlResult(
        seen=with_effect >= OFTEN and without <= SELDOM,
        numbers={"effect": NormalDist().cdf(apart / 2**0.5), "supported": with_effect, "supported_without": without},
    )


STUDY = Study(
    name="performance",
    claim="At equal steps SAC is at least as good as its twin without entropy, and as DDPG.",
    criterion=(
        "A run's score is its mean return over the evaluations in the last quarter of the steps, 0 for random actions "
        "and 1 for the reference return of its task. Supported if, against SAC at α = 0 and against DDPG, the 95 % "
        "interval of the probability that a run of SAC has a better score is at or above 1/2, and SAC's interquartile "
        "mean is no lower. Refuted if against one of them the interval is below 1/2 and SAC's interquartile mean is "
        "lower. TD3, soft Q-learning and PPO are reported and not judged, nor is the task where maximum entropy hurts. "
        f"Undecided with fewer than {MIN_SEEDS} seeds, and unless SAC has learned: the interval of the probability "
        "that a run ends better than its first evaluation must be above 1/2."
    ),
    look=(
        "Above: learning curves, with the last quarter, which is judged, in grey. Below, the middle panel decides: "
        "the probability that a run of SAC has the better last quarter, where an interval to the right of one half "
        "favours SAC and one that includes it leaves the question open. The last panel is a task made to show where "
        "entropy hurts: success over the temperature when few actions hold the balance."
    ),
    run=run,
    judge=judge,
    power=Power(
        effect="A run of SAC has a better last quarter than a run of its twin, and than one of DDPG.",
        detectable=detectable,
        measure="the probability that a run of SAC is better than one of another agent",
        assumption=(
            f"scores are normal and spread alike in both arms, with the same effect in {len(QUICK.tasks)} tasks, those "
            "of --quick"
        ),
        case=(
            f"{REPEATS} made-up studies in which only the last quarter has an effect, {LARGE:g} times as large, of "
            f"which {OFTEN:.0%} must be supported, and as many without an effect, of which {SELDOM:.0%} may be"
        ),
        control=control,
    ),
    seeds=SEEDS,
    exact=False,
)
