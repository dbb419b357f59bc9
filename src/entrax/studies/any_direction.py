"""A soft policy rewarded for speed moves in all directions, a hard one in few.

Haarnoja et al. (2017), arXiv:1702.08165, section 5.2: soft Q-learning and DDPG, and SAC and TD3 beside them, which are
not judged. A hundred episodes of one policy, each with the heading of its displacement from start to end. The measure
is the number of the twelve sectors of 30 degrees in which at least two episodes end: 11.9 on average if headings are
uniform, and 4 if they are the diagonals, to which a squashed action tends because it lies in a square. The resultant
length R = |mean u| of the unit vectors u of the headings is reported; opposite headings cancel in it, so that a policy
with two paths may have R = 0.

The heading of an episode depends on the actions drawn and on its initial state. A hundred episodes of a soft policy
from one initial state differ in the drawn actions only; there a deterministic policy has one path.

The settings were chosen with seeds 10 and up; docs/studies.md lists what was tried.
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float

from entrax.studies.directions import ANT, POINT, DirectionSetup
from entrax.studies.power import ControlResult, median_power
from entrax.studies.runs import paths_of
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide, summarise_seeds

KINDS = ("soft", "deterministic", "sac", "td3")
SAMPLED = ("soft", "sac")
EPISODES = 100
SECTORS, LEAST_EPISODES = 12, 2
"""The sectors of a circle, and the least number of episodes that must end in one for it to count as taken."""
ALL_ROUND, FEW = 9, 4
"""The sectors that are taken: at least the first by a policy that moves all round, at most the second in few ways."""
LEAST_DISTANCE = 0.5  # of the deterministic policy's: a policy that hardly moves has headings in all directions too


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure the headings of every seed of every agent."""
    setup = POINT if quick else ANT
    seconds = setup.shown_every * setup.step_seconds
    return {"environment": setup.anywhere, "seconds_per_position": seconds} | {
        kind: measure_agent(setup, kind, seeds, out) for kind in KINDS
    }


def measure_agent(setup: DirectionSetup, kind: str, seeds: range, out: Path) -> dict[str, Any]:
    """Measure a hundred episodes of each seed of one agent."""
    headings: list[np.ndarray] = []
    one_start: list[np.ndarray] = []
    returns, distances = [], []
    shown: dict[str, np.ndarray] = {}
    for seed in seeds:
        policy, soft = setup.pretrained(kind, seed, out), kind in SAMPLED
        paths, _, rewards = paths_of(policy, EPISODES, sample=soft, seed=seed, observe=place)
        headings.append(headings_of(paths))
        returns.append(float(rewards.mean()))
        distances.append(float(np.median(np.linalg.norm(displacements(paths), axis=1))))
        drawn = {"paths": paths}
        if soft:  # a deterministic policy has one path from one initial state
            same, *_ = paths_of(policy, EPISODES, sample=soft, seed=seed, observe=place, same_start=True)
            one_start.append(headings_of(same))
            drawn["paths_of_one_start"] = same
        shown = shown or drawn
    agent, settings = setup.agents[kind]
    return {
        "agent": agent,
        "settings": settings | setup.pretraining,
        "sectors": summarise_seeds([sectors(each) for each in headings]),
        "sectors_of_one_start": summarise_seeds([sectors(each) for each in one_start]) if one_start else None,
        "resultant": summarise_seeds([resultant(each) for each in headings]),
        "resultant_of_one_start": summarise_seeds([resultant(each) for each in one_start]) if one_start else None,
        "returns": summarise_seeds(returns),
        "distances": summarise_seeds(distances),
        "headings": np.round(headings, 3),
    } | {name: np.round(each[:, :: setup.shown_every].astype(float), 3) for name, each in shown.items()}


def place(env: gymnasium.Env) -> Float[np.ndarray, " 2"]:
    """Return the position of the body, which the observation omits."""
    position: np.ndarray = env.unwrapped.place  # type: ignore[attr-defined]
    return position


def displacements(paths: Float[np.ndarray, "episode time 2"]) -> Float[np.ndarray, "episode 2"]:
    """Return the vector from the first to the last position of each episode."""
    last = np.sum(np.isfinite(paths[:, :, 0]), axis=1) - 1
    return paths[np.arange(len(paths)), last] - paths[:, 0]


def headings_of(paths: Float[np.ndarray, "episode time 2"]) -> Float[np.ndarray, " episode"]:
    """Return the directions of the displacements, in degrees from +x towards +y."""
    x, y = displacements(paths).T
    return np.degrees(np.arctan2(y, x))


def sectors(headings: Float[np.ndarray, " episode"]) -> float:
    """Return the number of sectors in which at least `LEAST_EPISODES` episodes end."""
    width = 360.0 / SECTORS
    counts = np.bincount(np.floor(np.mod(headings, 360.0) / width).astype(int) % SECTORS, minlength=SECTORS)
    return float(np.sum(counts >= LEAST_EPISODES))


def resultant(headings: Float[np.ndarray, " episode"]) -> float:
    """Return R = |mean of the unit vectors|."""
    return float(np.abs(np.mean(np.exp(1j * np.radians(headings)))))


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    soft, deterministic = numbers["soft"], numbers["deterministic"]
    if len(soft["sectors"]["values"]) < MIN_SEEDS:
        return "undecided"
    taken = min(soft["sectors"]["median"], soft["sectors_of_one_start"]["median"])
    theirs = deterministic["sectors"]["median"]
    moves = soft["distances"]["median"] >= LEAST_DISTANCE * deterministic["distances"]["median"]
    return decide(supported=taken >= ALL_ROUND and theirs <= FEW and moves, refuted=taken <= FEW or theirs >= ALL_ROUND)


def control() -> ControlResult:
    """Judge headings that are uniform by construction against the four diagonals."""
    rng = np.random.default_rng(0)
    soft = summarise_seeds([sectors(rng.uniform(-180.0, 180.0, EPISODES)) for _ in range(MIN_SEEDS)])
    diagonals = 45.0 + 90.0 * rng.integers(4, size=(MIN_SEEDS, EPISODES)) + rng.normal(size=(MIN_SEEDS, EPISODES))
    hard = summarise_seeds([sectors(each) for each in diagonals])
    distances = summarise_seeds([1.0] * MIN_SEEDS)
    arms = {
        "soft": {"sectors": soft, "sectors_of_one_start": soft, "distances": distances},
        "deterministic": {"sectors": hard, "distances": distances},
    }
    return ControlResult(seen=judge(arms) == "supported", numbers=arms)


STUDY = Study(
    name="any-direction",
    claim="A soft policy rewarded for its speed moves in all directions, a deterministic one in few.",
    criterion=(
        f"The headings of {EPISODES} episodes take a sector of {360 // SECTORS} degrees if {LEAST_EPISODES} of them "
        f"end in it. Supported if, in the median over seeds, the soft policy takes {ALL_ROUND} or more of the "
        f"{SECTORS} sectors, also from one start, and the deterministic one {FEW} or fewer, and the soft policy gets "
        f"at least {LEAST_DISTANCE:.0%} as far. Refuted if the soft policy takes {FEW} or fewer, in one of the two "
        f"ways, or the deterministic one {ALL_ROUND} or more. Undecided with fewer than {MIN_SEEDS} seeds."
    ),
    look=(
        "Left and middle: a hundred episodes of the first seed of either agent, from above; the film shows them move, "
        "as the ants of the lecture do. Right, the deciding panel: a row for each seed and a tick for the heading of "
        "each episode, with the number of sectors taken. The soft agent's rows, on top, must be filled all round, and "
        "the deterministic agent's, below them, have a few marks."
    ),
    run=run,
    judge=judge,
    power=median_power(
        effect="The headings of a soft policy's episodes cover all directions.",
        case="made-up episodes: uniform headings of one policy and the four diagonals of the other",
        control=control,
    ),
    exact=False,
)
