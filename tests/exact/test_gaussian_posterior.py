"""Posteriors over trajectories against dense linear algebra: one Gaussian over all states and actions."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.exact import gaussian_optimism, gaussian_posterior, gaussian_variational_posterior, regulator
from entrax.problems import LinearPolicy, LinearQuadratic

N, M, T, ALPHA = 2, 1, 3, 0.8


class Dense(NamedTuple):
    """A normal distribution over (x_0, u_0, x_1, …, u_{T−1}, x_T)."""

    mean: Any
    covariance: Any

    def states(self, t):
        return slice(t * (N + M), t * (N + M) + N)

    def actions(self, t):
        return slice(t * (N + M) + N, (t + 1) * (N + M))


def changing_problem(seed: int = 0) -> LinearQuadratic:
    rng = np.random.default_rng(seed)

    def definite(size, *time):
        root = rng.normal(size=(*time, size, size))
        return root @ np.swapaxes(root, -1, -2) + 0.1 * np.eye(size)

    cost = definite(N + M, T)
    return LinearQuadratic(
        A=rng.normal(size=(T, N, N)),
        B=rng.normal(size=(N, M)),
        Q=cost[:, :N, :N],
        R=cost[:, N:, N:],
        N=cost[:, :N, N:],
        W=0.3 * definite(N, T),
        q=rng.normal(size=(T, N)),
        r=rng.normal(size=M),
        constant=rng.normal(size=T),
        drift=rng.normal(size=N),
        final_Q=definite(N),
        final_q=rng.normal(size=N),
        final_constant=0.4,
        initial_mean=rng.normal(size=N),
        initial_covariance=definite(N),
        prior=LinearPolicy(rng.normal(size=(M, N)), [0.3], [[0.6]]),
    )


def chain(problem: LinearQuadratic, policy: Any, dynamics: Any = None, initial: Any = None) -> Dense:
    """The joint distribution of a policy: every variable is linear in independent noises, u = −Kx + k + … and so on."""
    size = T * (N + M) + N
    mean, factor = np.zeros(size), np.zeros((size, size))
    start = problem.initial_mean if initial is None else initial.mean
    mean[:N] = start
    factor[:N, :N] = np.linalg.cholesky(problem.initial_covariance if initial is None else initial.covariance)
    at = Dense(mean, factor)
    for t in range(T):
        x, u, after = at.states(t), at.actions(t), at.states(t + 1)
        each, pi = problem.at(t), policy.at(t)
        a, b, d, w = each.A, each.B, each.drift, each.W
        if dynamics is not None:
            a, b, d, w = (getattr(dynamics, name)[t] for name in ("A", "B", "drift", "W"))
        mean[u] = pi.mean(mean[x])
        factor[u] = -pi.gain @ factor[x]
        factor[u, u] += np.linalg.cholesky(pi.covariance)
        mean[after] = a @ mean[x] + b @ mean[u] + d
        factor[after] = a @ factor[x] + b @ factor[u]
        factor[after, after] += np.linalg.cholesky(w)
    return Dense(mean, factor @ factor.T)


def total_cost(problem: LinearQuadratic) -> tuple[Any, Any, float]:
    """H, h and c of the cost τᵀHτ + 2hᵀτ + c of a trajectory."""
    size = T * (N + M) + N
    big, small, constant = np.zeros((size, size)), np.zeros(size), float(problem.final_constant)
    at = Dense(small, big)
    for t in range(T):
        each, x, u = problem.at(t), at.states(t), at.actions(t)
        big[x, x] += each.Q
        big[u, u] += each.R
        big[x, u] += each.N
        big[u, x] += each.N.T
        small[x] += each.q
        small[u] += each.r
        constant += float(each.constant)
    big[at.states(T), at.states(T)] += problem.final_Q
    small[at.states(T)] += problem.final_q
    return big, small, constant


def conditioned(prior: Dense, cost: tuple[Any, Any, float]) -> tuple[Dense, float]:
    """The prior times exp(−cost/α), normalised, and the log of its mass."""
    big, small, constant = cost
    precision = np.linalg.inv(prior.covariance)
    slope = precision @ prior.mean - 2 / ALPHA * small
    covariance = np.linalg.inv(precision + 2 / ALPHA * big)
    log = slope @ covariance @ slope / 2 - prior.mean @ precision @ prior.mean / 2 - constant / ALPHA
    log += (np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(prior.covariance)[1]) / 2
    return Dense(covariance @ slope, covariance), log


def divergence(q: Dense, p: Dense) -> float:
    precision, gap = np.linalg.inv(p.covariance), p.mean - q.mean
    logs = np.linalg.slogdet(p.covariance)[1] - np.linalg.slogdet(q.covariance)[1]
    return (np.trace(precision @ q.covariance) + gap @ precision @ gap - len(gap) + logs) / 2


def test_the_exact_posterior_is_the_conditioned_gaussian():
    problem = changing_problem()
    expected, log_evidence = conditioned(chain(problem, problem.prior), total_cost(problem))
    posterior = gaussian_posterior(problem, ALPHA)
    assert float(posterior.log_evidence) == pytest.approx(log_evidence, rel=1e-11)
    joint = chain(problem, posterior.policy, posterior.dynamics, posterior.initial)
    np.testing.assert_allclose(joint.mean, expected.mean, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(joint.covariance, expected.covariance, rtol=1e-9, atol=1e-10)
    states, actions = posterior.state_marginals(), posterior.action_marginals()
    for t in range(T + 1):
        x = expected.states(t)
        np.testing.assert_allclose(states.mean[t], expected.mean[x], rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(states.covariance[t], expected.covariance[x, x], rtol=1e-9, atol=1e-10)
    u = expected.actions(1)
    np.testing.assert_allclose(actions.mean[1], expected.mean[u], rtol=1e-9)
    np.testing.assert_allclose(actions.covariance[1], expected.covariance[u, u], rtol=1e-9)


def test_the_bound_is_loose_by_the_divergence():
    """log p(O) − bound = KL(q ‖ p(τ|O)), and no other policy that we try does better."""
    problem = changing_problem(1)
    target, log_evidence = conditioned(chain(problem, problem.prior), total_cost(problem))
    variational = gaussian_variational_posterior(problem, ALPHA)
    gap = divergence(chain(problem, variational.policy), target)
    assert gap > 0.1
    assert log_evidence - float(variational.log_evidence) == pytest.approx(gap, rel=1e-9)
    np.testing.assert_allclose(variational.dynamics.A, problem.A)
    for name, by in [("gain", 0.01), ("offset", -0.01), ("covariance", 0.003)]:
        other = replace(variational.policy, **{name: getattr(variational.policy, name) + by})
        assert divergence(chain(problem, other), target) > gap


def test_optimism_is_the_gap_at_a_known_start():
    problem = replace(changing_problem(2), initial_covariance=np.zeros((N, N)))
    exact, variational = gaussian_posterior(problem, ALPHA), gaussian_variational_posterior(problem, ALPHA)
    optimism = gaussian_optimism(problem, ALPHA)
    gap = float(exact.log_evidence - variational.log_evidence)
    assert float(optimism.at(0)(problem.initial_mean)) / ALPHA == pytest.approx(gap, rel=1e-10)
    for x in np.random.default_rng(0).normal(size=(5, N)):
        values = np.asarray(optimism(x))
        assert np.all(values[:-1] > 0)
        assert values[-1] == 0
    # Without noise the posteriors are the same.
    sure = replace(problem, W=np.zeros((N, N)))
    np.testing.assert_allclose(gaussian_optimism(sure, ALPHA)(problem.initial_mean), 0, atol=1e-10)
    np.testing.assert_allclose(
        gaussian_posterior(sure, ALPHA).policy.gain, gaussian_variational_posterior(sure, ALPHA).policy.gain, rtol=1e-10
    )


def test_without_a_prior_long_horizons_have_the_stationary_policy():
    """The improper uniform prior of the oracles: P → 1.3237544710."""
    problem = LinearQuadratic(1, 1, 1, 1, W=0.2)
    posterior = gaussian_posterior(problem, 0.3, horizon=40)
    assert posterior.value.P[0].item() == pytest.approx(1.3237544710, abs=1e-10)
    stationary = regulator(problem, 0.3, outcomes="optimistic", objective="average")
    np.testing.assert_allclose(posterior.policy.covariance[0], stationary.policy.covariance, rtol=1e-10)
    assert stationary.average_reward is not None
    rate = float(posterior.value.c[0] - posterior.value.c[1])
    assert rate == pytest.approx(-float(stationary.average_reward), rel=1e-10)


def test_the_evidence_is_differentiable():
    """Its slope by q is −2 E x/α under the posterior, as that of a reward is the visits over α."""
    problem = changing_problem(3)

    def log_evidence(q):
        return gaussian_posterior(replace(problem, q=q), ALPHA).log_evidence

    slope = jax.grad(log_evidence)(jax.numpy.asarray(problem.q))
    means = gaussian_posterior(problem, ALPHA).state_marginals().mean[:-1]
    np.testing.assert_allclose(slope, -2 * means / ALPHA, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"horizon": None}, "`horizon` is required"),
        ({"temperature": 0.0}, "`temperature` must be above 0"),
        ({"discount": 0.9}, "`discount` must be 1"),
    ],
)
def test_mistakes(arguments, words):
    problem = LinearQuadratic(1, 1, 1, 1, discount=arguments.pop("discount", 1.0))
    given = {"temperature": 1.0, "horizon": 3} | arguments
    with pytest.raises(UsageError, match=words):
        gaussian_posterior(problem, **given)
