"""Every mistake in a problem is refused, in one sentence that names the state, the action or the shape."""

import dataclasses

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
    usual = {"state": [0, 1], "action": [0, 0], "probability": 1.0, "next_state": [1, 0], "reward": 0.0}
    return FiniteMDP.from_columns(**{**usual, "terminated": False, **given})


def data(unseen="mask", **given):
    usual = {"state": [0, 1], "action": [0, 1], "reward": [0.0, 0.0], "next_state": [1, 0], "terminated": [False] * 2}
    return FiniteMDP.from_data(**{**usual, **given}, unseen=unseen)


def fields(**given):
    mdp = dense()
    return dataclasses.replace(mdp, **given)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: dense(changed(UNIFORM, (1, 0, 2), 0.5)), "(state 1, action 0) sum to 1.166666667, not to 1"),
        (lambda: dense(changed(UNIFORM, (1, 0), 0)), "(state 1, action 0) sum to 0, not to 1"),
        (
            lambda: dense(changed(UNIFORM, (2, 1, 0), np.nan)),
            "(state 2, action 1) leads to state 0 with probability nan",
        ),
        (
            lambda: dense(changed(changed(UNIFORM, (0, 1, 0), -1 / 3), (0, 1, 1), 1)),
            "(state 0, action 1) leads to state 0 with probability -0.333",
        ),
        (lambda: dense(reward=changed(REWARD, (1, 1), np.nan)), "reward of (state 1, action 1) is nan"),
        (lambda: dense(reward=changed(REWARD, (0, 1), np.inf)), "reward of (state 0, action 1) is inf"),
        (lambda: dense(reward=changed(REWARD, (0,), -np.inf)), "forbids every action of state 0"),
        (
            lambda: dense(reward=changed(np.zeros((3, 2, 3)), (1, 1, 2), np.nan)),
            "reward of (state 1, action 1) is nan when it leads to state 2",
        ),
        (
            lambda: dense(np.moveaxis(UNIFORM, 1, 0)),
            "shape (2, 3, 3): it must be (states, actions, states); np.moveaxis",
        ),
        (lambda: dense(UNIFORM[0]), "transition has shape (2, 3): it must be (states, actions, states)."),
        (lambda: dense(reward=REWARD[:2]), "reward has shape (2, 2): it must be (3, 2)"),
        (lambda: dense(np.zeros((0, 2, 0)), np.zeros((0, 2))), "at least one state"),
        (lambda: dense(discount=1.5), "discount is 1.5: it must lie in [0, 1]"),
        (lambda: dense(discount=np.nan), "discount is nan: it must lie in [0, 1]"),
        (lambda: dense(horizon=0), "horizon is 0"),
        (lambda: dense(mask=[[1, 1], [0, 0], [1, 1]]), "mask leaves state 1 without an action"),
        (lambda: dense(mask=[[True, True]]), "mask has shape (1, 2): it must be (3, 2)"),
        (lambda: dense(prior=[[1, 1], [1, -1], [1, 1]]), "prior weight of (state 1, action 1) is -1"),
        (lambda: dense(prior=[[1, 1], [1, np.nan], [1, 1]]), "prior weight of (state 1, action 1) is nan"),
        (lambda: dense(prior=[[0, 1]] * 3, mask=[[1, 0]] * 3), "prior gives no allowed action of state 0 any weight"),
        (lambda: dense(terminal=[3]), "terminal names state 3, but states are 0 to 2"),
        (lambda: dense(terminal=[True]), "terminal has shape (1,): it must be (3,)"),
        (lambda: dense(terminal=[0.5]), "terminal has type float64"),
        (lambda: dense(terminal=[0, 1, 2]), "Every state is terminal"),
        (lambda: dense(initial=7), "initial names state 7, but states are 0 to 2"),
        (lambda: dense(initial=[0.5, 0.5]), "initial has shape (2,): it must be (3,)"),
        (lambda: dense(initial=[0.5, 0.1, 0.1]), "initial distribution sums to 0.7, not to 1"),
        (lambda: dense(initial=[1.5, 0, -0.5]), "initial probability of state 2 is -0.5"),
        (lambda: FiniteMDP.from_sparse([], REWARD), "transition holds no matrix"),
        (
            lambda: FiniteMDP.from_sparse([sparse.eye_array(3), sparse.eye_array(2)], REWARD),
            "action 1 has shape (2, 2)",
        ),
        (
            lambda: FiniteMDP.from_sparse([sparse.eye_array(3)] * 2, [sparse.eye_array(3)]),
            "matrices of rewards have shapes [(3, 3)]",
        ),
        (lambda: FiniteMDP.from_transitions([]), "There are no transitions"),
        (lambda: FiniteMDP.from_transitions([(0, 0, 1.0, 0, 0.0)]), "Transition 0 is (0, 0, 1.0, 0, 0.0): it must be"),
        (lambda: FiniteMDP.from_transitions([(0, 0, 1.0, 1, 0.0, False)]), "State 1 has no transitions"),
        (lambda: columns(state=[0, -1]), "Transition 1 has state -1: it must lie in 0 to 1"),
        (lambda: columns(next_state=[5, 0], states=2), "Transition 0 has next_state 5: it must lie in 0 to 1"),
        (lambda: columns(action=[0, 3], actions=2), "Transition 1 has action 3: it must lie in 0 to 1"),
        (lambda: columns(state=[0.0, 1.0]), "state has type float64: it must hold integers"),
        (lambda: columns(reward=[0.0]), "reward has shape (1,) and state (2,)"),
        (lambda: columns(state=np.array(0)), "state has shape (): it must be a list"),
        (lambda: data(unseen="maks"), "unseen is 'maks': it must be 'mask' or 'error', did you mean 'mask'?"),
        (lambda: data(unseen="error"), "no transition of (state 0, action 1)"),
        (lambda: data(state=[0, 0], next_state=[1, 0]), "enter state 1 but never leave it"),
        (lambda: fields(successor=dense().successor + 2), "leads to state 4, but states are 0 to 2, and 3 is the end"),
        (lambda: fields(successor=dense().successor - 1), "leads to state -1"),
        (
            lambda: fields(terminal=np.array([False, True, False])),
            "(state 1, action 0) has transitions, but the state is",
        ),
        (
            lambda: fields(mask=np.array([[True, False]] * 3)),
            "(state 0, action 1) has transitions, but the action is masked",
        ),
        (lambda: gridworld("..\n."), "Row 1 of the map has 1 cells, and row 0 has 2"),
        (lambda: gridworld("..\n.?"), "Row 1 of the map has '?'"),
        (lambda: gridworld("\n \n".strip()), "map is empty"),
        (lambda: gridworld("##"), "nothing but walls"),
        (lambda: gridworld("SG", slip=2.0), "slip is 2"),
        (lambda: Layout.parse("SG", "↑x"), "moves"),
        (lambda: two_passages("middle"), "closed is 'middle'"),
        (lambda: garnet(3, 2, 4, seed=0), "4 branches"),
        (lambda: forest(1), "at least 2 ages"),
        (lambda: chain(0), "at least 1"),
        (lambda: chain(3, slip=-0.5), "leads to state"),
        (lambda: random_walk(1), "length of at least 2"),
        (lambda: pendulum(2), "at least 3 angles"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_place(make, words):
    with pytest.raises(EntraxError) as caught:
        make()
    sentence = str(caught.value)
    assert words in sentence
    assert "\n" not in sentence
    assert sentence[-1] in ".?"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("reward", np.zeros((3, 3)), "reward has shape (3, 3): it must be (3, 2)"),
        ("successor", np.zeros((3, 2, 0), int), "successor has shape (3, 2, 0)"),
        ("terminal", np.zeros(3), "terminal has type float64: it must hold booleans"),
        ("probability", np.ones((3, 2, 3), int), "probability has type int64: it must hold floating-point numbers"),
    ],
)
def test_shapes_and_types_of_fields(name, value, words):
    """As `FiniteMDP` checks them by itself; in these tests the run-time check of annotations would come first."""
    from entrax.problems.checks import FIELDS, check_shapes

    arrays = {field: getattr(dense(), field) for field in FIELDS}
    arrays |= {name: value}
    with pytest.raises(EntraxError) as caught:
        check_shapes({field: (array.shape, array.dtype) for field, array in arrays.items() if array is not None})
    assert words in str(caught.value)


def test_what_is_right_is_not_refused():
    assert dense(prior=[[0, 1]] * 3, mask=[[1, 1], [0, 1], [0, 1]], terminal=[0], initial=2, horizon=1).states == 3
    assert dense(discount=0.0).discount == 0
    assert fields(discount=1.0).discount == 1
