"""The figure of `entrax plan`: value, policy, entropy and exact posterior."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from entrax.report.files import save_figure

INK, SOFT_INK = "#333333", "#6b6f76"
WALL, GROUND = "#3b3f45", "#f3f0e8"
GOAL, PIT = "#c8920a", "#b23a48"
MOST_ARROWS = 42  # along a side; larger maps have arrows in every second, third, … cell and no grid lines
LEAST = 0.005  # probability above which an action has an arrow
MOST_STATES = 2000  # up to which a policy is drawn as an image if there is no map
LONG, WIDE = 0.44, 0.13  # length and half the width of the arrow of probability 1, in cells
HEAD = 0.72  # inches above the panels, for the title
STYLE: Any = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": "#999999",
}


@dataclass(frozen=True)
class Grid:
    """A map of cells.

    `state` is the state of each cell, −1 in walls; `directions` are the (row, column) steps of the actions.
    """

    letters: Sequence[str]
    state: Int[np.ndarray, "height width"]
    directions: Int[np.ndarray, "action 2"]

    @property
    def cells(self) -> np.ndarray:
        """The letters, shape (height, width)."""
        return np.array([list(row) for row in self.letters])

    @property
    def stride(self) -> int:
        """The distance between cells with arrows, in cells; 1 if all have them."""
        return -(-max(self.state.shape) // MOST_ARROWS)


class Panel(NamedTuple):
    """Numbers of the states, their colours and range, and a policy to draw with them."""

    label: str
    numbers: Float[np.ndarray, " state"]
    colours: str
    limits: tuple[float, float]
    policy: Float[np.ndarray, "state action"] | None = None
    policy_label: str = ""


def plan_figure(
    path: Path,
    title: str,
    subtitle: str,
    answer: Mapping[str, Any],
    terminal: Bool[np.ndarray, " state"],
    grid: Grid | None = None,
) -> None:
    """Draw the result of `entrax plan` into a PNG, SVG or PDF.

    `answer` has `value` and `policy`, and may have `posterior` with `optimism` and `policy`.

    On a grid the area of an arrow is its action's probability. Without one, states run along the axis.
    """
    draw_panels(path, title, subtitle, panels_of(answer, terminal), terminal, grid)


def draw_panels(
    path: Path,
    title: str,
    subtitle: str,
    panels: Sequence[Panel],
    terminal: Bool[np.ndarray, " state"],
    grid: Grid | None = None,
) -> None:
    """Draw panels from left to right on a grid, or one above the other along the states."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    width, height = size(panels, grid)
    with pyplot.rc_context(STYLE):
        figure = pyplot.figure(figsize=(width, height), layout="constrained")
        engine: Any = figure.get_layout_engine()
        engine.set(rect=(0, 0, 1, 1 - HEAD / height), w_pad=0.1, h_pad=0.06)
        figure.text(0.1 / width, 1 - 0.1 / height, title, va="top", fontsize=14, fontweight="bold")
        figure.text(0.1 / width, 1 - 0.4 / height, subtitle, va="top", color=SOFT_INK)
        if grid is None:
            _draw_states(figure, panels)
        else:
            for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
                _draw_grid(figure, axis, grid, panel, terminal)
        save_figure(figure, path, dpi=150)
        pyplot.close(figure)


def panels_of(answer: Mapping[str, Any], terminal: Bool[np.ndarray, " state"]) -> list[Panel]:
    """Return the panels of the figure, from left to right."""
    value, policy = answer["value"], np.where(terminal[:, None], 0.0, answer["policy"])
    most = float(np.log(policy.shape[1])) or 1.0
    panels = [
        Panel("value", value, "viridis", span(value[~terminal]), policy, "policy"),
        Panel("entropy of the policy (nats)", entropies(policy), "BuPu", (0.0, most)),
    ]
    if "posterior" in answer:
        exact = answer["posterior"]
        limits = span(np.append(exact["optimism"][~terminal], 0.0))
        chosen = np.where(terminal[:, None], 0.0, exact["policy"])
        panels.append(Panel("optimism", exact["optimism"], "cividis", limits, chosen, "policy of the posterior"))
    return panels


def span(numbers: Float[np.ndarray, " state"]) -> tuple[float, float]:
    """Return the range of the numbers, widened if they are all equal."""
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (low, high) if high - low > 1e-9 * max(abs(low), abs(high)) else (low - 0.5, high + 0.5)


def entropies(policy: Float[np.ndarray, "state action"]) -> Float[np.ndarray, " state"]:
    """Return −Σ π log π of each state, in nats."""
    taken = policy > 0
    return -np.sum(np.where(taken, policy * np.log(np.where(taken, policy, 1)), 0), axis=1)


def size(panels: Sequence[Panel], grid: Grid | None) -> tuple[float, float]:
    """Return width and height in inches, for panels of the map's shape."""
    if grid is None:
        return 9.0, 1.2 + 1.7 * len(curves_and_images(panels))
    height, width = grid.state.shape
    cell = np.clip(11.0 / (len(panels) * width), 0.0, 0.95)
    across = max(cell * width, 3.2)
    return across * len(panels) + 0.3 * (len(panels) + 1), max(across * height / width, 1.2) + HEAD + 1.0


def _draw_grid(figure: Any, axis: Any, grid: Grid, panel: Panel, terminal: Bool[np.ndarray, " state"]) -> None:
    height, width = grid.state.shape
    hidden = (grid.state < 0) | terminal[grid.state] | np.isin(grid.cells, ("G", "X"))
    shown = np.ma.masked_array(panel.numbers[grid.state], hidden)
    image = axis.imshow(shown, cmap=panel.colours, vmin=panel.limits[0], vmax=panel.limits[1], zorder=1)
    axis.imshow(
        np.ma.masked_array(np.where(grid.state < 0, 0.0, 1.0), ~hidden),
        cmap=_two(WALL, GROUND),
        vmin=0,
        vmax=1,
        zorder=1,
    )
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    label = panel.label if panel.policy is None else f"{panel.label} and {panel.policy_label}"
    axis.set_title(label, loc="left", fontsize=11, pad=7)
    bar = figure.colorbar(image, ax=axis, location="bottom", fraction=0.05, pad=0.03, aspect=34)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8)
    bar.ax.locator_params(nbins=5)
    bar.set_label("" if panel.policy is None else "area of an arrow: its probability", fontsize=8, color=SOFT_INK)
    if grid.stride == 1:
        axis.set_xticks(np.arange(width + 1) - 0.5, minor=True)
        axis.set_yticks(np.arange(height + 1) - 0.5, minor=True)
        axis.grid(which="minor", color="white", linewidth=0.8, alpha=0.55, zorder=2)
        axis.tick_params(which="minor", length=0)
    _draw_letters(axis, grid)
    if panel.policy is not None:
        _draw_arrows(axis, grid, panel, ~hidden)


def _two(low: str, high: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([low, high])


def _draw_letters(axis: Any, grid: Grid) -> None:
    """Draw a star in goals, a cross in pits and a ring in starts."""
    area = (310.0 / min(max(grid.state.shape), MOST_ARROWS)) ** 2 / 6
    marks: tuple[tuple[str, dict[str, Any]], ...] = (
        ("G", {"marker": "*", "color": GOAL, "s": area}),
        ("X", {"marker": "x", "color": PIT, "s": area / 4, "linewidths": 2.0}),
        ("S", {"marker": "o", "facecolors": "none", "edgecolors": "white", "s": area, "linewidths": 3.2}),
        ("S", {"marker": "o", "facecolors": "none", "edgecolors": INK, "s": area, "linewidths": 1.4}),
    )
    for letter, look in marks:
        row, column = np.nonzero(grid.cells == letter)
        if letter == "X" and grid.stride > 1:
            continue  # crosses that large would hide the map
        axis.scatter(column, row, zorder=3, **look)


def _draw_arrows(axis: Any, grid: Grid, panel: Panel, live: Bool[np.ndarray, "height width"]) -> None:
    """Draw a triangle for each action of each cell, with its probability as area."""
    from matplotlib.collections import PolyCollection

    assert panel.policy is not None
    chosen = np.zeros_like(live)
    chosen[grid.stride // 2 :: grid.stride, grid.stride // 2 :: grid.stride] = True
    row, column = np.nonzero(live & chosen)
    state = grid.state[row, column]
    low, high = panel.limits
    light = (panel.numbers[state] - low) / (high - low) < 0.62
    for action, (down, right) in enumerate(grid.directions):
        chance = panel.policy[state, action]
        scale, centre = grid.stride * np.sqrt(chance)[:, None], np.stack([column, row], 1)
        ahead, aside = np.array([right, down]), np.array([down, right])
        corners = (centre + scale * LONG * ahead, centre + scale * WIDE * aside, centre - scale * WIDE * aside)
        shapes = np.stack(corners, 1)
        for shaded, colour in ((light, "white"), (~light, "#1d1d1d")):
            which = shaded & (chance > LEAST)
            axis.add_collection(PolyCollection(shapes[which], color=colour, linewidths=0.4, zorder=4))


def curves_and_images(panels: Sequence[Panel]) -> list[tuple[Panel, bool]]:
    """Return each panel with False, and again with True if its policy is drawn too."""
    rows = []
    for panel in panels:
        rows.append((panel, False))
        if panel.policy is not None and len(panel.numbers) <= MOST_STATES:
            rows.append((panel, True))
    return rows


def _draw_states(figure: Any, panels: Sequence[Panel]) -> None:
    """Draw curves over the states, and each policy as an image below its numbers."""
    rows = curves_and_images(panels)
    axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (panel, is_policy) in zip(axes, rows, strict=True):
        states = len(panel.numbers)
        if is_policy and panel.policy is not None:
            image = axis.imshow(panel.policy.T, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
            axis.set_ylabel("action")
            axis.yaxis.get_major_locator().set_params(integer=True)
            figure.colorbar(image, ax=axis, pad=0.01, aspect=12, label="probability").outline.set_visible(False)
            axis.set_title(panel.policy_label, loc="left", fontsize=10)
            continue
        few = states <= 60
        axis.plot(panel.numbers, "o-" if few else "-", color="#1f5fa8", linewidth=1.3, markersize=3.5)
        axis.set_title(panel.label, loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3, linewidth=0.6)
    axes[-1].set_xlabel("state")
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
