"""Messages and posteriors against the enumeration of every trajectory of small random problems."""

from collections import defaultdict
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrax.exact import (
    backward_messages,
    evidence_lower_bound,
    forward_messages,
    log_evidence,
    optimism,
    posterior,
    variational_posterior,
)
from entrax.problems import FiniteHorizonMDP, FiniteMDP

S, A, K, T = 3, 2, 2, 3  # one shape, so that each function compiles once with outcome rewards and once without


CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "last_is_terminal": st.booleans(),
        "masked": st.booleans(),
        "prior": st.booleans(),
        "outcome_rewards": st.booleans(),
        "discount": st.sampled_from([1.0, 0.8, 0.0]),
        "over_time": st.booleans(),
    }
)
TEMPERATURES = st.sampled_from([0.3, 1.0, 5.0])


class Problem(NamedTuple):
    """A problem, the same as one problem for each decision, and its final value."""

    given: FiniteMDP | FiniteHorizonMDP
    stages: list[FiniteMDP]
    final_value: np.ndarray


def problem(case):
    """A random problem with the features of the case; over time everything changes with each decision."""
    rng = np.random.default_rng(case["seed"])
    first = random_stage(case, rng)
    if not case["over_time"]:
        return Problem(first, [first] * T, np.zeros(S))
    stages = [first, *(replace(random_stage(case, rng), initial=first.initial) for _ in range(T - 1))]
    final_value = np.where(first.terminal, 0.0, rng.normal(0, 2, S))
    return Problem(FiniteHorizonMDP.from_stages(stages, final_value=final_value), stages, final_value)


def random_stage(case, rng):
    """A prior gives one allowed action no weight."""
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
    """π₀ of each time."""
    weight = [np.where(stage.mask, np.ones((S, A)) if stage.prior is None else stage.prior, 0) for stage in mdp.stages]
    return [w / w.sum(1, keepdims=True) for w in weight]


def trajectories(mdp, policies, start, t=0, end=T, final=True):
    """(probability, steps) of every trajectory from `start` at time t under π_t, where a discount may end each step.

    With `final` the reward of the last decision includes what the last state is worth.
    """
    stage = mdp.stages[min(t, T - 1)]
    if t == end or start == S or stage.terminal[start]:
        yield 1.0, ()
        return
    for action, branch in np.ndindex(A, K):
        chance = policies[t][start, action] * stage.probability[start, action, branch]
        reward = (stage.reward if stage.outcome_reward is None else stage.outcome_reward[..., branch])[start, action]
        successor = int(stage.successor[start, action, branch])
        for ended, share in ((False, stage.discount), (True, 1 - stage.discount)):
            place = S if ended else successor
            earned = reward + (mdp.final_value[place] if final and t == T - 1 and place < S else 0.0)
            step = Step(start, action, branch, ended, place, earned)
            if chance * share > 0:
                for rest, steps in trajectories(mdp, policies, place, t + 1, end, final):
                    yield chance * share * rest, (step, *steps)


def all_trajectories(mdp, policies, end=T, final=True):
    for start in range(S):
        for probability, steps in trajectories(mdp, policies, start, 0, end, final):
            yield mdp.stages[0].initial[start] * probability, start, steps


def likelihood(steps, temperature):
    return np.exp(sum(step.reward for step in steps) / temperature)


def place_at(mdp, start, steps, t):
    """The state of a trajectory at time t: a terminal state is kept, and S stands for the end."""
    return start if t == 0 or not steps else steps[min(t, len(steps)) - 1].next_state


@settings(max_examples=8)
@given(CASES, TEMPERATURES)
def test_backward_messages_are_likelihoods_of_the_rest(case, temperature):
    mdp = problem(case)
    found = backward_messages(mdp.given, temperature)
    prior = true_prior(mdp)
    for t in range(T):
        for start in range(S):
            rest = list(trajectories(mdp, prior, start, t))
            total = sum(p * likelihood(steps, temperature) for p, steps in rest)
            np.testing.assert_allclose(found.state[t, start], np.log(total), rtol=1e-11, atol=1e-12)
            for action in range(A):
                of_action = sum(
                    p * likelihood(steps, temperature) for p, steps in rest if steps and steps[0].action == action
                )
                if of_action > 0:
                    expected = np.log(of_action / prior[t][start, action])
                    np.testing.assert_allclose(found.state_action[t, start, action], expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.state[T], mdp.final_value / temperature, rtol=1e-15)
    for t, stage in enumerate(mdp.stages):
        assert np.all(found.state_action[t, stage.terminal] == -np.inf)
        assert np.all(found.state_action[t, ~stage.mask] == -np.inf)


@settings(max_examples=8)
@given(CASES, TEMPERATURES)
def test_forward_messages_and_evidence(case, temperature):
    mdp = problem(case)
    forward, backward = forward_messages(mdp.given, temperature), backward_messages(mdp.given, temperature).state
    evidence = log_evidence(mdp.given, temperature)
    for t in range(T + 1):
        expected = np.zeros(S + 1)
        for p, start, steps in all_trajectories(mdp, true_prior(mdp), t, final=False):
            expected[place_at(mdp, start, steps, t)] += p * likelihood(steps, temperature)
        np.testing.assert_allclose(np.exp(forward[t]), expected, rtol=1e-11)
        joined = jax.nn.logsumexp(forward[t] + jnp.append(backward[t], 0))
        np.testing.assert_allclose(joined, evidence, rtol=1e-11, atol=1e-12)
    worth = np.append(mdp.final_value, 0.0)
    np.testing.assert_allclose(evidence, np.log(expected @ np.exp(worth / temperature)), rtol=1e-11, atol=1e-12)


@settings(max_examples=8)
@given(CASES, TEMPERATURES)
def test_posterior_is_the_conditional_of_trajectories(case, temperature):
    mdp = problem(case)
    found = posterior(mdp.given, temperature)
    weighted = [
        (p * likelihood(steps, temperature), start, steps) for p, start, steps in all_trajectories(mdp, true_prior(mdp))
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
    np.testing.assert_allclose(found.policy(1), policies[1], rtol=1e-12)
    np.testing.assert_array_equal(found.action_value(1), np.asarray(found.action_values())[1])


def bound_of(mdp, temperature, policies):
    """E_q[log p(τ, O) − log q(τ)] by enumeration: the dynamics cancel, so reward and prior over policy remain."""
    prior, total = true_prior(mdp), 0.0
    for p, _, steps in all_trajectories(mdp, policies):
        if p > 0:
            ratio = [prior[t][s.state, s.action] / policies[t][s.state, s.action] for t, s in enumerate(steps)]
            total += p * (np.log(likelihood(steps, temperature)) + np.sum(np.log(ratio)))
    return total


@settings(max_examples=8)
@given(CASES, TEMPERATURES, st.integers(0, 2**32 - 1))
def test_variational_posterior_is_the_best_with_the_true_dynamics(case, temperature, seed):
    mdp = problem(case)
    found = variational_posterior(mdp.given, temperature)
    policies = np.asarray(found.policies())
    bound = evidence_lower_bound(mdp.given, temperature)
    assert bound == found.log_evidence
    assert bound == pytest.approx(bound_of(mdp, temperature, policies), rel=1e-10, abs=1e-11)
    assert bound <= log_evidence(mdp.given, temperature) + 1e-12
    other = np.stack(true_prior(mdp)) * np.random.default_rng(seed).uniform(0.2, 1, (T, S, A))
    other /= other.sum(-1, keepdims=True)
    assert bound_of(mdp, temperature, other) <= bound + 1e-12
    for t, stage in enumerate(mdp.stages):
        np.testing.assert_allclose(found.dynamics(t), stage.discount * stage.probability, rtol=1e-12)
    visits = np.zeros((T + 1, S + 1))
    for p, start, steps in all_trajectories(mdp, policies):
        for t in range(T + 1):
            visits[t, place_at(mdp, start, steps, t)] += p
    np.testing.assert_allclose(found.state_marginals(), visits, rtol=1e-10, atol=1e-12)


@settings(max_examples=8)
@given(CASES, TEMPERATURES)
def test_the_gap_is_the_divergence_and_the_optimism(case, temperature):
    """log p(O) − bound = KL(q ‖ p(τ|O)); from one state it is the optimism of that state."""
    mdp = problem(case)
    policies = np.asarray(variational_posterior(mdp.given, temperature).policies())
    evidence, divergence = log_evidence(mdp.given, temperature), 0.0
    weight: dict[Any, float] = defaultdict(float)
    for p, start, steps in all_trajectories(mdp, true_prior(mdp)):
        weight[start, steps] += p * likelihood(steps, temperature) / np.exp(evidence)
    for p, start, steps in all_trajectories(mdp, policies):
        divergence += p * np.log(p / weight[start, steps]) if p > 0 else 0
    gap = evidence - evidence_lower_bound(mdp.given, temperature)
    assert gap == pytest.approx(divergence, rel=1e-9, abs=1e-11)
    hope = optimism(mdp.given, temperature)
    assert hope.min() >= -1e-12
    assert hope[0] @ mdp.stages[0].initial / temperature <= gap + 1e-12
    alone = mdp.given if isinstance(mdp.given, FiniteMDP) else mdp.given.mdp
    alone = replace(alone, initial=np.eye(S)[0])
    alone = alone if isinstance(mdp.given, FiniteMDP) else replace(mdp.given, mdp=alone)
    gap = log_evidence(alone, temperature) - evidence_lower_bound(alone, temperature)
    np.testing.assert_allclose(hope[0, 0] / temperature, gap, rtol=1e-10, atol=1e-12)


@settings(max_examples=4)  # each is traced and compiled for itself
@given(CASES, TEMPERATURES)
def test_the_gradient_of_the_log_evidence_counts_visits(case, temperature):
    mdp = problem({**case, "outcome_rewards": False}).given

    def of_reward(reward):
        return log_evidence(replace(mdp, reward=reward), temperature)

    visits = posterior(mdp, temperature).marginals()
    visits = visits.sum(0) if isinstance(mdp, FiniteMDP) else visits
    np.testing.assert_allclose(jax.grad(of_reward)(jnp.asarray(mdp.reward)) * temperature, visits, atol=1e-11)


def test_an_action_whose_outcomes_are_all_forbidden_is_never_taken():
    """Such an action only takes its share of the prior; with one forbidden outcome, success implies the other."""
    outcome = np.array([[[0.0, 1.0], [-np.inf, -np.inf]]])
    one = FiniteMDP(
        successor=np.full((1, 2, 2), 1),
        probability=np.full((1, 2, 2), 0.5),
        reward=outcome.mean(-1),
        initial=np.ones(1),
        terminal=np.zeros(1, bool),
        outcome_reward=outcome,
        horizon=1,
    )
    found = posterior(one, 1.0)
    np.testing.assert_allclose(found.policy(0), [[1.0, 0.0]])
    assert float(found.log_evidence) == pytest.approx(np.log(0.5 * (1 + np.e) / 2), rel=1e-14)
    np.testing.assert_allclose(np.exp(forward_messages(one, 1.0)[1]), [0.0, 0.25 * (1 + np.e)], rtol=1e-14)
    outcome = np.array([[[0.0, 1.0], [-np.inf, 2.0]]])
    lucky = replace(one, outcome_reward=outcome, reward=outcome.mean(-1))
    assert float(log_evidence(lucky, 1.0)) == pytest.approx(np.log(0.25 * (1 + np.e + np.exp(2))), rel=1e-14)
