"""The non-causal model: enumerated trajectories, equality with the causal one under determinism, difference else."""

from dataclasses import replace

import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.exact import plan
from entrax.inverse import Demonstrations, demonstrate, fit, fit_trajectories, on_arrival
from entrax.problems import FiniteMDP, garnet


def features(states, actions, count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(states, actions, count))


def problem(branches=2, **options):
    return garnet(4, 2, branches, seed=1, **{"horizon": 3, **options})


def shown(mdp, phi, weights, episodes=40, steps=3):
    true = replace(mdp, reward=phi @ weights)
    return demonstrate(true, plan(true, 0.7, convention="kl").policy, episodes, seed=0, steps=steps)


def paths(mdp, state, decisions):
    """Every trajectory from a state: (log π₀ p of it, [(s, a, k) …])."""
    if decisions == 0 or state == mdp.states or mdp.terminal[state]:
        return [(0.0, [])]
    found = []
    for a in range(mdp.actions):
        for k in range(mdp.branches):
            p = mdp.probability[state, a, k] / mdp.actions
            if p > 0:
                rest = paths(mdp, int(mdp.successor[state, a, k]), decisions - 1)
                found += [(np.log(p) + q, [(state, a, k), *steps]) for q, steps in rest]
    return found


def enumerated(mdp, phi, demos, alpha, theta):
    """F of full demonstrations, its gradient and Hessian, from all trajectories."""
    value, gradient, hessian = 0.0, np.zeros(2), np.zeros((2, 2))
    for states, actions in demos.trajectories():
        own = sum(phi[s, a, n] for s, a, n in zip(states, actions, states[1:], strict=False))
        every = paths(mdp, int(states[0]), mdp.horizon)
        total = np.array(
            [sum((phi[s, a, mdp.successor[s, a, k]] for s, a, k in steps), np.zeros(2)) for _, steps in every]
        )
        log_weight = np.array([q for q, _ in every]) + total @ theta / alpha
        log_z = np.logaddexp.reduce(log_weight)
        share = np.exp(log_weight - log_z)
        mean = share @ total
        value += own @ theta / alpha - log_z
        gradient += (own - mean) / alpha
        hessian -= ((total - mean).T * share) @ (total - mean) / alpha**2
    return value, gradient, hessian


@pytest.mark.parametrize("kind", ["state-action", "outcome", "terminal"])
def test_the_estimate_is_the_maximum_over_enumerated_trajectories(kind):
    mdp = problem(terminal=[3]) if kind == "terminal" else problem()
    by_next = np.random.default_rng(4).normal(size=(4, 2, 5, 2))
    if kind != "outcome":
        by_next[:] = by_next[:, :, :1]
    phi = (
        by_next[:, :, 0] if kind != "outcome" else np.take_along_axis(by_next, np.asarray(mdp.successor)[..., None], 2)
    )
    mean = phi if phi.ndim == 3 else np.einsum("sak,sakf->saf", mdp.probability, phi)
    demos = shown(mdp, mean, np.array([0.6, -0.4]))
    result = fit_trajectories(mdp, demos, phi, temperature=0.7)
    value, gradient, hessian = enumerated(mdp, by_next, demos, 0.7, result.weights)
    assert result.converged
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    assert result.objective_value == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(result.covariance, np.linalg.inv(-hessian), rtol=1e-6)
    np.testing.assert_allclose(result.demonstrated_features, result.expected_features, atol=1e-6)


def test_both_models_agree_exactly_under_determinism_and_differ_otherwise():
    weights = np.array([0.6, -0.4])
    for branches, same in ((1, True), (2, False)):
        mdp, phi = problem(branches), features(4, 2)
        demos = shown(mdp, phi, weights)
        causal = fit(mdp, demos, phi, temperature=0.7, convention="kl")
        other = fit_trajectories(mdp, demos, phi, temperature=0.7)
        assert np.allclose(causal.weights, other.weights, rtol=1e-7) == same
        if same:
            assert causal.objective_value == pytest.approx(other.objective_value, rel=1e-11)
            np.testing.assert_allclose(causal.covariance, other.covariance, rtol=1e-6)
            np.testing.assert_allclose(
                np.stack([other.posterior.policy(t) for t in range(3)]), causal.solution.policy, atol=1e-7
            )


def test_a_cut_demonstration_has_the_probability_of_its_beginning():
    """All continuations of the cut trajectory, summed, are a full trajectory's model of its first decisions."""
    mdp, phi, alpha = problem(), features(4, 2), 0.7
    demos = shown(mdp, phi, np.array([0.6, -0.4]), episodes=6, steps=2)
    result = fit_trajectories(mdp, demos, phi, temperature=alpha, l2=1.0)
    total = 0.0
    for states, actions in demos.trajectories():
        begun = [(int(s), int(a), int(n)) for s, a, n in zip(states, actions, states[1:], strict=False)]
        every = paths(mdp, int(states[0]), 3)
        log_weight = np.array([q + sum(phi[s, a] @ result.weights for s, a, _ in steps) / alpha for q, steps in every])
        same = [[(s, a, mdp.successor[s, a, k]) for s, a, k in steps][:2] == begun for _, steps in every]
        known = sum(np.log(1 / 2) + np.log(mdp.probability[s, a][mdp.successor[s, a] == n].sum()) for s, a, n in begun)
        total += np.logaddexp.reduce(log_weight[same]) - np.logaddexp.reduce(log_weight) - known
    assert result.objective_value == pytest.approx(total, rel=1e-10)


def test_demonstrations_cut_off_where_much_can_still_happen_do_not_hide_what_is_identified():
    """From the cuts on the feature varies more than from the starts, where half of the trajectories avoid it."""
    mdp = FiniteMDP(
        successor=np.array([[[1], [2]], [[1], [1]], [[2], [2]]]),
        probability=np.ones((3, 2, 1)),
        reward=np.zeros((3, 2)),
        initial=np.eye(3)[0],
        terminal=np.zeros(3, bool),
        horizon=2,
    )
    phi = np.array([[[0.0], [0.0]], [[3.0], [-3.0]], [[0.0], [0.0]]])
    whole, cut = [([0, 1, 1], [0, 0])] * 2 + [([0, 1, 1], [0, 1])], [([0, 1], [0])] * 6
    result = fit_trajectories(mdp, Demonstrations.from_trajectories(whole + cut), phi)
    assert result.unidentified.shape == (0, 1)

    def objective(theta):
        return 3 * theta - 9 * np.log(0.5 + 0.5 * np.cosh(3 * theta)) + 6 * np.log(np.cosh(3 * theta))

    grid = np.linspace(-2, 2, 400_001)
    assert result.weights[0] == pytest.approx(grid[np.argmax(objective(grid))], abs=1e-5)


def test_safe_or_risky_is_explained_by_luck():
    """A soft-optimal demonstrator at reward 2 or −4 risks with .2689; the non-causal model infers another reward.

    With a free weight on winning (loss −4 known to neither), the causal estimate is the planted one.
    """
    mdp = FiniteMDP.from_transitions(
        [(0, 0, 1.0, 1, 0.0, False), (0, 1, 0.5, 2, 0.0, False), (0, 1, 0.5, 3, 0.0, False)],
        terminal=[1, 2, 3],
        states=4,
        initial=[1, 0, 0, 0],
        horizon=1,
    )
    risk = 1 / (1 + np.e)  # of the mean reward −1 at temperature 1
    demos = Demonstrations.from_trajectories(
        [([0, 1], [0]), ([0, 2], [1]), ([0, 3], [1])], weight=[1 - risk, risk / 2, risk / 2]
    )
    phi = on_arrival(mdp, np.array([[0.0], [0.0], [1.0], [-2.0]]))  # a win is half as good as a loss is bad
    causal = fit(mdp, demos, phi)
    assert causal.weights[0] == pytest.approx(2.0, rel=1e-7)
    other = fit_trajectories(mdp, demos, phi)
    weight = other.weights[0]  # its moments: the mean of the feature under the posterior is the demonstrated one
    z = 0.5 + 0.25 * np.exp(weight) + 0.25 * np.exp(-2 * weight)
    mean = (0.25 * np.exp(weight) - 0.5 * np.exp(-2 * weight)) / z
    assert mean == pytest.approx(-risk / 2, abs=1e-8)
    assert abs(weight - 2) > 1


def test_what_it_requires():
    mdp, phi = problem(), features(4, 2)
    demos = shown(mdp, phi, np.array([0.6, -0.4]))
    with pytest.raises(UsageError, match="horizon"):
        fit_trajectories(replace(mdp, horizon=None), demos, phi)
    with pytest.raises(UsageError, match="discount"):
        fit_trajectories(replace(mdp, discount=0.9), demos, phi)
    cut = Demonstrations.from_trajectories([([0], [1])])
    with pytest.raises(UsageError, match="one more state than actions"):
        fit_trajectories(mdp, cut, phi)
    with pytest.raises(UsageError, match="separable"):
        fit_trajectories(mdp, Demonstrations.from_trajectories(demos.trajectories()[:1]), phi)
