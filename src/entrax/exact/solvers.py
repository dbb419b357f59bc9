"""Fixed points of the soft Bellman operator T, in compiled loops: value iteration and Newton's method.

Newton's method on V = T V is soft policy iteration: T is convex with derivative γ P_π at V, π being the soft policy
of V, so a step solves (I − γ P_π) d = T V − V and, solved exactly, lands on the value of π. Solved only as far as a
forcing term η asks, |b − A d| ≤ η |b|, it is inexact policy iteration; η falls with the residual, which keeps the
local convergence faster than linear, and is tightened whenever the residual stops falling, which makes the method
policy iteration in the end.

Without a discount P_π may never end an episode: I − P_π is then singular, or so nearly that a solution is of any size.
But where nothing is gained by staying for ever (see `finiteness`), V ≤ T V puts V below the optimum, and makes its
policy one that ends. So the method starts from the value of a policy that ends (`proper_start`), solves for a little
less than b, which leaves V ≤ T V, and accepts no step that does not: sweeps, which keep the order too, replace it.

Sources: Puterman and Brumelle (1979), On the convergence of policy iteration in stationary dynamic programming;
Eisenstat and Walker (1996), Choosing the forcing terms in an inexact Newton method; Gargiani, Liao-McPherson, Zanelli
and Lygeros (2023), Inexact GMRES policy iteration for large-scale Markov decision processes, arXiv:2211.04299; without
a discount, Bertsekas and Tsitsiklis (1991), An analysis of stochastic shortest path problems.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from entrax.exact.bellman import (
    ByState,
    Scalar,
    Sweep,
    action_values,
    backup,
    greedy_rows,
    policy_rows,
    rounding,
    soft_maximiser,
)
from entrax.exact.krylov import Solved, bicgstab
from entrax.exact.linear import residual_operator

_PATIENCE = 3  # Newton steps without a smaller residual before the forcing term is tightened
_FORCING = 1e-2  # the first forcing term, and the largest
_RETREAT = 20  # sweeps in place of the first Newton step that could not be made, twice as many for the next, ...
_RETREATS = 8  # ... so many times
_SLACK = 4  # units of rounding by which V ≤ T V may seem to fail
_MAX_PRODUCTS = 4000  # of one linear solve; a slow one is better continued from a better policy


class Found(NamedTuple):
    """A value with max|T V − V| = `residual` after `iterations`, and `products` with P in all, sweeps included.

    `converged`: the residual is as small as was asked, or as rounding allows, which bounds no error yet.
    """

    value: ByState
    residual: Scalar
    iterations: Int[Array, ""]
    products: Int[Array, ""]
    converged: Bool[Array, ""]


def residual_target(sweep: Sweep, temperature: Scalar, v: ByState, tolerance: Scalar, modulus: Scalar) -> Scalar:
    """The residual that shows max|V* − V| ≤ `tolerance` if T contracts by `modulus`; at least what rounding allows."""
    unit = rounding(sweep, temperature, v)
    # Value iteration measures the residual of the V before: T V has that times `modulus`, and two roundings.
    return jnp.maximum(tolerance * (1 - modulus) - 3 * unit, unit)


@eqx.filter_jit
def value_iteration(
    sweep: Sweep,
    temperature: Scalar,
    start: ByState,
    tolerance: Scalar,
    modulus: Scalar,
    max_iterations: Int[Array, ""],
) -> Found:
    """V ← T V until the residual shows `tolerance`, see `residual_target`."""

    def unfinished(found: Found) -> Array:
        return ~found.converged & (found.iterations < max_iterations)

    def step(found: Found) -> Found:
        value = backup(sweep, temperature, found.value)
        residual = jnp.max(jnp.abs(value - found.value))
        done = residual <= residual_target(sweep, temperature, value, tolerance, modulus)
        return Found(value, residual, found.iterations + 1, found.products + 1, done)

    zero = jnp.asarray(0)
    return jax.lax.while_loop(unfinished, step, Found(start, jnp.asarray(jnp.inf), zero, zero, zero > 0))


class _Newton(NamedTuple):
    value: ByState
    backed_up: ByState
    residual: Scalar
    best: Scalar
    waited: Int[Array, ""]
    forcing: Scalar
    retreats: Int[Array, ""]
    iterations: Int[Array, ""]
    products: Int[Array, ""]


@eqx.filter_jit
def proper_start(sweep: Sweep, temperature: Scalar, level: Int[Array, " state"]) -> ByState:
    """A little less than the undiscounted value of the policy that gets most surely to a lower `level`, 0 at the end.

    That is below T of it; V = 0 is returned where the solve shows otherwise.
    """
    padded = jnp.append(level, 0)
    nearer = padded[sweep.successor] < level
    descent = jnp.sum(jnp.where(nearer, sweep.probability, 0.0), axis=1)
    descent = jnp.where(jnp.isfinite(sweep.reward), descent, -1.0)
    chosen = jnp.argmax(descent, axis=0)[None]
    reward = jnp.take_along_axis(sweep.reward, chosen, axis=0)[0]
    if sweep.log_prior is not None:
        reward += temperature * jnp.take_along_axis(sweep.log_prior, chosen, axis=0)[0]
    rows = greedy_rows(sweep, descent)
    less = 0.5 * _FORCING * jnp.max(jnp.abs(reward))
    solved = bicgstab(lambda x: residual_operator(rows, sweep.discount, x), reward - less, less, _MAX_PRODUCTS)
    return jnp.where(solved.residual <= less, solved.x, 0.0)


@eqx.filter_jit
def newton(
    sweep: Sweep,
    temperature: Scalar,
    start: ByState,
    tolerance: Scalar,
    modulus: Scalar,
    max_iterations: Int[Array, ""],
    warm_up: Int[Array, ""],
    exact: Bool[Array, ""] | bool = False,
    greedy: bool = False,
) -> Found:
    """Inexact Newton–Krylov policy iteration; with `exact` every policy is evaluated to rounding (policy iteration).

    At most `warm_up` sweeps come first, and are counted as iterations. A long way to the end of an episode asks for
    them: from values that know of no end, a step of policy iteration improves hardly more than the next states along
    the way. `greedy` follows the first best action
    instead of the soft policy (for temperature 0, with fewer transitions).
    """

    warm = value_iteration(sweep, temperature, start, tolerance, modulus, warm_up)

    def unfinished(s: _Newton) -> Array:
        target = residual_target(sweep, temperature, s.value, tolerance, modulus)
        return (s.residual > target) & (s.iterations < max_iterations + warm.iterations) & jnp.isfinite(s.residual)

    def accepted(s: _Newton, solved: Solved, value: ByState, backed_up: ByState) -> Array:
        unit = rounding(sweep, temperature, value)
        # At a value so large that rounding hides the residual there is nothing to be seen.
        visible = unit <= jnp.maximum(1e-3 * s.residual, 2 * rounding(sweep, temperature, s.value))
        below = (jnp.min(backed_up - value) >= -_SLACK * unit) & visible
        return jnp.all(jnp.isfinite(value)) & jnp.where(modulus < 1, solved.residual <= s.residual, below)

    def step(s: _Newton) -> _Newton:
        q = action_values(sweep, s.value)
        rows = greedy_rows(sweep, q) if greedy else policy_rows(sweep, soft_maximiser(q, temperature, sweep.log_prior))
        target = residual_target(sweep, temperature, s.value, tolerance, modulus)
        wanted = jnp.maximum(jnp.where(exact, 1e-14, s.forcing) * s.residual, 0.2 * target)
        less = jnp.where(modulus < 1, 0.0, wanted / 2)
        most = _MAX_PRODUCTS * 2**s.retreats
        gap = s.backed_up - s.value - less
        solved = bicgstab(lambda x: residual_operator(rows, sweep.discount, x), gap, wanted - less, most)
        value = s.value + solved.x
        backed_up = backup(sweep, temperature, value)
        good = accepted(s, solved, value, backed_up)
        value, backed_up = jax.lax.cond(
            good,
            lambda: (value, backed_up),
            lambda: _sweeps(sweep, temperature, s.value, s.backed_up, _RETREAT * 2**s.retreats),
        )
        residual = jnp.max(jnp.abs(backed_up - value))
        progress = residual < 0.9 * s.best
        waited = jnp.where(progress, 0, s.waited + 1)
        stuck = waited >= _PATIENCE
        eisenstat_walker = jnp.minimum(_FORCING, (residual / s.residual) ** 1.5)
        forcing = jnp.where(progress, jnp.maximum(eisenstat_walker, 1e-6), s.forcing)
        return _Newton(
            value=value,
            backed_up=backed_up,
            residual=residual,
            best=jnp.minimum(s.best, residual),
            waited=jnp.where(stuck, 0, waited),
            forcing=jnp.where(stuck, jnp.maximum(0.1 * s.forcing, 1e-12), forcing),
            retreats=jnp.where(good, s.retreats, jnp.minimum(s.retreats + 1, _RETREATS)),
            iterations=s.iterations + 1,
            products=s.products + solved.products + 2 + jnp.where(good, 0, _RETREAT * 2**s.retreats),
        )

    backed_up = backup(sweep, temperature, warm.value)
    residual = jnp.max(jnp.abs(backed_up - warm.value))
    begin = _Newton(
        value=warm.value,
        backed_up=backed_up,
        residual=residual,
        best=residual,
        waited=jnp.asarray(0),
        forcing=jnp.asarray(_FORCING),
        retreats=jnp.asarray(0),
        iterations=warm.iterations,
        products=warm.products + 1,
    )
    end = jax.lax.while_loop(unfinished, step, begin)
    done = end.residual <= residual_target(sweep, temperature, end.value, tolerance, modulus)
    return Found(end.value, end.residual, end.iterations, end.products, done)


def _sweeps(
    sweep: Sweep, temperature: Scalar, v: ByState, backed_up: ByState, count: Int[Array, ""]
) -> tuple[ByState, ByState]:
    """V and T V, `count` sweeps later."""
    return jax.lax.fori_loop(0, count, lambda _, pair: (pair[1], backup(sweep, temperature, pair[1])), (v, backed_up))
