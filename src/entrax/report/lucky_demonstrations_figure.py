"""The figure of the study `lucky-demonstrations`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from entrax.report.curve import COLOURS, INK

Numbers = Mapping[str, Any]
PANELS = 3
_LEAST = 1e-12  # stands for no error on a logarithmic axis
_MODELS = (("causal", "causal"), ("not_causal", "not causal (Ziebart et al. 2008)"))


def lucky_demonstrations(axes: Any, numbers: Numbers) -> None:
    """Draw errors of weights and losses over the chance, and believed over demonstrated probabilities."""
    rows, chances = numbers["rows"], numbers["chances"]
    seeds = sorted({row["seed"] for row in rows})
    for place, (model, label) in enumerate(_MODELS):
        for number, seed in enumerate(seeds):
            here = [row for row in rows if row["seed"] == seed]
            look = {"color": COLOURS[place], "markersize": 3, "label": None if number else label}
            axes[0].plot(chances, np.maximum([row[f"{model}_error"] for row in here], _LEAST), "o-", **look)
            axes[1].plot(chances, [row[f"{model}_loss"] for row in here], "o-", **look)
        last = [row for row in rows if row["chance"] == chances[-1]]
        demonstrated, believed = (
            np.concatenate([np.ravel(row[key]) for row in last]) for key in ("policy", f"{model}_policy")
        )
        axes[2].plot(demonstrated, believed, "o", color=COLOURS[place], markersize=3, label=label)
    axes[0].set(yscale="log", xlabel="chance that an action goes astray", ylabel="relative error of the weights")
    axes[0].set_title("inferred weights", loc="left")
    axes[0].legend(frameon=False, fontsize=8)
    axes[1].set(xlabel="chance that an action goes astray", ylabel="1: as much as random actions lose")
    axes[1].set_title("return lost by planning with them", loc="left")
    axes[2].plot([0, 1], [0, 1], color=INK, linewidth=0.8)
    axes[2].set(xlabel="probability of the demonstrator's action", ylabel="probability that the model believes")
    axes[2].set_title(f"policies, chance {chances[-1]:g}", loc="left")
