"""Certified bounds on the error of linear-quadratic values, including rounding.

The backup F of `riccati` is monotone: P ⪯ P' implies F(P) ⪯ F(P'). So V* lies between −zᵀP⁺z and −zᵀP⁻z if

    P⁺_t ⪰ F(P⁺_{t+1}),   P⁻_t ⪯ F(P⁻_{t+1})                                                                  (1)

at every decision; without a horizon P± are the same at all times, and V* is the best value of policies that bring
√γᵗx_t to 0. Here P± = P ± diag(X, e±), where X = γ AᶜᵀX'Aᶜ + 2(|F(P) − P| + ε) I with the closed loop Aᶜ of P and a
bound ε on rounding. For the gain K of P and any P±,

    |F(P±) − F_K(P±)| ≤ |G|²|M⁻¹|,   G = Nᵀ + γBᵀP±A − MK                                                       (2)

where F_K is the cost of the gain K (`quadratic_cost`), so (1) is checked by products of matrices and one Cholesky
factorisation for each side. The constants e± are the least ones for which (1) holds, by the Schur complement. For
outcomes that are not expected, the noise is one more action, with the cost ½ασ|ε|², w = Lε and LLᵀ = W.

Then |P* − P| ≤ max(|X|, e⁺, e⁻) in the spectral norm, with the constant and the linear terms included, and
|V − V*|(x) is at most that times 1 + |x|².
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from entrax.exact.riccati import (
    Decision,
    Element,
    Matrix,
    Scalar,
    add,
    decision,
    discounted_sums,
    nothing,
    over_decisions,
    quadratic_cost,
    suffixes,
    symmetric,
    volume,
)
from entrax.exact.small_matrices import cholesky, inverse, solve
from entrax.exact.stationary_riccati import lyapunov
from entrax.problems.linear_quadratic import LinearQuadratic

_EPS = float(jnp.finfo(jnp.float64).eps)
_SIDES = (1.0, -1.0)  # above and below


class _Linearised(NamedTuple):
    """A decision whose noise is an action, L, the gain, closed loop, and the width to add to X."""

    now: Decision
    factor: Matrix
    gain: Matrix
    loop: Matrix
    width: Scalar


def stationary_bound(now: Decision, p: Matrix, constant: Scalar, sign: int, average: bool) -> Scalar:
    """Bound the error of P with its constant, or of P and the average cost."""
    n = len(now.A) - 1
    at = _linearise(now, noise_factor(now.W, sign), p, p, sign)
    x = lyapunov(jnp.sqrt(now.discount) * at.loop, at.width * jnp.eye(n))
    share = jnp.asarray(1.0) if average else 1 - now.discount

    def error(side: Scalar) -> Scalar:
        return side * (_rate(at, now, p, p, x, x, side, sign) - share * constant) / share

    errors = jax.vmap(error)(jnp.asarray(_SIDES)) + 8 * _EPS * jnp.abs(constant)
    return _finite(jnp.maximum(jnp.linalg.norm(x), jnp.max(errors)))


def horizon_bound(problem: LinearQuadratic, temperature: Scalar, values: Float[Array, "_ _ _"], sign: int) -> Scalar:
    """Bound the error of P_t over all times."""
    n = problem.states

    small = noise_factor(jnp.asarray(problem.W), sign)
    factor = jnp.zeros((*small.shape[:-2], n + 1, n + 1)).at[..., :n, :n].set(small)
    factor = jnp.broadcast_to(factor, (len(values) - 1, n + 1, n + 1))

    def linearised(each: LinearQuadratic, factor: Matrix, before: Matrix, after: Matrix) -> tuple[Matrix, Scalar]:
        at = _linearise(decision(each, temperature), factor, before, after, sign)
        return at.loop, at.width

    loop, width = over_decisions(problem, linearised, factor, values[:-1], values[1:])
    ones = Element(A=jnp.sqrt(problem.discount) * loop, C=jnp.zeros_like(loop), J=width[:, None, None] * jnp.eye(n))
    x = suffixes(add, ones, nothing(n)).J
    after = jnp.concatenate([x[1:], jnp.zeros((1, n, n))])

    def sides(
        each: LinearQuadratic, factor: Matrix, p: Matrix, p_after: Matrix, x: Matrix, x_after: Matrix
    ) -> Float[Array, "2"]:
        now = decision(each, temperature)
        at = _linearise(now, factor, p, p_after, sign)
        here, later = p[n, n], p_after[n, n]
        rounded = 4 * _EPS * (jnp.abs(here) + jnp.abs(later))

        def error(side: Scalar) -> Scalar:
            rate = _rate(at, now, p, p_after, x, x_after, side, sign)
            return side * (rate + now.discount * later - here) + rounded

        return jax.vmap(error)(jnp.asarray(_SIDES))

    excess = over_decisions(problem, sides, factor, values[:-1], values[1:], x, after)
    discount = jnp.full(len(excess), problem.discount)
    errors = jax.vmap(discounted_sums, (None, 1))(discount, excess)
    return _finite(jnp.maximum(jnp.max(jnp.linalg.norm(x, axis=(1, 2))), jnp.max(jnp.abs(errors))))


def _finite(bound: Scalar) -> Scalar:
    return jnp.where(jnp.isnan(bound), jnp.inf, bound)


def _linearise(now: Decision, factor: Matrix, before: Matrix, after: Matrix, sign: int) -> _Linearised:
    joint = _noise_as_action(now, factor, sign)
    after = without_constant(after)
    slope = joint.N.T + joint.discount * joint.B.T @ after @ joint.A
    gain = solve(_curvature(joint, after), slope)
    residual = without_constant(quadratic_cost(joint, gain, after) - before)
    n = len(now.A) - 1
    return _Linearised(
        now=joint,
        factor=factor,
        gain=gain,
        loop=(joint.A - joint.B @ gain)[:n, :n],
        width=2 * (jnp.linalg.norm(residual[:n, :n]) + _rounding(joint, gain, after)),
    )


def _noise_as_action(now: Decision, factor: Matrix, sign: int) -> Decision:
    """Return the decision with ε, w = Lε, as further actions, and without the constant cost."""
    cost = now.Q.at[-1, -1].set(0.0)
    if sign == 0:
        return Decision(
            A=now.A, B=now.B, Q=cost, R=now.R, N=now.N, W=now.W, discount=now.discount, temperature=now.temperature
        )
    m, k = now.B.shape[1], factor.shape[1]
    r = jnp.zeros((m + k, m + k)).at[:m, :m].set(now.R).at[m:, m:].set(sign * now.temperature / 2 * jnp.eye(k))
    return Decision(
        A=now.A,
        B=jnp.hstack([now.B, factor]),
        Q=cost,
        R=r,
        N=jnp.hstack([now.N, jnp.zeros((len(now.N), k))]),
        W=now.W,
        discount=now.discount,
        temperature=now.temperature,
    )


def noise_factor(w: Float[Array, "... _ _"], sign: int) -> Float[Array, "... _ _"]:
    """Return L with LLᵀ = W; W itself for expected outcomes, which do not use it."""
    if sign == 0:
        return w
    eigenvalues, vectors = jnp.linalg.eigh(w)
    return vectors * jnp.sqrt(jnp.maximum(eigenvalues, 0.0))[..., None, :]


def _rate(
    at: _Linearised,
    now: Decision,
    before: Matrix,
    after: Matrix,
    x: Matrix,
    x_after: Matrix,
    side: Scalar,
    sign: int,
) -> Scalar:
    """Return the least (side 1) or largest (−1) constant of this decision for which (1) holds; NaN if none does."""
    n = len(x)
    later = without_constant(after).at[:n, :n].add(side * x_after)
    earlier = without_constant(before).at[:n, :n].add(side * x)
    m = _curvature(at.now, later)
    slope = at.now.N.T + at.now.discount * at.now.B.T @ later @ at.now.A - m @ at.gain
    rounded = _rounding(at.now, at.gain, later)
    second = (jnp.linalg.norm(slope) + rounded) ** 2 * jnp.linalg.norm(inverse(m)) * 1.01
    margin = rounded + second
    gap = side * (earlier - quadratic_cost(at.now, at.gain, later))
    root = cholesky(gap[:n, :n] - margin * jnp.eye(n))
    reach = solve(root, gap[:n, n:])
    constant, error = _constants(now, at.factor, later, sign)
    least = -gap[n, n] + jnp.sum(reach**2) * (1 + n * _EPS) + margin + error
    return side * least + now.Q[n, n] + constant


def _curvature(now: Decision, after: Matrix) -> Matrix:
    return symmetric(now.R + now.discount * now.B.T @ after @ now.B)


def without_constant(p: Matrix) -> Matrix:
    """Return P with c = 0."""
    return p.at[-1, -1].set(0.0)


def _rounding(now: Decision, gain: Matrix, after: Matrix) -> Scalar:
    """Bound the spectral norm of the rounding error of `quadratic_cost`, of G and of M."""
    k, a, b = jnp.abs(gain), jnp.abs(now.A), jnp.abs(now.B)
    reach = a + b @ k
    size = jnp.abs(now.Q) + 2 * jnp.abs(now.N) @ k + k.T @ jnp.abs(now.R) @ k
    size = size + now.discount * reach.T @ jnp.abs(after) @ reach + jnp.abs(after)
    n, m = now.B.shape
    return 2 * (n + m + 4) * _EPS * jnp.linalg.norm(size)


def _constants(now: Decision, factor: Matrix, p: Matrix, sign: int) -> tuple[Scalar, Scalar]:
    """Return κ + η of P and a bound on its rounding error; NaN where the value is not finite."""
    alpha, m = now.temperature, now.B.shape[1]
    tilted, kappa, error = p, now.discount * jnp.sum(p * now.W), jnp.asarray(0.0)
    if sign == 0:
        error = now.discount * jnp.sum(jnp.abs(p * now.W)) * len(p) * _EPS
    else:
        spread = jnp.eye(len(p)) + 2 * sign / alpha * symmetric(factor.T @ p @ factor)
        root = cholesky(spread)
        half = solve(root, factor.T @ p)
        tilted = symmetric(p - 2 * sign / alpha * half.T @ half)
        kappa = sign * alpha * jnp.sum(jnp.log(jnp.diagonal(root)))
        error = alpha * _log_det_error(spread)
    curvature = symmetric(now.R + now.discount * now.B.T @ tilted @ now.B)
    eta = -alpha * volume(curvature, cholesky(curvature), alpha)
    error = error + alpha * _log_det_error(curvature) + 4 * _EPS * (jnp.abs(eta) + jnp.abs(kappa))
    return kappa + eta, error + alpha * m * _EPS * jnp.abs(jnp.log(jnp.where(alpha > 0, alpha, 1.0)))


def _log_det_error(matrix: Matrix) -> Scalar:
    """Bound the rounding error of log det: proportional to the condition number."""
    size = len(matrix) + 4
    return size**2 * _EPS * jnp.linalg.norm(matrix) * jnp.linalg.norm(inverse(matrix))
