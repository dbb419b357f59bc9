"""The reaching task: the same by state and by pictures, and as Gymnasium has it."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from entrax.environments.reacher import NEAR, TORQUE, Reacher
from entrax.errors import EntraxError
from tests.environments.bodies import innermost


def test_a_step_is_two_of_gymnasium():
    ours, theirs = Reacher(), innermost(gymnasium.make("Reacher-v5"))
    for env in (ours, theirs):
        env.reset(seed=3)
    theirs.set_state(ours.data.qpos.copy(), ours.data.qvel.copy())
    np.testing.assert_allclose(innermost(ours).action_space.high, TORQUE)
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-TORQUE, TORQUE, 2)
        obs, reward, _, _, info = ours.step(action)
        expected = [theirs.step(action) for _ in range(2)][1]
        np.testing.assert_allclose(ours.data.qpos, theirs.data.qpos, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(obs[:8], expected[0][:8], rtol=1e-5, atol=1e-6)
        assert reward == pytest.approx(expected[1], abs=2e-3)  # Gymnasium's bodies lag by a quarter of a step
        assert info["success"] == (info["distance"] < NEAR)


def test_blank_states_are_refused():
    with pytest.raises(EntraxError, match="pictures"):
        Reacher(blank=True)


def test_pictures_need_no_screen():
    command = [sys.executable, "-m", "pytest", "-q", str(Path(__file__).with_name("reacher_pictures.py"))]
    ended = subprocess.run(command, env=os.environ | {"MUJOCO_GL": "egl"}, capture_output=True, text=True, timeout=240)
    assert "2 passed" in ended.stdout, ended.stdout
