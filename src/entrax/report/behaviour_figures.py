"""The figures of the studies `any-direction` and `fine-tuning`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from entrax.report.curve import COLOURS, INK, steps_text

Numbers = Mapping[str, Any]


def any_direction(axes: Any, numbers: Numbers) -> None:
    """Draw paths of the first seed of the two agents that are judged, and every seed's headings of all."""
    kinds = (("soft", COLOURS[0], "sampled"), ("deterministic", COLOURS[1], "mode"))
    beside = (("sac", COLOURS[2]), ("td3", COLOURS[3]))
    starts = {kind: np.array(numbers[kind]["paths"], float) for kind, *_ in kinds}
    paths = {kind: each - each[:, :1] for kind, each in starts.items()}
    reach = 1.05 * max(np.nanmax(np.abs(each)) for each in paths.values())
    for axis, (kind, colour, how) in zip(axes, kinds, strict=False):
        for path in paths[kind]:
            axis.plot(path[:, 0], path[:, 1], color=colour, linewidth=0.7, alpha=0.5)
        axis.plot(0, 0, "o", color=INK, markersize=4)
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axis.set_title(f"{numbers[kind]['agent']}, {how}: {len(paths[kind])} episodes of seed 0", loc="left")
    row = 0
    for kind, colour in [*(each[:2] for each in kinds), *beside]:
        result = numbers[kind]
        for headings, taken in zip(result["headings"], result["sectors"]["values"], strict=True):
            axes[2].plot(headings, np.full(len(headings), row), "|", color=colour, markersize=9, alpha=0.6)
            axes[2].text(188, row, f"{taken:g} sectors", va="center", fontsize=8, color=colour)
            row += 1
    axes[2].set(xlim=(-182, 182), xticks=range(-180, 181, 90), yticks=[], ylim=(row - 0.4, -0.6))
    axes[2].set_xlabel("heading of an episode, degrees")
    agents = ", ".join(numbers[kind]["agent"] for kind in ("soft", "deterministic", "sac", "td3"))
    axes[2].set_title(f"headings of every seed, and sectors taken\n({agents}, from above)", loc="left")


def fine_tuning(axes: Any, numbers: Numbers) -> None:
    """Draw returns in the hallway, the steps that every run needs, and their ratios."""
    agents = {arm: each["agent"] for arm, each in numbers["agents"].items()}
    names = agents | {"low": f"{agents['low']}, low α", "scratch": f"{agents['scratch']}\nfrom scratch"}
    colours = dict(zip(agents, COLOURS, strict=False))
    for place, (arm, colour) in enumerate(colours.items()):
        label, steps = names[arm], np.array(numbers["steps"])
        share = np.array(numbers["returns"][arm]) / np.array(numbers["target"])[:, None]
        low, middle, high = np.percentile(share.reshape(-1, len(steps)), [25, 50, 75], axis=0)
        axes[0].plot(steps, middle, color=colour, label=label)
        axes[0].fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        needed = np.array(numbers["needed"][arm])
        spread = place + np.linspace(-0.25, 0.25, needed.shape[1])
        axes[1].plot(np.tile(spread, len(needed)), needed.ravel(), ".", color=colour, alpha=0.7)
        axes[1].plot(place, numbers["per_seed"][arm]["median"], "_", color=INK, markersize=28, markeredgewidth=2)
    axes[0].axhline(1, color=INK, linewidth=0.8, linestyle=":")
    axes[0].set(xlabel="steps in the hallway", ylim=(min(-0.1, axes[0].get_ylim()[0]), None))
    axes[0].xaxis.set_major_formatter(lambda at, _: steps_text(at))
    axes[0].set_title("return, relative to the target\n(median and middle half of runs)", loc="left")
    axes[0].legend(frameon=False, fontsize=8)
    axes[1].set(yscale="log", xticks=range(len(names)), xticklabels=list(names.values()))
    axes[1].tick_params(axis="x", labelsize=8)
    _plain(axes[1].yaxis)
    axes[1].set_title("steps to the target (dots: runs, by\ndirection; bar: median seed)", loc="left")
    for place, (arm, ratio) in enumerate(numbers["ratios"].items()):
        error = [[ratio["value"] - ratio["low"]], [ratio["high"] - ratio["value"]]]
        axes[2].errorbar(ratio["value"], place, xerr=error, fmt="o", color=colours[arm], capsize=4)
    axes[2].axvline(1, color=INK, linewidth=0.8, linestyle=":")
    axes[2].set(xscale="log", yticks=range(len(names) - 1), ylim=(len(names) - 1.5, -0.5))
    _plain(axes[2].xaxis)
    axes[2].set_yticklabels([names[arm] for arm in numbers["ratios"]])
    axes[2].set_title(f"ratio of the steps to those of {names['soft']}\n(95 % interval over seeds)", loc="left")


def _plain(axis: Any) -> None:
    """Label a logarithmic axis with plain numbers at 1, 2 and 5 times powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda at, _: steps_text(at))
    axis.set_minor_formatter(NullFormatter())
