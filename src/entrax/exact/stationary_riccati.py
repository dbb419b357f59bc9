"""The stationary linear-quadratic value: P = F(P), with F of `riccati`.

**Start.** Doubling (`combine` of an element with itself) gives the value of 2^k decisions after k steps.
**Refinement.** Newton's method, P ← P + X with X = γ AᶜᵀXAᶜ + F(P) − P and Aᶜ the closed loop of P. For expected
outcomes this is policy iteration (Kleinman 1968, Hewer 1971).
**Derivatives** are those of the fixed point, dP = γ AᶜᵀdP Aᶜ + ∂F, by the implicit function theorem, to any order.

With P, the linear term is the solution of a linear system, and the constant follows from one backup.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from entrax.errors import UsageError
from entrax.exact.riccati import BackedUp, Decision, Element, Matrix, Scalar, add, back_up, combine, element
from entrax.exact.small_matrices import solve

_MAX_DOUBLINGS = 60
_MAX_NEWTON = 50
_EPS = float(jnp.finfo(jnp.float64).eps)
_ON_CIRCLE = 1e-10  # how far inside the unit circle an eigenvalue still counts as on it
_RANK = 1e-10  # the smallest relative singular value of a matrix of full rank


class Stationary(NamedTuple):
    """A stationary value with c = 0, its backup, and the number of doublings and Newton steps."""

    value: Matrix
    backed_up: BackedUp
    iterations: Int[Array, ""]


class _Newton(NamedTuple):
    p: Matrix
    backed_up: Matrix
    closed_loop: Matrix
    residual: Scalar
    improves: Bool[Array, ""]
    iterations: Int[Array, ""]


def solve_stationary(now: Decision, sign: int) -> Stationary:
    """Solve for P and p, as differentiable functions of the decision."""
    n = len(now.A) - 1
    core = without_linear(now)
    p, iterations = _solve(jax.lax.stop_gradient(core), sign)
    p = _fixed_point((core, sign), jax.lax.stop_gradient(p))
    alone = jnp.zeros_like(now.A).at[:n, :n].set(p)
    first = back_up(now, alone, sign)
    loop = now.discount * first.closed_loop[:n, :n]
    linear = solve(jnp.eye(n) - loop.T, first.value[:n, n:])[:, 0]
    value = alone.at[:n, n].set(linear).at[n, :n].set(linear)
    return Stationary(value=value, backed_up=back_up(now, value, sign), iterations=iterations)


def without_linear(now: Decision) -> Decision:
    """Return the decision in terms of x, without drift, linear costs and constants."""
    n = len(now.A) - 1
    return Decision(
        A=now.A[:n, :n],
        B=now.B[:n],
        Q=now.Q[:n, :n],
        R=now.R,
        N=now.N[:n],
        W=now.W[:n, :n],
        discount=now.discount,
        temperature=now.temperature,
    )


def core_back_up(core: Decision, p: Matrix, sign: int) -> BackedUp:
    """Return the backup of P without a constant."""
    result = back_up(core, p, sign)
    return result._replace(value=result.value.at[-1, -1].add(-result.constant))


def lyapunov(a: Matrix, e: Matrix) -> Matrix:
    """Return X = aᵀXa + e for a stable `a`, with derivatives of any order."""

    def summed(a: Matrix, e: Matrix) -> Matrix:
        def unfinished(state: tuple[Element, Array]) -> Array:
            now, count = state
            return (jnp.linalg.norm(now.A) > _EPS) & jnp.all(jnp.isfinite(now.J)) & (count < _MAX_DOUBLINGS)

        def double(state: tuple[Element, Array]) -> tuple[Element, Array]:
            return add(state[0], state[0]), state[1] + 1

        start = Element(A=a, C=jnp.zeros_like(a), J=e)
        return jax.lax.while_loop(unfinished, double, (start, jnp.asarray(0)))[0].J

    return jax.lax.custom_linear_solve(
        lambda x: x - a.T @ x @ a,
        e,
        solve=lambda _, b: summed(a, b),
        transpose_solve=lambda _, b: summed(a.T, b),
    )


@eqx.filter_jit
def _solve(core: Decision, sign: int) -> tuple[Matrix, Int[Array, ""]]:
    start, doublings = _doubled(core, sign)
    first = _measured(core, start, sign, doublings)

    def unfinished(s: _Newton) -> Array:
        return s.improves & (s.iterations < doublings + _MAX_NEWTON)

    def step(s: _Newton) -> _Newton:
        change = lyapunov(jnp.sqrt(core.discount) * s.closed_loop, s.backed_up - s.p)
        new = _measured(core, s.p + change, sign, s.iterations + 1)
        better = new.residual < 0.5 * s.residual
        kept = jax.tree.map(lambda a, b: jnp.where(new.residual < s.residual, a, b), new, s)
        return kept._replace(improves=better, iterations=new.iterations)

    last = jax.lax.while_loop(unfinished, step, first)
    return last.p, last.iterations


def _measured(core: Decision, p: Matrix, sign: int, iterations: Int[Array, ""]) -> _Newton:
    result = core_back_up(core, p, sign)
    residual = jnp.linalg.norm(result.value - p)
    return _Newton(
        p=p,
        backed_up=result.value,
        closed_loop=result.closed_loop,
        residual=jnp.where(jnp.isfinite(residual), residual, jnp.inf),
        improves=jnp.isfinite(residual) & (residual > 0),
        iterations=iterations,
    )


def _doubled(core: Decision, sign: int) -> tuple[Matrix, Int[Array, ""]]:
    """Return the value of very many decisions, and the number of doublings.

    If R is nearly singular, a small multiple of the identity is added to it, which Newton's method corrects.
    """
    m = len(core.R)
    size = jnp.trace(core.R) + core.discount * jnp.trace(core.B.T @ core.Q @ core.B)
    least = jnp.linalg.eigvalsh(core.R)[0]
    more = jnp.where(least > 1e-10 * size, 0.0, 1e-4 * size / m)
    start = element(eqx.tree_at(lambda d: d.R, core, core.R + more * jnp.eye(m)), sign)

    def unfinished(state: tuple[Element, Scalar, Array]) -> Array:
        now, change, count = state
        return (change > 4 * _EPS * jnp.linalg.norm(now.J)) & (count < _MAX_DOUBLINGS)

    def double(state: tuple[Element, Scalar, Array]) -> tuple[Element, Scalar, Array]:
        now, _, count = state
        twice = combine(now, now)
        return twice, jnp.linalg.norm(twice.J - now.J), count + 1

    last, _, count = jax.lax.while_loop(unfinished, double, (start, jnp.asarray(jnp.inf), jnp.asarray(0)))
    return last.J, count


@eqx.filter_custom_jvp
def _fixed_point(theta: tuple[Decision, int], p: Matrix) -> Matrix:
    return p


@_fixed_point.def_jvp
def _fixed_point_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Matrix, Matrix]:
    (theta, p), (theta_dot, _) = primals, tangents
    p = _fixed_point(theta, p)  # as a function of θ, so that the derivative has derivatives
    core, sign = theta
    _, change = eqx.filter_jvp(lambda core: core_back_up(core, p, sign).value, (core,), (theta_dot[0],))
    loop = jnp.sqrt(core.discount) * back_up(core, p, sign).closed_loop
    return p, lyapunov(loop, change)


def check_solvable(now: Decision, sign: int) -> None:
    """Check that every mode that does not decay can be controlled and has a cost.

    Raises:
        UsageError: the problem is not stabilisable or not detectable; the message names the eigenvalue.
    """
    core = jax.tree.map(np.asarray, without_linear(now))
    scale = np.sqrt(core.discount)
    control = core.B if sign <= 0 else np.hstack([core.B, square_root(core.W)])
    if (mode := hidden_mode(scale * core.A, scale * control)) is not None:
        raise UsageError(
            f"The problem is not stabilisable: no action affects the mode of eigenvalue {mode} of √γ A, which "
            "does not decay. Use a smaller `discount`, a `horizon`, or actions that affect it."
        )
    inverse = np.linalg.pinv(core.R, hermitian=True)
    free = scale * (core.A - core.B @ inverse @ core.N.T)
    if (mode := hidden_mode(free.T, square_root(core.Q - core.N @ inverse @ core.N.T))) is not None:
        raise UsageError(
            f"The problem is not detectable: the mode of eigenvalue {mode} of √γ A does not decay and has no "
            "cost, so that no policy needs to control it. Give it a cost, or use a `horizon` or a smaller `discount`."
        )


def square_root(matrix: Float[np.ndarray, "row row"]) -> Float[np.ndarray, "row row"]:
    """Return L with L Lᵀ equal to a positive semi-definite matrix."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(eigenvalues, 0))


def hidden_mode(a: np.ndarray, b: np.ndarray) -> str | None:
    """Return an eigenvalue of `a` on or outside the unit circle that b does not reach, in digits."""
    size = np.linalg.norm(a) + np.linalg.norm(b)
    for mode in np.linalg.eigvals(a):
        if abs(mode) >= 1 - _ON_CIRCLE:
            reach = np.hstack([mode * np.eye(len(a)) - a, b])
            if np.linalg.svd(reach, compute_uv=False)[-1] <= _RANK * size:
                return _digits(complex(mode))
    return None


def _digits(value: complex) -> str:
    return f"{value.real:.6g}" if abs(value.imag) < 1e-12 else f"{value:.6g}"
