"""Soft policies of different seeds solve a task alike, hard ones differently.

Both agents are trained on four equal goals with several seeds. A run is described by the share of visits to every cell
of a grid of unit squares. The distance of two runs is the total variation ½ Σ |p − q| of these shares, from 0 (equal)
to 1 (no cell in common). The distance of two halves of one run's rollouts is reported as the noise.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.environments.multigoal import GOALS, WALL
from entrax.studies.four_goals import ENV, FULL, QUICK, ROLLOUTS
from entrax.studies.power import ControlResult, difference_power
from entrax.studies.runs import paths_of, trained_run
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide

CELLS = 2 * int(WALL)


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure the distances between all pairs of runs of each agent."""
    results: dict[str, dict[str, Any]] = {}
    for kind, (agent, settings) in (QUICK if quick else FULL).items():
        visits, noise = [], []
        for seed in seeds:
            sampled = kind == "soft"
            paths, *_ = paths_of(trained_run(ENV, agent, settings, seed, out), ROLLOUTS, sample=sampled, seed=seed)
            visits.append(shares_of_cells(paths))
            halves = shares_of_cells(paths[::2]), shares_of_cells(paths[1::2])
            noise.append(total_variation(*halves))
        results[kind] = {"agent": agent, "visits": np.array(visits), "noise": noise}
    distances = {kind: pairwise(each["visits"]) for kind, each in results.items()}
    return results | {
        "distances": {kind: each[np.triu_indices(len(seeds), 1)] for kind, each in distances.items()},
        "difference": difference(distances["deterministic"], distances["soft"]),
    }


def shares_of_cells(paths: Float[np.ndarray, "episode time 2"]) -> Float[np.ndarray, "x y"]:
    """Return the share of all visits to every unit square."""
    visited = paths[np.isfinite(paths[:, :, 0])]
    counts, _, _ = np.histogram2d(visited[:, 0], visited[:, 1], bins=CELLS, range=[[-WALL, WALL]] * 2)
    return counts / counts.sum()


def total_variation(one: Float[np.ndarray, "x y"], other: Float[np.ndarray, "x y"]) -> float:
    """Return ½ Σ |p − q|."""
    return float(0.5 * np.abs(one - other).sum())


def pairwise(visits: list[np.ndarray] | Float[np.ndarray, "seed x y"]) -> Float[np.ndarray, "seed seed"]:
    """Return the distances of all pairs."""
    distances = np.zeros((len(visits), len(visits)))
    for i, j in itertools.combinations(range(len(visits)), 2):
        distances[i, j] = distances[j, i] = total_variation(visits[i], visits[j])
    return distances


def difference(hard: Float[np.ndarray, "seed seed"], soft: Float[np.ndarray, "seed seed"]) -> dict[str, float | None]:
    """Return the difference of mean distances with a 95 % bootstrap interval.

    A seed that is drawn twice forms no pair with itself. There is no interval below `MIN_SEEDS` seeds: of two seeds,
    every resample is the same pair.
    """
    count, rng = len(hard), np.random.default_rng(0)

    def mean(distance: np.ndarray, picks: np.ndarray) -> float:
        return float(distance[np.ix_(picks, picks)][picks[:, None] != picks].mean())

    every = np.arange(count)
    between = mean(hard, every) - mean(soft, every) if count > 1 else None
    if count < MIN_SEEDS:
        return {"mean": between, "low": None, "high": None}
    drawn = [rng.integers(count, size=(2, count)) for _ in range(2000)]
    drawn = [pair for pair in drawn if all(len(set(picks)) > 1 for picks in pair.tolist())]
    differences = [mean(hard, one) - mean(soft, other) for one, other in drawn]
    low, high = np.percentile(differences, [2.5, 97.5])
    return {"mean": between, "low": float(low), "high": float(high)}


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    low, high = numbers["difference"]["low"], numbers["difference"]["high"]
    return decide(supported=low is not None and low > 0, refuted=high is not None and high < 0)


def control() -> ControlResult:
    """Judge seeds that go to all goals, and seeds that go to one each, by construction."""
    rng, count = np.random.default_rng(0), len(GOALS)
    along = np.linspace(0.0, 1.0, 10)[None, :, None]

    def visits(goals: np.ndarray) -> np.ndarray:
        return shares_of_cells(along * np.array(GOALS)[goals][:, None])

    soft = [visits(rng.integers(count, size=ROLLOUTS)) for _ in range(count)]
    hard = [visits(np.full(ROLLOUTS, goal)) for goal in range(count)]
    result = difference(pairwise(hard), pairwise(soft))
    return ControlResult(seen=judge({"difference": result}) == "supported", numbers=dict(result))


STUDY = Study(
    name="run-to-run",
    claim="Trained with another seed, a soft policy solves a task as before, a deterministic one in another way.",
    criterion=(
        "Supported if the mean total variation between the visits of two seeds is larger for the deterministic agent "
        "than for the soft one (95 % interval of the difference above 0). Refuted if it is smaller (interval below 0). "
        f"Undecided with fewer than {MIN_SEEDS} seeds."
    ),
    look=(
        "Left and middle: where the rollouts of each seed have been, one tile for each; tiles that look alike are "
        "seeds that solve the task alike. Right, the deciding panel: the distance between any two seeds, which must "
        "be larger for the deterministic agent. The crosses, two halves of one run, show what is due to chance."
    ),
    run=run,
    judge=judge,
    power=difference_power(
        effect="Two seeds of the deterministic agent visit other cells, two seeds of the soft one the same.",
        measure="the difference of the mean distances of two seeds",
        case="made-up rollouts: straight to all goals with equal odds, and to one goal that differs between seeds",
        control=control,
    ),
    exact=False,
)
