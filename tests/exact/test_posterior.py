"""Exact and variational posteriors against known numbers, closed forms and laws that must hold."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.exact import (
    evidence_lower_bound,
    forward_messages,
    log_evidence,
    optimism,
    plan,
    posterior,
    variational_posterior,
)
from entrax.problems import FiniteMDP, garnet, random_walk, safe_or_risky

SLIPPERY = garnet(6, 3, 3, seed=1, horizon=4)
SURE = np.eye(3)[np.zeros((6, 3), int)]  # the first branch always
FIXED = replace(SLIPPERY, probability=SURE, successor=np.where(SURE > 0, SLIPPERY.successor, 6))


def test_safe_or_risky_is_the_optimism_problem():
    mdp = safe_or_risky(horizon=1)
    exact, variational = posterior(mdp, 1.0), variational_posterior(mdp, 1.0)
    assert variational.policy(0)[0, 1] == pytest.approx(0.2689414, abs=5e-8)
    assert exact.policy(0)[0, 1] == pytest.approx(0.7874008, abs=5e-8)
    assert mdp.outcome_reward is not None
    win = np.argmax(mdp.outcome_reward[0, 1])
    assert exact.dynamics(0)[0, 1, win] == pytest.approx(0.9975274, abs=5e-8)
    assert variational.dynamics(0)[0, 1, win] == 0.5
    believed = (1 + 0.5 * (np.exp(2) + np.exp(-4))) / 2
    assert exact.log_evidence == pytest.approx(np.log(believed), rel=1e-14)
    assert variational.log_evidence == pytest.approx(np.log((1 + np.exp(-1)) / 2), rel=1e-14)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
def test_under_deterministic_dynamics_the_posteriors_are_the_same(temperature):
    start = replace(FIXED, initial=np.eye(6)[0])
    exact, variational = posterior(start, temperature), variational_posterior(start, temperature)
    np.testing.assert_allclose(exact.value, variational.value, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(exact.policies(), variational.policies(), rtol=1e-12)
    np.testing.assert_allclose(exact.marginals(), variational.marginals(), rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(exact.log_evidence, variational.log_evidence, rtol=1e-13)
    np.testing.assert_allclose(exact.dynamics(1), start.probability, rtol=1e-12)


def test_the_bound_is_tight_where_all_outcomes_are_worth_the_same():
    """Determinism is not necessary: here dynamics and start are stochastic, but all states have the same value."""
    alike = replace(SLIPPERY, reward=np.broadcast_to(SLIPPERY.reward[0], (6, 3)))
    assert log_evidence(alike, 0.7) == pytest.approx(float(evidence_lower_bound(alike, 0.7)), rel=1e-13)
    np.testing.assert_allclose(optimism(alike, 0.7), 0, atol=1e-14)
    np.testing.assert_allclose(posterior(alike, 0.7).dynamics(0), alike.probability, rtol=1e-12)


def test_the_bound_is_loose_otherwise():
    assert log_evidence(SLIPPERY, 0.7) > evidence_lower_bound(SLIPPERY, 0.7) + 0.1
    assert np.all(optimism(SLIPPERY, 0.7)[:-2] > 1e-3)
    # Rewards on (s,a) make no outcome lucky at the last decision.
    np.testing.assert_allclose(optimism(SLIPPERY, 0.7)[-2:], 0, atol=1e-14)
    # Two initial states of different value, or a discount of a value that is not 0, also make the bound loose.
    spread = replace(FIXED, initial=np.array([0.5, 0.5, 0, 0, 0, 0]))
    assert log_evidence(spread, 0.7) > evidence_lower_bound(spread, 0.7) + 1e-3
    discounted = replace(FIXED, initial=np.eye(6)[0], discount=0.9)
    assert log_evidence(discounted, 0.7) > evidence_lower_bound(discounted, 0.7) + 1e-3


@pytest.mark.parametrize("infer", [posterior, variational_posterior])
def test_large_rewards_are_a_low_temperature(infer):
    mdp = replace(SLIPPERY, discount=0.9)
    scaled, cold = infer(replace(mdp, reward=8 * mdp.reward), 2.0), infer(mdp, 0.25)
    np.testing.assert_allclose(scaled.policies(), cold.policies(), rtol=1e-12)
    np.testing.assert_allclose(scaled.value, 8 * cold.value, rtol=1e-12)
    np.testing.assert_allclose(scaled.log_evidence, cold.log_evidence, rtol=1e-12)


@pytest.mark.parametrize("infer", [posterior, variational_posterior])
@pytest.mark.parametrize("shift", [-3.0, 1000.0])
def test_a_constant_reward_only_scales_the_evidence(infer, shift):
    plain, shifted = infer(SLIPPERY, 0.5), infer(replace(SLIPPERY, reward=SLIPPERY.reward + shift), 0.5)
    assert shifted.log_evidence - plain.log_evidence == pytest.approx(4 * shift / 0.5, rel=1e-13)
    np.testing.assert_allclose(shifted.marginals(), plain.marginals(), rtol=1e-9)
    np.testing.assert_allclose(shifted.dynamics(1), plain.dynamics(1), rtol=1e-9)


def test_horizon_5000_of_a_two_state_chain():
    """β_T = Mᵀ 1 with M = diag(e^{r/α}) P, by the eigenvalues of a 2×2 matrix; e^{log β} would overflow."""
    horizon, temperature, reward, stay = 5000, 0.1, np.array([3.0, 2.6]), 0.8
    probability = np.array([[[stay, 1 - stay]], [[1 - stay, stay]]])
    successor = np.array([[[0, 1]], [[0, 1]]])
    mdp = FiniteMDP(
        successor=successor,
        probability=probability,
        reward=reward[:, None],
        initial=np.array([0.0, 1.0]),
        terminal=np.array([False, False]),
        horizon=horizon,
    )
    weight = np.exp((reward - reward[0]) / temperature)  # the larger factor taken out
    matrix = weight[:, None] * probability[:, 0]
    half, determinant = np.trace(matrix) / 2, np.linalg.det(matrix)
    high = half + np.sqrt(half**2 - determinant)
    low = determinant / high
    # Mⁿ 1 = (highⁿ (M − low) 1 − lowⁿ (M − high) 1) / (high − low), and (low / high)ⁿ is 0 here.
    assert (low / high) ** horizon == 0
    expected = horizon * (reward[0] / temperature + np.log(high)) + np.log((matrix.sum(1) - low) / (high - low))
    found = posterior(mdp, temperature)
    np.testing.assert_allclose(found.value[0] / temperature, expected, rtol=1e-13)
    assert found.log_evidence == pytest.approx(expected[1], rel=1e-13)
    assert log_evidence(mdp, temperature) == pytest.approx(expected[1], rel=1e-13)
    # In the middle the chain is stationary: p(s_t|O) ∝ left × right eigenvector.
    right, left = matrix.sum(1) - low, matrix.sum(0) - low
    np.testing.assert_allclose(found.state_marginals()[2500, :2], left * right / (left @ right), rtol=1e-8)
    joined = jax.nn.logsumexp(forward_messages(mdp, temperature)[:, :2] + found.value / temperature, axis=1)
    np.testing.assert_allclose(joined, expected[1], rtol=1e-12)


def test_horizon_5000_of_the_linearly_solvable_walk():
    """Todorov's first exit: z_i = cosh(θ(i − N/2)) / cosh(θN/2), cosh θ = e^q; v(5) = 1.5909111000."""
    found = posterior(random_walk(10, cost=0.1, horizon=5000), 1.0)
    z = np.cosh(np.arccosh(np.exp(0.1)) * (np.arange(11) - 5))
    np.testing.assert_allclose(-found.value[0], np.log(z[0]) - np.log(z), rtol=1e-11, atol=1e-12)
    assert -found.value[0, 5] == pytest.approx(1.5909111000, abs=5e-11)
    up = z[2:] / (z[2:] + z[:-2])
    np.testing.assert_allclose(found.policy(0)[1:-1, 1], up, rtol=1e-12)
    marginals = found.state_marginals()
    np.testing.assert_allclose(marginals.sum(1), 1, rtol=1e-14)
    assert marginals[-1, 0] + marginals[-1, 10] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("infer", [posterior, variational_posterior])
def test_a_high_temperature_is_the_prior(infer):
    prior = np.array([0.2, 0.3, 0.5]) * np.ones((6, 1))
    found = infer(replace(SLIPPERY, prior=7 * prior, discount=0.9), 1e12)
    np.testing.assert_allclose(found.policies(), np.broadcast_to(prior, (4, 6, 3)), rtol=1e-10)
    value = np.zeros(6)
    for _ in range(4):
        expected = SLIPPERY.reward + 0.9 * (SLIPPERY.probability * value[SLIPPERY.successor]).sum(-1)
        value = (prior * expected).sum(-1)
    np.testing.assert_allclose(found.value[0], value, rtol=1e-9)


def test_the_variational_posterior_is_the_plan_of_the_kl_convention():
    mdp = replace(SLIPPERY, discount=0.9, prior=np.array([1.0, 2.0, 4.0]) * np.ones((6, 1)))
    found, planned = variational_posterior(mdp, 0.4), plan(mdp, 0.4, convention="kl")
    np.testing.assert_allclose(found.value, planned.value, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(found.policies(), planned.policy, rtol=1e-12)


def test_a_low_temperature_is_hard_optimality_and_blind_hope():
    hard, hope = np.zeros(6), np.zeros(6)
    for _ in range(4):
        hard = (SLIPPERY.reward + (SLIPPERY.probability * hard[SLIPPERY.successor]).sum(-1)).max(-1)
        hope = (SLIPPERY.reward + hope[SLIPPERY.successor].max(-1)).max(-1)
    np.testing.assert_allclose(variational_posterior(SLIPPERY, 1e-9).value[0], hard, atol=1e-7)
    np.testing.assert_allclose(posterior(SLIPPERY, 1e-9).value[0], hope, atol=1e-7)


@pytest.mark.parametrize("infer", [posterior, variational_posterior])
@pytest.mark.parametrize(("scale", "temperature"), [(1e200, 1e-90), (1e-200, 1e100), (1e6, 1e-6), (1.0, 1e-300)])
def test_every_magnitude_gives_distributions(infer, scale, temperature):
    found = infer(replace(SLIPPERY, reward=scale * SLIPPERY.reward), temperature)
    assert np.all(np.isfinite(found.value))
    np.testing.assert_allclose(found.policies().sum(-1), 1, rtol=1e-12)
    np.testing.assert_allclose(found.marginals().sum((1, 2)), 1, rtol=1e-12)


def test_the_counting_measure_is_a_bonus_for_the_number_of_actions():
    """The entropy convention, π₀ = 1, by the recursion of an unnormalised measure."""
    mask = np.ones((6, 3), bool)
    mask[[0, 3, 4], [1, 2, 0]] = mask[4, 1] = False
    live = mask[..., None]
    mdp = replace(
        SLIPPERY,
        successor=np.where(live, SLIPPERY.successor, 6),
        probability=np.where(live, SLIPPERY.probability, 0),
        mask=mask,
    )
    temperature, value = 0.8, np.zeros(7)
    for _ in range(4):
        q = mdp.reward + temperature * np.log(
            (SLIPPERY.probability * np.exp(value / temperature)[SLIPPERY.successor]).sum(-1)
        )
        value = np.append(temperature * np.log(np.where(mask, np.exp(q / temperature), 0).sum(-1)), 0)
    bonus = temperature * np.log(mask.sum(1, keepdims=True))
    np.testing.assert_allclose(posterior(replace(mdp, reward=mdp.reward + bonus), temperature).value[0], value[:6])


def test_the_evidence_alone_takes_no_memory_for_the_horizon():
    def bytes_needed(horizon):
        evidence = jax.jit(lambda reward: log_evidence(replace(SLIPPERY, reward=reward), 1.0, horizon))
        analysis = evidence.lower(SLIPPERY.reward).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert bytes_needed(10_000) <= bytes_needed(10)


def test_transformations_see_through_the_temperature():
    temperatures = jnp.array([0.5, 1.0, 2.0])
    each = [log_evidence(SLIPPERY, t) for t in temperatures]
    np.testing.assert_allclose(jax.vmap(lambda t: log_evidence(SLIPPERY, t))(temperatures), each, rtol=1e-13)
    slope = jax.grad(lambda t: evidence_lower_bound(SLIPPERY, t))(1.0)
    step = 1e-6
    near = [float(evidence_lower_bound(SLIPPERY, 1.0 + side * step)) for side in (-1, 1)]
    assert slope == pytest.approx((near[1] - near[0]) / (2 * step), rel=1e-7)


@pytest.mark.parametrize(
    ("temperature", "horizon", "words"),
    [
        (0.0, 3, "`temperature`.*1e-300.*plan"),
        (-1.0, 3, "`temperature`.*-1"),
        (np.nan, 3, "`temperature`.*nan"),
        (np.inf, 3, "`temperature`.*inf"),
        (1.0, 0, "`horizon`.*at least 1"),
        (1.0, None, "`horizon`.*required"),
    ],
)
def test_invalid_arguments_are_refused(temperature, horizon, words):
    for function in (log_evidence, evidence_lower_bound, posterior, variational_posterior, optimism, forward_messages):
        with pytest.raises(EntraxError, match=words):
            function(replace(SLIPPERY, horizon=None), temperature, horizon)


def test_a_decision_outside_the_horizon_is_refused():
    with pytest.raises(EntraxError, match=r"`t`.*0 to 3"):
        posterior(SLIPPERY, 1.0).policy(4)


def test_single_precision_is_refused():
    with jax.enable_x64(False), pytest.raises(EntraxError, match="64-bit floats"):
        log_evidence(SLIPPERY, 1.0)
