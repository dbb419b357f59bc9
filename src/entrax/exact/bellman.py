"""Soft Bellman sweeps over all states at once, laid out for speed.

    Q(s,a) = r(s,a) + γ Σ_k p_k V(s'_k)             (1)  action_values
    V(s)   = α log Σ_a π₀(a) exp(Q(s,a)/α)          (2)  soft_maximum; the hard maximum at α = 0
    π(a|s) = π₀(a) exp((Q(s,a) − V(s))/α)           (3)  soft_maximiser

The equations are those of `entrax.soft.operators`, which state the conventions and which the tests hold these against.
They are written out again because a sweep is bound by memory: with the state as the last axis, and actions and
branches unrolled, the compiler makes one multi-threaded loop of (1) and (2) that reads every array once; the same
equations as a batched `vmap` take five to ten times as long.

An excluded action has reward −∞. A terminal state keeps one action, of reward 0 and leading nowhere, so that its value
is 0 in both conventions without a special case.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from entrax.problems.finite import FiniteMDP

ByState = Float[Array, " state"]
ByAction = Float[Array, "action state"]
Scalar = Float[Array, ""]

UNROLL = 64  # terms written out in one loop body; beyond this the compiler takes too long, and a scan is used
_EPS = float(jnp.finfo(jnp.float64).eps)
COLDEST = float(jnp.finfo(jnp.float64).tiny) * 2.0**14  # as in soft.operators: a temperature below this is 0


class Sweep(eqx.Module):
    """A problem with the state as the last axis: what a sweep reads. Index S is the end of an episode."""

    successor: Int[Array, "action branch state"]
    probability: Float[Array, "action branch state"]
    reward: ByAction  # −∞ where the action is excluded
    log_prior: ByAction | None  # normalised; None is the counting measure (the entropy convention)
    discount: Scalar


class Rows(eqx.Module):
    """The transitions of one policy: row s of P_π has `weight[r, s]` at column `successor[r, s]`."""

    successor: Int[Array, "row state"]
    weight: Float[Array, "row state"]


def make_sweep(mdp: FiniteMDP, kl: bool) -> Sweep:
    """`mdp` with the state last, in float64. `kl`: with its prior normalised (uniform if None), else without one."""
    given = (mdp.successor, mdp.probability, mdp.reward, mdp.terminal, mdp.mask, mdp.prior)
    return _make_sweep(*given, jnp.asarray(mdp.discount, jnp.float64), kl)


@eqx.filter_jit
def _make_sweep(
    successor: Any, probability: Any, reward: Any, terminal: Any, mask: Any, prior: Any, discount: Scalar, kl: bool
) -> Sweep:
    alive = jnp.ones(reward.shape, bool) if mask is None else jnp.asarray(mask)
    if prior is not None:
        prior = jnp.asarray(prior, jnp.float64)
        alive &= prior >= jnp.finfo(jnp.float64).tiny
    ended = jnp.asarray(terminal)[:, None]
    alive = jnp.where(ended, jnp.arange(reward.shape[1]) == 0, alive)
    reward = jnp.where(ended, 0.0, jnp.asarray(reward, jnp.float64))
    log_prior = None
    if kl:
        weight = jnp.where(alive, 1.0 if prior is None else jnp.where(ended, 1.0, prior), 0.0)
        total = jnp.sum(weight, axis=1, keepdims=True)
        log_prior = jnp.where(alive, jnp.log(jnp.where(alive, weight, 1.0)) - jnp.log(total), -jnp.inf).T
    return Sweep(
        successor=jnp.transpose(jnp.asarray(successor).astype(jnp.int32), (1, 2, 0)),
        probability=jnp.transpose(jnp.asarray(probability, jnp.float64), (1, 2, 0)),
        reward=jnp.where(alive, reward, -jnp.inf).T,
        log_prior=log_prior,
        discount=discount,
    )


def undiscounted(sweep: Sweep) -> Sweep:
    """`sweep` with γ = 1."""
    return replace(sweep, discount=jnp.asarray(1.0))


def expectation(successor: Int[Array, "row state"], weight: Float[Array, "row state"], v: ByState) -> ByState:
    """Σ_r weight[r] v(successor[r]) for every state, with v(S) = 0."""
    padded = jnp.append(v, 0.0)
    if weight.shape[0] <= UNROLL:
        return _terms(successor, weight, padded)
    total = jnp.zeros_like(v)
    return jax.lax.scan(lambda t, row: (t + row[1] * _look_up(padded, row[0]), None), total, (successor, weight))[0]


def action_values(sweep: Sweep, v: ByState) -> ByAction:
    """Q of equation (1), −∞ for excluded actions."""
    actions, branches, _ = sweep.successor.shape
    if actions * branches <= UNROLL:
        return jnp.stack(_action_rows(sweep, v))

    def one(_: None, action: tuple[Array, Array, Array]) -> tuple[None, ByState]:
        successor, probability, reward = action
        return None, reward + sweep.discount * expectation(successor, probability, v)

    return jax.lax.scan(one, None, (sweep.successor, sweep.probability, sweep.reward))[1]


def next_values(sweep: Sweep, v: ByState) -> ByAction:
    """γ Σ_k p_k V(s'_k) of every action: (1) without the reward."""
    return action_values(replace(sweep, reward=jnp.zeros_like(sweep.reward)), v)


def soft_maximum(q: ByAction | Sequence[ByState], temperature: Scalar, log_prior: ByAction | None) -> ByState:
    """V of equation (2), of rows of Q by action: at most `UNROLL` of them are fused with whatever computed them."""
    rows, priors = _as_rows(q), None if log_prior is None else _as_rows(log_prior)
    if priors is not None:  # what the prior never does is excluded
        rows = _each(lambda q_a, p: jnp.where(p == -jnp.inf, -jnp.inf, q_a), rows, priors)
    best = _fold(jnp.maximum, rows)
    gaps = _each(lambda q_a: _scaled_gap(q_a, best, temperature), rows)
    if priors is None:
        return best + temperature * jnp.log(_fold(jnp.add, _each(jnp.exp, gaps)))
    mass = _fold(jnp.add, _each(lambda z, p: jnp.exp(z + p), gaps, priors))
    # At a high temperature the mass is 1 less a little, and α times the rounding of 1 would swamp V: log1p avoids it.
    spread = _fold(jnp.add, _each(lambda z, p: jnp.exp(p) * jnp.expm1(z), gaps, priors))
    return best + temperature * jnp.where(spread > -0.25, jnp.log1p(jnp.maximum(spread, -0.25)), jnp.log(mass))


def soft_maximiser(q: ByAction, temperature: Scalar, log_prior: ByAction | None) -> ByAction:
    """π of equation (3); at α = 0 the best actions share, in proportion to the prior or equally."""
    rows, priors = _as_rows(q), None if log_prior is None else _as_rows(log_prior)
    if priors is not None:
        rows = _each(lambda q_a, p: jnp.where(p == -jnp.inf, -jnp.inf, q_a), rows, priors)
    best = _fold(jnp.maximum, rows)
    masses = _each(lambda q_a: jnp.exp(_scaled_gap(q_a, best, temperature)), rows)
    if priors is not None:
        masses = _each(lambda mass, p: mass * jnp.exp(p), masses, priors)
    total = _fold(jnp.add, masses)
    shares = _each(lambda mass: mass / total, masses)
    return shares if isinstance(shares, jax.Array) else jnp.stack(shares)


def backup(sweep: Sweep, temperature: Scalar, v: ByState) -> ByState:
    """T V: equations (1) and (2) in one pass over the problem."""
    actions, branches, _ = sweep.successor.shape

    def rows() -> ByAction | list[ByState]:
        return _action_rows(sweep, v) if actions * branches <= UNROLL else action_values(sweep, v)

    def hard() -> ByState:
        return _fold(jnp.maximum, rows())  # a prior of 0 has already made the reward −∞

    return jax.lax.cond(temperature < COLDEST, hard, lambda: soft_maximum(rows(), temperature, sweep.log_prior))


def policy_rows(sweep: Sweep, policy: ByAction) -> Rows:
    """P_π of any policy: every branch of every action, weighted by π."""
    _, _, states = sweep.successor.shape
    weight = policy[:, None, :] * sweep.probability
    return Rows(successor=sweep.successor.reshape(-1, states), weight=weight.reshape(-1, states))


def greedy_rows(sweep: Sweep, q: ByAction) -> Rows:
    """P_π of the first best action of each state: A times fewer rows than `policy_rows`."""
    best, successor, probability = q[0], sweep.successor[0], sweep.probability[0]
    if q.shape[0] > UNROLL:
        chosen = jnp.argmax(q, axis=0)[None, None, :]
        successor, probability = (
            jnp.take_along_axis(x, chosen, axis=0)[0] for x in (sweep.successor, sweep.probability)
        )
        return Rows(successor=successor, weight=probability)
    for action in range(1, q.shape[0]):
        better = q[action] > best
        best = jnp.where(better, q[action], best)
        successor = jnp.where(better, sweep.successor[action], successor)
        probability = jnp.where(better, sweep.probability[action], probability)
    return Rows(successor=successor, weight=probability)


def spread(rows: Rows, size: ByState) -> ByState:
    """The largest `size` that the chain can come to from each state, times the chance of the way, to a factor of 2.

    Errors travel so: divided by it, a state and those that it leads to are of one scale.
    """

    def step(carry: tuple[ByState, Array, Array]) -> tuple[ByState, Array, Array]:
        size, _, count = carry
        padded = jnp.append(size, 0.0)
        ahead = jax.lax.scan(
            lambda most, row: (jnp.maximum(most, row[1] * _look_up(padded, row[0])), None),
            size,
            (rows.successor, rows.weight),
        )[0]
        return ahead, jnp.any(ahead > 2 * size), count + 1

    start = (size, jnp.asarray(True), jnp.asarray(0))
    return jax.lax.while_loop(lambda c: c[1] & (c[2] < size.shape[0]), step, start)[0]


def rounding(sweep: Sweep, temperature: Scalar, v: ByState) -> ByState:
    """A bound on |computed T V − T V| at each state, from that state's own numbers.

    Q is off by (K + 3) units of γ Σ p |V| and two of |Q|, by nothing where all the next values are 0. (2) is monotone
    and convex in Q, so it is off by at most its rise when each Q rises by its own error: an action that is never
    taken adds nothing, however large its reward. A unit is `eps`, twice the rounding of one operation.
    """
    branches = sweep.successor.shape[1]
    allowed = jnp.isfinite(sweep.reward)
    q, ahead = action_values(sweep, v), next_values(sweep, jnp.abs(v))
    off = _EPS * jnp.where(allowed & (ahead > 0), (branches + 3) * ahead + 2 * jnp.abs(q), 0.0)
    largest = jnp.max(jnp.where(allowed, jnp.abs(q) + off, 0.0), axis=0)
    best = jnp.max(q, axis=0)
    gap = q - best

    def hard() -> ByState:
        return jnp.max(gap + off, axis=0)

    def soft() -> ByState:
        level = soft_maximum(gap, temperature, sweep.log_prior)
        rise = soft_maximum(gap + off, temperature, sweep.log_prior) - level
        own = _soft_rounding(sweep, temperature, largest)
        return rise + own + jnp.where(own > 0, 2 * _EPS * (jnp.abs(best) + jnp.abs(level)), 0.0)

    return jax.lax.cond(temperature < COLDEST, hard, soft)


def _soft_rounding(sweep: Sweep, temperature: Scalar, largest: ByState) -> ByState:
    """What the exponentials and the logarithm of (2) add: nothing where there is only one action.

    They are taken to be within 8 units of the last place; |z| e^z ≤ 1/e for each of A terms, and log Σ ≤ log A or,
    with a prior, at least log of the smallest π₀. If all of the prior is on allowed actions, α beyond 8 max|Q| adds
    no error: by then Σ π₀ e^z is above ¾, and its logarithm taken by log1p.
    """
    allowed = jnp.isfinite(sweep.reward)
    count = jnp.sum(allowed, axis=0)
    units = 2.0 * count + 24 + 8 * jnp.log(jnp.maximum(count, 1))
    if sweep.log_prior is None:
        return _EPS * jnp.where(count > 1, temperature * units, 0.0)
    surprise = jnp.max(jnp.where(allowed & jnp.isfinite(sweep.log_prior), -sweep.log_prior, 0.0), axis=0)
    whole = ~jnp.any(jnp.isfinite(sweep.log_prior) & ~allowed, axis=0)
    temperature = jnp.where(whole, jnp.minimum(temperature, 8 * largest), temperature)
    return _EPS * jnp.where((count > 1) | (surprise > 0), temperature * (units + 8 * surprise), 0.0)


def _terms(successor: Array, weight: Array, padded: Array) -> Array:
    return sum(
        (weight[row] * _look_up(padded, successor[row]) for row in range(1, weight.shape[0])),
        weight[0] * _look_up(padded, successor[0]),
    )


def _look_up(padded: Array, index: Array) -> Array:
    return padded.at[index].get(mode="promise_in_bounds")  # the problem was checked when it was built


def _action_rows(sweep: Sweep, v: ByState) -> list[ByState]:
    padded = jnp.append(v, 0.0)
    return [
        sweep.reward[a] + sweep.discount * _terms(sweep.successor[a], sweep.probability[a], padded)
        for a in range(sweep.reward.shape[0])
    ]


def _as_rows(q: ByAction | Sequence[ByState]) -> Array | list[Array]:
    if isinstance(q, jax.Array):
        return q if q.shape[0] > UNROLL else [q[a] for a in range(q.shape[0])]
    return list(q)


def _fold(operation: Callable[[Array, Array], Array], rows: Array | list[Array]) -> Array:
    if isinstance(rows, list):
        return reduce(operation, rows)
    return jnp.max(rows, axis=0) if operation is jnp.maximum else jnp.sum(rows, axis=0)


def _each(function: Callable[..., Array], *columns: Array | list[Array]) -> Array | list[Array]:
    if isinstance(columns[0], list):
        return [function(*row) for row in zip(*columns, strict=True)]
    return function(*columns)


def _scaled_gap(q: Array, best: Array, temperature: Scalar) -> Array:
    """z = (Q − max Q)/α ≤ 0; at temperature 0: 0 for the best actions and −∞ for the others."""
    cold = temperature < COLDEST
    gap = q - best
    return jnp.where(cold, jnp.where(gap < 0, -jnp.inf, 0.0), gap / jnp.where(cold, 1.0, temperature))
