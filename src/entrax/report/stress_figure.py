"""The figure of `entrax stress`: return over severity for each family."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entrax.report.curve import COLOURS, INK
from entrax.report.files import save_figure

COLUMNS = 4
WRAP = 34  # characters of a line below a panel


def stress_figure(records: Mapping[str, Mapping[str, Any]], path: Path, title: str) -> None:
    """Draw the records (`Stress.to_json`) of policies into a PNG at `path`.

    A panel has the mean return over severity with its 95 % interval, the unperturbed return (dashed), the meaning of
    severity 1, and in its corner the normalised areas in the order of the policies. Variants of the environment have a
    panel of their own.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    families = list(dict.fromkeys(name for record in records.values() for name in record["families"]))
    variants = list(dict.fromkeys(name for record in records.values() for name in record["variants"]))
    count = len(families) + bool(variants)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    style: Any = {"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}
    with pyplot.rc_context(style | {"axes.edgecolor": "#999999"}):
        size = (max(5.0, 3.1 * columns), 2.75 * rows + 0.6)
        figure, grid = pyplot.subplots(rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained")
        axes = list(grid.flat)
        for axis, family in zip(axes, families, strict=False):
            _draw_family(axis, family, records)
        if variants:
            _draw_variants(axes[len(families)], variants, records)
        for axis in axes[count:]:
            axis.remove()
        for line in grid:
            line[0].set_ylabel("return of an episode")
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        if len(records) > 1:
            figure.legend(*axes[0].get_legend_handles_labels(), loc="upper right", ncols=len(records), frameon=False)
        save_figure(figure, path)
        pyplot.close(figure)


def _draw_family(axis: Any, family: str, records: Mapping[str, Mapping[str, Any]]) -> None:
    areas, severe = [], ""
    for place, (name, record) in enumerate(records.items()):
        if family not in record["families"]:
            continue
        colour, outcomes, levels = COLOURS[place % len(COLOURS)], record["families"][family], record["levels"]
        low, high = ([outcome[end] for outcome in outcomes] for end in ("low", "high"))
        axis.axhline(record["unperturbed"]["mean"], color=colour, linewidth=0.9, linestyle="--", alpha=0.6)
        axis.fill_between(levels, low, high, color=colour, alpha=0.18, linewidth=0)
        axis.plot(levels, [o["mean"] for o in outcomes], "o-", color=colour, markersize=4, linewidth=1.8, label=name)
        area, severe = record["areas"][family], record["severe"][family]
        areas.append("–" if area is None else f"{area['mean']:.2f}")
    axis.set_title(family.replace("_", " "), loc="left", fontsize=10, fontweight="bold")
    axis.set_title(f"area {' | '.join(areas)}", loc="right", fontsize=9)
    axis.set_xlabel("\n".join(textwrap.wrap(f"1: {severe}", WRAP)), fontsize=7.5)
    axis.set(xlim=(0.0, 1.0), xticks=(0.0, 0.25, 0.5, 0.75, 1.0), xticklabels=("0", "", "severity", "", "1"))
    _dress(axis)


def _draw_variants(axis: Any, variants: list[str], records: Mapping[str, Mapping[str, Any]]) -> None:
    for place, (name, record) in enumerate(records.items()):
        colour, shift = COLOURS[place % len(COLOURS)], 0.15 * (place - (len(records) - 1) / 2)
        axis.axhline(record["unperturbed"]["mean"], color=colour, linewidth=0.9, linestyle="--", alpha=0.6)
        for at, variant in enumerate(variants):
            if (outcome := record["variants"].get(variant)) is not None:
                span = [[outcome["mean"] - outcome["low"]], [outcome["high"] - outcome["mean"]]]
                axis.errorbar(at + shift, outcome["mean"], span, fmt="o", color=colour, capsize=3, label=name)
    axis.set_xticks(range(len(variants)), ["\n".join(textwrap.wrap(variant, 12)) for variant in variants], fontsize=8)
    axis.set_xlim(-0.5, len(variants) - 0.5)
    axis.set_title("variants", loc="left", fontsize=10, fontweight="bold")
    _dress(axis)


def _dress(axis: Any) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.3, linewidth=0.6)
    axis.set_axisbelow(True)
