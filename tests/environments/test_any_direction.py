"""Reward is the planar speed, alike in all directions; the point's motion by hand, in batches and in JAX."""

import gymnasium
import jax
import numpy as np
import pytest

from entrax.environments import any_direction, point
from entrax.environments.any_direction import AntAnyDirection, PointAnyDirection
from entrax.environments.point import Motion
from entrax.errors import EntraxError


@pytest.mark.parametrize(
    ("velocity", "action", "expected"),
    [
        ((0.0, 0.0), (1.0, 0.0), (0.4, 0.0)),
        ((1.0, 0.0), (0.0, -0.5), (0.8, -0.2)),
        ((0.0, 2.0), (0.0, 1.0), (0.0, 2.0)),  # the top speed is kept
        ((0.0, 0.0), (0.6, 0.8), (0.24, 0.32)),
        ((0.0, 0.0), (1.0, 1.0), (0.4 * 0.5**0.5, 0.4 * 0.5**0.5)),  # no more force in a corner of the box
        ((0.0, 0.0), (-9.0, 0.0), (-0.4, 0.0)),
    ],
)
def test_the_point_moves_by_its_equations_and_earns_its_speed(velocity, action, expected):
    env = PointAnyDirection()
    env.reset(seed=0)
    start = np.array([3.0, -4.0])
    env.start(Motion(start, np.array(velocity)))
    obs, reward, terminated, truncated, info = env.step(np.array(action, np.float32))
    np.testing.assert_allclose(obs, [*expected, 0, 0, 0, 0], atol=1e-6)
    end = np.array([info["x_position"], info["y_position"]])
    np.testing.assert_allclose(end, start + 0.1 * np.array(expected), atol=1e-7)
    assert reward == pytest.approx(np.hypot(*(end - start)) / 0.1)
    assert not terminated
    assert not truncated


def test_all_directions_are_alike():
    """Turning the start and the actions turns the path and leaves the rewards."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    motion = turned = Motion(np.zeros(2), np.array([0.3, 0.1]))
    turned = Motion(motion.position @ turn, motion.velocity @ turn)
    for action in rng.uniform(-0.7, 0.7, (30, 2)):
        motion, reward = any_direction.step(motion, action)
        turned, again = any_direction.step(turned, action @ turn)
        np.testing.assert_allclose(turned.position, motion.position @ turn, atol=1e-12)
        assert again == pytest.approx(reward)


def test_starts_are_near_the_origin_and_nearly_at_rest():
    env = PointAnyDirection()
    velocities, places = [], []
    for seed in range(500):
        velocities.append(env.reset(seed=seed)[0][:2])
        places.append(env.motion.position)
    for drawn in (velocities, places):
        np.testing.assert_allclose(np.mean(drawn, axis=0), 0.0, atol=0.0225)  # five standard errors
        np.testing.assert_allclose(np.std(drawn, axis=0), 0.1, rtol=0.16)


def test_a_batch_in_jax_is_the_same_motion():
    rng = np.random.default_rng(0)
    motions = Motion(rng.normal(size=(5, 2)), rng.normal(size=(5, 2)))
    actions = rng.uniform(-1.5, 1.5, (5, 2))
    moved, rewards = jax.jit(any_direction.step)(motions, actions)
    for i in range(5):
        one, reward = any_direction.step(Motion(motions.position[i], motions.velocity[i]), actions[i])
        np.testing.assert_allclose(moved.position[i], one.position, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(moved.velocity[i], one.velocity, rtol=1e-5, atol=1e-6)
        assert rewards[i] == pytest.approx(reward, rel=1e-4)


def test_no_box_is_so_thin_that_a_point_gets_across():
    boxes = np.array([[(1.0, -1.0), (1.001, 1.0)], [(-3.0, -3.0), (-2.0, 3.0)]])
    fast = Motion(np.zeros(2), np.array([50.0, 0.3]))
    moved = point.stopped(fast, Motion(np.array([5.0, 0.03]), fast.velocity), boxes, np.array([True, True]))
    np.testing.assert_allclose(moved.position, [1.0 - point.RADIUS, 0.03])
    np.testing.assert_array_equal(moved.velocity, [0.0, 0.3])  # it slides on
    passed = point.stopped(fast, Motion(np.array([5.0, 0.03]), fast.velocity), boxes, np.array([False, True]))
    np.testing.assert_array_equal(passed.position, [5.0, 0.03])


def test_the_ant_earns_the_displacement_of_its_torso_and_pays_for_nothing():
    env = AntAnyDirection()
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        before = env.data.qpos[:2].copy()
        obs, reward, terminated, _, info = env.step(rng.uniform(-1.0, 1.0, 8).astype(np.float32))
        moved = env.data.qpos[:2] - before
        assert reward == pytest.approx(np.hypot(*moved) / 0.05, rel=1e-12)
        assert (info["x_position"], info["y_position"]) == tuple(env.data.qpos[:2])
        np.testing.assert_array_equal(obs, [*env.data.qpos[2:], *env.data.qvel, 0, 0, 0, 0])
        assert not terminated


@pytest.mark.parametrize(("height", "ends"), [(0.6, False), (1.5, True)])
def test_the_ant_s_episode_ends_when_it_is_thrown_up_unless_told_otherwise(height, ends):
    for env, expected in ((AntAnyDirection(), ends), (AntAnyDirection(terminate_when_unhealthy=False), False)):
        env.reset(seed=0)
        env.data.qpos[2] = height
        assert env.step(np.zeros(8, np.float32))[2] is expected


@pytest.mark.parametrize(("body", "limit"), [("Point", 100), ("Ant", 1000)])
def test_time_is_up_by_truncation(body, limit):
    assert gymnasium.spec(f"entrax/{body}AnyDirection-v0").max_episode_steps == limit
    env = gymnasium.make(f"entrax/{body}AnyDirection-v0", max_episode_steps=3)
    env.reset(seed=0)
    still = np.zeros_like(env.action_space.sample())
    assert [env.step(still)[2:4] for _ in range(3)] == [(False, False)] * 2 + [(False, True)]


def test_other_render_modes_are_refused_with_a_sentence():
    with pytest.raises(EntraxError, match=r"rgb_array.*'human'"):
        PointAnyDirection(render_mode="human")
    assert PointAnyDirection().render() is None
