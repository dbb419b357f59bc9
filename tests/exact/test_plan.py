"""Planning against known answers, a dense solve, and laws that must hold."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.exact import METHODS, plan
from entrax.exact.bellman import action_values, backup, make_sweep, soft_maximiser
from entrax.exact.checks import check_temperature
from entrax.problems import FiniteMDP, forest, garnet
from entrax.soft import soft_max, soft_policy

TIGHT = 1e-12


@cache
def table(name: str) -> FiniteMDP:
    return FiniteMDP.from_gymnasium(name)


def lake(discount: float) -> FiniteMDP:
    return replace(table("FrozenLake-v1"), discount=discount)


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize(("discount", "start_value"), [(0.99, 0.542025932000), (0.95, 0.180471578397)])
def test_frozen_lake_hard_optimum(method, discount, start_value):
    solution = plan(lake(discount), 0.0, method=method, tolerance=TIGHT)
    assert float(solution.value[0]) == pytest.approx(start_value, abs=1.1e-12)
    assert float(solution.error_bound) <= TIGHT


def test_frozen_lake_8x8_hard_optimum():
    big = FiniteMDP.from_gymnasium("FrozenLake8x8-v1", discount=0.99)
    solution = plan(big, 0.0, tolerance=TIGHT)
    assert float(solution.value[0]) == pytest.approx(0.414640361800, abs=1.1e-12)


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize(
    ("temperature", "convention", "start_value"),
    [(0.01, "entropy", 0.5989242013), (0.1, "entropy", 2.4710324780), (0.1, "kl", 0.0192922001)],
)
def test_frozen_lake_soft_optimum(method, temperature, convention, start_value):
    solution = plan(lake(0.99), temperature, method=method, convention=convention, tolerance=TIGHT)
    assert float(solution.value[0]) == pytest.approx(start_value, abs=1e-10)
    assert float(solution.error_bound) <= 2e-12


def test_cliff_walking_discounted():
    solution = plan(replace(table("CliffWalking-v1"), discount=0.99), 0.0, tolerance=1e-11)
    assert float(solution.value[36]) == pytest.approx(-12.2478977001, abs=1e-10)


def test_taxi_discounted():
    taxi = replace(table("Taxi-v4"), discount=0.99)
    solution = plan(taxi, 0.0, tolerance=1e-11)
    starts = np.asarray(taxi.initial) > 0
    assert starts.sum() == 300
    assert float(jnp.mean(solution.value[starts])) == pytest.approx(6.3274643149, abs=1e-10)


def test_forest_management():
    solution = plan(forest(discount=0.96), 0.0)
    np.testing.assert_allclose(solution.value, [74.6496, 78.1056, 82.1056], atol=5e-5)


def test_hard_at_most_soft_at_most_hard_plus_entropy():
    alpha, problem = 0.3, garnet(16, 4, 3, seed=1, discount=0.9)
    hard, soft = plan(problem, 0.0).value, plan(problem, alpha).value
    assert bool(jnp.all(hard <= soft + 1e-8))
    assert bool(jnp.all(soft <= hard + alpha * np.log(4) / (1 - 0.9) + 1e-8))


def test_scaling_law():
    problem = garnet(16, 4, 3, seed=1, discount=0.9)
    large = replace(problem, reward=problem.reward * 5.0)
    np.testing.assert_allclose(plan(large, 1.0).policy, plan(problem, 0.2).policy, atol=1e-9)


def test_soft_policy_iteration_is_monotone_and_quadratic():
    problem = garnet(16, 4, 3, seed=2, discount=0.95)
    exact = plan(problem, 0.5, tolerance=1e-13).value
    values = [
        plan(problem, 0.5, method="policy-iteration", max_iterations=n, tolerance=1e-13).value for n in range(1, 5)
    ]
    errors = [float(jnp.max(jnp.abs(v - exact))) for v in values]
    assert all(bool(jnp.all(after >= before - 1e-11)) for before, after in pairwise(values))
    # Quadratic: e_{k+1} ≤ C e_k² with one C, while above rounding.
    rates = [after / before**2 for before, after in pairwise(errors) if after > 1e-11]
    assert len(rates) >= 2
    assert max(rates) < 3.0


def test_two_conventions_differ_by_the_entropy_of_a_uniform_prior():
    problem = garnet(16, 4, 3, seed=3, discount=0.9)
    soft, kl = plan(problem, 0.5), plan(problem, 0.5, convention="kl")
    np.testing.assert_allclose(soft.value - kl.value, 0.5 * np.log(4) / (1 - 0.9), atol=1e-8)
    np.testing.assert_allclose(soft.policy, kl.policy, atol=1e-8)


def restricted() -> FiniteMDP:
    """A problem with a terminal state, a mask, a prior with a zero, and transitions that end."""
    rng = np.random.default_rng(4)
    states, actions, branches = 7, 3, 2
    terminal = np.arange(states) == 6
    mask = np.ones((states, actions), bool)
    mask[2, 0] = mask[3, 1] = False
    prior = rng.uniform(0.1, 2.0, (states, actions))
    prior[0, 2] = 0.0
    live = mask & ~terminal[:, None]
    return FiniteMDP(
        successor=np.where(live[..., None], rng.integers(0, states + 1, (states, actions, branches)), states),
        probability=np.where(live[..., None], rng.dirichlet(np.ones(branches), (states, actions)), 0.0),
        reward=np.where(live, rng.normal(size=(states, actions)), 0.0),
        initial=np.full(states, 1 / states),
        terminal=terminal,
        discount=0.9,
        prior=prior,
        mask=mask,
    )


@pytest.mark.parametrize("temperature", [0.0, 1e-3, 0.7, 1e6])
def test_fused_sweep_equals_the_operators_state_by_state(temperature):
    """The fused sweep computes the same T and π as `entrax.soft.operators`."""
    problem, alpha = restricted(), jnp.asarray(temperature)
    v = jnp.asarray(np.random.default_rng(0).normal(size=problem.states)).at[6].set(0.0)
    q = problem.reward + 0.9 * jnp.sum(problem.probability * jnp.append(v, 0.0)[problem.successor], -1)
    assert problem.mask is not None
    assert problem.prior is not None
    allowed = problem.mask & (problem.prior > 0)
    for kl, prior in ((False, None), (True, jnp.asarray(problem.prior))):
        sweep = make_sweep(problem, kl)
        axes = (0, None, None if prior is None else 0, 0)
        expected = jax.vmap(soft_max, in_axes=axes)(q, alpha, prior, allowed)
        policy = jax.vmap(soft_policy, in_axes=axes)(q, alpha, prior, allowed)
        np.testing.assert_allclose(backup(sweep, alpha, v)[:6], expected[:6], rtol=1e-13, atol=1e-14)
        fused = soft_maximiser(action_values(sweep, v), alpha, sweep.log_prior).T
        np.testing.assert_allclose(fused[:6], policy[:6], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("convention", ["entropy", "kl"])
def test_excluded_actions_and_terminal_states(convention):
    solution = plan(restricted(), 0.5, convention=convention)
    assert float(solution.value[6]) == 0.0
    assert float(solution.policy[0, 2]) == float(solution.policy[2, 0]) == 0.0
    assert float(solution.q[2, 0]) == -np.inf
    np.testing.assert_allclose(solution.policy.sum(-1), 1.0)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_many_actions_and_branches_take_the_scanned_path(temperature):
    """With more terms than are unrolled, against an explicit Bellman equation."""
    wide = garnet(40, 5, 20, seed=5, discount=0.9)
    v = plan(wide, temperature).value
    q = wide.reward + 0.9 * np.sum(wide.probability * np.asarray(v)[wide.successor], -1)
    expected = q.max(-1) if temperature == 0 else temperature * np.log(np.exp(q / temperature).sum(-1))
    np.testing.assert_allclose(v, expected, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.0, 0.2])
@pytest.mark.parametrize("method", METHODS[1:])
def test_error_bound_is_never_false(temperature, method):
    """Against a value in extended precision, for solves stopped at different iterations."""
    problem = garnet(16, 4, 3, seed=6, discount=0.97)
    exact = np.zeros(16, np.longdouble)
    p, r = problem.probability.astype(np.longdouble), problem.reward.astype(np.longdouble)
    for _ in range(3000):
        q = r + np.longdouble(0.97) * (p * exact[problem.successor]).sum(-1)
        top = q.max(-1, keepdims=True)
        a = np.longdouble(temperature)
        exact = top[:, 0] + (0 if temperature == 0 else a * np.log(np.exp((q - top) / a).sum(-1)))
    for limit in (1, 2, 50, 100_000):
        solution = plan(problem, temperature, method=method, tolerance=1e-14, max_iterations=limit)
        error = float(np.max(np.abs(np.asarray(solution.value, np.longdouble) - exact)))
        assert error <= float(solution.error_bound)
    assert float(solution.error_bound) < 1e-11


def test_finite_horizon_counts_down():
    problem = lake(1.0)
    solution = plan(problem, 0.1, horizon=np.int64(3))
    assert solution.value.shape == (4, 16)
    assert solution.policy.shape == solution.q.shape == (3, 16, 4)
    assert not np.any(solution.value[3])
    sweep = make_sweep(problem, False)
    np.testing.assert_allclose(solution.value[1], backup(sweep, jnp.asarray(0.1), solution.value[2]), rtol=1e-15)
    long = plan(lake(0.9), 0.1, horizon=400)
    np.testing.assert_allclose(long.value[0], plan(lake(0.9), 0.1).value, atol=1e-9)
    assert 0 < float(long.error_bound) < 1e-12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"temperature": -0.1}, "`temperature`"),
        ({"temperature": float("nan")}, "`temperature`"),
        ({"temperature": [0.1, -1.0]}, "`temperature`"),
        ({"temperature": []}, "`temperature`"),
        ({"temperature": 0.1, "method": "newton"}, "`method`.*'newton'"),
        ({"temperature": 0.1, "convention": "KL"}, "`convention`.*'KL'"),
        ({"temperature": 0.1, "horizon": 0}, "`horizon`.*at least 1"),
        ({"temperature": 0.1, "tolerance": float("nan")}, "`tolerance`"),
        ({"temperature": 0.1, "tolerance": -1.0}, "`tolerance`"),
        ({"temperature": 0.1, "max_iterations": -1}, "`max_iterations`"),
        ({"temperature": 0.1, "objective": "average", "horizon": 3}, "`horizon`.*average"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(EntraxError, match=words):
        plan(lake(0.9), **arguments)


@pytest.mark.parametrize("temperature", [[0.1], np.array([0.1]), "0.1", None, np.inf])
def test_an_invalid_temperature_is_refused(temperature):
    with pytest.raises(EntraxError, match="`temperature`"):
        check_temperature(temperature)


def test_rewards_far_below_the_temperature_keep_their_digits():
    """At α = 10¹⁰ the policy is the prior, and V its value, with an accuracy relative to the reward, not to α."""
    problem = garnet(16, 4, 3, seed=1, discount=0.9)
    small = replace(problem, reward=problem.reward * 1e-8)
    solution = plan(small, 1e10, convention="kl", tolerance=1e-18)
    p = np.zeros((16, 16))
    for s, a, k in np.ndindex(16, 4, 3):
        p[s, problem.successor[s, a, k]] += problem.probability[s, a, k] / 4
    expected = np.linalg.solve(np.eye(16) - 0.9 * p, small.reward.mean(1))
    assert bool(solution.converged)
    assert float(solution.error_bound) <= 1e-18
    np.testing.assert_allclose(solution.value, expected, rtol=0, atol=1e-18)


def test_32_bit_mode_is_refused():
    with jax.enable_x64(False), pytest.raises(EntraxError, match="enable_x64"):
        plan(lake(0.9), 0.1)


@pytest.mark.parametrize("omega", [-3.0, 0.5, 20.0])
def test_mellowmax_is_a_non_expansion_and_the_boltzmann_mean_is_not(omega):
    """Mellowmax log(mean e^{ωx})/ω is the soft maximum with a uniform prior at α = 1/ω (its minimum for ω < 0)."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(2, 500, 4))
    sign = np.sign(omega)
    prior = jnp.full(4, 0.25)

    def mellowmax(rows):
        return sign * jax.vmap(soft_max, in_axes=(0, None, None))(sign * rows, 1 / abs(omega), prior)

    np.testing.assert_allclose(mellowmax(x), np.log(np.mean(np.exp(omega * x), 1)) / omega, atol=1e-12)
    assert bool(jnp.all(jnp.abs(mellowmax(x) - mellowmax(y)) <= np.abs(x - y).max(1) + 1e-14))

    def boltzmann(rows):
        return np.sum(rows * jax.nn.softmax(omega * rows, axis=-1), -1)

    a, b = np.array([0.0, 1.0 / omega]), np.array([0.0, 2.4 / omega])
    nudge = np.array([0.0, 1e-3 / omega])
    assert max(abs(boltzmann(z + nudge) - boltzmann(z)) for z in (a, b)) > 1e-3 / abs(omega)


@pytest.mark.parametrize("horizon", [None, 3])
def test_many_temperatures_at_once(horizon):
    problem, temperatures = garnet(16, 4, 3, seed=1, discount=0.9), [0.0, 0.1, 0.2]
    together = plan(problem, temperatures, horizon=horizon)
    traced = jax.jit(lambda t: plan(problem, t, horizon=horizon).value)(jnp.asarray(temperatures))
    for i, temperature in enumerate(temperatures):
        alone = plan(problem, temperature, horizon=horizon)
        np.testing.assert_allclose(together.value[i], alone.value, atol=2e-9)
        np.testing.assert_allclose(together.policy[i], alone.policy, atol=1e-7)
        np.testing.assert_allclose(traced[i], alone.value, atol=2e-9)
    assert np.all(together.converged)


@pytest.mark.parametrize("discount", [0.97, 1.0])
@pytest.mark.parametrize("method", METHODS[1:])
def test_a_start_saves_work_and_changes_no_answer(discount, method):
    problem = replace(table("CliffWalking-v1"), discount=discount)
    cold = plan(problem, 0.0, method=method)
    warm = plan(problem, 0.0, method=method, start=cold.value)
    assert int(warm.products) < int(cold.products)
    far = plan(problem, 0.0, method=method, start=np.full(problem.states, 1e3))
    for solution in (warm, far):
        assert bool(solution.converged)
        np.testing.assert_allclose(solution.value, cold.value, atol=2e-9)


def test_an_invalid_start_is_refused():
    for start, words in ((np.zeros(3), "`start`.*shape"), (np.full(16, np.nan), "`start`.*finite")):
        with pytest.raises(EntraxError, match=words):
            plan(lake(0.9), 0.1, start=start)
    with pytest.raises(EntraxError, match=r"`start`.*horizon"):
        plan(lake(0.9), 0.1, start=np.zeros(16), horizon=3)
