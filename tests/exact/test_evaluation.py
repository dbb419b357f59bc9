"""Policy evaluation, visits and the exact policy gradient, against dense linear algebra and autodiff through it."""

import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.exact import evaluate, policy_gradient
from entrax.problems import FiniteMDP, garnet

S, A = 20, 3
ALPHA = 0.3


def cases():
    """(problem, objective): discounted, episodic (every action ends with some probability), average."""
    ergodic = garnet(S, A, 3, seed=0, discount=0.9)
    successor, probability = (np.array(x) for x in (ergodic.successor, ergodic.probability))
    successor[:, :, 0] = S
    episodic = replace(ergodic, successor=successor, probability=probability, discount=1.0)
    return {
        "discounted": (ergodic, "discounted"),
        "episodic": (episodic, "discounted"),
        "average": (ergodic, "average"),
    }


def logits():
    return jnp.asarray(np.random.default_rng(1).normal(size=(S, A)))


def dense_return(theta, mdp, objective, alpha):
    """J by a dense solve, independent of the code under test."""
    pi = jax.nn.softmax(theta)
    full = np.zeros((S, A, S + 1))
    for s, a, k in np.ndindex(np.shape(mdp.successor)):
        full[s, a, mdp.successor[s, a, k]] += mdp.probability[s, a, k]
    transition = jnp.einsum("sa,sat->st", pi, jnp.asarray(full[:, :, :S]))
    reward = jnp.sum(pi * (mdp.reward - alpha * jnp.log(pi)), 1)
    if objective == "average":
        system = jnp.concatenate([transition.T - jnp.eye(S), jnp.ones((1, S))])
        mu = jnp.linalg.solve(system.T @ system, system.T @ jnp.zeros(S + 1).at[S].set(1.0))
        return mu @ reward
    return mdp.initial @ jnp.linalg.solve(jnp.eye(S) - mdp.discount * transition, reward)


@pytest.mark.parametrize("name", ["discounted", "episodic", "average"])
@pytest.mark.parametrize("alpha", [0.0, ALPHA])
def test_policy_gradient_equals_autodiff_through_a_dense_solve(name, alpha):
    mdp, objective = cases()[name]
    value, gradient = jax.value_and_grad(dense_return)(logits(), mdp, objective, alpha)
    pi = jax.nn.softmax(logits())
    assert float(evaluate(mdp, pi, alpha, objective=objective).expected_return) == pytest.approx(
        float(value), abs=1e-10
    )
    np.testing.assert_allclose(policy_gradient(mdp, pi, alpha, objective=objective), gradient, atol=1e-10)


@pytest.mark.parametrize("name", ["discounted", "episodic", "average"])
def test_return_is_the_reward_over_the_visits(name):
    mdp, objective = cases()[name]
    found = evaluate(mdp, jax.nn.softmax(logits()), ALPHA, objective=objective)
    earned = jnp.sum(found.visits * mdp.reward) + ALPHA * jnp.sum(found.visits.sum(1) * found.entropy)
    assert float(earned) == pytest.approx(float(found.expected_return), abs=1e-11)
    total = {"discounted": 10.0, "average": 1.0}.get(name)
    if total is not None:
        assert float(found.visits.sum()) == pytest.approx(total, abs=1e-10)


def test_evaluation_is_differentiable():
    mdp, _ = cases()["discounted"]
    gradient = jax.grad(lambda theta: evaluate(mdp, jax.nn.softmax(theta), ALPHA).expected_return)(logits())
    np.testing.assert_allclose(gradient, policy_gradient(mdp, jax.nn.softmax(logits()), ALPHA), atol=1e-11)


def test_kl_convention_charges_the_divergence_from_the_prior():
    mdp, _ = cases()["discounted"]
    pi = jax.nn.softmax(logits())
    plain, soft, kl = (
        evaluate(mdp, pi, alpha, convention=convention).expected_return
        for alpha, convention in ((0.0, "entropy"), (ALPHA, "entropy"), (ALPHA, "kl"))
    )
    assert float(soft - kl) == pytest.approx(ALPHA * np.log(A) / (1 - 0.9), abs=1e-10)
    assert float(soft) > float(plain) > float(kl)


def test_large_problems_are_solved_without_matrices():
    """With more states than are solved densely, the policy's Bellman equation holds and visits sum to 1/(1 − γ)."""
    mdp = garnet(3000, 2, 3, seed=2, discount=0.99)
    pi = jnp.full((3000, 2), 0.5)
    found = evaluate(mdp, pi)
    padded = jnp.append(found.value, 0.0)
    q = mdp.reward + 0.99 * jnp.sum(mdp.probability * padded[mdp.successor], -1)
    np.testing.assert_allclose(found.value, q.mean(1), atol=1e-9)
    assert float(found.visits.sum()) == pytest.approx(100.0, abs=1e-8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda pi: pi[:-1], "`policy`.*shape"),
        (lambda pi: pi.at[3, 0].add(0.5), "state 3.*distribution"),
    ],
)
def test_bad_policies_are_refused(change, words):
    mdp, _ = cases()["discounted"]
    with pytest.raises(EntraxError, match=words):
        evaluate(mdp, change(jax.nn.softmax(logits())))


def test_a_policy_that_never_ends_is_refused():
    lake = FiniteMDP.from_gymnasium("FrozenLake-v1")
    up = np.eye(4)[np.full(16, 3)]
    costly = replace(lake, reward=jnp.where(lake.terminal[:, None], lake.reward, lake.reward - 1.0))
    with pytest.raises(EntraxError, match=r"`policy`.*state 0"):
        evaluate(costly, up)
    assert evaluate(lake, up).value[0] == 0.0  # all its rewards are 0


EIGHT_BATCHES = """
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
from entrax.exact import evaluate
from entrax.problems import garnet
mdp = garnet(64, 3, 2, seed=0, discount=0.9)
policies = jax.nn.softmax(jax.random.normal(jax.random.key(0), (8, 64, 64, 3)))
values = jax.jit(jax.vmap(lambda *each: jnp.stack([evaluate(mdp, policy).value for policy in each])))
for _ in range(20):
    batched = jax.block_until_ready(values(*policies))
print(jnp.max(jnp.abs(batched[5, 7] - evaluate(mdp, policies[7, 5]).value)))
"""


def test_batches_of_evaluations_side_by_side_end():
    # batches of LAPACK's calls wait for each other for ever in jaxlib 0.10 on two cores
    run = subprocess.run([sys.executable, "-c", EIGHT_BATCHES], capture_output=True, text=True, timeout=240, check=True)
    assert float(run.stdout) < 1e-12
