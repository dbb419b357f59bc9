"""A pretrained soft policy is fine-tuned to one direction sooner than others.

Haarnoja et al. (2017), arXiv:1702.08165, section 5.2. Four arms learn to move in the rewarded direction of a hallway,
for directions fixed beforehand: soft Q-learning and its twin at a hundredth of the temperature, both pretrained to move
in any direction; DDPG, pretrained likewise; and soft Q-learning from scratch. The full form shows SAC and TD3,
pretrained likewise, beside them and does not judge them.

The measure is the number of steps in the hallway until the return of the policy's mode, a centred mean over three
evaluations, reaches 80 % of the best final return of the four arms. A run that never reaches it counts with all its
steps, so that a ratio to such an arm is a bound. Steps of pretraining, which can serve for many hallways, are not
counted. Every arm waits equally long for its first update; the ratios are also given without that wait.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from entrax.evaluation.statistics import TaskScores, estimate
from entrax.studies.directions import ANT, POINT, DirectionSetup
from entrax.studies.power import ControlResult, difference_power
from entrax.studies.runs import finetuned_run, trained_run
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide, summarise_seeds
from entrax.training.run import Run

OTHERS = ("low", "deterministic", "scratch")
ARMS = ("soft", *OTHERS)
BESIDE = ("sac", "td3")
SHARE = 0.8  # of the best arm's final return
WINDOW = 3  # evaluations
LEAST_REACHED = 0.5  # of the soft arm's runs, more than this

Returns = Float[np.ndarray, "seed direction evaluation"]


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure every run's returns and the steps that each needs."""
    setup = POINT if quick else ANT
    arms = ARMS if quick else (*ARMS, *BESIDE)
    curves: dict[str, list[np.ndarray]] = {arm: [] for arm in arms}
    for seed in seeds:
        for arm in arms:
            curves[arm].append(np.array([evaluations(run) for run in runs_of(setup, arm, seed, out)]))
    arrays = {arm: np.array(each) for arm, each in curves.items()}  # [seed, direction, 2, evaluation]
    steps, returns = arrays["soft"][0, 0, 0], {arm: each[:, :, 1] for arm, each in arrays.items()}
    agents = {arm: setup.agents[agent_of(arm)] for arm in arms}
    return {
        "environment": setup.hallway,
        "directions": setup.directions,
        "pretraining": setup.pretraining,
        "tuning": setup.tuning,
        "agents": {arm: {"agent": agent, "settings": own} for arm, (agent, own) in agents.items()},
        "steps": steps,
        "returns": returns,
    } | compare_arms(steps, returns, wait=float(setup.tuning["learning_starts"]))


def agent_of(arm: str) -> str:
    """Return the kind of agent that learns in an arm."""
    return "soft" if arm == "scratch" else arm


def runs_of(setup: DirectionSetup, arm: str, seed: int, out: Path) -> list[Run]:
    """Return the runs of an arm in every hallway, trained if they do not exist."""
    hallways: list[dict[str, Any]] = [{"direction": direction} for direction in setup.directions]
    if arm == "scratch":
        agent, own = setup.agents[agent_of(arm)]
        settings = own | setup.tuning
        return [trained_run(setup.hallway, agent, settings, seed, out, env_args=each) for each in hallways]
    before = setup.pretrained(arm, seed, out)
    return [finetuned_run(before, setup.hallway, setup.tuning, out, env_args=each) for each in hallways]


def evaluations(run: Run) -> Float[np.ndarray, "2 evaluation"]:
    """Return steps and mean returns of a run's evaluations."""
    rows = [(row["step"], row["evaluation"]["mean"]) for row in run.metrics() if "evaluation" in row]
    return np.array(rows, float).T


def compare_arms(
    steps: Float[np.ndarray, " evaluation"], returns: Mapping[str, Returns], *, wait: float
) -> dict[str, Any]:
    """Return the target returns, the steps of every run to them, and the arms' ratios, with and without the wait.

    A seed's steps are the geometric mean over the hallways. A ratio is that of the geometric means over seeds; its
    interval is a bootstrap that resamples the seeds of both arms. Without the wait, a run that reaches the target
    before its first update has one step.
    """
    final = [np.median(returns[arm][..., -WINDOW:].mean(axis=-1), axis=0) for arm in ARMS]
    target = SHARE * np.max(final, axis=0)
    counted = {arm: steps_to(target, steps, each) for arm, each in returns.items()}
    needed = {arm: each for arm, (each, _) in counted.items()}
    return {
        "target": target,
        "needed": needed,
        "reached": {arm: float(np.mean(each)) for arm, (_, each) in counted.items()},
        "per_seed": {arm: summarise_seeds(np.exp(np.mean(np.log(each), axis=1))) for arm, each in needed.items()},
        "ratios": ratios_of(needed),
        "ratios_without_wait": ratios_of({arm: np.maximum(each - wait, 1.0) for arm, each in needed.items()}),
    }


def ratios_of(needed: Mapping[str, Float[np.ndarray, "seed direction"]]) -> dict[str, Any]:
    """Return the ratio of every other arm's steps to the soft arm's, with its interval."""
    logs = {arm: [np.mean(np.log(each), axis=1)] for arm, each in needed.items()}
    return {arm: estimate(ratio, logs[arm], logs["soft"]).to_json() for arm in needed if arm != "soft"}


def smoothed(returns: Returns) -> Returns:
    """Return the centred mean over `WINDOW` evaluations, over fewer at the ends."""
    half, count = WINDOW // 2, returns.shape[-1]
    spans = [(max(0, i - half), min(count, i + half + 1)) for i in range(count)]
    return np.stack([returns[..., low:high].mean(axis=-1) for low, high in spans], axis=-1)


def steps_to(
    target: Float[np.ndarray, " direction"], steps: Float[np.ndarray, " evaluation"], returns: Returns
) -> tuple[Float[np.ndarray, "seed direction"], Bool[np.ndarray, "seed direction"]]:
    """Return the steps of each run to the target, and whether it is reached.

    A run that does not reach it has all its steps.
    """
    enough = smoothed(returns) >= target[:, None]
    reached = np.any(enough, axis=-1)
    return np.where(reached, steps[np.argmax(enough, axis=-1)], steps[-1]), reached


def ratio(theirs: TaskScores, ours: TaskScores) -> Float[np.ndarray, "..."]:
    """Return the ratio of geometric means, from logarithms."""
    return np.asarray(np.exp(np.mean(theirs[0], axis=-1) - np.mean(ours[0], axis=-1)))


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    if len(numbers["per_seed"]["soft"]["values"]) < MIN_SEEDS or min(numbers["target"]) <= 0:
        return "undecided"
    ratios = [numbers[key][arm] for key in ("ratios", "ratios_without_wait") for arm in OTHERS]
    reached = numbers["reached"]["soft"] > LEAST_REACHED
    return decide(
        supported=reached and all(each["low"] > 1 for each in ratios), refuted=any(each["high"] < 1 for each in ratios)
    )


def control() -> ControlResult:
    """Judge curves that rise at known steps."""
    steps = np.arange(0.0, 4_001.0, 100.0)

    def rising(at: float) -> Returns:
        late = np.array([0.8, 0.9, 1.0, 1.1, 1.2])[:, None, None]
        return np.where(steps >= at * late, 100.0, 0.0)

    result = compare_arms(steps, {arm: rising(500.0 if arm == "soft" else 2_000.0) for arm in ARMS}, wait=200.0)
    return ControlResult(seen=judge(result) == "supported", numbers={"ratios": result["ratios"]})


STUDY = Study(
    name="fine-tuning",
    claim="Pretrained to move in all directions, a soft policy is fine-tuned to one sooner than others learn it.",
    criterion=(
        "Compared are geometric means of the steps in the hallways until "
        f"{SHARE:.0%} of the best arm's final return. Supported if the agent at a hundredth of the temperature, the "
        "deterministic one and the soft one from scratch all need more steps than the pretrained soft one (95 % "
        "intervals of the ratios above 1, also without the steps before the first update), which reaches that return "
        f"in more than {LEAST_REACHED:.0%} of its runs. Refuted if one of the three needs fewer, counted in one of the "
        "two ways (interval below 1). Undecided if nothing is learned, and with fewer "
        f"than {MIN_SEEDS} seeds."
    ),
    look=(
        "Left: the return in the hallways; a curve that rises early is fine-tuned soon. Middle: the steps that each "
        "run needs to reach the target. Right, the deciding panel: the steps of each arm relative to the pretrained "
        "soft agent's; the intervals of the cold twin, the deterministic agent and the soft agent from scratch must "
        "lie to the right of 1."
    ),
    run=run,
    judge=judge,
    power=difference_power(
        effect="The pretrained soft policy needs fewer steps in a hallway than the other arms.",
        measure="the difference of the mean log steps",
        case="made-up learning curves: the soft arm reaches its return four times as early as the others",
        control=control,
    ),
    exact=False,
)
