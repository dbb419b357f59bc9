import os
import re
import subprocess
from pathlib import Path
from typing import Any

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest

from entrax.environments.rendering import keep_in_view
from entrax.environments.source import EnvSource
from entrax.report import video
from entrax.report.video import record


def decoded(path: Path) -> tuple[tuple[int, int], float, np.ndarray]:
    """The film's size, its pictures per second, and the pictures [picture, height, width, 3], as FFmpeg reads them."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    about = re.search(r"Video: h264.* (\d+)x(\d+)[ ,].* ([\d.]+) fps", done.stderr.decode())
    assert about is not None
    width, height = int(about[1]), int(about[2])
    return (width, height), float(about[3]), np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def brighten(obs, episodes, t):
    """10 more with every step, 100 more with every episode; `t` counts from 0, so the picture at step t shows t - 1."""
    assert obs.shape == (1, 1)
    assert obs[0, 0] == t[0]
    return (10.0 * t + 100.0 * episodes)[:, None]


def test_the_film_shows_every_second_step_of_its_episodes_at_their_own_speed(tmp_path):
    source = EnvSource("report_toys:Painter", {"length": 10})
    assert record(source, brighten, tmp_path / "film.mp4", seed=0, max_seconds=20 / 60) is None
    size, fps, pictures = decoded(tmp_path / "film.mp4")
    # 60 steps a second are filmed as 30 pictures a second: steps 0, 2, … 18 of 20, in two episodes of 10 steps.
    shown = [max(0, 10 * (t - 1) + 100 * episode) if t else 0 for episode in (0, 1) for t in (0, 2, 4, 6, 8)]
    assert fps == 30
    assert len(pictures) == len(shown) == 10
    np.testing.assert_allclose(pictures.mean(axis=(1, 2, 3)), shown, atol=6)
    assert size == (100, 50)  # H.264 takes even sizes only
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_large_pictures_are_made_smaller(tmp_path):
    source = EnvSource("report_toys:Painter", {"size": (800, 1000)})
    assert record(source, brighten, tmp_path / "film.mp4", seed=0, max_seconds=0.1) is None
    assert decoded(tmp_path / "film.mp4")[0] == (480, 384)


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"fault": "raise"}, "does not render here .*RuntimeError: the brush is broken"),
        ({"fault": "die"}, "died of signal 6"),
        ({"fault": "late"}, "cannot be filmed: .*RuntimeError: the paint ran out"),
        ({"fault": "none"}, "cannot be filmed: .*no image from render"),
        ({"colour": "red"}, "does not render here .*unexpected keyword argument 'colour'"),
    ],
)
def test_without_a_picture_there_is_a_reason_and_no_file(tmp_path, monkeypatch, kwargs, reason):
    monkeypatch.setattr(video, "BACKENDS", ("egl",))
    why = record(EnvSource("report_toys:Painter", kwargs), brighten, tmp_path / "film.mp4", seed=0)
    assert why is not None
    assert re.search(reason, why), why
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_opengl_is_a_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    why = record(EnvSource("Hopper-v5"), brighten, tmp_path / "film.mp4", seed=0)
    assert why is not None
    assert why.startswith("the environment does not render here (disabled: ")
    assert list(tmp_path.iterdir()) == []


def test_an_environment_of_the_users_process_is_filmed_too(tmp_path, monkeypatch):
    from tests.report.report_toys import Painter

    monkeypatch.setattr(video, "MUJOCO_PROBE", "pass")  # whether or not this machine has OpenGL
    source = EnvSource("painter", factory=lambda render_mode=None: Painter(render_mode=render_mode))
    assert record(source, brighten, tmp_path / "film.mp4", seed=0, max_seconds=0.2) is None
    assert len(decoded(tmp_path / "film.mp4")[2]) == 6


def test_the_film_obeys_the_limit_of_a_step(tmp_path):
    """A step that never ends, in a worker process that can be killed; without the fault the film is the same."""
    source = EnvSource("report_toys:Painter", {"length": 10})
    for name, limit in (("here", None), ("there", 60.0)):
        path = tmp_path / f"{name}.mp4"
        assert record(source, brighten, path, seed=0, max_seconds=0.2, step_timeout=limit) is None
    here, there = (decoded(tmp_path / f"{name}.mp4")[2] for name in ("here", "there"))
    assert np.array_equal(here, there)
    stuck = EnvSource("report_toys:Painter", {"fault": "hang"})
    why = record(stuck, brighten, tmp_path / "film.mp4", seed=0, max_seconds=0.2, step_timeout=1.0)
    assert why is not None
    assert re.search("cannot be filmed: .*within 1 s", why), why
    assert not (tmp_path / "film.mp4").exists()


def test_the_users_environment_variables_stay_as_they_were(tmp_path, monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    before = dict(os.environ)
    assert record(EnvSource("report_toys:Painter"), brighten, tmp_path / "film.mp4", seed=0, max_seconds=0.1) is None
    assert dict(os.environ) == before


def test_the_camera_follows_a_runner_unless_it_was_chosen():
    for kwargs, follows in (({}, True), ({"camera_id": -1}, False)):
        env: Any = gymnasium.make("Swimmer-v5", disable_env_checker=True, **kwargs)
        keep_in_view(env)
        assert (env.unwrapped.mujoco_renderer.camera_id >= 0) == follows
        env.close()
    keep_in_view(EnvSource("report_toys:Painter").make())  # what has no MuJoCo camera is left alone
