"""Rewards of all magnitudes: values and bounds against policy iteration in 90 decimal digits."""

from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrax.exact import METHODS, plan
from entrax.exact.distance import reachable
from entrax.problems import FiniteMDP
from tests.marks import long_except

S, A, K = 5, 2, 2
TOLERANCE = 1e-9


CASES = st.tuples(st.integers(0, 2**32 - 1), st.lists(st.integers(-12, 18), min_size=1, max_size=4))


def problem(case, discount):
    """Rewards from 10⁻¹² to 10¹⁸ in one problem, some −∞; without a discount all are costs."""
    seed, exponents = case
    rng = np.random.default_rng(seed)
    reward = rng.uniform(0.1, 1, (S, A)) * 10.0 ** rng.choice(exponents, (S, A))
    reward *= -1 if discount == 1 else rng.choice([-1, 1], (S, A))
    successor = rng.integers(0, S + 1, (S, A, K))
    if discount == 1:
        onward = rng.integers(0, A, S)
        successor[np.arange(S), onward, 0] = [rng.integers(s + 1, S + 1) for s in range(S)]
    else:
        forbidden = rng.random(S) < 0.2
        reward[forbidden, rng.integers(0, A, S)[forbidden]] = -np.inf
    first = rng.choice([0.25, 0.5, 1.0], (S, A))
    return FiniteMDP(
        successor=successor.astype(np.int32),
        probability=np.stack([first, 1 - first], axis=-1),
        reward=reward,
        initial=np.eye(S)[rng.integers(S)],
        terminal=np.zeros(S, bool),
        discount=discount,
    )


def exact_solve(matrix, b):
    rows = [[*row, x] for row, x in zip(matrix, b, strict=True)]
    for c in range(len(rows)):
        rows[c] = [x / rows[c][c] for x in rows[c]]
        for r in range(len(rows)):
            if r != c:
                factor = rows[r][c]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[c], strict=True)]
    return [row[-1] for row in rows]


def exact_value(mdp, temperature, convention="kl"):
    """Policy iteration from the uniform policy; in the kl convention a forbidden action keeps its share."""
    share = A if convention == "kl" else 1
    gamma, alpha = Decimal(mdp.discount), Decimal(temperature)
    actions = [[a for a in range(A) if mdp.reward[s, a] > -np.inf] for s in range(S)]
    reward = {(s, a): Decimal(float(mdp.reward[s, a])) for s in range(S) for a in actions[s]}
    branches = {
        (s, a): [(int(n), Decimal(float(p))) for n, p in zip(mdp.successor[s, a], mdp.probability[s, a], strict=True)]
        for s, a in reward
    }
    policy = [{a: Decimal(1) / len(actions[s]) for a in actions[s]} for s in range(S)]
    value: Any = None
    while True:
        chain = [[Decimal(int(s == n)) for n in range(S)] for s in range(S)]
        earned = []
        for s in range(S):
            terms = [
                p * reward[s, a] - (alpha * p * (p * share).ln() if p > 0 and alpha else 0)
                for a, p in policy[s].items()
            ]
            earned.append(sum(terms))
            for a, p in policy[s].items():
                for n, q in branches[s, a]:
                    if n < S:
                        chain[s][n] -= gamma * p * q
        before, value = value, exact_solve(chain, earned)
        if before is not None and all(
            abs(x - y) <= Decimal("1e-40") * (1 + abs(y)) for x, y in zip(value, before, strict=True)
        ):
            return value
        ahead = [*value, Decimal(0)]
        for s in range(S):
            values = {a: reward[s, a] + gamma * sum(p * ahead[n] for n, p in branches[s, a]) for a in actions[s]}
            best = max(values.values())
            if alpha:
                mass = {
                    a: ((x - best) / alpha).exp() if best - x < 10**6 * alpha else Decimal(0) for a, x in values.items()
                }
            else:
                now = max(values, key=lambda a: (values[a], policy[s].get(a, 0)))  # keep an action that ties
                mass = {a: Decimal(int(a == now)) for a in values}
            policy[s] = {a: x / sum(mass.values()) for a, x in mass.items()}


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("discount", long_except((0.9, 1.0), [0.5, 0.9, 0.99, 1.0]))
@settings(max_examples=10)
@given(case=CASES, temperature=st.sampled_from([0.0, 1e-6, 0.1, 1.0, 100.0]), entropy=st.booleans())
def test_every_state_is_right_to_its_own_scale(method, discount, case, temperature, entropy):
    mdp = problem(case, discount)
    convention = "entropy" if entropy and discount < 1 else "kl"  # entropy without a discount may have no end
    solution = plan(mdp, temperature, convention=convention, method=method, tolerance=TOLERANCE)
    with localcontext(prec=90):
        expected = exact_value(mdp, temperature, convention)
        error = np.array([float(abs(Decimal(float(x)) - y)) for x, y in zip(solution.value, expected, strict=True)])
    counted = reachable(mdp)
    assert np.all(error <= np.asarray(solution.state_bound))
    assert error[counted].max() <= float(solution.error_bound)
    assert bool(solution.converged) == (float(solution.error_bound) <= TOLERANCE)
    if discount < 1:
        scale = np.maximum(np.abs([float(x) for x in expected]), max(1, temperature))
        assert np.max((np.asarray(solution.state_bound) / scale)[counted]) < 1e-8


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("discount", [0.9, 1.0])
@pytest.mark.parametrize("temperature", [0.0, 0.1])
@pytest.mark.parametrize("penalty", [-1e15, -1e18, -np.inf])
def test_a_huge_cost_that_is_never_paid_changes_nothing(method, discount, temperature, penalty):
    rows = [
        (0, 0, 1.0, 1, -1.0, False),
        (1, 0, 1.0, 1, -1.0, True),
        (0, 1, 1.0, 1, penalty, False),
        (1, 1, 1.0, 0, penalty, False),
    ]
    solution = plan(FiniteMDP.from_transitions(rows, discount=discount), temperature, method=method)
    np.testing.assert_allclose(solution.value, [-1 - discount, -1.0], rtol=1e-12)
    np.testing.assert_array_equal(solution.policy, [[1, 0], [1, 0]])
    assert bool(solution.converged)
    assert float(solution.error_bound) <= TOLERANCE


@pytest.mark.parametrize("reward", [-1e18, 1e18])
@pytest.mark.parametrize("method", METHODS[1:])
def test_states_that_no_episode_visits_do_not_affect_the_bound(reward, method):
    rows = [
        (0, 0, 1.0, 1, -1.0, False),
        (1, 0, 1.0, 0, -2.0, False),
        (2, 0, 0.5, 0, reward, False),
        (2, 0, 0.5, 2, reward, False),
    ]
    solution = plan(FiniteMDP.from_transitions(rows, initial=0, discount=0.9), 0.5, method=method)
    np.testing.assert_allclose(solution.value[:2], np.linalg.solve([[1, -0.9], [-0.9, 1]], [-1, -2]), rtol=1e-10)
    assert bool(solution.converged)
    everywhere = plan(FiniteMDP.from_transitions(rows, discount=0.9), 0.5, method=method)
    assert not bool(everywhere.converged)
    assert float(everywhere.error_bound) > TOLERANCE
    assert np.all(np.asarray(everywhere.state_bound)[:2] <= 1e-8)


def test_a_tolerance_that_64_bits_cannot_meet_is_not_met():
    rows = [(0, 0, 1.0, 1, 1e6, False), (1, 0, 1.0, 0, 1e6 / 3, False)]
    problem = FiniteMDP.from_transitions(rows, discount=0.99)
    assert not bool(plan(problem, 0.0, tolerance=1e-12).converged)
    assert bool(plan(problem, 0.0, tolerance=1e-4).converged)
    scaled = plan(replace(problem, reward=problem.reward * 1e-12, outcome_reward=None), 0.0, tolerance=1e-16)
    assert bool(scaled.converged)
