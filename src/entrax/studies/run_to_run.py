"""Soft policies of different seeds solve a task alike; deterministic ones each in a way of their own.

The lectures tell of a robot that, trained again, came back with a very different gait. Here both agents are trained on
four equal goals with several seeds, and each run is described by where it spends its time: the share of all visits in
every cell of a grid of unit squares. The distance of two runs is the total variation ½ Σ |p − q| of these shares, from
0 for the same to 1 for no cell in common; beside it stands that of two halves of one run's rollouts, which is noise.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.environments.multigoal import WALL
from entrax.studies.four_goals import ENV, FULL, QUICK, ROLLOUTS
from entrax.studies.runs import paths_of, trained
from entrax.studies.study import FEWEST, Numbers, Study, Verdict, decided

CELLS = 2 * int(WALL)


def run(quick: bool, seeds: int, out: Path) -> dict[str, Any]:
    """Distances between all pairs of runs of each agent, and the interval of the difference of their means."""
    found: dict[str, dict[str, Any]] = {}
    for kind, (agent, settings) in (QUICK if quick else FULL).items():
        visits, noise = [], []
        for seed in range(seeds):
            sampled = kind == "soft"
            paths, *_ = paths_of(trained(ENV, agent, settings, seed, out), ROLLOUTS, sample=sampled, seed=seed)
            visits.append(shares_of_cells(paths))
            halves = shares_of_cells(paths[::2]), shares_of_cells(paths[1::2])
            noise.append(total_variation(*halves))
        found[kind] = {"agent": agent, "visits": np.array(visits), "noise": noise}
    distances = {kind: pairwise(each["visits"]) for kind, each in found.items()}
    return found | {
        "distances": {kind: each[np.triu_indices(seeds, 1)] for kind, each in distances.items()},
        "difference": difference(distances["deterministic"], distances["soft"]),
    }


def shares_of_cells(paths: Float[np.ndarray, "episode time 2"]) -> Float[np.ndarray, "x y"]:
    """The share of all visits in every unit square."""
    seen = paths[np.isfinite(paths[:, :, 0])]
    counts, _, _ = np.histogram2d(seen[:, 0], seen[:, 1], bins=CELLS, range=[[-WALL, WALL]] * 2)
    return counts / counts.sum()


def total_variation(one: Float[np.ndarray, "x y"], other: Float[np.ndarray, "x y"]) -> float:
    """½ Σ |p − q|."""
    return float(0.5 * np.abs(one - other).sum())


def pairwise(visits: list[np.ndarray] | Float[np.ndarray, "seed x y"]) -> Float[np.ndarray, "seed seed"]:
    """The distances of all pairs."""
    found = np.zeros((len(visits), len(visits)))
    for i, j in itertools.combinations(range(len(visits)), 2):
        found[i, j] = found[j, i] = total_variation(visits[i], visits[j])
    return found


def difference(hard: Float[np.ndarray, "seed seed"], soft: Float[np.ndarray, "seed seed"]) -> dict[str, float | None]:
    """Of the mean distances, with a 95 % interval over resampled seeds; a seed drawn twice is no pair with itself.

    Fewer than `FEWEST` seeds have no interval: of two, every sample is the same pair.
    """
    count, rng = len(hard), np.random.default_rng(0)

    def mean(distance: np.ndarray, picks: np.ndarray) -> float:
        return float(distance[np.ix_(picks, picks)][picks[:, None] != picks].mean())

    every = np.arange(count)
    between = mean(hard, every) - mean(soft, every) if count > 1 else None
    if count < FEWEST:
        return {"mean": between, "low": None, "high": None}
    drawn = [rng.integers(count, size=(2, count)) for _ in range(2000)]
    drawn = [pair for pair in drawn if all(len(set(picks)) > 1 for picks in pair.tolist())]
    found = [mean(hard, one) - mean(soft, other) for one, other in drawn]
    low, high = np.percentile(found, [2.5, 97.5])
    return {"mean": between, "low": float(low), "high": float(high)}


def judge(numbers: Numbers) -> Verdict:
    """See the criterion of `STUDY`."""
    low, high = numbers["difference"]["low"], numbers["difference"]["high"]
    return decided(supported=low is not None and low > 0, refuted=high is not None and high < 0)


STUDY = Study(
    name="run-to-run",
    claim="Trained again, a soft policy solves a task as before, and a deterministic one in another way.",
    criterion=(
        "Supported if the mean total variation between the visits of two seeds is larger for the deterministic agent "
        "than for the soft one (95 % interval of the difference above 0). Refuted if it is smaller (interval below 0). "
        f"Undecided with fewer than {FEWEST} seeds."
    ),
    run=run,
    judge=judge,
    exact=False,
)
