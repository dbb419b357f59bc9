"""The film of the study `any-direction`: episodes of the soft and the deterministic policy from above, side by side."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from entrax.report.curve import COLOURS, INK
from entrax.report.files import save_figure
from entrax.report.video import encode_film

Numbers = Mapping[str, Any]
Paths = Float[np.ndarray, "episode time 2"]

KINDS = {"soft": (COLOURS[0], "sampled"), "deterministic": (COLOURS[1], "mode")}
PICTURES_PER_SECOND = 15.0
HELD = 30  # pictures of the last frame
TAIL = 25  # positions of a path that fade behind its dot
SIZE, DPI = (10.0, 5.6), 100
SMALLEST_REACH = 0.5  # of a panel, if nothing moves


class Panel(NamedTuple):
    """The artists of one policy that change along the film, and its paths from a common origin."""

    paths: Paths
    ended: np.ndarray
    dots: Any
    tails: Any
    traces: Any
    colour: str


def write_direction_film(numbers: Numbers, folder: Path) -> bool:
    """Write `folder`/film.mp4 and its poster film.png, the last frame: a dot with a fading tail for every episode.

    All paths begin at the origin. Those of `paths_of_one_start` are shown if a policy's numbers have them, else
    `paths`; both have shape [episode, time, 2], and are NaN after the end of an episode.

    Returns:
        Whether the numbers hold paths.

    Raises:
        CannotWrite: if a file cannot be written.
    """
    if not KINDS.keys() <= numbers.keys():
        return False
    figure, panels = _figure(numbers)
    last = max(panel.paths.shape[1] for panel in panels) - 1
    pictures = _pictures(figure, panels, numbers, last)
    encode_film(pictures, PICTURES_PER_SECOND, folder / "film.mp4", width=round(SIZE[0] * DPI))
    save_figure(figure, folder / "film.png", DPI)
    return True


def from_origin(paths: Paths) -> tuple[Paths, np.ndarray]:
    """Return paths relative to their first positions, kept at the last one after the end of an episode.

    Also returns whether a position [episode, time] is after the end.
    """
    ended = ~np.isfinite(paths).all(axis=2)
    last = np.maximum.accumulate(np.where(ended, 0, np.arange(paths.shape[1])), axis=1)
    kept = np.take_along_axis(paths, last[..., None], axis=1)
    return kept - kept[:, :1], ended


def _figure(numbers: Numbers) -> tuple[Any, list[Panel]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = []
    for axis, (kind, (colour, how)) in zip(figure.subplots(1, 2), KINDS.items(), strict=True):
        arm = numbers[kind]
        same = arm.get("paths_of_one_start") is not None
        paths, ended = from_origin(np.array(arm["paths_of_one_start" if same else "paths"], float))
        traces, tails = (
            LineCollection([], linewidths=0.6, colors=colour, alpha=0.15),
            LineCollection([], linewidths=1.4),
        )
        for lines in (traces, tails):
            axis.add_collection(lines, autolim=False)
        dots = axis.scatter(paths[:, 0, 0], paths[:, 0, 1], s=14, linewidths=0.0, zorder=3)
        axis.plot(0, 0, "+", color=INK, markersize=9)
        start = "from one start" if same else "each from its own start, moved to the cross"
        count = f"{len(paths)} episode{'s' * (len(paths) > 1)}"
        axis.set_title(f"{arm['agent']}, {how}\n{count}, {start}", loc="left", fontsize=10, color=colour)
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        panels.append(Panel(paths, ended, dots, tails, traces, colour))
    reach = 1.05 * max(SMALLEST_REACH, *(float(np.abs(panel.paths).max()) for panel in panels))
    unit = "m" if "Ant" in numbers["environment"] else "units of length"
    for axis in figure.axes:
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel=unit)
    return figure, panels


def _pictures(
    figure: Any, panels: list[Panel], numbers: Numbers, last: int
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    picture: np.ndarray
    for time in range(last + 1):
        seconds = time * numbers["seconds_per_position"]
        figure.suptitle(f"{numbers['environment'].removeprefix('entrax/')}: {seconds:.1f} s", fontsize=12)
        for panel in panels:
            _move(panel, min(time, panel.paths.shape[1] - 1))
        figure.canvas.draw()
        figure.set_layout_engine("none")  # the layout of the first picture is that of all
        picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
        yield picture
    for _ in range(HELD):
        yield picture


def _move(panel: Panel, time: int) -> None:
    """Put the artists of one policy where they are at a position of its paths; a dot pales when its episode ends."""
    from matplotlib.colors import to_rgba

    opaque = np.array(to_rgba(panel.colour))
    panel.traces.set_segments(panel.paths[:, : time + 1])
    recent = panel.paths[:, max(0, time - TAIL) : time + 1]
    ends = np.stack([recent[:, :-1], recent[:, 1:]], axis=2)  # [episode, segment, end, 2]
    fading = np.arange(1, ends.shape[1] + 1)[::-1] / (TAIL + 1)
    colours = np.tile(opaque, (*ends.shape[:2], 1))
    colours[..., 3] = 1.0 - fading
    panel.tails.set_segments(ends.reshape(-1, 2, 2))
    panel.tails.set_color(colours.reshape(-1, 4))
    shades = np.tile(opaque, (len(panel.paths), 1))
    shades[:, 3] = np.where(panel.ended[:, time], 0.3, 1.0)
    panel.dots.set_offsets(panel.paths[:, time])
    panel.dots.set_facecolor(shades)
