"""Gives every test here float64."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def x64():
    with jax.enable_x64(True):
        yield
