"""The figures of the studies on linear-quadratic problems."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from entrax.report.curve import COLOURS, INK

Numbers = Mapping[str, Any]
OPTIMISM_PANELS = LEARNED_PANELS = MOTOR_PANELS = 4


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


def learned_regulator(axes: Any, numbers: Numbers) -> None:
    """Draw drawn actions, mean actions and values along one state, and the errors of every seed."""
    grid, enough = np.array(numbers["grid"]), numbers["enough"]
    line = np.flatnonzero(grid[:, 1] == 0)
    for place, (name, agent) in enumerate(numbers["agents"].items()):
        colour, exact = COLOURS[place], agent["exact"]
        axes[0].plot(*np.array(agent["drawn"]).T, ".", color=colour, markersize=2, alpha=0.4, label=name)
        axes[0].plot(*ellipse(np.array(exact["covariance"])), color=colour, linewidth=1.5)
        for seed, (means, values) in enumerate(zip(agent["means"], agent["values"], strict=True)):
            label = None if seed else name
            axes[1].plot(
                grid[line, 0], np.array(means)[line, 1], "o", color=colour, markersize=4, alpha=0.6, label=label
            )
            axes[2].plot(grid[line, 0], np.array(values)[line], "o", color=colour, markersize=4, alpha=0.6, label=label)
        axes[2].plot(grid[line, 0], np.array(exact["value"])[line], color=colour)
        for at, measure in enumerate(enough):
            values = agent["errors"][measure]["values"]
            axes[3].plot(
                np.full(len(values), at + 0.3 * place - 0.15), values, "o", color=colour, markersize=4, alpha=0.7
            )
    exact = numbers["agents"]["sac"]["exact"]
    gain = np.array(exact["gain"])
    axes[1].plot(grid[line, 0], -gain[1, 0] * grid[line, 0], color=INK, label="exact")
    axes[0].set(xlabel="first action", ylabel="second action", aspect="equal")
    axes[0].set_title("actions at x = 0, first seed\n(ellipses: exact, two deviations)", loc="left", fontsize=10)
    axes[1].set(xlabel="first state (the second is 0)", ylabel="mean of the second action")
    axes[1].set_title("mean action of every seed", loc="left", fontsize=10)
    middle = np.array(exact["value"])
    axes[1].set_ylim(-0.6, 0.6)
    axes[2].set_ylim(middle.min() - 1.5, middle.max() + 1.5)
    axes[2].set(xlabel="first state (the second is 0)", ylabel="soft value")
    axes[2].set_title(
        "soft value of every seed (lines: exact;\nseeds far off are only in the last panel)", loc="left", fontsize=10
    )
    for at, most in enumerate(enough.values()):
        axes[3].plot([at - 0.35, at + 0.35], [most, most], color=INK, linewidth=2)
    axes[3].set(xticks=range(len(enough)), xticklabels=list(enough), yscale="log", ylabel="relative error")
    axes[3].set_title("errors of every seed (marks: largest\nmedian at which the claim holds)", loc="left", fontsize=10)
    for axis in axes[:3]:
        axis.legend(frameon=False, fontsize=8)


def motor_variability(axes: Any, numbers: Numbers) -> None:
    """Draw ends of two effectors, a mass's deviation over time, and spread and effort in every task."""
    example, arms = numbers["example"], dict(zip(("tracker", "optimum"), (COLOURS[1], COLOURS[0]), strict=True))
    axes[0].plot([-6, 6], [6, -6], color=INK, linewidth=0.8, label="sums of 0")
    for name, colour in arms.items():
        axes[0].plot(*np.array(example["effectors"][name]).T, ".", color=colour, markersize=4, alpha=0.6, label=name)
        axes[1].plot(example["times"], example["via"][name], color=colour, label=name)
    for time in example["via_times"]:
        axes[1].axvline(time, color=INK, linestyle="--", linewidth=1)
    axes[0].set(xlabel="first effector", ylabel="second effector", xlim=(-6, 6), ylim=(-6, 6), aspect="equal")
    axes[0].set_title("episodes' ends; only the sum matters", loc="left", fontsize=10)
    axes[1].set(xlabel="time", ylabel="deviation from the mean movement", ylim=(0, None))
    axes[1].set_title("a mass with three via-points (dashed)", loc="left", fontsize=10)
    for place, rows in enumerate(numbers["rows"].values()):
        for name, colour in arms.items():
            spread = [row["spread"][name] for row in rows]
            axes[2].plot(np.full(len(rows), place) + np.linspace(-0.1, 0.1, len(rows)), spread, "o", color=colour)
        best, worse = (np.array([row["effort"][name] for row in rows]) for name in ("optimum", "tracker"))
        axes[3].plot(best, worse, "os"[place % 2], color=COLOURS[2 + place], label=list(numbers["rows"])[place])
    axes[2].axhline(1.0, color=INK, linewidth=0.8, linestyle=":")
    axes[2].set(yscale="log", xticks=[0, 1], xticklabels=list(numbers["rows"]), xlim=(-0.5, 1.5))
    axes[2].set_title("variance where it does not matter\nover that where it does", loc="left", fontsize=10)
    axes[3].axline((1, 1), slope=1, color=INK, linewidth=0.8, label="equal effort")
    axes[3].set(xscale="log", yscale="log", xlabel="effort of the optimum", ylabel="effort of the tracker")
    axes[3].set_title("at the same task error", loc="left", fontsize=10)
    for axis in (axes[0], axes[1], axes[3]):
        axis.legend(frameon=False, fontsize=8)


def ellipse(covariance: Any, deviations: float = 2.0) -> Any:
    """Return the points [2, point] of a Gaussian's ellipse around 0."""
    angle = np.linspace(0, 2 * np.pi, 100)
    return deviations * np.linalg.cholesky(covariance) @ np.stack([np.cos(angle), np.sin(angle)])
