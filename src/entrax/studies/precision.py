"""A task where maximum entropy hurts: the exact soft and hard optimum of walking over a beam.

An action is one of N equal cells of [-1, 1]. An episode starts on a platform, where the left half of the actions stays
and the rest steps onto a beam of `LENGTH` places. On the beam the `width` cells in the middle move on, and all others
fall, which ends the episode without reward. Leaving the last place by moving on has the reward 1. Soft values are those
of a density over [-1, 1], as in SAC:

    Q(s, a) = r(s, a) + γ V(s'),    V(s) = α log Σ_a (2/N) exp(Q(s, a)/α)                                       (1)

or V(s) = max_a Q(s, a) at temperature 0. Entropy can be had on the platform for as long as an episode lasts and hardly
on a narrow beam, so that from some temperature on the optimum, and even its mode, prefers to stay. A second way to fail
is to fall: sampled actions miss the width.

SAC learns the temperature at which the mean entropy of its policy is H̄ = -1 nat, minus the number of action entries.
Here that is the temperature of the optimum with this mean entropy over the states of an episode.

(1) is solved by soft policy iteration in a few lines of NumPy. `entrax.exact.plan` gives the same values and policies
(a test compares them), and takes half a minute to compile.

Reference: Zhang, Chang and Gao (2025), When maximum entropy misleads policy optimization, arXiv:2506.05615, ICML.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

ACTIONS = 41
LENGTH = 10
DISCOUNT = 0.99
STEPS = 100  # of an episode
TARGET_ENTROPY = -1.0
WIDTHS = (1, 5, 21)
COLDEST, HOTTEST = 1e-3, 1.0
ENOUGH = 0.9
"""The share of successful episodes up to which a temperature counts as harmless."""
FALLEN, GOAL = LENGTH + 1, LENGTH + 2
"""Where an episode ends, after the platform, 0, and the places of the beam, 1 to `LENGTH`."""
CLOSE = 1e-10  # between the policies of two iterations


class Beam(NamedTuple):
    """The state that each action leads to, and its reward."""

    successor: Int[np.ndarray, "state action"]
    reward: Float[np.ndarray, "state action"]


class Optimum(NamedTuple):
    """The optimum at one temperature: values, action values and policy."""

    value: Float[np.ndarray, " state"]
    q: Float[np.ndarray, "state action"]
    policy: Float[np.ndarray, "state action"]


def make_beam(width: int) -> Beam:
    """Return the problem in which `width` of the actions hold the balance; `width` is odd."""
    middle = ACTIONS // 2
    successor = np.full((LENGTH + 1, ACTIONS), FALLEN)
    successor[0] = np.arange(ACTIONS) >= middle
    holds = slice(middle - width // 2, middle + width // 2 + 1)
    successor[1:, holds] = np.arange(2, LENGTH + 2)[:, None]
    successor[LENGTH, holds] = GOAL
    return Beam(successor=successor, reward=(successor == GOAL).astype(float))


def solve(beam: Beam, temperature: float) -> Optimum:
    """Return the optimum, soft at a positive temperature and hard at 0."""
    policy, change = np.full(beam.reward.shape, 1.0 / ACTIONS), np.inf
    value, q = np.zeros(LENGTH + 1), beam.reward
    while change > CLOSE:
        gain = np.sum(policy * beam.reward, axis=1) + temperature * entropy(policy)
        value = np.linalg.solve(np.eye(LENGTH + 1) - DISCOUNT * moves(beam, policy)[:, : LENGTH + 1], gain)
        q = beam.reward + DISCOUNT * np.append(value, [0.0, 0.0])[beam.successor]
        weight = np.exp((q - q.max(axis=1, keepdims=True)) / temperature) if temperature > 0.0 else mode(q)
        new = weight / weight.sum(axis=1, keepdims=True)
        policy, change = new, float(np.abs(new - policy).max())
    return Optimum(value=value, q=q, policy=policy)


def mode(q: Float[np.ndarray, "state action"]) -> Float[np.ndarray, "state action"]:
    """Return the policy of the best actions only; equal ones share their state's probability."""
    best = q >= q.max(axis=1, keepdims=True) - 1e-12
    return best / best.sum(axis=1, keepdims=True)


def entropy(policy: Float[np.ndarray, "state action"]) -> Float[np.ndarray, " state"]:
    """Return the entropy of each state's density over [-1, 1], in nats: log 2 for the uniform one."""
    logs = np.log(np.where(policy > 0.0, policy, 1.0))
    return np.log(2.0 / ACTIONS) - np.sum(policy * logs, axis=1)


def moves(beam: Beam, policy: Float[np.ndarray, "state action"]) -> Float[np.ndarray, "state next"]:
    """Return the policy's transition probabilities."""
    result = np.zeros((LENGTH + 1, GOAL + 1))
    np.add.at(result, (np.arange(LENGTH + 1)[:, None], beam.successor), policy)
    return result


def play(beam: Beam, policy: Float[np.ndarray, "state action"]) -> tuple[float, float]:
    """Return the share of episodes that reach the goal in time, and the policy's mean entropy along them."""
    move, share, visits = moves(beam, policy), np.eye(LENGTH + 1)[0], np.zeros(LENGTH + 1)
    arrived = 0.0
    for _ in range(STEPS):
        visits += share
        after = share @ move
        share, arrived = after[: LENGTH + 1], arrived + after[GOAL]
    return float(arrived), float(visits @ entropy(policy) / visits.sum())


def learned_temperature(beam: Beam) -> float | None:
    """Return the temperature at which the mean entropy is `TARGET_ENTROPY`; None if it is above it at `COLDEST`."""
    low, high = np.log(COLDEST), np.log(HOTTEST)
    if play(beam, solve(beam, COLDEST).policy)[1] > TARGET_ENTROPY:
        return None
    for _ in range(30):
        middle = 0.5 * (low + high)
        enough = play(beam, solve(beam, float(np.exp(middle))).policy)[1] > TARGET_ENTROPY
        low, high = (low, middle) if enough else (middle, high)
    return float(np.exp(low))


def measure(width: int, temperatures: Float[np.ndarray, " temperature"]) -> dict[str, Any]:
    """Return the success of the sampled optimum and of its mode over temperature, at 0, and at the learned one."""
    beam = make_beam(width)

    def success(temperature: float) -> dict[str, float]:
        optimum = solve(beam, temperature)
        return {"sampled": play(beam, optimum.policy)[0], "mode": play(beam, mode(optimum.q))[0]}

    rows, learned = [success(float(alpha)) for alpha in temperatures], learned_temperature(beam)
    curves = {key: [row[key] for row in rows] for key in ("sampled", "mode")}
    first = {key: np.array(each) < ENOUGH for key, each in curves.items()}
    return {
        "width": width,
        "hard": success(0.0)["sampled"],
        "learned": learned,
        "at_learned": success(COLDEST if learned is None else learned),
        "harmful_from": {key: float(temperatures[np.argmax(at)]) if at.any() else None for key, at in first.items()},
    } | curves


def precision() -> dict[str, Any]:
    """Return `measure` for every width, as numbers of the study `performance`."""
    temperatures = np.geomspace(COLDEST, HOTTEST, 61)
    return {"temperatures": temperatures, "actions": ACTIONS, "rows": [measure(each, temperatures) for each in WIDTHS]}
