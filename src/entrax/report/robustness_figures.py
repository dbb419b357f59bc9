"""The figures of the studies `robustness` and `reward-robustness`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from entrax.environments.maze import PLUGS
from entrax.report.curve import COLOURS, INK
from entrax.report.passage_figures import draw_plan

Numbers = Mapping[str, Any]
PANELS = 8
STYLES = {
    "soft": ("soft, sampled", COLOURS[0]),
    "soft, mode": ("soft, mode", COLOURS[3]),
    "twin": ("hard twin", COLOURS[2]),
    "td3": ("TD3", COLOURS[1]),
}
SIDES = ("left", "right")


def robustness(axes: Any, numbers: Numbers) -> None:
    """Draw the quick or the full form of the study."""
    drawn = (_passages if numbers["form"] == "passages" else _bodies)(axes, numbers)
    for axis in axes[drawn:]:
        axis.set_visible(False)


def _passages(axes: Any, numbers: Numbers) -> int:
    """Draw paths with the preferred passage closed, and what every seed keeps; return the number of panels."""
    arms = numbers["arms"]
    for axis, (name, (label, colour)) in zip(axes, STYLES.items(), strict=False):
        draw_plan(axis, 1.0)
        (x0, y0), (x1, y1) = PLUGS[SIDES.index(arms[name]["starts"][0]["preferred"][0])]
        axis.fill([x0, x1, x1, x0], [y0, y0, y1, y1], color=COLOURS[4])
        paths = np.array(arms[name]["paths"], float)
        for path in paths:
            axis.plot(path[:, 0], path[:, 1], color=colour, linewidth=0.7, alpha=0.5)
        axis.set_title(
            f"{label}, one start of the first seed:\npreferred passage closed (orange)", loc="left", fontsize=10
        )
    for axis, key, title in (
        (axes[4], "arrived", "share of episodes at the goal,\npreferred passage closed"),
        (axes[5], "kept", "return, relative to both open,\npreferred passage closed"),
        (axes[6], "nominal", "return, both open"),
        (axes[7], "lesser", "share of the lesser passage\nover all starts, both open"),
    ):
        _dots(axis, {name: (arm[key], arm["matched"]) for name, arm in arms.items()})
        axis.set_title(title, loc="left", fontsize=10)
    axes[6].set_ylim(0, None)
    axes[4].set_xlabel("hollow: a seed whose return does not match")
    return PANELS


def _bodies(axes: Any, numbers: Numbers) -> int:
    """Draw areas by family on every task, and the differences; return the number of panels."""
    for axis, (env, task) in zip(axes, numbers["tasks"].items(), strict=False):
        families = list(task["arms"]["soft"]["areas"])
        for place, (name, (label, colour)) in enumerate(STYLES.items()):
            areas = {family: np.array(each, float) for family, each in task["arms"][name]["areas"].items()}
            at = np.arange(len(areas)) + 0.18 * (place - 1.5)
            for x, values in zip(at, areas.values(), strict=True):
                axis.plot(np.full(len(values), x), values, ".", color=colour, alpha=0.5)
            axis.plot(at, [np.median(each) for each in areas.values()], "_", color=colour, markersize=8, label=label)
        axis.set_xticks(range(len(families)), [each.replace("_", "\n") for each in families], fontsize=6)
        counts = ", ".join(f"{len(each)} pairs with {STYLES[other][0]}" for other, each in task["pairs"].items())
        axis.set_title(f"{env}: area by family\n({counts})", loc="left", fontsize=9)
    axes[0].legend(frameon=False, fontsize=8)
    axis = axes[len(numbers["tasks"])]
    rows = {"all families": numbers["differences"]["perturbed"]} | numbers["by_family"]
    for height, each in enumerate(rows.values()):
        for shift, (other, found) in enumerate(each.items()):
            if found is not None:
                colour, y = STYLES[other][1], height + 0.25 * shift
                axis.plot([found["low"], found["high"]], [y, y], color=colour)
                axis.plot(found["value"], y, "o", color=colour, markersize=4)
    axis.set(yticks=range(len(rows)), ylim=(len(rows) - 0.3, -0.7))
    axis.set_yticklabels([each.replace("_", " ") for each in rows], fontsize=8)
    axis.axvline(0, color=INK, linewidth=0.8, linestyle=":")
    axis.set_title("soft above twin and TD3: area,\npairs of equal return, 95 %", loc="left", fontsize=10)
    return len(numbers["tasks"]) + 1


def _dots(axis: Any, arms: Mapping[str, Any]) -> None:
    """Draw a dot for each seed of each arm, hollow if it does not match."""
    for place, (name, (values, matched)) in enumerate(arms.items()):
        at, y, full = place + np.linspace(-0.2, 0.2, len(values)), np.array(values, float), np.array(matched, bool)
        for shown, fill in ((full, "full"), (~full, "none")):
            axis.plot(at[shown], y[shown], "o", color=STYLES[name][1], markersize=5, fillstyle=fill)
    axis.set_xticks(range(len(arms)), [STYLES[name][0].replace(", ", ",\n") for name in arms])


def reward_robustness(axes: Any, numbers: Numbers) -> None:
    """Draw the sets of rewards, errors of the identity, worst cases over the temperature, and changed dynamics."""
    for each, colour in zip(numbers["sets"], COLOURS, strict=False):
        axes[0].plot(each["first"], each["second"], color=colour, label=f"α = {each['alpha']:g}")
        axes[0].plot(*np.transpose(each["found"]), "o", color=colour, markersize=4)
    axes[0].axhline(0, color=INK, linewidth=0.6)
    axes[0].axvline(0, color=INK, linewidth=0.6)
    axes[0].set(xlim=(-1.6, 0.8), ylim=(-1.6, 0.8), aspect="equal")
    axes[0].set(xlabel="the first of two rewards is lower by", ylabel="the second is lower by")
    axes[0].set_title("the set's edge; found for five policies (dots)", loc="left", fontsize=10)
    axes[0].legend(frameon=False, fontsize=8)
    names = list(numbers["rows"][0]["policies"])
    for row in numbers["rows"]:
        for place, name in enumerate(names):
            each = row["policies"][name]
            apart = [abs(each[key] - each["formula"]) / row["scale"] for key in ("found", "found_averaged")]
            axes[1].plot([place - 0.1, place + 0.1], np.maximum(apart, 1e-17), ".", color=COLOURS[0], alpha=0.5)
    axes[1].set(yscale="log", ylim=(1e-17, 1e-3))
    axes[1].set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=7, rotation=30)
    axes[1].set_title("found worst case against the formula,\nin units of α/(1−γ)", loc="left", fontsize=10)
    curves = numbers["curves"]
    for place, (name, worst) in enumerate(curves["worst"].items()):
        look = {"linewidth": 2.4} if place == 0 else {"linestyle": "--"}
        axes[2].plot(curves["temperatures"], worst, color=COLOURS[place], label=name, **look)
    best = np.array(curves["worst"]["soft at α"], float)
    axes[2].set(xscale="log", xlabel="α, the size of the set", ylim=(best.min() - 3 * np.ptp(best), best.max() + 1.0))
    axes[2].set_title("worst return of one problem", loc="left", fontsize=10)
    axes[2].legend(frameon=False, fontsize=8)
    rows = [row for each in numbers["dynamics"] for row in each["rows"]]
    for place, name in enumerate(dict.fromkeys(row["policy"] for row in rows)):
        mine = [row for row in rows if row["policy"] == name]
        axes[3].plot([r["bound"] for r in mine], [r["found"] for r in mine], ".", color=COLOURS[place], label=name)
    top = max(row["found"] for row in rows)
    axes[3].plot([0, top], [0, top], color=INK, linewidth=0.8)
    axes[3].set(xlabel="maximum-entropy bound", ylabel="smallest return found", xlim=(0, None), ylim=(0, None))
    axes[3].set_title("changed dynamics: nothing below the line", loc="left", fontsize=10)
    axes[3].legend(frameon=False, fontsize=8)
