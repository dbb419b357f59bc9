"""Film a policy, rendered without a screen."""

import errno
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from entrax.environments.make import make_pool
from entrax.environments.messages import Picture
from entrax.environments.pool import Pool
from entrax.environments.seeds import episode_seed
from entrax.environments.source import EnvSource
from entrax.errors import CannotWrite, EntraxError, write_faults

MUJOCO_PROBE = "import mujoco; context = mujoco.GLContext(64, 64); context.make_current()"
BACKENDS = ("egl", "osmesa", "glfw")  # of MuJoCo; those that need no screen come first
PROBE_SECONDS = 60
WIDTH = 480
PICTURES_PER_SECOND = 30  # the film still runs at the environment's own speed
# About constant quality, capped so that 20 seconds stay below 1.5 MB: the report embeds the film.
ENCODING = ["-c:v", "libx264", "-crf", "25", "-maxrate", "500k", "-bufsize", "500k", "-pix_fmt", "yuv420p"]
DISK_ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOENT, errno.EACCES)
"""Errors that the encoder may report about the file that it writes."""


def record(
    source: EnvSource,
    act: Callable[[np.ndarray, np.ndarray, np.ndarray], Any],
    path: Path,
    seed: int,
    max_seconds: float = 20.0,
    step_timeout: float | None = None,
    seeds: Sequence[int] | None = None,
) -> str | None:
    """Film episodes of a policy as an MP4.

    Args:
        source: the environment.
        act: returns the actions [1, action] in the environment's bounds from (obs [1, obs], episodes [1], t [1]).
        path: the file.
        seed: seed of the episodes.
        max_seconds: length of the film.
        step_timeout: seconds that a reset, a step or a picture may take; the environment is then in a worker process.
        seeds: replaces the seeds of the episodes, of which no more are filmed.

    Returns:
        The reason why there is no film, such as missing OpenGL; None if there is one.

    Raises:
        CannotWrite: if the file cannot be written.
    """
    backend, failure = _working_backend(source)
    if failure is not None:
        return failure
    try:
        with (
            _environment_variables(backend),
            make_pool(source, 1, 0 if step_timeout is None else 1, step_timeout, render_mode="rgb_array") as pool,
        ):
            _film(pool, act, path, max_seconds, _video_seeds(seed) if seeds is None else iter(seeds))
    except CannotWrite:
        raise
    except EntraxError as error:
        return f"the environment cannot be filmed: {error}"
    except Exception as error:  # the encoder can raise anything, and training is done
        return f"rendering failed: {type(error).__name__}: {error}"
    return None


@contextmanager
def rendering(source: EnvSource) -> Iterator[bool]:
    """Choose how MuJoCo draws within the context; the value is whether `source` renders here."""
    backend, failure = _working_backend(source)
    with _environment_variables(backend):
        yield failure is None


def _working_backend(source: EnvSource) -> tuple[dict[str, str], str | None]:
    """Return environment variables under which `source` renders, or why it does not."""
    if source.importable:
        command, given = ["-m", "entrax.report.probe"], json.dumps(source.to_process())
    else:
        command, given = (
            ["-c", MUJOCO_PROBE],
            "",
        )  # another process cannot make the environment, but it can try MuJoCo's OpenGL
    # pygame needs no screen. One thread for Mesa's rasteriser: more are slower on a machine with other work.
    chosen = {
        name: os.environ.get(name, value) for name, value in (("SDL_VIDEODRIVER", "dummy"), ("LP_NUM_THREADS", "1"))
    }
    reasons = []
    for backend in [os.environ["MUJOCO_GL"]] if "MUJOCO_GL" in os.environ else BACKENDS:
        chosen["MUJOCO_GL"] = backend
        reason = _probe([sys.executable, "-P", "-W", "ignore", *command], given, chosen)
        if reason is None:
            return chosen, None
        reasons.append(f"{backend}: {reason}")
    if "pygame" in reasons[0] and "not installed" in reasons[0]:
        reasons = reasons[:1]  # the same whatever the OpenGL
    return chosen, f"the environment does not render here ({'; '.join(reasons)})"


def _probe(command: list[str], given: str, variables: Mapping[str, str]) -> str | None:
    """Return why the command fails on this input; None if it succeeds."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    environment = os.environ | variables | {"PYTHONPATH": path}
    try:
        done = subprocess.run(
            command, input=given.encode(), env=environment, capture_output=True, timeout=PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"no picture within {PROBE_SECONDS} seconds"
    if done.returncode < 0:
        return f"the process that tried died of signal {-done.returncode}"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return None if done.returncode == 0 else (lines or ["no reason given"])[-1]


@contextmanager
def _environment_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _video_seeds(seed: int) -> Iterator[int]:
    """Yield the seeds of the episodes of a film."""
    return (episode_seed(seed, 0, episode, stream="video") for episode in itertools.count())


def _film(pool: Pool, act: Callable[..., Any], path: Path, max_seconds: float, seeds: Iterator[int]) -> None:
    steps_per_second = pool.traits.render_fps or PICTURES_PER_SECOND
    every = max(1, round(steps_per_second / PICTURES_PER_SECOND))
    steps = max(1, round(max_seconds * steps_per_second))
    encode_film(_pictures(pool, act, seeds, steps, every), steps_per_second / every, path)


def _pictures(pool: Pool, act: Callable[..., Any], seeds: Iterator[int], steps: int, every: int) -> Iterator[Picture]:
    """Yield a picture of every `every`-th of `steps` steps, over as many episodes as they last."""
    obs, episode, t, ended = np.zeros(0), -1, 0, True
    for step in range(steps):
        if ended:
            if (seed := next(seeds, None)) is None:
                return
            episode, t = episode + 1, 0
            obs = pool.reset_many({0: seed})[0]
        if step % every == 0:
            yield pool.render(0)
        result = pool.step(np.asarray(act(obs[None], np.full(1, episode, np.int32), np.full(1, t, np.int32))))
        obs, ended, t = result.next_obs[0], bool(result.terminated[0] or result.truncated[0]), t + 1


def encode_film(pictures: Iterator[Picture], fps: float, path: Path, width: int = WIDTH) -> None:
    """Encode pictures as an MP4, one by one; together they would fill a gigabyte. The file is whole or missing.

    Args:
        pictures: all of one size.
        fps: pictures per second.
        path: the file.
        width: of the film, at most; wider pictures are made smaller.

    Raises:
        CannotWrite: if the file cannot be written.
        EntraxError: if the encoder fails.
    """
    aside = path.with_name(f".{path.name}.partial")
    try:
        _encode(pictures, fps, aside, width)
        with write_faults(path):
            os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _encode(pictures: Iterator[Picture], fps: float, path: Path, width: int) -> None:
    import imageio_ffmpeg

    first = next(pictures)
    height, columns = first.shape[:2]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{columns}x{height}", "-r", f"{fps}", "-i", "-"]
    # H.264 takes even sizes only. "faststart" lets a browser play before the download ends.
    scale = f"scale={min(width, columns) // 2 * 2}:-2"
    command += ["-vf", scale, *ENCODING, "-movflags", "+faststart", "-f", "mp4", str(path)]
    # imageio's writer would fork, which is unsafe with JAX's threads.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        assert encoder.stderr is not None
        try:
            with suppress(BrokenPipeError):  # the encoder failed and reports why below
                encoder.stdin.write(first.tobytes())
                for picture in pictures:
                    encoder.stdin.write(picture.tobytes())
                encoder.stdin.close()
        except BaseException:
            encoder.kill()
            raise
        words = encoder.stderr.read().decode(errors="replace").strip()
    if encoder.returncode != 0:
        for number in DISK_ERRORS:
            if os.strerror(number) in words:
                raise CannotWrite(path, OSError(number, os.strerror(number)))
        raise EntraxError(f"the film could not be encoded: {words[-200:]}")
