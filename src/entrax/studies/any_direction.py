"""A soft policy rewarded for speed moves in all directions, a hard one in few.

Haarnoja et al. (2017), arXiv:1702.08165, section 5.2: soft Q-learning and DDPG, and SAC and TD3 beside them, which are
not judged. A hundred episodes of one policy, each with the heading of its
displacement from start to end. With u the unit vectors of the headings, the resultant length R = |mean u| is near 0 if
the headings cover all directions and 1 if they are equal. A hundred uniform headings have R = 0.09 on average, and more
than 0.3 once in 8,000 times.

The heading of an episode depends on the actions drawn and on its initial state. A hundred episodes from one initial
state, which differ in the drawn actions only, are measured too, and not judged.
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
ALL_ROUND = 0.3  # R of the soft policy, at most
FEW = 0.5  # R of the deterministic policy, more than this
LEAST_RETURN = 0.5  # of the deterministic policy's: a policy that hardly moves has headings in all directions too


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure headings and resultant lengths of every seed of every agent."""
    setup = POINT if quick else ANT
    seconds = setup.shown_every * setup.step_seconds
    return {"environment": setup.anywhere, "seconds_per_position": seconds} | {
        kind: measure_agent(setup, kind, seeds, out) for kind in KINDS
    }


def measure_agent(setup: DirectionSetup, kind: str, seeds: range, out: Path) -> dict[str, Any]:
    """Measure a hundred episodes of each seed of one agent."""
    headings, one_start, returns, distances = [], [], [], []
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
            one_start.append(resultant(headings_of(same)))
            drawn["paths_of_one_start"] = same
        shown = shown or drawn
    agent, settings = setup.agents[kind]
    return {
        "agent": agent,
        "settings": settings | setup.pretraining,
        "resultant": summarise_seeds([resultant(each) for each in headings]),
        "resultant_of_one_start": summarise_seeds(one_start) if one_start else None,
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


def resultant(headings: Float[np.ndarray, " episode"]) -> float:
    """Return R = |mean of the unit vectors|."""
    return float(np.abs(np.mean(np.exp(1j * np.radians(headings)))))


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    soft, deterministic = numbers["soft"], numbers["deterministic"]
    r, other = soft["resultant"]["median"], deterministic["resultant"]["median"]
    if len(soft["resultant"]["values"]) < MIN_SEEDS:
        return "undecided"
    moves = soft["returns"]["median"] >= LEAST_RETURN * deterministic["returns"]["median"]
    return decide(supported=r <= ALL_ROUND and other > FEW and moves, refuted=r > FEW or other <= ALL_ROUND)


def control() -> ControlResult:
    """Judge headings that are uniform by construction against equal ones."""
    rng = np.random.default_rng(0)
    soft = [resultant(rng.uniform(-180.0, 180.0, EPISODES)) for _ in range(MIN_SEEDS)]
    hard = [resultant(np.full(EPISODES, 45.0))] * MIN_SEEDS
    returns = summarise_seeds([1.0] * MIN_SEEDS)
    arms = {"soft": soft, "deterministic": hard}
    verdict = judge({name: {"resultant": summarise_seeds(r), "returns": returns} for name, r in arms.items()})
    return ControlResult(seen=verdict == "supported", numbers=arms)


STUDY = Study(
    name="any-direction",
    claim="A soft policy rewarded for its speed moves in all directions, a deterministic one in few.",
    criterion=(
        f"Supported if, in the median over seeds, the headings of {EPISODES} episodes have a resultant length of "
        f"{ALL_ROUND} or less under the soft policy and of more than {FEW} under the deterministic one, and the soft "
        f"policy has at least {LEAST_RETURN:.0%} of the deterministic one's return. Refuted if the soft policy's "
        f"resultant length is above {FEW}, or the deterministic one's {ALL_ROUND} or less. Undecided with fewer than "
        f"{MIN_SEEDS} seeds."
    ),
    run=run,
    judge=judge,
    power=median_power(
        effect="The headings of a soft policy's episodes cover all directions.",
        case="made-up episodes: uniform headings of one policy and equal ones of the other",
        control=control,
    ),
    exact=False,
)
