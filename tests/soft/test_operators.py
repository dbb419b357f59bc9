"""soft/ against enumeration in extended precision, finite differences and the identities between its equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from entrax.soft import (
    entropy,
    kl_divergence,
    log_soft_policy,
    soft_bellman_backup,
    soft_max,
    soft_policy,
    soft_value,
)

Q = np.array([0.3, -1.2, 0.9, 0.4])
PRIOR = np.array([0.1, 0.4, 0.2, 0.3])
MASK = np.array([True, True, False, True])
TEMPERATURES = (0.0, 1e-38, 1e-30, 1e-6, 1e-3, 0.5, 1.0, 1e3, 1e30)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def reference(q, temperature, weight):
    """V and π in extended precision, by the definition, over the actions with weight."""
    used = (weight > 0) & (q > -np.inf)
    q, w, alpha = q[used].astype(np.longdouble), weight[used].astype(np.longdouble), np.longdouble(temperature)
    scaled = (q - q.max()) / alpha
    top = scaled + np.log(w)
    log_sum = top.max() + np.log(np.exp(top - top.max()).sum())
    policy = np.zeros(used.shape)
    policy[used] = np.exp(top - log_sum)
    return float(q.max() + alpha * log_sum), policy


def weights(prior, mask):
    """π₀ as the operators define it: 1 without a prior, otherwise the prior normalised over the mask."""
    mask = np.ones(4, bool) if mask is None else mask
    return mask.astype(float) if prior is None else np.where(mask, prior, 0) / prior[mask].sum()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("prior", [None, PRIOR, 7 * PRIOR, np.array([0.5, 0.0, 0.25, 0.25])])
@pytest.mark.parametrize("temperature", [1e-3, 0.2, 1.0, 30.0])
def test_value_and_policy_are_the_definition(temperature, prior, mask):
    value, policy = reference(Q, temperature, weights(prior, mask))
    assert soft_max(Q, temperature, prior, mask) == pytest.approx(value, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(soft_policy(Q, temperature, prior, mask), policy, rtol=1e-12, atol=0)
    with np.errstate(divide="ignore"):
        expected = np.log(policy)
    log_policy = np.asarray(log_soft_policy(Q, temperature, prior, mask))
    np.testing.assert_allclose(log_policy[policy > 0], expected[policy > 0], rtol=1e-12)
    np.testing.assert_array_equal(log_policy[weights(prior, mask) == 0], -np.inf)


@pytest.mark.usefixtures("x64")
def test_log_policy_stays_exact_where_the_probability_underflows():
    np.testing.assert_allclose(log_soft_policy(np.array([0.0, -1e6]), 1e-3), [0.0, -1e9], rtol=1e-15)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("prior", [None, PRIOR])
@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_gradients_are_finite_differences(temperature, prior):
    def value(q, temperature, prior_):
        return soft_max(q, temperature, None if prior is None else prior_, MASK)

    def policy(q, temperature, prior_):
        return soft_policy(q, temperature, None if prior is None else prior_, MASK)

    arguments = (jnp.asarray(Q), jnp.asarray(temperature), jnp.asarray(PRIOR))
    for function in (value, policy):
        check_grads(function, arguments, order=2, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("x64")
def test_gradients_of_the_value_are_the_policy_and_its_divergence():
    by_q, by_temperature = jax.grad(soft_max, (0, 1))(Q, 0.7)
    policy = soft_policy(Q, 0.7)
    np.testing.assert_allclose(by_q, policy, rtol=1e-14)
    assert by_temperature == pytest.approx(float(entropy(policy)), rel=1e-13)
    by_temperature = jax.grad(soft_max, 1)(Q, 0.7, PRIOR)
    assert by_temperature == pytest.approx(
        -float(kl_divergence(soft_policy(Q, 0.7, PRIOR), jnp.asarray(PRIOR))), rel=1e-12
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_the_soft_maximum_is_the_best_soft_value(temperature):
    for prior in (None, jnp.asarray(PRIOR)):
        best = float(soft_max(Q, temperature, prior))
        assert soft_value(jnp.asarray(Q), soft_policy(Q, temperature, prior), temperature, prior) == pytest.approx(best)
        others = np.random.default_rng(0).dirichlet(np.ones(4), 100)
        values = jax.vmap(lambda policy, prior=prior: soft_value(jnp.asarray(Q), policy, temperature, prior))(others)
        assert np.all(np.asarray(values) < best)


@pytest.mark.usefixtures("x64")
def test_the_two_conventions_differ_by_temperature_times_log_actions():
    uniform = np.full(4, 0.25)
    for temperature in (0.01, 1.0, 50.0):
        difference = soft_max(Q, temperature) - soft_max(Q, temperature, uniform)
        assert float(difference) == pytest.approx(temperature * np.log(4), rel=1e-12)
        np.testing.assert_allclose(soft_policy(Q, temperature), soft_policy(Q, temperature, uniform), rtol=1e-12)
    policy = jnp.asarray(PRIOR)
    assert float(kl_divergence(policy, jnp.asarray(uniform))) == pytest.approx(np.log(4) - float(entropy(policy)))


@pytest.mark.usefixtures("x64")
def test_scaling_of_reward_is_scaling_of_temperature():
    np.testing.assert_allclose(soft_policy(1000 * Q, 3.0), soft_policy(Q, 3.0 / 1000), rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_mellowmax_is_the_kl_convention_with_a_uniform_prior_and_is_a_non_expansion():
    uniform = np.full(4, 0.25)
    assert soft_max(Q, 1 / 5.0, uniform) == pytest.approx(np.log(np.mean(np.exp(5 * Q))) / 5)
    one, other = np.random.default_rng(1).normal(0, 3, (2, 500, 4))
    mellowmax = jax.vmap(lambda q: soft_max(q, 0.2, uniform))
    assert np.all(np.abs(mellowmax(one) - mellowmax(other)) <= np.abs(one - other).max(axis=1) + 1e-12)


@pytest.mark.usefixtures("x64")
def test_soft_optimality_tends_to_the_same_functions_hard_answer():
    q = np.array([1.0, 2.0, 2.0, -3.0])
    for prior in (None, PRIOR):
        for function in (soft_max, soft_policy, jax.grad(soft_max, 0), jax.grad(soft_max, 1)):
            np.testing.assert_allclose(function(q, 1e-3, prior), function(q, 0.0, prior), atol=3e-3)


# --- temperature 0 ---


def hard(function):
    """The function at temperature 0, the temperature being a traced value."""
    return jax.jit(lambda q, prior, mask: function(q, jnp.zeros(()), prior, mask))


def test_temperature_zero_is_the_hard_maximum_and_shares_ties():
    q = jnp.array([1.0, 2.0, 2.0, -jnp.inf])
    assert hard(soft_max)(q, None, None) == 2
    np.testing.assert_array_equal(hard(soft_policy)(q, None, None), [0, 0.5, 0.5, 0])
    np.testing.assert_array_equal(hard(log_soft_policy)(q, None, None)[jnp.array([0, 3])], -np.inf)
    np.testing.assert_allclose(hard(soft_policy)(q, jnp.asarray(PRIOR), None), [0, 2 / 3, 1 / 3, 0], rtol=1e-6)
    masked = jnp.array([True, False, False, True])
    assert hard(soft_max)(q, None, masked) == 1
    np.testing.assert_array_equal(hard(soft_policy)(q, None, masked), [1, 0, 0, 0])


def test_gradients_at_temperature_zero_are_the_tie_sharing_policy_and_its_entropy():
    q, zero = jnp.array([1.0, 2.0, 2.0, -jnp.inf]), jnp.zeros(())
    by_q, by_temperature = jax.jit(jax.grad(soft_max, (0, 1)))(q, zero)
    np.testing.assert_array_equal(by_q, [0, 0.5, 0.5, 0])
    assert by_temperature == pytest.approx(np.log(2))
    by_q, by_temperature, by_prior = jax.jit(jax.grad(soft_max, (0, 1, 2)))(q, zero, jnp.asarray(PRIOR))
    np.testing.assert_allclose(by_q, [0, 2 / 3, 1 / 3, 0], rtol=1e-6)
    assert by_temperature == pytest.approx(np.log(0.6), rel=1e-5)  # −KL: the tied actions hold 0.6 of the prior
    np.testing.assert_array_equal(by_prior, 0)


def test_vmap_over_temperatures_mixes_hard_and_soft():
    temperatures = jnp.array([0.0, 1.0])
    q = jnp.asarray(Q, jnp.float32)
    values = jax.vmap(soft_max, (None, 0))(q, temperatures)
    np.testing.assert_allclose(values, [0.9, np.log(np.exp(Q).sum())], rtol=1e-6)
    slopes = jax.vmap(jax.grad(soft_max, 1), (None, 0))(q, temperatures)
    assert slopes[0] == 0
    assert slopes[1] == pytest.approx(float(entropy(soft_policy(q, 1.0))), rel=1e-5)


# --- magnitudes ---

magnitudes = st.one_of(
    st.sampled_from([0.0, 1e30, -1e30, 1e-30, -1e-30, 1e6, -1e6, 1.0, -np.inf]), st.floats(-1e3, 1e3, width=32)
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(
    q=st.lists(magnitudes, min_size=4, max_size=4).filter(lambda q: max(q) > -np.inf),
    temperature=st.sampled_from(TEMPERATURES),
    with_prior=st.booleans(),
)
def test_any_magnitude_gives_a_policy_bounds_and_finite_gradients(dtype, q, temperature, with_prior):
    with jax.enable_x64(dtype == "float64"):
        eps = float(jnp.finfo(dtype).eps)
        q = jnp.array(q, dtype)
        prior = jnp.array([0.5, 0.0, 0.25, 0.25], dtype) if with_prior else None
        allowed = (q > -jnp.inf) & (True if prior is None else prior > 0)
        value, policy = VALUE(q, temperature, prior), POLICY(q, temperature, prior)
        top = float(jnp.max(jnp.where(allowed, q, -jnp.inf)))
        if not allowed.any():
            assert value == -jnp.inf
            assert not policy.any()
        else:
            assert float(policy.sum()) == pytest.approx(1, abs=8 * eps)
            slack = 4 * eps * (abs(top) + temperature)
            above, below = (0, np.log(4)) if with_prior else (np.log(4), 0)
            assert top - below * temperature - slack <= value <= top + above * temperature + slack
        for jacobian in (VALUE_GRADIENT, POLICY_FORWARD, POLICY_REVERSE):
            for part in jax.tree.leaves(jacobian(q, jnp.asarray(temperature, dtype), prior)):
                assert jnp.all(jnp.isfinite(part))


VALUE, POLICY = jax.jit(soft_max), jax.jit(soft_policy)
VALUE_GRADIENT = jax.jit(jax.grad(soft_max, (0, 1, 2)))
POLICY_FORWARD = jax.jit(jax.jacfwd(soft_policy, (0, 1, 2)))
POLICY_REVERSE = jax.jit(jax.jacrev(soft_policy, (0, 1, 2)))


@pytest.mark.parametrize("temperature", [0.0, 1e-3, 1.0, 1e6])
def test_second_derivatives_are_finite(temperature):
    for q in ([1.0, 2.0, 2.0, -jnp.inf], [1e6, 0.0, 1e6, 1.0], [-jnp.inf] * 4):
        hessian = jax.hessian(soft_max, (0, 1, 2))(jnp.array(q), temperature, jnp.array([0.5, 0.0, 0.25, 0.25]))
        assert all(jnp.all(jnp.isfinite(block)) for block in jax.tree.leaves(hessian))


def test_a_high_temperature_keeps_its_digits_in_float32():
    q = jnp.asarray(Q, jnp.float32)
    value = soft_max(q, 1e6, jnp.asarray(PRIOR, jnp.float32))
    assert float(value) == pytest.approx(float(PRIOR @ Q), rel=1e-5)  # V → E_π₀ Q as α → ∞


def test_garbage_is_not_hidden():
    assert jnp.isnan(soft_max(jnp.array([0.0, jnp.nan]), 1.0))
    assert jnp.isnan(soft_max(jnp.array([0.0, 1.0]), -1.0))
    assert jnp.isnan(soft_policy(jnp.array([0.0, 1.0]), -1.0)).all()


# --- excluded actions ---


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_prior_of_zero_is_a_mask(temperature):
    q, mask = jnp.array([1.0, 9.0, 2.0]), jnp.array([True, False, True])
    by_prior, by_mask = jnp.array([0.5, 0.0, 0.5]), jnp.array([0.5, 0.3, 0.5])
    assert soft_max(q, temperature, by_prior) == soft_max(q, temperature, by_mask, mask)
    gradients = jax.grad(soft_max, (0, 1, 2))(q, temperature, by_prior)
    assert gradients[0][1] == 0
    assert gradients[2][1] == 0
    assert jnp.all(jnp.isfinite(gradients[2]))


def test_minus_infinity_keeps_its_share_of_the_prior_and_a_mask_does_not():
    q, prior = jnp.array([0.0, -jnp.inf]), jnp.array([0.25, 0.75])
    assert soft_max(q, 1.0, prior) == pytest.approx(np.log(0.25))
    assert soft_max(q, 1.0, prior, jnp.array([True, False])) == 0


# --- divergences and the backup ---


def test_entropy_and_kl_divergence_at_the_edges():
    policy, prior = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.25, 0.5, 0.25])
    assert entropy(policy) == pytest.approx(np.log(2))
    assert kl_divergence(policy, prior) == pytest.approx(0.5 * np.log(2))
    assert kl_divergence(prior, policy) == jnp.inf
    np.testing.assert_array_equal(jax.grad(entropy)(policy)[2], 0)
    assert jnp.all(jnp.isfinite(jax.grad(kl_divergence, (0, 1))(policy, prior)[0]))


@pytest.mark.parametrize("next_value", [10.0, np.inf, np.nan])
def test_a_terminal_state_is_worth_nothing(next_value):
    q, slope = jax.value_and_grad(soft_bellman_backup, 1)(1.0, 0.9, next_value, True)
    assert q == 1
    assert slope == 0
    assert soft_bellman_backup(1.0, 0.9, 10.0, False) == pytest.approx(10)


@pytest.mark.usefixtures("x64")
def test_soft_value_iteration_solves_a_chain():
    """One state, two actions, reward 0 and 1, forever: V = log(1 + e)/(1 − γ) at temperature 1, in closed form."""
    value, reward = jnp.zeros(()), jnp.array([0.0, 1.0])
    for _ in range(200):
        value = soft_max(jax.vmap(soft_bellman_backup, (0, None, None, None))(reward, 0.8, value, False), 1.0)
    assert float(value) == pytest.approx(np.log(1 + np.e) / 0.2, rel=1e-12)
