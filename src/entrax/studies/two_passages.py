"""A soft policy keeps using both of two passages, a hard one commits to one.

Two passages of the same length lead to the goal of `entrax/TwoPassage-v0`. Soft Q-learning, DDPG and TD3 learn it
twice:

- with both passages open. A hundred rollouts of each seed's final policy are counted by the passage that they see
  first; soft Q-learning's are sampled, the others' have no exploration noise. Initial states differ a little and the
  nearer passage is the shorter path, so that a hard policy may take both too. A hundred rollouts of the soft policy
  from one initial state differ in its draws only; there a hard policy has one path;
- with one passage closed, the left one for even seeds and the right one for odd ones, which a policy cannot know
  before it has looked. The measures are the steps at which training first reaches the goal, and from which it does so
  reliably: ten times in a row.

The smallest distance to the goal so far in training is the measure of Haarnoja et al. (2017), arXiv:1702.08165, section
5.3. Along training the study records Q at the start, in units of α, and the difference between the sides.

The settings were chosen with seeds 10 and up; docs/studies.md lists what was tried.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from entrax.environments.maze import ANT_SCALE
from entrax.evaluation.statistics import estimate, probability_of_improvement
from entrax.studies.landscape import Landscape, as_film, landscape
from entrax.studies.passages import (
    SIDES,
    PassageSetup,
    Settings,
    TrainingEpisodes,
    at_goal,
    first_passage,
    last_places,
    lesser_share,
    training_episodes,
)
from entrax.studies.passages_optimum import BESIDE, use_of_passages
from entrax.studies.power import POWER, ControlResult, Power
from entrax.studies.runs import paths_of
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide, median

SOFT, HARD = "soft-q", ("ddpg", "td3")
ROLLOUTS = 100
SHOWN = 50  # of the first seed's rollouts
IN_A_ROW = 10
BOTH, ONE = 0.1, 0.05
"""The share of the less used passage: at least the first if a policy keeps both, below the second if it keeps one."""
REACHED = 0.9
"""The least share of the soft policy's rollouts that end at the goal."""
BINS = 20  # equal parts of training
SPREAD = 1.5
"""The standard deviation over seeds of the log-odds of the passages from one start, as on the settings' seeds."""

LOOP: dict[str, Any] = {
    "envs": 8,
    "workers": 0,
    "steps": 16_000,
    "learning_starts": 1_600,
    "updates_per_step": 0.5,
    "batch_size": 64,
    "discount": 0.95,
    "eval_every": 0,
    "log_every": 800,
    "checkpoint_every": 800,
    "checkpoint_seconds": 0.0,
}
WARM = {"temperature": 1.0, "final_temperature": 1.0, "anneal_fraction": 1.0, "critics": 1, "particles": 16}


def _deterministic(**settings: Any) -> dict[str, tuple[str, Settings]]:
    """Return DDPG and TD3 with the same settings."""
    return {name: (name, {"noise_correlation": 0.9, "learning_rate": 1e-3} | settings) for name in HARD}


POINT = PassageSetup(
    body="point",
    scale=1.0,
    agents={
        SOFT: (SOFT, WARM | {"learning_rate": 2e-3, "target_rate": 0.02, "hidden": (64, 64, 64)}),
    }
    | _deterministic(noise=0.5, target_rate=0.02, hidden=(64, 64)),
    loop=LOOP,
    hard={},
)
"""The study with `--quick`."""

ANT = PassageSetup(
    body="ant",
    scale=ANT_SCALE,
    agents={
        SOFT: (SOFT, WARM | {"learning_rate": 1e-3, "target_rate": 0.005, "hidden": (256, 256, 64)}),
    }
    | _deterministic(noise=0.3, target_rate=0.005, hidden=(256, 256)),
    loop=LOOP
    | {"steps": 1_000_000, "updates_per_step": 0.25, "learning_starts": 10_000, "batch_size": 256, "discount": 0.975}
    | {"log_every": 50_000, "checkpoint_every": 50_000},
    hard={},
)
"""The full study: half the point's time step, and so the square root of its discount."""


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure shares of passages with both open, and training with one closed."""
    setup = POINT if quick else ANT
    arms = {name: measure_agent(setup, name, seeds, out) for name in (SOFT, *HARD)}
    budget = setup.loop["steps"]
    scores = {name: [-_with_all(arm["reliable"], budget)] for name, arm in arms.items()}
    return {
        "body": setup.body,
        "budget": budget,
        "arms": arms,
        "faster": {name: estimate(probability_of_improvement, scores[SOFT], scores[name]).to_json() for name in HARD},
    }


def measure_agent(setup: PassageSetup, name: str, seeds: range, out: Path) -> dict[str, Any]:
    """Measure every seed of one agent."""
    each = [measure_seed(setup, name, seed, out) for seed in seeds]
    agent, settings = setup.agents[name]
    lesser, one_start = [one["lesser"] for one in each], [one["lesser_of_one_start"] for one in each]
    listed = ("left", "right", "arrived", "first_arrival", "reliable", "course", "nearest", "gap")
    return {
        "agent": agent,
        "settings": setup.loop | settings,
        "lesser": lesser,
        "median_lesser": median(lesser),
        "lesser_of_one_start": one_start,
        "median_of_one_start": median(one_start),
        "median_arrived": median([one["arrived"] for one in each]),
        "paths": each[0]["paths"],
        "film": each[0]["film"],
    } | {key: [one[key] for one in each] for key in listed}


def measure_seed(setup: PassageSetup, name: str, seed: int, out: Path) -> dict[str, Any]:
    """Measure one seed of one agent, trained with both passages open and with one closed."""
    soft = name == SOFT
    policy, along = setup.with_snapshots(name, seed, out)
    paths, *_ = paths_of(policy, ROLLOUTS, sample=soft, seed=seed)
    first = first_passage(paths)
    one_start: float | None = 0.0  # of a policy without draws
    if soft:
        alike, *_ = paths_of(policy, ROLLOUTS, sample=soft, seed=seed, same_start=True)
        one_start = lesser_share(first_passage(alike))
    opened = training_episodes(policy, setup.scale)
    closed = training_episodes(setup.trained(name, seed, out, closed=SIDES[seed % 2]), setup.scale)
    frames: list[Landscape] = []
    if soft and setup.body == "point":
        at_start = np.zeros(policy.controller.spec.obs_size)
        frames = [landscape(each, at_start) for each in along]
    steps = setup.loop["steps"]
    return {
        "left": float(np.mean(first == -1)),
        "right": float(np.mean(first == 1)),
        "arrived": float(np.mean(at_goal(last_places(paths), setup.scale))),
        "lesser": lesser_share(first),
        "lesser_of_one_start": one_start,
        "first_arrival": first_arrival(closed),
        "reliable": reliable(closed),
        "course": course(closed, steps),
        "nearest": nearest(opened, steps),
        "gap": [each.gap for each in frames],
        "film": as_film(frames) if frames else None,
        "paths": np.round(paths[:SHOWN, :, :2].astype(float), 3),
    }


def reliable(episodes: TrainingEpisodes) -> int | None:
    """Return the step at which `IN_A_ROW` successive episodes have reached the goal.

    None if they never do.
    """
    runs = np.convolve(episodes.arrived, np.ones(IN_A_ROW), mode="valid") == IN_A_ROW if len(episodes.end) else []
    return int(episodes.end[np.argmax(runs) + IN_A_ROW - 1]) if np.any(runs) else None


def first_arrival(episodes: TrainingEpisodes) -> int | None:
    """Return the step at which an episode first reached the goal; None if none did."""
    return int(episodes.end[np.argmax(episodes.arrived)]) if np.any(episodes.arrived) else None


def course(episodes: TrainingEpisodes, steps: int) -> list[float]:
    """Return the share of episodes that reach the goal in each part of training.

    There are `BINS` parts; one without episodes has NaN.
    """
    part = np.minimum((episodes.end - 1) * BINS // steps, BINS - 1)
    return [float(episodes.arrived[part == n].mean()) if np.any(part == n) else np.nan for n in range(BINS)]


def nearest(episodes: TrainingEpisodes, steps: int) -> list[float]:
    """Return the smallest distance to the goal up to the end of each part of training; NaN before any episode."""
    ends = (np.arange(BINS) + 1) * steps / BINS
    return [float(np.min(episodes.nearest[episodes.end <= end], initial=np.inf)) for end in ends]


def _with_all(steps: Sequence[int | None], budget: int) -> np.ndarray:
    """Return steps in which None counts as the last step."""
    return np.array([budget if each is None else each for each in steps], float)


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    arms, faster = numbers["arms"], [numbers["faster"][name] for name in HARD]
    soft, hard = arms[SOFT], [arms[name] for name in HARD]
    if len(soft["reliable"]) < MIN_SEEDS:
        return "undecided"
    one_start, lesser = soft["median_of_one_start"], soft["median_lesser"]
    seen = all(sum(value is not None for value in soft[key]) >= MIN_SEEDS for key in ("lesser", "lesser_of_one_start"))
    keeps = seen and min(one_start, lesser) >= BOTH and soft["median_arrived"] >= REACHED
    one_only = seen and one_start < ONE
    known = [each for each in hard if sum(value is not None for value in each["lesser"]) >= MIN_SEEDS]
    commit = len(known) == len(hard) and all(each["median_lesser"] < BOTH for each in known)
    both = any(each["median_lesser"] >= BOTH for each in known)
    return decide(
        supported=keeps and commit and all(each["high"] >= 0.5 for each in faster),
        refuted=one_only or both,
    )


def detectable_share(seeds: int) -> float | None:
    """Return the smallest typical share of the lesser passage of which the median seed has `BOTH` or more.

    The log-odds of the passages are normal over seeds, with standard deviation `SPREAD`; a seed's share is counted in
    `ROLLOUTS` rollouts. None below `MIN_SEEDS`.
    """
    if seeds < MIN_SEEDS:
        return None
    rng, low, high = np.random.default_rng(0), 0.0, 6.0
    apart, chance = SPREAD * rng.normal(size=(2_000, seeds)), rng.random((2_000, seeds, ROLLOUTS))
    for _ in range(16):
        middle = 0.5 * (low + high)
        share = np.mean(chance < 1 / (1 + np.exp(middle + apart))[..., None], axis=2)
        detected = np.mean(np.median(np.minimum(share, 1 - share), axis=1) >= BOTH) >= POWER
        low, high = (middle, high) if detected else (low, middle)
    return float(1 / (1 + np.exp(low)))


def control() -> ControlResult:
    """Compute which passage the exact soft and hard optimum take from a start beside the middle."""
    settings = POINT.loop | POINT.agents[SOFT][1]
    alphas = (settings["final_temperature"], 0.0)
    soft, hard = (use_of_passages(alpha, settings["discount"], BESIDE) for alpha in alphas)
    return ControlResult(
        seen=soft.lesser >= BOTH > hard.lesser and soft.arrived >= REACHED,
        numbers={"soft": soft._asdict(), "hard": hard._asdict()},
    )


STUDY = Study(
    name="two-passages",
    claim="A soft policy keeps using both of two passages, a deterministic one commits to one.",
    criterion=(
        f"With both passages open, the measure is the share of the less used one in the {ROLLOUTS} rollouts that take "
        f"one. With one closed, training is reliable once {IN_A_ROW} episodes in a row reach the goal. Supported if, "
        f"in the median over seeds, that share is {BOTH:.0%} or more under the soft policy, also from one start, with "
        f"the goal reached in {REACHED:.0%}, and less than {BOTH:.0%} under DDPG and TD3. Refuted if the soft policy's "
        f"share from one start is below {ONE:.0%}, or that of DDPG or TD3 {BOTH:.0%} or more. Undecided also if the "
        "probability that a soft seed is reliable before one of DDPG, or before one of TD3 (never counts as the last "
        "step), has a 95 % interval below a half; with fewer than "
        f"{MIN_SEEDS} seeds; and unless as many seeds of every agent take a passage in half of their rollouts."
    ),
    look=(
        "Above: rollouts of the first seeds and, to decide, the passages that every seed takes, where soft "
        "Q-learning's bars must have both shades and those of DDPG and TD3 one. Below: training with one passage "
        "closed, the distance to the goal, and how far Q at the start prefers a side. The last panel and the film are "
        "the lecture's picture, Q over the actions at the start and the policy in proportion to its exponential."
    ),
    run=run,
    judge=judge,
    power=Power(
        effect="From one start a soft policy takes either passage, and hard policies take one from nearly all starts.",
        detectable=detectable_share,
        measure="the typical share of the lesser passage from one start",
        assumption=f"its log-odds are normal over seeds with a standard deviation of {SPREAD:g}",
        case=(
            f"the exact soft policy on a grid, {BESIDE[0]:g} off the middle, has a lesser share of {BOTH:.0%} or more, "
            "and the hard one less"
        ),
        control=control,
    ),
    exact=False,
)
