"""A policy pretrained to move in all directions is fine-tuned to one sooner than others, or than it is learned anew.

Haarnoja et al. (2017), arXiv:1702.08165, section 5.2. Four arms learn to move in the paying direction of a hallway, in
directions fixed beforehand: the soft agent and its twin at a hundredth of the temperature, both pretrained to move in
any direction; a deterministic agent, pretrained likewise; and the soft agent from scratch. Counted are the steps in
the hallway until the return of the policy's mode, a centred mean over three evaluations, reaches 80 % of what the best
arm has in the end. An arm that never does counts with all its steps, so that a ratio to it is a bound. Steps of
pretraining, which are meant to serve for many hallways, are not counted.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from entrax.evaluation.statistics import TaskScores, estimate
from entrax.studies.directions import ANT, POINT, Form
from entrax.studies.runs import trained, tuned
from entrax.studies.study import FEWEST, Numbers, Study, Verdict, decided, interval
from entrax.training.run import Run

OTHERS = ("low", "deterministic", "scratch")
ARMS = ("soft", *OTHERS)
SHARE = 0.8  # of the best arm's final return
WINDOW = 3  # evaluations
LEAST_REACHED = 0.5  # of the soft arm's runs, more than this

Returns = Float[np.ndarray, "seed direction evaluation"]


def run(quick: bool, seeds: int, out: Path) -> dict[str, Any]:
    """Every run's returns, the steps that each needs, and what the others need relative to the soft arm."""
    form = POINT if quick else ANT
    found: dict[str, list[np.ndarray]] = {arm: [] for arm in ARMS}
    for seed in range(seeds):
        for arm in ARMS:
            found[arm].append(np.array([course(run) for run in runs_of(form, arm, seed, out)]))
    courses = {arm: np.array(each) for arm, each in found.items()}  # [seed, direction, 2, evaluation]
    steps, returns = courses["soft"][0, 0, 0], {arm: each[:, :, 1] for arm, each in courses.items()}
    about = {arm: form.agents[agent_of(arm)] for arm in ARMS}
    return {
        "environment": form.hallway,
        "directions": form.directions,
        "pretraining": form.pretraining,
        "tuning": form.tuning,
        "agents": {arm: {"agent": agent, "settings": own} for arm, (agent, own) in about.items()},
        "steps": steps,
        "returns": returns,
    } | compared(steps, returns)


def agent_of(arm: str) -> str:
    """The kind of agent that learns in an arm."""
    return "soft" if arm == "scratch" else arm


def runs_of(form: Form, arm: str, seed: int, out: Path) -> list[Run]:
    """The runs of an arm in every hallway."""
    hallways: list[dict[str, Any]] = [{"direction": direction} for direction in form.directions]
    if arm == "scratch":
        agent, own = form.agents[agent_of(arm)]
        settings = own | form.tuning
        return [trained(form.hallway, agent, settings, seed, out, env_args=each) for each in hallways]
    before = form.pretrained(arm, seed, out)
    return [tuned(before, form.hallway, form.tuning, out, env_args=each) for each in hallways]


def course(run: Run) -> Float[np.ndarray, "2 evaluation"]:
    """Steps and mean returns of a run's evaluations."""
    rows = [(row["step"], row["evaluation"]["mean"]) for row in run.metrics() if "evaluation" in row]
    return np.array(rows, float).T


def compared(steps: Float[np.ndarray, " evaluation"], returns: Mapping[str, Returns]) -> dict[str, Any]:
    """The return that counts in each hallway, the steps of every run until then, and their ratios to the soft arm's.

    A seed's steps are the geometric mean over the hallways. A ratio is that of the geometric means over seeds, its
    interval a bootstrap that draws the seeds of both arms anew.
    """
    final = [np.median(each[..., -WINDOW:].mean(axis=-1), axis=0) for each in returns.values()]
    wanted = SHARE * np.max(final, axis=0)
    needed = {arm: steps_to(wanted, steps, each) for arm, each in returns.items()}
    logs = {arm: [np.mean(np.log(each), axis=1)] for arm, (each, _) in needed.items()}
    ratios = {arm: estimate(ratio, logs[arm], logs["soft"]).to_json() for arm in OTHERS}
    return {
        "wanted": wanted,
        "needed": {arm: each for arm, (each, _) in needed.items()},
        "reached": {arm: float(np.mean(each)) for arm, (_, each) in needed.items()},
        "per_seed": {arm: interval(np.exp(each[0])) for arm, each in logs.items()},
        "ratios": ratios,
    }


def smoothed(returns: Returns) -> Returns:
    """The centred mean over `WINDOW` evaluations; at the ends over what there is of it."""
    half, count = WINDOW // 2, returns.shape[-1]
    spans = [(max(0, i - half), min(count, i + half + 1)) for i in range(count)]
    return np.stack([returns[..., low:high].mean(axis=-1) for low, high in spans], axis=-1)


def steps_to(
    wanted: Float[np.ndarray, " direction"], steps: Float[np.ndarray, " evaluation"], returns: Returns
) -> tuple[Float[np.ndarray, "seed direction"], Bool[np.ndarray, "seed direction"]]:
    """The steps at the first evaluation with the return that is wanted, and whether there is one; if not, all steps."""
    there = smoothed(returns) >= wanted[:, None]
    reached = np.any(there, axis=-1)
    return np.where(reached, steps[np.argmax(there, axis=-1)], steps[-1]), reached


def ratio(theirs: TaskScores, ours: TaskScores) -> Float[np.ndarray, "..."]:
    """Of geometric means, from logarithms."""
    return np.asarray(np.exp(np.mean(theirs[0], axis=-1) - np.mean(ours[0], axis=-1)))


def judge(numbers: Numbers) -> Verdict:
    """See the criterion of `STUDY`."""
    if len(numbers["per_seed"]["soft"]["values"]) < FEWEST or min(numbers["wanted"]) <= 0:
        return "undecided"
    ratios = numbers["ratios"].values()
    reached = numbers["reached"]["soft"] > LEAST_REACHED
    return decided(
        supported=reached and all(each["low"] > 1 for each in ratios), refuted=any(each["high"] < 1 for each in ratios)
    )


STUDY = Study(
    name="fine-tuning",
    claim="Pretrained to move in all directions, a soft policy is fine-tuned to one sooner than others learn it.",
    criterion=(
        "Compared are geometric means of the steps in the hallways until "
        f"{SHARE:.0%} of the best arm's final return. Supported if the agent at a hundredth of the temperature, the "
        "deterministic one and the soft one from scratch all need more of them than the pretrained soft one (95 % "
        f"intervals of the ratios above 1), which gets there in more than {LEAST_REACHED:.0%} of its runs. Refuted if "
        "one of the three needs fewer (interval below 1). Undecided if nothing is learned, and with fewer than "
        f"{FEWEST} seeds."
    ),
    run=run,
    judge=judge,
    exact=False,
)
