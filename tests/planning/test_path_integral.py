"""Path integral control against the exact regulator, Kappen's closed form and the limits of its temperature."""

from dataclasses import replace
from functools import partial
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
from entrax.planning import Coloured, Lookahead, PathIntegral, Splines, White, linear_quadratic_lookahead, model_of
from entrax.planning.path_integral import effective_samples, log_ratio
from entrax.problems import LinearPolicy, LinearQuadratic, double_integrator
from entrax.soft import soft_policy

HORIZON, ALPHA = 5, 1.0
START = np.array([1.0, -0.5])
PROBLEM = double_integrator(0.5, noise=0.0, action_cost=0.5, final_Q=np.eye(2), horizon=HORIZON)
PLANS = {"zero": np.zeros((HORIZON, 1)), "far": 0.8 * np.cos(np.arange(HORIZON))[:, None]}


def without_action_cost(problem: LinearQuadratic) -> Lookahead:
    return linear_quadratic_lookahead(replace(problem, R=np.zeros_like(problem.R), horizon=None), HORIZON)


def tied(samples: int, alpha: float = ALPHA, **options: Any) -> PathIntegral:
    return PathIntegral(without_action_cost(PROBLEM), alpha, samples=samples, action_cost=PROBLEM.R, **options)


@eqx.filter_jit
def decisions(planner, plan, state, keys):
    return jax.vmap(lambda key: planner.improve(plan, jnp.asarray(state), key))(keys)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_the_first_decision_converges_to_the_regulator_at_the_rate_of_sampling(plan):
    solution = regulator(PROBLEM, ALPHA)
    expected = solution.policy.at(0).mean(START)
    counts, seeds = np.array([64, 512, 4096]), 96
    errors = []
    for n in counts:
        result = decisions(tied(int(n)), jnp.asarray(plan), START, jr.split(jr.key(n), seeds))
        errors.append(np.sqrt(np.mean((result.plan[:, 0] - expected) ** 2)))
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    # the logarithm of an RMSE of 96 normal errors has a standard deviation of 0.07, and so the slope one of 0.025
    assert slope == pytest.approx(-0.5, abs=0.12)
    assert errors[-1] < 0.1
    assert abs((result.plan[:, 0] - expected).mean()) < 5 * errors[-1] / np.sqrt(seeds)


def test_every_step_of_the_plan_and_the_value_are_the_regulators():
    solution = regulator(PROBLEM, ALPHA)
    result = decisions(tied(20_000), jnp.asarray(PLANS["far"]), START, jr.split(jr.key(0), 8))
    state: Any = START
    plan: list[Any] = []
    for t in range(HORIZON):
        plan.append(solution.policy.at(t).mean(state))
        state = PROBLEM.A @ state + PROBLEM.B @ plan[-1]
    np.testing.assert_allclose(result.plan.mean(0), plan, atol=0.03)

    prior = LinearPolicy(np.zeros((1, 2)), None, ALPHA / 2 * np.linalg.inv(PROBLEM.R))
    value = regulator(replace(PROBLEM, R=np.zeros((1, 1)), prior=prior), ALPHA).value.at(0)(START)
    assert result.info["value"].mean() == pytest.approx(value.item(), abs=0.03)


def test_weighted_samples_are_draws_from_the_maximum_entropy_policy():
    policy = regulator(PROBLEM, ALPHA).policy.at(0)
    result = decisions(tied(20_000), jnp.zeros((HORIZON, 1)), START, jr.split(jr.key(1), 8))
    weights = np.exp(result.log_weights)
    mean = np.einsum("ki,kij->kj", weights, result.candidates)
    variance = np.einsum("ki,kij->kj", weights, (result.candidates - mean[:, None]) ** 2)
    assert variance.mean() == pytest.approx(policy.covariance.item(), rel=0.05)


def test_coloured_noise_makes_the_action_cost_one_of_changes():
    """The posterior mean of a plan solves a linear system with the precision of the noise over time."""
    noise = Coloured(1.0)
    basis = noise.basis(HORIZON)
    lookahead = without_action_cost(PROBLEM)

    def cost_of_states(u):
        return -lookahead.returns(jnp.asarray(START), u[:, None], jr.key(0))

    hessian, slope = jax.hessian(cost_of_states)(np.zeros(HORIZON)), jax.grad(cost_of_states)(np.zeros(HORIZON))
    precision = 2 * PROBLEM.R.item() * np.linalg.inv(basis @ basis.T)
    expected = np.linalg.solve(hessian + precision, -slope)
    result = decisions(tied(20_000, noise=noise), jnp.asarray(PLANS["far"]), START, jr.split(jr.key(2), 8))
    np.testing.assert_allclose(result.plan.mean(0)[:, 0], expected, atol=0.03)


def test_the_limits_of_the_temperature():
    lookahead = linear_quadratic_lookahead(replace(PROBLEM, horizon=None), HORIZON)
    plan, key = jnp.asarray(PLANS["far"]), jr.split(jr.key(3), 1)
    results = {}
    for alpha in (0.0, 1e-9, 1e9):
        planner = PathIntegral(lookahead, alpha, std=0.7, samples=50)
        results[alpha] = jax.tree.map(lambda x: x[0], decisions(planner, plan, START, key))
    cold, hot = results[0.0], results[1e9]
    np.testing.assert_allclose(cold.plan, results[1e-9].plan, atol=1e-12)
    assert cold.info["effective_samples"] == pytest.approx(1)
    assert cold.info["collapsed"]
    best = lookahead.returns(jnp.asarray(START), cold.plan, key[0])
    assert cold.info["value"] == pytest.approx(best.item(), abs=1e-12)
    assert np.isclose(cold.plan[0], cold.candidates).any()
    np.testing.assert_allclose(hot.plan[0], hot.candidates.mean(0), atol=1e-6)
    assert hot.info["effective_samples"] == pytest.approx(50)
    assert not hot.info["collapsed"]


def test_free_noise_ends_where_the_full_cost_is_least():
    lookahead = linear_quadratic_lookahead(replace(PROBLEM, horizon=None), HORIZON)
    planner = PathIntegral(lookahead, 0.02, std=0.2, samples=500, iterations=60)
    result = decisions(planner, jnp.zeros((HORIZON, 1)), START, jr.split(jr.key(4), 8))
    expected = regulator(PROBLEM, 0.0).policy.at(0).mean(START)
    assert result.plan[:, 0].mean() == pytest.approx(expected.item(), abs=0.03)


NU, SIGMA, STEPS = 0.5, 0.3, 20


def kappen(time: float, steps: int = STEPS) -> Lookahead:
    """dx = u dt + dξ with Var dξ = ν dt: the action contains the noise, and its cost is ½u² dt."""

    def model(x, u, key):
        return x + u[0] * time / steps, jnp.zeros(()), jnp.asarray(False)

    def end(x):
        return NU * jax.nn.logsumexp(-((x - jnp.array([-1.0, 1.0])) ** 2) / (2 * SIGMA**2))

    return Lookahead(model, action_size=1, horizon=steps, final_reward=end, bounds="none")


def optimal(x, time):
    """u*(x, T) of the oracle."""
    late = time + SIGMA**2 / NU
    return (jnp.tanh(x / (NU * late)) - x) / late


@pytest.mark.parametrize("time", [0.5, 4.0])
def test_kappens_closed_form(time):
    planner = PathIntegral(kappen(time), NU, action_cost=0.5 * time / STEPS, samples=20_000)
    for x in (0.3, -1.2):
        result = decisions(planner, jnp.zeros((STEPS, 1)), jnp.asarray(x), jr.split(jr.key(5), 8))
        # the posterior mean of every step is the same; their average has less noise than the first alone
        assert result.plan.mean() == pytest.approx(optimal(x, time).item(), abs=0.03)


def test_the_effective_sample_size_falls_as_more_control_is_needed():
    planner = PathIntegral(kappen(1.0), NU, action_cost=0.5 / STEPS, samples=2000)
    sizes = []
    for x in (1.0, 2.0, 3.0, 4.0):
        result = decisions(planner, jnp.zeros((STEPS, 1)), jnp.asarray(x), jr.split(jr.key(6), 8))
        sizes.append(result.info["effective_samples"].mean())
    assert all(more > 1.5 * less for more, less in pairwise(sizes))


@partial(jax.jit, static_argnums=(0, 1))
def controlled_log_weights(steps: int, samples: int = 1000) -> jax.Array:
    """α log w of paths under u*, from the planner's own ratio."""
    time, dt = 1.0, 1.0 / steps
    lookahead, cost, eye = kappen(time, steps), jnp.full((1, 1), 0.5 * dt), jnp.eye(steps)

    def one(key):
        noise = jnp.sqrt(NU / dt) * jr.normal(key, (steps,))

        def forward(x, each):
            noise, left = each
            u = optimal(x, left)
            return x + (u + noise) * dt, u

        _, control = jax.lax.scan(forward, jnp.asarray(0.4), (noise, time - dt * jnp.arange(steps)))
        plan, noise = control[:, None], noise[:, None]
        return lookahead.returns(jnp.asarray(0.4), plan + noise, key) + log_ratio(plan, noise, eye, cost)

    return jax.vmap(one)(jr.split(jr.key(7), samples))


def test_under_the_optimal_control_the_weights_become_equal():
    fine, coarse = (np.var(controlled_log_weights(steps) / NU) for steps in (200, 25))
    assert fine < 0.04
    assert coarse / fine == pytest.approx(8, rel=0.4)  # proportional to the time step
    weights = soft_policy(controlled_log_weights(200), NU)
    assert effective_samples(weights) > 0.95 * 1000


def test_bounds():
    """A reward that grows without limit pushes every plan to the bound."""
    model = model_of(lambda x, u: x + u, lambda x, u: -jnp.sum(u))
    for bounds in ("clip", "squash"):
        planner = PathIntegral(Lookahead(model, 2, 3, bounds=bounds), 0.1, std=1.0, samples=64, iterations=20)
        plan = planner.improve(jnp.zeros((3, 2)), jnp.zeros(2), jr.key(8)).plan
        actions = planner.lookahead.bounded(plan)
        assert np.all(np.abs(actions) <= 1)
        assert np.all(actions > 0.95)


def test_returns_that_are_not_finite_have_no_weight():
    model = model_of(lambda x, u: x + u, lambda x, u: jnp.where(u[0] > 0, jnp.nan, u[0] ** 2))
    planner = PathIntegral(Lookahead(model, 1, 1, bounds="none"), 0.1, std=1.0, samples=64)
    result = planner.improve(jnp.zeros((1, 1)), jnp.zeros(1), jr.key(9))
    assert 0.2 < result.info["finite"] < 0.8
    assert result.plan[0, 0] < 0
    nothing = model_of(lambda x, u: x + u, lambda x, u: jnp.inf * jnp.ones(()))
    planner = PathIntegral(Lookahead(nothing, 1, 1, bounds="none"), 0.1, std=1.0, samples=64)
    result = planner.improve(jnp.full((1, 1), 0.3), jnp.zeros(1), jr.key(9))
    assert result.plan.item() == pytest.approx(0.3)
    assert result.candidates[:, 0] == pytest.approx(0.3)
    assert result.info["effective_samples"] == 0


def test_more_particles_prefer_no_lucky_noise():
    """A risky action (±4) and a safe one (0): the soft value averages noise only if returns are averaged first."""

    def model(x, u, key):
        return x, jnp.where(u[0] > 0, 4.0 * jr.rademacher(key, (), float), 0.0), jnp.asarray(False)

    info = {}
    for particles in (1, 500):
        planner = PathIntegral(Lookahead(model, 1, 1, particles=particles), 1.0, std=1.0, samples=100)
        results = decisions(planner, jnp.zeros((1, 1)), jnp.zeros(1), jr.split(jr.key(10), 100))
        info[particles] = jnp.mean(jnp.exp(results.info["value"])).item()
    assert info[500] == pytest.approx(1, abs=0.15)
    assert info[1] == pytest.approx((1 + np.cosh(4)) / 2, rel=0.3)


def test_usage_errors():
    lookahead = without_action_cost(PROBLEM)
    with pytest.raises(UsageError, match="either `action_cost`"):
        PathIntegral(lookahead, 1.0)
    with pytest.raises(UsageError, match="temperature"):
        PathIntegral(lookahead, -1.0, std=1.0)
    with pytest.raises(UsageError, match="above 0 with `action_cost`"):
        PathIntegral(lookahead, 0.0, action_cost=1.0)
    with pytest.raises(UsageError, match="discount"):
        replace(lookahead, discount=2.0)
    with pytest.raises(UsageError, match="every direction"):
        PathIntegral(lookahead, 1.0, action_cost=1.0, noise=Splines(3))
    with pytest.raises(UsageError, match="positive definite"):
        PathIntegral(lookahead, 1.0, action_cost=[[-1.0]])
    with pytest.raises(UsageError, match=r"`std`.*shape"):
        PathIntegral(lookahead, 1.0, std=[1.0, 1.0])
    with pytest.raises(UsageError, match="knots"):
        PathIntegral(lookahead, 1.0, std=1.0, noise=Splines(9))
    with pytest.raises(UsageError, match="samples"):
        PathIntegral(lookahead, 1.0, std=1.0, samples=0, noise=White())
    with pytest.raises(UsageError, match="bounds"):
        replace(lookahead, bounds="box")
    with pytest.raises(UsageError, match="change with time"):
        linear_quadratic_lookahead(replace(PROBLEM, A=np.stack([PROBLEM.A] * HORIZON)), HORIZON)
