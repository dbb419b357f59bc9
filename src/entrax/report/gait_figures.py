"""The figure and the film of the study `gaits`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Float, UInt8

from entrax.environments.rendering import keep_in_view, rendered
from entrax.environments.source import EnvSource
from entrax.report.curve import COLOURS, INK
from entrax.report.files import save_figure
from entrax.report.video import encode_film, rendering

Numbers = Mapping[str, Any]
PANELS = 4
SHOWN_SECONDS = 2.0  # of the contacts
TILE = (240, 180)  # width and height of one walker, in pixels
LABEL = 24  # pixels above a tile
DPI = 100


def gaits(axes: Any, numbers: Numbers) -> None:
    """Draw the contacts of the first task's walkers, the distances of all tasks, and what is judged."""
    soft, hard = numbers["soft"], numbers["deterministic"]
    first = numbers["tasks"][0]
    for axis, name, colour in ((axes[0], soft, COLOURS[0]), (axes[1], hard, COLOURS[1])):
        _draw_contacts(axis, first["arms"][name]["judged"], numbers["seeds"], colour)
        axis.set_title(
            f"{name} on {first['environment']}:\nfeet on the ground, a row of bars a seed", loc="left", fontsize=10
        )
    _draw_distances(axes[2], numbers["tasks"])
    rows = {f"{hard}: excess": numbers["differs"][hard], f"{soft}: excess": numbers["differs"][soft]}
    rows[f"{soft} − {hard}"] = numbers["difference"]
    for place, (each, colour) in enumerate(zip(rows.values(), (COLOURS[1], COLOURS[0], INK), strict=True)):
        if each["mean"] is not None:
            axes[3].plot([each["low"], each["high"]], [place] * 2, color=colour)
            axes[3].plot(each["mean"], place, "o", color=colour)
    axes[3].axvline(0.0, color=INK, linewidth=0.8, linestyle=":")
    axes[3].set(yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5))
    axes[3].set_yticklabels(list(rows), fontsize=8)
    axes[3].set_title("distance of two seeds beyond that\nwithin a seed (95 % intervals)", loc="left", fontsize=10)


def _draw_contacts(axis: Any, arm: Mapping[str, Any], seeds: Sequence[int], colour: str) -> None:
    """Draw a bar where a foot is on the ground, the feet of a seed close together."""
    ticks, labels, place = [], [], 0
    for seed, shown, gait in zip(seeds, arm["shown"], arm["gaits"], strict=True):
        contacts = np.array(shown["contacts"])[: round(SHOWN_SECONDS / arm["dt"])]
        ticks.append(place + 0.5 * (contacts.shape[1] - 1))
        labels.append(f"seed {seed}" + (f"\n{gait['frequency']:.1f} Hz" if gait else ""))
        for foot, touching in enumerate(contacts.T):
            bars = [(arm["dt"] * step, arm["dt"]) for step in np.flatnonzero(touching)]
            axis.broken_barh(bars, (place - 0.4, 0.8), color=colour, alpha=1.0 - 0.2 * foot)
            place += 1
        place += 1
    axis.set(yticks=ticks, xlim=(0, SHOWN_SECONDS), xlabel="s", ylim=(place - 1, -1))
    axis.set_yticklabels(labels, fontsize=8)


def _draw_distances(axis: Any, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Draw the mean distances of two seeds and of two episodes of one seed, part by part summed up."""
    parts = [part for part in next(iter(tasks[0]["arms"].values()))["judged"]["between"] if part != "all"]
    labels, place = [], 0
    for task in tasks:
        for name, arm in task["arms"].items():
            for key, what in (("between", "two seeds"), ("within_by_part", "one seed")):
                bottom = 0.0
                for part, colour in zip(parts, COLOURS, strict=False):
                    height = (arm["judged"][key][part] or 0.0) / len(parts)
                    axis.bar(place, height, bottom=bottom, color=colour, label=part if place == 0 else None)
                    bottom += height
                labels.append(f"{name}, {what}" + (f"\n{task['environment']}" if len(tasks) > 1 else ""))
                place += 1
    axis.set(xticks=range(place))
    axis.set_xticklabels(labels, fontsize=7, rotation=30, ha="right")
    axis.legend(frameon=False, fontsize=7)
    axis.set_title("mean distance of two episodes,\nby part of the gait", loc="left", fontsize=10)


def write_gait_film(numbers: Numbers, folder: Path) -> bool:
    """Write `folder`/film.mp4 and its poster film.png: every seed of every agent side by side.

    A row is an agent on a task, a column a seed. The bodies are drawn from the poses in the numbers; the pace is that
    of the walk.

    Returns:
        Whether the numbers hold poses and the environments can be drawn here.

    Raises:
        CannotWrite: if a file cannot be written.
    """
    tasks = numbers.get("tasks", [])
    if not tasks:
        return False
    with rendering(EnvSource(tasks[0]["environment"])) as renders:
        if renders:
            _film(numbers, folder)
    return renders


def _film(numbers: Numbers, folder: Path) -> None:
    figure, tiles = _figure(numbers["tasks"], numbers["seeds"])
    step = min(tile.shown["seconds_per_pose"] for tile in tiles)
    seconds = max(len(tile.shown["poses"]) * tile.shown["seconds_per_pose"] for tile in tiles)
    stages = {task["environment"]: _stage(task["environment"]) for task in numbers["tasks"]}
    pictures = _pictures(figure, tiles, stages, step * np.arange(round(seconds / step)))
    encode_film(pictures, 1.0 / step, folder / "film.mp4", width=round(figure.get_figwidth() * DPI))
    _show(tiles, stages, 0.5 * seconds)
    save_figure(figure, folder / "film.png", DPI)
    for stage in stages.values():
        stage.close()


class Tile(NamedTuple):
    """One walker of the film: its environment, its poses and its image in the figure."""

    environment: str
    shown: Mapping[str, Any]
    image: Any


def _figure(tasks: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> tuple[Any, list[Tile]]:
    """Return the figure of the film and its tiles, row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [(task["environment"], name, arm["judged"]) for task in tasks for name, arm in task["arms"].items()]
    columns = len(seeds)
    size = (columns * TILE[0] / DPI, len(rows) * (TILE[1] + LABEL) / DPI)
    figure, tiles = Figure(figsize=size, dpi=DPI, layout="constrained"), []
    FigureCanvasAgg(figure)
    for axes, (environment, name, arm) in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
        for axis in axes:
            axis.set_axis_off()
        for seed, axis, shown, gait in zip(seeds, axes, arm["shown"], arm["gaits"], strict=True):
            image = axis.imshow(np.full((TILE[1], TILE[0], 3), 255, np.uint8))
            title = f"{name}, seed {seed}" + (f": {gait['frequency']:.1f} Hz" if gait else "")
            axis.set_title(title, loc="left", fontsize=8)
            tiles.append(Tile(environment, shown, image))
    return figure, tiles


def _stage(name: str) -> gymnasium.Env:
    """Return an environment that draws its body, with a camera that follows it."""
    made = EnvSource(name, {"width": TILE[0], "height": TILE[1]}).make(render_mode="rgb_array")
    keep_in_view(made)
    made.reset(seed=0)
    return made


def _show(tiles: Sequence[Tile], stages: Mapping[str, gymnasium.Env], time: float) -> None:
    """Put every body into its pose at a time in seconds, or its last one."""
    for tile in tiles:
        stage, poses = stages[tile.environment], tile.shown["poses"]
        body: Any = stage.unwrapped
        place = min(round(time / tile.shown["seconds_per_pose"]), len(poses) - 1)
        body.set_state(np.array(poses[place], float), np.zeros(body.model.nv))
        tile.image.set_data(rendered(stage))


def _pictures(
    figure: Any, tiles: Sequence[Tile], stages: Mapping[str, gymnasium.Env], times: Float[np.ndarray, " picture"]
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    for time in times:
        _show(tiles, stages, float(time))
        figure.canvas.draw()
        figure.set_layout_engine("none")  # the layout of the first picture is that of all
        yield np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
