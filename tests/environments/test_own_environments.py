"""What holds for every environment of ours: Gymnasium's contract, replays to the byte, pictures without a screen."""

import json
import os
import pickle
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from entrax.environments.check import check_environment
from entrax.environments.names import NAMES
from entrax.environments.recorded import recorded_source
from entrax.environments.source import EnvSource

POINTS = {
    "entrax/PointAnyDirection-v0": {},
    "entrax/PointHallway-v0": {"direction": 30.0},
    "entrax/PointLines-v0": {"goal": "x"},
    "entrax/TwoPassage-v0": {"closed": "random"},
}
MUJOCO = {
    "entrax/AntAnyDirection-v0": {},
    "entrax/AntHallway-v0": {"direction": 30.0, "width": 3.0},
    "entrax/TwoPassage-v0": {"body": "ant", "closed": "right"},
    "entrax/Pusher-v0": {"goal": "x"},
    "entrax/Reacher-v0": {},
    "entrax/Stacking-v0": {"disturbance": "arm"},
}
DERIVED: dict[str, dict] = {"entrax/PendulumNoVelocity-v0": {}}  # Gymnasium draws it
EVERY = [*POINTS.items(), *MUJOCO.items(), *DERIVED.items()]


def rollout(env, seed, actions):
    """All that an episode gives, as bytes."""
    episode = [env.reset(seed=seed)[0].tobytes()]
    for action in actions:
        obs, reward, terminated, truncated, info = env.step(action)
        episode.append((obs.tobytes(), float(reward).hex(), terminated, truncated, str(info)))
        if terminated or truncated:
            break
    return episode


def test_every_name_is_tested():
    elsewhere = {"entrax/MultiGoal-v0", "entrax/Corridor-v0", "entrax/Perturbed-v0", "entrax/BitFlip-v0"}
    elsewhere |= {"entrax/ReacherPixels-v0", "entrax/Atari-v0", "entrax/ActionMask-v0", "entrax/LinearQuadratic-v0"}
    elsewhere |= {name for name in NAMES if name.startswith("MinAtar/")}
    assert {name for name, _ in EVERY} == NAMES.keys() - elsewhere


@pytest.mark.filterwarnings("default:.*infinity")
@pytest.mark.parametrize(("name", "arguments"), EVERY)
def test_gymnasium_finds_nothing_amiss(name, arguments, recwarn):
    env: Any = gymnasium.make(name, **arguments).unwrapped
    # With a render mode "human" among its modes the check would open a window.
    check_env(env, skip_render_check="human" in env.metadata["render_modes"])
    unbounded = not np.isfinite(env.observation_space.low).all()  # velocities of real models, as in Gymnasium's own
    scaled = (np.abs(env.action_space.low) == 1.0).all()  # Pendulum's torque is not, and the check recommends it
    messages = [text for w in recwarn if "symmetric" not in (text := str(w.message)) or scaled]
    assert len(messages) == 2 * unbounded
    assert all("infinity" in message for message in messages)


@pytest.mark.parametrize(("name", "arguments"), EVERY)
def test_our_own_check_finds_nothing_amiss_and_the_source_travels(name, arguments):
    source = EnvSource(name, arguments)
    assert source.importable
    assert check_environment(recorded_source(json.loads(json.dumps(source.to_json()))), 0).warnings == ()


@pytest.mark.parametrize(("name", "arguments"), EVERY)
def test_a_reset_erases_the_past(name, arguments):
    """The same episode before and after others, in the same environment and in a new one."""
    rng = np.random.default_rng(0)
    env: Any = gymnasium.make(name, **arguments)
    new = gymnasium.make(name, **arguments)
    actions = rng.uniform(-1.0, 1.0, (40, *env.action_space.shape)).astype(np.float32)
    first = rollout(env, 7, actions)
    other = rollout(env, 8, -actions)
    assert first == rollout(env, 7, actions) == rollout(new, 7, actions)
    assert first != other


@pytest.mark.parametrize(("name", "arguments"), EVERY)
def test_observations_and_infos_are_not_shared_with_later_ones(name, arguments):
    env: Any = gymnasium.make(name, **arguments)
    env.action_space.seed(0)
    obs, _ = env.reset(seed=0)
    before = obs.copy()
    for _ in range(5):
        env.step(env.action_space.sample())
    np.testing.assert_array_equal(obs, before)
    assert obs.dtype == env.observation_space.dtype


@pytest.mark.parametrize(("name", "arguments"), EVERY)
def test_a_copy_is_made_with_the_same_arguments(name, arguments):
    env: Any = gymnasium.make(name, **arguments).unwrapped
    copy = pickle.loads(pickle.dumps(env))  # noqa: S301  # our own bytes
    actions = np.full((5, *env.action_space.shape), 0.5, np.float32)
    assert rollout(env, 3, actions) == rollout(copy, 3, actions)


SCRIPT = """
import json, sys, warnings
warnings.simplefilter("error")
import gymnasium, numpy as np, entrax.environments
for name, arguments in json.loads(sys.argv[1]):
    env = gymnasium.make(name, render_mode="rgb_array", disable_env_checker=True, **arguments)
    env.reset(seed=0)
    first = env.render()
    for _ in range(20):
        env.step(np.full(env.action_space.shape, 0.5, np.float32))
    second = env.render()
    changed = int((first != second).any(-1).sum())
    print(json.dumps([name, first.shape, str(first.dtype), len(np.unique(first)), changed]))
    env.close()
"""


def has_egl():
    """Whether OpenGL works here without a screen."""
    script = "import mujoco; mujoco.GLContext(8, 8)"
    environment = {**os.environ, "MUJOCO_GL": "egl"}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True).returncode == 0


def pictures(environments):
    """Shape, dtype, number of tones of the first picture, and pixels that change in twenty steps, by name."""
    command = [sys.executable, "-c", SCRIPT, json.dumps(list(environments.items()))]
    ended = subprocess.run(command, env={**os.environ, "MUJOCO_GL": "egl"}, capture_output=True, text=True, timeout=120)
    assert ended.stderr == ""
    return {name: rest for name, *rest in map(json.loads, ended.stdout.splitlines())}


@pytest.mark.parametrize("environments", [POINTS, MUJOCO], ids=["points", "MuJoCo"])
def test_pictures_need_no_screen_and_show_the_movement(environments):
    shown = pictures(environments)
    assert shown.keys() == environments.keys()
    for shape, dtype, tones, changed in shown.values():
        assert min(shape[:2]) >= 400
        assert shape[2] == 3
        assert dtype == "uint8"
        assert tones > 20
        assert 100 < changed < shape[0] * shape[1]
