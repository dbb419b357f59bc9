"""The figures of the studies `two-passages` and `robustness`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.environments.maze import ANT_SCALE, GOAL, PLUGS, REACH, WALLS
from entrax.environments.perturb import FAMILIES
from entrax.report.curve import COLOURS, steps_text

Numbers = Mapping[str, Any]
STYLES = {
    "soft": (COLOURS[0], "-"),
    "soft, mode": (COLOURS[0], ":"),
    "twin": (COLOURS[2], "-"),
    "td3": (COLOURS[1], "-"),
}
LABELS = {"soft": "soft, sampled", "twin": "twin, α → 0", "td3": "TD3"}
CURVES = 4  # panels of curves


def two_passages(axes: Any, numbers: Numbers) -> None:
    """Draw paths of the first seed, shares of passages, and success with one closed."""
    kinds = (("soft", COLOURS[0], "sampled"), ("deterministic", COLOURS[1], "mode"))
    for place, (kind, colour, how) in enumerate(kinds):
        result = numbers[kind]
        _plan(axes[place], ANT_SCALE if numbers["body"] == "ant" else 1.0)
        for path in np.array(result["paths"], float):
            axes[place].plot(path[:, 0], path[:, 1], color=colour, linewidth=0.7, alpha=0.5)
        axes[place].set_title(f"{result['agent']}, {how}: {len(result['paths'])} rollouts of seed 0", loc="left")
        at = place + np.linspace(-0.3, 0.3, len(result["left"]))
        axes[2].bar(at, result["left"], width=0.1, color=colour, label=f"{result['agent']}, left")
        axes[2].bar(
            at, result["right"], 0.1, result["left"], color=colour, alpha=0.35, label=f"{result['agent']}, right"
        )
        courses = np.array(result["course"], float)
        middles = (np.arange(courses.shape[1]) + 0.5) * numbers["budget"] / courses.shape[1]
        for course in courses:
            axes[3].plot(middles, course, color=colour, linewidth=0.7, alpha=0.4)
        axes[3].plot(middles, _mean(courses), color=colour, linewidth=2.2, label=result["agent"])
    axes[2].set(xticks=[0, 1], xticklabels=[numbers[kind]["agent"] for kind, *_ in kinds], ylim=(0, 1.3))
    axes[2].set_title("passage taken first: a bar for each seed\n(rest: neither)", loc="left")
    axes[2].legend(frameon=False, fontsize=8, ncols=2, loc="upper center")
    axes[3].xaxis.set_major_formatter(lambda steps, _: steps_text(steps))
    axes[3].set(ylim=(-0.02, 1.02), xlabel="steps of training")
    axes[3].set_title("one passage closed: share of episodes\nof training that reach the goal", loc="left")
    axes[3].legend(frameon=False, fontsize=8)


def robustness(axes: Any, numbers: Numbers) -> None:
    """Draw relative returns, areas, returns with a passage closed, and recoveries."""
    arms = numbers["arms"]
    families = list(arms["soft"]["areas"])
    groups = {name.replace("_", " "): [name] for name in families}
    if len(families) > CURVES:
        groups = {}
        for name in families:
            groups.setdefault(f"of {FAMILIES[name].acts_on}", []).append(name)
    for axis, (title, members) in zip(axes, groups.items(), strict=False):
        for arm, (colour, line) in STYLES.items():
            curves = np.mean([np.array(arms[arm]["relative"][name], float) for name in members], axis=0)
            _band(axis, numbers["levels"], curves[_matched(arms[arm])], colour, line, LABELS.get(arm, arm))
        axis.set_title(title, loc="left")
        axis.set(xlabel="severity", ylim=(-0.35, 1.15))
    axes[0].set_ylabel("return, relative to unperturbed")
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    for axis, score, title in (
        (axes[CURVES], "perturbed", "area under these curves, mean of families"),
        (axes[CURVES + 1], "blocked", "relative return, favoured passage closed"),
    ):
        for place, (arm, (colour, _)) in enumerate(STYLES.items()):
            values = np.array(arms[arm][score], float)
            matched = _matched(arms[arm])
            at = place + np.linspace(-0.2, 0.2, len(values))
            axis.plot(at[matched], values[matched], "o", color=colour, markersize=5)
            axis.plot(at[~matched], values[~matched], "o", color=colour, markersize=5, fillstyle="none")
        axis.set(xticks=range(len(STYLES)), xticklabels=[LABELS.get(arm, arm).replace(", ", ",\n") for arm in STYLES])
        axis.set_title(title, loc="left", fontsize=10)
    axes[CURVES].set_xlabel("hollow: a seed that does not match")
    for axis, course, title in (
        (axes[CURVES + 2], "regained_blocked", "regained after a closed passage is seen"),
        (axes[CURVES + 3], "regained_wild", "regained after random actions"),
    ):
        for arm, (colour, line) in STYLES.items():
            matched = [each for each, ok in zip(arms[arm][course], _matched(arms[arm]), strict=True) if ok and each]
            if matched:
                _band(axis, range(len(matched[0])), np.array(matched, float), colour, line, LABELS.get(arm, arm))
        axis.set(xlabel="steps after", ylim=(-0.35, 1.05))
        axis.set_title(title, loc="left", fontsize=10)


def _plan(axis: Any, scale: float) -> None:
    """Draw walls, goal and the places of the plugs."""
    for colour, alpha, boxes in (("#8a8d95", 1.0, WALLS), (COLOURS[4], 0.25, PLUGS)):
        for (x0, y0), (x1, y1) in scale * boxes:
            axis.fill([x0, x1, x1, x0], [y0, y0, y1, y1], color=colour, alpha=alpha, linewidth=0)
    angle = np.linspace(0, 2 * np.pi, 60)
    x, y = scale * (np.array(GOAL)[:, None] + REACH * np.stack([np.cos(angle), np.sin(angle)]))
    axis.fill(x, y, color=COLOURS[2], alpha=0.4, linewidth=0)
    axis.set(aspect="equal")


def _matched(arm: Mapping[str, Any]) -> Any:
    return np.array(arm["matched"], bool)


def _mean(courses: Float[np.ndarray, "seed part"]) -> Float[np.ndarray, " part"]:
    """Return the mean over the seeds that have a number; NaN if none has."""
    known = np.isfinite(courses)
    count = known.sum(axis=0)
    return np.where(count, np.where(known, courses, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _band(axis: Any, x: Any, curves: Float[np.ndarray, "seed x"], colour: str, line: str, label: str) -> None:
    """Draw median and range over seeds."""
    if not len(curves):
        axis.plot([], [], line, color=colour, label=f"{label} (no seed matches)")
        return
    axis.plot(x, np.median(curves, axis=0), line, color=colour, label=label)
    if line == "-":
        axis.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.13, linewidth=0)
