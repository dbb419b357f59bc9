"""The figure of the study `two-passages`, and its film of Q and the policy at the start along training."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from entrax.environments.maze import ANT_SCALE, GOAL, PLUGS, REACH, WALLS
from entrax.report.curve import COLOURS, INK, steps_text
from entrax.report.files import save_figure
from entrax.report.video import encode_film

Numbers = Mapping[str, Any]
ARMS = {"soft-q": ("soft Q, sampled", COLOURS[0]), "ddpg": ("DDPG", COLOURS[1]), "td3": ("TD3", COLOURS[2])}
PICTURES_PER_SECOND = 3.0
HELD = 5  # pictures of the last frame
SIZE, DPI = (9.6, 4.8), 100


def two_passages(axes: Any, numbers: Numbers) -> None:
    """Draw paths, shares of passages, success with one closed, and Q at the start."""
    arms, budget = numbers["arms"], numbers["budget"]
    for axis, (name, (label, colour)) in zip(axes, ARMS.items(), strict=False):
        draw_plan(axis, ANT_SCALE if numbers["body"] == "ant" else 1.0)
        paths = np.array(arms[name]["paths"], float)
        for path in paths:
            axis.plot(path[:, 0], path[:, 1], color=colour, linewidth=0.7, alpha=0.5)
        axis.set_title(f"{label}: {len(paths)} rollouts of the first seed", loc="left")
    _shares(axes[3], arms)
    middles = (np.arange(len(arms["ddpg"]["course"][0])) + 0.5) * budget / len(arms["ddpg"]["course"][0])
    for key, axis, title in (
        ("course", axes[4], "one passage closed: share of episodes\nof training that reach the goal"),
        ("nearest", axes[5], "both open: smallest distance\nto the goal so far in training"),
    ):
        for name, (label, colour) in ARMS.items():
            courses = np.array(arms[name][key], float)
            courses[~np.isfinite(courses)] = np.nan
            for each in courses:
                axis.plot(middles, each, color=colour, linewidth=0.7, alpha=0.4)
            axis.plot(middles, _mean(courses), color=colour, linewidth=2.2, label=label.partition(",")[0])
        axis.xaxis.set_major_formatter(lambda steps, _: steps_text(steps))
        axis.set(xlabel="steps of training")
        axis.set_title(title, loc="left")
    axes[4].set(ylim=(-0.02, 1.02))
    axes[4].legend(frameon=False, fontsize=8)
    axes[5].set(ylim=(0, None))
    axes[5].axhline(REACH, color=INK, linewidth=0.8, linestyle=":")
    film = arms["soft-q"]["film"]
    if film is None:
        return
    for gap in arms["soft-q"]["gap"]:
        axes[6].plot(film["steps"], gap, color=COLOURS[0], linewidth=0.9)
    axes[6].axhline(0, color=INK, linewidth=0.8, linestyle=":")
    axes[6].xaxis.set_major_formatter(lambda steps, _: steps_text(steps))
    axes[6].set(xlabel="steps of training", ylabel="α")
    axes[6].set_title("soft Q: largest Q to the left minus\nlargest to the right, at the start", loc="left")
    _profile(axes[7], film, -1)
    axes[7].set_title("soft Q, first seed: Q at the start and\nthe policy, by direction", loc="left")


def _shares(axis: Any, arms: Mapping[str, Any]) -> None:
    for place, (name, (_, colour)) in enumerate(ARMS.items()):
        arm = arms[name]
        at = place + np.linspace(-0.3, 0.3, len(arm["left"]))
        axis.bar(at, arm["left"], width=0.1, color=colour, label="left" if place == 0 else None)
        axis.bar(at, arm["right"], 0.1, arm["left"], color=colour, alpha=0.35, label="right" if place == 0 else None)
    axis.set(xticks=range(len(ARMS)), xticklabels=[label.partition(",")[0] for label, _ in ARMS.values()])
    axis.set(ylim=(0, 1.2))
    axis.set_title("passage taken first: a bar for each seed\n(rest: neither)", loc="left")
    axis.legend(frameon=False, fontsize=8, ncols=2, loc="upper center")


def _profile(axis: Any, film: Mapping[str, Any], frame: int) -> None:
    """Draw Q/α over the direction of full force, with the density of the sampler's draws."""
    degrees = np.degrees(film["angles"])
    draws = np.array(film["draws"][frame])
    headings = np.degrees(np.arctan2(draws[:, 0], draws[:, 1]))
    axis.hist(headings, bins=np.linspace(-180, 180, 37), density=True, color=COLOURS[1], alpha=0.45, label="policy")
    axis.set(xlim=(-180, 180), ylim=(0, 0.02), xticks=range(-180, 181, 90), yticks=[])
    axis.set_xticklabels(["back", "left", "ahead", "right", "back"])
    other = axis.twinx()
    other.plot(degrees, film["around"][frame], color=COLOURS[0], linewidth=2.0, label="Q/α, relative to its maximum")
    other.set(ylim=(-8, 0.5))
    other.spines[["top"]].set_visible(False)
    handles = [*other.get_legend_handles_labels()[0], *axis.get_legend_handles_labels()[0]]
    names = [*other.get_legend_handles_labels()[1], *axis.get_legend_handles_labels()[1]]
    axis.legend(handles, names, frameon=False, fontsize=8, loc="lower center")


def write_film(numbers: Numbers, folder: Path) -> bool:
    """Write `folder`/film.mp4 and its poster film.png: Q and the policy at the start along training.

    Returns:
        Whether the numbers hold a film.

    Raises:
        CannotWrite: if a file cannot be written.
    """
    film = numbers["arms"]["soft-q"]["film"] if "arms" in numbers else None
    if film is None:
        return False
    figure = _frame(film, -1)
    save_figure(figure, folder / "film.png", DPI)
    encode_film(_pictures(film), PICTURES_PER_SECOND, folder / "film.mp4", width=round(SIZE[0] * DPI))
    return True


def _pictures(film: Mapping[str, Any]) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    for frame in [*range(len(film["steps"])), *[-1] * HELD]:
        figure = _frame(film, frame)
        figure.canvas.draw()
        yield np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _frame(film: Mapping[str, Any], frame: int) -> Any:
    """Return the figure of one policy: Q over the actions with draws of the policy, and by direction."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    box, around = figure.subplots(1, 2)
    image = box.imshow(
        np.array(film["q"][frame]).T, origin="lower", extent=(-1, 1, -1, 1), vmin=-8, vmax=0, cmap="viridis"
    )
    draws = np.array(film["draws"][frame])
    box.plot(draws[:, 0], draws[:, 1], ".", color="white", markersize=3, alpha=0.7)
    box.set(xlabel="force to the right", ylabel="force ahead", xlim=(-1, 1), ylim=(-1, 1))
    box.set_title("Q/α at the start, relative to its maximum,\nand draws of the policy", loc="left", fontsize=10)
    figure.colorbar(image, ax=box, shrink=0.8)
    _profile(around, film, frame)
    around.set_title("the same, by direction of full force", loc="left", fontsize=10)
    steps = steps_text(float(film["steps"][frame]))
    figure.suptitle(f"soft Q-learning between two passages: {steps} steps", fontsize=12)
    return figure


def draw_plan(axis: Any, scale: float) -> None:
    """Draw walls, goal and the places of the plugs."""
    for colour, alpha, boxes in (("#8a8d95", 1.0, WALLS), (COLOURS[4], 0.25, PLUGS)):
        for (x0, y0), (x1, y1) in scale * boxes:
            axis.fill([x0, x1, x1, x0], [y0, y0, y1, y1], color=colour, alpha=alpha, linewidth=0)
    angle = np.linspace(0, 2 * np.pi, 60)
    x, y = scale * (np.array(GOAL)[:, None] + REACH * np.stack([np.cos(angle), np.sin(angle)]))
    axis.fill(x, y, color=COLOURS[2], alpha=0.4, linewidth=0)
    axis.set(aspect="equal")


def _mean(courses: Float[np.ndarray, "seed part"]) -> Float[np.ndarray, " part"]:
    """Return the mean over the seeds that have a number; NaN if none has."""
    known = np.isfinite(courses)
    count = known.sum(axis=0)
    return np.where(count, np.where(known, courses, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
