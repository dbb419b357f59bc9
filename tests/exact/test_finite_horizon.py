"""Finite horizons whose rewards and transitions change with time, against sums over every trajectory and policy."""

import itertools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrax.errors import EntraxError
from entrax.exact import evaluate, plan, policy_gradient
from entrax.problems import FiniteHorizonMDP, FiniteMDP, garnet

S, A, K, T = 3, 2, 2, 3  # one shape, so that each function compiles once for each kind of problem


CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "varying": st.sampled_from([(), ("reward",), ("reward", "transitions"), ("reward", "transitions", "choices")]),
        "final_value": st.booleans(),
        "outcomes": st.booleans(),
        "discount": st.sampled_from([1.0, 0.8, 0.0]),
    }
)
TEMPERATURES = st.sampled_from([0.0, 0.3, 5.0])
CONVENTIONS = st.sampled_from(["entropy", "kl"])


def problem(case):
    """A random problem whose last state is terminal; with choices, masks and priors change over time."""
    rng = np.random.default_rng(case["seed"])
    terminal = np.arange(S) == S - 1
    live = np.broadcast_to(~terminal[:, None], (T, S, A)).copy()
    live[np.arange(T), rng.integers(S - 1, size=T), rng.integers(A, size=T)] &= "choices" not in case["varying"]
    arrays = {
        "successor": np.where(live[..., None], rng.integers(0, S + 1, (T, S, A, K)), S),
        "probability": np.where(live[..., None], rng.dirichlet([0.7] * K, (T, S, A)), 0.0),
        "mask": live | terminal[:, None],
        "prior": rng.uniform(0.1, 2, (T, S, A)),
    }
    rewards = rng.normal(0, 2, (T, S, A, K)[: 3 + case["outcomes"]])
    arrays["outcome_reward" if case["outcomes"] else "reward"] = rewards
    first = {name: array[0] for name, array in arrays.items()}
    if case["outcomes"]:
        first["reward"] = (first["probability"] * first["outcome_reward"]).sum(-1)
    mdp = FiniteMDP(initial=rng.dirichlet(np.ones(S)), terminal=terminal, discount=case["discount"], **first)
    names = {"reward": {"reward", "outcome_reward"}, "transitions": {"successor", "probability"}}
    names["choices"] = {"mask", "prior"}
    changing = set().union(*(names[kind] for kind in case["varying"]))
    varying = {name: array for name, array in arrays.items() if name in changing}
    final = np.where(terminal, 0.0, rng.normal(0, 3, S)) if case["final_value"] else None
    return FiniteHorizonMDP(mdp, horizon=T, final_value=final, **varying)


def prior_of(stage, convention):
    """π₀ of a stage: 1 for every allowed action, or the normalised prior."""
    mask = np.ones((S, A), bool) if stage.mask is None else stage.mask
    if convention == "entropy":
        return mask.astype(float)
    return stage.prior * mask / (stage.prior * mask).sum(1, keepdims=True)


def worth(mdp, policy, start, t, temperature, convention):
    """The expected soft return of π from `start` at time t, by enumeration."""
    if start == S or mdp.mdp.terminal[start]:
        return 0.0
    if t == T:
        return 0.0 if mdp.final_value is None else mdp.final_value[start]
    stage, total = mdp.stage(t), 0.0
    prior = prior_of(stage, convention)
    for a in range(A):
        if policy[t, start, a] > 0:
            later = sum(
                stage.probability[start, a, k]
                * worth(mdp, policy, stage.successor[start, a, k], t + 1, temperature, convention)
                for k in range(K)
                if stage.probability[start, a, k] > 0
            )
            bonus = -np.log(policy[t, start, a] / prior[start, a])
            reward = stage.reward[start, a]
            if stage.outcome_reward is not None:
                reward = stage.probability[start, a] @ stage.outcome_reward[start, a]
            total += policy[t, start, a] * (reward + temperature * bonus + float(mdp.mdp.discount) * later)
    return total


def random_policy(mdp, seed):
    policy = np.random.default_rng(seed).dirichlet(np.ones(A), (T, S))
    allowed = np.stack([np.ones((S, A)) if mdp.stage(t).mask is None else mdp.stage(t).mask for t in range(T)])
    return policy * allowed / (policy * allowed).sum(-1, keepdims=True)


@settings(max_examples=12)
@given(CASES, TEMPERATURES, CONVENTIONS)
def test_the_plan_attains_its_value_and_no_policy_exceeds_it(case, temperature, convention):
    """Against a seventh of all deterministic policies at temperature 0, and small changes of the plan's policy."""
    mdp = problem(case)
    solution = plan(mdp, temperature, convention=convention)
    policy, value = np.asarray(solution.policy), np.asarray(solution.value)
    for t, s in itertools.product(range(T + 1), range(S)):
        earned = worth(mdp, policy, s, t, temperature, convention)
        assert value[t, s] == pytest.approx(earned, rel=1e-11, abs=1e-11)
    others = [random_policy(mdp, case["seed"] + n) for n in range(3)]
    if temperature == 0:
        others = [np.eye(A)[np.array(choice).reshape(T, S)] for choice in itertools.product(range(A), repeat=T * S)]
        others = others[case["seed"] % 7 :: 7]
    others += [0.999 * policy + 0.001 * other for other in others[:3]]
    for other in others:
        if all((other[t][prior_of(mdp.stage(t), convention) == 0] == 0).all() for t in range(T)):
            best = max(worth(mdp, other, s, 0, temperature, convention) - value[0, s] for s in range(S - 1))
            assert best <= 1e-11
    assert bool(solution.converged)
    assert 0 <= float(solution.error_bound) < 1e-12


@settings(max_examples=12)
@given(CASES, TEMPERATURES, CONVENTIONS)
def test_a_policy_over_time_against_enumeration(case, temperature, convention):
    mdp = problem(case)
    policy = random_policy(mdp, case["seed"])
    found = evaluate(mdp, policy, temperature, convention=convention)
    expected = [[worth(mdp, policy, s, t, temperature, convention) for s in range(S)] for t in range(T + 1)]
    np.testing.assert_allclose(found.value, expected, rtol=1e-11, atol=1e-11)
    assert float(found.expected_return) == pytest.approx(mdp.mdp.initial @ np.array(expected[0]), rel=1e-11, abs=1e-11)
    rewards = np.stack([mdp.stage(t).reward for t in range(T)])
    bonus = np.stack([np.log(np.where(policy[t] > 0, prior_of(mdp.stage(t), convention), 1.0)) for t in range(T)])
    bonus -= np.log(np.where(policy > 0, policy, 1.0))
    visits = np.asarray(found.visits)
    from_visits = np.sum(visits * (rewards + temperature * bonus))
    ended = 0.0 if mdp.final_value is None else final_visits(mdp, visits) @ mdp.final_value
    assert from_visits + ended == pytest.approx(float(found.expected_return), rel=1e-10, abs=1e-10)


def final_visits(mdp, visits):
    """γ^T p(s_T = s) from the visits of the last decision."""
    stage, reached = mdp.stage(T - 1), np.zeros(S + 1)
    for s, a, k in itertools.product(range(S), range(A), range(K)):
        reached[stage.successor[s, a, k]] += visits[-1, s, a] * stage.probability[s, a, k] * float(mdp.mdp.discount)
    return reached[:S]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("convention", ["entropy", "kl"])
def test_gradients_against_differences(temperature, convention):
    """Rewards, transitions, end values and temperature; the policy gradient of a policy that depends on time."""
    case = {"seed": 5, "varying": ("reward", "transitions", "choices"), "outcomes": False, "discount": 0.8}
    mdp = problem(case | {"final_value": True})

    def value(reward, final_value, temperature):
        changed = replace(mdp, reward=reward, final_value=final_value)
        return jnp.sum(plan(changed, temperature, convention=convention).value[0] * jnp.arange(1.0, S + 1))

    point = (jnp.asarray(mdp.reward), jnp.asarray(mdp.final_value), jnp.asarray(temperature))
    slopes = jax.grad(value, (0, 1, 2))(*point)
    step = 1e-6
    for which in range(3 if temperature > 0 else 2):
        for place in np.ndindex(point[which].shape):
            ends = [list(point), list(point)]
            ends[0][which], ends[1][which] = (point[which].at[place].add(d) for d in (-step, step))
            expected = (value(*ends[1]) - value(*ends[0])) / (2 * step)
            assert float(slopes[which][place]) == pytest.approx(float(expected), abs=1e-7)
    policy = random_policy(mdp, 0)
    found = policy_gradient(mdp, policy, temperature, convention=convention)
    for place in np.ndindex(T, S - 1, A):
        moved = [np.where(policy > 0, policy, 0.0).copy() for _ in range(2)]
        for change, moved_policy in zip((-step, step), moved, strict=True):
            moved_policy[place] *= np.exp(change)
            moved_policy[place[:2]] /= moved_policy[place[:2]].sum()
        low, high = (evaluate(mdp, p, temperature, convention=convention).expected_return for p in moved)
        assert float(found[place]) == pytest.approx(float((high - low) / (2 * step)), abs=1e-7)


def test_many_problems_at_once():
    mdp = problem({"seed": 1, "varying": ("reward",), "outcomes": False, "discount": 1.0, "final_value": True})
    rewards = np.random.default_rng(0).normal(size=(4, T, S, A))
    together = jax.vmap(lambda reward: plan(replace(mdp, reward=reward), 0.5).value)(jnp.asarray(rewards))
    for reward, value in zip(rewards, together, strict=True):
        np.testing.assert_allclose(value, plan(replace(mdp, reward=reward), 0.5).value, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_constant_stages_are_the_problem_itself(temperature):
    mdp = garnet(8, 3, 2, seed=3, discount=0.9)
    stages = FiniteHorizonMDP.from_stages([mdp] * 5)
    assert stages.varying == {}
    np.testing.assert_array_equal(plan(stages, temperature).value, plan(mdp, temperature, horizon=5).value)
    copies = FiniteHorizonMDP.from_stages([replace(mdp, reward=mdp.reward.copy()) for _ in range(5)])
    assert set(copies.varying) == {"reward"}
    np.testing.assert_allclose(plan(copies, temperature).value, plan(mdp, temperature, horizon=5).value, rtol=1e-14)


def test_stages_of_different_branching():
    """The second stage has more branches than the first; its answer is that of two one-step problems by hand."""
    one = FiniteMDP.from_dense(np.eye(2)[:, None], [[1.0], [2.0]])
    two = FiniteMDP.from_dense(np.full((2, 1, 2), 0.5), [[10.0], [20.0]], initial=one.initial)
    found = plan(FiniteHorizonMDP.from_stages([two, one], final_value=[100.0, 0.0]), 0.0)
    np.testing.assert_allclose(found.value, [[61.5, 71.5], [101.0, 2.0], [100.0, 0.0]])


def test_the_stationary_value_is_a_fixed_point_of_the_sweeps():
    """With the stationary value as the final value, every earlier value equals it."""
    mdp = garnet(20, 3, 3, seed=7, discount=0.95)
    value = plan(mdp, 0.3, tolerance=1e-12).value
    ended = FiniteHorizonMDP(mdp, horizon=30, final_value=np.asarray(value))
    np.testing.assert_allclose(plan(ended, 0.3).value, np.broadcast_to(value, (31, 20)), atol=1e-10)


def test_a_huge_reward_in_an_unvisited_state_adds_no_error_elsewhere():
    mdp = FiniteMDP.from_dense(np.eye(2)[:, None].repeat(2, 1), [[1.0, 0.0], [-1e18, -1e18]], initial=0)
    solution = plan(mdp, 0.5, horizon=6)
    assert bool(solution.converged)
    np.testing.assert_allclose(solution.value[0, 0], 6 * 0.5 * np.log(np.exp(2) + 1), rtol=1e-14)


MDP = FiniteMDP.from_dense(np.full((2, 2, 2), 0.5), np.zeros((2, 2)))
ENDS = FiniteMDP.from_dense(np.full((2, 2, 2), 0.5), np.zeros((2, 2)), terminal=[1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FiniteHorizonMDP(MDP), "number of decisions is unknown"),
        (lambda: FiniteHorizonMDP(MDP, horizon=0), "`horizon`.*at least 1"),
        (lambda: FiniteHorizonMDP(MDP, horizon=3, reward=np.zeros((2, 2, 2))), "`horizon` and `reward`.*same"),
        (lambda: FiniteHorizonMDP(MDP, reward=np.full((2, 2, 2), np.nan)), "decision 0: .*reward"),
        (lambda: FiniteHorizonMDP(MDP, probability=np.full((4, 2, 2, 2), 0.4)), "decision 0: .*sum to 1.*0.8"),
        (lambda: FiniteHorizonMDP(MDP, horizon=2, final_value=[1.0]), r"`final_value`.*\(2,\).*\(1,\)"),
        (lambda: FiniteHorizonMDP(MDP, horizon=2, final_value=[1.0, np.inf]), "`final_value` of state 1.*inf"),
        (lambda: FiniteHorizonMDP(ENDS, horizon=2, final_value=[0.0, 1.0]), "`final_value`.*terminal state 1"),
        (lambda: FiniteHorizonMDP.from_stages([]), "`stages`.*none"),
        (lambda: FiniteHorizonMDP.from_stages([MDP, ENDS]), "stages 0 and 1 differ"),
        (lambda: FiniteHorizonMDP.from_stages([MDP, replace(MDP, discount=0.5)]), "`discount`.*stages 0 and 1 differ"),
        (lambda: FiniteHorizonMDP.from_stages([MDP, replace(MDP, prior=np.ones((2, 2)))]), "prior"),
        (lambda: evaluate(MDP, np.full((3, 2, 2), 0.5), horizon=2), "`policy`.*shape"),
        (lambda: evaluate(MDP, np.full((3, 2, 2), 0.4)), "state 0 at time 0.*distribution"),
        (lambda: evaluate(MDP, np.full((2, 2, 2), 0.5), objective="average"), "`horizon`.*average"),
        (lambda: plan(FiniteHorizonMDP(MDP, horizon=2), 0.5, objective="average"), "`horizon`.*average"),
    ],
)
def test_invalid_arguments_are_refused(make, words):
    with pytest.raises(EntraxError, match=words):
        make()


@pytest.mark.parametrize("setting", [{"method": "policy-iteration"}, {"max_iterations": 1}, {"start": np.zeros(S)}])
def test_settings_that_backward_induction_does_not_use_are_refused(setting: dict[str, Any]):
    with pytest.raises(EntraxError, match=f"`{next(iter(setting))}` must be"):
        plan(garnet(S, A, K, seed=0), 0.3, horizon=T, **setting)
