"""Goals of one line each and their mean, in one room with one start."""

import gymnasium
import jax
import numpy as np
import pytest

from entrax.environments import point_lines
from entrax.environments.point import Motion
from entrax.environments.point_lines import PointLines
from entrax.errors import EntraxError


def test_spaces_starts_and_motions_are_identical_and_the_third_reward_is_the_mean():
    three, rng = [PointLines(goal) for goal in ("x", "y", "both")], np.random.default_rng(0)
    assert len({env.reset(seed=5)[0].tobytes() for env in three}) == 1
    for _ in range(30):
        action = rng.uniform(-1.0, 1.0, 2).astype(np.float32)
        outcomes = [env.step(action) for env in three]
        assert len({obs.tobytes() for obs, *_ in outcomes}) == 1
        x, y, both = (reward for _, reward, *_ in outcomes)
        assert both == pytest.approx((x + y) / 2, rel=1e-12)
        assert x != y
    assert all(env.observation_space == three[0].observation_space for env in three)


@pytest.mark.parametrize(("goal", "reward"), [("x", -2.0), ("y", -0.5), ("both", -1.25)])
def test_the_reward_and_what_is_told_by_hand(goal, reward):
    env = PointLines(goal)
    env.start(Motion(np.array([-1.0, -0.5]), np.zeros(2)))
    obs, earned, terminated, truncated, info = env.step(np.zeros(2, np.float32))
    np.testing.assert_array_equal(obs, np.array([-1.0, -0.5, 0.0, 0.0], np.float32))
    assert earned == pytest.approx(reward)
    assert (terminated, truncated) == (False, False)
    assert info == {"x": 2.0, "y": 0.5}


def test_walls_stop_the_point_and_one_force_serves_both_lines():
    env = PointLines()
    env.start(Motion(np.array([3.7, 0.0]), np.array([2.0, 1.0])))
    obs, *_ = env.step(np.array([1.0, 0.0], np.float32))
    assert (obs[0], obs[2]) == (pytest.approx(3.8), 0.0)
    assert obs[3] == pytest.approx(0.8)
    speeds = []
    for action in ([-1.0, 0.0], [-1.0, -1.0]):
        env.start(Motion(np.zeros(2), np.zeros(2)))
        speeds.append(env.step(np.array(action, np.float32))[0][2:])
    assert speeds[1][0] == pytest.approx(speeds[0][0] / np.sqrt(2))  # what goes along y is missing along x


def test_a_batch_under_jit_is_what_single_points_are():
    rng = np.random.default_rng(0)
    motions = Motion(rng.uniform(-3.8, 3.8, (50, 2)), rng.normal(size=(50, 2)))
    actions = rng.uniform(-1.5, 1.5, (50, 2))
    moved, rewards = jax.jit(point_lines.step)(motions, actions, np.array([0.5, 0.5]))
    for i in range(50):
        one, reward = point_lines.step(Motion(*(part[i] for part in motions)), actions[i], np.array([0.5, 0.5]))
        np.testing.assert_allclose(np.concatenate(one), np.concatenate([part[i] for part in moved]), atol=1e-5)
        assert reward == pytest.approx(float(rewards[i]), abs=1e-5)


def test_starts_are_all_over_the_room_and_time_is_up_by_truncation():
    env = gymnasium.make("entrax/PointLines-v0", goal="y")
    starts = np.array([env.reset(seed=seed)[0] for seed in range(300)])
    assert np.abs(starts[:, :2]).max() <= 3.8
    np.testing.assert_allclose(starts[:, :2].std(axis=0), 7.6 / np.sqrt(12), rtol=0.1)
    np.testing.assert_allclose(starts[:, 2:].std(axis=0), 0.1, rtol=0.15)
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(50)]
    assert ends == [(False, False)] * 49 + [(False, True)]
    with pytest.raises(EntraxError, match=r"goal.*x, y or both.*'z'"):
        PointLines(goal="z")
