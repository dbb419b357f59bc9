"""Annealing against the straight line it is."""

import numpy as np
import pytest

from entrax.policies.schedule import Anneal
from entrax.spec import Progress


@pytest.mark.parametrize(
    ("fraction", "steps", "expected"),
    [
        (0.5, (0, 100, 200, 300, 400), (1.0, 0.6, 0.2, 0.2, 0.2)),
        (1.0, (0, 100, 400, 500), (1.0, 0.8, 0.2, 0.2)),
        (0.0, (0, 400), (0.2, 0.2)),
    ],
)
def test_a_straight_line_and_then_level(fraction, steps, expected):
    annealed = Anneal(start=1.0, end=0.2, fraction=fraction)
    values = [annealed(Progress(step=np.int32(step), horizon=np.int32(400))) for step in steps]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_both_ends_are_exact():
    annealed = Anneal(start=0.1, end=0.3, fraction=0.7)
    ends = [annealed(Progress(step=np.int32(step), horizon=np.int32(10))) for step in (0, 10)]
    assert [np.float32(end) for end in ends] == [np.float32(0.1), np.float32(0.3)]
