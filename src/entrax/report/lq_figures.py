"""The figures of the studies on linear-quadratic problems."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from entrax.report.curve import COLOURS, INK

Numbers = Mapping[str, Any]
OPTIMISM_PANELS = 4


def lq_optimism(axes: Any, numbers: Numbers) -> None:
    """Draw beliefs and truth, the optimism over noise and temperature, and returns."""
    names = {
        "believed": "the exact posterior's belief",
        "true": "what its policy does",
        "maximum entropy": "the maximum-entropy policy",
    }
    for place, (name, label) in enumerate(names.items()):
        mean, deviation = (np.array(numbers["scalar"][name][key]) for key in ("mean", "deviation"))
        time, colour = np.arange(len(mean)), COLOURS[place]
        axes[0].plot(time, mean, color=colour, label=label)
        axes[0].fill_between(time, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
    axes[0].set(xlabel="step", ylabel="state x (mean ± deviation)")
    axes[0].set_title("belief and truth: x' = x + u + noise", loc="left", fontsize=10)
    axes[0].legend(frameon=False, fontsize=8)

    noises, temperatures = np.array(numbers["noises"]), np.array(numbers["temperatures"])
    for place, row in enumerate(numbers["rows"]):
        colour = COLOURS[place % len(COLOURS)]
        axes[1].plot(noises, [each["optimism"] for each in row["over_noise"]], "o-", color=colour, markersize=3)
        optimism = [each["optimism"] for each in row["over_temperature"]]
        caution = np.array([np.nan if each is None else each for each in row["twin"]], float)
        first = place == 0
        axes[2].plot(temperatures, optimism, "-", color=colour, label="optimism" if first else None)
        axes[2].plot(temperatures, caution, "--", color=colour, label="caution of the twin" if first else None)
        axes[2].axvline(row["breakdown"], color=colour, linewidth=0.8, linestyle=":")
    axes[1].set(xlabel="noise, times the problem's", ylabel="optimism, in units of cost")
    axes[1].set_title("no noise, no optimism\n(lines: problems)", loc="left", fontsize=10)
    axes[2].set(xscale="log", yscale="log", xlabel="temperature α", ylabel="in units of cost")
    axes[2].set_title(
        "optimism falls with α; dotted: below this α\nthe risk-averse twin is infinite", loc="left", fontsize=10
    )
    axes[2].legend(frameon=False, fontsize=8)

    lines = (
        ("evidence", "-", COLOURS[0], "believed: α log evidence"),
        ("soft_exact", "-", COLOURS[1], "earned by the exact posterior's policy"),
        ("soft_variational", "-", COLOURS[2], "earned by the maximum-entropy policy"),
        ("bound", "o", INK, "the bound, α ELBO"),
    )
    for key, line, colour, label in lines:
        values = [each[key] for each in numbers["rows"][0]["over_noise"]]
        axes[3].plot(noises, values, line, color=colour, label=label, markersize=4, fillstyle="none")
    axes[3].set(xlabel="noise, times the problem's", ylabel="return with entropy, in units of cost")
    axes[3].set_title("believed and earned, first problem", loc="left", fontsize=10)
    axes[3].legend(frameon=False, fontsize=8, loc="lower left")
