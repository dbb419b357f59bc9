"""Do walkers of other seeds walk in other ways, and does a soft policy less so?

The lecture on control as inference begins with it: the same policy gradient, run twice, teaches a humanoid two very
different gaits, as a local optimum that the first lessons chose. SAC, and TD3 as the deterministic agent, are trained
with several seeds. The gait of an episode is described by the contacts of the feet, the frequency of strides and the
posture (`entrax.studies.walking`), and compared in all pairs of episodes. What two runs differ by beyond the mean
difference of two episodes of the same run is the excess; it is 0 on average for two runs with the same gait.

Actions of SAC are drawn; the gait of its mode is reported and not judged, as is that of its twin without entropy. A run
counts if it walks in half of its episodes or more.

The full form's runs are those of `performance`, trained once with the same `out`. All settings are written out there.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.studies.performance import AGENTS, ANT, FULL, HALF_CHEETAH, LOOP, REPLAY, WALKER, Form, settings_of
from entrax.studies.power import ControlResult, difference_power
from entrax.studies.runs import paths_of, trained_run
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide
from entrax.studies.walking import (
    FEET,
    WARM_UP,
    Body,
    Gaits,
    body_of,
    excess,
    gaits_of,
    mean_distances,
    observe_body,
)
from entrax.training.run import Run

SOFT, DETERMINISTIC = "SAC", "TD3"
ARMS = (SOFT, DETERMINISTIC, "SAC, α = 0")
EPISODES = 10
WALKING = 0.5  # the least share of a run's episodes in which it walks
FILM_SECONDS, FILM_RATE = 5.0, 25.0  # of the episode that is shown, and its pictures per second
RESAMPLES = 2000

QUICK = Form(
    tasks=(HALF_CHEETAH,),
    loop=LOOP | {"workers": 0, "steps": 70_000, "log_every": 7_000, "eval_every": 0, "eval_episodes": 1},
    replay=REPLAY | {"learning_starts": 4_000, "updates_per_step": 0.25, "batch_size": 128, "hidden": (128, 128)},
)
"""One task, smaller networks and batches."""
WHOLE = Form(tasks=(WALKER, ANT), loop=FULL.loop, replay=FULL.replay)
"""Runs of the full form of `performance`."""


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Compare the gaits of all pairs of runs of each agent on every task."""
    form = QUICK if quick else WHOLE
    names = ARMS[:2] if quick else ARMS
    tasks = []
    for task in form.tasks:
        arms = {}
        for name in names:
            agent, settings = settings_of(form, task, name)
            arms[name] = measure([trained_run(task.env, agent, settings, seed, out) for seed in seeds], seeds, task.env)
        tasks.append({"environment": task.env, "feet": FEET[task.env], "arms": arms})
    return {
        "soft": SOFT,
        "deterministic": DETERMINISTIC,
        "settings": {name: settings_of(form, form.tasks[0], name)[1] for name in names},
        "seeds": list(seeds),
        "tasks": tasks,
    } | compare(tasks)


def measure(runs: Sequence[Run], seeds: Sequence[int], env: str) -> dict[str, Any]:
    """Return the gaits of an agent's runs, by drawn actions and by the mode, and their distances."""
    made = runs[0].source().make()
    body = body_of(made, FEET[env])
    made.close()
    observe = partial(observe_body, body)
    drawn = runs[0].config["agent"] == AGENTS[SOFT].agent
    result: dict[str, Any] = {}
    for name, sample in ({"judged": True, "mode": False} if drawn else {"judged": False}).items():
        played = [
            paths_of(each, EPISODES, sample=sample, seed=seed, observe=observe)
            for each, seed in zip(runs, seeds, strict=True)
        ]
        returns = [float(np.mean(rewards)) for *_, rewards in played]
        result[name] = describe(body, [paths for paths, *_ in played]) | {"returns": returns}
    return result


def describe(body: Body, runs: Sequence[Float[np.ndarray, "episode time entry"]]) -> dict[str, Any]:
    """Return the gait of each run, the distances of those that walk, and what is drawn of their first episodes."""
    every = [gaits_of(body, paths) for paths in runs]
    walks = [float(walking.mean()) for _, walking in every]
    counted = [i for i, share in enumerate(walks) if share >= WALKING]
    gaits = [every[i][0] for i in counted]
    means = mean_distances(gaits)
    return {
        "walks": walks,
        "counted": counted,
        "excess": excess(means["all"]),
        "within": np.diag(means["all"]),
        "between": {part: between(each) for part, each in means.items()},
        "within_by_part": {part: mean_of(np.diag(each)) for part, each in means.items()},
        "gaits": [summary(each) for each, _ in every],
        "shown": [shown(body, paths) for paths in runs],
        "dt": body.dt,
    }


def between(means: Float[np.ndarray, "run run"]) -> float | None:
    """Return the mean distance of two runs."""
    return mean_of(means[np.triu_indices(len(means), 1)])


def mean_of(values: Float[np.ndarray, " value"]) -> float | None:
    """Return the mean; None of no values."""
    return float(np.mean(values)) if len(values) else None


def summary(gaits: Gaits) -> dict[str, Any] | None:
    """Return the mean gait of a run as numbers: phases in shares of a stride; None if it never walks."""
    if not len(gaits.duty):
        return None
    phase = gaits.phase.mean(axis=0)
    return {
        "duty": gaits.duty.mean(axis=0).round(3),
        "phase": np.round(np.mod(np.angle(phase) / (2 * np.pi), 1.0), 3),
        "frequency": round(float(np.median(gaits.frequency)), 3),
        "joints": gaits.joints.mean(axis=0).round(3),
        "height": round(float(gaits.torso[:, 0].mean()), 3),
        "tilt": round(float(gaits.torso[:, 1].mean()), 3),
    }


def shown(body: Body, paths: Float[np.ndarray, "episode time entry"]) -> dict[str, Any]:
    """Return contacts [time, foot] and poses [picture, qpos] of the longest episode, after its warm-up."""
    feet = len(body.feet)
    longest = paths[np.argmax(np.isfinite(paths[:, :, 0]).sum(axis=1))]
    first, count = round(WARM_UP / body.dt), round(FILM_SECONDS / body.dt)
    path = longest[np.isfinite(longest[:, 0])]
    path = path[min(first, max(len(path) - count, 0)) :][:count]
    every = max(1, round(1.0 / (FILM_RATE * body.dt)))
    return {
        "contacts": path[:, -feet:].astype(int),
        "poses": path[::every, : -feet - 2].astype(float).round(3),
        "seconds_per_pose": every * body.dt,
    }


def compare(tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return, as means over tasks with 95 % intervals, the excess of both agents and the soft one's minus the other's.

    An interval is None unless each agent has at least `MIN_SEEDS` walking runs on every task.
    """
    soft, hard = ([np.asarray(t["arms"][name]["judged"]["excess"]) for t in tasks] for name in (SOFT, DETERMINISTIC))
    enough = all(len(each) >= MIN_SEEDS for each in (*soft, *hard))
    few = {"mean": None, "low": None, "high": None}
    if not enough:
        return {"differs": {SOFT: few, DETERMINISTIC: few}, "difference": few}
    rng = np.random.default_rng(0)
    drawn = {name: resampled(each, rng) for name, each in ((SOFT, soft), (DETERMINISTIC, hard))}
    exact = {name: mean_of_pairs(each) for name, each in ((SOFT, soft), (DETERMINISTIC, hard))}
    return {
        "differs": {name: interval(exact[name], drawn[name]) for name in drawn},
        "difference": interval(exact[SOFT] - exact[DETERMINISTIC], drawn[SOFT] - drawn[DETERMINISTIC]),
    }


def mean_of_pairs(matrices: Sequence[Float[np.ndarray, "run run"]]) -> float:
    """Return the mean over pairs of runs, and over tasks."""
    return float(np.mean([each[np.triu_indices(len(each), 1)].mean() for each in matrices]))


def resampled(
    matrices: Sequence[Float[np.ndarray, "run run"]], rng: np.random.Generator
) -> Float[np.ndarray, " resample"]:
    """Return `mean_of_pairs` of runs that are drawn with replacement within each task.

    A run that is drawn twice forms no pair with itself; a draw of one run only counts as the mean of all.
    """
    means = []
    for matrix in matrices:
        picks = rng.integers(len(matrix), size=(RESAMPLES, len(matrix)))
        apart = picks[:, :, None] != picks[:, None, :]
        pairs = np.sum(matrix[picks[:, :, None], picks[:, None, :]] * apart, axis=(1, 2))
        count = apart.sum(axis=(1, 2))
        means.append(np.where(count, pairs / np.maximum(count, 1), mean_of_pairs([matrix])))
    return np.asarray(np.mean(means, axis=0))


def interval(value: float, drawn: Float[np.ndarray, " resample"]) -> dict[str, float]:
    """Return a number with the middle 95 % of its resamples."""
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"mean": value, "low": float(low), "high": float(high)}


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    differs, difference = numbers["differs"][DETERMINISTIC], numbers["difference"]
    if difference["low"] is None:
        return "undecided"
    return decide(
        supported=differs["low"] > 0 and difference["high"] < 0,
        refuted=differs["high"] <= 0 or difference["low"] > 0,
    )


MADE_UP = Body((0, 1), 2, 0, (1, 2), np.array([[-1.0, 1.0]] * 2), 1.0, 0.05)
"""The body of the control: two feet and two joints."""
Style = tuple[float, float, float, float]
OWN: tuple[Style, ...] = ((0.1, 0.3, 1.5, -0.4), (0.5, 0.5, 2.0, 0.0), (0.3, 0.7, 2.6, 0.2), (0.7, 0.4, 3.1, 0.5))
"""Made-up gaits: the second foot's phase and the feet's duty, as shares, strides a second, and the joints' angle."""


def made_up(rng: np.random.Generator, body: Body, style: Style) -> Float[np.ndarray, "episode time entry"]:
    """Return made-up episodes of ten seconds, each from a random moment of the stride."""
    lag, duty, frequency, angle = style
    count = round(10.0 / body.dt)
    stride = rng.uniform(size=(EPISODES, 1)) + frequency * body.dt * np.arange(count)

    def noise() -> np.ndarray:
        return np.asarray(rng.normal(0.0, 0.02, stride.shape))

    joints = [angle + 0.3 * np.sin(2 * np.pi * (stride - shift)) + noise() for shift in (0.0, lag)]
    feet = [(np.mod(stride - shift + noise(), 1.0) < duty).astype(float) for shift in (0.0, lag)]
    forward, level = np.broadcast_to(2.0 * body.dt * np.arange(count), stride.shape), np.ones(stride.shape)
    return np.stack([forward, *joints, body.height * level, level, *feet], axis=-1)


def control() -> ControlResult:
    """Judge made-up walkers: gaits that differ between the seeds of one agent, of none and of both."""
    rng, same = np.random.default_rng(0), (OWN[0],) * len(OWN)
    cases: dict[str, tuple[Sequence[Style], Sequence[Style]]] = {
        "deterministic": (same, OWN),
        "none": (same, same),
        "both": (OWN, OWN),
        "soft": (OWN, same),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, kinds in cases.items():
        arms = {
            agent: {"judged": describe(MADE_UP, [made_up(rng, MADE_UP, style) for style in styles])}
            for agent, styles in zip((SOFT, DETERMINISTIC), kinds, strict=True)
        }
        found[name] = compare([{"arms": arms}])
        found[name]["verdict"] = judge(found[name])
    expected = {"deterministic": "supported", "none": "undecided", "both": "undecided", "soft": "refuted"}
    seen = all(found[name]["verdict"] == verdict for name, verdict in expected.items())
    return ControlResult(seen=seen, numbers=found)


STUDY = Study(
    name="gaits",
    claim="Trained with another seed, a deterministic policy walks in another way, a soft one less so.",
    criterion=(
        "The excess of two runs is the mean distance of an episode of one and one of the other, less that of two "
        "episodes of the same run. Supported if it is above 0 for the deterministic agent, and smaller for the soft "
        "one (95 % intervals over seeds, means over tasks). Refuted if the deterministic agent's is 0 or less, or the "
        "soft one's is larger (intervals likewise). Undecided unless each agent has at least "
        f"{MIN_SEEDS} runs that walk on every task: forward, in {WALKING:.0%} of their episodes."
    ),
    look=(
        "Left: when the feet of every seed touch the ground, for both agents; rows of bars that look alike are the "
        "same gait. Third: how far two episodes are apart, of two seeds and of one seed. Right: what two seeds differ "
        "by beyond that; the claim needs the deterministic agent's to be above 0, and the difference below 0."
    ),
    run=run,
    judge=judge,
    power=difference_power(
        effect="Two seeds of the deterministic agent have different gaits, two seeds of the soft one less different.",
        measure="the difference of the mean excess of two seeds",
        case=(
            "made-up walkers whose gaits differ between the seeds of the deterministic agent only; with those of none, "
            "of both, and of the soft agent only it must not be supported"
        ),
        control=control,
    ),
    exact=False,
)
