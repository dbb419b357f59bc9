"""The figure of the study `performance`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from entrax.report.curve import COLOURS, INK, steps_text

Numbers = Mapping[str, Any]
PANELS = 8
TASKS = 4  # panels of learning curves


def performance(axes: Any, numbers: Numbers) -> None:
    """Draw learning curves, what is judged, and the task where maximum entropy hurts."""
    colours = dict(zip(numbers["agents"], COLOURS, strict=False))
    for axis, task in zip(axes, numbers["tasks"], strict=False):
        draw_curves(axis, task, numbers["curves"][task["env"]], colours)
        axis.axvspan(*numbers["judged"], color=INK, alpha=0.06, linewidth=0)
    axes[0].legend(frameon=False, fontsize=8)
    for axis in (*axes[len(numbers["tasks"]) : TASKS], *axes[TASKS + 3 :]):
        axis.set_visible(False)
    draw_intervals(axes[TASKS], numbers["pooled"], colours)
    axes[TASKS].set_title("normalised return of the last quarter\n(interquartile mean, 95 %)", loc="left", fontsize=10)
    draw_intervals(axes[TASKS + 1], numbers["improvement"], colours)
    axes[TASKS + 1].axvline(0.5, color=INK, linewidth=0.8, linestyle=":")
    axes[TASKS + 1].set_xlim(-0.03, 1.03)
    title = "probability that SAC has a better\nlast quarter, 95 % interval"
    axes[TASKS + 1].set_title(title, loc="left", fontsize=10)
    draw_precision(axes[TASKS + 2], numbers["precision"])


def draw_curves(axis: Any, task: Mapping[str, Any], curves: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    """Draw the learning curves of one task, and the reference return if it is not far above them."""
    for name, band in curves.items():
        axis.plot(band["steps"], band["value"], color=colours[name], label=name)
        axis.fill_between(band["steps"], band["low"], band["high"], color=colours[name], alpha=0.15, linewidth=0)
    near = task["reference"] <= 3 * max(max(band["high"]) for band in curves.values())
    if near:
        axis.axhline(task["reference"], color=INK, linewidth=0.8, linestyle=":")
    axis.set_xlabel("environment steps")
    axis.xaxis.set_major_formatter(lambda at, _: steps_text(at))
    reference = "dotted: reference" if near else f"reference {task['reference']:,.0f}"
    title = f"{task['env']}: return of the mode\n(interquartile mean, 95 %; {reference})"
    axis.set_title(title, loc="left", fontsize=10)


def draw_intervals(axis: Any, estimates: Mapping[str, Mapping[str, float]], colours: Mapping[str, str]) -> None:
    """Draw an estimate and its interval for each agent, one below the other."""
    for height, (name, each) in enumerate(estimates.items()):
        axis.plot([each["low"], each["high"]], [height] * 2, color=colours[name])
        axis.plot(each["value"], height, "o", color=colours[name])
    axis.set(yticks=range(len(estimates)), ylim=(len(estimates) - 0.5, -0.5))
    axis.set_yticklabels(list(estimates), fontsize=8)


def draw_precision(axis: Any, precision: Mapping[str, Any]) -> None:
    """Draw the success of the exact soft optimum over temperature, for each precision."""
    temperatures = np.array(precision["temperatures"])
    for row, colour in zip(precision["rows"], COLOURS, strict=False):
        label = f"{row['width']} of {precision['actions']} actions hold"
        axis.plot(temperatures, row["sampled"], color=colour, label=label)
        axis.plot(temperatures, row["mode"], "--", color=colour, linewidth=1.0)
        if row["learned"] is not None:
            axis.plot(row["learned"], row["at_learned"]["sampled"], "o", color=colour)
    axis.set(xscale="log", ylim=(-0.03, 1.03), xlabel="temperature α")
    title = "a beam, exact soft optimum: success\n(line: sampled, dashed: mode, disc: learned α)"
    axis.set_title(title, loc="left", fontsize=10)
    axis.legend(frameon=False, fontsize=7, loc="lower left")
