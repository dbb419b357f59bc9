"""Compose the Q-functions of two tasks into a policy for both, without learning.

Haarnoja et al. (2018), arXiv:1803.06773, section V. Soft Q-learning is trained on a goal in x, on a goal in y, and on
both, whose reward is the mean of the other two. The mean of the first two Q-functions defines a policy for both. In the
combined task it is compared with its constituents, with the policy trained on the combined task, and with uniformly
random actions. All learned policies act by importance resampling from exp(Q/α) (`entrax.policies.composed`), so that
only Q differs; the returns of the trained agent's own sampler are reported too.

The bound on the regret of the composed policy is reported with a measured gap: the discounted soft return (reward plus
α times entropy) of the policy trained on the combined task, minus that of the composed one. The trained policy need not
be optimal, and Q-functions of networks are not soft optima. The comparison shows how tight the bound is, and does not
test a theorem.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.environments import point_lines, pusher
from entrax.environments.source import EnvSource
from entrax.evaluation.episodes import Act
from entrax.policies.controller import act_in_episodes
from entrax.studies.power import ControlResult, median_power
from entrax.studies.runs import PlayedEpisodes, play, trained_run
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide, median, summarise_seeds
from entrax.training.compose import Composed, compose

GOALS = ("x", "y", "both")
ARMS = {"composed": ("x", "y"), "x alone": ("x", "x"), "y alone": ("y", "y"), "trained on both": ("both", "both")}
"""The two goals whose Q-functions each policy averages; the mean of one goal with itself is that Q-function."""
CONSTITUENTS = ("x alone", "y alone")

LEARNED = 0.5  # of the random policy's distance from the line
ENOUGH, TOO_LITTLE = 0.75, 0.5  # of the way from the better constituent to the policy trained on both
SHOWN = 20  # episodes of the first seed


@dataclass(frozen=True)
class CompositionTask:
    """An environment with goals "x", "y" and "both", and settings of training.

    Actions lie in the unit box.
    """

    env: str
    actions: int
    place: slice  # of the observation: the x and y that should be on the lines
    aim: Float[np.ndarray, " 2"]
    episodes: int
    settings: Mapping[str, Any]


LEARNING: dict[str, Any] = {
    "envs": 8,
    "workers": 0,
    "eval_every": 0,
    "batch_size": 64,
    "hidden": (128, 128, 64),
    "critics": 1,
    "particles": 16,
}
QUICK = CompositionTask(
    env="entrax/PointLines-v0",
    actions=2,
    place=slice(0, 2),
    aim=point_lines.AIM,
    episodes=50,
    settings=LEARNING
    | {"temperature": 0.3, "steps": 10_000, "learning_starts": 2_000, "learning_rate": 2e-3, "target_rate": 0.02},
)
FULL = CompositionTask(
    env="entrax/Pusher-v0",
    actions=7,
    place=slice(17, 19),
    aim=pusher.AIM,
    episodes=50,
    settings=LEARNING
    | {"temperature": 0.03, "steps": 150_000, "updates_per_step": 0.5, "learning_starts": 5_000, "learning_rate": 1e-3},
)


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure every arm in the combined task, and the composed policy's bound and gap."""
    task = QUICK if quick else FULL
    results = [run_seed(task, seed, out) for seed in seeds]
    arms = {
        arm: {key: [each["arms"][arm][key] for each in results] for key in ("returns", "distances")}
        for arm in results[0]["arms"]
    }
    combined = {arm: np.array(each["returns"]) for arm, each in arms.items()}
    return {
        "environment": task.env,
        "aim": task.aim,
        "settings": task.settings,
        "arms": {
            arm: summarise_seeds(each["returns"]) | {"distances": each["distances"]} for arm, each in arms.items()
        },
        "learned": {goal: summarise_seeds([each["learned"][goal] for each in results]) for goal in ("x", "y")},
        "share": share(combined),
        "bound": {key: [each["bound"][key] for each in results] for key in ("value", "error", "divergence")},
        "gap": {key: [each["gap"][key] for each in results] for key in ("value", "error")},
        "paths": results[0]["paths"],
    }


def run_seed(task: CompositionTask, seed: int, out: Path) -> dict[str, Any]:
    """Train the runs of one seed and play all arms in the same episodes."""
    runs = {goal: trained_run(task.env, "soft-q", task.settings, seed, out, env_args={"goal": goal}) for goal in GOALS}
    mixed = {
        arm: compose([runs[goal].path for goal in whose], task.env, env_args={"goal": "both"})
        for arm, whose in ARMS.items()
    }
    acts = {arm: act_in_episodes(each.controller, sample=True, seed=seed) for arm, each in mixed.items()}
    acts["own sampler"] = act_in_episodes(runs["both"].controller, sample=True, seed=seed)
    acts["random"] = uniform_policy(task.actions, seed)
    played = {arm: play(act, EnvSource(task.env, {"goal": "both"}), task.episodes) for arm, act in acts.items()}
    ends = {arm: distances(task, each) for arm, each in played.items()}
    alone = {goal: float(ends[f"{goal} alone"][i] / ends["random"][i]) for i, goal in enumerate(("x", "y"))}
    soft = [soft_returns(mixed[arm], played[arm]) for arm in ("trained on both", "composed")]
    shown = ("composed", *CONSTITUENTS, "trained on both")
    return {
        "arms": {
            arm: {"returns": float(each.rewards.sum(axis=1).mean()), "distances": ends[arm]}
            for arm, each in played.items()
        },
        "learned": alone,
        "bound": asdict(mixed["composed"].bound(*states(played["composed"]), task.episodes)),
        "gap": {"value": np.mean(soft[0] - soft[1]), "error": np.std(soft[0] - soft[1], ddof=1) / task.episodes**0.5},
        "paths": {arm: np.round(played[arm].paths[:SHOWN, :, task.place].astype(float), 3) for arm in shown},
    }


def uniform_policy(actions: int, seed: int) -> Act:
    """Return a policy of uniform actions in the unit box."""
    rng = np.random.default_rng(seed)
    return lambda obs, episode, t: rng.uniform(-1.0, 1.0, (len(obs), actions)).astype(np.float32)


def distances(task: CompositionTask, played: PlayedEpisodes) -> Float[np.ndarray, " 2"]:
    """Return the mean distance from each line at the end of an episode."""
    return np.abs(played.paths[:, -1, task.place] - task.aim).mean(axis=0)


def states(played: PlayedEpisodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the observations of all steps, their episodes and their steps.

    No episode of these tasks ends early.
    """
    episodes, steps = played.rewards.shape
    obs = played.paths[:, :-1].reshape(episodes * steps, -1)
    return obs, np.repeat(np.arange(episodes), steps), np.tile(np.arange(steps), episodes)


def soft_returns(composed: Composed, played: PlayedEpisodes) -> Float[np.ndarray, " episode"]:
    """Return discounted reward plus α times entropy of every episode."""
    entropies = composed.entropies(states(played)[0]).reshape(played.rewards.shape)
    return discounted(played.rewards + composed.temperature * entropies, composed.discount)


def discounted(rewards: Float[np.ndarray, "episode step"], discount: float) -> Float[np.ndarray, " episode"]:
    """Return Σ_t γ^t r_t."""
    return rewards @ discount ** np.arange(rewards.shape[1])


def share(returns: Mapping[str, Float[np.ndarray, " seed"]]) -> dict[str, Any]:
    """Return the composed policy's share of the gain of training on both.

    The gain is the return of the policy trained on both minus that of the better constituent.

    A seed in which training on both gained nothing has None. The median is over the other seeds; None without any.
    """
    start = np.max([returns[arm] for arm in CONSTITUENTS], axis=0)
    composed_gain, gain = returns["composed"] - start, returns["trained on both"] - start
    values = [float(part / whole) if whole > 0 else None for part, whole in zip(composed_gain, gain, strict=True)]
    return {"values": values, "median": median(values)}


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    known = [each for each in numbers["share"]["values"] if each is not None]
    learned = all(each["median"] <= LEARNED for each in numbers["learned"].values())
    if len(known) < MIN_SEEDS or not learned:
        return "undecided"
    middle = numbers["share"]["median"]
    return decide(supported=middle >= ENOUGH, refuted=middle < TOO_LITTLE)


def control() -> ControlResult:
    """Compute the share in one decision, where composition is exact."""
    x, y = np.meshgrid(*[np.linspace(-1.0, 1.0, 21)] * 2)
    goals = {"x": -np.abs(x - 0.5), "y": -np.abs(y - 0.5)}
    both, temperature = 0.5 * (goals["x"] + goals["y"]), 0.1

    def earned(q: Any) -> np.ndarray:
        weight = np.exp(q / temperature)
        return np.array([np.sum(weight * both) / np.sum(weight)])

    mixed = {
        arm: earned(0.5 * sum(goals[goal] for goal in whose)) for arm, whose in ARMS.items() if "both" not in whose
    }
    result = share(mixed | {"trained on both": earned(both)})["median"]
    return ControlResult(seen=result is not None and result >= ENOUGH, numbers={"share": result})


STUDY = Study(
    name="composition",
    claim="The mean of two tasks' soft Q-functions acts well in the combined task, without learning.",
    criterion=(
        "The gain is the return in the combined task of soft Q-learning trained on it, with the steps of one "
        "constituent, minus that of the better constituent. Supported if the composed policy's share of the gain is "
        f"{ENOUGH:.0%} or more in the median over seeds, refuted if it is less than {TOO_LITTLE:.0%}. Undecided if a "
        "constituent did not learn its own task (in the median, it ends episodes at more than "
        f"{LEARNED:.0%} of the random policy's distance from its line), and if fewer than {MIN_SEEDS} seeds have a "
        "positive gain."
    ),
    look=(
        "Left: paths in the combined task, from above; its goal is where the dotted lines cross, and each constituent "
        "knows one of the lines. Middle, the deciding panel: the composed policy's return, which must be close to "
        "that of training on both tasks and far above its constituents'. Right: the bound on what composing loses, "
        "against the loss that was measured; on the diagonal the bound would be tight."
    ),
    run=run,
    judge=judge,
    power=median_power(
        effect="The composed policy has most of the gain of training on both tasks.",
        case="one decision over a grid of actions, where the mean of two Q-functions is that of the mean reward",
        control=control,
    ),
    exact=False,
)
