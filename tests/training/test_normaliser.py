"""The running statistics against NumPy's over all the data at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrax.training.normaliser import Normaliser


def data(seed, n, offset=0.0):
    rng = np.random.default_rng(seed)
    return (offset + rng.normal(size=(n, 3)) * [1.0, 10.0, 0.01]).astype(np.float32)


@given(
    seed=st.integers(0, 100),
    n=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    offset=st.sampled_from([0.0, 1e3]),
)
def test_mean_and_scale_are_those_of_all_data_in_any_split(seed, n, cuts, offset):
    obs = data(seed, n, offset)
    normaliser = Normaliser(3, enabled=True)
    for part in np.split(obs, sorted(min(c, n) for c in cuts)):
        normaliser.advance(part)
    mean, scale = normaliser.scaling()
    exact = obs.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scale, np.sqrt(np.maximum(exact.var(axis=0), 1e-6)), rtol=1e-5)
    assert mean.dtype == scale.dtype == np.float32


@pytest.mark.parametrize("enabled", [False, True])
def test_without_data_it_is_the_identity(enabled):
    normaliser = Normaliser(3, enabled)
    if not enabled:
        normaliser.advance(data(0, 20))
    mean, scale = normaliser.scaling()
    np.testing.assert_array_equal(mean, np.zeros(3))
    np.testing.assert_array_equal(scale, np.ones(3))


def test_an_entry_that_never_moves_is_not_divided_by_zero():
    normaliser = Normaliser(1, enabled=True)
    normaliser.advance(np.full((10, 1), 7.0, np.float32))
    mean, scale = normaliser.scaling()
    assert mean[0] == 7.0
    assert scale[0] > 0


def test_restored_statistics_go_on_as_if_never_saved():
    whole, first, second = (Normaliser(3, enabled=True) for _ in range(3))
    for normaliser in (whole, first):
        normaliser.advance(data(0, 20))
    second.restore(first.arrays())
    for normaliser in (whole, second):
        normaliser.advance(data(1, 13))
    for one, other in zip(whole.scaling(), second.scaling(), strict=True):
        np.testing.assert_array_equal(one, other)
