"""One passage is open and leads to the goal, the other is a dead end that shows from within only."""

import gymnasium
import jax
import numpy as np
import pytest

from entrax.environments import maze
from entrax.environments.maze import BONUS, ENTRANCE, EXIT, GOAL, HIGH, LOW, NOTICE, PLUG, SIDE, Trial, way
from entrax.environments.point import RADIUS, Motion
from entrax.environments.two_passage import HEIGHT, AntTwoPassage, PointTwoPassage, two_passage
from entrax.errors import EntraxError

SIDES = {"left": -1, "right": 1}


def towards(obs, side):
    """The way through one passage by its middle: below it, through it, to the goal."""
    x, y = obs[:2]
    if y >= EXIT - 0.2:
        target = GOAL
    elif abs(x - side * SIDE) > 0.4:
        target = (side * SIDE, min(y, ENTRANCE - 0.5))
    else:
        target = (side * SIDE, EXIT + 1.0)
    return np.clip(3.0 * np.subtract(target, obs[:2]), -1.0, 1.0).astype(np.float32)


def walk(env, side, steps=200, seed=0):
    """Observations, rewards, and the last (terminated, truncated, info)."""
    obs, _ = env.reset(seed=seed)
    seen, rewards = [obs], []
    for _ in range(steps):
        obs, reward, *end = env.step(towards(obs, side))
        seen.append(obs)
        rewards.append(reward)
        if end[0] or end[1]:
            break
    return np.array(seen), np.array(rewards), end


@pytest.mark.parametrize("closed", ["left", "right", "none"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_path_reaches_the_goal_through_an_open_passage_only(closed, side):
    obs, rewards, (terminated, truncated, info) = walk(PointTwoPassage(closed), SIDES[side])
    open_ = closed != side
    assert (terminated, truncated, info) == (open_, False, {"closed": closed, "success": open_})
    if open_:
        assert np.linalg.norm(obs[-1, :2] - GOAL) < maze.REACH
        # All of the way is paid, whatever the path, and the bonus.
        shorter = way(obs[0, :2], obs[0, 4:]) - way(obs[-1, :2], obs[-1, 4:])
        assert rewards.sum() == pytest.approx(shorter / 0.1 + BONUS, rel=1e-5)
    else:
        np.testing.assert_allclose(obs[-1, :2], [SIDES[side] * SIDE, PLUG[0] - RADIUS], atol=1e-6)
    # What is seen changes where a plug comes into view, and stays.
    known = obs[:, 4 + (side == "right")]
    np.testing.assert_array_equal(known, np.where(np.maximum.accumulate(obs[:, 1]) >= NOTICE, 1 if open_ else -1, 0))
    np.testing.assert_array_equal(obs[:, 4 + (side == "left")], 0.0)


def test_both_passages_look_alike_from_outside():
    """The same actions give the same observations and rewards until a plug comes into view."""
    assert ENTRANCE + RADIUS < NOTICE < PLUG[0] - RADIUS  # further in, and seen before it is touched
    episodes = [walk(PointTwoPassage(closed), 1) for closed in ("left", "right")]
    inside = int(np.argmax(episodes[0][0][:, 1] >= NOTICE))
    assert inside > 10
    for kind, same in ((0, inside), (1, inside - 1)):  # observations, of which there is one more, and rewards
        np.testing.assert_array_equal(*(episode[kind][:same] for episode in episodes))
    assert episodes[0][0][inside, 5] == 1
    assert episodes[1][0][inside, 5] == -1


def test_a_dead_end_costs_once_and_going_back_pays():
    env = PointTwoPassage("right")
    obs, rewards, _ = walk(env, 1, steps=60)
    noticed = int(np.argmax(obs[:, 5] == -1))
    assert rewards[noticed - 1] < -20
    back = [env.step(np.array([0.0, -1.0], np.float32))[1] for _ in range(10)]
    assert sum(back) > 10
    obs = env.step(np.zeros(2, np.float32))[0]
    for _ in range(200):  # out and through the other one
        obs, _, terminated, _, info = env.step(
            np.array([0.0, -1.0], np.float32) if obs[0] > 1 and obs[1] > 1.0 else towards(obs, -1)
        )
        if terminated:
            break
    assert info["success"]
    assert obs[4:].tolist() == [1, -1]


def test_a_reset_forgets_what_was_seen_and_where_the_plug_was():
    env = PointTwoPassage("left")
    first, _, _ = walk(env, -1)
    again, _, _ = walk(env, -1)
    assert first[-1, 4:].tolist() == [-1, 0]
    np.testing.assert_array_equal(again, first)
    ant = AntTwoPassage("random", terminate_when_unhealthy=False)
    thrown(ant, (-SIDE, 2.4), (0.0, 12.0), steps=5)
    plugs: dict[str, set[tuple[float, ...]]] = {}
    for seed in range(12):
        obs, info = ant.reset(seed=seed)
        assert obs[-2:].tolist() == [0, 0]
        plugs.setdefault(info["closed"], set()).add(tuple(ant.data.mocap_pos[0]))
    height = maze.ANT_SCALE * sum(PLUG) / 2
    assert plugs == {side: {(maze.ANT_SCALE * sign * SIDE, height, 0.0)} for side, sign in SIDES.items()}
    neither = AntTwoPassage("none")
    neither.reset(seed=0)
    assert neither.data.mocap_pos[0, 2] < -2 * HEIGHT  # under the ground


def free_places(count):
    """Places where the point may be."""
    places = np.random.default_rng(0).uniform(np.array(LOW) + RADIUS, np.array(HIGH) - RADIUS, (count, 2))
    beside = (places[:, 1] > ENTRANCE - RADIUS) & (places[:, 1] < EXIT + RADIUS)
    return places[~beside | (np.abs(np.abs(places[:, 0]) - SIDE) < maze.HALF_WIDTH - RADIUS)]


@pytest.mark.parametrize("seen", [(0, 0), (-1, 0), (0, -1)])
def test_the_way_is_a_distance(seen):
    """Continuous, with a slope of 1 in one direction and of at most 1 in all: the length of a shortest path."""
    places = free_places(3_000)
    known = np.broadcast_to(np.array(seen, float), places.shape)
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    slopes = [
        (way(places + 1e-6 * np.array([np.cos(a), np.sin(a)]), known) - way(places, known)) / 1e-6 for a in angles
    ]
    assert np.max(slopes) < 1 + 1e-6
    assert np.max(slopes, axis=0).min() > np.cos(np.pi / 16) - 1e-3
    np.testing.assert_allclose(way(np.array(GOAL), np.zeros(2)), 0.0)


@pytest.mark.parametrize(("seen", "sign"), [((0.0, 0.0), 1), ((-1.0, 0.0), 1), ((0.0, -1.0), -1)])
def test_the_way_by_hand(seen, sign):
    """From the start: to the inner corner of the entrance, through, and from the corner of the exit to the goal."""
    corner = SIDE - maze.HALF_WIDTH + RADIUS
    by_hand = np.hypot(corner, ENTRANCE) + EXIT - ENTRANCE + np.hypot(corner, GOAL[1] - EXIT)
    assert way(np.zeros(2), np.array(seen)) == pytest.approx(by_hand)
    # In the passage that is not known to be closed, straight on; in the other, out of it first.
    inside = np.array([sign * SIDE, 3.0])
    assert way(inside, np.array(seen)) == pytest.approx(
        np.hypot(SIDE - corner, EXIT - 3.0) + np.hypot(corner, GOAL[1] - EXIT), rel=0.05
    )
    if -1.0 in seen:
        detour = np.hypot(SIDE - corner, 1.5) + 2 * corner + EXIT - ENTRANCE + np.hypot(corner, GOAL[1] - EXIT)
        assert way(inside * (-1, 1), np.array(seen)) == pytest.approx(detour)


def test_walls_keep_the_point_in():
    env = PointTwoPassage("random")
    visited = []
    for seed in range(2):
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        for _ in range(20):
            push = rng.uniform(-1.0, 1.0, 2).astype(np.float32)
            for _ in range(10):
                visited.append(env.step(np.sign(push) * 1.0)[0][:2])
    places = np.array(visited, np.float64)
    assert (places >= np.array(LOW) + RADIUS - 1e-6).all()
    assert (places <= np.array(HIGH) - RADIUS + 1e-6).all()
    for low, high in maze.WALLS:
        into = np.minimum(places - (low - RADIUS), (high + RADIUS) - places).min(axis=1)
        assert into.max() < 1e-6


def test_which_one_is_closed_is_drawn_evenly_by_the_seed():
    env = PointTwoPassage("random")
    drawn = [env.reset(seed=seed)[1]["closed"] for seed in range(400)]
    assert set(drawn) == {"left", "right"}
    assert abs(drawn.count("left") - 200) < 50  # five standard deviations
    assert drawn[:50] == [env.reset(seed=seed)[1]["closed"] for seed in range(50)]
    ant = AntTwoPassage("random")
    assert {ant.reset(seed=seed)[1]["closed"] for seed in range(12)} == {"left", "right"}


def test_a_batch_in_jax_is_the_same():
    rng = np.random.default_rng(0)
    places = free_places(64)
    passable = np.array([(-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)])[rng.integers(3, size=len(places))]
    seen = np.where(rng.random(passable.shape) < 0.5, 0.0, passable)
    trials = Trial(Motion(places, rng.uniform(-2, 2, places.shape)), passable, seen)
    actions = rng.uniform(-1, 1, places.shape)
    ours, in_jax = maze.step(trials, actions), jax.jit(maze.step)(trials, actions)
    for expected, found in zip(jax.tree.leaves(ours), jax.tree.leaves(in_jax), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)


def thrown(env, place, velocity, steps=40):
    """The ant's last step after it was put somewhere, in units of the plan, and given a speed."""
    env.reset(seed=0)
    env.data.qpos[:2] = maze.ANT_SCALE * np.array(place)
    env.data.qvel[:2] = velocity
    for _ in range(steps):
        before = env.place / maze.ANT_SCALE, env.seen
        last = env.step(np.zeros(8, np.float32))
        if last[2]:
            break
    return last, before


@pytest.mark.parametrize(("closed", "through"), [("left", False), ("right", True), ("none", True)])
def test_a_plug_stops_the_ant_where_it_is(closed, through):
    env = AntTwoPassage(closed, terminate_when_unhealthy=False)
    (obs, *_), _ = thrown(env, (-SIDE, 2.4), (0.0, 12.0))
    height = env.place[1] / maze.ANT_SCALE
    assert bool(height > EXIT) is through
    if not through:
        assert NOTICE < height < PLUG[0]
    assert obs[-2:].tolist() == [1.0 if through else -1.0, 0.0]
    np.testing.assert_array_equal(obs[:2], env.place)


def test_the_ant_is_paid_by_the_metre_and_its_episode_ends_at_the_goal():
    env = AntTwoPassage("none", terminate_when_unhealthy=False)
    (_, reward, terminated, truncated, info), before = thrown(env, (0.0, 4.6), (0.0, 5.0))
    assert (terminated, truncated, info["success"]) == (True, False, True)
    shorter = way(*before) - way(env.place / maze.ANT_SCALE, env.seen)
    assert reward == pytest.approx(2.0 * shorter / 0.05 + BONUS)


def test_it_takes_too_long_by_truncation():
    assert gymnasium.spec("entrax/TwoPassage-v0").max_episode_steps == 400
    env = gymnasium.make("entrax/TwoPassage-v0", closed="left", max_episode_steps=30)
    _, rewards, end = walk(env, -1, steps=100)
    assert len(rewards) == 30
    assert end[:2] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"closed": "lfet"}, "`closed`.*random, left, right or none.*'lfet', did you mean 'left'"),
        ({"body": "antt"}, "`body`.*point or ant.*'antt', did you mean 'ant'"),
        ({"body": "ant", "closed": "both"}, "`closed`.*'both'"),
    ],
)
def test_wrong_arguments_are_named(arguments, words):
    with pytest.raises(EntraxError, match=words):
        two_passage(**arguments)
