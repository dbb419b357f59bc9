"""The reaching task: the same by state and by pictures, and as Gymnasium has it."""

import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from entrax.environments.reacher import NEAR, Reacher
from entrax.errors import EntraxError


def pixels(**arguments):
    env = Reacher(pixels=True, **arguments)
    try:
        env.reset(seed=0)
    except EntraxError as error:
        if "No picture can be drawn here" not in str(error):
            raise
        pytest.skip("no OpenGL in this process: the last test of this file starts one with it")
    return env


def test_rewards_are_those_of_gymnasium():
    ours, theirs = Reacher(), gymnasium.make("Reacher-v5").unwrapped
    for env in (ours, theirs):
        env.reset(seed=3)
    theirs.set_state(ours.data.qpos.copy(), ours.data.qvel.copy())
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-1, 1, 2)
        obs, reward, _, _, info = ours.step(action)
        expected = theirs.step(action)
        np.testing.assert_allclose(ours.data.qpos, theirs.data.qpos, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(obs[:8], expected[0][:8], rtol=1e-5, atol=1e-6)
        assert reward == pytest.approx(expected[1], abs=2e-3)  # Gymnasium's bodies lag by a quarter of a step
        assert info["success"] == (info["distance"] < NEAR)


def test_pictures_show_the_same_task_and_blank_ones_nothing():
    env, state, blank = pixels(), Reacher(), Reacher(pixels=True, blank=True)
    first = env.reset(seed=4)[0]
    state.reset(seed=4), blank.reset(seed=4)
    assert first.shape == env.observation_space.shape
    assert first.dtype == np.uint8
    action = np.array([0.5, -0.3])
    results = [e.step(action) for e in (env, state, blank)]
    assert results[0][1:3] == results[1][1:3] == results[2][1:3]
    np.testing.assert_array_equal(results[0][0][..., :6], first[..., 3:])
    assert (results[0][0][..., 6:] != first[..., 6:]).any()
    assert not results[2][0].any()
    env.close()


def test_the_target_is_where_it_is_drawn():
    env = pixels()
    for seed in range(3):
        picture = env.reset(seed=seed)[0][..., 6:].astype(int)
        red = picture[..., 0] - picture[..., 1:].max(axis=2)
        rows, columns = np.nonzero(red > 40)
        place = env.data.body("target").xpos[:2]
        scale = 64 / (2 * np.tan(np.radians(13)))  # pixels to a metre, at the height of the camera
        drawn = np.array([columns.mean() - 31.5, 31.5 - rows.mean()]) / scale
        np.testing.assert_allclose(drawn, place, atol=0.02)
    env.close()


def test_blank_states_are_refused():
    with pytest.raises(EntraxError, match="pictures"):
        Reacher(blank=True)


@pytest.mark.skipif(os.environ.get("MUJOCO_GL") == "egl", reason="the tests above have drawn their pictures")
def test_pictures_need_no_screen():
    command = [sys.executable, "-m", "pytest", "-q", "-k", "pictures_show or is_drawn", __file__]
    ended = subprocess.run(command, env=os.environ | {"MUJOCO_GL": "egl"}, capture_output=True, text=True, timeout=240)
    assert "2 passed" in ended.stdout, ended.stdout
