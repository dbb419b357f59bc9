"""Arguments that cannot be meant are refused in a sentence."""

import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.problems import FiniteMDP, gridworld

LOOP = np.ones((1, 1, 1)), np.zeros((1, 1))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: FiniteMDP.from_dense(*LOOP, discout=0.5), "no setting 'discout', did you mean 'discount'"),
        (lambda: gridworld("S.G", gamma=0.9), "gamma. is called .discount."),
        (lambda: gridworld("S.G", terminal=[0]), "The map says which cells are terminal"),
        (lambda: gridworld("S.G", step_reward=float("inf")), "The step reward is inf"),
        (lambda: FiniteMDP.from_dense(*LOOP, horizon=True), "horizon is True"),
        (lambda: FiniteMDP.from_transitions([(10**12, 0, 1.0, 0, 0.0, False)]), "number them from 0 on"),
        (lambda: FiniteMDP.from_gymnasium(3), "not by a int"),
    ],
)
def test_what_cannot_be_meant(call, sentence):
    with pytest.raises(EntraxError, match=sentence):
        call()
