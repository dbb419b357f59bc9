"""How a body walks: what is recorded of an episode, its gait, and the distance between two gaits.

A gait has five parts, and the distance of two gaits is the mean of their distances in the parts, each from 0 to 1:

- duty: the share of time in which each foot touches the ground; the mean absolute difference;
- phase: when each foot touches the ground within a stride, relative to the first foot. With z_f the Fourier
  coefficient of a foot's contacts at the stride frequency in a window, u_f = Σ z_f z̄_0 / √(Σ |z_f|² Σ |z_0|²) over all
  windows, whose size is 1 if the phase never changes; the mean of ½ |u - u'|. A foot that hardly touches the ground or
  hardly leaves it has u = 0;
- frequency: of strides; the absolute difference in octaves, at most 1;
- joints: the mean angle of every joint, in shares of its range; the mean absolute difference;
- torso: its mean height, in shares of the standing one, and its tilt, 0 upright and 1 upside down; the mean absolute
  difference, at most 1 each.

The stride frequency is the largest peak in the power spectra of the joints, summed over joints and windows. Windows are
short, since the rhythm of a walk wanders.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Bool, Complex, Float

FEET: dict[str, tuple[str, ...]] = {
    "HalfCheetah-v5": ("bfoot", "ffoot"),
    "Walker2d-v5": ("foot_geom", "foot_left_geom"),
    "Ant-v5": ("left_ankle_geom", "right_ankle_geom", "third_ankle_geom", "fourth_ankle_geom"),
}
"""The geoms that walk, by environment."""
FLOOR, TORSO = "floor", "torso"
WARM_UP = 1.0  # seconds at the start of an episode that are ignored
LEAST_SECONDS = 2.0  # of an episode after that, and the length of a window
LEAST_SPEED = 0.5  # m/s forward: the body walks
SLOWEST = 0.5  # the lowest stride frequency, in Hz
LEAST_DUTY = 0.02  # the share of time on the ground, and off it, of a foot that has a phase
BINS = 4096  # of the spectra, which are padded to resolve the peak
PARTS = ("duty", "phase", "frequency", "joints", "torso")


class Body(NamedTuple):
    """What does not change of a MuJoCo body.

    Attributes:
        feet: indices of the geoms of the feet.
        floor: index of the geom of the ground.
        torso: index of the body of the torso.
        joints: places of the hinges with a range in qpos.
        ranges: lowest and highest angles of these joints.
        height: of the torso when it stands, in m.
        dt: seconds of a step.
    """

    feet: tuple[int, ...]
    floor: int
    torso: int
    joints: tuple[int, ...]
    ranges: Float[np.ndarray, "joint 2"]
    height: float
    dt: float


class Gaits(NamedTuple):
    """The gaits of several episodes, along the first axis of every array; see the module."""

    duty: Float[np.ndarray, "episode foot"]
    phase: Complex[np.ndarray, "episode other_foot"]
    frequency: Float[np.ndarray, "episode 1"]
    joints: Float[np.ndarray, "episode joint"]
    torso: Float[np.ndarray, "episode 2"]


def body_of(env: gymnasium.Env, feet: Sequence[str]) -> Body:
    """Read a body from its MuJoCo model; `feet` are the names of geoms."""
    unwrapped: Any = env.unwrapped
    model = unwrapped.model
    limited = [j for j in range(model.njnt) if model.jnt_limited[j]]
    return Body(
        feet=tuple(model.geom(name).id for name in feet),
        floor=model.geom(FLOOR).id,
        torso=model.body(TORSO).id,
        joints=tuple(int(model.jnt_qposadr[j]) for j in limited),
        ranges=np.array([model.jnt_range[j] for j in limited], float),
        height=float(model.body(TORSO).pos[2]),
        dt=float(unwrapped.dt),
    )


def observe_body(body: Body, env: gymnasium.Env) -> Float[np.ndarray, " entry"]:
    """Return qpos, the torso's height and the vertical part of its upward axis, and 1 for every foot on the ground."""
    data = env.unwrapped.data  # type: ignore[attr-defined]
    pairs = data.contact.geom.reshape(-1, 2)
    grounded = pairs[(pairs == body.floor).any(axis=1)]
    contacts = [float((grounded == foot).any()) for foot in body.feet]
    return np.array([*data.qpos, data.xpos[body.torso, 2], data.xmat[body.torso, 8], *contacts])


def gaits_of(body: Body, paths: Float[np.ndarray, "episode time entry"]) -> tuple[Gaits, Bool[np.ndarray, " episode"]]:
    """Return the gaits of the episodes in which the body walks, and which ones those are.

    An episode counts if, after `WARM_UP`, it lasts `LEAST_SECONDS` and moves forward at `LEAST_SPEED` or more.

    Args:
        body: the body.
        paths: of `observe_body`, NaN after the end of an episode.
    """
    parts, walks = [], []
    for path in paths:
        steady = path[np.isfinite(path[:, 0])].astype(float)[round(WARM_UP / body.dt) :]
        seconds = (len(steady) - 1) * body.dt
        walks.append(seconds >= LEAST_SECONDS and (steady[-1, 0] - steady[0, 0]) / seconds >= LEAST_SPEED)
        if walks[-1]:
            parts.append(_gait(body, steady))
    feet, joints = len(body.feet), len(body.joints)
    empty = [np.zeros((0, feet)), np.zeros((0, feet - 1), complex), *(np.zeros((0, n)) for n in (1, joints, 2))]
    stacked = [np.stack(each) for each in zip(*parts, strict=True)] if parts else empty
    return Gaits(*stacked), np.array(walks, bool)


def _gait(body: Body, path: Float[np.ndarray, "time entry"]) -> tuple[np.ndarray, ...]:
    """Return the parts of the gait of one episode."""
    feet = len(body.feet)
    contacts, height, up = path[:, -feet:], path[:, -feet - 2], path[:, -feet - 1]
    low, high = body.ranges.T
    angles = (path[:, list(body.joints)] - low) / (high - low)
    frequency = stride_frequency(angles, body.dt)
    torso = np.array([height.mean() / body.height, np.mean(0.5 * (1.0 - up))])
    phase = relative_phases(contacts, frequency, body.dt)
    return contacts.mean(axis=0), phase, np.array([frequency]), angles.mean(axis=0), torso


def windows(signals: Float[np.ndarray, "time signal"], dt: float) -> Float[np.ndarray, "window signal moment"]:
    """Return pieces of `LEAST_SECONDS`, each half over the one before, less their means and faded at both ends."""
    length = min(round(LEAST_SECONDS / dt), len(signals))
    pieces = np.lib.stride_tricks.sliding_window_view(signals, length, axis=0)[:: max(1, length // 2)]
    return (pieces - pieces.mean(axis=-1, keepdims=True)) * np.hanning(length)


def stride_frequency(angles: Float[np.ndarray, "time joint"], dt: float) -> float:
    """Return the frequency of the largest peak in the sum of the joints' power spectra, in Hz."""
    power = np.sum(np.abs(np.fft.rfft(windows(angles, dt), BINS)) ** 2, axis=(0, 1))
    frequencies = np.fft.rfftfreq(BINS, dt)
    return float(frequencies[np.argmax(np.where(frequencies >= SLOWEST, power, 0.0))])


def relative_phases(
    contacts: Float[np.ndarray, "time foot"], frequency: float, dt: float
) -> Complex[np.ndarray, " other_foot"]:
    """Return u of every foot but the first."""
    pieces, duty = windows(contacts, dt), contacts.mean(axis=0)
    stepping = (duty >= LEAST_DUTY) & (duty <= 1.0 - LEAST_DUTY)
    z = pieces @ np.exp(-2j * np.pi * frequency * dt * np.arange(pieces.shape[-1]))
    together = np.sum(z[:, 1:] * np.conj(z[:, :1]), axis=0)
    size = np.sqrt(np.sum(np.abs(z) ** 2, axis=0))
    return np.where(stepping[1:] & stepping[0], together / np.maximum(size[1:] * size[0], 1e-9), 0.0)


def distances(ours: Gaits, theirs: Gaits) -> dict[str, Float[np.ndarray, "ours theirs"]]:
    """Return the distances of all pairs of episodes in every part, and their mean as `all`."""

    def apart(name: str) -> np.ndarray:
        return np.abs(getattr(ours, name)[:, None] - getattr(theirs, name)[None])

    octaves = np.abs(np.log2(ours.frequency[:, None, 0] / theirs.frequency[None, :, 0]))
    parts = {
        "duty": apart("duty").mean(axis=-1),
        "phase": 0.5 * apart("phase").mean(axis=-1),
        "frequency": np.minimum(octaves, 1.0),
        "joints": apart("joints").mean(axis=-1),
        "torso": np.minimum(apart("torso"), 1.0).mean(axis=-1),
    }
    return parts | {"all": np.mean(list(parts.values()), axis=0)}


def mean_distances(runs: Sequence[Gaits]) -> dict[str, Float[np.ndarray, "run run"]]:
    """Return the mean distances of an episode of one run and one of another, in every part and in `all`.

    On the diagonal it is that of two episodes of the same run.
    """
    result = {part: np.zeros((len(runs), len(runs))) for part in (*PARTS, "all")}
    for i, ours in enumerate(runs):
        for j, theirs in enumerate(runs[: i + 1]):
            counted = np.full((len(ours.duty), len(theirs.duty)), True)
            if i == j:
                np.fill_diagonal(counted, False)
            for part, each in distances(ours, theirs).items():
                result[part][i, j] = result[part][j, i] = each[counted].mean() if counted.any() else 0.0
    return result


def excess(means: Float[np.ndarray, "run run"]) -> Float[np.ndarray, "run run"]:
    """Return by how much two runs differ beyond the differences within each: D_ij - ½ (D_ii + D_jj).

    Its expectation is 0 if the episodes of both runs are alike; a small sample may have less.
    """
    within = np.diag(means)
    return means - 0.5 * (within[:, None] + within[None, :])
