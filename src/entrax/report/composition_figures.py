"""The figure of the study `composition`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from entrax.report.curve import COLOURS, INK

Numbers = Mapping[str, Any]


def composition(axes: Any, numbers: Numbers) -> None:
    """Draw paths of the first seed, returns of all arms, and the bound over the gap."""
    x, y = numbers["aim"]
    colours = dict(zip(("composed", "x alone", "y alone", "trained on both"), COLOURS, strict=False))
    for arm, colour in colours.items():
        if arm == "trained on both":
            continue
        for place, path in enumerate(np.array(numbers["paths"][arm], float)):
            axes[0].plot(*path.T, color=colour, linewidth=0.9, alpha=0.7, label=None if place else arm)
            axes[0].plot(*path[0], ".", color=INK, markersize=4)
    axes[0].axvline(x, color=INK, linewidth=0.8, linestyle=":")
    axes[0].axhline(y, color=INK, linewidth=0.8, linestyle=":")
    axes[0].set(xlabel="x", ylabel="y", aspect="equal")
    title = "the combined task, from above, seed 0\n(dot: start; dotted: the lines)"
    axes[0].set_title(title, loc="left", fontsize=10)
    axes[0].legend(frameon=False, fontsize=8)

    names = list(numbers["arms"])
    for place, arm in enumerate(names):
        result, colour = numbers["arms"][arm], colours.get(arm, COLOURS[5])
        axes[1].bar(place, result["median"], color=colour, alpha=0.35)
        axes[1].plot(place + np.linspace(-0.2, 0.2, len(result["values"])), result["values"], "o", color=colour, ms=4)
    axes[1].set_xticks(range(len(names)), [name.replace(" ", "\n", 1) for name in names], fontsize=8)
    axes[1].set_title("return in the combined task\n(bar: median, dots: seeds)", loc="left", fontsize=10)

    bound, gap = numbers["bound"], numbers["gap"]
    axes[2].errorbar(
        gap["value"], bound["value"], xerr=gap["error"], yerr=bound["error"], fmt="o", color=COLOURS[0], capsize=2
    )
    ends = [min([0.0, *gap["value"]]), max(bound["value"]) * 1.05]
    axes[2].plot(ends, ends, "-", color=INK, linewidth=0.8, label="the gap equals the bound")
    axes[2].axvline(0, color=INK, linewidth=0.8, linestyle=":")
    axes[2].set(xlabel="measured: trained on both, minus composed", ylabel="bound, estimated", ylim=(0, None))
    axes[2].set_title("discounted soft return lost\n(dots: seeds, ± standard error)", loc="left", fontsize=10)
    axes[2].legend(frameon=False, fontsize=8)
