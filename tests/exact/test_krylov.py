"""The residual that BiCGStab returns is true, also after a breakdown and for systems without a solution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.exact.krylov import bicgstab

N = 11


@pytest.fixture(scope="module")
def solve():
    return jax.jit(lambda a, b, tolerance: bicgstab(lambda x: a @ x, b, tolerance, 2000))


def walk():
    """I − P of the symmetric random walk that ends on either side."""
    return np.eye(N) - 0.5 * (np.eye(N, k=1) + np.eye(N, k=-1))


def test_a_symmetric_breakdown_is_overcome(solve):
    """For b = 1 the recurrence divides by almost 0, and then its residual is wrong."""
    found = solve(walk(), jnp.ones(N), 1e-3)
    np.testing.assert_allclose(found.x, (1 + np.arange(N)) * (N - np.arange(N)), atol=0.1)
    assert float(found.residual) <= 1e-3


def chains():
    """I − P of random sparse chains; some never end and have no solution."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        p = rng.dirichlet(np.ones(2), N)
        matrix = np.eye(N)
        for s, (one, other) in enumerate(rng.integers(0, N + 2, (N, 2))):
            for target, mass in ((one, p[s, 0]), (other, p[s, 1])):
                if target < N:
                    matrix[s, target] -= mass
        yield matrix, rng.normal(size=N)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-11])
def test_the_residual_is_that_of_x(solve, tolerance):
    solved = 0
    for matrix, b in chains():
        found = solve(matrix, b, tolerance)
        size = np.max(np.abs(b - matrix @ found.x))
        assert float(found.residual) == pytest.approx(size, abs=1e-12 * (1 + np.max(np.abs(found.x))))
        assert float(found.residual) <= np.max(np.abs(b))
        regular = np.linalg.cond(matrix) < 1e6
        if regular:
            assert size <= tolerance
        solved += regular
    assert 20 < solved < 100


def test_an_unreachable_tolerance_ends_the_solve(solve):
    matrix = walk()
    found = solve(matrix, jnp.ones(N), 1e-30)
    assert float(found.residual) <= 1e-12
    assert int(found.products) < 200
