"""A soft policy keeps using both of two passages, a hard one commits to one.

Two passages of the same length lead to the goal of `entrax/TwoPassage-v0`. Soft Q-learning and TD3 learn it twice:

- with both passages open. A hundred rollouts of each seed's best checkpoint are counted by the passage that they see
  first; soft Q-learning's are sampled, TD3's have no exploration noise. Initial states differ a little and the nearer
  passage is the shorter path, so that a hard policy may take both too. A hundred rollouts from one initial state are
  counted as well, and not judged;
- with one passage closed, the left one for even seeds and the right one for odd ones, which a policy cannot know before
  it has looked. The measure is the step from which training reaches the goal reliably: ten times in a row.
"""

from pathlib import Path
from typing import Any

import numpy as np

from entrax.evaluation.statistics import estimate, probability_of_improvement
from entrax.studies.passages import (
    ANT,
    POINT,
    SIDES,
    PassageSetup,
    TrainingEpisodes,
    at_goal,
    first_passage,
    last_places,
    lesser_share,
    training_episodes,
)
from entrax.studies.runs import paths_of
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide, median

ROLLOUTS = 100
SHOWN = 50  # of the first seed's rollouts
IN_A_ROW = 10
BOTH, ONE = 0.1, 0.05
"""The share of the less used passage: at least the first if a policy keeps both, below the second if it keeps one."""
BINS = 20  # equal parts of training


def run(quick: bool, seeds: int, out: Path) -> dict[str, Any]:
    """Measure shares of passages with both open, and training with one closed."""
    setup = POINT if quick else ANT
    results = {
        "soft": _agent(setup, "soft-q", seeds, out, sample=True),
        "deterministic": _agent(setup, "td3", seeds, out, sample=False),
    }
    budget = setup.loop["steps"]
    scores = [[-np.array([budget if s is None else s for s in results[kind]["reliable"]], float)] for kind in results]
    return {
        "body": setup.body,
        "budget": budget,
        "faster": estimate(probability_of_improvement, *scores).to_json(),
    } | results


def _agent(setup: PassageSetup, name: str, seeds: int, out: Path, *, sample: bool) -> dict[str, Any]:
    firsts, arrived, same, courses, shown = [], [], [], [], np.zeros(0)
    for seed in range(seeds):
        policy = setup.best(name, seed, out)
        paths, *_ = paths_of(policy, ROLLOUTS, sample=sample, seed=seed)
        firsts.append(first_passage(paths))
        arrived.append(float(np.mean(at_goal(last_places(paths), setup.scale))))
        alike, *_ = paths_of(policy, ROLLOUTS, sample=sample, seed=seed, same_start=True)
        same.append(lesser_share(first_passage(alike)))
        courses.append(training_episodes(setup.trained(name, seed, out, closed=SIDES[seed % 2]), setup.scale))
        shown = paths[:SHOWN, :, :2] if seed == 0 else shown
    agent, settings = setup.agents[name]
    lesser = [lesser_share(each) for each in firsts]
    return {
        "agent": agent,
        "settings": setup.loop | settings,
        "left": [float(np.mean(each == -1)) for each in firsts],
        "right": [float(np.mean(each == 1)) for each in firsts],
        "arrived": arrived,
        "lesser": lesser,
        "median_lesser": median(lesser),
        "lesser_of_one_start": same,
        "reliable": [reliable(each) for each in courses],
        "course": [course(each, setup.loop["steps"]) for each in courses],
        "paths": np.round(shown.astype(float), 3),
    }


def reliable(episodes: TrainingEpisodes) -> int | None:
    """Return the step at which `IN_A_ROW` successive episodes have reached the goal.

    None if they never do.
    """
    runs = np.convolve(episodes.arrived, np.ones(IN_A_ROW), mode="valid") == IN_A_ROW if len(episodes.end) else []
    return int(episodes.end[np.argmax(runs) + IN_A_ROW - 1]) if np.any(runs) else None


def course(episodes: TrainingEpisodes, steps: int) -> list[float]:
    """Return the share of episodes that reach the goal in each part of training.

    There are `BINS` parts; one without episodes has NaN.
    """
    part = np.minimum((episodes.end - 1) * BINS // steps, BINS - 1)
    return [float(episodes.arrived[part == n].mean()) if np.any(part == n) else np.nan for n in range(BINS)]


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    soft, hard, faster = numbers["soft"], numbers["deterministic"], numbers["faster"]
    if len(soft["reliable"]) < MIN_SEEDS:
        return "undecided"
    known = all(sum(value is not None for value in each["lesser"]) >= MIN_SEEDS for each in (soft, hard))
    keeps, commits = known and soft["median_lesser"] >= BOTH, known and hard["median_lesser"] < BOTH
    one_only = known and soft["median_lesser"] < ONE
    return decide(
        supported=keeps and commits and faster["low"] > 0.5,
        refuted=one_only or (known and not commits) or faster["high"] < 0.5,
    )


STUDY = Study(
    name="two-passages",
    claim="A soft policy keeps using both of two passages, a deterministic one commits to one, even if it is closed.",
    criterion=(
        f"With both passages open, the measure is the share of the less used one in the {ROLLOUTS} rollouts that take "
        f"one. With one closed, training is reliable once {IN_A_ROW} episodes in a row reach the goal. Supported if, "
        f"in the median over seeds, that share is {BOTH:.0%} or more under the soft policy and less under the "
        "deterministic one, and the 95 % interval of the probability that a soft seed is reliable before a "
        "deterministic one (never counts as the last step) lies above a half. Refuted if the soft policy's share is "
        f"below {ONE:.0%}, the deterministic one's {BOTH:.0%} or more, or that interval lies below a half. Undecided "
        f"with fewer than {MIN_SEEDS} seeds, and unless as many seeds of either agent take a passage in half of their "
        "rollouts."
    ),
    run=run,
    judge=judge,
    exact=False,
)
