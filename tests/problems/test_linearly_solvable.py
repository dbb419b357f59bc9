"""Linearly solvable problems: constructors, embeddings, and what is refused."""

import numpy as np
import pytest
from scipy import sparse

from entrax.errors import UsageError
from entrax.problems import FiniteMDP, LinearlySolvable, garnet, gridworld, safe_or_risky

STAY = np.eye(2)
LINE = [[0, 1, 0], [0.5, 0, 0.5], [0, 0, 1]]


def test_a_random_walk_by_hand():
    walk = LinearlySolvable.random_walk(3, 0.2, final_costs=(1, 2), up=0.25)
    np.testing.assert_array_equal(
        walk.passive.toarray(), [[0, 0, 0, 0], [0.75, 0, 0.25, 0], [0, 0.75, 0, 0.25], [0] * 4]
    )
    np.testing.assert_array_equal(walk.cost, [1, 0.2, 0.2, 2])
    np.testing.assert_array_equal(walk.exits, [True, False, False, True])


def test_a_grid_by_hand():
    """The corner of a map: up and left stay, right is a wall, down leads to state 1."""
    grid = LinearlySolvable.grid("S#\n.G\n.X", 0.5, goal_cost=-1)
    np.testing.assert_array_equal(grid.passive.toarray()[0], [0.75, 0.25, 0, 0, 0])
    np.testing.assert_array_equal(grid.passive.toarray()[1], [0.25, 0.25, 0.25, 0.25, 0])
    np.testing.assert_array_equal(grid.cost, [0.5, 0.5, -1, 0.5, np.inf])
    np.testing.assert_array_equal(grid.forbidden, [False] * 4 + [True])


def test_rows_of_exits_and_forbidden_states_are_ignored():
    problem = LinearlySolvable([[9, 9, 9], [0.5, 0.25, 0.25], [-1, 0, 0]], [0, 1, np.inf], exits=[0])
    assert problem.passive.nnz == 3
    assert problem.passive[1, 2] == 0.25  # a forbidden state keeps its share of the passive dynamics


def test_equal_entries_of_a_sparse_matrix_are_added():
    rows = sparse.coo_array(([0.5, 0.5], ([1, 1], [0, 0])), shape=(2, 2))
    assert LinearlySolvable(rows, 1.0, exits=[0]).passive[1, 0] == 1


def test_embedding_a_deterministic_grid_gives_the_grid():
    text = "S..\n.#.\n..G"
    grid = LinearlySolvable.grid(text, 0.3)
    embedded = LinearlySolvable.from_finite(gridworld(text, step_reward=-0.3, goal_reward=0), 0.7)
    np.testing.assert_allclose(embedded.passive.toarray(), grid.passive.toarray(), atol=1e-15)
    np.testing.assert_allclose(embedded.cost, grid.cost, atol=1e-15)


def test_embedding_reproduces_the_cost_of_every_action():
    """q + λ KL(p_a ‖ p) = −r for every state and action of a random problem; one branch each state is its own row."""
    mdp, temperature = garnet(12, 3, 3, seed=4, discount=0.9), 0.4
    embedded = LinearlySolvable.embed(mdp, temperature)
    passive, actions = embedded.passive.toarray(), mdp.to_dense()[..., :-1]
    assert embedded.kind == "discounted"
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.nansum(np.where(actions > 0, actions * np.log(actions / passive[:, None]), 0), axis=2)
    np.testing.assert_allclose(embedded.cost[:, None] + temperature * divergence, -mdp.reward, atol=1e-10)


def test_the_end_of_an_episode_becomes_an_exit():
    mdp = FiniteMDP.from_transitions([(0, 0, 1.0, 0, -1.0, False), (0, 1, 1.0, 0, -2.0, True)])
    embedded = LinearlySolvable.from_finite(mdp, 1.0, convention="entropy")
    assert embedded.states == 2
    assert embedded.exits.tolist() == [False, True]
    assert embedded.cost[0] == pytest.approx(-np.log(np.exp(-1) + np.exp(-2)))


def test_the_finite_form_by_hand():
    walk = LinearlySolvable.random_walk(3, 0.2, final_costs=(np.inf, 2), up=0.25)
    mdp = walk.to_finite(initial=1)
    assert isinstance(mdp, FiniteMDP)
    np.testing.assert_array_equal(mdp.successor[1:3, :, 0], [[0, 2], [1, 3]])
    np.testing.assert_array_equal(mdp.reward[1:3], [[-np.inf, -0.2], [-0.2, -2.2]])
    np.testing.assert_array_equal(np.asarray(mdp.prior)[1:3], [[0.75, 0.25]] * 2)
    np.testing.assert_array_equal(mdp.terminal, [True, False, False, True])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"passive": [[0.5, 0.4], [0, 1]]}, "row of state 0 .* sum to 1, got 0.9"),
        ({"passive": [[1.5, -0.5], [0, 1]]}, "state 0 to state 1 is -0.5"),
        ({"passive": [[np.nan, 1], [0, 1]]}, "at least 0"),
        ({"passive": [[0.5, 0.5]]}, "shape"),
        ({"passive": [0.5, 0.5]}, "shape"),
        ({"cost": [1, -np.inf]}, "`cost` of state 1 .* above -inf"),
        ({"cost": [np.nan, 1]}, "`cost` of state 0"),
        ({"cost": [1, 2, 3]}, "shape"),
        ({"cost": [[1, 2]]}, "finite-horizon only"),
        ({"passive": STAY}, "State 0 cannot reach an exit"),
        ({"passive": LINE, "exits": [0], "cost": 1}, r"State 2 cannot reach .*1 such"),
        ({"passive": LINE, "exits": [2], "cost": [1, np.inf, 0]}, "State 0 cannot reach"),
        ({"cost": [1, np.inf]}, "exit of finite cost"),
        ({"exits": [2]}, "0 to 1"),
        ({"exits": [0, 1]}, "neither an exit nor forbidden"),
        ({"exits": []}, "requires an exit"),
        ({"kind": "first exit"}, "first-exit"),
        ({"discount": 0.9}, "must be 1 for the kind first-exit"),
        ({"kind": "discounted"}, "below 1"),
        ({"kind": "discounted", "discount": 0}, "above 0"),
        ({"kind": "discounted", "discount": np.nan}, "discount"),
        ({"horizon": 3}, "finite-horizon"),
        ({"kind": "finite-horizon"}, "requires `horizon`"),
        ({"kind": "finite-horizon", "horizon": 0}, "at least 1"),
        ({"kind": "finite-horizon", "cost": np.ones((3, 2)), "horizon": 2}, "same number of steps"),
        ({"final_cost": [0, 0]}, "finite-horizon"),
        ({"kind": "finite-horizon", "horizon": 2, "final_cost": [0]}, "shape"),
        ({"kind": "finite-horizon", "horizon": 2, "final_cost": [0, np.nan]}, "`final_cost` of state 1"),
        ({"kind": "average"}, "without `exits`, got state 1"),
        ({"kind": "average", "passive": STAY, "exits": []}, "state 0 or near state 1"),
        ({"kind": "average", "exits": [], "cost": [1, np.inf]}, "successors of state 0 are forbidden"),
    ],
)
def test_what_is_refused(arguments, words):
    defaults = {"passive": [[0, 1], [1, 0]], "cost": 1.0, "exits": [1]}
    with pytest.raises(UsageError, match=words):
        LinearlySolvable(**(defaults | arguments))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LinearlySolvable.random_walk(1), "at least 2"),
        (lambda: LinearlySolvable.random_walk(4, [1.0, 2.0]), "shape"),
        (lambda: LinearlySolvable.random_walk(4, up=1.0), "strictly between"),
        (lambda: LinearlySolvable.grid("S.\n.#"), "exit"),
        (lambda: LinearlySolvable.from_finite(safe_or_risky(), 1.0), "action 1.* several outcomes"),
        (lambda: LinearlySolvable.from_finite(gridworld("SG"), 0.0), "above 0"),
        (lambda: LinearlySolvable.from_finite(gridworld("SG"), 1.0, convention="both"), "kl"),
        (lambda: LinearlySolvable.from_finite(gridworld("S.G", goal_reward=1e4), 1.0), "700 temperatures"),
        (lambda: LinearlySolvable.embed(gridworld("S.G"), np.inf), "finite and above 0"),
        (lambda: LinearlySolvable.embed(same_outcomes(), 1.0), "State 0 cannot be embedded"),
    ],
)
def test_what_constructors_refuse(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def same_outcomes():
    """Two actions with one outcome and different rewards."""
    return FiniteMDP.from_transitions([(0, 0, 1.0, 1, -1.0, True), (0, 1, 1.0, 1, -2.0, True)])


def test_final_costs_are_replaced_for_first_exits_only():
    walk = LinearlySolvable.random_walk(3, 0.2)
    np.testing.assert_array_equal(walk.with_final_cost([1, 2]).cost, [1, 0.2, 0.2, 2])
    with pytest.raises(UsageError, match=r"shape \(2,\)"):
        walk.with_final_cost([1])
