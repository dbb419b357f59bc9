"""The maximum-entropy bound on returns under changed dynamics: the second part of `reward-robustness`.

An episode has T decisions with rewards r(s,a) > 0 and dynamics p. The adversary chooses dynamics p̃ with

    E_{π,p} Σ_t log 1/(|A||S|) Σ_{a,s'} p(s'|s_t,a)/p̃(s'|s_t,a) ≤ ε                                           (1)

Two steps of Jensen's inequality and Σ π x ≤ log Σ exp x − H(π) for the pairs of action and next state give

    J(π; p̃) ≥ B(π) = T exp(E_{π,p} Σ_t [1/T log r + H(π(·|s_t)) + H(p(·|s_t,a_t)) − log|A||S|] − ε)            (2)

so that the soft optimum at temperature 1 of the rewards r̄ = 1/T log r + H(p) maximises a bound on the worst case. This
follows Eysenbach and Levine (2021), arXiv:2103.06257, with the constants derived here; p itself meets (1) with
ε = 0. A numerical optimiser plays the adversary, from several starts, since (1) is not convex in its parameters. What
it finds is at least the minimum: it can refute the bound and cannot prove it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar
from scipy.optimize import minimize

from entrax import xla as xla
from entrax.problems import garnet

STATES, ACTIONS, HORIZON = 3, 2, 4
ROOMS = (0.0, 0.5, 2.0)
"""ε, for all decisions together."""
STARTS = 3
SPREAD = 0.3  # of the starts other than p, in log-odds
FEASIBLE = 1e-7  # by how much a result may violate (1)
PRECISE = {"ftol": 1e-10, "maxiter": 150}

Table = Float[np.ndarray, "state action"]
Policy = Float[np.ndarray, "time state action"]


class Problem(NamedTuple):
    """Dynamics p(s'|s,a), rewards r(s,a) > 0, and the distribution of the first state."""

    dynamics: Float[np.ndarray, "state action next"]
    reward: Table
    initial: Float[np.ndarray, " state"]


def changed_dynamics(seed: int) -> dict[str, Any]:
    """Measure return, bound and found worst case of several policies in one random problem.

    `below` is how far a found return is below its bound, relative to it; `better` how far another policy's bound is
    above the soft optimum's; `constraint` the largest violation of (1). All are at most 0 up to rounding.
    """
    problem = random_problem(seed)
    rows: list[dict[str, Any]] = []
    for name, policy in policies_of(problem, seed).items():
        nominal = returned(problem, policy)
        for room in ROOMS:
            found, violation = find_worst(problem, policy, room, seed)
            bound = lower_bound(problem, policy, room)
            row = {"policy": name, "room": room, "nominal": nominal, "bound": bound, "found": found}
            rows.append(row | {"violation": violation})
    soft = {row["room"]: row["bound"] for row in rows if row["policy"] == "soft"}
    return {
        "seed": seed,
        "rows": rows,
        "below": max(1.0 - row["found"] / row["bound"] for row in rows),
        "better": max(row["bound"] / soft[row["room"]] - 1.0 for row in rows),
        "constraint": max(row["violation"] for row in rows),
    }


def random_problem(seed: int) -> Problem:
    """Return a random problem with rewards from 0.5 to 1.5 in which every action may lead to every state."""
    mdp = garnet(STATES, ACTIONS, STATES, seed=seed)
    dynamics = np.take_along_axis(np.asarray(mdp.probability), np.argsort(mdp.successor, axis=2), axis=2)
    reward = np.random.default_rng(seed).uniform(0.5, 1.5, size=(STATES, ACTIONS))
    return Problem(dynamics=dynamics, reward=reward, initial=np.asarray(mdp.initial))


def policies_of(problem: Problem, seed: int) -> dict[str, Policy]:
    """Return the soft optimum of r̄, the hard optimum of r, the uniform policy, and a random one."""
    shape = (HORIZON, *problem.reward.shape)
    drawn = np.random.default_rng(seed).dirichlet(np.ones(shape[2]), shape[:2])
    soft, hard = optimum(problem, pessimistic(problem), 1.0), optimum(problem, problem.reward, 0.0)
    return {"soft": soft, "hard": hard, "uniform": np.full(shape, 1 / shape[2]), "drawn": drawn}


def pessimistic(problem: Problem, horizon: int = HORIZON) -> Table:
    """Return the rewards r̄ = 1/T log r + H(p)."""
    p = problem.dynamics
    return np.log(problem.reward) / horizon - np.sum(p * np.log(np.where(p > 0.0, p, 1.0)), axis=2)


def optimum(problem: Problem, reward: Table, temperature: float) -> Policy:
    """Return the optimal policy for these rewards by backward induction, soft at temperature 1 and hard at 0."""
    value, policy = np.zeros(len(reward)), np.zeros((HORIZON, *reward.shape))
    for time in reversed(range(HORIZON)):
        q = reward + problem.dynamics @ value
        soft = np.logaddexp.reduce(q, axis=1)
        value = soft if temperature else q.max(axis=1)
        policy[time] = np.exp(q - soft[:, None]) if temperature else np.eye(reward.shape[1])[q.argmax(axis=1)]
    return policy


def visits_of(problem: Problem, policy: Policy) -> Policy:
    """Return the probability of state and action at each time, under p."""
    states, result = problem.initial, np.zeros(policy.shape)
    for time, now in enumerate(policy):
        result[time] = states[:, None] * now
        states = np.einsum("sa,san->n", result[time], problem.dynamics)
    return result


def returned(problem: Problem, policy: Policy) -> float:
    """Return J(π; p)."""
    return float(np.sum(visits_of(problem, policy) * problem.reward))


def lower_bound(problem: Problem, policy: Policy, room: float) -> float:
    """Return B(π) of (2)."""
    horizon, pairs = len(policy), problem.reward.shape[1] * problem.reward.shape[0]
    logs = np.log(np.where(policy > 0.0, policy, 1.0))
    soft = float(np.sum(visits_of(problem, policy) * (pessimistic(problem, horizon) - logs)))
    return horizon * float(np.exp(soft - horizon * np.log(pairs) - room))


def find_worst(problem: Problem, policy: Policy, room: float, seed: int) -> tuple[float, float]:
    """Minimise the return over p̃ = softmax(z) by sequential quadratic programming, from p and from near it.

    Returns:
        The smallest return among the results that violate (1) by at most `FEASIBLE`, and that violation. With none, the
        return with p.
    """
    own, rng = np.log(problem.dynamics).ravel(), np.random.default_rng(seed)
    weight = visits_of(problem, policy).sum(axis=(0, 2))

    def worth(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _return(z, problem.reward, problem.initial, policy)
        return float(value), np.asarray(slope)

    def slack(z: np.ndarray) -> float:
        return room - float(_divergence(z, problem.dynamics, weight)[0])

    def slope(z: np.ndarray) -> np.ndarray:
        return -np.asarray(_divergence(z, problem.dynamics, weight)[1])

    best = returned(problem, policy), 0.0
    for start in range(STARTS):
        z = own + SPREAD * (start > 0) * rng.normal(size=own.shape)
        met = {"type": "ineq", "fun": slack, "jac": slope}
        found = minimize(worth, z, jac=True, method="SLSQP", constraints=met, options=PRECISE)
        violation = -slack(found.x)
        if violation <= FEASIBLE and found.fun < best[0]:
            best = float(found.fun), violation
    return best


@jax.jit
@jax.value_and_grad
def _return(
    z: Float[Array, " logit"],
    reward: Float[Array, "state action"],
    initial: Float[Array, " state"],
    policy: Float[Array, "time state action"],
) -> Scalar:
    """Return J(π; p̃) for p̃ = softmax(z)."""
    dynamics, value = jax.nn.softmax(jnp.reshape(z, (*reward.shape, -1))), jnp.zeros(len(reward))
    for now in reversed(policy):
        value = jnp.sum(now * (reward + dynamics @ value), axis=1)
    return initial @ value


@jax.jit
@jax.value_and_grad
def _divergence(
    z: Float[Array, " logit"], dynamics: Float[Array, "state action next"], weight: Float[Array, " state"]
) -> Scalar:
    """Return the left side of (1) for p̃ = softmax(z)."""
    ratio = dynamics / jax.nn.softmax(jnp.reshape(z, dynamics.shape))
    return jnp.sum(weight * jnp.log(jnp.mean(ratio, axis=(1, 2))))


def control_of_dynamics() -> dict[str, float]:
    """Find the worst dynamics of two decisions between a good and a bad state, which have a closed form.

    The episode starts in the good state and p is 1/2 for either. The expected visits of the good state are 1.5, so that
    (1) is 1.5 log 1/(4 q (1 − q)) ≤ ε for the probability q of staying, and the least q is
    (1 − √(1 − exp(−ε/1.5)))/2.

    Returns:
        `apart`, the difference of the found return from this one, and `without`, how far it is above the bound (2)
        without ε: a negative number, since that is no bound.
    """
    good, bad, room = 1.5, 0.5, 1.0
    problem = Problem(dynamics=np.full((2, 1, 2), 0.5), reward=np.array([[good], [bad]]), initial=np.array([1.0, 0.0]))
    policy = np.ones((2, 2, 1))
    found, _ = find_worst(problem, policy, room, 0)
    stays = 0.5 * (1.0 - np.sqrt(1.0 - np.exp(-room / 1.5)))
    by_hand = good + stays * good + (1.0 - stays) * bad
    return {"apart": abs(found - float(by_hand)), "without": found - lower_bound(problem, policy, 0.0)}
