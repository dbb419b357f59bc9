"""Noise over time: variance, spectrum, and splines."""

import jax.random as jr
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from entrax.errors import UsageError
from entrax.planning.noise import Coloured, Splines, White, draw


@pytest.mark.parametrize("noise", [White(), Coloured(0.5), Coloured(2.0), Splines(4)], ids=str)
def test_the_variance_is_one_at_every_step(noise):
    basis = noise.basis(30)
    np.testing.assert_allclose(np.diag(basis @ basis.T), 1, rtol=1e-12)
    drawn = draw(basis, 20_000, jr.key(0))
    np.testing.assert_allclose(np.cov(drawn), basis @ basis.T, atol=0.05)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_the_spectrum_is_a_power_law(exponent):
    """The covariance is the Fourier transform of the power, over twice the horizon."""
    horizon = 32
    basis = Coloured(exponent).basis(horizon)
    power = np.maximum(np.arange(horizon + 1), 1.0) ** -exponent
    expected = np.fft.irfft(power)[:horizon] / np.fft.irfft(power)[0]
    for t in range(horizon):
        np.testing.assert_allclose((basis @ basis.T)[t, t:], expected[: horizon - t], atol=1e-12)


def test_exponent_zero_is_white():
    basis = Coloured(0.0).basis(12)
    np.testing.assert_allclose(basis @ basis.T, np.eye(12), atol=1e-12)


def test_splines_pass_through_their_knots():
    basis, steps = Splines(4).basis(31), np.arange(31)
    np.testing.assert_allclose(basis[::10], np.eye(4), atol=1e-12)
    first, second = (CubicSpline([0, 10, 20, 30], np.eye(4)[i], bc_type="natural")(steps) for i in (0, 1))
    np.testing.assert_allclose(basis[:, 0] * second, basis[:, 1] * first, atol=1e-12)  # scaled alike
    np.testing.assert_allclose(Splines(2).basis(3)[1], [0.5**0.5, 0.5**0.5])


def test_usage_errors():
    with pytest.raises(UsageError, match="exponent"):
        Coloured(-1.0)
    with pytest.raises(UsageError, match="knots"):
        Splines(1)
    with pytest.raises(UsageError, match="horizon of 3"):
        Splines(4).basis(3)
