"""One decision of a linear-quadratic problem as a map of quadratic values, and many of them.

With z = (x, 1) a value is V(x) = −zᵀPz, where P contains the linear term and the constant. The drift and the linear
costs become part of A, Q and N, so that one Riccati equation covers them all:

    P̃, κ = P, γ tr(PW)                                    outcomes 'expected': E V                           (1)
    P̃, κ = P(I + SP)⁻¹, ½ασ log det(I + SP), S = 2σW/α    outcomes 'optimistic', σ = 1: α log E exp(V/α)     (2)
                                                          outcomes 'pessimistic', σ = −1: −α log E exp(−V/α)
    M = R + γBᵀP̃B,   K = M⁻¹(Nᵀ + γBᵀP̃A),   Σ = ½α M⁻¹      the policy N(−Kz, Σ)                               (3)
    P' = Q − NK − KᵀNᵀ + KᵀRK + γ(A − BK)ᵀP̃(A − BK)          and the constant increases by κ + η               (4)
    η = −½α (m log πα − log det M)                         so that V' = α log ∫ exp(Q(x,u)/α) du

A prior N(u; −K₀z, Σ₀) adds −α log π₀ to the cost. P becomes P(I + SP)⁻¹ if the noise is one more action, with
the cost ½ασ wᵀW⁻¹w: optimism is control over the noise.

**Associative scan.** Several decisions in a row, without κ and η, are determined by (A, C, J). One decision has
C = BR⁻¹Bᵀ + S, after γ and N are absorbed. J is the cost if the final value is 0, and P' = AᵀP(I + CP)⁻¹A + J for any
other. `combine` joins two such elements and is associative, so that blocks of decisions are joined side by side
(`suffixes`), and T = 2^k equal decisions take k steps ('doubling'). It requires that R can be inverted. With C = 0 it
is the sum of a Lyapunov equation.

References:
    Särkkä and García-Fernández (2023), Temporal parallelization of dynamic programming and linear quadratic control.
    Whittle (1990), Risk-sensitive optimal control, for (2).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from entrax.exact.bellman import COLDEST
from entrax.exact.small_matrices import cholesky, eliminate, inverse, solve
from entrax.problems.linear_quadratic import LinearPolicy, LinearQuadratic

OUTCOMES = {"expected": 0, "optimistic": 1, "pessimistic": -1}
"""How a value averages over the noise, and σ of equation (2)."""

Matrix = Float[Array, "_ _"]
Matrices = Float[Array, "... _ _"]
Scalar = Float[Array, ""]


class Decision(eqx.Module):
    """One decision in terms of z = (x, 1), in the entropy convention."""

    A: Matrix
    B: Matrix
    Q: Matrix
    R: Matrix
    N: Matrix
    W: Matrix
    discount: Scalar
    temperature: Scalar


class BackedUp(NamedTuple):
    """The result of equations (3) and (4).

    Attributes:
        value: P' with all constants.
        gain: K of z.
        M: half the second derivative of the cost, with that of what follows, by the action.
        closed_loop: (I + SP)⁻¹(A − BK), which maps z to the mean of the next z that the value assumes.
        constant: κ + η.
    """

    value: Matrix
    gain: Matrix
    M: Matrix
    closed_loop: Matrix
    constant: Scalar


class Element(NamedTuple):
    """Consecutive decisions as (A, C, J), see the module."""

    A: Matrices
    C: Matrices
    J: Matrices


def as_arrays(problem: LinearQuadratic) -> LinearQuadratic:
    """Convert to float64 JAX arrays, so that changed numbers need no recompilation."""
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), problem)


def decision(problem: LinearQuadratic, temperature: Scalar) -> Decision:
    """Return one decision of a problem without entries that change with time."""
    n, m = problem.B.shape
    square = jnp.block([[problem.Q, problem.q[:, None]], [problem.q, problem.constant]])
    cross, r = jnp.vstack([problem.N, problem.r]), jnp.asarray(problem.R)
    if problem.prior is not None:
        k = jnp.hstack([problem.prior.gain, -problem.prior.offset[:, None]])
        inverted = eliminate(jnp.asarray(problem.prior.covariance), jnp.eye(m))
        precise, log_normal = inverted.x, m * jnp.log(2 * jnp.pi) + inverted.log_determinant
        square = square + temperature / 2 * (k.T @ precise @ k).at[n, n].add(log_normal)
        cross, r = cross + temperature / 2 * k.T @ precise, r + temperature / 2 * precise
    return Decision(
        A=jnp.eye(n + 1).at[:n].set(jnp.hstack([problem.A, problem.drift[:, None]])),
        B=jnp.zeros((n + 1, m)).at[:n].set(problem.B),
        Q=symmetric(square),
        R=symmetric(r),
        N=cross,
        W=jnp.zeros((n + 1, n + 1)).at[:n, :n].set(problem.W),
        discount=jnp.asarray(problem.discount),
        temperature=temperature,
    )


def final_value(problem: LinearQuadratic) -> Matrix:
    """Return P after the last decision."""
    final_q = jnp.asarray(problem.final_q)
    return symmetric(jnp.block([[problem.final_Q, final_q[:, None]], [final_q, problem.final_constant]]))


def symmetric(matrix: Matrices) -> Matrices:
    """Return the symmetric part."""
    return (matrix + jnp.swapaxes(matrix, -1, -2)) / 2


def after_noise(now: Decision, p: Matrix, sign: int) -> tuple[Matrix, Matrix, Scalar]:
    """Return (I + SP)⁻¹, P̃ and κ, equations (1) and (2)."""
    eye = jnp.eye(len(p))
    if sign == 0:
        return eye, p, now.discount * jnp.sum(p * now.W)
    tilt = eye + 2 * sign / now.temperature * now.W @ p
    inverted = eliminate(tilt, eye)
    constant = sign * now.temperature / 2 * jnp.where(inverted.sign > 0, inverted.log_determinant, jnp.nan)
    return inverted.x, symmetric(p @ inverted.x), constant


def back_up(now: Decision, p: Matrix, sign: int) -> BackedUp:
    """Return the value before a decision, and its policy, from P after it; NaN if M is not positive definite."""
    tilt, tilted, constant = after_noise(now, p, sign)
    m = symmetric(now.R + now.discount * now.B.T @ tilted @ now.B)
    root = cholesky(m)
    gain = solve(m, now.N.T + now.discount * now.B.T @ tilted @ now.A)
    constant = constant - now.temperature * volume(m, root, now.temperature)
    return BackedUp(
        value=quadratic_cost(now, gain, tilted).at[-1, -1].add(constant),
        gain=gain,
        M=m,
        closed_loop=tilt @ (now.A - now.B @ gain),
        constant=constant,
    )


def volume(m: Matrix, root: Matrix, temperature: Scalar) -> Scalar:
    """Return log ∫ exp(−uᵀMu/α) du, given the Cholesky factor of M; 0 at temperature 0."""
    warm = jnp.where(temperature > COLDEST, temperature, 1.0)
    log = len(m) / 2 * jnp.log(jnp.pi * warm) - jnp.sum(jnp.log(jnp.diagonal(root)))
    return jnp.where(temperature > COLDEST, log, 0.0)


def quadratic_cost(now: Decision, gain: Matrix, tilted: Matrix) -> Matrix:
    """Return equation (4) for any K, without κ and η."""
    after = now.A - now.B @ gain
    cross = now.N @ gain
    return symmetric(now.Q - cross - cross.T + gain.T @ now.R @ gain + now.discount * after.T @ tilted @ after)


def policy_of(gain: Matrix, m: Matrix, temperature: Scalar) -> LinearPolicy:
    """Return N(−Kz, ½α M⁻¹)."""
    return LinearPolicy(gain[..., :-1], -gain[..., -1], temperature / 2 * symmetric(inverse(m)))


def element(now: Decision, sign: int) -> Element:
    """Return one decision as an element; not finite if R cannot be inverted."""
    solved = solve(now.R, jnp.hstack([now.N.T, now.B.T]))
    by_n, by_b = solved[:, : len(now.A)], solved[:, len(now.A) :]
    spread = now.discount * now.B @ by_b
    if sign:
        spread = spread + 2 * sign / now.temperature * now.W
    return Element(
        A=jnp.sqrt(now.discount) * (now.A - now.B @ by_n), C=symmetric(spread), J=symmetric(now.Q - now.N @ by_n)
    )


def combine(first: Element, second: Element) -> Element:
    """Return the element of `first` and then `second`."""
    eye = jnp.eye(first.A.shape[-1])
    both = jnp.concatenate([first.A, first.C], -1)
    solved = solve(eye + first.C @ second.J, both)
    a, c = jnp.split(solved, 2, axis=-1)
    second_t, first_t = jnp.swapaxes(second.A, -1, -2), jnp.swapaxes(first.A, -1, -2)
    return Element(
        A=second.A @ a,
        C=symmetric(second.A @ c @ second_t + second.C),
        J=symmetric(first_t @ second.J @ a + first.J),
    )


def add(first: Element, second: Element) -> Element:
    """Return `combine(first, second)` for C = 0: the sum of a Lyapunov equation."""
    first_t = jnp.swapaxes(first.A, -1, -2)
    return Element(A=second.A @ first.A, C=first.C, J=symmetric(first_t @ second.J @ first.A + first.J))


def nothing(n: int) -> Element:
    """Return the element of no decision."""
    return Element(A=jnp.eye(n), C=jnp.zeros((n, n)), J=jnp.zeros((n, n)))


def suffixes(join: Callable[[Any, Any], Any], elements: Any, neutral: Any) -> Any:
    """Return e_t ∘ e_{t+1} ∘ … ∘ e_{T−1} for each t, of an associative operation with a neutral element.

    √T blocks of √T elements are joined side by side, then the blocks one after another: 2√T steps. The log T levels of
    `jax.lax.associative_scan` would each be compiled for a size of their own, which takes a minute.
    """
    time = len(jax.tree.leaves(elements)[0])
    size = math.isqrt(time - 1) + 1
    count = -(-time // size)

    def blocks(each: Array, unit: Array) -> Array:
        padding = jnp.broadcast_to(unit, (size * count - time, *unit.shape))
        return jnp.swapaxes(jnp.concatenate([padding, each]).reshape(count, size, *unit.shape), 0, 1)

    def within(later: Any, now: Any) -> tuple[Any, Any]:
        joined = jax.vmap(join)(now, later)
        return joined, joined

    def across(later: Any, block: Any) -> tuple[Any, Any]:
        return join(block, later), later

    alone = jax.tree.map(lambda unit: jnp.broadcast_to(unit, (count, *unit.shape)), neutral)
    whole, parts = jax.lax.scan(within, alone, jax.tree.map(blocks, elements, neutral), reverse=True)
    _, rest = jax.lax.scan(across, neutral, whole, reverse=True)
    joined = jax.vmap(jax.vmap(join), (0, None))(parts, rest)
    return jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1).reshape(-1, *a.shape[2:])[size * count - time :], joined)


def values_by_scan(problem: LinearQuadratic, temperature: Scalar, sign: int) -> Matrices:
    """Return P_0 … P_T of a finite horizon, one decision after another."""
    varying = problem.varying
    fixed = None if varying else decision(problem, temperature)

    def step(p: Matrix, entries: dict[str, Any]) -> tuple[Matrix, Matrix]:
        now = decision(problem.with_entries(entries), temperature) if fixed is None else fixed
        return back_up(now, p, sign).value, p

    first, later = jax.lax.scan(step, final_value(problem), varying, problem.horizon, reverse=True)
    return jnp.concatenate([first[None], later])


def values_by_associative_scan(problem: LinearQuadratic, temperature: Scalar, sign: int) -> Matrices:
    """Return P_0 … P_T of a finite horizon in 2√T steps of √T decisions side by side."""
    last = final_value(problem)
    zero = jnp.zeros_like(last)
    elements = over_decisions(problem, lambda each: element(decision(each, temperature), sign))
    ended = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), elements, Element(A=zero, C=zero, J=last))
    values = suffixes(combine, ended, nothing(len(last))).J

    def noise_and_entropy(each: LinearQuadratic, after: Matrix) -> Scalar:
        return back_up(decision(each, temperature), after, sign).constant

    constant = over_decisions(problem, noise_and_entropy, values[1:])
    discount = jnp.full_like(constant, problem.discount)
    return values.at[:-1, -1, -1].add(discounted_sums(discount, constant))


def discounted_sums(discount: Float[Array, " time"], each: Float[Array, " time"]) -> Float[Array, " time"]:
    """Return s_t = e_t + γ_t s_{t+1}, with s = 0 after the last."""

    def join(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        return first[0] * second[0], first[1] + first[0] * second[1]

    return suffixes(join, (discount, each), (jnp.asarray(1.0), jnp.asarray(0.0)))[1]


def over_decisions(problem: LinearQuadratic, function: Any, *arrays: Any) -> Any:
    """Return `function` of the problem of each decision, and of each entry of `arrays`."""
    horizon = problem.horizon
    assert horizon is not None

    def one(_: Array, entries: dict[str, Any], *rest: Any) -> Any:
        return function(problem.with_entries(entries), *rest)

    return jax.vmap(one)(jnp.arange(horizon), problem.varying, *arrays)
