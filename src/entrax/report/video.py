"""Film a policy, rendered without a screen."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from entrax.environments.faults import exits_caught
from entrax.environments.seeds import episode_seed
from entrax.environments.source import EnvSource
from entrax.environments.spaces import flattener, spec_of, to_env_action
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

Picture = UInt8[np.ndarray, "height width 3"]


def record(
    source: EnvSource,
    act: Callable[[np.ndarray, np.ndarray, np.ndarray], Any],
    path: Path,
    seed: int,
    max_seconds: float = 20.0,
) -> str | None:
    """Film the policy's episodes as an MP4.

    Without OpenGL, or for an environment that does not render, nothing is written and nothing raised.

    Args:
        source: how to make the environment.
        act: `act(obs [1, obs], episodes [1], t [1])` returns actions [1, action] in the environment's bounds.
        path: of the film.
        seed: of the episodes.
        max_seconds: the longest duration of the film.

    Returns:
        None, or the reason if there is no film.

    Raises:
        CannotWrite: if the file cannot be written.
    """
    backend, failure = _working_backend(source)
    if failure is not None:
        return failure
    aside = path.with_name(f".{path.name}.partial")
    try:
        with _environment_variables(backend), exits_caught():
            _film(source, act, aside, seed, max_seconds)
        with write_faults(path):
            os.replace(aside, path)
    except CannotWrite:
        raise
    except EntraxError as error:
        return f"the environment cannot be filmed: {error}"
    except (Exception, SystemExit) as error:  # of the environment or the driver; the trained policy is saved already
        return f"rendering failed: {type(error).__name__}: {error}"
    finally:
        aside.unlink(missing_ok=True)
    return None


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


def _film(source: EnvSource, act: Callable[..., Any], path: Path, seed: int, max_seconds: float) -> None:
    env = source.make(render_mode="rgb_array")
    try:
        _track_body(env)
        steps_per_second = float(env.metadata.get("render_fps") or PICTURES_PER_SECOND)
        every = max(1, round(steps_per_second / PICTURES_PER_SECOND))
        steps = max(1, round(max_seconds * steps_per_second))
        _encode(_pictures(env, act, seed, steps, every), steps_per_second / every, path)
    finally:
        env.close()


def _track_body(env: Any) -> None:
    """Choose a camera that follows a MuJoCo body.

    Gymnasium's default camera of HalfCheetah, Ant and Swimmer does not move.

    Their models have a camera named "track". An environment with a camera of its own choice keeps it.
    """
    import mujoco
    from gymnasium.envs.mujoco import MujocoEnv

    inner = env.unwrapped
    if not isinstance(inner, MujocoEnv) or inner.camera_id is not None or inner.camera_name is not None:
        return
    renderer = inner.mujoco_renderer
    following = mujoco.mj_name2id(inner.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
    if following >= 0 and "trackbodyid" not in (renderer.default_cam_config or {}):
        renderer.camera_id = following


def _pictures(env: Any, act: Callable[..., Any], seed: int, steps: int, every: int) -> Iterator[Picture]:
    """Yield a picture of every `every`-th of `steps` steps, over several episodes."""
    spec, flatten = spec_of(env), flattener(env.observation_space)
    obs, episode, t, ended = None, -1, 0, True
    for step in range(steps):
        if ended:
            episode, t = episode + 1, 0
            obs, _ = env.reset(seed=episode_seed(seed, 0, episode, stream="video"))
        if step % every == 0:
            yield _picture(env)
        action = act(flatten(obs)[None], np.full(1, episode, np.int32), np.full(1, t, np.int32))
        obs, _, terminated, truncated, _ = env.step(to_env_action(spec.action, np.asarray(action)[0]))
        ended, t = bool(terminated or truncated), t + 1


def _picture(env: Any) -> Picture:
    picture = env.render()
    if not isinstance(picture, np.ndarray) or picture.ndim != 3:
        raise EntraxError("render() returned no image")
    return np.ascontiguousarray(picture[:, :, :3], np.uint8)


def _encode(pictures: Iterator[Picture], fps: float, path: Path) -> None:
    """Encode the pictures one by one; together they would fill a gigabyte."""
    import imageio_ffmpeg

    first = next(pictures)
    height, width = first.shape[:2]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps}", "-i", "-"]
    # H.264 takes even sizes only. "faststart" lets a browser play before the download ends.
    scale = f"scale={min(WIDTH, width) // 2 * 2}:-2"
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
