"""The figure of `entrax compare`: learning curves and performance profiles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from entrax.report.curve import COLOURS, INK, steps_text
from entrax.report.files import save_figure

Band = Mapping[str, Sequence[float]]
"""`value`, `low` and `high` at every point; a learning curve also has `steps`."""

COLUMNS = 3


def compare_figure(
    curves: Mapping[str, Mapping[str, Band]],
    path: Path,
    *,
    profiles: Mapping[str, Band] | None = None,
    thresholds: Sequence[float] = (),
) -> None:
    """Draw learning curves and performance profiles into an image at `path`.

    Lines are interquartile means over seeds, shades their pointwise 95 per cent intervals.

    Args:
        curves: learning curves by task and method.
        path: of the image; its ending chooses the format.
        profiles: performance profiles by method; None for no such panel.
        thresholds: the scaled scores at which the profiles are given.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    methods = list(dict.fromkeys(method for by_method in curves.values() for method in by_method))
    colours = {method: COLOURS[place % len(COLOURS)] for place, method in enumerate(methods)}
    panels = len(curves) + bool(profiles)
    columns = min(panels, COLUMNS)
    rows = -(-panels // columns)
    style: Any = {"font.size": 11, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}
    with pyplot.rc_context(style | {"axes.edgecolor": "#999999"}):
        figure, grid = pyplot.subplots(
            rows, columns, figsize=(5.2 * columns, 4.0 * rows), squeeze=False, layout="constrained"
        )
        axes = list(grid.ravel())
        for axis, (task, by_method) in zip(axes, curves.items(), strict=False):
            for method, band in by_method.items():
                _draw(axis, band["steps"], band, colours[method], method)
            axis.set(xlabel="environment steps", ylabel="return of an evaluation")
            axis.set_title(task, loc="left", fontsize=11)
            axis.xaxis.set_major_formatter(lambda steps, _: steps_text(steps))
        if profiles:
            for method, band in profiles.items():
                _draw(axes[len(curves)], thresholds, band, colours[method], method)
            axes[len(curves)].set(xlabel="scaled score τ", ylabel="share of runs above τ", ylim=(-0.02, 1.02))
        for place, axis in enumerate(axes):
            axis.set_visible(place < panels)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.3, linewidth=0.6)
        axes[0].legend(frameon=False, fontsize=9)
        save_figure(figure, path)
        pyplot.close(figure)


def _draw(axis: Any, x: Sequence[float], band: Band, colour: str, label: str) -> None:
    axis.fill_between(x, band["low"], band["high"], color=colour, alpha=0.15, linewidth=0)
    axis.plot(x, band["value"], color=colour, linewidth=1.8, label=label, marker="o" if len(x) == 1 else None)
