"""Whether a soft policy keeps more of its return as the world changes than hard ones that earn the same.

Soft actor-critic at a fixed temperature and TD3 learn `entrax/TwoPassage-v0` with both passages open. The soft run's
twin goes on from it, with its replay, at temperature 0: what is compared is softness itself, and not what it does for
exploration. TD3 is trained for longer than both, so that it may come to earn as much. Of a run the policy counts that
evaluated best. The soft policy is the sampled one; its mode is measured beside, and not judged. Of each arm those seeds
are compared that earn as much in the world they know (`MATCH`). Then the world changes:

- every family of perturbation that applies, over its severities (`entrax.evaluation.stress`). A seed's score is the
  area under its relative return n(s) = 1 + (R(s) - R(0))/|R(0)|, averaged over the families;
- the passage that a policy takes most often is closed. The score is the return that is left, relative to R(0).

The course of the recovery is recorded and not judged: the part of what was still to be had (R(0) less the return so
far) that is regained by so many steps after a blocked way was seen, and after the motors ran wild for `WILD` steps.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.evaluation.episodes import Act
from entrax.evaluation.statistics import TaskScores, estimate, pooled_interquartile_mean
from entrax.evaluation.stress import LEVELS, stress_test
from entrax.policies.controller import act_in_episodes
from entrax.studies.passages import ANT, POINT, SIDES, Form, at_goal, first_passage, last_places
from entrax.studies.runs import Played, play
from entrax.studies.study import FEWEST, Numbers, Study, Verdict, decided
from entrax.training.run import Run

ARMS = {"soft": ("soft", True), "soft, mode": ("soft", False), "twin": ("twin", False), "td3": ("td3, longer", False)}
"""By name: what is trained, and whether its actions are drawn."""
OTHERS = ("twin", "td3")
SCORES = ("perturbed", "blocked")
MATCH = 0.05  # how far a seed's unperturbed return may be from the soft arm's median, relative to it
EPISODES = 10  # in each condition of the stress test
FOLLOWED = 40  # episodes of each recovery
CALM, WILD = 20, 10  # steps before the motors run wild, and for how many they do
AFTER = 150  # steps of recovery that are shown


def run(quick: bool, seeds: int, out: Path) -> dict[str, Any]:
    """Relative returns of every arm, seed and family, recoveries, and differences of the soft arm and the hard ones."""
    form = POINT if quick else ANT
    arms = {name: arm(form, kind, sample, seeds, out) for name, (kind, sample) in ARMS.items()}
    wanted = float(np.median(arms["soft"]["nominal"]))
    for found in arms.values():
        nominal = np.array(found["nominal"])
        known = np.isfinite(np.array(found["perturbed"], float))
        found["matched"] = (np.abs(nominal - wanted) <= MATCH * abs(wanted)) & known
    differences = {score: {other: difference(arms["soft"], arms[other], score) for other in OTHERS} for score in SCORES}
    return {"body": form.body, "levels": LEVELS, "wanted": wanted, "arms": arms, "differences": differences}


def arm(form: Form, kind: str, sample: bool, seeds: int, out: Path) -> dict[str, Any]:
    """What every seed of an arm keeps."""
    each = [measured(form, form.best(kind, seed, out), sample, seed) for seed in range(seeds)]
    families = each[0]["relative"]
    agent, settings = form.agents["soft" if kind == "twin" else kind]
    return {
        "agent": agent,
        "settings": form.loop | settings,
        "after": form.hard if kind == "twin" else None,
        "sampled": sample,
        "skipped": each[0]["skipped"],
        "relative": {name: [one["relative"][name] for one in each] for name in families},
        "areas": {name: [one["areas"][name] for one in each] for name in families},
    } | {
        name: [one[name] for one in each]
        for name in ("nominal", "perturbed", "blocked", "arrived", "favoured", "regained_blocked", "regained_wild")
    }


def measured(form: Form, policy: Run, sample: bool, seed: int) -> dict[str, Any]:
    """What one policy keeps; an area is NaN where the unperturbed return cannot be told from 0."""
    act = act_in_episodes(policy.controller, sample=sample, seed=seed)
    kept = stress_test(
        act,
        form.source("none"),
        seed=seed,
        policy="sampled" if sample else "mode",
        episodes=EPISODES,
        levels=LEVELS,
        workers=0,
    )
    areas = {name: np.nan if area is None else area.mean for name, area in kept.areas.items()}
    known = play(act, form.source("none"), FOLLOWED, seed=seed)
    nominal = float(known.rewards.sum(axis=1).mean())
    favoured = SIDES[int(np.sum(first_passage(known.paths)) > 0)]
    blocked = play(act, form.source(favoured), FOLLOWED, seed=seed)
    wild = play(gone_wild(act, seed), form.source("none"), FOLLOWED, seed=seed)
    return {
        "nominal": nominal,
        "relative": {n: relative(np.array([o.mean for o in found])) for n, found in kept.families.items()},
        "areas": areas,
        "perturbed": float(np.mean(list(areas.values()))),
        "skipped": kept.skipped,
        "favoured": favoured,
        "blocked": 1.0 + (float(blocked.rewards.sum(axis=1).mean()) - nominal) / abs(nominal),
        "arrived": float(np.mean(at_goal(last_places(blocked.paths), form.scale))),
        "regained_blocked": regained(blocked, seen_closed(blocked.paths), nominal),
        "regained_wild": regained(wild, np.full(FOLLOWED, float(CALM + WILD)), nominal),
    }


def relative(returns: Float[np.ndarray, " level"]) -> Float[np.ndarray, " level"]:
    """n(s) of returns over severity, the first of which is the unperturbed one."""
    return 1.0 + (returns - returns[0]) / abs(returns[0])


def gone_wild(act: Act, seed: int) -> Act:
    """The policy, but for `WILD` steps after `CALM` ones, in which each episode's action is one drawn at random."""

    def changed(obs: np.ndarray, episode: np.ndarray, t: np.ndarray) -> np.ndarray:
        actions = act(obs, episode, t)
        drawn = [np.random.default_rng((seed, int(number))).uniform(-1.0, 1.0, actions.shape[1]) for number in episode]
        wild = (t >= CALM) & (t < CALM + WILD)
        return np.where(wild[:, None], np.array(drawn, actions.dtype), actions)

    return changed


def seen_closed(paths: Float[np.ndarray, "episode time obs"]) -> Float[np.ndarray, " episode"]:
    """The step after which a closed passage was known; NaN in an episode without."""
    known = (np.nan_to_num(paths[:, :, -2:]) < 0.0).any(axis=2)
    return np.where(known.any(axis=1), known.argmax(axis=1), np.nan)


def regained(
    played: Played, start: Float[np.ndarray, " episode"], nominal: float
) -> Float[np.ndarray, " after"] | None:
    """The part of what was to be had, `nominal` less the return so far, that is regained by each step after `start`.

    Both are summed over the episodes that lasted till then, so that one with little left to be had counts little. An
    ended episode keeps what it has. None if no episode lasted, or nothing was left to be had.
    """
    total = np.cumsum(played.rewards, axis=1)
    total = np.concatenate([np.zeros((len(total), 1)), total, np.repeat(total[:, -1:], AFTER, axis=1)], axis=1)
    lasted = np.sum(np.isfinite(played.paths[:, :, 0]), axis=1) - 1
    rows = np.flatnonzero(np.isfinite(start) & (np.nan_to_num(start) < lasted))
    steps = start[rows].astype(int)[:, None] + np.arange(AFTER + 1)
    course = np.take_along_axis(total[rows], steps, axis=1)
    left = float(np.sum(nominal - course[:, 0]))
    return np.sum(course - course[:, :1], axis=0) / left if left > 0.0 else None


def difference(soft: dict[str, Any], hard: dict[str, Any], score: str) -> dict[str, float] | None:
    """Of the interquartile means of the matched seeds, with its interval; None with fewer than `FEWEST` of either."""
    matched = [[np.array(each[score], float)[np.array(each["matched"])]] for each in (soft, hard)]
    return None if min(len(each[0]) for each in matched) < FEWEST else estimate(_gain, *matched).to_json()


def _gain(ours: TaskScores, theirs: TaskScores) -> Float[np.ndarray, "..."]:
    return np.asarray(pooled_interquartile_mean(ours) - pooled_interquartile_mean(theirs))


def judge(numbers: Numbers) -> Verdict:
    """See the criterion of `STUDY`."""
    found = [numbers["differences"][score][other] for score in SCORES for other in OTHERS]
    if None in found:
        return "undecided"
    return decided(
        supported=all(each["low"] > 0.0 for each in found), refuted=any(each["high"] < 0.0 for each in found)
    )


STUDY = Study(
    name="robustness",
    claim="A soft policy keeps more of its return as the world changes than hard ones that earn the same.",
    criterion=(
        f"A seed counts if its unperturbed return is within {MATCH:.0%} of the soft arm's median. Scored are the area "
        "under its relative return over severity, averaged over the families, and its relative return with its "
        "favourite passage closed. Supported if in both scores the soft arm's interquartile mean is above that of its "
        "twin at temperature 0 and above TD3's, by differences whose 95 % intervals over seeds lie above 0. Refuted if "
        "one of these four intervals lies below 0. Undecided otherwise, and where an arm has fewer than "
        f"{FEWEST} seeds that count."
    ),
    run=run,
    judge=judge,
    exact=False,
)
