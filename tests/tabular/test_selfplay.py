"""Self-play against the logit equilibrium of an independent solver."""

from typing import Any

import jax
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.problems import exploitability, logit_equilibrium, matrix_game, rock_paper_scissors
from entrax.tabular import StepSize, self_play


def played(game, temperature, *, steps=200_000, power=0.9, pairs=4, start=None):
    settled: dict[str, Any] = {"steps": steps, "step_size": StepSize(power), "start": start, "records": 2}
    run = jax.vmap(lambda key: self_play(game, temperature, key=key, **settled))
    return run(jax.random.split(jax.random.key(0), pairs))


def gains(game, result):
    """The sum of both players' gains by best responses, for each pair."""
    pairs = zip(np.asarray(result.row), np.asarray(result.column), strict=True)
    return [sum(exploitability(game, *pair)) for pair in pairs]


def test_rock_paper_scissors_converges_to_a_third_each():
    result = played(rock_paper_scissors(), 0.5, start=(np.array([1.0, 0, 0]), np.array([0, 0.5, 0])))
    for strategy in (result.row, result.column):
        assert np.abs(np.asarray(strategy) - 1 / 3).max() < 0.01  # every one of the pairs


def test_an_uneven_game_converges_to_its_logit_equilibrium():
    game = matrix_game([[3.0, -1.0], [-1.0, 1.0]])
    expected = logit_equilibrium(game, 0.7)
    result = played(game, 0.7)
    assert np.abs(np.asarray(result.row) - expected.row).max() < 0.02
    assert np.abs(np.asarray(result.column) - expected.column).max() < 0.02
    assert abs(expected.row[0] - 0.5) > 0.05


def test_greedy_self_play_is_exploited():
    game = rock_paper_scissors()
    assert min(gains(game, played(game, 0.0, steps=2000))) >= 1  # one of the two could win every round
    assert max(gains(game, played(game, 0.5))) < 0.04


def test_a_negative_temperature_is_refused():
    with pytest.raises(EntraxError, match="`temperature`"):
        self_play(rock_paper_scissors(), -0.1, steps=10, key=jax.random.key(0))
