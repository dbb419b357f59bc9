"""A soft policy that is paid for its speed runs in all directions; a deterministic one keeps to few.

Haarnoja et al. (2017), arXiv:1702.08165, section 5.2. A hundred episodes of one policy, each with the heading of its
displacement from start to end. With u the unit vectors of the headings, the resultant length R = |mean u| is near 0
when they lie all round and 1 when they are one; of a hundred uniform ones it is 0.09 on average, and more than 0.3 once
in 8,000 times.

What directions an agent keeps may be decided by its policy's draws or by where and how an episode starts. A hundred
episodes of the same start, in which nothing but the draws differs, are measured beside, and not judged.
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float

from entrax.studies.directions import ANT, POINT, Form
from entrax.studies.runs import paths_of
from entrax.studies.study import FEWEST, Numbers, Study, Verdict, decided, interval

EPISODES = 100
POINTS = 100  # of each path that is shown
ALL_ROUND = 0.3  # R of the soft policy, at most
FEW = 0.5  # R of the deterministic policy, more than this
LEAST_RETURN = 0.5  # of the deterministic policy's: one that hardly moves has headings all round too


def run(quick: bool, seeds: int, out: Path) -> dict[str, Any]:
    """Headings and resultant lengths of every seed of both agents; and paths of the first seed."""
    form = POINT if quick else ANT
    return {"environment": form.anywhere} | {
        kind: measured(form, kind, seeds, out) for kind in ("soft", "deterministic")
    }


def measured(form: Form, kind: str, seeds: int, out: Path) -> dict[str, Any]:
    """What a hundred episodes of each seed are like."""
    headings, alike, returns, distances = [], [], [], []
    shown: np.ndarray
    for seed in range(seeds):
        policy, soft = form.pretrained(kind, seed, out), kind == "soft"
        paths, _, earned = paths_of(policy, EPISODES, sample=soft, seed=seed, look=place)
        headings.append(headings_of(paths))
        returns.append(float(earned.mean()))
        distances.append(float(np.median(np.linalg.norm(displacements(paths), axis=1))))
        if soft:  # of a deterministic policy they are one path
            same, *_ = paths_of(policy, EPISODES, sample=soft, seed=seed, look=place, same_start=True)
            alike.append(resultant(headings_of(same)))
        shown = paths if seed == 0 else shown
    agent, settings = form.agents[kind]
    return {
        "agent": agent,
        "settings": settings | form.pretraining,
        "resultant": interval([resultant(each) for each in headings]),
        "resultant_of_one_start": interval(alike) if alike else None,
        "returns": interval(returns),
        "distances": interval(distances),
        "headings": np.round(headings, 3),
        "paths": np.round(shown[:, :: max(1, shown.shape[1] // POINTS)].astype(float), 3),
    }


def place(env: gymnasium.Env) -> Float[np.ndarray, " 2"]:
    """Where the body is: the observation leaves that out."""
    here: np.ndarray = env.unwrapped.place  # type: ignore[attr-defined]
    return here


def displacements(paths: Float[np.ndarray, "episode time 2"]) -> Float[np.ndarray, "episode 2"]:
    """From the start to the last place of each episode."""
    last = np.sum(np.isfinite(paths[:, :, 0]), axis=1) - 1
    return paths[np.arange(len(paths)), last] - paths[:, 0]


def headings_of(paths: Float[np.ndarray, "episode time 2"]) -> Float[np.ndarray, " episode"]:
    """Directions of the displacements, in degrees from +x towards +y."""
    x, y = displacements(paths).T
    return np.degrees(np.arctan2(y, x))


def resultant(headings: Float[np.ndarray, " episode"]) -> float:
    """R = |mean of the unit vectors|."""
    return float(np.abs(np.mean(np.exp(1j * np.radians(headings)))))


def judge(numbers: Numbers) -> Verdict:
    """See the criterion of `STUDY`."""
    soft, deterministic = numbers["soft"], numbers["deterministic"]
    r, other = soft["resultant"]["median"], deterministic["resultant"]["median"]
    if len(soft["resultant"]["values"]) < FEWEST:
        return "undecided"
    moves = soft["returns"]["median"] >= LEAST_RETURN * deterministic["returns"]["median"]
    return decided(supported=r <= ALL_ROUND and other > FEW and moves, refuted=r > FEW or other <= ALL_ROUND)


STUDY = Study(
    name="any-direction",
    claim="A soft policy paid for its speed moves in all directions, where a deterministic one keeps to few.",
    criterion=(
        f"Supported if, in the median over seeds, the headings of {EPISODES} episodes have a resultant length of "
        f"{ALL_ROUND} or less under the soft policy and of more than {FEW} under the deterministic one, and the soft "
        f"policy earns at least {LEAST_RETURN:.0%} of the deterministic one's return. Refuted if the soft policy's "
        f"resultant length is above {FEW}, or the deterministic one's {ALL_ROUND} or less. Undecided with fewer than "
        f"{FEWEST} seeds."
    ),
    run=run,
    judge=judge,
    exact=False,
)
