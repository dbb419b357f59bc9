"""The figure of the study `z-learning`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from entrax.report.curve import COLOURS, INK, steps_text

Numbers = Mapping[str, Any]
PANELS = 3
SMALLEST = 1e-7  # the end of the logarithmic axis: 32-bit floats do not resolve less
STYLES = {
    "z-learning": (0, "-", "Z-learning"),
    "q-learning": (1, "-", "Q-learning, random moves"),
    "greedy z-learning": (0, "--", "greedy Z-learning"),
    "greedy q-learning": (1, "--", "Q-learning, ε-greedy"),
}


def z_learning(axes: Any, numbers: Numbers) -> None:
    """Draw errors over transitions with and without slips, and the final ratios of every maze."""
    for axis, (name, errors) in zip(axes, numbers["errors"].items(), strict=False):
        for learner, (colour, line, label) in STYLES.items():
            courses = np.maximum(errors[learner], SMALLEST)
            axis.plot(numbers["transitions"], np.median(courses, axis=0), line, color=COLOURS[colour], label=label)
            low, high = np.percentile(courses, [25, 75], axis=0)
            axis.fill_between(numbers["transitions"], low, high, color=COLOURS[colour], alpha=0.12, linewidth=0)
        axis.set(yscale="log", xlabel="transitions")
        axis.xaxis.set_major_formatter(lambda at, _: steps_text(at))
        axis.set_title(f"error of the cost to the goal, {name}\n(median and middle half of mazes)", loc="left")
    axes[0].legend(frameon=False, fontsize=8)
    for place, summary in enumerate(numbers["ratios"].values()):
        ratio = np.array(summary["values"])
        axes[2].plot(ratio, place + np.linspace(-0.2, 0.2, len(ratio)), ".", color=COLOURS[0], alpha=0.6)
        axes[2].plot(summary["median"], place, "|", color=COLOURS[1], markersize=26, markeredgewidth=2.5)
    axes[2].axvline(1.0, color=INK, linewidth=0.8, linestyle=":")
    axes[2].set(xscale="log", yticks=range(2), yticklabels=["random", "greedy"], ylim=(-0.6, 1.6))
    axes[2].set_title("final error of Q-learning over Z-learning's,\nslips (dots: mazes, bar: median)", loc="left")
