"""The policy gradient and soft Q-learning: their identity, the lectures' two differences, and path consistency."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.estimators import path_inconsistency, soft_q_gradient
from entrax.soft import log_soft_policy, soft_max, soft_policy, soft_value
from tests.estimators.enumerated import ACTIONS, LOG_PRIOR, PHI, REWARD, STATES, TRANSITION, WEIGHT

ALPHA, GAMMA = 0.6, 0.9
PRIOR = np.exp(LOG_PRIOR)
TARGET = np.random.default_rng(8).normal(size=ACTIONS)


def q_of(state):
    return lambda weight: jnp.asarray(PHI)[state] @ weight


@functools.partial(jax.jit, static_argnums=0)
def _terms(has_prior):
    prior = jnp.asarray(PRIOR[1]) if has_prior else None

    def one(action, target):
        return soft_q_gradient(q_of(1), jnp.asarray(WEIGHT), action, target, ALPHA, prior)

    return jax.vmap(one)(jnp.arange(ACTIONS), jnp.asarray(TARGET))


def all_terms(prior):
    """The terms of the identity for every action of state 1."""
    return _terms(prior is not None)


@pytest.mark.parametrize("prior", [None, PRIOR[1]])
def test_the_identity_holds_for_every_sample(prior):
    """∇½(Q−y)² = −α ∇J + ∇½(V−V̂)² [Schulman et al. 2017]: for each action, so under any behaviour."""
    terms = all_terms(prior)
    np.testing.assert_allclose(terms.soft_q, -ALPHA * terms.policy_gradient + terms.value, atol=1e-14)
    assert np.all(np.abs(terms.policy_gradient).max(axis=1) > 0.01)


@pytest.mark.parametrize("prior", [None, PRIOR[1]])
def test_on_policy_its_terms_are_the_gradients_of_objectives(prior):
    """In expectation under π, on a bandit: J is the soft objective, V̂ = E[y] + α H, both by their own formulas."""
    policy = soft_policy(q_of(1)(WEIGHT), ALPHA, prior)
    average = jax.tree.map(lambda each: policy @ each, all_terms(prior))

    def objective(weight):
        return soft_value(jnp.asarray(TARGET), soft_policy(q_of(1)(weight), ALPHA, prior), ALPHA, prior)

    np.testing.assert_allclose(average.policy_gradient, jax.jit(jax.grad(objective))(WEIGHT), atol=1e-14)

    def misfit(weight):
        return 0.5 * (soft_max(q_of(1)(weight), ALPHA, prior) - jax.lax.stop_gradient(objective(weight))) ** 2

    np.testing.assert_allclose(average.value, jax.jit(jax.grad(misfit))(WEIGHT), atol=1e-14)


def test_without_the_entropy_in_the_reward_the_identity_fails():
    policy = soft_policy(q_of(1)(WEIGHT), ALPHA)
    average = jax.tree.map(lambda each: policy @ each, all_terms(None))
    hard = jax.jit(jax.grad(lambda weight: soft_policy(q_of(1)(weight), ALPHA) @ TARGET))(WEIGHT)
    assert np.abs(average.soft_q - (-ALPHA * hard + average.value)).max() > 0.01


def mean(behaviour, each):
    return jnp.einsum("sa,saf->f", behaviour, each) / STATES


@jax.jit
def lecture_terms(weight, behaviour):
    """The lectures' two gradients and their parts, expected over uniform s and a, a' ~ behaviour.

    policy gradient  (∇Q(a) − ∇V) (r + γ Q'(a') − Q(a) + V)          with the next Q as the lecture writes it
    soft Q-learning  ∇Q(a) (r + γ V' − Q(a))
    """
    q = jnp.asarray(PHI) @ weight
    dq = jnp.asarray(PHI)
    v = jax.vmap(lambda row: soft_max(row, ALPHA))(q)
    dv = jnp.einsum("sa,saf->sf", jax.vmap(lambda row: soft_policy(row, ALPHA))(q), dq)
    next_q = jnp.einsum("sat,tb,tb->sa", TRANSITION, behaviour, q)
    next_v = TRANSITION @ v
    policy_gradient = mean(behaviour, (dq - dv[:, None]) * (REWARD + GAMMA * next_q - q + v[:, None])[..., None])
    soft_q = mean(behaviour, dq * (REWARD + GAMMA * next_v - q)[..., None])
    return q, dq, v, dv, next_q, next_v, policy_gradient, soft_q


@pytest.mark.parametrize("on_policy", [True, False])
def test_the_two_differences_of_the_lectures(on_policy):
    """Term by term: the −∇V, and the soft maximum over the next Q. Nothing else once V is a baseline (on policy)."""
    soft = jax.vmap(lambda row: soft_policy(row, ALPHA))(jnp.asarray(PHI) @ WEIGHT)
    behaviour = soft if on_policy else jnp.asarray(np.random.default_rng(4).dirichlet(np.ones(ACTIONS), STATES))
    q, dq, v, dv, next_q, next_v, policy_gradient, soft_q = lecture_terms(WEIGHT, behaviour)
    minus_grad_v = mean(behaviour, -dv[:, None] * (REWARD + GAMMA * next_q - q + v[:, None])[..., None])
    off_policy_correction = mean(behaviour, dq * (GAMMA * (next_v - next_q))[..., None])
    baseline = mean(behaviour, dq * v[:, None, None])
    np.testing.assert_allclose(policy_gradient - minus_grad_v - baseline, soft_q - off_policy_correction, atol=1e-14)
    # V is a baseline under the score ∇Q − ∇V when a ~ π, and under no other behaviour.
    under_score = np.abs(mean(behaviour, (dq - dv[:, None]) * v[:, None, None])).max()
    assert (under_score < 1e-15) == on_policy
    assert np.abs(off_policy_correction).max() > 0.01
    # The second difference exists because the lecture's next Q omits −α log π. With it, next Q equals V on policy.
    log_pi = jax.vmap(lambda row: log_soft_policy(row, ALPHA))(q)
    np.testing.assert_allclose(q - ALPHA * log_pi, jnp.broadcast_to(v[:, None], q.shape), rtol=1e-14)
    old = jax.vmap(lambda row: log_soft_policy(row, ALPHA))(q + 0.3 * jnp.arange(ACTIONS))
    assert np.abs(q - ALPHA * old - v[:, None]).max() > 0.05  # not with log π of another policy


def deterministic_optimum(prior):
    """Q, V of a deterministic problem by iterating the soft Bellman equation far past rounding."""
    successor = np.array([[1, 2], [2, 0], [0, 1]])
    per_state = (0, None if prior is None else 0)

    def value(q):
        return jax.vmap(lambda row, p: soft_max(row, ALPHA, p), per_state)(q, prior)

    q = jax.lax.fori_loop(0, 500, lambda _, q: REWARD + GAMMA * value(q)[successor], jnp.zeros((STATES, ACTIONS)))
    return successor, value(q), jax.vmap(lambda row, p: log_soft_policy(row, ALPHA, p), per_state)(q, prior)


@pytest.mark.parametrize("prior", [None, PRIOR])
def test_path_consistency_for_any_actions(prior):
    successor, v, log_pi = (np.asarray(part) for part in jax.jit(deterministic_optimum)(prior))
    log_prior = np.zeros((STATES, ACTIONS)) if prior is None else LOG_PRIOR
    rng = np.random.default_rng(6)
    for length in (1, 12):
        states, actions = [0], rng.integers(ACTIONS, size=length)
        for action in actions:
            states.append(int(successor[states[-1], action]))
        path = np.array(states[:-1]), actions
        residual = path_inconsistency(v[0], v[states[-1]], REWARD[path], log_pi[path], GAMMA, ALPHA, log_prior[path])
        assert abs(float(residual)) < 1e-15 * np.abs(v).max()
        assert (
            abs(float(path_inconsistency(v[0] + 0.1, v[states[-1]], REWARD[path], log_pi[path], GAMMA, ALPHA))) > 0.01
        )
