"""Walls stop bodies, one direction pays, and the spaces are those of any direction."""

from typing import Any

import gymnasium
import jax
import numpy as np
import pytest

from entrax.environments import hallway
from entrax.environments.any_direction import AntAnyDirection, PointAnyDirection
from entrax.environments.hallway import AntHallway, PointHallway, frame, nearness
from entrax.environments.point import RADIUS, Motion
from entrax.errors import EntraxError


@pytest.mark.parametrize("body", ["Point", "Ant"])
def test_spaces_and_limits_are_those_of_any_direction(body):
    free, hall = (gymnasium.make(f"entrax/{body}{task}-v0") for task in ("AnyDirection", "Hallway"))
    assert free.observation_space == hall.observation_space
    assert free.action_space == hall.action_space
    assert free.spec is not None
    assert hall.spec is not None
    assert free.spec.max_episode_steps == hall.spec.max_episode_steps


@pytest.mark.parametrize("direction", [0.0, 90.0, 210.0, -33.3])
def test_the_point_is_paid_along_the_hallway_and_stopped_across_it(direction):
    env = PointHallway(direction, width=2.0)
    env.reset(seed=0)
    along, across = frame(direction)
    env.start(Motion(np.array([0.0, 0.0]), np.array([0.0, 0.0])))
    for _ in range(60):
        before = env.motion.position
        reward = env.step((0.6 * along + 0.8 * across).astype(np.float32))[1]
        assert reward == pytest.approx((env.motion.position - before) @ along / 0.1)
    # Against the wall, at the speed that the force along it keeps up.
    np.testing.assert_allclose(env.motion.position @ across, 1.0 - RADIUS)
    np.testing.assert_allclose(env.motion.velocity @ frame(direction).T, [1.2, 0.0], atol=1e-4)
    for _ in range(60):
        reward = env.step((-0.6 * along - 0.8 * across).astype(np.float32))[1]
    np.testing.assert_allclose(env.motion.position @ across, RADIUS - 1.0)
    assert reward == pytest.approx(-1.2, abs=1e-4)


def test_walls_are_seen_along_the_axes():
    """By intersection with the walls' lines at 20 random hallways and places."""
    rng = np.random.default_rng(0)
    for direction, width in zip(rng.uniform(-180, 180, 20), rng.uniform(1.5, 5.0, 20), strict=True):
        axes = frame(direction)
        place = rng.uniform(-9, 9) * axes[0] + rng.uniform(-0.5, 0.5) * width * axes[1]
        seen = nearness(place, axes, width)
        for ray, near in zip(np.array([(1, 0), (-1, 0), (0, 1), (0, -1)]), seen, strict=True):
            steps = (np.array([-0.5, 0.5]) * width - place @ axes[1]) / (ray @ axes[1])
            assert near == pytest.approx(max(0.0, 1.0 - steps.max() / width), abs=1e-9)
        assert seen.max() >= 1 - 0.5**0.5 - 1e-9  # the nearer wall at least


def test_what_is_observed_tells_the_place_between_the_walls():
    """Without it the task would not be Markov: no two places across a hallway look alike."""
    for direction in (0.0, 30.0, 45.0, 90.0):
        axes = frame(direction)
        seen = nearness(np.linspace(-0.8, 0.8, 81)[:, None] * axes[1], axes, 2.0)
        apart = np.abs(seen[:, None] - seen[None]).max(axis=-1) + np.eye(81)
        assert apart.min() > 1e-3


def test_a_batch_in_jax_is_the_same():
    rng = np.random.default_rng(0)
    axes = frame(20.0)
    motions = Motion(rng.uniform(-1, 1, (6, 2)), rng.uniform(-2, 2, (6, 2)))
    actions = rng.uniform(-1, 1, (6, 2))
    moved, rewards = jax.jit(hallway.step)(motions, actions, axes, 1.5)
    seen = jax.jit(nearness)(motions.position, axes, 1.5)
    expected, earned = hallway.step(motions, actions, axes, 1.5)
    np.testing.assert_allclose(moved.position, expected.position, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved.velocity, expected.velocity, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rewards, earned, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen, nearness(motions.position, axes, 1.5), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("direction", [0.0, 60.0])
def test_the_ant_is_stopped_by_walls_and_paid_along_the_hallway(direction):
    """Thrown at a wall, and thrown along the hallway both ways; without walls it flies on."""
    along, across = frame(direction)

    def thrown(env, velocity):
        env.reset(seed=0)
        env.data.qvel[:2] = velocity
        places, paid = [env.place], []
        for _ in range(20):
            paid.append(env.step(np.zeros(8, np.float32))[4]["reward_forward"])
            places.append(env.place)
        return np.array(places), np.array(paid)

    places, _ = thrown(AntHallway(direction, width=3.0, terminate_when_unhealthy=False), 8.0 * across)
    free, _ = thrown(AntAnyDirection(terminate_when_unhealthy=False), 8.0 * across)
    assert places[-1] @ across < 1.5 - 0.2
    assert free[-1] @ across > 3.0
    for sign in (1.0, -1.0):
        places, paid = thrown(AntHallway(direction, width=3.0, terminate_when_unhealthy=False), sign * 4.0 * along)
        assert sign * paid.sum() > 1.0
        before = places[np.maximum(0, np.arange(1, 21) - 10)]
        np.testing.assert_allclose(paid, (places[1:] - before) @ along / 0.5, rtol=1e-9)


def test_the_ant_s_other_terms_are_those_of_any_direction():
    weights: dict[str, Any] = {"healthy_reward": 0.5, "ctrl_cost_weight": 0.2, "contact_cost_weight": 0.1}
    hall, free = AntHallway(30.0, width=9.0, **weights), AntAnyDirection(**weights)
    hall.reset(seed=0), free.reset(seed=0)
    for action in np.random.default_rng(0).uniform(-1.0, 1.0, (15, 8)).astype(np.float32):
        (obs, reward, *_, info), (other_obs, *_, other) = (env.step(action) for env in (hall, free))
        for name in ("reward_survive", "reward_ctrl", "reward_contact"):
            assert info[name] == other[name]
        assert reward == pytest.approx(sum(info[name] for name in info if name.startswith("reward_")), rel=1e-12)
        assert info["reward_forward"] == pytest.approx(obs[-6:-4] @ frame(30.0)[0])
        np.testing.assert_array_equal(obs[:-4], other_obs[:-4])


def test_the_ant_sees_the_walls_that_stop_it():
    env = AntHallway(90.0, width=4.0)
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(obs[-4:], nearness(env.place, frame(90.0), 4.0))
    np.testing.assert_array_equal(obs[:-4], AntAnyDirection().reset(seed=0)[0][:-4])
    assert obs.shape == (33,)
    assert PointAnyDirection().reset(seed=0)[0][-4:].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PointHallway(width=1.0), r"`width`.*1\.5 for the point.*1\.0"),
        (lambda: AntHallway(width=2.0), r"`width`.*2\.5 for the ant.*2\.0"),
        (lambda: PointHallway(direction=float("nan")), "`direction`.*nan"),
    ],
)
def test_impossible_hallways_are_refused(make, words):
    with pytest.raises(EntraxError, match=words):
        make()
