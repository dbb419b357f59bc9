"""The four goals against their equations, and how their name becomes known."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from entrax.environments.check import check_environment
from entrax.environments.multigoal import GOALS, MultiGoal
from entrax.environments.names import NAMES
from entrax.environments.source import EnvSource
from entrax.environments.workers import WorkerPool
from entrax.errors import EntraxError


def at(position, **arguments):
    env = MultiGoal(**arguments)
    env.reset(seed=0)
    env.path = [np.asarray(position, np.float64)]
    return env


@pytest.mark.parametrize(
    ("position", "action", "to", "reward", "goal"),
    [
        ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), -25.0, -1),
        ((1.0, 0.5), (0.6, -0.5), (1.6, 0.0), -30 * 0.61 - 3.4**2, -1),
        ((0.0, -3.0), (0.0, -1.0), (0.0, -4.0), -30.0 - 1.0, -1),  # at a distance of 1 exactly
        ((0.0, -3.5), (0.1, -0.9), (0.1, -4.4), -30 * 0.82 - 0.37 + 10.0, 3),
        ((6.5, -6.8), (1.0, -0.5), (7.0, -7.0), -30 * 1.25 - (2.0**2 + 7.0**2), -1),  # walls
        (
            (0.0, 4.0),
            (0.0, 9.0),
            (0.0, 5.0),
            -30.0 + 10.0,
            2,
        ),  # an action out of bounds is clipped, and costs as clipped
        ((-4.0, 0.0), (0.0, 0.0), (-4.0, 0.0), -1.0, -1),
        ((-4.5, 0.0), (-0.5, 0.0), (-5.0, 0.0), -7.5 + 10.0, 1),
    ],
)
def test_a_step_follows_the_equations(position, action, to, reward, goal):
    obs, found, terminated, truncated, info = at(position).step(np.array(action, np.float32))
    np.testing.assert_allclose(obs, to, rtol=1e-6)
    assert obs.dtype == np.float32
    np.testing.assert_allclose(found, reward, rtol=1e-5)
    assert (terminated, truncated, info) == (goal >= 0, False, {"goal": goal})


def test_starts_are_normal_and_seeded():
    env = MultiGoal()
    starts = np.array([env.reset(seed=seed)[0] for seed in range(2000)])
    np.testing.assert_allclose(starts.mean(axis=0), 0.0, atol=0.012)  # five standard errors
    np.testing.assert_allclose(starts.std(axis=0), 0.1, rtol=0.08)
    np.testing.assert_array_equal(starts[7], MultiGoal().reset(seed=7)[0])
    assert not np.array_equal(env.reset()[0], env.reset()[0])


def test_an_episode_lasts_thirty_steps_at_most():
    env = gymnasium.make("entrax/MultiGoal-v0")
    env.reset(seed=1)
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(30)]
    assert ends == [(False, False)] * 29 + [(False, True)]


def test_gymnasium_and_our_own_check_find_nothing_amiss():
    from gymnasium.utils.env_checker import check_env

    check_env(MultiGoal(), skip_render_check=True)
    assert check_environment(EnvSource("entrax/MultiGoal-v0"), 0).warnings == ()


def test_workers_know_the_name():
    with WorkerPool(EnvSource("entrax/MultiGoal-v0"), 2, 1, None) as pool:
        first = pool.reset_many({0: 3, 1: 4})
        for i, seed in ((0, 3), (1, 4)):
            np.testing.assert_array_equal(first[i], MultiGoal().reset(seed=seed)[0])


@pytest.mark.parametrize(
    "statements",
    [
        "import entrax.environments, gymnasium",
        "import gymnasium, entrax.environments",
    ],
)
def test_the_name_is_known_whichever_is_imported_first(statements):
    make = "; env = gymnasium.make('entrax/MultiGoal-v0'); print(env.spec.id, env.spec.entry_point)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", statements + make], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["entrax/MultiGoal-v0", NAMES["entrax/MultiGoal-v0"]["entry_point"]]
    assert done.stderr == ""


def test_pictures_show_the_point_its_path_and_the_goals():
    env = at((-2.0, 3.0), render_mode="rgb_array")
    env.step(np.array([1.0, 0.0], np.float32))
    picture = env.render()
    assert picture.shape == (400, 400, 3)
    assert picture.dtype == np.uint8

    def pixel(x, y):
        return tuple(picture[int((7.5 - y) / 15 * 400), int((x + 7.5) / 15 * 400)])

    red, blue, white, grey = pixel(-1.0, 3.0), pixel(-1.6, 3.0), pixel(2.0, 3.0), pixel(7.3, 3.0)
    assert red[0] > 150 > red[1]
    assert blue[2] > 150 > blue[0]
    assert white == (255, 255, 255)
    assert grey[0] == grey[1] < 255
    greens = {pixel(*goal) for goal in GOALS}
    assert len(greens) == 1
    assert greens.isdisjoint({red, blue, white, grey})
    assert MultiGoal().render() is None
    with pytest.raises(EntraxError, match="rgb_array"):
        MultiGoal(render_mode="human")
