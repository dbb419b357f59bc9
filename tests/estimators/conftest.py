"""Makes the enumerated problem importable, and gives every test here float64."""

import sys
from pathlib import Path

import jax
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield
