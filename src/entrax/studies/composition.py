"""Two policies of partial tasks make one for both, without a step of learning.

Haarnoja et al. (2018), arXiv:1803.06773, section V. Soft Q-learning is trained on a goal in x, on one in y, and on
both, whose reward is exactly the mean of the other two. The mean of the first two Q-functions then gives a policy for
both, and is compared in the combined task with either of its constituents, with the policy that was trained on it, and
with uniformly random actions. All of the learned ones act alike, by importance resampling from exp(Q/α)
(`entrax.policies.composed`), so that only Q differs; the returns of the trained agent's own sampler stand beside.

Beside the bound on what the composed policy falls short of the best by stands the measured gap: how much more of the
discounted soft return, reward plus α times entropy, the policy has that was trained on the combined task. That one need
not be the best, and Q-functions of networks are no soft optima, so that the two tell how much the bound tells, not
whether a theorem holds.
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
from entrax.studies.runs import Played, play, trained
from entrax.studies.study import FEWEST, Numbers, Study, Verdict, decided, interval
from entrax.training.compose import Composed, compose

GOALS = ("x", "y", "both")
ARMS = {"composed": ("x", "y"), "x alone": ("x", "x"), "y alone": ("y", "y"), "trained on both": ("both", "both")}
"""Whose Q-functions each policy has the mean of; that of one with itself is its own."""
CONSTITUENTS = ("x alone", "y alone")

LEARNED = 0.5  # of the random policy's distance from the line
ENOUGH, TOO_LITTLE = 0.75, 0.5  # of the way from the better constituent to the policy trained on both
SHOWN = 20  # episodes of the first seed


@dataclass(frozen=True)
class Task:
    """An environment with goals "x", "y" and "both" and actions in the unit box, and how it is learned."""

    env: str
    actions: int
    place: slice  # of the observation: what is to be on the lines, x and y
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
QUICK = Task(
    env="entrax/PointLines-v0",
    actions=2,
    place=slice(0, 2),
    aim=point_lines.AIM,
    episodes=50,
    settings=LEARNING
    | {"temperature": 0.3, "steps": 10_000, "learning_starts": 2_000, "learning_rate": 2e-3, "target_rate": 0.02},
)
FULL = Task(
    env="entrax/Pusher-v0",
    actions=7,
    place=slice(17, 19),
    aim=pusher.AIM,
    episodes=50,
    settings=LEARNING
    | {"temperature": 0.03, "steps": 150_000, "updates_per_step": 0.5, "learning_starts": 5_000, "learning_rate": 1e-3},
)


def run(quick: bool, seeds: int, out: Path) -> dict[str, Any]:
    """Returns and distances of every arm in the combined task, how far the composed policy got, and bound and gap."""
    task = QUICK if quick else FULL
    found = [of_seed(task, seed, out) for seed in range(seeds)]
    arms = {
        arm: {key: [each["arms"][arm][key] for each in found] for key in ("returns", "distances")}
        for arm in found[0]["arms"]
    }
    combined = {arm: np.array(each["returns"]) for arm, each in arms.items()}
    return {
        "environment": task.env,
        "aim": task.aim,
        "settings": task.settings,
        "arms": {arm: interval(each["returns"]) | {"distances": each["distances"]} for arm, each in arms.items()},
        "learned": {goal: interval([each["learned"][goal] for each in found]) for goal in ("x", "y")},
        "share": share(combined),
        "bound": {key: [each["bound"][key] for each in found] for key in ("value", "error", "divergence")},
        "gap": {key: [each["gap"][key] for each in found] for key in ("value", "error")},
        "paths": found[0]["paths"],
    }


def of_seed(task: Task, seed: int, out: Path) -> dict[str, Any]:
    """Everything of the runs of one seed, each played in the same episodes."""
    runs = {goal: trained(task.env, "soft-q", task.settings, seed, out, env_args={"goal": goal}) for goal in GOALS}
    mixed = {
        arm: compose([runs[goal].path for goal in whose], task.env, env_args={"goal": "both"})
        for arm, whose in ARMS.items()
    }
    acts = {arm: act_in_episodes(each.controller, sample=True, seed=seed) for arm, each in mixed.items()}
    acts["own sampler"] = act_in_episodes(runs["both"].controller, sample=True, seed=seed)
    acts["random"] = uniformly(task.actions, seed)
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


def uniformly(actions: int, seed: int) -> Act:
    """Acts evenly in the unit box."""
    rng = np.random.default_rng(seed)
    return lambda obs, episode, t: rng.uniform(-1.0, 1.0, (len(obs), actions)).astype(np.float32)


def distances(task: Task, played: Played) -> Float[np.ndarray, " 2"]:
    """From either line at the end of an episode, the mean over episodes."""
    return np.abs(played.paths[:, -1, task.place] - task.aim).mean(axis=0)


def states(played: Played) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The observations that were acted upon, the episode of each and its step; no episode ends early here."""
    episodes, steps = played.rewards.shape
    obs = played.paths[:, :-1].reshape(episodes * steps, -1)
    return obs, np.repeat(np.arange(episodes), steps), np.tile(np.arange(steps), episodes)


def soft_returns(composed: Composed, played: Played) -> Float[np.ndarray, " episode"]:
    """Discounted reward plus α times entropy, of every episode."""
    entropies = composed.entropies(states(played)[0]).reshape(played.rewards.shape)
    return discounted(played.rewards + composed.temperature * entropies, composed.discount)


def discounted(rewards: Float[np.ndarray, "episode step"], discount: float) -> Float[np.ndarray, " episode"]:
    """Σ_t γ^t r_t."""
    return rewards @ discount ** np.arange(rewards.shape[1])


def share(returns: Mapping[str, Float[np.ndarray, " seed"]]) -> dict[str, Any]:
    """How far from the better constituent to the policy trained on both the composed one is, seed by seed.

    A seed in which training on both did not get beyond the constituents has no such way: None. The median is over the
    others, and None without any.
    """
    start = np.max([returns[arm] for arm in CONSTITUENTS], axis=0)
    gained, way = returns["composed"] - start, returns["trained on both"] - start
    values = [float(part / whole) if whole > 0 else None for part, whole in zip(gained, way, strict=True)]
    there = [each for each in values if each is not None]
    return {"values": values, "median": float(np.median(there)) if there else None}


def judge(numbers: Numbers) -> Verdict:
    """See the criterion of `STUDY`."""
    known = [each for each in numbers["share"]["values"] if each is not None]
    learned = all(each["median"] <= LEARNED for each in numbers["learned"].values())
    if len(known) < FEWEST or not learned:
        return "undecided"
    middle = numbers["share"]["median"]
    return decided(supported=middle >= ENOUGH, refuted=middle < TOO_LITTLE)


STUDY = Study(
    name="composition",
    claim="The mean of two tasks' soft Q-functions acts well in the two tasks together, without a step of learning.",
    criterion=(
        "Measured is how far the composed policy gets, in return in the combined task, from the better of its "
        "constituents to soft Q-learning trained on the combined task with the steps of one constituent. Supported if "
        f"that is {ENOUGH:.0%} or more in the median over seeds, refuted if it is less than {TOO_LITTLE:.0%}. "
        "Undecided if a constituent did not learn its own task (in the median, it ends episodes at more than "
        f"{LEARNED:.0%} of the random policy's distance from its line), and if fewer than {FEWEST} seeds learned more "
        "on the combined task than the constituents bring along."
    ),
    run=run,
    judge=judge,
    exact=False,
)
