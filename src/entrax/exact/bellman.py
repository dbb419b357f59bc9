"""Soft Bellman sweeps over all states, with an array layout chosen for speed.

    Q(s,a) = r(s,a) + γ Σ_k p_k V(s'_k)             (1)  action_values
    V(s)   = α log Σ_a π₀(a) exp(Q(s,a)/α)          (2)  soft_maximum; the hard maximum at α = 0
    π(a|s) = π₀(a) exp((Q(s,a) − V(s))/α)           (3)  soft_maximiser

`entrax.soft.operators` defines these equations and their conventions; the tests compare the two. They are implemented a
second time because a sweep is limited by memory bandwidth. With the state as the last axis and unrolled actions and
branches, the compiler fuses (1) and (2) into one multi-threaded loop that reads every array once. The same equations as
a batched `vmap` take five to ten times as long.

An excluded action has reward −∞. A terminal state keeps one action, of reward 0 and without transitions, so that its
value is 0 in both conventions without a special case.
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

UNROLL = 64  # the most unrolled terms of a loop body; for more, compilation would be slow and a scan is used
_EPS = float(jnp.finfo(jnp.float64).eps)
COLDEST = float(jnp.finfo(jnp.float64).tiny) * 2.0**14  # a lower temperature is treated as 0, as in soft.operators


class Sweep(eqx.Module):
    """The arrays of a sweep, with the state as the last axis; index S is the end."""

    successor: Int[Array, "action branch state"]
    probability: Float[Array, "action branch state"]
    reward: ByAction  # −∞ where the action is excluded
    log_prior: ByAction | None  # normalised; None for the entropy convention
    discount: Scalar


class PolicyTransitions(eqx.Module):
    """The matrix P_π: row s has `weight[r, s]` at column `successor[r, s]`."""

    successor: Int[Array, "row state"]
    weight: Float[Array, "row state"]


def make_sweep(mdp: FiniteMDP, kl: bool) -> Sweep:
    """Transpose `mdp` to the layout of a sweep, in float64.

    In the KL convention (`kl`) the prior is normalised, or uniform if the problem has none.
    """
    arrays = (mdp.successor, mdp.probability, mdp.reward, mdp.terminal, mdp.mask, mdp.prior)
    return _make_sweep(*arrays, jnp.asarray(mdp.discount, jnp.float64), kl)


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
    """Return `sweep` with γ = 1."""
    return replace(sweep, discount=jnp.asarray(1.0))


def expectation(successor: Int[Array, "row state"], weight: Float[Array, "row state"], v: ByState) -> ByState:
    """Return Σ_r weight[r] v(successor[r]) for every state, with v(S) = 0."""
    padded = jnp.append(v, 0.0)
    if weight.shape[0] <= UNROLL:
        return _terms(successor, weight, padded)
    total = jnp.zeros_like(v)
    return jax.lax.scan(lambda t, row: (t + row[1] * _look_up(padded, row[0]), None), total, (successor, weight))[0]


def action_values(sweep: Sweep, v: ByState) -> ByAction:
    """Return Q of equation (1), −∞ for excluded actions."""
    actions, branches, _ = sweep.successor.shape
    if actions * branches <= UNROLL:
        return jnp.stack(_action_rows(sweep, v))

    def one(_: None, action: tuple[Array, Array, Array]) -> tuple[None, ByState]:
        successor, probability, reward = action
        return None, reward + sweep.discount * expectation(successor, probability, v)

    return jax.lax.scan(one, None, (sweep.successor, sweep.probability, sweep.reward))[1]


def next_values(sweep: Sweep, v: ByState) -> ByAction:
    """Return γ Σ_k p_k V(s'_k) of every action, which is (1) without the reward."""
    return action_values(replace(sweep, reward=jnp.zeros_like(sweep.reward)), v)


def soft_maximum(q: ByAction | Sequence[ByState], temperature: Scalar, log_prior: ByAction | None) -> ByState:
    """Return V of equation (2) from rows of Q, one for each action.

    Up to `UNROLL` rows are fused with the computation of Q.
    """
    rows, priors = _allowed_rows(q, log_prior)
    best = _fold(jnp.maximum, rows)
    gaps = _each(lambda q_a: _scaled_gap(q_a, best, temperature), rows)
    if priors is None:
        return best + temperature * jnp.log(_fold(jnp.add, _each(jnp.exp, gaps)))
    mass = _fold(jnp.add, _each(lambda z, p: jnp.exp(z + p), gaps, priors))
    # At a high temperature the mass is just below 1, and its rounding error times α would swamp V; log1p avoids this.
    spread = _fold(jnp.add, _each(lambda z, p: jnp.exp(p) * jnp.expm1(z), gaps, priors))
    return best + temperature * jnp.where(spread > -0.25, jnp.log1p(jnp.maximum(spread, -0.25)), jnp.log(mass))


def soft_maximiser(q: ByAction, temperature: Scalar, log_prior: ByAction | None) -> ByAction:
    """Return π of equation (3); at α = 0 ties share in proportion to the prior."""
    rows, priors = _allowed_rows(q, log_prior)
    best = _fold(jnp.maximum, rows)
    masses = _each(lambda q_a: jnp.exp(_scaled_gap(q_a, best, temperature)), rows)
    if priors is not None:
        masses = _each(lambda mass, p: mass * jnp.exp(p), masses, priors)
    total = _fold(jnp.add, masses)
    shares = _each(lambda mass: mass / total, masses)
    return shares if isinstance(shares, jax.Array) else jnp.stack(shares)


def backup(sweep: Sweep, temperature: Scalar, v: ByState) -> ByState:
    """Return T V, equations (1) and (2), in one pass over the problem."""
    actions, branches, _ = sweep.successor.shape

    def rows() -> ByAction | list[ByState]:
        return _action_rows(sweep, v) if actions * branches <= UNROLL else action_values(sweep, v)

    def hard() -> ByState:
        return _fold(jnp.maximum, rows())  # actions of prior 0 already have reward −∞

    return jax.lax.cond(temperature < COLDEST, hard, lambda: soft_maximum(rows(), temperature, sweep.log_prior))


def policy_transitions(sweep: Sweep, policy: ByAction) -> PolicyTransitions:
    """Return P_π of any policy: every branch of every action, weighted by π."""
    _, _, states = sweep.successor.shape
    weight = policy[:, None, :] * sweep.probability
    return PolicyTransitions(successor=sweep.successor.reshape(-1, states), weight=weight.reshape(-1, states))


def greedy_transitions(sweep: Sweep, q: ByAction) -> PolicyTransitions:
    """Return P_π of the first best action of each state, with A times fewer rows."""
    best, successor, probability = q[0], sweep.successor[0], sweep.probability[0]
    if q.shape[0] > UNROLL:
        chosen = jnp.argmax(q, axis=0)[None, None, :]
        successor, probability = (
            jnp.take_along_axis(x, chosen, axis=0)[0] for x in (sweep.successor, sweep.probability)
        )
        return PolicyTransitions(successor=successor, weight=probability)
    for action in range(1, q.shape[0]):
        better = q[action] > best
        best = jnp.where(better, q[action], best)
        successor = jnp.where(better, sweep.successor[action], successor)
        probability = jnp.where(better, sweep.probability[action], probability)
    return PolicyTransitions(successor=successor, weight=probability)


def improved_policy(sweep: Sweep, temperature: Scalar, v: ByState, greedy: bool) -> PolicyTransitions:
    """Return P_π of the soft policy of V, or, if `greedy`, of its first best action."""
    q = action_values(sweep, v)
    if greedy:
        return greedy_transitions(sweep, q)
    return policy_transitions(sweep, soft_maximiser(q, temperature, sweep.log_prior))


def propagated_scale(rows: PolicyTransitions, size: ByState) -> ByState:
    """Return the largest size that each state inherits from states ahead of it.

    The result is max over paths of the path's probability times `size` at its end, to a factor of 2. Errors of V
    propagate in this way: divided by it, neighbouring states have errors of the same scale.
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
    """Bound |computed T V − T V| at each state from that state's own numbers.

    Q has an error of at most (K + 3) units of γ Σ p |V| plus two units of |Q|, and of 0 if all next values are 0. (2)
    is monotone and convex in Q, so its error is at most its increase when each Q increases by its own error. An action
    that is never taken adds nothing, even if its reward is huge. A unit is `eps`, twice the rounding of one operation.
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
    """Bound the error of the exponentials and the logarithm of (2), 0 for one action.

    Both functions are assumed to be accurate to 8 units in the last place. |z| e^z ≤ 1/e for each of A terms. log Σ is
    at most log A or, with a prior, at least the log of the smallest π₀. If the whole prior is on allowed actions,
    temperatures above 8 max|Q| add no error, because then Σ π₀ e^z is above ¾ and log1p is used.
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
    return padded.at[index].get(mode="promise_in_bounds")  # `FiniteMDP` checks its indices


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


def _allowed_rows(
    q: ByAction | Sequence[ByState], log_prior: ByAction | None
) -> tuple[Array | list[Array], Array | list[Array] | None]:
    """Return rows of Q, −∞ where the prior is 0, and rows of the log-prior, if any."""
    if log_prior is None:
        return _as_rows(q), None
    rows, priors = _as_rows(q), _as_rows(log_prior)
    return _each(lambda q_a, p: jnp.where(p == -jnp.inf, -jnp.inf, q_a), rows, priors), priors


def _fold(operation: Callable[[Array, Array], Array], rows: Array | list[Array]) -> Array:
    if isinstance(rows, list):
        return reduce(operation, rows)
    return jnp.max(rows, axis=0) if operation is jnp.maximum else jnp.sum(rows, axis=0)


def _each(function: Callable[..., Array], *columns: Array | list[Array]) -> Array | list[Array]:
    if isinstance(columns[0], list):
        return [function(*row) for row in zip(*columns, strict=True)]
    return function(*columns)


def _scaled_gap(q: Array, best: Array, temperature: Scalar) -> Array:
    """Return z = (Q − max Q)/α ≤ 0; at temperature 0, 0 for the best, −∞ otherwise."""
    cold = temperature < COLDEST
    gap = q - best
    return jnp.where(cold, jnp.where(gap < 0, -jnp.inf, 0.0), gap / jnp.where(cold, 1.0, temperature))
