"""The figure of the study `robustness`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.environments.perturb import FAMILIES
from entrax.report.curve import COLOURS

Numbers = Mapping[str, Any]
STYLES = {
    "soft": (COLOURS[0], "-"),
    "soft, mode": (COLOURS[0], ":"),
    "twin": (COLOURS[2], "-"),
    "td3": (COLOURS[1], "-"),
}
LABELS = {"soft": "soft, sampled", "twin": "twin, α → 0", "td3": "TD3"}
CURVES = 4  # panels of curves


def robustness(axes: Any, numbers: Numbers) -> None:
    """Draw relative returns, areas, returns with a passage closed, and recoveries."""
    arms = numbers["arms"]
    families = list(arms["soft"]["areas"])
    groups = {name.replace("_", " "): [name] for name in families}
    if len(families) > CURVES:
        groups = {}
        for name in families:
            groups.setdefault(f"of {FAMILIES[name].acts_on}", []).append(name)
    for axis, (title, members) in zip(axes, groups.items(), strict=False):
        for arm, (colour, line) in STYLES.items():
            curves = np.mean([np.array(arms[arm]["relative"][name], float) for name in members], axis=0)
            _band(axis, numbers["levels"], curves[_matched(arms[arm])], colour, line, LABELS.get(arm, arm))
        axis.set_title(title, loc="left")
        axis.set(xlabel="severity", ylim=(-0.35, 1.15))
    axes[0].set_ylabel("return, relative to unperturbed")
    axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    for axis, score, title in (
        (axes[CURVES], "perturbed", "area under these curves, mean of families"),
        (axes[CURVES + 1], "blocked", "relative return, favoured passage closed"),
    ):
        for place, (arm, (colour, _)) in enumerate(STYLES.items()):
            values = np.array(arms[arm][score], float)
            matched = _matched(arms[arm])
            at = place + np.linspace(-0.2, 0.2, len(values))
            axis.plot(at[matched], values[matched], "o", color=colour, markersize=5)
            axis.plot(at[~matched], values[~matched], "o", color=colour, markersize=5, fillstyle="none")
        axis.set(xticks=range(len(STYLES)), xticklabels=[LABELS.get(arm, arm).replace(", ", ",\n") for arm in STYLES])
        axis.set_title(title, loc="left", fontsize=10)
    axes[CURVES].set_xlabel("hollow: a seed that does not match")
    for axis, course, title in (
        (axes[CURVES + 2], "regained_blocked", "regained after a closed passage is seen"),
        (axes[CURVES + 3], "regained_wild", "regained after random actions"),
    ):
        for arm, (colour, line) in STYLES.items():
            matched = [each for each, ok in zip(arms[arm][course], _matched(arms[arm]), strict=True) if ok and each]
            if matched:
                _band(axis, range(len(matched[0])), np.array(matched, float), colour, line, LABELS.get(arm, arm))
        axis.set(xlabel="steps after", ylim=(-0.35, 1.05))
        axis.set_title(title, loc="left", fontsize=10)


def _matched(arm: Mapping[str, Any]) -> Any:
    return np.array(arm["matched"], bool)


def _band(axis: Any, x: Any, curves: Float[np.ndarray, "seed x"], colour: str, line: str, label: str) -> None:
    """Draw median and range over seeds."""
    if not len(curves):
        axis.plot([], [], line, color=colour, label=f"{label} (no seed matches)")
        return
    axis.plot(x, np.median(curves, axis=0), line, color=colour, label=label)
    if line == "-":
        axis.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.13, linewidth=0)
