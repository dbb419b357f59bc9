"""The learning curve of a run, or of several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Rows = Sequence[Mapping[str, Any]]

COLOURS = ("#1f5fa8", "#d1495b", "#2a9d5c", "#8a5fbf", "#e08e2b", "#4a4a4a")
PANELS = (("entropy", "entropy"), ("temperature", "temperature"), ("critic_loss", "critic loss"))


def learning_curve(runs: Mapping[str, Rows], path: Path, title: str) -> None:
    """Draw the metrics rows of each named run into a PNG at `path`.

    Above: the return of training episodes (faint) and of evaluations (points, with one standard deviation) over steps.
    Below: entropy, temperature and critic loss, as far as the rows have them.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    panels = [(key, label) for key, label in PANELS if any(_series(rows, key)[0].size for rows in runs.values())]
    layout: list[Any] = [["return"] * len(panels), [key for key, _ in panels]] if panels else [["return"]]
    heights = [2.4, 1.0] if panels else [1.0]
    figure, axes = pyplot.subplot_mosaic(layout, figsize=(9, 6), height_ratios=heights, layout="constrained")
    for colour, (name, rows) in zip(COLOURS * (1 + len(runs) // len(COLOURS)), runs.items(), strict=False):
        _draw_returns(axes["return"], rows, colour, name if len(runs) > 1 else None)
        for key, _ in panels:
            axes[key].plot(*_series(rows, key), color=colour, linewidth=1.2)
    axes["return"].set(title=title, ylabel="return of an episode", xlabel="environment steps")
    axes["return"].legend(frameon=False, loc="best")
    for key, label in panels:
        axes[key].set_title(label, fontsize=10)
        axes[key].tick_params(labelsize=8)
    for axis in axes.values():
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.margins(x=0.02)
        axis.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:g}k" if steps else "0")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _draw_returns(axis: Any, rows: Rows, colour: str, name: str | None) -> None:
    steps, returns = _series(rows, "return")
    axis.plot(steps, returns, color=colour, alpha=0.35, linewidth=1.0, label=None if name else "training (sampled)")
    evaluations = [(row["step"], row["evaluation"]) for row in rows if "evaluation" in row]
    if evaluations:
        at = np.array([step for step, _ in evaluations])
        mean, std = (np.array([e[key] for _, e in evaluations]) for key in ("mean", "std"))
        axis.plot(at, mean, "o-", color=colour, markersize=4, linewidth=1.8, label=name or "evaluation (mode)")
        axis.fill_between(at, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)


def _series(rows: Rows, key: str) -> tuple[np.ndarray, np.ndarray]:
    points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    return np.array([step for step, _ in points]), np.array([value for _, value in points])
