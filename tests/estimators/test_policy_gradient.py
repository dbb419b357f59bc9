"""The mean of each policy-gradient estimator over all trajectories is the exact gradient; variances are ordered.

The exact gradient comes from a backward recursion that uses no scores.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.estimators import (
    fit_linear_baseline,
    mean_baseline,
    optimal_baseline,
    reinforce_objective,
    return_weights,
    reward_to_go,
    weighted_likelihood_objective,
)
from tests.estimators.enumerated import (
    ACTIONS,
    DYNAMICS,
    LOG_PRIOR,
    PHI,
    STATES,
    STEPS,
    WEIGHT,
    A,
    R,
    S,
    expectation,
    log_probability,
    objective,
    probability,
    values_by_step,
    variance,
)


def gradients(discount=1.0, *, temperature=0.0, with_prior=False, baseline=None, **choices):
    """The estimate from each trajectory, [trajectory, feature]."""

    def estimate(weight, states, actions, reward, baseline):
        log_prior = jnp.asarray(LOG_PRIOR)[states, actions] if with_prior else jnp.zeros(STEPS)
        return reinforce_objective(
            log_probability(weight, states, actions),
            reward,
            discount,
            temperature=temperature,
            log_prior=log_prior,
            baseline=baseline,
            **choices,
        )

    baseline = np.zeros(S.shape) if baseline is None else np.broadcast_to(baseline, S.shape)
    return np.asarray(jax.jit(jax.vmap(jax.grad(estimate), (None, 0, 0, 0, 0)))(WEIGHT, S, A, R, baseline))


EXACT = jax.jit(jax.grad(objective))


def exact(discount=1.0, temperature=0.0, log_prior=0.0):
    return np.asarray(EXACT(WEIGHT, discount, temperature, log_prior))


def state_baseline(discount):
    values = np.asarray(values_by_step(WEIGHT, discount))
    return np.stack([values[t][S[:, t]] for t in range(STEPS)], axis=1)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("discount", [1.0, 0.7])
def test_the_mean_is_the_exact_gradient(discount, causal):
    for baseline in (None, 3.0, state_baseline(discount)):
        estimates = gradients(discount, causal=causal, baseline=baseline)
        np.testing.assert_allclose(expectation(estimates), exact(discount), atol=1e-12)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("with_prior", [True, False])
def test_the_soft_estimate_is_the_gradient_of_the_soft_objective(with_prior, causal):
    estimates = gradients(0.9, temperature=0.6, with_prior=with_prior, causal=causal)
    expected = exact(0.9, 0.6, LOG_PRIOR if with_prior else 0.0)
    np.testing.assert_allclose(expectation(estimates), expected, atol=1e-12)
    assert np.abs(expected - exact(0.9)).max() > 0.05  # and not that of the hard one


def test_leaving_out_the_weight_of_time_is_biased():
    estimates = gradients(0.7, discounted_start=False)
    assert np.abs(expectation(estimates) - exact(0.7)).max() > 0.05
    np.testing.assert_allclose(expectation(gradients(1.0, discounted_start=False)), exact(1.0), atol=1e-12)


def test_within_its_standard_error_by_sampling():
    rng = np.random.default_rng(0)
    drawn = gradients(0.9)[rng.choice(len(S), 20_000, p=probability())]
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert np.all(np.abs(drawn.mean(axis=0) - exact(0.9)) < 4 * error)
    assert np.all(error < 0.05)


def test_variances_are_ordered():
    """Exact variances, summed over parameters, with rewards far from 0, where baselines matter.

    Only the optimality of b* among constants is a theorem (below). V and causality usually help, but not always.
    """
    constant = float(expectation(reward_to_go_of_all()[:, 0]))
    plain = variance(gradients(causal=False)).sum()
    mean = variance(gradients(causal=False, baseline=constant)).sum()
    causal = variance(gradients()).sum()
    learned = variance(gradients(baseline=state_baseline(1.0))).sum()
    assert learned < causal < plain
    assert learned < mean < plain


def reward_to_go_of_all():
    return np.asarray(jax.vmap(lambda reward: reward_to_go(reward, 1.0))(R))


def test_the_optimal_constant_has_the_least_variance_of_all_constants():
    scores = gradients(causal=False, baseline=-1.0) - gradients(causal=False)  # of weight R + 1 minus weight R
    total = R.sum(axis=1)
    best = expectation(scores**2 * total[:, None]) / expectation(scores**2)
    least = variance(scores * (total[:, None] - best))
    for constant in np.append(np.linspace(-2, 8, 21), expectation(total)):
        assert np.all(least <= variance(scores * (total - constant)[:, None]) + 1e-12)
    # The estimate of b* from many samples tends to b*.
    drawn = np.random.default_rng(1).choice(len(S), 20_000, p=probability())
    np.testing.assert_allclose(optimal_baseline(scores[drawn], total[drawn])[0], best, rtol=0.05)


@pytest.mark.parametrize("kind", ["mean", "optimal"])
def test_leaving_each_sample_out_keeps_a_batch_unbiased(kind):
    """Every pair of trajectories is a batch of two. The plain mean would halve the gradient."""
    scores = gradients(causal=False, baseline=-1.0) - gradients(causal=False)
    total = R.sum(axis=1)
    chance = probability()

    def first_of_batch(other):
        """E over the other sample of the first one's baseline, for every first one: [trajectory, feature]."""
        pair_returns = jnp.stack([jnp.zeros(()), jnp.asarray(total)[other]])
        pair_scores = jnp.stack([jnp.zeros(scores.shape[1]), jnp.asarray(scores)[other]])
        if kind == "mean":
            return jnp.full(scores.shape[1], mean_baseline(pair_returns)[0])
        return optimal_baseline(pair_scores, pair_returns)[0]

    baseline = chance @ np.asarray(jax.jit(jax.vmap(first_of_batch))(np.arange(len(S))))
    np.testing.assert_allclose(expectation(scores * (total[:, None] - baseline)), exact(), atol=1e-12)
    own = 0.5 * (total[:, None] + chance @ total)  # the plain mean of two
    np.testing.assert_allclose(expectation(scores * (total[:, None] - own)), exact() / 2, atol=1e-12)


def test_a_baseline_from_one_trajectory_is_refused():
    with pytest.raises(EntraxError, match="at least two"):
        mean_baseline(np.ones(1))


def test_the_linear_baseline_finds_the_values_of_states():
    one_hot = np.eye(STATES)[S[:, 0]]
    repeated = np.random.default_rng(2).choice(len(S), 50_000, p=probability())
    weights = fit_linear_baseline(one_hot[repeated], reward_to_go_of_all()[repeated, 0], ridge=1e-9)
    np.testing.assert_allclose(weights, values_by_step(WEIGHT, 1.0)[0], atol=0.05)


def test_padding_is_ignored():
    valid = np.array([True, True, False])
    soft: dict[str, Any] = {"temperature": 0.5, "baseline": 2.0}
    padded = jax.grad(lambda w: reinforce_objective(log_probability(w, S[5], A[5]), R[5], 0.9, valid=valid, **soft))(
        WEIGHT
    )
    short = jax.grad(lambda w: reinforce_objective(log_probability(w, S[5, :2], A[5, :2]), R[5, :2], 0.9, **soft))(
        WEIGHT
    )
    np.testing.assert_allclose(padded, short, rtol=1e-12)


def test_policies_over_histories_need_nothing_new():
    """The policy sees its previous action: the estimate's mean is the gradient of the enumerated objective."""

    def log_probabilities(weight, states, actions):
        before = jnp.concatenate([jnp.zeros(1, int), actions[:-1]])
        logits = jnp.asarray(PHI)[states] @ weight + jnp.asarray([[0.3, -0.5], [-1.0, 0.8]])[before] * weight[0]
        return jax.nn.log_softmax(logits)[jnp.arange(STEPS), actions]

    every = jax.vmap(log_probabilities, (None, 0, 0))

    def value(weight):
        return jnp.sum(DYNAMICS * jnp.exp(every(weight, S, A).sum(axis=1)) * R.sum(axis=1))

    def mean_estimate(weight):
        one = jax.grad(lambda weight, s, a, r: reinforce_objective(log_probabilities(weight, s, a), r, 1.0))
        return DYNAMICS * jnp.exp(every(weight, S, A).sum(axis=1)) @ jax.vmap(one, (None, 0, 0, 0))(weight, S, A, R)

    np.testing.assert_allclose(jax.jit(mean_estimate)(WEIGHT), jax.jit(jax.grad(value))(WEIGHT), atol=1e-12)


def test_weighted_likelihood_is_the_gradient_of_the_log_of_the_mean_exponential():
    """With every trajectory in the batch, each as often as it occurs: log p enters beside R/τ."""
    tau = 0.8
    chance, total = probability(), R.sum(axis=1)
    weighted = jax.grad(
        lambda weight: weighted_likelihood_objective(
            jax.vmap(log_probability, (None, 0, 0))(weight, S, A), total + tau * np.log(chance), tau
        )
    )(WEIGHT)

    def log_mean_exponential(weight):
        paths = jax.vmap(log_probability, (None, 0, 0))(weight, S, A).sum(axis=1)
        return jax.nn.logsumexp(jnp.log(DYNAMICS) + paths + total / tau)

    np.testing.assert_allclose(weighted, jax.grad(log_mean_exponential)(WEIGHT), atol=1e-12)


def test_weighted_likelihood_of_a_bandit_gives_the_soft_policy_and_tends_to_cloning():
    reward, old = np.array([1.0, -0.5, 0.2]), np.array([0.2, 0.5, 0.3])
    weights = np.asarray(return_weights(reward + 0.7 * np.log(old), 0.7))
    np.testing.assert_allclose(weights, old * np.exp(reward / 0.7) / (old * np.exp(reward / 0.7)).sum(), rtol=1e-12)
    np.testing.assert_allclose(return_weights(reward, 1e9), np.full(3, 1 / 3), rtol=1e-8)
    assert ACTIONS == 2
