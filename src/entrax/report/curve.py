"""The learning curve of a run, or of several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.report.files import save_figure

Rows = Sequence[Mapping[str, Any]]

COLOURS = ("#1f5fa8", "#d1495b", "#2a9d5c", "#8a5fbf", "#e08e2b", "#4a4a4a")
PANELS = (("entropy", "entropy of the policy"), ("temperature", "temperature"), ("critic_loss", "critic loss"))
INK = "#333333"
BAND = (10.0, 90.0)  # percentiles of an evaluation's episodes: unlike mean ± std, never beyond the returns
WINDOW = 1 / 15  # of the training rows, averaged for the smooth line
DECADES = 2.0  # a positive quantity with a larger range is drawn on a logarithmic axis


def learning_curve(runs: Mapping[str, Rows], path: Path, title: str) -> None:
    """Draw the metrics rows of each named run into a PNG at `path`.

    The upper panel has the returns of training episodes (faint, and smoothed) and of evaluations (points, with the
    middle 80 per cent of their episodes) over environment steps. The lower panels have entropy, temperature and critic
    loss, if the rows have them.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    panels = [(key, label) for key, label in PANELS if any(series(rows, key)[0].size for rows in runs.values())]
    layout: list[Any] = [["return"] * len(panels), [key for key, _ in panels]] if panels else [["return"]]
    heights = [2.4, 1.0] if panels else [1.0]
    style: Any = {"font.size": 11, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}
    with pyplot.rc_context(style | {"axes.edgecolor": "#999999"}):
        figure, axes = pyplot.subplot_mosaic(layout, figsize=(9, 6), height_ratios=heights, layout="constrained")
        for place, (name, rows) in enumerate(runs.items()):
            colour = COLOURS[place % len(COLOURS)]
            _draw_returns(axes["return"], rows, colour, name if len(runs) > 1 else None)
            for key, _ in panels:
                axes[key].plot(*series(rows, key), color=colour, linewidth=1.4)
        axes["return"].set(ylabel="return of an episode", xlabel="environment steps")
        axes["return"].set_title(title, loc="left", fontsize=14, fontweight="bold", pad=12)
        if axes["return"].get_legend_handles_labels()[0]:
            axes["return"].legend(frameon=False, loc="best", fontsize=10)
        for key, label in panels:
            _dress_panel(axes[key], label, [series(rows, key)[1] for rows in runs.values()])
        last = max([1, *(row["step"] for rows in runs.values() for row in rows)])
        for axis in axes.values():
            _dress(axis, last)
        save_figure(figure, path)
        pyplot.close(figure)


def series(rows: Rows, key: str) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"]]:
    """Return steps and values of the rows that have a number under `key`."""
    points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    return np.array([step for step, _ in points], float), np.array([value for _, value in points], float)


def smooth(values: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Return the centred moving average; windows are shorter at the ends."""
    half = int(len(values) * WINDOW / 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    start = np.maximum(np.arange(len(values)) - half, 0)
    end = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (sums[end] - sums[start]) / (end - start)


def _draw_returns(axis: Any, rows: Rows, colour: str, name: str | None) -> None:
    steps, returns = series(rows, "return")
    if steps.size:
        axis.plot(steps, returns, color=colour, alpha=0.2, linewidth=0.8)
        axis.plot(
            steps, smooth(returns), color=colour, alpha=0.5, linewidth=1.2, label=None if name else "training, sampled"
        )
    evaluations = [(row["step"], row["evaluation"]) for row in rows if "evaluation" in row]
    evaluations = [(step, e) for step, e in evaluations if e["mean"] is not None and None not in e["returns"]]
    if evaluations:
        at = [step for step, _ in evaluations]
        low, high = np.transpose([np.percentile(e["returns"], BAND) for _, e in evaluations])
        axis.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        label = name or f"evaluation, {evaluations[-1][1]['policy']} (80 % of episodes shaded)"
        axis.plot(at, [e["mean"] for _, e in evaluations], "o-", color=colour, markersize=4, linewidth=2.0, label=label)
    elif name:
        axis.plot([], [], color=colour, label=name)


def _dress_panel(axis: Any, label: str, values: Sequence[Float[np.ndarray, " row"]]) -> None:
    axis.set_title(label, loc="left", fontsize=10)
    axis.tick_params(labelsize=8)
    drawn = np.concatenate(values)
    if drawn.min() > 0 and np.log10(drawn.max() / drawn.min()) > DECADES:
        axis.set_yscale("log")


def _dress(axis: Any, last: int) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.3, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_xlim(0, last * 1.02)
    axis.xaxis.set_major_formatter(lambda steps, _: steps_text(steps))
    axis.locator_params(axis="x", nbins=6 if axis.get_xlabel() else 4)


def steps_text(steps: float) -> str:
    """Return a number of steps as the label of an axis: 500, 20k, 1.5M."""
    if steps >= 1e6:
        return f"{steps / 1e6:g}M"
    return f"{steps / 1e3:g}k" if steps >= 1e3 else f"{steps:g}"
