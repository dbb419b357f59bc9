"""The figure of the study `sampled-collapse`."""

from collections.abc import Mapping
from typing import Any

from entrax.report.curve import COLOURS, INK, steps_text

Numbers = Mapping[str, Any]
PANELS = 4


def sampled_collapse(axes: Any, numbers: Numbers) -> None:
    """Draw entropy, return and success over steps, and the shares that reach the optimum, of every arm."""
    steps, agents = numbers["steps"], list(numbers["more_reached"])
    for place, arm in enumerate(numbers["arms"]):
        soft, colour = arm["temperature"] > 0, COLOURS[agents.index(arm["agent"])]
        line = "-" if soft else "--"
        label = f"{arm['agent']}, {'α = ' + format(arm['temperature'], 'g') if soft else 'without entropy'}"
        for axis, key in zip(axes, ("entropy", "returns"), strict=False):
            axis.plot(steps, arm[key]["median"], line, color=colour, label=label)
        axes[0].fill_between(
            steps, arm["entropy"]["low"], arm["entropy"]["high"], color=colour, alpha=0.12, linewidth=0
        )
        axes[2].plot(steps, arm["success"], line, color=colour)
        share = sum(arm["reached"]) / len(arm["reached"])
        axes[3].bar(place, share, color=colour, alpha=1.0 if soft else 0.45)
        axes[3].annotate(f"{share:.0%}", (place, share), ha="center", va="bottom", fontsize=9)
    axes[0].legend(frameon=False, fontsize=8)
    axes[0].set_title("entropy of the policy, nats\n(median and middle half of seeds)", loc="left", fontsize=10)
    axes[1].axhline(numbers["exact"]["optimum"], color=INK, linewidth=0.8, linestyle=":")
    axes[1].axhline(numbers["environment"]["near_reward"], color=INK, linewidth=0.8, linestyle=":")
    axes[1].set_title("return of drawn actions\n(median seed; dotted: both rewards)", loc="left", fontsize=10)
    axes[2].set_title("share of seeds whose mode\nreaches the far end", loc="left", fontsize=10)
    for axis in axes[:3]:
        axis.set_xlabel("environment steps")
        axis.xaxis.set_major_formatter(lambda at, _: steps_text(at))
    axes[3].set(xticks=range(len(numbers["arms"])), ylim=(0, 1.1))
    ticks = [f"{arm['agent']}\nα = {arm['temperature']:g}" for arm in numbers["arms"]]
    axes[3].set_xticklabels(ticks, fontsize=8)
    axes[3].set_title("share of seeds that end\nwith the optimal return", loc="left", fontsize=10)
