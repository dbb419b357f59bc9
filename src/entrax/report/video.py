"""A film of a policy, rendered without a screen."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from entrax.environments.seeds import episode_seed
from entrax.environments.source import EnvSource
from entrax.environments.spaces import flattener, spec_of, to_env_action
from entrax.errors import EntraxError

PROBE = "import mujoco; context = mujoco.GLContext(64, 64); context.make_current()"
MOST_SECONDS = 20.0
WIDTH = 480


def record(
    source: EnvSource, act: Callable[[np.ndarray, np.ndarray, np.ndarray], Any], path: Path, seed: int
) -> str | None:
    """Film one episode, at most 20 seconds of it, as an MP4 at `path`; why there is no film, or None if there is.

    `act(obs [1, obs], episodes [1], t [1])` gives the actions [1, action] in the environment's bounds. Without OpenGL,
    or for an environment that does not render, nothing is written and nothing raised.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    unable = _prepare_opengl()
    if unable is not None:
        return unable
    try:
        _write(*_frames(source, act, seed), path)
    except EntraxError as error:
        return f"the environment cannot be filmed: {error}"
    except Exception as error:  # drawing is the environment's and the driver's affair: whatever fails, training is done
        return f"rendering failed: {type(error).__name__}: {error}"
    return None


def _prepare_opengl() -> str | None:
    """Choose a headless OpenGL for MuJoCo, tried in a process of its own since a bad one may crash."""
    if sys.platform != "linux" or os.environ.get("MUJOCO_GL") or os.environ.get("DISPLAY"):
        return None
    for backend in ("egl", "osmesa"):
        command = [sys.executable, "-W", "ignore", "-c", PROBE]
        try:
            found = subprocess.run(command, env=os.environ | {"MUJOCO_GL": backend}, capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            continue
        if found.returncode == 0:
            os.environ["MUJOCO_GL"] = backend
            return None
    return "no headless OpenGL was found (neither EGL nor OSMesa)"


def _frames(source: EnvSource, act: Callable[..., Any], seed: int) -> tuple[list[np.ndarray], float]:
    env = source.make(render_mode="rgb_array")
    try:
        spec, flatten = spec_of(env), flattener(env.observation_space)
        fps = float(env.metadata.get("render_fps") or 30)
        obs, _ = env.reset(seed=episode_seed(seed, 0, 0, stream="video"))
        frames, t, ended = [_frame(env)], 0, False
        while not ended and t < MOST_SECONDS * fps:
            action = act(flatten(obs)[None], np.zeros(1, np.int32), np.full(1, t, np.int32))
            obs, _, terminated, truncated, _ = env.step(to_env_action(spec.action, np.asarray(action)[0]))
            ended, t = bool(terminated or truncated), t + 1
            frames.append(_frame(env))
        return frames, fps
    finally:
        env.close()


def _frame(env: Any) -> np.ndarray:
    frame = env.render()
    if not isinstance(frame, np.ndarray) or frame.ndim != 3:
        raise EntraxError("render() returned no image")
    return np.ascontiguousarray(frame[:, :, :3], np.uint8)


def _write(frames: list[np.ndarray], fps: float, path: Path) -> None:
    import imageio_ffmpeg

    height, width = frames[0].shape[:2]
    every = max(1, round(fps / 30))  # 30 frames a second are enough to look at
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps / every}", "-i", "-"]
    command += ["-vf", f"scale={min(WIDTH, width)}:-2", "-pix_fmt", "yuv420p", "-b:v", "500k", str(path)]
    # Its own writer would fork, which is unsafe beside JAX's threads; this starts a process without.
    done = subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames[::every]), capture_output=True)
    if done.returncode != 0:
        raise EntraxError(f"the film could not be encoded: {done.stderr.decode(errors='replace').strip()[-200:]}")
