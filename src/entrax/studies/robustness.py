"""A soft policy keeps more of its return than hard ones when the environment changes.

Policies are compared that have the same return in the unchanged environment. With `--quick` soft Q-learning moves
between two passages and its preferred one is closed (`entrax.studies.closed_passage`). The full study perturbs MuJoCo's
bodies, their ground, motors and actions, under SAC (`entrax.studies.perturbed_bodies`). In both, the hard policies are
the soft agent's twin without entropy, and TD3. The soft policy is sampled; its mode is shown and not judged.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.evaluation.statistics import TaskScores, estimate, pooled_interquartile_mean
from entrax.studies.closed_passage import ATTEMPTS, MATCH, exact_arrival, run_passages
from entrax.studies.passages import POINT
from entrax.studies.perturbed_bodies import NEAR, OTHERS, run_bodies
from entrax.studies.power import ControlResult, difference_power
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide

SCORES = ("kept", "arrived")
"""Of the quick form: the relative return and the share of episodes at the goal, with the preferred passage closed."""
GAP, ENOUGH = 0.1, 0.9
"""Of the control: how much more often the soft optimum must arrive than the hard one, and how often with both open."""


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure every arm, unchanged and changed, and the differences between soft and hard arms."""
    if not quick:
        return run_bodies(seeds, out)
    numbers = run_passages(seeds, out)
    return numbers | {"differences": differences(numbers["arms"])}


def differences(arms: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return for each score the difference between the soft arm and every hard one."""
    return {score: {other: difference(arms["soft"], arms[other], score) for other in OTHERS} for score in SCORES}


def difference(soft: Mapping[str, Any], hard: Mapping[str, Any], score: str) -> dict[str, float] | None:
    """Return the difference of the matched seeds' interquartile means, with its 95 % interval.

    None with fewer than `MIN_SEEDS` matched seeds of either arm.
    """
    matched = [[np.array(each[score], float)[np.array(each["matched"], bool)]] for each in (soft, hard)]
    return None if min(len(each[0]) for each in matched) < MIN_SEEDS else estimate(_gain, *matched).to_json()


def _gain(ours: TaskScores, theirs: TaskScores) -> Float[np.ndarray, "..."]:
    return np.asarray(pooled_interquartile_mean(ours) - pooled_interquartile_mean(theirs))


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    found = [each for score in numbers["differences"].values() for each in score.values()]
    if None in found:
        return "undecided"
    return decide(supported=all(each["low"] > 0.0 for each in found), refuted=any(each["high"] < 0.0 for each in found))


def control() -> ControlResult:
    """Close the preferred passage of the exact soft and hard optimum on a grid."""
    settings = POINT.loop | POINT.agents["soft"][1]
    alphas = {"soft": settings["final_temperature"], "hard": 0.0}
    found = {name: exact_arrival(alpha, settings["discount"]) for name, alpha in alphas.items()}
    reached = all(each["open"] >= ENOUGH for each in found.values())
    return ControlResult(seen=reached and found["soft"]["closed"] >= found["hard"]["closed"] + GAP, numbers=found)


STUDY = Study(
    name="robustness",
    claim="A soft policy keeps more of its return when its environment changes than hard ones with the same return.",
    criterion=(
        f"With --quick a seed counts if its unperturbed return is within {MATCH:.0%} of the soft arm's median; for TD3 "
        f"up to {ATTEMPTS} runs are trained until one does. Scores are, with the passage closed that the policy "
        "prefers, the return relative to the unperturbed one and the share of episodes that reach the goal. In the "
        f"full study seeds are paired whose unperturbed returns are within {NEAR:.0%} of each other, and the score is "
        "the area under the relative return over severity, averaged over the families of perturbation. Supported if in "
        "every score the soft policy is above its hard twin and above TD3, by differences of interquartile means whose "
        "95 % intervals lie above 0. Refuted if one of these intervals lies below 0. Undecided otherwise, and with "
        f"fewer than {MIN_SEEDS} seeds or pairs that count."
    ),
    look=(
        "With --quick, above: paths of one start, with the passage closed that the policy prefers there. The first two "
        "panels below decide, in which the soft dots must be above the hard ones; hollow dots do not count, and the "
        "last panel shows why one start is taken at a time. In the full study the first row of the last panel decides."
    ),
    run=run,
    judge=judge,
    power=difference_power(
        effect="The soft policy keeps a larger part of its return in a changed environment.",
        measure="the difference of the scores",
        case=(
            "of the exact optima on a grid, the soft one reaches the goal with its preferred passage closed more often "
            f"than the hard one, by {GAP:.0%} of episodes or more, and both with both open"
        ),
        control=control,
    ),
    exact=False,
)
