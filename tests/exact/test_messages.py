"""Messages and posteriors against the enumeration of every trajectory of small random problems."""

from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrax.exact.messages import backward_messages, evidence_lower_bound, forward_messages, log_evidence
from entrax.exact.posterior import optimism, posterior, variational_posterior
from entrax.problems.finite import FiniteMDP

S, A, K, T = 3, 2, 2, 3  # one shape, so that each function compiles once with outcome rewards and once without


@pytest.fixture(scope="module", autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "last_is_terminal": st.booleans(),
        "masked": st.booleans(),
        "prior": st.booleans(),
        "outcome_rewards": st.booleans(),
        "discount": st.sampled_from([1.0, 0.8, 0.0]),
    }
)
TEMPERATURES = st.sampled_from([0.3, 1.0, 5.0])


def problem(case):
    """A random problem with whatever the case asks for; a prior gives one allowed action no weight."""
    rng = np.random.default_rng(case["seed"])
    terminal = np.array([False, False, case["last_is_terminal"]])
    mask, prior = np.ones((S, A), bool), None
    if case["masked"]:
        mask[1, rng.integers(A)] = False
    if case["prior"]:
        prior = rng.uniform(0.1, 2, (S, A))
        prior[0, 1] = 0
    live = mask & ~terminal[:, None]
    probability = np.where(live[..., None], rng.dirichlet([0.7] * K, (S, A)), 0)
    outcome_reward = rng.normal(0, 2, (S, A, K))
    return FiniteMDP(
        successor=np.where(live[..., None], rng.integers(0, S + 1, (S, A, K)), S),
        probability=probability,
        reward=(probability * outcome_reward).sum(-1),
        initial=rng.dirichlet(np.ones(S)),
        terminal=terminal,
        discount=case["discount"],
        outcome_reward=outcome_reward if case["outcome_rewards"] else None,
        prior=prior,
        mask=mask,
        horizon=T,
    )


class Step(NamedTuple):
    state: int
    action: int
    branch: int
    ended: bool  # by the discount
    next_state: int
    reward: float


def true_prior(mdp):
    weight = np.where(mdp.mask, np.ones((S, A)) if mdp.prior is None else mdp.prior, 0)
    return weight / weight.sum(1, keepdims=True)


def trajectories(mdp, policies, start, horizon):
    """(probability, steps) of every trajectory from `start` under π_t, where a discount may end each step."""
    if horizon == 0 or start == S or mdp.terminal[start]:
        yield 1.0, ()
        return
    for action, branch in np.ndindex(A, K):
        chance = policies[0][start, action] * mdp.probability[start, action, branch]
        reward = (mdp.reward if mdp.outcome_reward is None else mdp.outcome_reward[..., branch])[start, action]
        successor = int(mdp.successor[start, action, branch])
        for ended, share in ((False, mdp.discount), (True, 1 - mdp.discount)):
            step = Step(start, action, branch, ended, S if ended else successor, reward)
            if chance * share > 0:
                for rest, steps in trajectories(mdp, policies[1:], step.next_state, horizon - 1):
                    yield chance * share * rest, (step, *steps)


def all_trajectories(mdp, policies, horizon=T):
    for start in range(S):
        for probability, steps in trajectories(mdp, policies, start, horizon):
            yield mdp.initial[start] * probability, start, steps


def likelihood(steps, temperature):
    return np.exp(sum(step.reward for step in steps) / temperature)


def place_at(mdp, start, steps, t):
    """Where a trajectory is at time t: once in a terminal state it stays, once over it is at S."""
    return start if t == 0 or not steps else steps[min(t, len(steps)) - 1].next_state


@settings(max_examples=20)
@given(CASES, TEMPERATURES)
def test_backward_messages_are_likelihoods_of_the_rest(case, temperature):
    mdp = problem(case)
    found = backward_messages(mdp, temperature)
    prior = true_prior(mdp)
    for t in range(T):
        for start in range(S):
            rest = list(trajectories(mdp, [prior] * T, start, T - t))
            total = sum(p * likelihood(steps, temperature) for p, steps in rest)
            np.testing.assert_allclose(found.state[t, start], np.log(total), rtol=1e-11, atol=1e-12)
            for action in range(A):
                of_action = sum(
                    p * likelihood(steps, temperature) for p, steps in rest if steps and steps[0].action == action
                )
                if of_action > 0:
                    expected = np.log(of_action / prior[start, action])
                    np.testing.assert_allclose(found.state_action[t, start, action], expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(found.state[T], 0)
    assert np.all(found.state_action[:, mdp.terminal] == -np.inf)
    assert np.all(found.state_action[:, ~mdp.mask] == -np.inf)


@settings(max_examples=20)
@given(CASES, TEMPERATURES)
def test_forward_messages_and_evidence(case, temperature):
    mdp = problem(case)
    forward, backward = forward_messages(mdp, temperature), backward_messages(mdp, temperature).state
    for t in range(T + 1):
        expected = np.zeros(S + 1)
        for p, start, steps in all_trajectories(mdp, [true_prior(mdp)] * T, t):
            expected[place_at(mdp, start, steps, t)] += p * likelihood(steps, temperature)
        np.testing.assert_allclose(np.exp(forward[t]), expected, rtol=1e-11)
        joined = jax.nn.logsumexp(forward[t] + jnp.append(backward[t], 0))
        np.testing.assert_allclose(joined, log_evidence(mdp, temperature), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(log_evidence(mdp, temperature), np.log(expected.sum()), rtol=1e-11, atol=1e-12)


@settings(max_examples=20)
@given(CASES, TEMPERATURES)
def test_posterior_is_the_conditional_of_trajectories(case, temperature):
    mdp = problem(case)
    found = posterior(mdp, temperature)
    weighted = [
        (p * likelihood(steps, temperature), start, steps)
        for p, start, steps in all_trajectories(mdp, [true_prior(mdp)] * T)
    ]
    evidence = sum(w for w, _, _ in weighted)
    assert found.log_evidence == pytest.approx(np.log(evidence), rel=1e-11, abs=1e-12)
    states = np.zeros((T + 1, S + 1))
    decisions, outcomes = np.zeros((T, S, A)), np.zeros((T, S, A, K))
    for w, start, steps in weighted:
        for t in range(T + 1):
            states[t, place_at(mdp, start, steps, t)] += w / evidence
        for t, step in enumerate(steps):
            decisions[t, step.state, step.action] += w / evidence
            if not step.ended:
                outcomes[t, step.state, step.action, step.branch] += w / evidence
    np.testing.assert_allclose(found.state_marginals(), states, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.marginals(), decisions, rtol=1e-10, atol=1e-12)
    policies = np.asarray(found.policies())
    seen = decisions.sum(-1) > 0
    policy = decisions / np.where(seen, decisions.sum(-1), 1)[..., None]
    np.testing.assert_allclose(policies[seen], policy[seen], rtol=1e-10, atol=1e-12)
    dynamics = np.stack([found.dynamics(t) for t in range(T)])
    used = decisions > 0
    expected = outcomes / np.where(used, decisions, 1)[..., None]
    np.testing.assert_allclose(dynamics[used], expected[used], rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(found.policy(1), policies[1])
    np.testing.assert_array_equal(found.action_value(1), np.asarray(found.action_values())[1])


def bound_of(mdp, temperature, policies):
    """E_q[log p(τ, O) − log q(τ)] by enumeration: the dynamics cancel, so reward and prior over policy remain."""
    prior, total = true_prior(mdp), 0.0
    for p, _, steps in all_trajectories(mdp, policies):
        if p > 0:
            ratio = [prior[s.state, s.action] / policies[t][s.state, s.action] for t, s in enumerate(steps)]
            total += p * (np.log(likelihood(steps, temperature)) + np.sum(np.log(ratio)))
    return total


@settings(max_examples=20)
@given(CASES, TEMPERATURES, st.integers(0, 2**32 - 1))
def test_variational_posterior_is_the_best_with_the_true_dynamics(case, temperature, seed):
    mdp = problem(case)
    found = variational_posterior(mdp, temperature)
    policies = np.asarray(found.policies())
    bound = evidence_lower_bound(mdp, temperature)
    assert bound == found.log_evidence
    assert bound == pytest.approx(bound_of(mdp, temperature, policies), rel=1e-10, abs=1e-11)
    assert bound <= log_evidence(mdp, temperature) + 1e-12
    other = true_prior(mdp) * np.random.default_rng(seed).uniform(0.2, 1, (T, S, A))
    other /= other.sum(-1, keepdims=True)
    assert bound_of(mdp, temperature, other) <= bound + 1e-12
    np.testing.assert_allclose(found.dynamics(0), mdp.discount * mdp.probability, rtol=1e-12)
    visits = np.zeros((T + 1, S + 1))
    for p, start, steps in all_trajectories(mdp, policies):
        for t in range(T + 1):
            visits[t, place_at(mdp, start, steps, t)] += p
    np.testing.assert_allclose(found.state_marginals(), visits, rtol=1e-10, atol=1e-12)


@settings(max_examples=20)
@given(CASES, TEMPERATURES)
def test_the_gap_is_the_divergence_and_the_optimism(case, temperature):
    """log p(O) − bound = KL(q ‖ p(τ|O)); from one state it is the optimism of that state."""
    mdp = problem(case)
    policies, prior = np.asarray(variational_posterior(mdp, temperature).policies()), true_prior(mdp)
    evidence, divergence = log_evidence(mdp, temperature), 0.0
    weight = defaultdict(float)
    for p, start, steps in all_trajectories(mdp, [prior] * T):
        weight[start, steps] += p * likelihood(steps, temperature) / np.exp(evidence)
    for p, start, steps in all_trajectories(mdp, policies):
        divergence += p * np.log(p / weight[start, steps]) if p > 0 else 0
    gap = evidence - evidence_lower_bound(mdp, temperature)
    assert gap == pytest.approx(divergence, rel=1e-9, abs=1e-11)
    hope = optimism(mdp, temperature)
    assert hope.min() >= -1e-12
    assert hope[0] @ mdp.initial / temperature <= gap + 1e-12
    alone = replace(mdp, initial=np.eye(S)[0])
    gap = log_evidence(alone, temperature) - evidence_lower_bound(alone, temperature)
    np.testing.assert_allclose(hope[0, 0] / temperature, gap, rtol=1e-10, atol=1e-12)


@settings(max_examples=20)
@given(CASES, TEMPERATURES)
def test_the_gradient_of_the_log_evidence_counts_visits(case, temperature):
    mdp = problem({**case, "outcome_rewards": False})

    def of_reward(reward):
        return log_evidence(replace(mdp, reward=reward), temperature)

    visits = posterior(mdp, temperature).marginals().sum(0)
    np.testing.assert_allclose(jax.grad(of_reward)(jnp.asarray(mdp.reward)) * temperature, visits, atol=1e-11)
