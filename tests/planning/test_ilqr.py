"""Iterative LQR against the regulator, and on problems that are not linear-quadratic."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.exact import regulator
from entrax.planning import IterativeLQR, Lookahead, linear_quadratic_lookahead, model_of, optimise
from entrax.planning.ilqr import STEP_SIZES
from entrax.policies.controller import FINISHED
from entrax.problems import LinearQuadratic
from entrax.problems.lq_library import pendulum_step

HORIZON, ALPHA = 12, 0.3


def problem(seed: int, discount: float = 1.0) -> LinearQuadratic:
    rng = np.random.default_rng(seed)
    n, m = 3, 2
    root = rng.normal(size=(n + m, n + m))
    cost = root @ root.T + 0.1 * np.eye(n + m)
    linear: dict[str, Any] = {
        name: rng.normal(size=size) for name, size in {"q": n, "r": m, "drift": n, "final_q": n}.items()
    }
    return LinearQuadratic(
        rng.normal(size=(n, n)) / np.sqrt(n),
        rng.normal(size=(n, m)),
        cost[:n, :n],
        cost[n:, n:],
        N=cost[:n, n:],
        final_Q=2 * np.eye(n),
        discount=discount,
        **linear,
    )


@eqx.filter_jit
def compiled(lookahead, state, plan, temperature, iterations, tolerance):
    return optimise(lookahead, state, plan, temperature, iterations=iterations, tolerance=tolerance)


def test_one_iteration_is_exact_on_a_linear_quadratic_problem():
    exact = regulator(lq := problem(0, 0.8), ALPHA, horizon=HORIZON)
    start, plan = jnp.array([1.0, -2.0, 0.5]), jr.normal(jr.key(0), (HORIZON, 2))
    lookahead = linear_quadratic_lookahead(lq, HORIZON)
    result = solve(lookahead, start, plan, ALPHA, 1)

    hard = regulator(lq, 0.0, horizon=HORIZON)
    assert -result.trajectory.cost == pytest.approx(hard.value.at(0)(start).item(), rel=1e-12)
    np.testing.assert_allclose(result.policy.gain, exact.policy.gain, atol=1e-10)
    np.testing.assert_allclose(result.policy.covariance, exact.policy.covariance, atol=1e-12)
    np.testing.assert_allclose(result.policy.offset, 0, atol=1e-10)
    for t in range(HORIZON):
        mean = exact.policy.at(t).mean(result.trajectory.states[t])
        np.testing.assert_allclose(result.trajectory.plan[t], mean, atol=1e-10)
    assert solve(lookahead, start, plan, ALPHA, 100).iterations == 2  # the second changes nothing


def swing_up(horizon: int) -> Lookahead:
    def cost(x, u):
        return 10 * (1 - jnp.cos(x[0])) + 0.1 * x[1] ** 2 + 0.01 * jnp.sum(u**2)

    return Lookahead(model_of(pendulum_step, cost), 1, horizon, bounds="none")


def solve(lookahead, state, plan, temperature=0.0, iterations=100, tolerance=1e-9):
    """One program for all numbers."""
    return compiled(lookahead, state, plan, *map(jnp.asarray, (temperature, iterations, tolerance)))


def test_a_nonlinear_plan_is_stationary():
    lookahead = swing_up(25)
    start, plan = jnp.array([1.2, 0.0]), jnp.zeros((25, 1))
    result = solve(lookahead, start, plan)
    assert result.converged
    assert result.iterations < 60
    slope = jax.grad(lambda plan: lookahead.returns(start, plan, jr.key(0)))
    assert np.abs(slope(result.trajectory.plan)).max() < 1e-3 * np.abs(slope(plan)).max()
    assert -result.trajectory.cost == pytest.approx(lookahead.returns(start, result.trajectory.plan, jr.key(0)).item())
    np.testing.assert_allclose(result.policy.offset, 0, atol=1e-3)


def test_the_cost_never_rises_and_the_line_search_is_needed():
    lookahead, start = swing_up(25), jnp.array([np.pi - 0.3, 0.0])
    costs = [float(solve(lookahead, start, jnp.zeros((25, 1)), iterations=i).trajectory.cost) for i in (1, 2, 4, 8, 16)]
    assert all(later <= earlier for earlier, later in pairwise(costs))
    assert costs[-1] < 0.9 * costs[0]
    assert STEP_SIZES[0] == 1


def test_an_action_without_effect_and_cost_is_regularised():
    model = model_of(lambda x, u: x + u[:1], lambda x, u: jnp.sum(x**2) + u[0] ** 2)
    result = solve(Lookahead(model, 2, 4, bounds="none"), jnp.ones(1), jnp.ones((4, 2)))
    assert result.converged
    exact = regulator(LinearQuadratic(1, 1, 1, 1), 0.0, horizon=4)
    assert result.trajectory.cost == pytest.approx(exact.value.P[0].item())
    np.testing.assert_array_equal(result.trajectory.plan[:, 1], 1.0)
    np.testing.assert_allclose(result.policy.gain[0, 0], exact.policy.gain[0, 0], rtol=1e-5)


def test_decisions_are_draws_from_the_regulators_policy():
    lq = problem(1)
    exact = regulator(lq, ALPHA, horizon=HORIZON).policy.at(0)
    planner = IterativeLQR(linear_quadratic_lookahead(lq, HORIZON), ALPHA, iterations=2)
    state, carry = jnp.array([0.3, 0.1, -1.0]), planner.initial_carry()
    act = eqx.filter_jit(lambda key, greedy: planner.act(carry, state, FINISHED, key, greedy)[0])
    np.testing.assert_allclose(act(None, True), exact.mean(state), atol=1e-10)
    drawn = eqx.filter_jit(jax.vmap(lambda key: act(key, False)))(jr.split(jr.key(0), 4000))
    np.testing.assert_allclose(drawn.mean(0), exact.mean(state), atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), exact.covariance, atol=0.1 * np.abs(exact.covariance).max())


def test_usage_errors():
    lookahead = linear_quadratic_lookahead(problem(0), HORIZON)
    with pytest.raises(UsageError, match=r"`bounds`.*clip"):
        IterativeLQR(replace(lookahead, bounds="clip"))
    with pytest.raises(UsageError, match="vector"):
        optimise(lookahead, {"position": jnp.zeros(3)}, jnp.zeros((HORIZON, 2)))
    with pytest.raises(UsageError, match="temperature"):
        IterativeLQR(lookahead, -0.1)
