"""The figure and the film of the study `stacking`."""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from entrax.environments.source import EnvSource
from entrax.report.curve import COLOURS, INK, steps_text
from entrax.report.files import save_figure
from entrax.report.video import encode_film, rendering

Numbers = Mapping[str, Any]

STYLES = {"SAC": (COLOURS[0], "-"), "SAC, sampled": (COLOURS[0], ":"), "TD3": (COLOURS[1], "-")}
CHANGES = {"arm": "the arm is pushed", "brick": "the lower brick is moved"}
SECONDS = 0.04  # a step
PANELS = 4
FILMED = ("SAC", "TD3")
PICTURES_PER_SECOND = 25.0
HELD = 15  # pictures of an episode's end
WIDTH, CAPTION, DPI = 480, 44, 100  # an agent's picture, and the height of the strip above it, in pixels
SHOWN = 20  # pictures for which a disturbance is named
ARROW_LENGTH, ARROW_GAP = 0.25, 0.03  # metres
ARROW_RGBA = (0.95, 0.6, 0.1, 1.0)
POSTER = 5  # pictures after the arm's push began


def stacking(axes: Any, numbers: Numbers) -> None:
    """Draw success along training, the shares of every seed, and the course of success after both disturbances."""
    arms = numbers["arms"]
    for name in FILMED:
        curves, colour = numbers["curves"][arms[name]["agent"]], STYLES[name][0]
        success = 100.0 * np.array(curves["success"], float)
        axes[0].plot(curves["steps"], success.T, color=colour, alpha=0.3, linewidth=0.8)
        axes[0].plot(curves["steps"], success.mean(axis=0), color=colour, label=f"{name}, mean")
    axes[0].xaxis.set_major_formatter(lambda steps, _: steps_text(steps))
    axes[0].set(xlabel="environment steps", ylabel="%", ylim=(-3, 103))
    axes[0].set_title("undisturbed: stacked at the end,\nten episodes of every seed", loc="left", fontsize=10)
    axes[0].legend(frameon=False, fontsize=8)
    kinds = {"none": "undisturbed", "arm": "arm\npushed", "brick": "brick\nmoved"}
    for shift, (name, (colour, line)) in zip((-0.22, 0.0, 0.22), STYLES.items(), strict=True):
        for place, kind in enumerate(kinds):
            values = 100.0 * np.array(arms[name][kind], float)
            at = place + shift + np.linspace(-0.06, 0.06, len(values))
            fill = "none" if line == ":" else "full"
            axes[1].plot(at, values, "o", color=colour, markersize=5, fillstyle=fill, label=None if place else name)
    axes[1].set(xticks=range(3), xticklabels=kinds.values(), ylim=(-3, 103))
    axes[1].set_title("stacked at the end, % of episodes\nof every seed", loc="left", fontsize=10)
    axes[1].legend(frameon=False, fontsize=8, loc="lower left")
    for axis, (change, title) in zip(axes[2:], CHANGES.items(), strict=True):
        for name, (colour, line) in STYLES.items():
            course = 100.0 * np.array(arms[name]["after"][change], float)
            seconds = SECONDS * (np.arange(len(course)) - numbers["before"] + 1)
            axis.plot(seconds, course, line, color=colour, label=name)
        axis.axvline(0.0, color=INK, linewidth=0.8)
        axis.set(xlabel="seconds since then", ylim=(-3, 103))
        axis.set_title(f"{title}: stacked, % of episodes\n(mean over seeds)", loc="left", fontsize=10)


def write_stacking_film(numbers: Numbers, folder: Path) -> bool:
    """Write `folder`/film.mp4 and its poster film.png: disturbed episodes of the first seed, drawn from their poses.

    The poster is a picture soon after the arm is first pushed.

    Returns:
        Whether the numbers hold episodes and OpenGL draws them here.

    Raises:
        CannotWrite: if a file cannot be written.
    """
    if "arms" not in numbers:
        return False
    source = EnvSource(numbers["environment"])
    with rendering(source) as works:
        if not works:
            return False
        env = source.make(render_mode="rgb_array")
        try:
            pictures = _pictures(env.unwrapped, numbers["arms"])
            poster = numbers["arms"][FILMED[0]]["start"]["arm"][0] + POSTER
            first = [next(pictures) for _ in range(poster + 1)]
            _save(first[-1], folder / "film.png")
            encode_film(chain(first, pictures), PICTURES_PER_SECOND, folder / "film.mp4", width=2 * WIDTH)
        finally:
            env.close()
    return True


def _pictures(env: Any, arms: Numbers) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    for change, title in CHANGES.items():
        for episode, start in enumerate(arms[FILMED[0]]["start"][change]):
            poses, forces = (
                {a: np.array(arms[a][key][change][episode]) for a in FILMED} for key in ("poses", "forces")
            )
            last = len(poses[FILMED[0]]) - 1
            for time in [*range(last + 1), *[last] * HELD]:
                text = title if start < time <= start + SHOWN else ""
                halves = [_half(env, name, poses[name][time], forces[name][time], text) for name in FILMED]
                yield np.concatenate(halves, axis=1)


def _half(
    env: Any, name: str, pose: Float[np.ndarray, " 7"], force: Float[np.ndarray, " 3"], text: str
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw one pose with an arrow for the force, and a strip above it."""
    env.set_state(pose, np.zeros(len(pose)))
    if force.any():
        import mujoco

        along = force / np.linalg.norm(force)
        env.mujoco_renderer._get_viewer("rgb_array").add_marker(
            type=mujoco.mjtGeom.mjGEOM_ARROW,
            pos=env.data.body("wrist").xpos + ARROW_GAP * along,
            mat=_turned_to(along).ravel(),
            size=np.array([0.012, 0.012, ARROW_LENGTH]),
            rgba=np.array(ARROW_RGBA, np.float32),
            label="",
        )
    return np.concatenate([_caption(name, "stacked" if env.seated else text), env.render()])


def _turned_to(along: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Return a rotation that turns the z axis to this direction."""
    side = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    side = side / np.linalg.norm(side)
    return np.stack([side, np.cross(along, side), along], axis=1)


@cache
def _caption(name: str, text: str) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the strip above an arm's picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / DPI, CAPTION / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    figure.text(0.03, 0.5, name, va="center", fontsize=15, fontweight="bold", color=STYLES[name][0])
    figure.text(0.97, 0.5, text, va="center", ha="right", fontsize=14, color=INK)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _save(picture: UInt8[np.ndarray, "height width 3"], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(picture.shape[1] / DPI, picture.shape[0] / DPI), dpi=DPI)
    figure.figimage(picture)
    save_figure(figure, path, DPI)
