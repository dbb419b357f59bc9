"""A soft policy reaches all of four equal goals, a deterministic one few.

`entrax/MultiGoal-v0` at temperature 10, the task on which Haarnoja et al. (2017), arXiv:1702.08165, section 5.1,
introduce soft Q-learning. A thousand rollouts of each seed's sampled policy are counted by the goal they end in, and
as many of TD3's policy without its exploration noise.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from entrax.environments.multigoal import GOALS
from entrax.studies.four_goals import ENV, FULL, QUICK, ROLLOUTS
from entrax.studies.four_goals_optimum import optimum
from entrax.studies.power import ControlResult, median_power
from entrax.studies.runs import paths_of, trained_run
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide, summarise_seeds

SHOWN = 100  # of the first seed's rollouts
LEAST_SHARE = 0.1  # of the rollouts, for each goal of the soft agent
MOST = 0.5  # for the most visited goal of the deterministic one


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure the share of rollouts that end in each goal, for every seed.

    The soft optimum at the soft agent's temperature is returned for comparison and not judged.
    """
    settings = QUICK if quick else FULL
    results = {kind: _agent(agent, own, seeds, out, sample=kind == "soft") for kind, (agent, own) in settings.items()}
    return {"goals": GOALS, "optimum": optimum(settings["soft"][1]["temperature"])} | results


def _agent(agent: str, settings: dict[str, Any], seeds: range, out: Path, *, sample: bool) -> dict[str, Any]:
    shares, returns, shown = [], [], np.zeros(0)
    for seed in seeds:
        paths, terminated, rewards = paths_of(
            trained_run(ENV, agent, settings, seed, out), ROLLOUTS, sample=sample, seed=seed
        )
        shares.append(shares_of_goals(paths, terminated))
        returns.append(float(rewards.mean()))
        shown = paths[:SHOWN] if seed == seeds[0] else shown
    return {
        "agent": agent,
        "settings": settings,
        "shares": np.array(shares),
        "least": summarise_seeds(np.min(shares, axis=1)),
        "most": summarise_seeds(np.max(shares, axis=1)),
        "returns": summarise_seeds(returns),
        "paths": np.round(shown.astype(float), 3),
    }


def shares_of_goals(
    paths: Float[np.ndarray, "episode time 2"], terminated: Bool[np.ndarray, " episode"]
) -> Float[np.ndarray, " goal"]:
    """Return the share of all episodes that ended in each goal."""
    last = np.sum(np.isfinite(paths[:, :, 0]), axis=1) - 1
    end = paths[np.arange(len(paths)), last]
    nearest = np.argmin(np.sum((end[:, None] - GOALS) ** 2, axis=2), axis=1)
    return np.bincount(nearest[terminated], minlength=len(GOALS)) / len(paths)


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    least, deterministic = numbers["soft"]["least"]["median"], numbers["deterministic"]["most"]["median"]
    if len(numbers["soft"]["least"]["values"]) < MIN_SEEDS:
        return "undecided"
    return decide(
        supported=least >= LEAST_SHARE and deterministic > MOST,
        refuted=least < LEAST_SHARE / 2 or deterministic <= MOST,
    )


def control() -> ControlResult:
    """Judge the exact soft optimum at the soft agent's temperature against a policy of one goal."""
    shares = optimum(QUICK["soft"][1]["temperature"])["shares"]
    exact = {"least": summarise_seeds([float(np.min(shares))] * MIN_SEEDS)}
    verdict = judge({"soft": exact, "deterministic": {"most": summarise_seeds([1.0] * MIN_SEEDS)}})
    return ControlResult(seen=verdict == "supported", numbers={"shares": shares.tolist()})


STUDY = Study(
    name="multigoal",
    claim="A soft policy reaches all of several equal goals, a deterministic one few of them.",
    criterion=(
        f"Supported if, in the median over seeds, the least visited goal ends {LEAST_SHARE:.0%} of the soft agent's "
        f"rollouts or more, and the most visited goal of the deterministic agent more than {MOST:.0%} of its own. "
        f"Refuted if the least visited goal has less than {LEAST_SHARE / 2:.0%}, or the deterministic agent's most "
        f"visited one {MOST:.0%} or less. Undecided with fewer than {MIN_SEEDS} seeds."
    ),
    look=(
        "Left and middle: a hundred rollouts of the first seed of either agent, from above, and the four goals as "
        "discs. Right, the deciding panel: the share of the rollouts that end in each goal, from the most visited to "
        "the least. A soft policy has four bars of the same height, and one that has committed has a single bar."
    ),
    run=run,
    judge=judge,
    power=median_power(
        effect="The least visited of four equal goals ends a tenth of a soft policy's rollouts or more.",
        case="the exact soft optimum on a grid, and a policy that knows one goal only",
        control=control,
    ),
    exact=False,
)
