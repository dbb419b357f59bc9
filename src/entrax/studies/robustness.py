"""Compare how much return soft and hard policies lose in changed environments.

Soft actor-critic at a fixed temperature and TD3 learn `entrax/TwoPassage-v0` with both passages open. The soft run's
twin continues from it, with its replay, at temperature 0; both explored alike, so that they differ in softness only.
TD3 is trained for longer than both, to reach the same return. The best checkpoint of each run is used. The soft policy
is sampled; its mode is measured too, and not judged. Only seeds with the same unperturbed return (`MATCH`) are
compared. Then the environment changes:

- every family of perturbation that applies, over its severities (`entrax.evaluation.stress`). A seed's score is the
  area under its relative return n(s) = 1 + (R(s) - R(0))/|R(0)|, averaged over the families;
- the passage that a policy takes most often is closed. The score is the return relative to R(0).

The recovery is recorded and not judged: the part of the remaining return (R(0) minus the return so far) that is
regained by each step after a closed passage was seen, and after `WILD` steps of random actions.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.evaluation.episodes import Act
from entrax.evaluation.statistics import TaskScores, estimate, pooled_interquartile_mean
from entrax.evaluation.stress import LEVELS, stress_test
from entrax.policies.controller import act_in_episodes
from entrax.studies.passages import ANT, POINT, SIDES, PassageSetup, at_goal, first_passage, last_places
from entrax.studies.power import ControlResult, difference_power
from entrax.studies.runs import PlayedEpisodes, play
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide
from entrax.training.run import Run

ARMS = {"soft": ("soft", True), "soft, mode": ("soft", False), "twin": ("twin", False), "td3": ("td3, longer", False)}
"""By name, the kind of agent and whether its actions are sampled."""
OTHERS = ("twin", "td3")
SCORES = ("perturbed", "blocked")
MATCH = 0.05  # how far a seed's unperturbed return may be from the soft arm's median, relative to it
EPISODES = 10  # in each condition of the stress test
RECOVERIES = 40  # episodes of each kind of recovery
CALM, WILD = 20, 10  # steps before the random actions, and steps of random actions
AFTER = 150  # steps of a recovery that are recorded


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure relative returns and recoveries of every arm, and their differences."""
    setup = POINT if quick else ANT
    arms = {name: measure_arm(setup, kind, sample, seeds, out) for name, (kind, sample) in ARMS.items()}
    reference = float(np.median(arms["soft"]["nominal"]))
    for each in arms.values():
        nominal = np.array(each["nominal"])
        known = np.isfinite(np.array(each["perturbed"], float))
        each["matched"] = (np.abs(nominal - reference) <= MATCH * abs(reference)) & known
    differences = {score: {other: difference(arms["soft"], arms[other], score) for other in OTHERS} for score in SCORES}
    return {"body": setup.body, "levels": LEVELS, "reference": reference, "arms": arms, "differences": differences}


def measure_arm(setup: PassageSetup, kind: str, sample: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure every seed of an arm."""
    each = [measure_policy(setup, setup.best(kind, seed, out), sample, seed) for seed in seeds]
    families = each[0]["relative"]
    agent, settings = setup.agents["soft" if kind == "twin" else kind]
    return {
        "agent": agent,
        "settings": setup.loop | settings,
        "after": setup.hard if kind == "twin" else None,
        "sampled": sample,
        "skipped": each[0]["skipped"],
        "relative": {name: [one["relative"][name] for one in each] for name in families},
        "areas": {name: [one["areas"][name] for one in each] for name in families},
    } | {
        name: [one[name] for one in each]
        for name in ("nominal", "perturbed", "blocked", "arrived", "favoured", "regained_blocked", "regained_wild")
    }


def measure_policy(setup: PassageSetup, policy: Run, sample: bool, seed: int) -> dict[str, Any]:
    """Measure one policy.

    An area is NaN if the unperturbed return cannot be distinguished from 0.
    """
    act = act_in_episodes(policy.controller, sample=sample, seed=seed)
    stressed = stress_test(
        act,
        setup.source("none"),
        seed=seed,
        policy="sampled" if sample else "mode",
        episodes=EPISODES,
        levels=LEVELS,
        workers=0,
    )
    areas = {name: np.nan if area is None else area.mean for name, area in stressed.areas.items()}
    known = play(act, setup.source("none"), RECOVERIES, seed=seed)
    nominal = float(known.rewards.sum(axis=1).mean())
    favoured = SIDES[int(np.sum(first_passage(known.paths)) > 0)]
    blocked = play(act, setup.source(favoured), RECOVERIES, seed=seed)
    wild = play(with_random_actions(act, seed), setup.source("none"), RECOVERIES, seed=seed)
    return {
        "nominal": nominal,
        "relative": {n: relative(np.array([o.mean for o in outcomes])) for n, outcomes in stressed.families.items()},
        "areas": areas,
        "perturbed": float(np.mean(list(areas.values()))),
        "skipped": stressed.skipped,
        "favoured": favoured,
        "blocked": 1.0 + (float(blocked.rewards.sum(axis=1).mean()) - nominal) / abs(nominal),
        "arrived": float(np.mean(at_goal(last_places(blocked.paths), setup.scale))),
        "regained_blocked": regained(blocked, seen_closed(blocked.paths), nominal),
        "regained_wild": regained(wild, np.full(RECOVERIES, float(CALM + WILD)), nominal),
    }


def relative(returns: Float[np.ndarray, " level"]) -> Float[np.ndarray, " level"]:
    """Return n(s) of returns over severity; the first is the unperturbed one."""
    return 1.0 + (returns - returns[0]) / abs(returns[0])


def with_random_actions(act: Act, seed: int) -> Act:
    """Return the policy with random actions for `WILD` steps after `CALM` steps.

    Each episode repeats one random action.
    """

    def changed(obs: np.ndarray, episode: np.ndarray, t: np.ndarray) -> np.ndarray:
        actions = act(obs, episode, t)
        drawn = [np.random.default_rng((seed, int(number))).uniform(-1.0, 1.0, actions.shape[1]) for number in episode]
        wild = (t >= CALM) & (t < CALM + WILD)
        return np.where(wild[:, None], np.array(drawn, actions.dtype), actions)

    return changed


def seen_closed(paths: Float[np.ndarray, "episode time obs"]) -> Float[np.ndarray, " episode"]:
    """Return the first step at which a closed passage was seen; NaN without one."""
    known = (np.nan_to_num(paths[:, :, -2:]) < 0.0).any(axis=2)
    return np.where(known.any(axis=1), known.argmax(axis=1), np.nan)


def regained(
    played: PlayedEpisodes, start: Float[np.ndarray, " episode"], nominal: float
) -> Float[np.ndarray, " after"] | None:
    """Return the part of the remaining return regained by each step after `start`.

    The remaining return is `nominal` minus the return so far.

    Both are summed over the episodes that reached `start`, so that one with little remaining counts little. An ended
    episode keeps its return. None if no episode reached `start`, or nothing remained.
    """
    total = np.cumsum(played.rewards, axis=1)
    total = np.concatenate([np.zeros((len(total), 1)), total, np.repeat(total[:, -1:], AFTER, axis=1)], axis=1)
    lasted = np.sum(np.isfinite(played.paths[:, :, 0]), axis=1) - 1
    rows = np.flatnonzero(np.isfinite(start) & (np.nan_to_num(start) < lasted))
    steps = start[rows].astype(int)[:, None] + np.arange(AFTER + 1)
    course = np.take_along_axis(total[rows], steps, axis=1)
    remaining = float(np.sum(nominal - course[:, 0]))
    return np.sum(course - course[:, :1], axis=0) / remaining if remaining > 0.0 else None


def difference(soft: dict[str, Any], hard: dict[str, Any], score: str) -> dict[str, float] | None:
    """Return the difference of the matched seeds' interquartile means.

    None with fewer than `MIN_SEEDS` seeds of either arm.
    """
    matched = [[np.array(each[score], float)[np.array(each["matched"])]] for each in (soft, hard)]
    return None if min(len(each[0]) for each in matched) < MIN_SEEDS else estimate(_gain, *matched).to_json()


def _gain(ours: TaskScores, theirs: TaskScores) -> Float[np.ndarray, "..."]:
    return np.asarray(pooled_interquartile_mean(ours) - pooled_interquartile_mean(theirs))


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    differences = [numbers["differences"][score][other] for score in SCORES for other in OTHERS]
    if None in differences:
        return "undecided"
    return decide(
        supported=all(each["low"] > 0.0 for each in differences),
        refuted=any(each["high"] < 0.0 for each in differences),
    )


def control() -> ControlResult:
    """Judge scores with a known difference."""
    spread = 0.03 * np.linspace(-1.0, 1.0, 5)
    arms = {
        arm: dict.fromkeys(SCORES, spread + (0.9 if arm == "soft" else 0.6)) | {"matched": np.ones(5, bool)}
        for arm in ("soft", *OTHERS)
    }
    found = {score: {other: difference(arms["soft"], arms[other], score) for other in OTHERS} for score in SCORES}
    return ControlResult(seen=judge({"differences": found}) == "supported", numbers=found)


STUDY = Study(
    name="robustness",
    claim="A soft policy keeps more of its return when its environment changes than hard ones with the same return.",
    criterion=(
        f"A seed counts if its unperturbed return is within {MATCH:.0%} of the soft arm's median. Scored are the area "
        "under its relative return over severity, averaged over the families, and its relative return with its "
        "favourite passage closed. Supported if in both scores the soft arm's interquartile mean is above that of its "
        "twin at temperature 0 and above TD3's, by differences whose 95 % intervals over seeds lie above 0. Refuted if "
        "one of these four intervals lies below 0. Undecided otherwise, and if an arm has fewer than "
        f"{MIN_SEEDS} seeds that count."
    ),
    look=(
        "Above: the return, relative to the undisturbed one, as a disturbance grows; a flat curve is robust. Below, "
        "the first two panels decide: the area under these curves and the return with the favoured passage closed, "
        "where the sampled soft policy must be above its twin and above TD3. Hollow dots do not count, and the last "
        "two panels show how soon the policies recover."
    ),
    run=run,
    judge=judge,
    power=difference_power(
        effect="The soft policy keeps a larger part of its return in changed environments.",
        measure="the difference of the relative returns",
        case="made-up scores: 0.9 for the soft arm and 0.6 for the others, with a spread of 0.03 over seeds",
        control=control,
    ),
    exact=False,
)
