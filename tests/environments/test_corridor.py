"""The corridor against the problem whose dynamics it has, its arguments and its pictures."""

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from entrax.environments.check import check_environment
from entrax.environments.corridor import PIXELS, Corridor
from entrax.environments.source import EnvSource
from entrax.errors import EntraxError
from entrax.exact import plan
from entrax.problems import FiniteMDP, random_walk


def test_its_table_is_that_of_the_random_walk_with_exits():
    ours = FiniteMDP.from_gymnasium("entrax/Corridor-v0", trust_table=True, discount=0.97)
    walk = random_walk(30, exit_rewards=(0.05, 1.0), initial=2, discount=0.97)
    np.testing.assert_array_equal(ours.reward, walk.reward)
    np.testing.assert_array_equal(ours.initial, walk.initial)
    with jax.enable_x64(True):
        for temperature in (0.0, 0.1):
            np.testing.assert_allclose(plan(ours, temperature).value, plan(walk, temperature).value, rtol=1e-6)
        assert float(plan(ours, 0.0).value @ ours.initial) == pytest.approx(0.97**27)


@pytest.mark.parametrize(("action", "steps", "reward", "cell"), [(0, 2, 0.3, 0), (1, 4, 2.0, 6)])
def test_either_end_pays_once_and_ends_the_episode(action, steps, reward, cell):
    env = gymnasium.make("entrax/Corridor-v0", length=6, start=2, near_reward=0.3, far_reward=2.0)
    first, info = env.reset(seed=0)
    assert (first, info) == (2, {"success": False})
    outcomes = [env.step(action) for _ in range(steps)]
    assert [each[1] for each in outcomes] == [0.0] * (steps - 1) + [reward]
    assert [each[2] for each in outcomes] == [False] * (steps - 1) + [True]
    assert outcomes[-1][0] == cell
    assert outcomes[-1][4] == {"success": cell == 6}


def test_an_episode_has_two_hundred_steps_at_most():
    env = gymnasium.make("entrax/Corridor-v0")
    env.reset(seed=1)
    assert [env.step(step % 2)[2:4] for step in range(200)] == [(False, False)] * 199 + [(False, True)]


def test_gymnasium_and_our_own_check_find_nothing_amiss():
    check_env(Corridor(render_mode="rgb_array"), skip_render_check=True)
    assert check_environment(EnvSource("entrax/Corridor-v0", {"length": 5, "start": 1}), 0).warnings == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"length": 1}, r"`length` .*at least 2.*1"),
        ({"start": 0}, r"`start` .*between 0 and `length`, 30.*0"),
        ({"length": 4, "start": 4}, r"`start` .*between 0 and `length`, 4.*4"),
        ({"render_mode": "human"}, r"`render_mode` .*rgb_array.*human"),
    ],
)
def test_an_argument_outside_its_range_is_named(arguments, words):
    with pytest.raises(EntraxError, match=words):
        Corridor(**arguments)


def test_pictures_show_the_cells_the_rewards_and_the_way():
    env = Corridor(8, 2, render_mode="rgb_array")
    env.reset()
    for action in (1, 1, 0):
        env.step(action)
    picture, side = env.render(), int(PIXELS)
    assert picture is not None
    assert picture.shape == (3 * side, 9 * side, 3)
    at = [tuple(int(tone) for tone in picture[3 * side // 2, int((cell + 0.5) * side)]) for cell in range(9)]
    assert at[0] == at[8] != at[7]  # both rewards, and a cell without one
    assert at[3] not in (at[2], at[0])
    assert at[3][0] > 150 > at[3][1]  # the present cell
    assert at[2][2] > 150 > at[2][0]  # the path
    assert at[2] == at[4]
    greens = (picture == np.array(at[0])).all(axis=-1)
    assert greens[:, :side].sum() < greens[:, -side:].sum() / 4  # the small reward is a small disc
    assert Corridor().render() is None
