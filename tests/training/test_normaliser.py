"""The running statistics against NumPy's over all the data at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrax.training.normaliser import CLIP, Normaliser, RewardScale


def data(seed, n, offset=0.0):
    rng = np.random.default_rng(seed)
    return (offset + rng.normal(size=(n, 3)) * [1.0, 10.0, 0.1]).astype(np.float32)


def counted(*chunks):
    normaliser = Normaliser(chunks[0].shape[1], enabled=True)
    for chunk in chunks:
        normaliser.advance(chunk)
    return normaliser


@given(
    seed=st.integers(0, 100),
    n=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    offset=st.sampled_from([0.0, 1e3]),
)
def test_mean_and_scale_are_those_of_all_data_in_any_split(seed, n, cuts, offset):
    obs = data(seed, n, offset)
    scaling = counted(*np.split(obs, sorted(min(c, n) for c in cuts))).scaling()
    exact = obs.astype(np.float64)
    np.testing.assert_allclose(scaling.mean, exact.mean(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scaling.scale, exact.std(axis=0) if n > 1 else 1.0, rtol=1e-5)
    assert scaling.mean.dtype == scaling.scale.dtype == np.float32


@pytest.mark.parametrize("enabled", [False, True])
def test_without_data_it_is_the_identity(enabled):
    normaliser = Normaliser(3, enabled)
    if not enabled:
        normaliser.advance(data(0, 20))
    obs = data(1, 20)
    np.testing.assert_array_equal(normaliser.scaling()(obs), np.clip(obs, -CLIP, CLIP) if enabled else obs)


@pytest.mark.parametrize("constant", [0.0, 7.0, 0.1, -1e6])
@pytest.mark.parametrize("move", [0.5, 1e-3, 100.0])
def test_an_entry_that_was_constant_keeps_its_unit_and_then_counts_from_its_first_moves(constant, move):
    before, chunk = np.full((100_000, 1), constant, np.float32), np.full((16, 1), constant, np.float32)
    normaliser = counted(before)
    moved = np.float32(constant + move) - np.float32(constant)
    np.testing.assert_allclose(normaliser.scaling()(chunk[:1] + moved), min(float(moved), CLIP), atol=1e-6)
    chunk[::4] += moved
    normaliser.advance(chunk)
    assert np.abs(normaliser.scaling()(chunk)).max() < 3  # not √100,000 deviations from the mean


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e6])
def test_entries_of_every_unit_are_scaled_to_the_same(unit):
    obs = data(0, 500)
    np.testing.assert_allclose(
        counted(obs * np.float32(unit)).scaling()(obs * np.float32(unit)), counted(obs).scaling()(obs), atol=1e-3
    )


def test_nothing_is_scaled_beyond_the_clip():
    scaling = counted(data(0, 500)).scaling()
    np.testing.assert_array_equal(scaling(np.array([[1e9, -1e9, 0.0]], np.float32))[0, :2], [CLIP, -CLIP])


def test_statistics_from_before_there_was_a_clip_keep_their_meaning():
    constant = Normaliser(2, enabled=True)
    constant.restore({"count": np.asarray(10.0), "mean": np.array([3.0, 0.0]), "sum_of_squares": np.array([0.0, 40.0])})
    np.testing.assert_allclose(constant.scaling()(np.array([3.5, 100.0], np.float32)), [500.0, 50.0], rtol=1e-5)
    assert "clip" not in constant.arrays()


def test_restored_statistics_go_on_as_if_never_saved():
    whole, first, second = (Normaliser(3, enabled=True) for _ in range(3))
    for normaliser in (whole, first):
        normaliser.advance(data(0, 20))
    second.restore(first.arrays())
    for normaliser in (whole, second):
        normaliser.advance(data(1, 13))
    one, other = whole.scaling(), second.scaling()
    for name in ("mean", "scale", "clip"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def rewards(seed, times, envs):
    rng = np.random.default_rng(seed)
    return rng.normal(2.0, 5.0, (times, envs)).astype(np.float32), rng.random((times, envs)) < 0.2


@given(
    seed=st.integers(0, 50), cuts=st.lists(st.integers(0, 40), max_size=4), discount=st.sampled_from([0.0, 0.9, 1.0])
)
def test_rewards_are_divided_by_the_deviation_of_the_discounted_return_in_any_split(seed, cuts, discount):
    reward, ended = rewards(seed, 40, 2)
    scale = RewardScale(2, discount, enabled=True)
    for part in np.split(np.arange(40), sorted(cuts)):
        scale.advance(reward[part], ended[part])
        again = RewardScale(2, discount, enabled=True)
        again.restore(scale.arrays())
        scale = again
    returns = []
    for env in range(2):
        total = 0.0
        for r, end in zip(reward[:, env].astype(float), ended[:, env], strict=True):
            total = discount * total + r
            returns.append(total)
            total = 0.0 if end else total
    expected = np.clip(reward / np.std(returns), -CLIP, CLIP)
    np.testing.assert_allclose(scale(reward), expected, rtol=1e-5)
    assert scale(reward).dtype == np.float32


@pytest.mark.parametrize(("size", "noise"), [(5.0, 0.01), (1e-9, 0.0), (1e9, 1.0), (0.0, 0.0)])
def test_steady_rewards_of_any_size_are_not_clipped(size, noise):
    reward, ended = np.full((50, 1), size, np.float32), np.ones((50, 1), bool)
    reward[::2] += np.float32(noise)
    scale = RewardScale(1, 0.99, enabled=True)
    scale.advance(reward, ended)
    scaled = scale(reward)
    assert np.abs(scaled).max() < CLIP
    assert (len(np.unique(scaled)) > 1) == (len(np.unique(reward)) > 1)


def test_without_it_rewards_are_not_touched():
    reward, ended = rewards(0, 5, 1)
    scale = RewardScale(1, 0.99, enabled=False)
    scale.advance(reward, ended)
    assert scale(reward) is reward
    assert scale.arrays() == {}
