"""Compare how often soft and deterministic policies still stack a brick after a disturbance they have never met.

SAC with a learned temperature and TD3 learn `entrax/Stacking-v0` undisturbed, in equally many steps and updates with
the same learning rate, batches and layers. The final policies then play episodes in which the arm is pushed, or the
lower brick moved, once at a random time. A policy has recovered if the brick is stacked when the episode ends. SAC is
judged by the mode of its policy, which is as free of noise as TD3's; its samples are measured too. Only seeds that have
learned to stack (`LEARNED`) count. All policies of a seed number play the same starts and disturbances.

The positive control needs no training: a policy that looks where the lower brick is recovers, and one that repeats the
actions of the undisturbed episode does not (`entrax.studies.stacking_control`).

Source of the experiment: Haarnoja et al. (2018), arXiv:1803.06773, where an arm that stacks Lego blocks is disturbed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float

from entrax.environments.source import EnvSource
from entrax.environments.stacking import DISTURBANCES, EARLIEST, LATEST
from entrax.evaluation.episodes import Act
from entrax.evaluation.statistics import TaskScores, estimate
from entrax.policies.controller import act_in_episodes
from entrax.studies.power import ControlResult, Power, shift
from entrax.studies.runs import play, trained_run
from entrax.studies.stacking_control import feedback, repeat
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide, summarise_seeds
from entrax.training.run import Run

Settings = dict[str, Any]

ENV = "entrax/Stacking-v0"
ARMS = {"SAC": ("sac", False), "SAC, sampled": ("sac", True), "TD3": ("td3", False)}
"""By name, the agent and whether its actions are sampled."""
SOFT, HARD = "SAC", "TD3"
CHANGES = ("arm", "brick")
"""The disturbances."""
EPISODES = 100  # of each disturbance
LEARNED = 0.8  # the least share of undisturbed episodes that end in success, of a seed that counts
RECOVERS = 0.5  # the least share of disturbed ones, of an agent that recovers
SPREAD = 0.1
"""The standard deviation over seeds of the share of recoveries, assumed."""
BEFORE = EARLIEST  # steps before the disturbance, and after it, whose success is recorded
AFTER = 100 - LATEST
FILMED = 2  # episodes of each disturbance
STACKED, DISTURBED, FORCE, POSE = 0, 1, slice(2, 5), slice(5, 12)  # of what is recorded

AGENTS: dict[str, Settings] = {
    "sac": {"temperature": "learned", "initial_temperature": 0.1, "target_entropy": -5.0}
    | {"layer_norm": False, "policy_delay": 1},
    "td3": {"noise": 0.3, "noise_correlation": None, "target_noise": 0.2, "target_noise_clip": 0.5, "policy_delay": 2},
}
LOOP: Settings = {
    "envs": 8,
    "workers": 0,
    "chunk": 16,
    "normalise_obs": False,
    "normalise_rewards": False,
    "learning_rate": 1e-3,
    "discount": 0.99,
    "target_rate": 0.005,
    "replay_size": 300_000,
    "learning_starts": 3_000,
    "updates_per_step": 0.25,
    "eval_envs": None,
    "eval_episodes": 10,
    "checkpoint_every": 0,
    "checkpoint_seconds": 60.0,
}
FULL = LOOP | {"steps": 300_000, "batch_size": 256, "hidden": (256, 256), "log_every": 3_000, "eval_every": 15_000}
QUICK = LOOP | {"steps": 60_000, "batch_size": 128, "hidden": (128, 128), "log_every": 600, "eval_every": 6_000}


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure the success of every arm undisturbed and under both disturbances, and the difference of recoveries."""
    settings = QUICK if quick else FULL
    runs = {
        agent: [trained_run(ENV, agent, settings | own, seed, out) for seed in seeds] for agent, own in AGENTS.items()
    }
    arms = {name: measure_arm(agent, sample, runs[agent], seeds) for name, (agent, sample) in ARMS.items()}
    return {
        "environment": ENV,
        "settings": {agent: settings | own for agent, own in AGENTS.items()},
        "before": BEFORE,
        "curves": {agent: learning_curves(each) for agent, each in runs.items()},
        "arms": arms,
    } | compare(arms)


def measure_arm(agent: str, sample: bool, runs: list[Run], seeds: range) -> dict[str, Any]:
    """Measure every seed of an arm."""
    acts = [act_in_episodes(each.controller, sample=sample, seed=seed) for each, seed in zip(runs, seeds, strict=True)]
    each = [measure_policy(act, seed, EPISODES) for act, seed in zip(acts, seeds, strict=True)]
    return combine(each) | {"agent": agent, "sampled": sample}


def learning_curves(runs: list[Run]) -> dict[str, Any]:
    """Return the share of successes in the evaluations along training, [seed, evaluation], and their steps."""
    rows = [[row for row in run.metrics() if "evaluation" in row] for run in runs]
    return {
        "steps": [row["step"] for row in rows[0]],
        "success": [[row["evaluation"]["success_rate"] for row in each] for each in rows],
    }


def measure_policy(act: Act, seed: int, episodes: int) -> dict[str, Any]:
    """Play a policy undisturbed and under each disturbance.

    Returns:
        By disturbance, the share of episodes that end stacked; `after`, for each one the share that is stacked in the
        steps from `BEFORE` before it to `AFTER` after it; and of the filmed episodes `start`, the state in which they
        are disturbed, `poses`, the positions of all joints, and `forces`.
    """
    result: dict[str, Any] = {"after": {}, "start": {}, "poses": {}, "forces": {}}
    for name in DISTURBANCES:
        played = play(act, EnvSource(ENV, {"disturbance": name}), episodes, seed=seed, observe=recorded)
        stacked = played.paths[:, :, STACKED] > 0.0
        result[name] = float(stacked[:, -1].mean())
        if name in CHANGES:
            start = played.paths[:, :, DISTURBED].argmax(axis=1) - 1
            window = np.take_along_axis(stacked, start[:, None] + np.arange(-BEFORE + 1, AFTER + 1), axis=1)
            result["after"][name] = window.mean(axis=0)
            result["start"][name] = start[:FILMED]
            result["poses"][name] = np.round(played.paths[:FILMED, :, POSE].astype(float), 4)
            result["forces"][name] = played.paths[:FILMED, :, FORCE]
    return result


def recorded(env: gymnasium.Env) -> Float[np.ndarray, " 12"]:
    """Return whether the brick is stacked, whether a disturbance begins, its force, and the positions of all joints."""
    inner: Any = env.unwrapped
    force = inner.data.xfrc_applied[:, :3].sum(axis=0)
    return np.concatenate([[inner.stacked, inner.disturbed], force, inner.data.qpos])


def combine(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an arm's results: shares by seed, their mean course after a disturbance, and the first seed's film."""
    shares = {name: [one[name] for one in each] for name in DISTURBANCES}
    return (
        shares
        | {
            "recovered": [float(np.mean([one[name] for name in CHANGES])) for one in each],
            "counts": [one["none"] >= LEARNED for one in each],
            "after": {name: np.mean([one["after"][name] for one in each], axis=0) for name in CHANGES},
        }
        | {key: each[0][key] for key in ("start", "poses", "forces")}
    )


def compare(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return each arm's share of recoveries over the seeds that count, and the difference of the judged arms.

    Both have 95 % intervals, and are None with fewer than `MIN_SEEDS` seeds that count.
    """
    counted = {name: np.array(arm["recovered"])[np.array(arm["counts"], bool)] for name, arm in arms.items()}
    enough = {name: len(values) >= MIN_SEEDS for name, values in counted.items()}
    both = enough[SOFT] and enough[HARD]
    return {
        "recoveries": {name: summarise_seeds(values) if enough[name] else None for name, values in counted.items()},
        "difference": estimate(_gain, [counted[SOFT]], [counted[HARD]]).to_json() if both else None,
    }


def _gain(ours: TaskScores, theirs: TaskScores) -> Float[np.ndarray, "..."]:
    return np.asarray(np.mean(ours[0], axis=-1) - np.mean(theirs[0], axis=-1))


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    difference = numbers["difference"]
    if difference is None:
        return "undecided"
    recovers = numbers["recoveries"][SOFT]["median"] >= RECOVERS
    return decide(
        supported=recovers and difference["low"] > 0.0,
        refuted=not recovers or difference["high"] < 0.0,
    )


def detectable(seeds: int) -> float | None:
    """Return the smallest difference of recoveries whose interval lies above 0, if seeds spread by `SPREAD`."""
    deviations = shift(seeds)
    return None if deviations is None else SPREAD * deviations


CONTROL_SEEDS, CONTROL_EPISODES = range(5), 5


def control() -> ControlResult:
    """Judge a policy that looks where the lower brick is against one that does not, and against itself."""

    def measured(looks: bool) -> dict[str, Any]:
        acts = {seed: feedback if looks else repeat(ENV, CONTROL_EPISODES, seed) for seed in CONTROL_SEEDS}
        return combine([measure_policy(act, seed, CONTROL_EPISODES) for seed, act in acts.items()])

    looking, blind = measured(looks=True), measured(looks=False)
    against, itself = (compare({SOFT: looking, HARD: other}) for other in (blind, looking))
    return ControlResult(
        seen=judge(against) == "supported" and judge(itself) == "undecided",
        numbers={"recoveries": against["recoveries"], "difference": against["difference"]},
    )


STUDY = Study(
    name="stacking",
    claim="A soft policy recovers from disturbances it has never met, more often than a deterministic one.",
    criterion=(
        f"Both learn to stack a brick undisturbed. A seed counts if {LEARNED:.0%} of its undisturbed episodes end in "
        f"success. The measure is the share of successes in {EPISODES} episodes with a push of the arm and {EPISODES} "
        "in which the lower brick is moved, by the mode of SAC's policy and by TD3's. Supported if SAC's median over "
        f"seeds is {RECOVERS:.0%} or more and the 95 % interval of the difference of the means, SAC's minus TD3's, "
        f"lies above 0. Refuted if SAC's median is below {RECOVERS:.0%} or the interval lies below 0. Undecided "
        f"otherwise, and if an agent has fewer than {MIN_SEEDS} seeds that count."
    ),
    look=(
        "Left, how soon both agents learn to stack a brick undisturbed, and how many episodes of every seed end "
        "stacked; the disturbed ones decide. Right, the share of stacked episodes falls when the arm is pushed or the "
        "lower brick moved, and rises again as policies recover."
    ),
    run=run,
    judge=judge,
    power=Power(
        effect="After a disturbance it has never met, the soft policy stacks the brick more often.",
        detectable=detectable,
        measure="the difference of the shares of recoveries",
        assumption=f"shares are normal over seeds with a standard deviation of {SPREAD:g}",
        case=(
            f"a policy that looks where the lower brick is, against one that repeats undisturbed actions, "
            f"{len(CONTROL_SEEDS)} times {CONTROL_EPISODES} episodes; and no effect against itself"
        ),
        control=control,
    ),
    exact=False,
)
