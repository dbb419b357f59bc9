"""A soft policy keeps both of two passages while it learns; a deterministic one commits to one, be it closed.

Two passages of the same length lead to the goal of `entrax/TwoPassage-v0`. Soft Q-learning and TD3 learn there twice:

- with both passages open. A hundred rollouts of each seed's best policy are counted by the passage that they look
  into first, soft Q-learning's sampled, TD3's without its exploration noise. As starts differ a little and the nearer
  passage is the shorter way, a policy without any softness may take both too; a hundred rollouts from one and the same
  start are counted beside, and not judged;
- with one of them closed throughout, the left one for even seeds and the right one for odd ones, which no policy can
  know before it has looked. What counts is when training begins to reach the goal reliably: ten times in a row.
"""

from pathlib import Path
from typing import Any

import numpy as np

from entrax.evaluation.statistics import estimate, probability_of_improvement
from entrax.studies.passages import (
    ANT,
    POINT,
    SIDES,
    Episodes,
    Form,
    at_goal,
    first_passage,
    last_places,
    lesser_share,
    training_episodes,
)
from entrax.studies.runs import paths_of
from entrax.studies.study import FEWEST, Numbers, Study, Verdict, decided

ROLLOUTS = 100
SHOWN = 50  # of the first seed's rollouts
IN_A_ROW = 10
BOTH, ONE = 0.1, 0.05
"""A policy that keeps both passages takes the less used one in this share of its rollouts, one that does not in less
than the other."""
BINS = 20  # of training


def run(quick: bool, seeds: int, out: Path) -> dict[str, Any]:
    """For both agents the shares of the passages when both are open, and the courses of training when one is closed."""
    form = POINT if quick else ANT
    found = {
        "soft": _agent(form, "soft-q", seeds, out, sample=True),
        "deterministic": _agent(form, "td3", seeds, out, sample=False),
    }
    budget = form.loop["steps"]
    scores = [[-np.array([budget if s is None else s for s in found[kind]["reliable"]], float)] for kind in found]
    return {
        "body": form.body,
        "budget": budget,
        "faster": estimate(probability_of_improvement, *scores).to_json(),
    } | found


def _agent(form: Form, name: str, seeds: int, out: Path, *, sample: bool) -> dict[str, Any]:
    firsts, arrived, same, courses, shown = [], [], [], [], np.zeros(0)
    for seed in range(seeds):
        policy = form.best(name, seed, out)
        paths, *_ = paths_of(policy, ROLLOUTS, sample=sample, seed=seed)
        firsts.append(first_passage(paths))
        arrived.append(float(np.mean(at_goal(last_places(paths), form.scale))))
        alike, *_ = paths_of(policy, ROLLOUTS, sample=sample, seed=seed, same_start=True)
        same.append(lesser_share(first_passage(alike)))
        courses.append(training_episodes(form.trained(name, seed, out, closed=SIDES[seed % 2]), form.scale))
        shown = paths[:SHOWN, :, :2] if seed == 0 else shown
    agent, settings = form.agents[name]
    lesser = [lesser_share(each) for each in firsts]
    return {
        "agent": agent,
        "settings": form.loop | settings,
        "left": [float(np.mean(each == -1)) for each in firsts],
        "right": [float(np.mean(each == 1)) for each in firsts],
        "arrived": arrived,
        "lesser": lesser,
        "median_lesser": median(lesser),
        "lesser_of_one_start": same,
        "reliable": [reliable(each) for each in courses],
        "course": [course(each, form.loop["steps"]) for each in courses],
        "paths": np.round(shown.astype(float), 3),
    }


def median(values: list[float | None]) -> float | None:
    """Of the values that are there; None if there is none."""
    there = [value for value in values if value is not None]
    return float(np.median(there)) if there else None


def reliable(episodes: Episodes) -> int | None:
    """The step at which the goal had first been reached by `IN_A_ROW` episodes one after another; None if never."""
    runs = np.convolve(episodes.arrived, np.ones(IN_A_ROW), mode="valid") == IN_A_ROW if len(episodes.end) else []
    return int(episodes.end[np.argmax(runs) + IN_A_ROW - 1]) if np.any(runs) else None


def course(episodes: Episodes, steps: int) -> list[float]:
    """The share of episodes that reach the goal among those that end in each of `BINS` parts of training, else NaN."""
    part = np.minimum((episodes.end - 1) * BINS // steps, BINS - 1)
    return [float(episodes.arrived[part == n].mean()) if np.any(part == n) else np.nan for n in range(BINS)]


def judge(numbers: Numbers) -> Verdict:
    """See the criterion of `STUDY`."""
    soft, hard, faster = numbers["soft"], numbers["deterministic"], numbers["faster"]
    if len(soft["reliable"]) < FEWEST:
        return "undecided"
    known = all(sum(value is not None for value in each["lesser"]) >= FEWEST for each in (soft, hard))
    keeps, commits = known and soft["median_lesser"] >= BOTH, known and hard["median_lesser"] < BOTH
    one_only = known and soft["median_lesser"] < ONE
    return decided(
        supported=keeps and commits and faster["low"] > 0.5,
        refuted=one_only or (known and not commits) or faster["high"] < 0.5,
    )


STUDY = Study(
    name="two-passages",
    claim="A soft policy keeps both of two passages while it learns, a deterministic one commits to one, be it closed.",
    criterion=(
        f"With both passages open, the less used one has a share of the {ROLLOUTS} rollouts that take one. With one of "
        f"them closed, training is reliable once {IN_A_ROW} episodes in a row reach the goal. Supported if, in the "
        f"median over seeds, that share is {BOTH:.0%} or more under the soft policy and less under the deterministic "
        "one, and a soft seed is reliable before a deterministic one (never counts as at the end) with a probability "
        f"whose 95 % interval lies above a half. Refuted if the soft policy's share is below {ONE:.0%}, the "
        f"deterministic one's {BOTH:.0%} or more, or that interval lies below a half. Undecided with fewer than "
        f"{FEWEST} seeds; and about the shares unless as many seeds of either take a passage in half of their rollouts."
    ),
    run=run,
    judge=judge,
    exact=False,
)
