"""Geometry of the bricks, the reward, success, and pushes."""

import gymnasium
import numpy as np
import pytest

from entrax.environments.stacking import (
    ASIDE_FORCE,
    CORNERS,
    EARLIEST,
    FAR,
    FARTHEST,
    FINE,
    HAND,
    LAST,
    LATEST,
    MOVED,
    PUSHED,
    SIDE,
    START,
    UPWARD_FORCE,
    Stacking,
    posture,
)
from entrax.errors import EntraxError

TOP = 0.05
STILL = np.zeros(5, np.float32)


def placed(env, reach, height, roll=0.0, wrist=0.0, below=(0.0, 0.0)):
    """Hold the brick at this place at rest, the lower one at `below`; return the environment."""
    env.reset(seed=0)
    env.set_state(np.append(posture(reach, height) + np.array([0.0, 0.0, 0.0, wrist, roll]), below), np.zeros(7))
    return env


@pytest.fixture(scope="module")
def env():
    return Stacking()


@pytest.mark.parametrize(("reach", "height"), [(0.42, TOP), START, (0.3, 0.1), (0.5, 0.08)])
def test_a_posture_holds_the_brick_upright_at_a_place(env, reach, height):
    held = placed(env, reach, height).data.body("held")
    np.testing.assert_allclose(held.xpos, [reach, 0.0, height], atol=1e-9)
    np.testing.assert_allclose(held.xmat.reshape(3, 3), np.eye(3), atol=1e-9)


@pytest.mark.parametrize(
    ("change", "distance"),
    [
        ({}, 0.0),
        ({"height": TOP + 0.1}, 0.1),
        ({"below": (0.03, -0.04)}, 0.05),
        ({"roll": 0.2}, 2**0.5 * SIDE * np.sin(0.1)),  # corners move on a circle
    ],
)
def test_the_distance_measures_place_and_heading(env, change, distance):
    assert placed(env, **{"reach": 0.42, "height": TOP} | change).distance == pytest.approx(distance, abs=1e-9)


def test_the_distance_measures_tilt_by_hand(env):
    placed(env, 0.42, TOP, wrist=0.2)  # the brick turns about the wrist, 13 cm above its bottom
    cos, sin = np.cos(0.2), np.sin(0.2)
    corners = [
        (0.42 - HAND * sin + x * cos, y, TOP + HAND * (1 - cos) - x * sin) - np.array([0.42 + x, y, TOP])
        for x, y, _ in CORNERS
    ]
    assert env.distance == pytest.approx(np.linalg.norm(corners, axis=1).mean(), abs=1e-9)


def test_the_reward_by_hand(env):
    placed(env, 0.42, TOP + 0.1)
    action = np.full(5, 0.02, np.float32)
    obs, reward, terminated, truncated, info = env.step(action)
    near = 1 - np.log(1 + info["distance"] / FINE) / np.log(1 + FAR / FINE)
    assert reward == pytest.approx(near - 0.05 * 0.02**2, abs=1e-9)
    assert 0.09 < info["distance"] < 0.11
    assert not terminated
    assert not truncated
    np.testing.assert_array_equal(obs[:5], env.data.qpos[:5])
    np.testing.assert_array_equal(obs[5:10], env.data.qvel[:5])
    np.testing.assert_allclose(obs[10:13] * SIDE, env.data.body("below").xpos - env.data.body("held").xpos)


@pytest.mark.parametrize(
    ("change", "seated"),
    [
        ({}, True),
        ({"height": TOP + 0.002}, True),
        ({"height": TOP + 0.004}, False),
        ({"below": (0.003, 0.0)}, True),
        ({"below": (0.003, -0.003)}, False),
        ({"wrist": 0.1, "height": TOP + 0.002}, False),
    ],
)
def test_a_seated_brick_is_down_and_in_the_middle(env, change, seated):
    assert placed(env, **{"reach": 0.42, "height": TOP} | change).seated == seated


def test_success_is_to_be_seated_for_the_last_steps(env):
    placed(env, 0.42, TOP)
    assert [env.step(STILL)[4]["success"] for _ in range(LAST + 2)] == [False] * (LAST - 1) + [True] * 3
    env.set_state(np.append(posture(0.42, TOP + 0.02), [0.0, 0.0]), np.zeros(7))
    assert not env.step(STILL)[4]["success"]


@pytest.mark.parametrize(("aside", "low"), [(0.0, -0.002), (0.02, 0.012)])
def test_the_stud_fits_into_the_socket_and_nowhere_else(env, aside, low):
    placed(env, 0.42, TOP + 0.02, below=(0.0, aside))
    for _ in range(20):
        env.step(np.array([0.0, 0.3, 0.0, 0.0, 0.0], np.float32))  # press down
    assert low < env.offsets[:, 2].max() < low + 0.012
    assert env.seated == (aside == 0.0)


def disturbed(name, seed):
    """Observations, forces on the wrist, and where the disturbance begins, of an episode without actions."""
    env = Stacking(name)
    path, forces, begins = [env.reset(seed=seed)[0]], [], []
    for _ in range(80):
        path.append(env.step(STILL)[0])
        forces.append(env.data.body("wrist").xfrc_applied[:3].copy())
        begins.append(env.disturbed)
    return np.array(path), np.array(forces), np.array(begins)


@pytest.mark.parametrize("name", ["arm", "brick"])
def test_a_disturbance_comes_once_and_changes_nothing_before(name):
    (quiet, none, never), (path, forces, begins) = disturbed("none", 3), disturbed(name, 3)
    assert not none.any()
    assert not never.any()
    assert begins.sum() == 1
    first = begins.argmax()
    np.testing.assert_array_equal(path[: first + 1], quiet[: first + 1])
    pushed = np.any(forces, axis=1)
    assert np.flatnonzero(pushed).tolist() == (list(range(first, first + PUSHED)) if name == "arm" else [])
    moved = SIDE * np.linalg.norm(path[:, 10:13] - quiet[:, 10:13], axis=1)
    if name == "brick":
        assert MOVED[0] - 1e-3 < moved[first + 1] < MOVED[1] + 1e-3
        np.testing.assert_array_equal(path[:, :10], quiet[:, :10])  # the arm is not touched
    else:
        assert moved[first + PUSHED] > 0.03
        np.testing.assert_array_equal(path[:, 13:17], quiet[:, 13:17])  # nor is the brick


def test_the_moved_brick_stays_within_reach():
    env, places = Stacking("brick"), []
    for seed in range(20):
        env.reset(seed=seed)
        for _ in range(LATEST):
            env.step(STILL)
        places.append(env.data.qpos[5:])
    assert np.abs(places).max() <= FARTHEST


def test_disturbances_differ_between_episodes():
    env, begins, forces = Stacking("arm"), [], []
    for seed in range(20):
        env.reset(seed=seed)
        for step in range(LATEST):
            env.step(STILL)
            if env.disturbed:
                begins.append(step)
                forces.append(env.data.body("wrist").xfrc_applied[:3].copy())
    x, y, up = np.array(forces).T
    assert len(begins) == 20
    assert len(set(begins)) > 5
    assert EARLIEST <= min(begins) <= max(begins) < LATEST
    np.testing.assert_allclose(np.hypot(x, y), ASIDE_FORCE)
    np.testing.assert_allclose(up, UPWARD_FORCE)
    assert min(x.min(), y.min()) < 0 < max(x.max(), y.max())


def test_time_is_up_by_truncation_and_wrong_disturbances_are_named():
    env = gymnasium.make("entrax/Stacking-v0")
    env.reset(seed=0)
    ends = [env.step(STILL)[2:4] for _ in range(100)]
    assert ends == [(False, False)] * 99 + [(False, True)]
    with pytest.raises(EntraxError, match=r"disturbance.*none, arm or brick.*'wind'"):
        Stacking("wind")
