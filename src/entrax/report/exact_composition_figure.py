"""The figure of the study `exact-composition`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from entrax.report.curve import COLOURS, INK

Numbers = Mapping[str, Any]
PANELS = 4
SMALLEST = 1e-17  # stands for a loss of 0 on a logarithmic axis


def exact_composition(axes: Any, numbers: Numbers) -> None:
    """Draw the maps of two parts and of their composition, and what every way to mix loses."""
    example = numbers["example"]
    state, goals, places = (np.array(example[key]) for key in ("state", "goals", "places"))
    highest = max(np.max(each["cost"]) for each in example["maps"].values())
    for axis, (name, each) in zip(axes, example["maps"].items(), strict=False):
        cost, step = np.array(each["cost"]), np.array(each["step"])
        picture = np.where(state >= 0, cost[state], np.nan)
        axis.imshow(picture, cmap="viridis_r", vmin=0.0, vmax=highest)
        axis.quiver(places[:, 1], places[:, 0], step[:, 1], -step[:, 0], color="white", scale=12, width=0.006)
        axis.plot(goals[:, 1], goals[:, 0], "o", color=COLOURS[1], markersize=9, fillstyle="none", markeredgewidth=2)
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{name}\n(dark: dear, white: walls, circles: exits)", loc="left", fontsize=10)
    rows = numbers["rows"]
    names = list(rows[0]["loss"])
    for place, name in enumerate(names):
        lost = np.maximum(np.abs([row["loss"][name] for row in rows]), SMALLEST)
        axes[3].plot(lost, place + np.linspace(-0.25, 0.25, len(lost)), ".", color=COLOURS[0 if place == 0 else 1])
        axes[3].plot(np.median(lost), place, "|", color=INK, markersize=22, markeredgewidth=2.5)
    labels = [name.replace(" in every", "\nin every").replace(" of the", "\nof the") for name in names]
    axes[3].set(xscale="log", yticks=range(len(names)), xlabel="cost lost (1: as much as without control)")
    axes[3].set_yticklabels(labels, fontsize=8)
    axes[3].invert_yaxis()
    axes[3].set_title("dots: compositions, bar: median", loc="left", fontsize=10)
