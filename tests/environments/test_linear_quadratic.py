"""The linear-quadratic environment: its steps are those of its equations."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import entrax.environments  # noqa: F401  registers the names
from entrax.environments.linear_quadratic import LinearQuadratic
from entrax.errors import UsageError

MATRICES: dict[str, Any] = {
    "A": [[0.9, 0.2], [0.0, 0.7]],
    "B": [[0.0], [1.0]],
    "Q": [[1.0, 0.0], [0.0, 2.0]],
    "R": [[0.5]],
    "W": [[0.2, 0.1], [0.1, 0.3]],
}


@pytest.mark.filterwarnings("default:.*infinity")
def test_it_follows_gymnasiums_rules_and_is_cut_off_after_20_steps():
    env = gymnasium.make("entrax/LinearQuadratic-v0", limit=1.0)
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(20)]
    assert ends == [(False, False)] * 19 + [(False, True)]


def test_steps_have_the_mean_the_covariance_and_the_reward_of_the_equations():
    env = LinearQuadratic(**MATRICES, start=1.0)
    env.reset(seed=1)
    x, u, draws = np.array([0.5, -1.0]), np.array([2.0], np.float32), 20_000
    after = np.empty((draws, 2))
    for i in range(draws):
        env.x = x
        after[i], reward, *_ = env.step(u)
        assert reward == pytest.approx(-(0.25 + 2.0 + 0.5 * 4.0))
    error = 1 / draws**0.5
    np.testing.assert_allclose(after.mean(0), [0.9 * 0.5 - 0.2, -0.7 + 2.0], atol=5 * error)
    np.testing.assert_allclose(np.cov(after.T), MATRICES["W"], atol=5 * error)


def test_starts_fill_their_box():
    env = LinearQuadratic(**MATRICES, start=1.5)
    starts = np.array([env.reset(seed=seed)[0] for seed in range(300)])
    assert np.all(np.abs(starts) <= 1.5)
    assert np.all(np.abs(starts).max(0) > 1.4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Q": [[1.0]]}, r"`Q` .*\(2, 2\)"),
        ({"B": [1.0]}, "`A` must have shape"),
        ({"W": [[1.0, 2.0], [2.0, 1.0]]}, "`W` must be symmetric and positive semi-definite"),
        ({"start": 0.0}, "`start` and `limit` must be above 0"),
        ({"render_mode": "human"}, "`render_mode` must be None"),
    ],
)
def test_arguments_that_do_not_fit_are_named(changed, message):
    with pytest.raises(UsageError, match=message):
        LinearQuadratic(**MATRICES | changed)
