"""Atari and MinAtar, where their packages are installed: an episode depends on its seed and actions alone."""

import numpy as np
import pytest

from entrax.environments.atari import _areas
from entrax.environments.source import EnvSource
from entrax.environments.spaces import spec_of
from entrax.errors import EntraxError


def played(env, seed, steps=60):
    obs = [env.reset(seed=seed)[0]]
    rng = np.random.default_rng(0)
    for _ in range(steps):
        outcome = env.step(int(rng.integers(env.action_space.n)))
        obs.append(outcome[0])
        if outcome[2]:
            break
    return np.stack(obs)


@pytest.mark.parametrize(
    ("package", "source", "shape"),
    [
        ("minatar", EnvSource("MinAtar/Breakout-v1"), (10, 10, 4)),
        ("ale_py", EnvSource("entrax/Atari-v0", {"game": "Pong"}), (84, 84, 4)),
    ],
)
def test_an_episode_follows_from_its_seed(package, source, shape):
    pytest.importorskip(package)
    env = source.make()
    assert spec_of(env).image.shape == shape
    first, other, again = (played(env, seed) for seed in (1, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or (first != other).any()
    env.close()


@pytest.mark.parametrize(("package", "name"), [("minatar", "MinAtar/Breakout-v1"), ("ale_py", "entrax/Atari-v0")])
def test_pictures_are_for_those_who_ask_for_them(package, name):
    pytest.importorskip(package)
    for mode in (None, "rgb_array"):
        with EnvSource(name).make(render_mode=mode) as env:
            env.reset(seed=0)
            assert (env.render() is None) == (mode is None)
    with pytest.raises(EntraxError, match="'rgb_array', not 'ansi'"):
        EnvSource(name).make(render_mode="ansi")


def test_an_unknown_game_is_named():
    pytest.importorskip("ale_py")
    with pytest.raises(EntraxError, match="space_invaders"):
        EnvSource("entrax/Atari-v0", {"game": "SpaceInvader"}).make()


def test_shrinking_keeps_the_mean():
    shares, picture = _areas(210), np.random.default_rng(0).random(210)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-5)
    assert (shares @ picture).mean() == pytest.approx(picture.mean(), rel=1e-5)
