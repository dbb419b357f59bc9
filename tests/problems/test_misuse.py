"""Implausible arguments are refused."""

import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.problems import FiniteMDP, gridworld

LOOP = np.ones((1, 1, 1)), np.zeros((1, 1))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: FiniteMDP.from_dense(*LOOP, discout=0.5), "'discout'.*'discount'"),  # type: ignore[call-arg]
        (lambda: gridworld("S.G", gamma=0.9), "gamma.*discount"),  # type: ignore[call-arg]
        (lambda: gridworld("S.G", terminal=[0]), "`terminal`.*map"),
        (lambda: gridworld("S.G", step_reward=float("inf")), "`step_reward`.*finite"),
        (lambda: FiniteMDP.from_dense(*LOOP, horizon=True), "`horizon`.*True"),
        (lambda: FiniteMDP.from_transitions([(10**12, 0, 1.0, 0, 0.0, False)]), "from 0"),
        (lambda: FiniteMDP.from_gymnasium(3), "got a int"),
    ],
)
def test_implausible_arguments(call, words):
    with pytest.raises(EntraxError, match=words):
        call()
