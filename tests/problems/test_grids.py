"""Parsed maps, and the mazes against counted steps and published numbers."""

import itertools

import numpy as np
import pytest

from entrax.problems import (
    ALIASED_OBSERVATION,
    FiniteMDP,
    Layout,
    aliased_gridworld,
    cannot_terminate,
    gridworld,
    two_passages,
)
from tests.problems.problems_reference import branches, hard_values

FROZEN_LAKE = "SFFF\nFHFH\nFFFH\nHFFG"


def test_states_are_the_cells_that_are_not_walls():
    layout = Layout.parse("\nS#.\n.XG\n")
    np.testing.assert_array_equal(layout.state, [[0, -1, 1], [2, 3, 4]])
    np.testing.assert_array_equal(layout.place, [[0, 0], [0, 2], [1, 0], [1, 1], [1, 2]])
    np.testing.assert_array_equal(layout.where("G"), [False] * 4 + [True])
    np.testing.assert_array_equal(layout.step("↓"), [2, 4, 2, 3, 4])
    np.testing.assert_array_equal(layout.step("→"), [0, 1, 3, 4, 4])


def test_a_grid_by_hand():
    """Up, right, down, left from the corner of a map with a wall to the right; slipping to either side."""
    mdp = gridworld("S#.\n.XG", slip=0.2, step_reward=-1)
    rows = branches(mdp)
    assert rows[0, 0] == pytest.approx({(0, -1.0): 1.0})
    assert rows[0, 1] == pytest.approx({(0, -1.0): 0.9, (2, -1.0): 0.1})
    assert rows[0, 2] == pytest.approx({(2, -1.0): 0.8, (0, -1.0): 0.2})
    assert rows[2, 1] == pytest.approx({(3, -2.0): 0.8, (0, -1.0): 0.1, (2, -1.0): 0.1})
    assert rows[1, 2] == pytest.approx({(4, 0.0): 0.8, (1, -1.0): 0.2})
    np.testing.assert_array_equal(mdp.terminal, [False, False, False, True, True])
    np.testing.assert_array_equal(mdp.initial, [1, 0, 0, 0, 0])
    assert mdp.reward[2, 1] == pytest.approx(-1.8)


def test_frozen_lake_drawn_as_a_map_is_frozen_lake():
    ours = gridworld(Layout.parse(FROZEN_LAKE, "←↓→↑"), slip=2 / 3, pit_reward=0.0, discount=0.99)
    theirs = FiniteMDP.from_gymnasium("FrozenLake-v1", discount=0.99)
    np.testing.assert_allclose(hard_values(ours), hard_values(theirs), atol=1e-12)
    np.testing.assert_allclose(ours.reward, theirs.reward, atol=1e-15)
    np.testing.assert_array_equal(ours.terminal, theirs.terminal)


def test_no_slip_is_one_branch():
    mdp = gridworld("S.\n.G")
    assert mdp.branches == 1
    assert mdp.successor[0, :, 0].tolist() == [0, 1, 2, 0]


def test_the_two_passages_are_as_long_as_they_say():
    def steps(closed):
        mdp = gridworld(two_passages(closed), step_reward=-1, goal_reward=0)
        return -(mdp.initial @ hard_values(mdp, 100))

    assert steps(None) == steps("lower") == 12
    assert steps("upper") == 14


def evaluated(mdp, policy):
    """The undiscounted value of a policy, by one linear solve over the states that are not terminal."""
    live = ~mdp.terminal
    dynamics = np.einsum("sa,san->sn", policy, mdp.to_dense()[..., :-1])[np.ix_(live, live)]
    return np.linalg.solve(np.eye(live.sum()) - dynamics, (policy * mdp.reward).sum(1)[live])


def test_the_aliased_gridworld_needs_a_coin():
    """Expected steps 2/p from one side and 2/(1 − p) from the other: at ½ the published 5, 4, 1, 4, 5 and best."""
    mdp = aliased_gridworld()
    _, right, down, left = np.eye(4)

    def steps(p):
        coin = p * right + (1 - p) * left
        seen = {0: right, 1: coin, 2: down, 3: left, 4: down, 5: down}
        policy = np.array([seen[observation] for observation in ALIASED_OBSERVATION])
        return -evaluated(mdp, policy)

    np.testing.assert_allclose(steps(0.5), [5, 4, 1, 4, 5])
    p = 0.3
    np.testing.assert_allclose(steps(p)[[1, 3]], [2 / p, 2 / (1 - p)])
    assert min(steps(p).sum() for p in np.linspace(0.1, 0.9, 17)) == pytest.approx(19)
    assert ALIASED_OBSERVATION[1] == ALIASED_OBSERVATION[3]


def test_a_large_grid():
    """10⁵ cells here; the map of a million builds in seconds."""
    rows = ["." * 400] * 249 + ["." * 399 + "G"]
    mdp = gridworld("\n".join(rows), slip=0.2)
    assert (mdp.states, mdp.actions, mdp.branches) == (100_000, 4, 3)
    np.testing.assert_allclose(mdp.probability.sum(2), ~mdp.terminal[:, None] * np.ones(4), atol=1e-15)
    assert cannot_terminate(mdp).size == 0


def reaches(mdp, policy):
    """The states from which the end is reached within S steps, by powers of the dynamics."""
    allowed = np.ones((mdp.states, mdp.actions)) if policy is None else policy > 0
    step = np.einsum("sa,san->sn", allowed, mdp.to_dense()) > 0
    ended = np.append(mdp.terminal, True)
    for _ in range(mdp.states):
        ended[:-1] |= (step & ended).any(1)
    return ended[:-1]


@pytest.mark.parametrize("seed", range(20))
def test_which_states_cannot_terminate(seed):
    rng = np.random.default_rng(seed)
    cells = rng.choice(list("..##X"), (4, 5))
    cells[0, 0] = "."
    mdp = gridworld("\n".join("".join(row) for row in cells))
    policy = (rng.random((mdp.states, mdp.actions)) < 0.4).astype(float)
    for chosen in (None, policy):
        stuck = cannot_terminate(mdp, chosen)
        np.testing.assert_array_equal(stuck, np.flatnonzero(~reaches(mdp, chosen)))


def test_a_walled_in_state_cannot_terminate():
    assert cannot_terminate(gridworld(".#G\n..#", goal_reward=0)).tolist() == [0, 2, 3]
    assert cannot_terminate(gridworld(".G")).tolist() == []


def test_every_map_of_two_by_two_builds():
    for cells in itertools.product(".#SGX", repeat=4):
        text = f"{cells[0]}{cells[1]}\n{cells[2]}{cells[3]}"
        if set(cells) & {".", "S"}:
            mdp = gridworld(text, slip=0.3)
            assert mdp.states == 4 - cells.count("#")
