"""Random undiscounted problems, every method against policy iteration in dense NumPy: the bound is true and finite.

Their rewards are negative, on scales from 10⁻³ to 10³, so that staying costs, little or much, and some actions stay.
All have one shape, which is compiled once for each method and convention.
"""

import numpy as np
import pytest

from entrax.exact import METHODS, plan
from entrax.problems import FiniteMDP

S, A, K = 7, 3, 2
PROBLEMS = 24


def problem(seed):
    """From states with a way to the end; half of the actions are deterministic."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(K), (S, A))
    probability[rng.random((S, A)) < 0.5] = [1.0, 0.0]
    successor = rng.integers(0, S, (S, A, K))
    # State s can go to some state above it, and the last one to the end: so all can end, the first ones after a while.
    onward = [rng.integers(s + 1, S + 1) for s in range(S)]
    successor[np.arange(S), rng.integers(0, A, S), 0] = onward
    reward = -np.exp(rng.uniform(-7, 7) * rng.random((S, A))) if seed % 2 else -rng.integers(1, 7, (S, A)).astype(float)
    return FiniteMDP(
        successor=successor.astype(np.int32),
        probability=probability,
        reward=reward,
        initial=np.eye(S)[0],
        terminal=np.zeros(S, bool),
    )


def dense_transitions(mdp):
    full = np.zeros((S, A, S + 1))
    for s, a, k in np.ndindex(S, A, K):
        full[s, a, mdp.successor[s, a, k]] += mdp.probability[s, a, k]
    return full[..., :S]


def reference(mdp, alpha):
    """Policy iteration from the uniform policy, which ends; with α > 0 it pays for its divergence from that one."""
    p, pi, value = dense_transitions(mdp), np.full((S, A), 1 / A), np.full(S, -np.inf)
    while True:
        cost = alpha * np.sum(pi * np.log(np.where(pi > 0, A * pi, 1.0)), axis=1)
        chain, earned = np.einsum("sa,sat->st", pi, p), np.sum(pi * mdp.reward, axis=1)
        before, value = value, np.linalg.solve(np.eye(S) - chain, earned - cost)
        if np.all(value <= before + 1e-13 * np.abs(value)):
            return value
        q = mdp.reward + p @ value
        gap = q - q.max(1, keepdims=True)
        pi = np.exp(gap / alpha) if alpha > 0 else (gap >= -1e-13 * np.abs(q)).astype(float)
        pi = np.eye(A)[pi.argmax(1)] if alpha == 0 else pi / pi.sum(1, keepdims=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_every_method_and_its_bound_against_a_dense_reference(method, alpha):
    for seed in range(PROBLEMS):
        mdp = problem(seed)
        solution = plan(mdp, alpha, convention="kl", method=method)
        expected = reference(mdp, alpha)
        error = np.max(np.abs(solution.value - expected))
        assert bool(solution.converged), f"problem {seed}"
        assert float(solution.error_bound) <= 1e-9 * max(1.0, np.max(np.abs(expected))), f"problem {seed}"
        assert error <= float(solution.error_bound) + 1e-12 * np.max(np.abs(expected)), f"problem {seed}"
