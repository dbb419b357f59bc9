"""Causal inverse reinforcement learning: derivatives, enumeration, moments, planted rewards, shaping, errors."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.exact import plan
from entrax.inverse import Demonstrations, demonstrate, fit, mean_features, on_arrival, one_for_each_state, sensitivity
from entrax.inverse.certificate import certified_log_likelihood
from entrax.inverse.sensitivity import (
    count_decisions,
    differentiate,
    likelihood_terms,
    make_model,
    moment_terms,
    objective_value,
    reward_gradient,
    solve,
)
from entrax.problems import FiniteMDP, garnet, gridworld

WEIGHTS = np.array([1.0, -0.5, 0.3])
MAZE = "#####\n#S..#\n#.#.#\n#..G#\n#####\n"
TERMS = {"likelihood": likelihood_terms, "moments": moment_terms}


def features(states=8, actions=3, count=3, seed=0):
    return np.random.default_rng(seed).normal(size=(states, actions, count))


def problem(kind="discounted", branches=3):
    """A random problem: discounted, with a horizon, or undiscounted with terminal states."""
    options: Any = {
        "discounted": {"discount": 0.9},
        "horizon": {"discount": 0.95, "horizon": 6},
        "episodes": {"discount": 1.0, "terminal": [6, 7]},
    }[kind]
    return garnet(8, 3, branches, seed=1, **options)


def shown(mdp, phi, weights=WEIGHTS, alpha=0.7, episodes=30, convention="kl", steps=12, seed=0):
    true = replace(mdp, reward=mean_features(mdp, phi) @ weights)
    return demonstrate(true, plan(true, alpha, convention=convention).policy, episodes, seed=seed, steps=steps)


def solved(model, reward):
    solution = solve(model, reward)
    assert solution is not None
    return solution


def central(function, at, step=1e-3):
    """Fourth-order central differences."""

    def along(e):
        near, far = (function(at + k * e) - function(at - k * e) for k in (step, 2 * step))
        return (8 * near - far) / (12 * step)

    return np.stack([along(e) for e in np.eye(len(at))], axis=-1)


@pytest.mark.parametrize("objective", TERMS)
@pytest.mark.parametrize("kind", ["discounted", "horizon", "episodes"])
def test_derivatives_equal_finite_differences_of_their_own_objective(objective, kind):
    mdp, phi = problem(kind), features()
    demos = shown(mdp, phi)
    model = make_model(mdp, demos, 0.7, "kl", 1e-13)
    terms, counts = TERMS[objective](model, demos), count_decisions(model, demos, 1.0)

    def value(theta):
        return objective_value(model, terms, phi @ theta, solved(model, phi @ theta))

    def derivatives(theta):
        return differentiate(model, terms, counts, phi, solved(model, phi @ theta))

    theta = 0.5 * WEIGHTS
    at = derivatives(theta)
    size = np.abs(at.gradient).max()
    np.testing.assert_allclose(at.gradient, central(value, theta), atol=1e-8 * size, rtol=0)
    slope = reward_gradient(model, terms, solved(model, phi @ theta))
    np.testing.assert_allclose(np.einsum("sa,saf->f", slope, phi), at.gradient, atol=1e-12 * size)
    curvature = central(lambda t: derivatives(t).gradient, theta)
    np.testing.assert_allclose(at.hessian, curvature, atol=1e-8 * np.abs(curvature).max(), rtol=0)


def test_iterative_solves_of_many_states_agree_with_dense_ones(monkeypatch):
    mdp, phi = problem(), features()
    demos = shown(mdp, phi)
    model = make_model(mdp, demos, 0.7, "kl", 1e-13)
    terms, counts = likelihood_terms(model, demos), count_decisions(model, demos, 1.0)
    solution = solved(model, phi @ WEIGHTS)
    dense = differentiate(model, terms, counts, phi, solution)
    monkeypatch.setattr(sensitivity, "_DENSE", 0)
    iterative = differentiate(model, terms, counts, phi, solution)
    for one, other in zip(dense, iterative, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9 * np.abs(one).max())


def test_the_likelihood_is_the_sum_of_log_policies_and_its_gradient_the_oracles_sum():
    """Σ_t w [φ_t + γ E ∂V(s_{t+1}) − ∂V(s_t)]/α, with ∂V by finite differences of `plan`."""
    mdp, phi = problem(), features()
    demos, theta, alpha = shown(mdp, phi), 0.5 * WEIGHTS, 0.7
    model = make_model(mdp, demos, alpha, "entropy", 1e-13)

    def solution(theta):
        return plan(replace(mdp, reward=phi @ theta), alpha, tolerance=1e-13)

    log_policy = np.log(np.asarray(solution(theta).policy))
    total = np.sum(log_policy[demos.state, demos.action])
    value, error = certified_log_likelihood(
        model, count_decisions(model, demos, 1.0), phi @ theta, solved(model, phi @ theta)
    )
    assert value == pytest.approx(total, rel=1e-12)
    assert 0 < error < 1e-8
    slope = central(lambda t: np.asarray(solution(t).value), theta)
    expected = np.einsum("sak,sakf->saf", mdp.probability, slope[mdp.successor])
    g = phi + mdp.discount * expected - slope[:, None]
    gradient = g[demos.state, demos.action].sum(0) / alpha
    terms = likelihood_terms(model, demos)
    at = differentiate(model, terms, count_decisions(model, demos, 1.0), phi, solved(model, phi @ theta))
    np.testing.assert_allclose(at.gradient, gradient, rtol=1e-8)


def test_the_certified_error_covers_a_value_that_is_far_from_solved():
    mdp, phi = problem(), features()
    demos = shown(mdp, phi)
    counts = count_decisions(make_model(mdp, demos, 0.7, "kl", 1.0), demos, 1.0)
    exact, _ = certified_log_likelihood(
        model := make_model(mdp, demos, 0.7, "kl", 1e-13), counts, phi @ WEIGHTS, solved(model, phi @ WEIGHTS)
    )
    rough = plan(
        replace(model.mdp, reward=phi @ WEIGHTS), 0.7, convention="kl", max_iterations=12, method="value-iteration"
    )
    value, error = certified_log_likelihood(model, counts, phi @ WEIGHTS, rough)
    assert 1e-6 < abs(value - exact) <= error


@pytest.mark.parametrize("kind", ["discounted", "horizon", "episodes"])
def test_moments_match_at_the_optimum_of_the_dual(kind):
    mdp, phi = problem(kind), features()
    result = fit(mdp, shown(mdp, phi), phi, temperature=0.7, objective="moments", convention="kl")
    assert result.converged
    size = np.abs(result.demonstrated_features).max()
    np.testing.assert_allclose(result.demonstrated_features, result.expected_features, atol=1e-7 * size)
    if kind == "episodes":
        assert result.demonstrated_visits.sum() == pytest.approx(result.expected_visits.sum(), rel=0.3)


def test_expected_visits_are_those_of_enumerated_paths():
    """A problem of two decisions: visits under the policy, by the probability of every path from every start."""
    mdp = garnet(4, 2, 2, seed=3, horizon=2, discount=0.8)
    phi = features(4, 2, 2)
    demos = Demonstrations.from_trajectories([([0, *[int(mdp.successor[0, 1, 0])]], [1])])
    result = fit(mdp, demos, phi, l2=1.0)
    policy, visits = np.asarray(result.solution.policy), np.zeros((4, 2))
    for a, k, b in itertools.product(range(2), range(2), range(2)):
        first = policy[0, 0, a] * mdp.probability[0, a, k]
        following = mdp.successor[0, a, k]
        visits[following, b] += 0.8 * first * policy[1, following, b]
        visits[0, a] += first * policy[1, following, b]
    cut = mdp.successor[0, 1, 0]  # the demonstration ends there, with the value of one more decision
    visits[cut] -= 0.8 * policy[1, cut]
    np.testing.assert_allclose(result.expected_visits, visits, atol=1e-12)


def test_likelihood_and_moments_are_one_objective_under_undiscounted_determinism():
    mdp = replace(problem("horizon", branches=1), discount=1.0)
    phi = features()
    demos = shown(mdp, phi, episodes=60)
    results = [fit(mdp, demos, phi, temperature=0.7, objective=name, convention="kl") for name in TERMS]
    np.testing.assert_allclose(results[0].weights, results[1].weights, rtol=1e-7)
    assert results[0].objective_value == pytest.approx(results[1].objective_value, rel=1e-12)


def test_a_bandits_rewards_are_log_frequencies_up_to_a_constant():
    mdp = FiniteMDP.from_transitions([(0, a, 1.0, 0, 0.0, True) for a in range(3)])
    demos = Demonstrations.from_trajectories([([0, 1], [a]) for a in (0, 0, 0, 0, 0, 1, 1, 1, 2)])
    result = fit(mdp, demos, np.eye(3)[None])
    np.testing.assert_allclose(result.weights - result.weights[0], np.log([1, 3 / 5, 1 / 5]), atol=1e-7)
    np.testing.assert_allclose(result.unidentified, np.full((1, 3), 3**-0.5), atol=1e-12)
    assert np.all(np.isinf(result.errors))
    assert result.log_likelihood == pytest.approx(5 * np.log(5 / 9) + 3 * np.log(1 / 3) + np.log(1 / 9), abs=1e-9)


def test_a_weight_counts_a_trajectory_that_often():
    mdp, phi = problem(), features()
    few = shown(mdp, phi, episodes=5)
    twice = Demonstrations.from_trajectories([*few.trajectories(), few.trajectories()[0]])
    weighted = replace(few, weight=np.array([2.0, 1.0, 1.0, 1.0, 1.0]))
    for objective in TERMS:
        one, other = (fit(mdp, demos, phi, objective=objective) for demos in (twice, weighted))
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-9)
    assert one.log_likelihood == pytest.approx(other.log_likelihood)


def test_a_planted_reward_is_recovered_up_to_shaping():
    """One free reward in every state-action, from very many demonstrations: the advantages are the planted ones."""
    mdp = garnet(4, 2, 2, seed=0, discount=0.8)
    policy = np.asarray(plan(mdp, 0.5).policy)
    rows = [([s], [a]) for s in range(4) for a in range(2)]
    demos = Demonstrations.from_trajectories(rows, weight=[policy[s[0], a[0]] for s, a in rows])
    phi = np.eye(8).reshape(4, 2, 8)
    result = fit(mdp, demos, phi, temperature=0.5)
    np.testing.assert_allclose(np.asarray(result.solution.policy), policy, atol=1e-7)
    assert len(result.unidentified) == 4  # Φ(s) of each state
    for s in range(4):  # r + γ Φ(s') − Φ(s)
        potential = np.eye(4)[s]
        shaping = (
            mdp.discount * np.einsum("sak,sak->sa", mdp.probability, potential[mdp.successor]) - potential[:, None]
        )
        inside = result.unidentified.T @ (result.unidentified @ shaping.ravel())
        np.testing.assert_allclose(inside, shaping.ravel(), atol=1e-8)
    difference = (result.reward - mdp.reward).ravel()
    np.testing.assert_allclose(result.unidentified.T @ (result.unidentified @ difference), difference, atol=1e-6)


def test_shaping_features_change_no_policy_and_are_named():
    mdp, phi = problem("episodes"), features(count=2)
    potential = np.where(np.arange(9) < 6, np.random.default_rng(5).normal(size=9), 0.0)  # 0 where episodes end
    shaping = np.einsum("sak,sak->sa", mdp.probability, potential[mdp.successor]) - potential[:8, None]
    result = fit(mdp, shown(mdp, phi, WEIGHTS[:2]), np.concatenate([phi, shaping[..., None]], 2), convention="kl")
    plain = fit(mdp, shown(mdp, phi, WEIGHTS[:2]), phi, convention="kl")
    np.testing.assert_allclose(result.unidentified, [[0, 0, 1]], atol=1e-7)
    np.testing.assert_allclose(result.weights, [*plain.weights, 0.0], atol=1e-8)
    assert np.isinf(result.errors[2])
    np.testing.assert_allclose(result.errors[:2], plain.errors, rtol=1e-6)


def test_a_fitted_temperature_is_that_of_the_joint_problem():
    mdp, phi = problem(), features()
    demos = shown(mdp, phi, alpha=0.4, convention="entropy", episodes=200)
    fitted = fit(mdp, demos, phi[..., 1:], temperature="fit", known_reward=phi[..., 0])
    assert abs(fitted.temperature - 0.4) < 4 * fitted.temperature_error
    assert np.all(np.abs(fitted.weights - WEIGHTS[1:]) < 4 * fitted.errors)
    planned = plan(replace(mdp, reward=fitted.reward), fitted.temperature)
    np.testing.assert_allclose(fitted.solution.value, planned.value, rtol=1e-6)

    def likelihood(log_alpha):
        alpha = float(np.exp(log_alpha[0]))
        return fit(mdp, demos, phi[..., 1:], temperature=alpha, known_reward=phi[..., 0]).log_likelihood

    at = np.log([fitted.temperature])
    assert abs(central(likelihood, at, 1e-2)[0]) < 1e-4 * abs(fitted.log_likelihood)
    curvature = (likelihood(at + 0.02) - 2 * likelihood(at) + likelihood(at - 0.02)) / 0.02**2
    assert fitted.temperature_error / fitted.temperature == pytest.approx((-curvature) ** -0.5, rel=1e-2)
    assert fitted.log_likelihood == pytest.approx(likelihood(at), abs=1e-7)


def test_scale_and_temperature_are_identified_only_jointly():
    mdp, phi = problem(), features()
    demos = shown(mdp, phi)
    one, two = (fit(mdp, demos, phi, temperature=alpha) for alpha in (0.7, 1.4))
    np.testing.assert_allclose(2 * one.weights, two.weights, rtol=1e-7)
    assert one.log_likelihood == pytest.approx(two.log_likelihood)
    with pytest.raises(UsageError, match=r"scale.*known_reward"):
        fit(mdp, demos, phi, temperature="fit")
    with pytest.raises(UsageError, match=r"not identified.*weight.*1/temperature"):
        fit(mdp, demos, phi, temperature="fit", known_reward=2 * phi[..., 0] - phi[..., 1])
    with pytest.raises(UsageError, match="no estimate above 0"):
        fit(mdp, demos, temperature="fit", known_reward=-phi @ WEIGHTS)
    with pytest.raises(UsageError, match="fixed `temperature`"):
        fit(mdp, demos, phi, temperature="fit", known_reward=phi[..., 0], l2=1.0)


def test_penalties_satisfy_their_conditions_of_optimality():
    mdp, phi = problem(), features()
    demos = shown(mdp, phi, episodes=10)
    plain = fit(mdp, demos, phi)
    ridge = fit(mdp, demos, phi, l2=30.0, centre=[0.1, 0.2, 0.3])
    model = make_model(mdp, demos, 1.0, "entropy", 1e-12)

    def gradient(weights):
        solution = solved(model, phi @ weights)
        return differentiate(
            model, likelihood_terms(model, demos), count_decisions(model, demos, 1.0), phi, solution
        ).gradient

    np.testing.assert_allclose(gradient(ridge.weights), 30 * (ridge.weights - [0.1, 0.2, 0.3]), atol=1e-6)
    assert np.all(ridge.errors < plain.errors)
    rate = 0.9 * np.abs(gradient(np.zeros(3))).max()
    lasso = fit(mdp, demos, phi, l1=rate)
    free, slope = lasso.weights != 0, gradient(lasso.weights)
    assert 0 < free.sum() < 3
    np.testing.assert_allclose(slope[free], rate * np.sign(lasso.weights[free]), rtol=1e-6)
    assert np.all(np.abs(slope[~free]) < rate)
    assert np.array_equal(np.isnan(lasso.errors), ~free)
    assert not fit(mdp, demos, phi, l1=1.3 * rate).weights.any()


def test_features_of_states_transitions_and_arrivals_agree():
    mdp = problem("episodes")
    table = np.random.default_rng(2).normal(size=(8, 2))
    outcome = on_arrival(mdp, table)
    mean = mean_features(mdp, outcome)
    padded = np.append(table, np.zeros((1, 2)), axis=0)
    expected = np.einsum("sak,sakf->saf", mdp.probability, padded[mdp.successor])
    np.testing.assert_allclose(mean, expected)
    demos = shown(mdp, outcome, WEIGHTS[:2])
    by_outcome, by_action = (fit(mdp, demos, phi, convention="kl") for phi in (outcome, mean))
    np.testing.assert_allclose(by_outcome.weights, by_action.weights)
    np.testing.assert_allclose(
        mean_features(mdp, table), np.where(mdp.terminal[:, None, None], 0, table[:, None].repeat(3, 1))
    )


def test_a_map_with_an_undiscounted_goal_needs_a_finite_start():
    mdp = gridworld(MAZE, step_reward=-2.0, slip=0.2)
    demos = demonstrate(mdp, plan(mdp, 1.0).policy, 40, seed=0)
    arrival = np.asarray(mdp.terminal, float)[:, None]
    steps = mean_features(mdp, np.ones((mdp.states, 1)))
    phi = np.concatenate([steps, mean_features(mdp, on_arrival(mdp, arrival))], axis=2)
    with pytest.raises(UsageError, match=r"not finite.*kl.*start"):
        fit(mdp, demos, phi)
    result = fit(mdp, demos, phi, start=[-3.0, 0.0])
    assert result.converged
    assert len(result.unidentified) == 1  # a reward on the way into the only end is a constant
    assert abs(result.weights[0] + 2) < 4 * result.errors[0]


def test_separable_demonstrations_are_refused_with_the_direction():
    mdp = problem("horizon")
    phi = features()
    true = replace(mdp, reward=phi @ WEIGHTS)
    demos = demonstrate(true, plan(true, 0.0).policy, 20, seed=0)
    with pytest.raises(UsageError, match=r"separable.*weight 0.*temperature ran to 0"):
        fit(mdp, demos, (phi @ WEIGHTS)[..., None])
    with pytest.raises(UsageError, match=r"separable.*1/temperature"):
        fit(mdp, demos, temperature="fit", known_reward=phi @ WEIGHTS)
    assert fit(mdp, demos, (phi @ WEIGHTS)[..., None], l2=0.1).converged
    certain = problem("horizon", branches=1)  # otherwise luck keeps the demonstrated moments attainable
    true = replace(certain, reward=phi @ WEIGHTS)
    best = demonstrate(true, plan(true, 0.0).policy, 20, seed=0)
    with pytest.raises(UsageError, match="separable"):
        fit(certain, best, (phi @ WEIGHTS)[..., None], objective="moments")


def test_two_demonstrations_of_both_actions_are_not_separable():
    mdp = FiniteMDP.from_transitions([(0, a, 1.0, 0, 0.0, True) for a in range(2)])
    demos = Demonstrations.from_trajectories([([0, 1], [0])] * 9_999 + [([0, 1], [1])])
    result = fit(mdp, demos, np.array([[[0.0], [1.0]]]))
    assert result.weights[0] == pytest.approx(np.log(1 / 9_999), rel=1e-6)
    assert result.errors[0] == pytest.approx((1 + 1 / 9_999) ** 0.5, rel=1e-3)


def coverage(objective, repetitions, episodes):
    """The share of 95 % intervals that cover the planted weights."""
    mdp, phi = problem(), features()
    hits = []
    for seed in range(repetitions):
        demos = shown(mdp, phi, episodes=episodes, convention="entropy", seed=seed)
        low, high = fit(mdp, demos, phi, temperature=0.7, objective=objective).intervals().T
        hits.append((low < WEIGHTS) & (high > WEIGHTS))
    return np.mean(hits)


def test_intervals_cover_in_a_small_simulation():
    """The standard deviation of the share of 15 independent 95 % intervals is 5.6 %."""
    assert 0.78 < coverage("likelihood", 15, 20) <= 1.0


@pytest.mark.long
@pytest.mark.parametrize("objective", TERMS)
def test_intervals_cover(objective):
    """400 simulations of 3 weights: the standard deviation of the share is at most 1.1 %."""
    assert coverage(objective, 400, 60) == pytest.approx(0.95, abs=0.033)


def test_one_state_features_and_bad_arguments():
    mdp = problem()
    assert one_for_each_state(mdp).shape == (8, 8)
    demos = shown(mdp, features())
    cases: list[tuple[dict[str, Any], str]] = [
        ({"features": np.zeros((7, 2))}, r"`features` must have shape \(8, F\)"),
        ({"features": np.full((8, 3, 1), np.nan)}, "`features` must hold finite"),
        ({"features": None}, "`features` must be given"),
        ({"temperature": 0.0}, "`temperature` must be"),
        ({"temperature": "cold"}, "`temperature` must be"),
        ({"objective": "maxent"}, "`objective` must be likelihood or moments"),
        ({"l2": -1.0}, "`l2` must be at least 0"),
        ({"l1": [1.0, 2.0]}, "`l1` must be a finite number, or one for each of 3"),
        ({"known_reward": np.zeros(3)}, "`known_reward` must have shape"),
    ]
    for wrong, words in cases:
        with pytest.raises(UsageError, match=words):
            fit(mdp, demos, **({"features": features()} | wrong))
