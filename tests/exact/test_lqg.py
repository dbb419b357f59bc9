"""Hidden states: filtering, smoothing and separation against dense linear algebra, and their dualities."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_discrete_are, solve_discrete_lyapunov
from scipy.stats import multivariate_normal

from entrax.errors import UsageError
from entrax.exact import gaussian_posterior, kalman_filter, lqg, regulator, smooth, stationary_filter
from entrax.problems import LinearPolicy, LinearQuadratic, cart_pole

GOLDEN = (1 + np.sqrt(5)) / 2
SCALAR = LinearQuadratic(1, 1, 1, 1, W=1, C=1, V=1)
T = 5


def hidden_problem(seed: int = 0) -> LinearQuadratic:
    """Two states, one observation, and dynamics and observations that change with time."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(2, 2))
    return LinearQuadratic(
        A=rng.normal(size=(T, 2, 2)),
        B=rng.normal(size=(2, 1)),
        Q=np.eye(2),
        R=1,
        W=noise @ noise.T + 0.1 * np.eye(2),
        drift=rng.normal(size=2),
        C=rng.normal(size=(T, 1, 2)),
        V=0.3 + rng.random(size=(T, 1, 1)),
        initial_mean=rng.normal(size=2),
        initial_covariance=np.array([[1.0, 0.3], [0.3, 0.5]]),
    )


def joint(problem: Any, actions: Any) -> tuple[Any, Any, Any, Any]:
    """Mean and covariance of (x_0, …, x_{T−1}), the matrix that observes them, and its noise."""
    mean, factor = np.zeros(2 * T), np.zeros((2 * T, 2 * T))
    observe, noise = np.zeros((T, 2 * T)), np.zeros((T, T))
    mean[:2], factor[:2, :2] = problem.initial_mean, np.linalg.cholesky(problem.initial_covariance)
    for t in range(T):
        each, here, after = problem.at(t), slice(2 * t, 2 * t + 2), slice(2 * t + 2, 2 * t + 4)
        observe[t, here], noise[t, t] = each.C[0], each.V[0, 0]
        if t < T - 1:
            mean[after] = each.A @ mean[here] + each.B @ actions[t] + each.drift
            factor[after] = each.A @ factor[here]
            factor[after, after] += np.linalg.cholesky(each.W)
    return mean, factor @ factor.T, observe, noise


@pytest.fixture(name="data")
def _data():
    rng = np.random.default_rng(5)
    return hidden_problem(), rng.normal(size=(T, 1)), rng.normal(size=(T, 1))


def test_filter_smoother_and_evidence_are_conditioning(data):
    problem, y, u = data
    mean, covariance, observe, noise = joint(problem, u)
    beliefs, smoothed = kalman_filter(problem, y, u), smooth(problem, y, u)
    log = multivariate_normal(observe @ mean, observe @ covariance @ observe.T + noise).logpdf(y[:, 0])
    assert float(beliefs.log_evidence) == pytest.approx(log, rel=1e-11)
    for t in range(T):
        here = slice(2 * t, 2 * t + 2)
        for seen, belief in [(t, beliefs.predicted), (t + 1, beliefs.filtered), (T, smoothed)]:
            c = observe[:seen]
            gain = covariance @ c.T @ np.linalg.inv(c @ covariance @ c.T + noise[:seen, :seen])
            expected = mean + gain @ (y[:seen, 0] - c @ mean)
            spread = covariance - gain @ c @ covariance
            np.testing.assert_allclose(belief.mean[t], expected[here], rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(belief.covariance[t], spread[here, here], rtol=1e-9, atol=1e-10)


def test_smoothing_is_the_exact_posterior_of_a_problem_without_control(data):
    """With the cost −α log p(y|x), and actions that have no effect, p(x|O) is p(x|y)."""
    problem, y, u = data
    alpha = 0.7
    weight = np.swapaxes(problem.C, 1, 2) / problem.V
    inference = replace(
        problem,
        B=np.zeros((2, 1)),
        Q=alpha / 2 * weight @ problem.C,
        R=np.zeros((1, 1)),
        q=-alpha / 2 * (weight @ y[..., None])[..., 0],
        constant=alpha / 2 * ((y[:, 0] ** 2) / problem.V[:, 0, 0] + np.log(2 * np.pi * problem.V[:, 0, 0])),
        drift=problem.drift + (u @ problem.B.T),
        prior=LinearPolicy(np.zeros((1, 2)), covariance=[[1.0]]),
    )
    posterior, smoothed = gaussian_posterior(inference, alpha), smooth(problem, y, u)
    marginals = posterior.state_marginals()
    np.testing.assert_allclose(marginals.mean[:-1], smoothed.mean, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(marginals.covariance[:-1], smoothed.covariance, rtol=1e-9, atol=1e-10)
    assert float(posterior.log_evidence) == pytest.approx(float(kalman_filter(problem, y, u).log_evidence), rel=1e-10)


def test_the_filter_of_the_golden_ratio():
    steady = stationary_filter(SCALAR)
    assert steady.predicted_covariance.item() == pytest.approx(GOLDEN, rel=1e-14)
    assert steady.gain.item() == pytest.approx(1 / GOLDEN, rel=1e-14)
    assert steady.converged
    beliefs = kalman_filter(SCALAR, np.zeros((60, 1)))
    assert beliefs.predicted.covariance[-1].item() == pytest.approx(GOLDEN, rel=1e-12)
    assert steady.update([1.0], [2.0]) == pytest.approx(1 + 1 / GOLDEN)
    assert steady.predict([1.0], [2.0]) == pytest.approx(3)


def test_the_variances_are_those_of_the_dual_regulator():
    """Π_t of the filter is P of the regulator with Aᵀ, Cᵀ, W and V and t decisions left."""
    rng = np.random.default_rng(1)
    problem = replace(
        cart_pole(), W=np.eye(4) * 1e-2, C=rng.normal(size=(2, 4)), V=np.eye(2), initial_covariance=0.5 * np.eye(4)
    )
    dual = LinearQuadratic(
        problem.A.T, np.asarray(problem.C).T, problem.W, np.asarray(problem.V), final_Q=0.5 * np.eye(4)
    )
    predicted = kalman_filter(problem, np.zeros((9, 2))).predicted.covariance
    np.testing.assert_allclose(predicted, regulator(dual, 0.0, horizon=8).value.P[::-1], rtol=1e-9, atol=1e-11)
    steady = stationary_filter(problem)
    expected = solve_discrete_are(problem.A.T, np.asarray(problem.C).T, problem.W, np.asarray(problem.V))
    np.testing.assert_allclose(steady.predicted_covariance, expected, rtol=1e-8, atol=1e-10)
    assert steady.error_bound < 1e-6


def test_separation_against_the_closed_loop():
    """The average reward of filter and policy together, from the stationary covariance of (x, x̂) by Lyapunov."""
    rng = np.random.default_rng(2)
    problem = replace(cart_pole(noise=0.5), C=rng.normal(size=(2, 4)), V=0.01 * np.eye(2))
    alpha = 0.05
    solution = lqg(problem, alpha, objective="average")
    assert solution.filter is not None
    k, s = np.asarray(solution.control.policy.gain), np.asarray(solution.control.policy.covariance)
    gain, a, b, c = np.asarray(solution.filter.gain), problem.A, problem.B, np.asarray(problem.C)
    # State (x, μ) with the predicted mean μ: x̂ = μ + L(Cx + v − Cμ), u = −K x̂ + e.
    update = np.eye(4) - gain @ c
    act = np.hstack([-k @ gain @ c, -k @ update])
    top = np.hstack([a, np.zeros((4, 4))]) + b @ act
    bottom = np.hstack([a @ gain @ c, a @ update]) + b @ act
    of_v = np.vstack([-b @ k @ gain, (a - b @ k) @ gain])
    of_e, of_w = np.vstack([b, b]), np.vstack([np.eye(4), np.zeros((4, 4))])
    noise = of_v @ problem.V @ of_v.T + of_e @ s @ of_e.T + of_w @ problem.W @ of_w.T
    both = solve_discrete_lyapunov(np.vstack([top, bottom]), noise)
    actions = act @ both @ act.T + k @ gain @ problem.V @ gain.T @ k.T + s
    cost = np.trace(problem.Q @ both[:4, :4]) + np.trace(problem.R @ actions)
    entropy = 0.5 * np.log(2 * np.pi * np.e * s.item())
    assert solution.average_reward is not None
    assert float(solution.average_reward) == pytest.approx(alpha * entropy - cost, rel=1e-8)
    assert float(solution.cost_of_uncertainty) > 0


def test_separation_over_a_horizon():
    """A recursion for the joint covariance of (x, x̂) gives the same expected return."""
    problem = replace(hidden_problem(3), discount=0.9, final_Q=np.eye(2), q=np.array([0.3, -0.2]))
    solution = lqg(problem, 0.4)
    beliefs = kalman_filter(problem, np.zeros((T, 1)))
    mean: Any = problem.initial_mean
    spread: Any = np.zeros((2, 2))  # of x̂ before y_t
    total = 0.0
    for t in range(T):
        each, policy = problem.at(t), solution.control.policy.at(t)
        predicted, filtered = beliefs.predicted.covariance[t], beliefs.filtered.covariance[t]
        spread = spread + predicted - filtered  # what y_t adds to the variance of x̂
        k, s = policy.gain, policy.covariance
        second = spread + filtered + np.outer(mean, mean)
        u = policy.mean(mean)
        cost = np.trace(each.Q @ second) + 2 * each.q @ mean + float(each.constant)
        cost += np.trace(each.R @ (k @ spread @ k.T + s + np.outer(u, u)))
        total += 0.9**t * (0.4 * 0.5 * np.log(2 * np.pi * np.e * s.item()) - float(cost))
        closed = each.A - each.B @ k
        mean = each.A @ mean + each.B @ u + each.drift
        spread = closed @ spread @ closed.T + each.B @ s @ each.B.T
        last = each.A @ filtered @ each.A.T + each.W
    total -= 0.9**T * float(np.trace(spread + last) + mean @ mean)
    assert solution.expected_return is not None
    assert float(solution.expected_return) == pytest.approx(total, rel=1e-10)


def test_gradients_of_the_evidence(data):
    problem, y, u = data

    def log_evidence(scale):
        return kalman_filter(replace(problem, W=problem.W * scale, C=problem.C * scale), y, u).log_evidence

    numeric = (log_evidence(1 + 1e-5) - log_evidence(1 - 1e-5)) / 2e-5
    assert float(jax.grad(log_evidence)(1.0)) == pytest.approx(float(numeric), rel=1e-7)

    def variance(scale):
        return jnp.sum(stationary_filter(replace(SCALAR, V=SCALAR.A * scale)).predicted_covariance)

    numeric = (variance(1 + 1e-5) - variance(1 - 1e-5)) / 2e-5
    assert float(jax.grad(variance)(1.0)) == pytest.approx(float(numeric), rel=1e-8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kalman_filter(LinearQuadratic(1, 1, 1, 1), [[0.0]]), "no observations"),
        (lambda: kalman_filter(SCALAR, [0.0]), "`observations`.*shape"),
        (lambda: kalman_filter(hidden_problem(), [[0.0]]), r"`observations`.*\(5, 1\)"),
        (lambda: kalman_filter(SCALAR, [[0.0]], [[0.0, 1.0]]), "`actions`"),
        (lambda: stationary_filter(hidden_problem()), "does not change with time"),
        (lambda: stationary_filter(replace(SCALAR, C=np.zeros((1, 1)))), "no observation shows"),
        (lambda: stationary_filter(replace(SCALAR, W=np.zeros((1, 1)))), "no noise"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_smoothing_needs_no_noise_of_the_process():
    """The state is known at first and nothing moves it: observations change no belief."""
    problem = LinearQuadratic(A=1, B=1, Q=1, R=1, C=1, V=1)
    smoothed = smooth(problem, np.array([[1.0], [2.0], [-1.0]]))
    np.testing.assert_array_equal(smoothed.mean, np.zeros((3, 1)))
    np.testing.assert_array_equal(smoothed.covariance, np.zeros((3, 1, 1)))


def test_smoothing_an_unknown_constant_is_the_mean_of_its_observations():
    """x does not change: with the prior N(0, 4) and noise of variance 1 its posterior precision is 1/4 + 3."""
    problem = LinearQuadratic(A=1, B=1, Q=1, R=1, C=1, V=1, initial_covariance=[[4.0]])
    smoothed = smooth(problem, np.array([[1.0], [2.0], [-1.0]]))
    np.testing.assert_allclose(smoothed.mean, np.full((3, 1), 2.0 / 3.25), rtol=1e-13)
    np.testing.assert_allclose(smoothed.covariance, np.full((3, 1, 1), 1 / 3.25), rtol=1e-13)
