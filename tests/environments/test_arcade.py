"""Atari, and MinAtar where its package is installed: an episode depends on its seed and actions alone."""

import ale_py
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from gymnasium.utils import seeding

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
    image = spec_of(env).image
    assert image is not None
    assert image.shape == shape
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
    with pytest.raises(EntraxError, match=r"rgb_array.*'ansi'"):
        EnvSource(name).make(render_mode="ansi")


def area_mean(screen):
    """84×84 by areas, the long way: every pixel 84 times, then sums of as many as there were, in whole numbers."""
    pixels = screen.size
    for axis in (0, 1):
        size = screen.shape[axis]
        screen = np.moveaxis(np.repeat(screen, 84, axis), axis, 0).reshape(84, size, -1).sum(axis=1)
        screen = screen if axis == 0 else screen.T
    return np.rint(screen / pixels)


@pytest.mark.parametrize("clip", [False, True])
def test_a_step_is_four_frames_of_the_emulator(clip):
    env = EnvSource("entrax/Atari-v0", {"game": "breakout", "clip_rewards": clip}).make()
    assert isinstance(env.action_space, Discrete)
    obs, rng = env.reset(seed=5)[0], np.random.default_rng(1)
    raw = ale_py.ALEInterface()
    raw.setInt("random_seed", int(seeding.np_random(5)[0].integers(2**31)))
    raw.setFloat("repeat_action_probability", 0.25)
    rom = ale_py.roms.get_rom_path("breakout")
    assert rom is not None
    raw.loadROM(rom)
    pictures = [area_mean(raw.getScreenGrayscale().astype(float))] * 4
    rewards = []
    for _ in range(150):
        action, reward, frames = int(rng.integers(env.action_space.n)), 0, []
        for _ in range(4):
            reward += raw.act(raw.getMinimalActionSet()[action])
            frames.append(raw.getScreenGrayscale().astype(float))
        pictures = [*pictures[1:], area_mean(np.maximum(*frames[2:]))]
        obs, given, over, _, _ = env.step(action)
        np.testing.assert_array_equal(obs, np.stack(pictures, axis=-1))
        assert given == (np.sign(reward) if clip else reward)
        rewards.append(reward)
        if over:
            break
    assert max(rewards) > 0
    env.close()


def test_an_unknown_game_is_named():
    with pytest.raises(EntraxError, match="space_invaders"):
        EnvSource("entrax/Atari-v0", {"game": "SpaceInvader"}).make()


def test_shrinking_keeps_the_mean():
    shares, picture = _areas(210), np.random.default_rng(0).random(210)
    np.testing.assert_array_equal(shares.sum(axis=1), 210)
    assert (shares @ picture).mean() / 210 == pytest.approx(picture.mean(), rel=1e-5)
