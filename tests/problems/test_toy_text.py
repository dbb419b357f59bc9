"""Gymnasium's tables and their pitfalls, against closed forms, enumeration and rows computed by hand."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.problems import FiniteMDP, cannot_terminate, layout_of
from tests.problems.problems_reference import END, branches, hard_values


def start_value(name, discount):
    mdp = FiniteMDP.from_gymnasium(name, discount=discount)
    return mdp.initial @ hard_values(mdp)


@pytest.mark.parametrize(
    ("name", "discount", "value"),
    [
        ("FrozenLake-v1", 0.99, 0.542025932000),
        ("FrozenLake-v1", 0.95, 0.180471578397),
        ("FrozenLake-v1", 1.0, 14 / 17),
        ("FrozenLake8x8-v1", 0.99, 0.414640361800),
        ("CliffWalking-v1", 1.0, -13.0),
        ("CliffWalking-v1", 0.99, -12.2478977001),
        ("Taxi-v4", 1.0, 7.93),
        ("Taxi-v4", 0.99, 6.3274643149),
    ],
)
def test_known_hard_optima(name, discount, value):
    assert start_value(name, discount) == pytest.approx(value, abs=2e-10)


def test_frozen_lake_undiscounted_in_seventeenths():
    value = hard_values(FiniteMDP.from_gymnasium("FrozenLake-v1")) * 17
    expected = [[14, 14, 14, 14], [14, 0, 9, 0], [14, 14, 13, 0], [0, 15, 16, 0]]
    np.testing.assert_allclose(value.reshape(4, 4), expected, atol=1e-9)


def test_frozen_lake_row_by_row():
    """Left in the corner: two of three slips stay there. Right above the goal's left neighbour: all three outcomes."""
    mdp = FiniteMDP.from_gymnasium("FrozenLake-v1")
    rows = branches(mdp)
    assert rows[0, 0] == pytest.approx({(0, 0.0): 2 / 3, (4, 0.0): 1 / 3})
    assert rows[14, 2] == pytest.approx({(14, 0.0): 1 / 3, (END, 1.0): 1 / 3, (10, 0.0): 1 / 3})
    np.testing.assert_array_equal(np.flatnonzero(mdp.terminal), [5, 7, 11, 12, 15])
    assert mdp.horizon is None


def test_the_goal_of_the_cliff_has_live_rows_and_is_terminal():
    env: Any = gymnasium.make("CliffWalking-v1").unwrapped
    assert not any(terminated for _, _, _, terminated in env.P[47][0]), "the trap is gone from Gymnasium"
    mdp = FiniteMDP.from_gymnasium(env)
    np.testing.assert_array_equal(np.flatnonzero(mdp.terminal), [47])
    assert np.all(mdp.probability[47] == 0)
    assert branches(mdp)[35, 2] == {(END, -1.0): 1.0}
    assert branches(mdp)[36, 1] == {(36, -100.0): 1.0}


def test_goals_of_the_taxi_are_terminal_although_its_table_continues():
    env: Any = gymnasium.make("Taxi-v4").unwrapped
    goals = [env.encode(row, column, place, place) for place, (row, column) in enumerate(env.locs)]
    assert not all(branch[3] for s in goals for a in range(6) for branch in env.P[s][a]), "the trap is gone"
    mdp = FiniteMDP.from_gymnasium(env)
    np.testing.assert_array_equal(np.flatnonzero(mdp.terminal), sorted(goals))
    assert np.count_nonzero(mdp.initial) == 300
    assert len(cannot_terminate(mdp)) == 0


class Table:
    """The least environment with a table. In state 0 action 1 ends the episode and action 0 stays."""

    spec = None

    def __init__(self):
        self.P: Any = {0: {0: [(1.0, 0, 1.0, False)], 1: [(1.0, 0, 5.0, True)]}}

    @property
    def unwrapped(self):
        return self


def test_a_state_with_an_action_that_ends_is_not_terminal():
    mdp = FiniteMDP.from_gymnasium(Table(), initial=0)
    assert not mdp.terminal.any()
    assert branches(mdp) == {(0, 0): {(0, 1.0): 1.0}, (0, 1): {(END, 5.0): 1.0}}


def test_a_list_of_lists_is_a_table_too():
    table = Table()
    table.P = [[[(1.0, 0, 1.0, False)], [(1.0, 0, 5.0, True)]]]
    assert branches(FiniteMDP.from_gymnasium(table, initial=0))[0, 1] == {(END, 5.0): 1.0}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("CartPole-v1", ("CartPole-v1", "`P`")),
        ("FrozenLakes-v1", ("'FrozenLakes-v1'", "did you mean 'FrozenLake-v1'?")),
        (Table(), ("Table", "`initial`")),
    ],
)
def test_an_environment_without_a_table_is_refused(env, words):
    with pytest.raises(EntraxError) as caught:
        FiniteMDP.from_gymnasium(env)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1"])
def test_the_layout_moves_as_the_environment_does(name):
    """Where no slip, wall or pit interferes, the most likely step of each action is that of its arrow."""
    kwargs = {"is_slippery": False} if name == "FrozenLake-v1" else {}
    env = gymnasium.make(name, **kwargs)
    mdp, layout = FiniteMDP.from_gymnasium(env), layout_of(env)
    assert layout is not None
    assert layout.where("S") @ np.arange(mdp.states) == np.argmax(mdp.initial)
    safe = np.flatnonzero(~mdp.terminal & ~layout.where("X"))
    for action, arrow in enumerate(layout.moves):
        reached = layout.step(arrow)
        for s in safe:
            to = int(mdp.successor[s, action, 0])
            fell = layout.where("X")[reached[s]]
            assert to == reached[s] or (to == mdp.states and mdp.terminal[reached[s]]) or fell
    assert layout_of(gymnasium.make("Taxi-v4")) is None
