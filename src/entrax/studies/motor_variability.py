"""Minimal intervention: optimal feedback lets variance pile up where it costs nothing.

Two tasks, each with noise and more freedom than it needs:

    effectors      x' = x + u + w in several effectors, of which a weighted sum should stay 0, at every step
    via-points     a mass on a line that should be at given places at three times, and may be anywhere in between

The maximum-entropy regulator corrects deviations only where they matter, and its own randomness Σ = ½α M⁻¹ is larger
where they do not. It is compared with a controller that tracks: the same mean movement, with feedback that resists all
deviations alike at all times, as much as gives the same task error. Both are regulators at the same temperature, so
that the difference is the cost that they minimise. In the closed loop deviations have covariances S_t with

    S' = (A − BK) S (A − BK)ᵀ + BΣBᵀ + W                                                                       (1)
    effort = Σ_t tr R(K S Kᵀ + Σ),   soft effort = effort − α Σ_t H(π_t)                                       (2)

and the task error is Σ_t tr(Q_t S_t), the cost of deviations. The optimum minimises their sum, so that the tracker of
equal task error must have the larger soft effort; how much larger, and where variance goes, is measured. Simulated
episodes check (1).

Source: Todorov and Jordan (2002), Optimal feedback control as a theory of motor coordination. Their noise grows with
the action; here it does not, and the effort is the reason to intervene no more than needed.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from entrax.exact import regulator
from entrax.problems import LinearPolicy, LinearQuadratic
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide

STEPS, DT = 30, 0.1
VIA = (10, 20, 30)  # times of the via-points
QUICK, FULL = 5_000, 50_000  # simulated episodes
RATIO, TOO_SMALL = 2.0, 1.0  # of the optimum's spread of variance to the tracker's
EQUAL = 1e-6  # relative difference of task errors
ERRORS, WRONG_ERRORS = 6.0, 12.0  # of simulated variances, in standard errors
SHOWN = 200  # episodes in the figure

Covariances = Float[np.ndarray, "time state state"]


class Loop(NamedTuple):
    """The closed loop of a policy: S_t, t = 0 … T, effort and soft effort of (2), and the task error."""

    policy: LinearPolicy
    covariances: Covariances
    effort: float
    soft_effort: float
    task_error: float


class Motor(NamedTuple):
    """A task: its problem, the tracker's cost of deviations, and how unevenly variance is spread.

    `spread` returns the variance where it does not matter over that where it does.
    """

    problem: LinearQuadratic
    alpha: float
    tracked: Float[np.ndarray, "state state"]
    spread: Callable[[Covariances], float]


def effectors(seed: int) -> Motor:
    """Build a task of two to four effectors whose weighted sum should stay 0."""
    rng = np.random.default_rng([seed, 0])
    m = int(rng.integers(2, 5))
    weights = rng.uniform(0.5, 1.5, m) * rng.choice([-1.0, 1.0], m)
    task = np.outer(weights, weights) * rng.uniform(1.0, 3.0)
    problem = LinearQuadratic(
        np.eye(m), np.eye(m), task, rng.uniform(0.5, 2.0) * np.eye(m), W=0.1 * np.eye(m), final_Q=task, horizon=STEPS
    )
    unit = weights / np.linalg.norm(weights)

    def spread(covariances: Covariances) -> float:
        total = covariances.sum(axis=0)
        relevant = unit @ total @ unit
        return float((np.trace(total) - relevant) / (m - 1) / relevant)

    return Motor(problem=problem, alpha=float(rng.uniform(0.02, 0.2)), tracked=np.eye(m), spread=spread)


def via_points(seed: int) -> Motor:
    """Build a task of a mass that should pass three places at given times."""
    rng = np.random.default_rng([seed, 1])
    places, weight = rng.uniform(-1.0, 1.0, len(VIA)), rng.uniform(50.0, 200.0)
    a, b = np.array([[1.0, DT], [0.0, 1.0]]), np.array([[DT**2 / 2], [DT]])
    position = np.diag([1.0, 0.0])
    cost, linear = np.zeros((STEPS, 2, 2)), np.zeros((STEPS, 2))
    for at, place in zip(VIA[:-1], places, strict=False):
        cost[at], linear[at, 0] = weight * position, -weight * place
    problem = LinearQuadratic(
        a,
        b,
        cost,
        rng.uniform(0.005, 0.02),
        q=linear,
        W=rng.uniform(0.5, 2.0) * b @ b.T,
        final_Q=weight * position,
        final_q=[-weight * places[-1], 0.0],
        horizon=STEPS,
    )
    via = np.isin(np.arange(STEPS + 1), VIA)
    between = ~via & (np.arange(STEPS + 1) > VIA[0] // 2)

    def spread(covariances: Covariances) -> float:
        variance = covariances[:, 0, 0]
        return float(variance[between].mean() / variance[via].mean())

    return Motor(problem=problem, alpha=float(rng.uniform(0.002, 0.02)), tracked=position, spread=spread)


TASKS: dict[str, Callable[[int], Motor]] = {"effectors": effectors, "via-points": via_points}


def optimal(motor: Motor) -> Loop:
    """Return the closed loop of the maximum-entropy regulator."""
    return close(motor, regulator(motor.problem, motor.alpha).policy)


def close(motor: Motor, policy: LinearPolicy) -> Loop:
    """Return the closed loop of a policy, by equations (1) and (2)."""
    p = motor.problem
    a, b, r, w, final = (np.asarray(each) for each in (p.A, p.B, p.R, p.W, p.final_Q))
    costs = np.broadcast_to(np.asarray(p.Q), (STEPS, *final.shape))
    gains, noises = np.asarray(policy.gain), np.asarray(policy.covariance)
    s = np.zeros_like(final)
    covariances, effort, entropy, error = [s], 0.0, 0.0, 0.0
    for k, sigma, q in zip(gains, noises, costs, strict=True):
        effort += float(np.sum(r * (k @ s @ k.T + sigma)))
        entropy += 0.5 * float(np.linalg.slogdet(2 * np.pi * np.e * sigma)[1])
        error += float(np.sum(q * s))
        loop = a - b @ k
        s = loop @ s @ loop.T + b @ sigma @ b.T + w
        covariances.append(s)
    error += float(np.sum(final * s))
    return Loop(policy, np.stack(covariances), effort, effort - motor.alpha * entropy, error)


def tracker(motor: Motor, weight: float) -> Loop:
    """Return the closed loop of feedback that resists all deviations alike, with this weight."""
    p, cost = motor.problem, weight * motor.tracked
    tracking = replace(p, Q=cost, final_Q=cost, q=np.zeros_like(p.q), final_q=np.zeros_like(p.final_q))
    return close(motor, regulator(tracking, motor.alpha).policy)


def matched(motor: Motor, error: float) -> tuple[Loop, float]:
    """Return the tracker of this task error, and its weight, by bisection."""
    low, high = 1e-4, 1e6
    while high / low > 1 + 1e-9:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if tracker(motor, middle).task_error < error else (middle, high)
    return tracker(motor, high), high


def simulate(motor: Motor, policy: LinearPolicy, episodes: int, seed: int) -> Float[np.ndarray, "time episode state"]:
    """Return deviations from the mean movement in episodes that start without any."""
    p, rng = motor.problem, np.random.default_rng([seed, 2])
    eigenvalues, vectors = np.linalg.eigh(np.asarray(p.W))
    root, x = vectors * np.sqrt(np.maximum(eigenvalues, 0.0)), np.zeros((episodes, p.states))
    result = [x]
    for k, sigma in zip(np.asarray(policy.gain), np.asarray(policy.covariance), strict=True):
        u = -x @ k.T + rng.normal(size=(episodes, p.actions)) @ np.linalg.cholesky(sigma).T
        x = x @ p.A.T + u @ p.B.T + rng.normal(size=x.shape) @ root.T
        result.append(x)
    return np.stack(result)


def sampled_errors(motor: Motor, loop: Loop, episodes: int, seed: int) -> float:
    """Return the largest difference of simulated variances from (1), in standard errors."""
    drawn = np.mean(simulate(motor, loop.policy, episodes, seed)[1:] ** 2, axis=1)
    exact = np.diagonal(loop.covariances[1:], axis1=1, axis2=2)
    return float(np.max(np.abs(drawn / exact - 1)) / np.sqrt(2 / episodes))


def mean_movement(problem: LinearQuadratic, policy: LinearPolicy) -> Float[np.ndarray, "time state"]:
    """Return the mean states of a policy with offsets."""
    x = np.asarray(problem.initial_mean)
    result = [x]
    for k, offset in zip(np.asarray(policy.gain), np.asarray(policy.offset), strict=True):
        x = problem.A @ x + problem.B @ (offset - k @ x)
        result.append(x)
    return np.stack(result)


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Compare optimum and tracker in both tasks of every seed."""
    episodes = QUICK if quick else FULL
    rows = {name: [measure(build(seed), episodes, seed) for seed in seeds] for name, build in TASKS.items()}
    return {"rows": rows, "example": example(seeds[0])}


def measure(motor: Motor, episodes: int, seed: int) -> dict[str, Any]:
    """Return how both controllers spread variance, what they pay, and the errors of both checks."""
    best = optimal(motor)
    tracking, weight = matched(motor, best.task_error)
    loops = {"optimum": best, "tracker": tracking}
    return {
        "spread": {name: motor.spread(loop.covariances) for name, loop in loops.items()},
        "effort": {name: loop.effort for name, loop in loops.items()},
        "soft_effort": {name: loop.soft_effort for name, loop in loops.items()},
        "weight": weight,
        "task_difference": abs(tracking.task_error / best.task_error - 1),
        "sampled_errors": max(sampled_errors(motor, loop, episodes, seed) for loop in loops.values()),
    }


def example(seed: int) -> dict[str, Any]:
    """Return simulated ends of two effectors whose sum matters, and a mass's variance over time, for the figure."""
    pair = LinearQuadratic(
        np.eye(2), np.eye(2), np.ones((2, 2)), np.eye(2), W=0.1 * np.eye(2), final_Q=np.ones((2, 2)), horizon=STEPS
    )
    two = Motor(pair, 0.1, np.eye(2), lambda covariances: 0.0)
    mass = via_points(seed)
    result: dict[str, Any] = {
        "effectors": {},
        "via": {},
        "times": DT * np.arange(STEPS + 1),
        "via_times": DT * np.array(VIA),
    }
    for name in ("optimum", "tracker"):
        loops = [
            optimal(each) if name == "optimum" else matched(each, optimal(each).task_error)[0] for each in (two, mass)
        ]
        result["effectors"][name] = simulate(two, loops[0].policy, SHOWN, seed)[-1]
        result["via"][name] = np.sqrt(loops[1].covariances[:, 0, 0])
    result["movement"] = mean_movement(mass.problem, optimal(mass).policy)[:, 0]
    return result


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    rows = [row for each in numbers["rows"].values() for row in each]
    ratio = min(row["spread"]["optimum"] / row["spread"]["tracker"] for row in rows)
    saved = min(row["soft_effort"]["tracker"] - row["soft_effort"]["optimum"] for row in rows)
    error, apart = (max(row[key] for row in rows) for key in ("sampled_errors", "task_difference"))
    return decide(
        supported=ratio >= RATIO and saved > 0 and error <= ERRORS and apart <= EQUAL,
        refuted=ratio < TOO_SMALL or saved <= 0 or error > WRONG_ERRORS,
    )


def control() -> ControlResult:
    """Solve two effectors whose sum matters; a task in which everything matters has no variance to spare.

    In sum and difference the problem falls apart into two scalar ones. No feedback resists the difference, whose
    variance is that of a random walk with steps of 2(w + σ²), where σ² = ½α/r is the policy's own.
    """
    alpha, eye = 0.1, np.eye(2)
    some = LinearQuadratic(eye, eye, np.ones((2, 2)), eye, W=0.1 * eye, final_Q=np.ones((2, 2)), horizon=STEPS)
    every = replace(some, Q=eye, final_Q=eye)
    first, second = (
        optimal(Motor(each, alpha, eye, lambda covariances: 0.0)).covariances[-1] for each in (some, every)
    )
    apart = np.array([1.0, -1.0])
    walked, expected = float(apart @ first @ apart), STEPS * 2 * (0.1 + alpha / 2)
    together, even = float(first.sum()), float(abs(second[0, 1]) / second[0, 0])
    return ControlResult(
        seen=abs(walked / expected - 1) < EQUAL and walked > RATIO * together and even < EQUAL,
        numbers={"difference": walked, "expected": expected, "sum": together, "correlation if both matter": even},
    )


STUDY = Study(
    name="motor-variability",
    claim="Maximum-entropy control lets variance pile up where it costs nothing, and pays less than tracking for it.",
    criterion=(
        "Random tasks of several effectors and of a mass with via-points, against a controller that tracks the same "
        "mean movement with the same task error. The spread is the variance where it does not matter over that where "
        f"it does. Supported if in every task the optimum's spread is at least {RATIO:g} times the tracker's, its "
        "effort less α times entropy is lower, and simulated variances are within "
        f"{ERRORS:g} standard errors. Refuted if in one task the spread is below the tracker's, the effort no lower, "
        f"or a variance {WRONG_ERRORS:g} standard errors off."
    ),
    look=(
        "First, where two effectors end whose sum should be 0: the optimum's dots stretch along the line of sums of 0, "
        "the tracker's are round. Second, the deviation of a mass from its mean movement, which the optimum reduces at "
        "the dashed via-points only; third, which decides, the spread of variance in every task, and fourth the effort "
        "that it saves."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="Variance is larger where it does not matter, at a lower effort than tracking's.",
        case=(
            "two effectors whose sum matters, whose difference must be a random walk of known variance; if both "
            "matter, no direction has more variance"
        ),
        control=control,
    ),
)
