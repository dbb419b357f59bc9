"""Goals of one coordinate and their mean, on one model with one start."""

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.mujoco.pusher_v5 import PusherEnv

from entrax.environments.pusher import AIM, Pusher
from entrax.errors import EntraxError


@pytest.fixture(scope="module")
def three():
    return [Pusher(goal) for goal in ("x", "y", "both")]


def test_spaces_starts_and_motions_are_identical_and_the_third_reward_is_the_mean(three):
    rng = np.random.default_rng(0)
    for env in three[:2]:
        assert env.observation_space == three[2].observation_space
        assert env.action_space == three[2].action_space
    starts = [env.reset(seed=5)[0].tobytes() for env in three]
    assert len(set(starts)) == 1
    for _ in range(20):
        action = rng.uniform(-1.0, 1.0, 7).astype(np.float32)
        outcomes = [env.step(action) for env in three]
        assert len({obs.tobytes() for obs, *_ in outcomes}) == 1
        x, y, both = (reward for _, reward, *_ in outcomes)
        assert both == pytest.approx((x + y) / 2, rel=1e-12)
        assert x != y


@pytest.mark.parametrize(("goal", "distance"), [("x", 0.1), ("y", 0.2), ("both", 0.15)])
def test_the_reward_by_hand(goal, distance):
    env = Pusher(goal)
    env.reset(seed=0)
    env.data.qpos[-2:] = -0.2, 0.1  # its slides are y, then x
    env.data.qvel[:] = 0.0
    action = np.linspace(-0.01, 0.01, 7).astype(np.float32)
    obs, reward, terminated, truncated, info = env.step(action)
    np.testing.assert_allclose(obs[17:19], AIM + np.array([0.1, -0.2]), atol=1e-9)
    np.testing.assert_allclose(env.data.body("object").xpos[:2], obs[17:19], atol=1e-9)
    near = np.linalg.norm(env.data.body("object").xpos - obs[14:17])
    assert reward == pytest.approx(-distance - near / 2 - 0.1 * np.sum(np.float64(action) ** 2), abs=1e-6)
    assert info == pytest.approx({"x": 0.1, "y": 0.2}, abs=1e-9)
    assert not terminated
    assert not truncated


def test_what_is_observed_is_the_state():
    env = Pusher("x")
    env.reset(seed=0)
    env.data.qvel[-2:] = 0.3, -0.4
    obs = env.step(np.full(7, 0.3, np.float32))[0]
    np.testing.assert_array_equal(obs[:14], [*env.data.qpos[:7], *env.data.qvel[:7]])
    np.testing.assert_array_equal(obs[19:], env.data.qvel[[8, 7]])
    assert obs[19] < -0.2
    assert obs[20] > 0.1


def test_a_full_action_is_as_strong_as_in_gymnasium_s_pusher():
    ours, theirs = Pusher("both"), PusherEnv()
    ours.reset(seed=0)
    theirs.reset(seed=0)
    rng = np.random.default_rng(0)
    theirs.set_state(np.append(ours.data.qpos, [0.0, 0.0]), np.append(ours.data.qvel, [0.0, 0.0]))
    for _ in range(20):
        action = rng.uniform(-1.0, 1.0, 7).astype(np.float32)
        ours.step(action)
        theirs.step(2.0 * action)
    np.testing.assert_allclose(ours.data.qpos, theirs.data.qpos[:9], rtol=1e-9, atol=1e-12)


def test_the_disc_starts_away_from_the_aim_and_the_arm_can_push_it(three):
    env = three[2]
    starts = np.array([env.reset(seed=seed)[0][17:19] - AIM for seed in range(200)])
    assert np.linalg.norm(starts, axis=1).min() > 0.17
    assert np.abs(starts[:, 0]).max() < 0.2
    assert starts[:, 1].min() > -0.3
    assert starts[:, 1].max() < 0
    # The arm turns, held above the table by a controller of its joints, and sweeps the disc along.
    env.reset(seed=1)
    target = np.array([0.0, 0.38, 0.0, 0.0, 0.0, 0.0, 0.0])
    env.set_state(np.append(target, [0.0, 0.0]), np.zeros(9))
    tip = env.data.body("tips_arm").xpos
    env.set_state(np.append(target, (tip[:2] - AIM)[::-1] + np.array([0.2, 0.05])), np.zeros(9))
    before = env.disc
    for _ in range(40):
        target[0] += 0.02
        torques = 20.0 * (target - env.data.qpos[:7]) - 2.0 * env.data.qvel[:7]
        env.step(np.clip(torques, -1.0, 1.0).astype(np.float32))
    assert env.disc[1] - before[1] > 0.1


def test_time_is_up_by_truncation_and_wrong_goals_are_named():
    env = gymnasium.make("entrax/Pusher-v0", goal="y")
    env.reset(seed=0)
    ends = [env.step(np.zeros(7, np.float32))[2:4] for _ in range(100)]
    assert ends == [(False, False)] * 99 + [(False, True)]
    with pytest.raises(EntraxError, match=r"goal.*x, y or both.*'z'"):
        Pusher(goal="z")
