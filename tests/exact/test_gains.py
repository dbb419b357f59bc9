"""The average reward from each state, against every deterministic policy, and against discounts close to 1."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrax.errors import EntraxError
from entrax.exact import gains, plan
from entrax.problems import FiniteMDP

STATES, ACTIONS = 5, 2


def made(rng, discount=1.0):
    """A problem with several end components: a few transitions, most of them forwards."""
    transition = np.zeros((STATES, ACTIONS, STATES))
    for s, a in np.ndindex(STATES, ACTIONS):
        reached = np.arange(max(s - 1, 0) if s < 3 else s, STATES)
        ends = rng.permutation(reached)[: rng.integers(1, 3)]
        transition[s, a, ends] = rng.dirichlet(np.ones(len(ends)))
    reward = rng.normal(size=(STATES, ACTIONS))
    return FiniteMDP.from_dense(transition, reward, discount=discount, prior=rng.uniform(0.2, 1.0, reward.shape))


def of_policy(mdp, chosen):
    """Average rewards of a policy from each state, by repeated squaring of the lazy chain."""
    rows = np.arange(STATES)
    P = np.zeros((STATES, STATES + 1))
    for k in range(mdp.branches):
        np.add.at(P, (rows, mdp.successor[rows, chosen, k]), mdp.probability[rows, chosen, k])
    P = (P[:, :STATES] + np.eye(STATES)) / 2
    for _ in range(60):
        P = P @ P
        P /= P.sum(axis=1, keepdims=True)
    return P @ mdp.reward[rows, chosen]


@settings(max_examples=3)
@given(st.integers(0, 10_000))
def test_the_best_of_all_policies(seed):
    mdp = made(np.random.default_rng(seed))
    best = np.max([of_policy(mdp, np.array(chosen)) for chosen in product(range(ACTIONS), repeat=STATES)], axis=0)
    found = gains(mdp, 0.0)
    assert np.all(np.abs(found.gain - best) <= found.error_bound + 1e-9)
    assert np.all(found.error_bound <= 1e-6)


@pytest.mark.parametrize(("temperature", "convention"), [(0.3, "entropy"), (3.0, "kl")])
def test_the_limit_of_discounted_values(temperature, convention):
    """(1 − γ) V is the gain up to a term of order 1 − γ."""
    several = 0
    for seed in range(4):
        whole = made(np.random.default_rng(seed))
        values = plan(made(np.random.default_rng(seed), 1 - 1e-6), temperature, convention=convention, tolerance=1e-2)
        found = gains(whole, temperature, convention=convention)
        np.testing.assert_allclose(found.gain, 1e-6 * values.value, atol=2e-4)
        several += found.component.max() > 0
    assert several >= 2


def test_two_components_and_a_transition_between_them():
    """One component earns 1, the other 3; an attempt to leave the first succeeds half of the time."""
    mdp = FiniteMDP.from_transitions(
        [
            (0, 0, 1.0, 0, 1.0, False),
            (0, 1, 0.5, 1, -100.0, False),
            (0, 1, 0.5, 0, -100.0, False),
            (1, 0, 1.0, 1, 3.0, False),
            (2, 0, 0.25, 1, 0.0, False),
            (2, 0, 0.75, 3, 0.0, False),
            (3, 0, 1.0, 3, -1.0, False),
        ]
    )
    found = gains(mdp, 0.0)
    np.testing.assert_allclose(found.gain, [3, 3, 0, -1], atol=1e-9)
    assert found.component.tolist() == [0, 1, -1, 2]
    with pytest.raises(EntraxError, match=r"exact\.gains"):
        plan(mdp, 0.0, objective="average")


def test_a_problem_that_can_end_is_refused():
    mdp = FiniteMDP.from_transitions([(0, 0, 1.0, 0, 1.0, True)])
    with pytest.raises(EntraxError, match="never ends"):
        gains(mdp, 0.0)
