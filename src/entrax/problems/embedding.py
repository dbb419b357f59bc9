"""Conversions between `FiniteMDP` and linearly solvable problems, see `LinearlySolvable`."""

from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy import sparse

from entrax.errors import UsageError, require_one_of
from entrax.problems.assemble import distribution
from entrax.problems.checks import at, first
from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP

CONVENTIONS = ("kl", "entropy")
_WIDEST = 700.0  # temperatures between the rewards of one state; beyond, probabilities would underflow
_RESIDUAL = 1e-9  # of the equations of one state, relative to their right-hand side


def from_finite(mdp: FiniteMDP, temperature: Any, convention: str) -> dict[str, Any]:
    """Return the arguments of the linearly solvable form of a deterministic problem."""
    _check_temperature(temperature)
    require_one_of("convention", convention, CONVENTIONS)
    allowed = _allowed(mdp)
    probability = np.asarray(mdp.probability)
    if (bad := first(allowed & (np.count_nonzero(probability, axis=2) > 1))) is not None:
        raise UsageError(
            f"{at(bad)} has several outcomes, but the linear equation requires deterministic actions. Use "
            "`LinearlySolvable.embed`, whose problem is a bound."
        )
    state, action = np.nonzero(allowed)
    successor = np.take_along_axis(np.asarray(mdp.successor), probability.argmax(axis=2)[..., None], axis=2)[..., 0]
    weight = _log_prior(mdp, allowed, convention) + np.asarray(mdp.reward, float) / float(temperature)
    taken = weight[state, action] > -np.inf
    state, target, logs = state[taken], successor[allowed][taken], weight[allowed][taken]
    top = np.full(mdp.states, -np.inf)
    np.maximum.at(top, state, logs)
    if (bad := first(logs < top[state] - _WIDEST)) is not None:
        raise UsageError(
            f"Rewards of state {state[bad]} differ by more than {_WIDEST:.0f} temperatures, so a probability would "
            "underflow. Raise `temperature`, or forbid the action by a reward of -inf."
        )
    mass = np.bincount(state, np.exp(logs - top[state]), mdp.states)
    live = ~np.asarray(mdp.terminal)
    cost = np.zeros(mdp.states)
    cost[live] = -float(temperature) * (top[live] + np.log(mass[live]))
    return _arguments(mdp, (state, target, np.exp(logs - top[state]) / mass[state]), cost)


def embed(mdp: FiniteMDP, temperature: Any) -> dict[str, Any]:
    """Return the arguments of Todorov's embedding of a problem with stochastic dynamics."""
    _check_temperature(temperature)
    allowed = _allowed(mdp) & np.isfinite(np.asarray(mdp.reward))
    states, targets, weights = [], [], []
    cost = np.zeros(mdp.states)
    for state in np.flatnonzero(~np.asarray(mdp.terminal)):
        actions = np.flatnonzero(allowed[state])
        target, log_passive, cost[state] = _embed_state(mdp, int(state), actions, float(temperature))
        states.append(np.full(len(target), state))
        targets.append(target)
        weights.append(np.exp(log_passive))
    return _arguments(mdp, (np.concatenate(states), np.concatenate(targets), np.concatenate(weights)), cost)


def _embed_state(
    mdp: FiniteMDP, state: int, actions: np.ndarray, temperature: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return successors, log p and q with q + λ KL(p_a ‖ p) = −r_a for every action a.

    With c = q/λ − log p the condition is linear: Σ_j p_a(j) c(j) = −r_a/λ + entropy of p_a. Since p sums to 1,
    q = −λ log Σ_j e^{−c(j)}.
    """
    branches = np.asarray(mdp.successor)[state, actions], np.asarray(mdp.probability)[state, actions]
    target, place = np.unique(branches[0], return_inverse=True)
    rows = np.zeros((len(actions), len(target)))
    np.add.at(rows, (np.arange(len(actions))[:, None], place.reshape(branches[0].shape)), branches[1])
    used = rows.any(axis=0)
    target, rows = target[used], rows[:, used]
    entropy = -np.sum(rows * np.log(np.where(rows > 0, rows, 1.0)), axis=1)
    right = -np.asarray(mdp.reward, float)[state, actions] / temperature + entropy
    c = np.linalg.lstsq(rows, right, rcond=None)[0]
    if np.max(np.abs(rows @ c - right)) > _RESIDUAL * max(1.0, np.max(np.abs(right))):
        raise UsageError(
            f"State {state} cannot be embedded: actions with the same outcomes, or mixtures of them, have rewards that "
            "no passive dynamics reproduce. Remove one of them by `mask`."
        )
    least = c.min()
    log_mass = np.log(np.sum(np.exp(least - c)))
    log_passive = least - c - log_mass
    if log_passive.min() < -_WIDEST:
        raise UsageError(
            f"Rewards of state {state} differ by more than {_WIDEST:.0f} temperatures, so a probability would "
            "underflow. Raise `temperature`."
        )
    return target, log_passive, temperature * (least - log_mass)


def _arguments(mdp: FiniteMDP, entries: tuple[Any, Any, Any], cost: Float[np.ndarray, " state"]) -> dict[str, Any]:
    """Return the arguments, with the end of the episode as one more state if it is used."""
    state, target, probability = entries
    ends = bool(np.any(target == mdp.states))
    size = mdp.states + ends
    passive = sparse.csr_array((probability, (state, target)), (size, size))
    exits = np.append(np.asarray(mdp.terminal), True)[:size]
    arguments = {"passive": passive, "cost": np.append(cost, 0.0)[:size], "exits": exits}
    discount = float(mdp.discount)
    if mdp.horizon is not None:
        return arguments | {"kind": "finite-horizon", "horizon": mdp.horizon, "discount": discount}
    return arguments | ({"kind": "discounted", "discount": discount} if discount < 1 else {})


def to_finite(
    *,
    passive: Any,
    cost: Float[np.ndarray, "*time state"],
    exits: Bool[np.ndarray, " state"],
    forbidden: Bool[np.ndarray, " state"],
    discount: float,
    horizon: int | None,
    final_cost: Float[np.ndarray, " state"] | None,
    initial: ArrayLike | float | int | None,
) -> FiniteMDP | FiniteHorizonMDP:
    """Return the problem with one deterministic action for each possible next state."""
    count = np.diff(passive.indptr)
    row = np.repeat(np.arange(len(exits)), count)
    entry = row, np.arange(len(row)) - passive.indptr[row]
    shape = (len(exits), max(1, int(count.max())))
    terminal = exits | forbidden

    def table(values: Any, empty: int = 0) -> np.ndarray:
        filled = np.full(shape, float(empty))
        filled[entry] = values
        return filled

    def rewards(now: np.ndarray, later: np.ndarray) -> Float[np.ndarray, "state action"]:
        entered = np.where(exits | np.isposinf(later), later, 0.0)[passive.indices]
        return table(-now[row] - discount * entered)

    costs = [*np.broadcast_to(cost, (horizon or 1, len(exits)))]
    costs.append(costs[0] if final_cost is None else final_cost)
    mdp = FiniteMDP(
        successor=table(passive.indices, len(exits)).astype(np.int32)[..., None],
        probability=table(1.0)[..., None],
        reward=rewards(costs[0], costs[1]),
        initial=distribution(initial, terminal),
        terminal=terminal,
        discount=discount,
        prior=np.where(terminal[:, None], 1.0, table(passive.data)),
        mask=terminal[:, None] | table(1.0).astype(bool),
    )
    if final_cost is None:
        return mdp
    return FiniteHorizonMDP(
        mdp,
        horizon=horizon,
        reward=np.stack([rewards(now, later) for now, later in pairwise(costs)]),
        final_value=np.where(terminal, 0.0, -final_cost),
    )


def _allowed(mdp: FiniteMDP) -> Bool[np.ndarray, "state action"]:
    """Return which actions the mask and a positive prior allow in states that are not terminal."""
    allowed = np.repeat(~np.asarray(mdp.terminal)[:, None], mdp.actions, axis=1)
    for weight in (mdp.mask, mdp.prior):
        if weight is not None:
            allowed &= np.asarray(weight) > 0
    return allowed


def _log_prior(mdp: FiniteMDP, allowed: np.ndarray, convention: str) -> Float[np.ndarray, "state action"]:
    """Return log π₀(a|s), 0 in the entropy convention, −∞ for excluded actions."""
    weight = np.where(allowed, 1.0 if mdp.prior is None or convention == "entropy" else np.asarray(mdp.prior), 0.0)
    total = weight.sum(axis=1, keepdims=True) if convention == "kl" else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(allowed, np.log(weight / total), -np.inf)


def _check_temperature(temperature: Any) -> None:
    if not (np.ndim(temperature) == 0 and 0 < float(temperature) < np.inf):
        raise UsageError(f"`temperature` must be finite and above 0, got {temperature}.")
