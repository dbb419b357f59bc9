"""The study of Z-learning: its mazes, its measure and its verdicts."""

import jax
import numpy as np
import pytest

from entrax.studies import z_learning
from entrax.tabular import StepSize


def test_mazes_have_as_many_cells_and_the_embedding_keeps_the_cost_of_every_move():
    for slip in z_learning.SLIPS.values():
        maze = z_learning.make_maze(3, slip)
        assert maze.classical.states == z_learning.FREE
        passive, moves = maze.embedded.passive.toarray(), maze.classical.to_dense()[..., :-1]
        allowed = np.asarray(maze.classical.probability).any(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            divergence = np.where(moves > 0, moves * np.log(moves / passive[:, None]), 0).sum(axis=2)
        cost = maze.embedded.cost[:, None] + z_learning.TEMPERATURE * divergence
        np.testing.assert_allclose(cost[allowed], 1.0, atol=1e-10)
        assert np.all(maze.value <= maze.hard + 1e-9)
        assert np.all(maze.value[maze.live] > 0)


def test_the_error_is_relative_to_the_learners_own_optimum():
    """A table that was hardly trained has nearly the error of a table of zeros, which is 1."""
    maze = z_learning.make_maze(0, 0.2)
    runs = z_learning.learners(maze, 20, jax.random.key(0))
    for name, run in runs.items():
        assert 0.9 < run(StepSize(scale=1e-6))[-1] < 1.1, name


def numbers(random, greedy):
    """Made-up results in which Q-learning's final errors are larger by these factors."""
    ones = np.ones((5, 1))
    errors = {
        "z-learning": ones,
        "q-learning": random * ones,
        "greedy z-learning": ones,
        "greedy q-learning": greedy * ones,
    }
    return {"errors": {"slips": errors}}


@pytest.mark.parametrize(
    ("random", "greedy", "verdict"),
    [(5, 5, "supported"), (5, 1.5, "undecided"), (5, 0.5, "refuted"), (0.9, 5, "refuted"), (1.5, 5, "undecided")],
)
def test_the_verdict_needs_both_pairs(random, greedy, verdict):
    assert z_learning.judge(numbers(random, greedy)) == verdict


@pytest.mark.long
def test_the_control_is_seen():
    assert z_learning.control().seen
