"""Compare the exact posterior and the maximum-entropy policy in a maze.

The maze is slippery; the policies are computed at four temperatures.

    python examples/maze_posterior.py [FIGURE.png]

From S a causeway between pits leads to G in 10 steps; around the pits it takes 14, or 16 out of a slip's reach. Each
step slips sideways with probability 0.2. Conditioned on success, the exact posterior assumes that no step slips, and
takes the causeway. The variational posterior keeps the true dynamics and goes around. The figure shows both, and the
result of the exact posterior's policy in the true dynamics. Takes about a quarter of a minute.
"""

import sys
from pathlib import Path
from typing import Any

import jax
import matplotlib

matplotlib.use("agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.colors import LinearSegmentedColormap, PowerNorm

from entrax.exact import Posterior, posterior, variational_posterior
from entrax.problems import FiniteMDP, Layout, gridworld

LAYOUT = Layout.parse("""
#############
#...........#
#...........#
#..XXXXXXX..#
#S.........G#
#..XXXXXXX..#
#############
""")
HORIZON = 40
TEMPERATURES = (5.0, 2.5, 1.0, 0.2)
CURVE = np.geomspace(0.1, 20, 45)

ARROWS = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])  # up, right, down, left
DARK = 0.5  # visits above which a cell is dark
INK, WALL, BLUE, RED, GREEN = "#2b2d33", "#3d4048", "#1f5fa8", "#d1495b", "#2a9d5c"
VISITS = LinearSegmentedColormap.from_list("visits", ["#fbfaf7", "#cfe3ea", "#86b8d3", "#3f7fb5", "#173f73"])
STYLE: dict[str, Any] = {
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#999999",
    "xtick.color": INK,
    "ytick.color": INK,
}


def maze() -> FiniteMDP:
    """Each step costs 1, the goal is worth 20, a pit costs 40."""
    return gridworld(LAYOUT, slip=0.2, step_reward=-1, goal_reward=20, pit_reward=-40, horizon=HORIZON)


def outcome_of(mdp: FiniteMDP, policies: np.ndarray) -> np.ndarray:
    """Return p(s_T), shape (S,), of the policies π_t in the true dynamics."""
    here = np.asarray(mdp.initial)
    for policy in policies:
        after = np.append(here * mdp.terminal, 0)
        np.add.at(after, mdp.successor, (here[:, None] * policy)[..., None] * mdp.probability)
        here = after[:-1]
    return here


def draw_maze(axis: Any, result: Posterior) -> Any:
    """Draw expected visits as colour and mean moves as arrows."""
    marginals, place = np.asarray(result.marginals()).sum(0), LAYOUT.place
    visits = marginals.sum(1)
    shown = np.full(LAYOUT.state.shape, np.nan)
    shown[tuple(place.T)] = np.where(result.model.first.terminal, np.nan, visits)
    image = axis.imshow(shown, cmap=VISITS, norm=PowerNorm(0.5, 0, 1.5))
    draw_cells(axis, dark_start=visits[LAYOUT.where("S")][0] > DARK)
    step = marginals @ ARROWS / np.where(visits > 0, visits, 1)[:, None]
    drawn = (visits > 2e-3) & (np.hypot(*step.T) > 0.05)
    place, step, visits = place[drawn], step[drawn], visits[drawn]
    tail = place[:, ::-1] - 0.36 * step * [1, -1]
    axis.quiver(
        *tail.T, *step.T, scale=1 / 0.72, scale_units="x", angles="uv", width=0.011, headwidth=4, headlength=4,
        headaxislength=3.6, minlength=0.4, color=np.where(visits > DARK, "white", INK),
    )  # fmt: skip
    axis.set(xticks=[], yticks=[], xlim=(0.4, 11.6), ylim=(5.6, 0.4))
    axis.spines[:].set(color=WALL, linewidth=2)
    return image


def draw_cells(axis: Any, dark_start: bool) -> None:
    """Draw walls, pits, the goal and the start."""
    for (row, column), letter in np.ndenumerate(LAYOUT.cells):
        corner, look = (column - 0.5, row - 0.5), {"linewidth": 0, "edgecolor": "#a83848"}
        if letter == b"#":
            axis.add_patch(pyplot.Rectangle(corner, 1, 1, facecolor=WALL, **look))
        elif letter == b"X":
            axis.add_patch(pyplot.Rectangle(corner, 1, 1, facecolor=RED, hatch="xxx", **look))
        elif letter == b"G":
            axis.add_patch(pyplot.Rectangle(corner, 1, 1, facecolor=GREEN, **look))
            axis.text(column, row, "G", color="white", ha="center", va="center", fontsize=11, fontweight="bold")
        elif letter == b"S":
            colour = "white" if dark_start else INK
            axis.text(column - 0.42, row - 0.4, "S", color=colour, va="top", fontsize=8, fontweight="bold")


def draw_curves(axes: Any, mdp: FiniteMDP, goal: int) -> None:
    """Draw the believed and true P(goal), and the optimism at S.

    All are curves over the temperature.
    """
    believed, had, sober, hope = [], [], [], []
    start = int(np.argmax(mdp.initial))
    for temperature in CURVE:
        exact, variational = posterior(mdp, temperature), variational_posterior(mdp, temperature)
        believed.append(exact.state_marginals()[-1, goal])
        had.append(outcome_of(mdp, np.asarray(exact.policies()))[goal])
        sober.append(variational.state_marginals()[-1, goal])
        hope.append(exact.value[0, start] - variational.value[0, start])
    left, right = axes
    for values, style, colour, label in (
        (believed, "-", RED, "exact posterior: belief"),
        (had, "--", RED, "exact posterior: result of its policy"),
        (sober, "-", BLUE, "variational posterior: both"),
    ):
        left.plot(CURVE, values, style, color=colour, linewidth=2, label=label)
    left.set(ylabel="P(reach G)", ylim=(-0.03, 1.05))
    left.legend(frameon=False, loc="center left", bbox_to_anchor=(0.0, 0.42), fontsize=9.5)
    right.plot(CURVE, hope, color=INK, linewidth=2)
    right.set(ylabel="optimism at S (reward)", ylim=(0, None))
    for axis in axes:
        axis.set(xscale="log", xlabel="temperature α (reward)", xlim=(CURVE[0], CURVE[-1]))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3, linewidth=0.6)
        for temperature in TEMPERATURES:
            axis.axvline(temperature, color="#999999", linewidth=0.8, linestyle=":")


def draw(path: Path) -> None:
    mdp, goal = maze(), int(np.argmax(LAYOUT.where("G")))
    with pyplot.rc_context(STYLE):
        figure = pyplot.figure(figsize=(13, 6.2), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=[1.6, 1])
        panels = above.subplots(2, len(TEMPERATURES))
        image = None
        for row, (infer, name) in zip(
            panels, ((posterior, "exact\nposterior"), (variational_posterior, "variational\nposterior")), strict=True
        ):
            row[0].set_ylabel(name, fontsize=11.5, fontweight="bold", labelpad=8)
            for axis, temperature in zip(row, TEMPERATURES, strict=True):
                result = infer(mdp, temperature)
                image = draw_maze(axis, result)
                believes = float(result.state_marginals()[-1, goal])
                gets = float(outcome_of(mdp, np.asarray(result.policies()))[goal])
                says = (
                    f"reaches G: believed {believes:.2f}, true {gets:.2f}" if result.exact else f"reaches G: {gets:.2f}"
                )
                axis.set_xlabel(says, labelpad=4, fontsize=9.5)
        for axis, temperature in zip(panels[0], TEMPERATURES, strict=True):
            axis.set_title(f"α = {temperature:g}", fontsize=12, pad=7)
        bar = above.colorbar(image, ax=panels, shrink=0.75, aspect=22, pad=0.012, extend="max")
        bar.set_label("expected visits")
        bar.outline.set_visible(False)
        draw_curves(below.subplots(1, 2, width_ratios=[1.6, 1]), mdp, goal)
        figure.savefig(path, dpi=150, facecolor="white")
        pyplot.close(figure)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "maze-posterior.png"))
