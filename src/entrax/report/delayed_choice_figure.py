"""The figure of the study `delayed-choice`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from entrax.report.curve import COLOURS, INK

Numbers = Mapping[str, Any]
PANELS = 4


def delayed_choice(axes: Any, numbers: Numbers) -> None:
    """Draw cost and control at three times, controlled paths, and the time of the choice in every problem."""
    first, shown, example = numbers["rows"][0], numbers["shown"], numbers["example"]
    x, times = np.array(example["x"]), dict(zip(shown, ("early", "when it chooses", "late"), strict=True))
    for place, (left, when) in enumerate(times.items()):
        label = f"{when}: {left:g}/ν before the end"
        axes[0].plot(x, example["cost"][place], color=COLOURS[place], label=label)
        axes[1].plot(x, example["control"][place], color=COLOURS[place], label=label)
        sampled, error = (np.array(first[key][place]) for key in ("sampled", "standard_error"))
        axes[1].errorbar(numbers["places"], sampled, yerr=5 * error, fmt="o", color=COLOURS[place], markersize=4)
    axes[0].set(xlabel="place x", ylabel="cost to go, less that of the middle", ylim=(-1.1, 1.1))
    axes[0].set_title("one valley early, two late\n(targets at −1 and 1)", loc="left", fontsize=10)
    axes[0].legend(frameon=False, fontsize=8, loc="upper center")
    axes[1].axhline(0, color=INK, linewidth=0.8)
    axes[1].set(xlabel="place x", ylabel="control u", ylim=(-4, 4))
    axes[1].set_title("the control (line: grid; dots: sampled plans,\n± 5 standard errors)", loc="left", fontsize=10)

    for path in np.array(example["paths"]):
        axes[2].plot(example["times"], path, color=COLOURS[0 if path[-1] > 0 else 1], linewidth=0.6, alpha=0.7)
    for place, path in enumerate(np.array(example["calm"])):
        name = None if place else "the same control without noise"
        axes[2].plot(example["times"], path, color=INK, linewidth=1.8, label=name)
    axes[2].axvline(-first["time"], color=INK, linestyle="--", linewidth=1)
    axes[2].set(xlabel="time (0: the end)", ylabel="place x", ylim=(-3, 3.6))
    axes[2].set_title(f"paths in the colour of their target,\nν = {first['noise']:.2f}", loc="left", fontsize=10)
    axes[2].legend(frameon=False, fontsize=8, loc="upper left", borderaxespad=0)

    found, known = ([row[key] for row in numbers["rows"]] for key in ("time", "expected_time"))
    ends = [0.0, 1.05 * max(known)]
    axes[3].plot(ends, ends, color=INK, linewidth=0.8, label="(1 − σ²)/ν")
    axes[3].plot(known, found, "o", color=COLOURS[0], label="problems, on the grid")
    axes[3].set(xlabel="formula: (1 − σ²)/ν", ylabel="time before the end at which\nthe middle becomes unstable")
    axes[3].set_title("when the choice is made", loc="left", fontsize=10)
    axes[3].legend(frameon=False, fontsize=8)
