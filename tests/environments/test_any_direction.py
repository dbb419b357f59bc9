"""Reward is the planar speed, alike in all directions; the point's motion by hand, in batches and in JAX.

The ant's is its displacement over half a second, with the terms of Gymnasium's ant.
"""

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


TERMS = ("reward_forward", "reward_survive", "reward_ctrl", "reward_contact")
HALF_SECOND = 10  # steps of the ant


def carried(env, places):
    """The displacement's rewards of an ant whose torso is put at these places, one a step, from the origin."""
    env.reset(seed=0)
    env.data.qpos[:2] = 0.0
    route = iter(places)
    vars(env)["do_simulation"] = lambda action, frames: env.data.qpos.__setitem__(slice(2), next(route))
    return [env.step(np.zeros(8, np.float32))[4]["reward_forward"] for _ in places]


def test_the_ant_earns_and_observes_its_displacement_over_half_a_second():
    env = AntAnyDirection()
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    places = [env.place]
    for t in range(1, 31):
        obs, reward, terminated, _, info = env.step(rng.uniform(-0.3, 0.3, 8).astype(np.float32))
        places.append(env.data.qpos[:2].copy())
        velocity = (places[t] - places[max(0, t - HALF_SECOND)]) / 0.5
        assert info["reward_forward"] == pytest.approx(np.hypot(*velocity), rel=1e-12)
        np.testing.assert_allclose(obs[-6:], [*velocity, 0, 0, 0, 0], rtol=1e-12)
        assert (info["x_position"], info["y_position"]) == tuple(env.data.qpos[:2])
        np.testing.assert_array_equal(obs[:-6], [*env.data.qpos[2:], *env.data.qvel])
        assert reward == pytest.approx(sum(info[name] for name in TERMS), rel=1e-12)
        assert not terminated


def test_the_other_terms_are_those_of_gymnasium_s_ant():
    env, reference = AntAnyDirection(), gymnasium.make("Ant-v5").unwrapped
    rng = np.random.default_rng(0)
    env.reset(seed=3), reference.reset(seed=3)
    contact = 0.0
    for _ in range(40):
        action = rng.uniform(-1.0, 1.0, 8).astype(np.float32)
        ours, theirs = (each.step(action)[4] for each in (env, reference))
        for name in TERMS[1:]:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-6)
        contact += ours["reward_contact"]
    assert contact < 0.0  # it touched the ground


def test_a_straight_walk_earns_its_speed_after_half_a_second():
    speed, heading = 1.7, np.array([0.6, -0.8])
    earned = carried(AntAnyDirection(), [0.05 * t * speed * heading for t in range(1, 41)])
    np.testing.assert_allclose(earned[HALF_SECOND - 1 :], speed, rtol=1e-9)
    # Before, as if it had stood at its start until then: a leap is not paid more at the start of an episode.
    np.testing.assert_allclose(earned[: HALF_SECOND - 1], speed * np.arange(1, HALF_SECOND) / HALF_SECOND, rtol=1e-9)


@pytest.mark.parametrize("period", [2, 5, 10])
def test_shaking_in_place_earns_nothing(period):
    places = [[0.2 * np.sin(2 * np.pi * (t + 0.25) / period), 0.1] for t in range(1, 101)]
    assert np.abs(np.diff(places, axis=0)).mean() / 0.05 > 0.5  # m/s of bare speed
    np.testing.assert_allclose(carried(AntAnyDirection(), places)[HALF_SECOND:], 0.0, atol=1e-9)


def test_slower_shaking_earns_at_most_its_width_in_half_a_second():
    places = [[0.2 * np.sin(0.77 * t), 0.0] for t in range(1, 101)]
    assert max(carried(AntAnyDirection(), places)) <= 0.4 / 0.5


def test_a_reset_forgets_the_places_of_the_last_episode():
    env = AntAnyDirection()
    carried(env, [[0.5 * t, 0.0] for t in range(1, 15)])
    del vars(env)["do_simulation"]
    assert env.reset(seed=1)[0][-6:].tolist() == [0.0] * 6
    assert env.step(np.zeros(8, np.float32))[4]["reward_forward"] == pytest.approx(
        np.hypot(*(env.place - env.earlier[0])) / 0.5
    )
    assert len(env.earlier) == 1


def test_weights_scale_the_terms():
    action = np.full(8, 0.5, np.float32)
    env = AntAnyDirection(healthy_reward=0.25, ctrl_cost_weight=0.1, contact_cost_weight=0.0)
    env.reset(seed=0)
    info = env.step(action)[4]
    assert info["reward_survive"] == 0.25
    assert info["reward_ctrl"] == pytest.approx(-0.1 * 8 * 0.25)
    assert info["reward_contact"] == 0.0
    lying = AntAnyDirection(terminate_when_unhealthy=False)
    lying.reset(seed=0)
    lying.data.qpos[2] = 1.5
    assert lying.step(action)[4]["reward_survive"] == 0.0  # no reward for it as long as it is not healthy
    for weight in (-0.5, float("inf"), float("nan")):
        with pytest.raises(EntraxError, match=r"`ctrl_cost_weight` must be finite and at least 0"):
            AntAnyDirection(ctrl_cost_weight=weight)


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
