"""Every invalid problem is refused, and the message names the state, the action or the shape."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from entrax.errors import EntraxError
from entrax.problems import FiniteMDP, Layout, chain, forest, garnet, gridworld, pendulum, random_walk, two_passages

UNIFORM = np.full((3, 2, 3), 1 / 3)
REWARD = np.zeros((3, 2))


def changed(array, index, value):
    array = np.array(array, float)
    array[index] = value
    return array


def dense(transition=UNIFORM, reward=REWARD, **options):
    return FiniteMDP.from_dense(transition, reward, **options)


def columns(**given):
    usual: dict[str, Any] = {"state": [0, 1], "action": [0, 0], "probability": 1.0, "next_state": [1, 0], "reward": 0.0}
    return FiniteMDP.from_columns(**{**usual, "terminated": False, **given})


def data(unseen="mask", **given):
    usual: dict[str, Any] = {
        "state": [0, 1],
        "action": [0, 1],
        "reward": [0.0, 0.0],
        "next_state": [1, 0],
        "terminated": [False] * 2,
    }
    return FiniteMDP.from_data(**{**usual, **given}, unseen=unseen)


def fields(**given):
    mdp = dense()
    return dataclasses.replace(mdp, **given)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: dense(changed(UNIFORM, (1, 0, 2), 0.5)), ("(state 1, action 0)", "sum to 1", "1.166666667")),
        (lambda: dense(changed(UNIFORM, (1, 0), 0)), ("(state 1, action 0)", "sum to 1", "got 0")),
        (
            lambda: dense(changed(UNIFORM, (2, 1, 0), np.nan)),
            ("(state 2, action 1)", "state 0", "nan"),
        ),
        (
            lambda: dense(changed(changed(UNIFORM, (0, 1, 0), -1 / 3), (0, 1, 1), 1)),
            ("(state 0, action 1)", "state 0", "-0.333"),
        ),
        (lambda: dense(reward=changed(REWARD, (1, 1), np.nan)), ("`reward`", "(state 1, action 1)", "nan")),
        (lambda: dense(reward=changed(REWARD, (0, 1), np.inf)), ("`reward`", "(state 0, action 1)", "got inf")),
        (lambda: dense(reward=changed(REWARD, (0,), -np.inf)), ("State 0", "-inf")),
        (
            lambda: dense(reward=changed(np.zeros((3, 2, 3)), (1, 1, 2), np.nan)),
            ("`reward`", "(state 1, action 1)", "state 2", "nan"),
        ),
        (
            lambda: dense(np.moveaxis(UNIFORM, 1, 0)),
            ("(2, 3, 3)", "(states, actions, states)", "np.moveaxis"),
        ),
        (lambda: dense(UNIFORM[0]), ("`transition`", "(2, 3)", "(states, actions, states)")),
        (lambda: dense(reward=REWARD[:2]), ("`reward`", "(2, 2)", "(3, 2)")),
        (lambda: dense(np.zeros((0, 2, 0)), np.zeros((0, 2))), ("at least one state",)),
        (lambda: dense(discount=1.5), ("`discount`", "1.5", "[0, 1]")),
        (lambda: dense(discount=np.nan), ("`discount`", "nan", "[0, 1]")),
        (lambda: dense(horizon=0), ("`horizon`", "at least 1", "0")),
        (lambda: dense(mask=[[1, 1], [0, 0], [1, 1]]), ("`mask`", "state 1")),
        (lambda: dense(mask=[[True, True]]), ("`mask`", "(1, 2)", "(3, 2)")),
        (lambda: dense(prior=[[1, 1], [1, -1], [1, 1]]), ("`prior`", "(state 1, action 1)", "-1")),
        (lambda: dense(prior=[[1, 1], [1, np.nan], [1, 1]]), ("`prior`", "(state 1, action 1)", "nan")),
        (lambda: dense(prior=[[0, 1]] * 3, mask=[[1, 0]] * 3), ("`prior`", "allowed action", "state 0")),
        (lambda: dense(terminal=[3]), ("`terminal`", "0 to 2", "3")),
        (lambda: dense(terminal=[True]), ("`terminal`", "(1,)", "(3,)")),
        (lambda: dense(terminal=[0.5]), ("`terminal`", "float64")),
        (lambda: dense(terminal=[0, 1, 2]), ("Every state is terminal", "`initial`")),
        (lambda: dense(initial=7), ("`initial`", "0 to 2", "7")),
        (lambda: dense(initial=[0.5, 0.5]), ("`initial`", "(2,)", "(3,)")),
        (lambda: dense(initial=[0.5, 0.1, 0.1]), ("`initial`", "sum to 1", "0.7")),
        (lambda: dense(initial=[1.5, 0, -0.5]), ("`initial`", "state 2", "-0.5")),
        (lambda: FiniteMDP.from_sparse([], REWARD), ("`transition`", "one matrix", "none")),
        (
            lambda: FiniteMDP.from_sparse([sparse.eye_array(3), sparse.eye_array(2)], REWARD),
            ("action 1", "(2, 2)"),
        ),
        (
            lambda: FiniteMDP.from_sparse([sparse.eye_array(3)] * 2, [sparse.eye_array(3)]),
            ("`reward`", "[(3, 3)]"),
        ),
        (lambda: FiniteMDP.from_transitions([]), ("at least one transition",)),
        (
            lambda: FiniteMDP.from_transitions([(0, 0, 1.0, 0, 0.0)]),
            ("(s, a, p, s', r, terminated)", "(0, 0, 1.0, 0, 0.0)"),
        ),
        (lambda: FiniteMDP.from_transitions([(0, 0, 1.0, 1, 0.0, False)]), ("State 1", "no transitions")),
        (lambda: columns(state=[0, -1]), ("`state`", "0 to 1", "-1", "transition 1")),
        (lambda: columns(next_state=[5, 0], states=2), ("`next_state`", "0 to 1", "5", "transition 0")),
        (lambda: columns(action=[0, 3], actions=2), ("`action`", "0 to 1", "3", "transition 1")),
        (lambda: columns(state=[0.0, 1.0]), ("`state`", "integers", "float64")),
        (lambda: columns(reward=[0.0]), ("`reward`", "`state`", "(1,)", "(2,)")),
        (lambda: columns(state=np.array(0)), ("`state`", "list", "()")),
        (lambda: data(unseen="maks"), ("`unseen`", "'error'", "'maks'", "did you mean 'mask'?")),
        (lambda: data(unseen="error"), ("no transition", "(state 0, action 1)")),
        (lambda: data(state=[0, 0], next_state=[1, 0]), ("enter state 1", "never leave")),
        (lambda: fields(successor=dense().successor + 2), ("0 to 2", "3 for the end", "4")),
        (lambda: fields(successor=dense().successor - 1), ("Successors", "-1")),
        (
            lambda: fields(terminal=np.array([False, True, False])),
            ("(state 1, action 0)", "state is terminal"),
        ),
        (
            lambda: fields(mask=np.array([[True, False]] * 3)),
            ("(state 0, action 1)", "action is masked"),
        ),
        (lambda: gridworld("..\n."), ("same length", "row 0", "row 1")),
        (lambda: gridworld("..\n.?"), ("'?'", "row 1")),
        (lambda: gridworld("\n \n".strip()), ("map is empty",)),
        (lambda: gridworld("##"), ("wall",)),
        (lambda: gridworld("SG", slip=2.0), ("`slip`", "2.0")),
        (lambda: Layout.parse("SG", "↑x"), ("`moves`",)),
        (lambda: two_passages("middle"), ("`closed`", "'middle'")),
        (lambda: garnet(3, 2, 4, seed=0), ("`branches`", "4")),
        (lambda: forest(1), ("`ages`", "at least 2")),
        (lambda: chain(0), ("`length`", "at least 1")),
        (lambda: chain(3, slip=-0.5), ("Probabilities", "-0.5")),
        (lambda: random_walk(1), ("`length`", "at least 2")),
        (lambda: pendulum(2), ("at least 3 `angles`",)),
    ],
)
def test_the_message_names_the_place(make, words):
    with pytest.raises(EntraxError) as caught:
        make()
    message = str(caught.value)
    for word in words:
        assert word in message
    assert message[-1] in ".?"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("reward", np.zeros((3, 3)), ("`reward`", "(3, 3)", "(3, 2)")),
        ("successor", np.zeros((3, 2, 0), int), ("`successor`", "(3, 2, 0)")),
        ("terminal", np.zeros(3), ("`terminal`", "booleans", "float64")),
        ("probability", np.ones((3, 2, 3), int), ("`probability`", "floating-point", "int64")),
    ],
)
def test_shapes_and_types_of_fields(name, value, words):
    """Calls the check of `FiniteMDP` directly: in tests the run-time check of annotations would come first."""
    from entrax.problems.checks import FIELDS, check_shapes

    arrays = {field: getattr(dense(), field) for field in FIELDS}
    arrays |= {name: value}
    with pytest.raises(EntraxError) as caught:
        check_shapes({field: (array.shape, array.dtype) for field, array in arrays.items() if array is not None})
    for word in words:
        assert word in str(caught.value)


def test_valid_problems_are_accepted():
    assert dense(prior=[[0, 1]] * 3, mask=[[1, 1], [0, 1], [0, 1]], terminal=[0], initial=2, horizon=1).states == 3
    assert dense(discount=0.0).discount == 0
    assert fields(discount=1.0).discount == 1
