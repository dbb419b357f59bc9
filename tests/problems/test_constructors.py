"""Every constructor builds the problem that its arguments describe."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from entrax.errors import EntraxError
from entrax.problems import FiniteMDP, assemble
from tests.problems.problems_reference import END, agree, branches, random_table

SEEDS = st.integers(0, 2**32 - 1)

# Two live states and a terminal one. Action 0 moves on with reward 1; action 1 stays or ends, with outcome rewards.
BY_HAND = {
    (0, 0): {(1, 1.0): 1.0},
    (0, 1): {(0, 0.0): 0.75, (2, 5.0): 0.25},
    (1, 0): {(2, 1.0): 1.0},
    (1, 1): {(1, 0.0): 0.5, (2, 5.0): 0.5},
}
TRANSITION = np.zeros((3, 2, 3))
REWARD = np.zeros((3, 2, 3))
for (_s, _a), _outcomes in BY_HAND.items():
    for (_to, _r), _p in _outcomes.items():
        TRANSITION[_s, _a, _to], REWARD[_s, _a, _to] = _p, _r


def test_a_dense_problem_by_hand():
    mdp = FiniteMDP.from_dense(TRANSITION, REWARD, terminal=[2], discount=0.9)
    assert branches(mdp) == BY_HAND
    np.testing.assert_array_equal(mdp.reward, [[1, 1.25], [1, 2.5], [0, 0]])
    np.testing.assert_array_equal(mdp.initial, [0.5, 0.5, 0])
    assert (mdp.states, mdp.actions, mdp.branches) == (3, 2, 2)
    assert mdp.successor.dtype == np.int32
    assert mdp.mask is None
    assert mdp.prior is None
    assert mdp.discount == 0.9


def test_padding_leads_to_the_end_with_probability_zero():
    mdp = FiniteMDP.from_dense(TRANSITION, REWARD, terminal=[2])
    assert np.all(mdp.successor[mdp.probability == 0] == 3)
    assert np.all(mdp.probability[2] == 0)


def test_rewards_by_action_have_no_outcomes():
    mdp = FiniteMDP.from_dense(TRANSITION, REWARD.sum(2), terminal=[2])
    assert mdp.outcome_reward is None
    np.testing.assert_array_equal(mdp.reward[:2], REWARD.sum(2)[:2])


def test_rows_of_terminal_states_are_ignored():
    noisy = TRANSITION.copy()
    noisy[2] = 7.0
    rewards = REWARD.copy()
    rewards[2] = np.nan
    assert agree(FiniteMDP.from_dense(noisy, rewards, terminal=[False, False, True]), by_hand())


def by_hand():
    return FiniteMDP.from_dense(TRANSITION, REWARD, terminal=[2])


def test_a_sparse_problem_by_hand():
    matrices = [sparse.csr_array(TRANSITION[:, a]) for a in range(2)]
    rewards = [sparse.csr_matrix(REWARD[:, a]) for a in range(2)]
    assert agree(FiniteMDP.from_sparse(matrices, rewards, terminal=[2]), by_hand())
    tables = FiniteMDP.from_sparse(matrices, (TRANSITION * REWARD).sum(2), terminal=[2])
    np.testing.assert_array_equal(tables.reward, by_hand().reward)
    assert tables.outcome_reward is None


def test_dense_rewards_beside_sparse_transitions():
    matrices = [sparse.csr_array(TRANSITION[:, a]) for a in range(2)]
    by_action = [REWARD[:, a] for a in range(2)]
    for rewards in (REWARD, by_action, [by_action[0], sparse.csr_array(by_action[1])]):
        assert agree(FiniteMDP.from_sparse(matrices, rewards, terminal=[2]), by_hand())
    expected = (TRANSITION * REWARD).sum(2)
    for rewards in (expected.tolist(), sparse.csr_array(expected)):
        problem = FiniteMDP.from_sparse(matrices, rewards, terminal=[2])
        np.testing.assert_array_equal(problem.reward, by_hand().reward)


def test_a_reward_of_minus_infinity_is_kept():
    rewards = REWARD.copy()
    rewards[0, 1] = -np.inf
    assert FiniteMDP.from_dense(TRANSITION, rewards, terminal=[2]).reward[0, 1] == -np.inf


def test_transitions_by_hand_in_any_order_and_split_in_two():
    tuples = [(s, a, p / 2, to, r, False) for (s, a), row in BY_HAND.items() for (to, r), p in row.items()] * 2
    rng = np.random.default_rng(0)
    for _ in range(5):
        shuffled = [tuples[i] for i in rng.permutation(len(tuples))]
        assert agree(FiniteMDP.from_transitions(shuffled, terminal=[2]), by_hand())


def test_termination_goes_to_the_end_and_keeps_its_reward():
    """A state in which an action ends the episode is not a terminal state."""
    mdp = FiniteMDP.from_transitions(
        [(0, 0, 0.5, 0, 2.0, True), (0, 0, 0.5, 0, -4.0, True), (0, 1, 1.0, 0, 1.0, False)]
    )
    assert branches(mdp) == {(0, 0): {(END, 2.0): 0.5, (END, -4.0): 0.5}, (0, 1): {(0, 1.0): 1.0}}
    assert mdp.reward[0, 0] == -1
    assert not mdp.terminal.any()


def test_a_state_known_only_from_termination_is_terminal_and_absent_actions_are_masked():
    mdp = FiniteMDP.from_transitions([(0, 0, 1.0, 1, 0.0, False), (1, 1, 1.0, 2, 3.0, True)])
    np.testing.assert_array_equal(mdp.terminal, [False, False, True])
    np.testing.assert_array_equal(mdp.mask, [[True, False], [False, True], [True, True]])


@given(SEEDS)
def test_dense_to_sparse_and_back(seed):
    transition, reward, options = random_table(seed)
    dense = FiniteMDP.from_dense(transition, reward, **options)
    again = FiniteMDP.from_sparse(dense.to_sparse(), dense.reward, **options)
    assert agree(dense, again)
    live = ~options["terminal"][:, None] & (True if options["mask"] is None else options["mask"])
    np.testing.assert_allclose(dense.to_dense(), np.where(live[..., None], transition, 0), rtol=1e-14)
    np.testing.assert_array_equal(dense.reward, np.where(live, reward, 0))
    assert agree(FiniteMDP.from_dense(dense.to_dense(), dense.reward, **options), dense)


@given(SEEDS)
def test_merging_keeps_every_moment_of_the_outcomes(seed):
    """Merging duplicated branches keeps the distribution of (s', r)."""
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 40)
    row, to = rng.integers(3, size=count), rng.integers(3, size=count)
    rewards, ended = rng.choice([0.0, -1.0, 0.5], count), rng.random(count) < 0.3
    weight = rng.random(count) + 0.1
    share = weight / np.bincount(row, weight)[row]
    mdp = FiniteMDP.from_columns(
        state=row, action=0, probability=share, next_state=to, reward=rewards, terminated=ended, states=3,
        terminal=~np.isin(np.arange(3), row),
    )  # fmt: skip
    expected: dict[Any, Any] = {}
    for s, p, n, r, end in zip(row, share, to, rewards, ended, strict=True):
        outcomes = expected.setdefault((int(s), 0), {})
        key = (END if end else int(n), float(r))
        outcomes[key] = outcomes.get(key, 0) + p
    for place, outcomes in expected.items():
        assert mdp.reward[place] == pytest.approx(sum(p * r for (_, r), p in outcomes.items()))
        if mdp.outcome_reward is not None:
            assert branches(mdp)[place] == pytest.approx(outcomes)


@pytest.mark.parametrize("block", [1, 3, 50])
def test_working_in_blocks_changes_nothing(monkeypatch, block):
    """Blocks hold whole rows, even rows longer than a block; some blocks have no outcome rewards."""
    rng = np.random.default_rng(block)
    state = np.concatenate([np.arange(20), rng.integers(20, size=200), np.full(30, 7)])
    reached, coin = rng.integers(20, size=len(state)), rng.integers(2, size=len(state))
    given: dict[str, Any] = {
        "state": state, "action": 0, "probability": 1 / np.bincount(state)[state], "next_state": reached,
        "reward": np.where(state < 12, coin, 3), "terminated": rng.random(len(state)) < 0.2, "states": 20,
    }  # fmt: skip
    whole = FiniteMDP.from_columns(**given)
    monkeypatch.setattr(assemble, "BLOCK", block)
    assert agree(FiniteMDP.from_columns(**given), whole)


def test_certainty_equivalence_by_hand():
    """Counts and mean rewards: 3 of 4 tries of (0, 1) stay, earning 1, 2 and 6; the fourth ends with 10."""
    mdp = FiniteMDP.from_data(
        state=[0, 0, 0, 0, 0], action=[1, 1, 1, 1, 0], reward=[1, 2, 10, 6, 4], next_state=[0, 0, 1, 0, 0],
        terminated=[False, False, True, False, False], unseen="error",
    )  # fmt: skip
    assert branches(mdp) == {(0, 1): {(0, 3.0): 0.75, (END, 10.0): 0.25}, (0, 0): {(0, 4.0): 1.0}}
    np.testing.assert_array_equal(mdp.terminal, [False, True])


def test_certainty_equivalence_finds_the_problem_that_the_data_come_from():
    transition, reward, options = random_table(11)
    truth = FiniteMDP.from_dense(transition, reward, initial=options["initial"], terminal=options["terminal"])
    rng, count = np.random.default_rng(0), 20_000
    live = np.flatnonzero(~truth.terminal)
    state, action = rng.choice(live, count), rng.integers(truth.actions, size=count)
    cumulative = truth.probability[state, action].cumsum(1)
    branch = (rng.random((count, 1)) * cumulative[:, -1:] > cumulative).sum(1)
    reached = truth.successor[state, action, branch]
    model = FiniteMDP.from_data(
        state=state, action=action, reward=truth.reward[state, action], next_state=reached % truth.states,
        terminated=reached == truth.states, unseen="error", terminal=truth.terminal, states=truth.states,
    )  # fmt: skip
    np.testing.assert_allclose(model.reward, truth.reward, rtol=1e-12)
    least = count / truth.reward.size / 2  # visits of each row; the tolerance is four standard errors
    np.testing.assert_allclose(model.to_dense(), truth.to_dense(), atol=4 * 0.5 / np.sqrt(least))


def test_states_that_are_not_in_the_data_are_terminal_when_masked():
    mdp = FiniteMDP.from_data(
        state=[0, 3],
        action=[0, 1],
        reward=[0, 0],
        next_state=[3, 0],
        terminated=[False, False],
        unseen="mask",
        states=5,
    )
    np.testing.assert_array_equal(mdp.terminal, [False, True, True, False, True])
    assert mdp.mask is not None
    np.testing.assert_array_equal(mdp.mask[[0, 3]], [[True, False], [False, True]])


def test_initial_may_be_a_state():
    mdp = FiniteMDP.from_dense(TRANSITION, REWARD, terminal=[2], initial=1)
    np.testing.assert_array_equal(mdp.initial, [0, 1, 0])


def test_rows_are_divided_by_their_rounded_sum():
    mdp = FiniteMDP.from_transitions([(0, 0, 0.3333333333, s, 0.0, False) for s in range(3)], states=3, terminal=[1, 2])
    assert abs(mdp.probability[0, 0].sum() - 1) <= 2**-52
    narrow = np.random.default_rng(0).dirichlet(np.ones(50), (50, 2)).astype(np.float32)
    np.testing.assert_allclose(FiniteMDP.from_dense(narrow, np.zeros((50, 2))).probability.sum(2), 1, atol=1e-14)


def test_jax_arrays_are_kept_and_checked_on_demand():
    mdp = by_hand()
    names = ("successor", "probability", "reward", "initial", "terminal")
    arrays: dict[str, Any] = {name: jnp.asarray(getattr(mdp, name)) for name in names}
    made = FiniteMDP(**arrays, discount=jnp.asarray(0.5))
    made.validate()
    assert made.states == 3
    wrong = FiniteMDP(**arrays | {"probability": arrays["probability"] * 7})
    with pytest.raises(EntraxError, match="sum to 1, got 7"):
        wrong.validate()
    with pytest.raises(EntraxError, match="discount"):
        FiniteMDP(**arrays, discount=jnp.asarray(1.5))
    assert jax.jit(lambda discount: FiniteMDP(**arrays, discount=discount).discount * 2)(0.25) == 0.5


def test_a_million_transitions():
    states, rng = 100_000, np.random.default_rng(0)
    state, action = np.repeat(np.arange(states), 10), np.tile(np.repeat([0, 1], 5), states)
    reached = rng.integers(states, size=len(state))
    mdp = FiniteMDP.from_columns(
        state=state, action=action, probability=0.2, next_state=reached, reward=1.0, terminated=False
    )
    np.testing.assert_allclose(mdp.probability.sum(2), 1)
    np.testing.assert_array_equal(np.sort(np.unique(reached[-5:])), np.sort(np.unique(mdp.successor[-1, -1, :])[:5]))
