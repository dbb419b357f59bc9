"""The maximum-entropy regulator against closed forms, SciPy, quadrature and the definition of its backup."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import solve_discrete_are

from entrax.errors import UsageError
from entrax.exact import regulator
from entrax.exact.riccati import suffixes
from entrax.problems import LinearPolicy, LinearQuadratic, cart_pole, double_integrator, mass_spring_chain

GOLDEN = (1 + np.sqrt(5)) / 2
SCALAR = LinearQuadratic(1, 1, 1, 1, W=0.2)


def changed(problem: LinearQuadratic, **entries: Any) -> LinearQuadratic:
    return replace(problem, **entries)


def random_problem(n: int, m: int, seed: int, **options) -> LinearQuadratic:
    """A stabilisable problem with an unstable mode, every kind of cost, and drift."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, n)), rng.normal(size=(n, m))
    a *= 1.1 / np.abs(np.linalg.eigvals(a)).max()
    root, noise = rng.normal(size=(n + m, n + m)), rng.normal(size=(n, n))
    cost = root @ root.T / (n + m)
    entries: dict[str, Any] = {
        "N": cost[:n, n:],
        "W": noise @ noise.T / n,
        "q": rng.normal(size=n),
        "r": rng.normal(size=m),
    }
    entries |= {"drift": rng.normal(size=n), "constant": 0.7, "discount": 0.95}
    return LinearQuadratic(a, b, cost[:n, :n], cost[n:, n:], **(entries | options))


def test_the_golden_ratio():
    solution = regulator(changed(SCALAR, W=0), 0.0)
    assert solution.value.P.item() == pytest.approx(GOLDEN, rel=1e-14)
    assert solution.policy.gain.item() == pytest.approx(1 / GOLDEN, rel=1e-14)
    assert solution.value.c == 0
    average = regulator(SCALAR, 0.3, objective="average")
    assert average.value.P.item() == pytest.approx(GOLDEN, rel=1e-14)
    assert average.policy.covariance.item() == pytest.approx(0.1909830 * 0.3, rel=1e-6)


def test_the_discounted_problem_of_the_oracles():
    solution = regulator(replace(SCALAR, discount=0.9), 0.3)
    assert solution.value.P.item() == pytest.approx(1.5884033490, abs=1e-10)
    assert solution.policy.gain.item() == pytest.approx(0.5884033490, abs=1e-10)
    assert solution.policy.covariance.item() == pytest.approx(0.2057983255 * 0.3, abs=1e-10)
    assert float(solution.value.c) == pytest.approx(4.2795575233, abs=1e-10)
    assert solution.converged
    assert solution.error_bound < 1e-12


@pytest.mark.parametrize(("n", "m", "seed"), [(1, 1, 0), (3, 2, 1), (6, 1, 2), (8, 4, 3)])
def test_against_scipy(n, m, seed):
    """P by SciPy; p and c by what they must satisfy, the soft Bellman equation at random points."""
    problem = random_problem(n, m, seed)
    solution = regulator(problem, 0.4)
    scale = np.sqrt(problem.discount)
    expected = solve_discrete_are(scale * problem.A, scale * problem.B, problem.Q, problem.R, s=problem.N)
    np.testing.assert_allclose(solution.value.P, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())
    size = np.abs(expected).max() + abs(float(solution.value.c))
    assert np.abs(expected - solution.value.P).max() <= solution.error_bound <= 1e-8 * size
    assert np.abs(np.linalg.eigvals(scale * solution.closed_loop)).max() < 1
    for x in np.random.default_rng(0).normal(size=(5, n)):
        assert float(solution.value(x)) == pytest.approx(soft_backup(problem, solution, x, 0.4), rel=1e-11)


def soft_backup(problem, solution, x, alpha):
    """α log ∫ exp(Q/α) du at x by completing the square at the mean of the policy, written without `riccati`."""
    v, u = solution.value, np.asarray(solution.policy.mean(x))

    def q(u):
        mean = problem.A @ x + problem.B @ u + problem.drift
        cost = x @ problem.Q @ x + 2 * x @ problem.N @ u + u @ problem.R @ u
        cost += 2 * problem.q @ x + 2 * problem.r @ u + problem.constant
        return float(-cost + problem.discount * (v(mean) - np.trace(v.P @ problem.W)))

    moves = np.eye(len(u))
    m = problem.R + problem.discount * problem.B.T @ np.asarray(v.P) @ problem.B
    for move in moves:  # u is the maximum of Q
        assert q(u + 1e-3 * move) == pytest.approx(q(u - 1e-3 * move), rel=1e-9)
    return float(q(u)) + alpha / 2 * (len(u) * np.log(np.pi * alpha) - np.linalg.slogdet(m)[1])


@pytest.mark.parametrize("outcomes", ["expected", "optimistic", "pessimistic"])
def test_the_backup_is_the_integral_that_defines_it(outcomes):
    """One decision in one dimension, by quadrature over the action and the noise."""
    alpha, prior = 3.0, LinearPolicy([[0.3]], [0.2], [[0.7]])
    problem = LinearQuadratic(
        0.8, 0.5, 1, 0.4, N=0.2, W=0.3, q=0.1, r=-0.3, constant=0.5, drift=0.2, final_Q=1.5, final_q=0.4,
        final_constant=0.1, prior=prior, horizon=1,
    )  # fmt: skip
    sign = {"expected": 0, "optimistic": 1, "pessimistic": -1}[outcomes]

    def q(x, u):
        def last(w):
            y = 0.8 * x + 0.5 * u + 0.2 + np.sqrt(0.3) * w
            return -(1.5 * y**2 + 0.8 * y + 0.1)

        def weighted(w):
            density = np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi)
            return density * (last(w) if sign == 0 else np.exp(sign * last(w) / alpha))

        after = quad(weighted, -12, 12, epsabs=1e-13, epsrel=1e-13)[0]
        after = after if sign == 0 else sign * alpha * np.log(after)
        return after - (x**2 + 0.4 * x * u + 0.4 * u**2 + 0.2 * x - 0.6 * u + 0.5)

    def integrand(u, x):
        density = np.exp(-((u + 0.3 * x - 0.2) ** 2) / 1.4) / np.sqrt(1.4 * np.pi)
        return density * np.exp(q(x, u) / alpha)

    solution = regulator(problem, alpha, outcomes=outcomes)
    for x in (-0.7, 0.0, 1.3):
        expected = alpha * np.log(quad(integrand, -10, 10, args=(x,), epsabs=1e-12, epsrel=1e-12)[0])
        assert float(solution.value.at(0)([x])) == pytest.approx(expected, rel=1e-9)
        mean = quad(lambda u, x: u * integrand(u, x), -10, 10, args=(x,))[0] / np.exp(expected / alpha)
        assert float(solution.policy.at(0).mean([x])[0]) == pytest.approx(mean, rel=1e-7)


def test_the_optimist_believes_in_noise_that_helps():
    optimist = regulator(SCALAR, 0.3, outcomes="optimistic", objective="average")
    assert optimist.value.P.item() == pytest.approx(1.3237544710, abs=1e-10)
    assert optimist.converged
    for ratio in (1e-3, 1e-6):
        near = regulator(changed(SCALAR, W=0.3 * ratio), 0.3, outcomes="optimistic", objective="average")
        assert near.value.P.item() == pytest.approx(GOLDEN, rel=5 * ratio)
        assert near.value.P.item() < GOLDEN


def test_the_risk_averse_twin_breaks_down():
    twin = regulator(SCALAR, 3.0, outcomes="pessimistic", objective="average")
    p = twin.value.P.item()
    worse = p / (1 - 2 * p * 0.2 / 3.0)
    assert p == pytest.approx(1 + worse / (1 + worse), rel=1e-13)
    assert p > GOLDEN
    assert twin.converged
    for alpha in (0.3, 0.4):
        with pytest.raises(UsageError, match=r"pessimistic.*1 − 2PW/α must be positive"):
            regulator(SCALAR, alpha, outcomes="pessimistic", objective="average")
    with pytest.raises(UsageError, match=r"pessimistic.*at decision"):
        regulator(SCALAR, 0.3, outcomes="pessimistic", horizon=8)


def test_a_horizon_is_soft_value_iteration():
    """T sweeps of V ← T V from the final value, and in the limit of a long horizon the stationary value."""
    problem = random_problem(3, 2, 5)
    solution = regulator(problem, 0.4, horizon=400)
    assert solution.error_bound < 1e-6
    stationary = regulator(problem, 0.4)
    for t in (0, 50):
        np.testing.assert_allclose(solution.value.P[t], stationary.value.P, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(solution.policy.gain[t], stationary.policy.gain, rtol=1e-9, atol=1e-10)
    assert float(solution.value.c[0]) == pytest.approx(float(stationary.value.c), rel=1e-6)
    p: Any = np.zeros((3, 3))
    for t in reversed(range(400)):  # the Riccati equation of the oracles, with N
        g = problem.discount
        m = problem.R + g * problem.B.T @ p @ problem.B
        slope = problem.N.T + g * problem.B.T @ p @ problem.A
        p = problem.Q + g * problem.A.T @ p @ problem.A - slope.T @ np.linalg.solve(m, slope)
        p = (p + p.T) / 2
        np.testing.assert_allclose(solution.value.P[t], p, rtol=1e-10, atol=1e-10)


def changing_problem(horizon: int = 7) -> LinearQuadratic:
    """A problem of which every entry changes with time."""
    stages = [random_problem(3, 2, seed, discount=1.0) for seed in range(horizon)]
    rng = np.random.default_rng(9)
    prior = LinearPolicy(rng.normal(size=(horizon, 2, 3)), covariance=0.5 * np.eye(2))
    names = ("A", "B", "Q", "R", "N", "W", "q", "r", "drift")
    entries: dict[str, Any] = {name: np.stack([getattr(stage, name) for stage in stages]) for name in names}
    entries["constant"] = rng.normal(size=horizon)
    return LinearQuadratic(**entries, final_Q=np.eye(3), final_q=np.ones(3), final_constant=2.0, prior=prior)


@pytest.mark.parametrize("outcomes", ["expected", pytest.param("optimistic", marks=pytest.mark.long)])
def test_the_associative_scan_is_the_scan(outcomes):
    problem = changing_problem()
    one, other = (regulator(problem, 2.0, method=name, outcomes=outcomes) for name in ("scan", "associative"))
    assert one.method == "scan"
    for a, b in zip(
        jax.tree.leaves((one.value, one.policy)), jax.tree.leaves((other.value, other.policy)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    assert one.converged
    assert other.converged


@pytest.mark.parametrize("time", [1, 2, 3, 7, 9, 10])
def test_suffixes_in_blocks(time):
    """Products of matrices do not commute, so that order and padding matter."""
    matrices = np.random.default_rng(time).normal(size=(time, 2, 2))
    products = suffixes(jnp.matmul, jnp.asarray(matrices), jnp.eye(2))
    expected = np.eye(2)
    for t in reversed(range(time)):
        expected = matrices[t] @ expected
        np.testing.assert_allclose(products[t], expected, rtol=1e-12)


@pytest.mark.long
def test_a_long_horizon_by_both_scans():
    problem = double_integrator(discount=0.99)
    one, other = (regulator(problem, 0.1, method=name, horizon=100_000) for name in ("scan", "associative"))
    for a, b in zip(
        jax.tree.leaves((one.value, one.policy)), jax.tree.leaves((other.value, other.policy)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    stationary = regulator(problem, 0.1)
    np.testing.assert_allclose(one.value.P[0], stationary.value.P, rtol=1e-9)
    assert one.error_bound < 1e-6


def test_the_certificate_notices_errors():
    """A value that is wrong by 1e-6 has a bound of at least that."""
    from entrax.exact.regulator import _decision
    from entrax.exact.riccati import as_arrays
    from entrax.exact.riccati_certificate import stationary_bound

    problem = random_problem(4, 2, 7)
    solution = regulator(problem, 0.4)
    now = _decision(as_arrays(problem), jnp.asarray(0.4))
    v = solution.value
    p = jnp.block([[v.P, v.p[:, None]], [v.p, v.c]])

    @jax.jit
    def bound(p, c):
        return stationary_bound(now, p, c, 0, False)

    assert bound(p, v.c) == pytest.approx(float(solution.error_bound), rel=1e-3)
    for i, j in ((0, 0), (1, 2), (2, 4)):
        wrong = p.at[i, j].add(1e-6).at[j, i].add(0.0 if i == j else 1e-6)
        assert 1e-6 <= bound(wrong, v.c) < np.inf
    assert bound(p, v.c + 1e-6) >= 1e-6
    assert bound(p + jnp.eye(5), v.c) >= 1


def test_the_policy_of_the_kl_convention():
    """With Q = 0, R = 0 and a prior, nothing is gained: the policy is the prior and V = 0."""
    prior = LinearPolicy([[0.9, 0.1]], [0.3], [[0.5]])
    free = LinearQuadratic(0.5 * np.eye(2), [[0], [1.0]], np.zeros((2, 2)), 0, W=np.eye(2), prior=prior, discount=0.9)
    solution = regulator(free, 0.7)
    np.testing.assert_allclose(solution.policy.gain, prior.gain, rtol=1e-12)
    np.testing.assert_allclose(solution.policy.offset, prior.offset, rtol=1e-12)
    np.testing.assert_allclose(solution.policy.covariance, prior.covariance, rtol=1e-12)
    np.testing.assert_allclose(solution.value.P, 0, atol=1e-12)
    assert float(solution.value.c) == pytest.approx(0, abs=1e-11)
    # Towards temperature 0 the prior loses its influence.
    problem = replace(cart_pole(discount=0.99), prior=LinearPolicy(np.zeros((1, 4)), covariance=[[1.0]]))
    cold, hard = regulator(problem, 1e-9), regulator(problem, 0.0)
    np.testing.assert_allclose(cold.policy.gain, hard.policy.gain, rtol=1e-5)
    assert not np.any(hard.policy.covariance)


def test_costs_of_a_chain_follow_its_scale():
    """Rewards c·r at temperature c·α have the same policy."""
    problem = mass_spring_chain(3, discount=0.98)
    scaled = replace(problem, Q=7 * problem.Q, R=7 * problem.R)
    one, other = regulator(problem, 0.2), regulator(scaled, 1.4)
    np.testing.assert_allclose(one.policy.gain, other.policy.gain, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.policy.covariance, other.policy.covariance, rtol=1e-9, atol=1e-12)
    assert float(other.value.c) == pytest.approx(7 * float(one.value.c), rel=1e-9)


def test_cheap_control_needs_no_cost_of_actions():
    """With R = 0 the best control of x' = A x + u is u = −A x, and P = Q."""
    problem = LinearQuadratic([[1.5, 1], [0, 2]], np.eye(2), np.eye(2), np.zeros((2, 2)))
    solution = regulator(problem, 0.0)
    np.testing.assert_allclose(solution.value.P, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(solution.policy.gain, problem.A, rtol=1e-12)
    assert solution.converged


@pytest.mark.parametrize("objective", ["discounted", "average"])
def test_gradients_are_finite_differences(objective):
    problem = random_problem(3, 2, 11, discount=0.9)

    def loss(theta):
        alpha, scale, width, g = theta
        other = changed(
            problem, A=problem.A * scale, R=problem.R * scale**2, W=problem.W * width, q=problem.q * width, discount=g
        )
        s = regulator(other, alpha, objective=objective)
        total = jnp.sum(s.value.P * s.value.P) + jnp.sum(s.value.p**3) + jnp.sum(s.policy.gain) + s.policy.offset[0]
        return total + (s.value.c if s.average_reward is None else s.average_reward)

    theta = jnp.array([0.5, 1.0, 1.0, 0.9])
    gradient = np.asarray(jax.jit(jax.grad(loss))(theta))
    for i, move in enumerate(1e-5 * np.eye(4)):
        numeric = (loss(theta + move) - loss(theta - move)) / 2e-5
        assert gradient[i] == pytest.approx(float(numeric), rel=1e-6, abs=1e-6)


@pytest.mark.long
def test_gradients_of_horizons_and_second_derivatives():
    problem = random_problem(2, 1, 12, discount=0.9)

    def stationary(scale):
        return jnp.sum(regulator(replace(problem, A=problem.A * scale), 0.3).value.P)

    def over_time(scale, method):
        other = changed(problem, A=problem.A * scale)
        return jnp.sum(regulator(other, 0.3, horizon=4, method=method).value.c)

    second = jax.grad(jax.grad(stationary))(1.0)
    slope = jax.grad(stationary)
    assert float(second) == pytest.approx(float(slope(1 + 1e-5) - slope(1 - 1e-5)) / 2e-5, rel=1e-6)
    for method in ("scan", "associative"):
        numeric = (over_time(1 + 1e-5, method) - over_time(1 - 1e-5, method)) / 2e-5
        assert float(jax.grad(over_time)(1.0, method)) == pytest.approx(float(numeric), rel=1e-6)


@pytest.mark.parametrize(
    ("problem", "arguments", "words"),
    [
        (LinearQuadratic(np.diag([1.2, 0.5]), [[0.0], [1]], np.eye(2), 1), {}, "not stabilisable.*1.2"),
        (LinearQuadratic(np.diag([1.2, 0.5]), [[1.0], [1]], np.diag([0, 1]), 1), {}, "not detectable.*1.2"),
        (LinearQuadratic(1, 1, 0, 1), {}, "not detectable.*1"),
        (LinearQuadratic(1, 0, 1, 0, discount=0.9), {}, "M = .*positive definite"),
        (LinearQuadratic(1, 1, 1, 0, horizon=3), {}, "M = .*positive definite at decision 2"),
        (LinearQuadratic(1, 1, 1, 0, horizon=3, final_Q=1), {"method": "associative"}, "associative.*`R`"),
        (SCALAR, {}, "infinite with noise.*average"),
        (changed(SCALAR, W=0, q=1), {}, "infinite with a linear"),
        (SCALAR, {"temperature": -1.0}, "`temperature`"),
        (SCALAR, {"outcomes": "lucky"}, "`outcomes`"),
        (SCALAR, {"outcomes": "optimistic", "temperature": 0.0}, "`temperature`.*above 0"),
        (replace(SCALAR, discount=0.9), {"outcomes": "optimistic", "temperature": 1.0}, "`discount` must be 1"),
        (SCALAR, {"objective": "average", "horizon": 3}, "`horizon`"),
        (SCALAR, {"horizon": 3, "method": "newton"}, "`method`"),
        (SCALAR, {"objective": "average", "method": "scan"}, "`method`"),
    ],
)
def test_problems_without_an_answer_are_refused(problem, arguments, words):
    with pytest.raises(UsageError, match=words):
        regulator(problem, arguments.pop("temperature", 0.0), **arguments)


def test_needs_64_bits():
    with jax.enable_x64(False), pytest.raises(UsageError, match="64-bit"):
        regulator(SCALAR, 0.0)
