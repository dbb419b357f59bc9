"""The figures of the studies, each drawn from its numbers alone."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from entrax.report.curve import COLOURS, INK

Numbers = Mapping[str, Any]
SMALLEST = 1e-17  # what a difference of 0 is drawn as on a logarithmic axis


def draw_study(outcome: Mapping[str, Any], path: Path) -> None:
    """Draw a study's outcome, as in its numbers.json, into a PNG at `path`."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    style: Any = {"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}
    with pyplot.rc_context(style | {"axes.edgecolor": "#999999"}):
        panels, draw = FIGURES[outcome["study"]]
        figure, axes = pyplot.subplots(1, panels, figsize=(4.6 * panels, 4.0), layout="constrained", squeeze=False)
        draw(axes[0], outcome["numbers"])
        for axis in axes[0]:
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.3, linewidth=0.6)
            axis.set_axisbelow(True)
        title = f"{outcome['study']}: {outcome['verdict']}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
        pyplot.close(figure)


def temperature_limit(axes: Any, numbers: Numbers) -> None:
    """Value gap, loss and disagreement over the temperature."""
    alpha = numbers["temperatures"]
    for place, (name, found) in enumerate(numbers["problems"].items()):
        lake = not name.startswith("random")
        colour = COLOURS[0] if lake else COLOURS[4]
        label = name if lake else ("random problems" if name == "random 0" else None)
        zorder = 5 - place
        axes[0].plot(
            alpha, np.maximum(found["value_gap"], 1e-9), "o-", color=colour, markersize=3, label=label, zorder=zorder
        )
        if name in ("FrozenLake", "random 0"):
            axes[0].plot(alpha, found["bound"], ":", color=colour, label=f"α log|A|/(1−γ), {label}")
        axes[1].plot(alpha, np.maximum(found["loss"], 1e-9), "o-", color=colour, markersize=3, zorder=zorder)
        axes[2].plot(alpha, np.maximum(found["policy_difference"], SMALLEST), "o-", color=colour, markersize=3)
    for axis in axes:
        axis.set(xscale="log", yscale="log", xlabel="temperature α")
        axis.invert_xaxis()
    axes[0].set_title("soft value above the hard one", loc="left")
    axes[0].legend(frameon=False, fontsize=8)
    axes[1].set_title("return given up\n(1: as much as the uniform policy gives up)", loc="left")
    axes[2].set_title("π at temperature α against π of r/α:\nlargest difference of a probability", loc="left")


def ties(axes: Any, numbers: Numbers) -> None:
    """Measured odds over the advantage, and the share of the hard plan."""
    rows = numbers["rows"]
    for place, alpha in enumerate(sorted({row["alpha"] for row in rows})):
        here = [row for row in rows if row["alpha"] == alpha]
        x = [row["advantage"] for row in here]
        y = [np.median(np.array(row["ascended"])[np.array(row["together"]) >= 0.01]) for row in here]
        look = {"color": COLOURS[place], "markersize": 10 - 3 * place, "fillstyle": "none", "label": f"α = {alpha:g}"}
        axes[0].plot(x, y, "so^Dv"[place % 5], **look)
    x = sorted({row["advantage"] for row in rows})
    axes[0].plot(x, x, "-", color=INK, linewidth=1, label="ε/α")
    axes[0].set(xlabel="advantage of the copy, ε/α", ylabel="log-odds of the copy")
    axes[0].set_title("numerical ascent of reward + α · entropy:\nthe odds follow the advantage", loc="left")
    axes[0].legend(frameon=False, fontsize=8)
    share = [np.mean(np.concatenate([row["hard_share"] for row in rows if row["advantage"] == each])) for each in x]
    planned = [np.mean(np.concatenate([row["planned"] for row in rows if row["advantage"] == each])) for each in x]
    soft = 1 / (1 + np.exp(-np.array(planned)))
    axes[1].plot(x, share, "s-", color=COLOURS[1], label="hard plan")
    axes[1].plot(x, soft, "o-", color=COLOURS[0], label="soft plan")
    axes[1].set(xlabel="advantage of the copy, ε/α", ylim=(0, 1.05))
    axes[1].set_title("share of the copy, of both", loc="left")
    axes[1].legend(frameon=False, fontsize=8)


FIGURES: dict[str, tuple[int, Callable[[Any, Numbers], None]]] = {
    "temperature-limit": (3, temperature_limit),
    "ties": (2, ties),
}
"""How many panels a study's figure has, and what draws them."""
