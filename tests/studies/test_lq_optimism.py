"""Optimism in linear-quadratic problems: its parts against sampling and closed forms, and numbers that refute."""

from dataclasses import replace

import numpy as np
import pytest

from entrax.exact import gaussian_posterior, gaussian_variational_posterior
from entrax.studies import lq_optimism
from entrax.studies.lq_optimism import breakdown, divergence, judge, make_problem, measure, scalar, true_value

ALPHA = 0.7


@pytest.fixture(scope="module")
def problem():
    return replace(make_problem(3), horizon=3)


def test_the_value_of_a_policy_is_the_mean_of_sampled_returns(problem, x64):
    policy = gaussian_posterior(problem, ALPHA).policy
    rng, episodes = np.random.default_rng(0), 200_000
    x, total = np.tile(problem.initial_mean, (episodes, 1)), np.zeros(episodes)
    noise = np.linalg.cholesky(problem.W)
    for k, sigma in zip(np.asarray(policy.gain), np.asarray(policy.covariance), strict=True):
        u = -x @ k.T + rng.normal(size=(episodes, 2)) @ np.linalg.cholesky(sigma).T
        total -= np.einsum("ei,ij,ej->e", x, problem.Q, x) + np.einsum("ei,ij,ej->e", u, problem.R, u)
        total += ALPHA * 0.5 * np.linalg.slogdet(2 * np.pi * np.e * sigma)[1]
        x = x @ problem.A.T + u @ problem.B.T + rng.normal(size=x.shape) @ noise.T
    expected = true_value(problem, policy, ALPHA)(problem.initial_mean)
    assert abs(total.mean() - expected) < 4 * total.std() / episodes**0.5


def test_the_optimism_is_the_divergence_from_the_posterior_and_the_bound_is_earned(problem, x64):
    result = measure(problem, ALPHA)
    assert result["optimism"] > 0.1
    assert result["optimism"] == pytest.approx(result["divergence"], rel=1e-10)
    assert result["bound"] == pytest.approx(result["soft_variational"], rel=1e-10)
    assert result["soft_exact"] < result["soft_variational"]
    assert abs(measure(lq_optimism.with_noise(problem, 0.0), ALPHA)["optimism"]) < 1e-10


def test_the_divergence_of_one_step_is_that_of_two_gaussians(x64):
    """Scalars by hand: KL of the action, and that of the noise averaged over the action."""
    one = scalar(2)
    ours, theirs = gaussian_variational_posterior(one, ALPHA), gaussian_posterior(one, ALPHA)

    def kl(mean, variance, other):
        return 0.5 * (variance / other - 1 - np.log(variance / other) + mean**2 / other)

    second, expected = 9.0, 0.0
    for t in range(2):
        (k, s), (other, r) = (
            (float(p.policy.gain[t, 0, 0]), float(p.policy.covariance[t, 0, 0])) for p in (ours, theirs)
        )
        expected += kl(0, s, r) + 0.5 * (other - k) ** 2 * second / r
        tilt, w = float(theirs.dynamics.A[t, 0, 0]), float(theirs.dynamics.W[t, 0, 0])
        moved = (1 - k) ** 2 * second + s  # E (x + u)²
        expected += kl(0, 0.2, w) + 0.5 * (1 - tilt) ** 2 * moved / w
        second = moved + 0.2
    assert divergence(ours, theirs) == pytest.approx(expected, rel=1e-10)


def test_the_twin_breaks_down_where_one_step_says(x64):
    """With one decision and a final cost of x², P = 1 after the noise, so that the limit is α = 2W."""
    one = replace(scalar(1), final_Q=np.ones((1, 1)))
    assert breakdown(one, 1) == pytest.approx(0.4, rel=1e-5)


def points(**changed):
    fine = {"evidence": -5.0, "bound": -7.0, "divergence": 2.0, "soft_variational": -7.0, "soft_exact": -8.0}
    return fine | {"optimism": 2.0} | changed


def row(noisy=2.0, cold=3.0, **changed):
    none = points(optimism=0.0, divergence=0.0)
    return {
        "over_noise": [none, points(), points(optimism=noisy + 1, divergence=noisy + 1) | changed],
        "over_temperature": [points(optimism=cold, divergence=cold), points()],
    }


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "supported"),
        ({"noisy": 0.5}, "refuted"),
        ({"noisy": -3.0}, "refuted"),
        ({"cold": 1.0}, "refuted"),
        ({"divergence": 3.1}, "refuted"),
        ({"divergence": 3.0001}, "undecided"),
        ({"soft_exact": -6.0}, "refuted"),
        ({"soft_variational": -7.0001}, "undecided"),
    ],
)
def test_the_verdict_can_fail(changed, verdict):
    assert judge({"rows": [row(), row(**changed)]}) == verdict


@pytest.mark.long
def test_the_control_is_seen(x64):
    assert lq_optimism.control().seen
