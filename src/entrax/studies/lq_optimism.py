"""The exact posterior of a linear-quadratic problem is optimistic: it believes in noise that helps.

Conditioned on optimality, both the actions and the noise are inferred. The exact posterior p(τ | O) therefore assumes
other dynamics than the true ones; the maximum-entropy policy is the best posterior q(τ) that keeps them. With x₀ known

    optimism = α log p(O) − V(x₀) = α KL(q ‖ p(· | O)) ≥ 0                                                     (1)

where V is the soft value of the maximum-entropy policy, which is true. The optimism is 0 without noise; for every
problem it grows with the noise and with 1/α. What the exact posterior's policy earns in the true dynamics is at most V.

The risk-averse twin takes −α log E exp(−V/α) for the value of the noise. Below some temperature it has no finite value:
1 − 2PW/α is then no longer positive. This is found by bisection, and for A = B = Q = R = 1 and a long horizon it
is α = 4W.

The evidence comes from the backward recursions of `entrax.exact`, the divergence in (1) from the two Markov chains
themselves (`divergence`), and returns from a recursion for the policies (`true_value`).

Source: Levine (2018), arXiv:1805.00909, section 2.4; Whittle (1990) for the breakdown.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError
from entrax.exact import gaussian_posterior, gaussian_variational_posterior, regulator
from entrax.exact.gaussian_posterior import GaussianPosterior
from entrax.problems import LinearPolicy, LinearQuadratic
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide

STATES, ACTIONS, HORIZON = 3, 2, 20
NOISES = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # times the problem's own covariance
ALPHA = 1.0
QUICK, FULL = 9, 25  # temperatures
RANGE = (0.03, 300.0)  # of temperatures, in units of the cost
FAR = 200  # decisions, after which the breakdown is within 10⁻³ of that of any number
CLOSE, WRONG = 1e-7, 1e-3  # errors, relative to the largest of the numbers compared

Matrix = Float[np.ndarray, "_ _"]


def make_problem(seed: int) -> LinearQuadratic:
    """Build a random problem: A of spectral radius 0.9, costs and noise of random directions, a known start."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(STATES, STATES))
    a *= 0.9 / np.abs(np.linalg.eigvals(a)).max()
    b, root = rng.normal(size=(STATES, ACTIONS)), rng.normal(size=(STATES, STATES))
    noise = rng.normal(size=(STATES, STATES))
    w = 0.1 * noise @ noise.T
    return LinearQuadratic(
        a, b, root @ root.T, np.eye(ACTIONS), W=w, initial_mean=rng.normal(size=STATES), horizon=HORIZON
    )


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure optimism, evidence and true returns over noise and temperature in a random problem of every seed."""
    temperatures = np.geomspace(*RANGE, QUICK if quick else FULL)
    problems = {seed: make_problem(seed) for seed in seeds}
    return {
        "noises": NOISES,
        "temperatures": temperatures,
        "rows": [
            {
                "seed": seed,
                "over_noise": [measure(with_noise(problem, scale), ALPHA) for scale in NOISES],
                "over_temperature": [measure(problem, float(alpha)) for alpha in temperatures],
                "breakdown": breakdown(problem, HORIZON),
                "twin": twin(problem, temperatures),
            }
            for seed, problem in problems.items()
        ],
        "scalar": scalar_beliefs(),
    }


def with_noise(problem: LinearQuadratic, scale: float) -> LinearQuadratic:
    """Return the problem with `scale` times its noise."""
    return replace(problem, W=scale * problem.W)


def measure(problem: LinearQuadratic, alpha: float) -> dict[str, float]:
    """Return evidence, bound, optimism and true returns at one temperature, in units of the cost.

    `soft_exact` and `soft_variational` are the returns with the entropy bonus of both policies in the true dynamics,
    `exact` and `variational` those without it. `believed` is what the exact posterior expects with the bonus.
    """
    exact, variational = gaussian_posterior(problem, alpha), gaussian_variational_posterior(problem, alpha)
    start = np.asarray(problem.initial_mean)
    evidence, bound = float(exact.log_evidence) * alpha, float(variational.log_evidence) * alpha
    true = {
        name: [true_value(problem, posterior.policy, bonus)(start) for bonus in (alpha, 0.0)]
        for name, posterior in (("exact", exact), ("variational", variational))
    }
    return {
        "alpha": alpha,
        "evidence": evidence,
        "bound": bound,
        "optimism": evidence - bound,
        "divergence": alpha * divergence(variational, exact),
        "soft_exact": float(true["exact"][0]),
        "soft_variational": float(true["variational"][0]),
        "exact": float(true["exact"][1]),
        "variational": float(true["variational"][1]),
        "gain_exact": float(np.linalg.norm(exact.policy.gain[0])),
        "gain_variational": float(np.linalg.norm(variational.policy.gain[0])),
    }


def true_value(problem: LinearQuadratic, policy: LinearPolicy, bonus: float) -> Any:
    """Return the value at time 0 of a policy in the true dynamics, as a function of the state.

    With u = −Kx + ε, ε ~ N(0, Σ), costs xᵀPx + c satisfy a Lyapunov recursion; `bonus` times the entropy is subtracted.
    Policies have no offset: the problems have no linear costs and no drift.
    """
    q, r, a, b, w = (np.asarray(each) for each in (problem.Q, problem.R, problem.A, problem.B, problem.W))
    gains, covariances = np.asarray(policy.gain), np.asarray(policy.covariance)
    p, c = np.asarray(problem.final_Q), 0.0
    for k, sigma in zip(gains[::-1], covariances[::-1], strict=True):
        loop = a - b @ k
        entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * sigma)[1]
        c += np.sum(p * w) + np.sum((r + b.T @ p @ b) * sigma) - bonus * entropy
        p = q + k.T @ r @ k + loop.T @ p @ loop
    return lambda x: -(x @ p @ x) - c


def divergence(ours: GaussianPosterior, theirs: GaussianPosterior) -> float:
    """Return KL(ours ‖ theirs) of trajectories, in nats: what (1) says of two Gaussian Markov chains.

    Both have policies and dynamics of their own, and the noise is the same up to the tilt that `theirs` gives it.
    """
    states = ours.state_marginals()
    mean, spread = np.asarray(states.mean), np.asarray(states.covariance)
    total = 0.0
    for t in range(len(mean) - 1):
        k, other = np.asarray(ours.policy.gain[t]), np.asarray(theirs.policy.gain[t])
        second = spread[t] + np.outer(mean[t], mean[t])
        total += expected_kl(other - k, second, ours.policy.covariance[t], theirs.policy.covariance[t])
        inputs = np.hstack([np.eye(len(k[0])), -k.T]).T  # (x, u) = inputs x + noise of u
        both = inputs @ second @ inputs.T
        both[len(k[0]) :, len(k[0]) :] += np.asarray(ours.policy.covariance[t])
        move = [np.hstack([np.asarray(each.dynamics.A[t]), np.asarray(each.dynamics.B[t])]) for each in (ours, theirs)]
        total += expected_kl(move[0] - move[1], both, ours.dynamics.W[t], theirs.dynamics.W[t])
    return total


def expected_kl(apart: Any, second: Matrix, ours: Any, theirs: Any) -> float:
    """Return E KL(N(m, ours) ‖ N(m − apart z, theirs)), where E z zᵀ = `second`; 0 if both have no noise."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if not ours.any():
        return 0.0
    inverse = np.linalg.inv(theirs)
    logs = np.linalg.slogdet(theirs)[1] - np.linalg.slogdet(ours)[1]
    return float(0.5 * (np.sum(inverse * ours) - len(ours) + logs + np.sum(inverse * (apart @ second @ apart.T))))


def is_finite(problem: LinearQuadratic, alpha: float, horizon: int) -> bool:
    """Return whether the risk-averse twin has a finite value."""
    try:
        regulator(problem, alpha, outcomes="pessimistic", horizon=horizon)
    except UsageError:
        return False
    return True


def breakdown(problem: LinearQuadratic, horizon: int) -> float:
    """Return the temperature below which the risk-averse twin has no finite value, by bisection."""
    low, high = 1e-3, 1e3
    while high / low > 1 + 1e-6:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if is_finite(problem, middle, horizon) else (middle, high)
    return high


def twin(problem: LinearQuadratic, temperatures: Any) -> list[float | None]:
    """Return how far below V(x₀) the risk-averse twin's value is; None where it has no finite value."""
    start, result = np.asarray(problem.initial_mean), []
    for alpha in map(float, temperatures):
        values = [
            float(regulator(problem, alpha, outcomes=outcomes).value.at(0)(start))
            for outcomes in ("expected", "pessimistic")
            if outcomes == "expected" or is_finite(problem, alpha, HORIZON)
        ]
        result.append(values[0] - values[1] if len(values) == 2 else None)
    return result


def scalar(horizon: int) -> LinearQuadratic:
    """Return A = B = Q = R = 1 with W = 0.2, whose answers have closed forms."""
    return LinearQuadratic(A=1, B=1, Q=1, R=1, W=0.2, initial_mean=[3.0], horizon=horizon)


def scalar_beliefs() -> dict[str, Any]:
    """Return mean and standard deviation of x over time, as believed and as true, for the figure."""
    problem, alpha = scalar(HORIZON), 0.3
    exact, variational = gaussian_posterior(problem, alpha), gaussian_variational_posterior(problem, alpha)
    truth = eqx.tree_at(lambda chain: chain.policy, variational, exact.policy)
    chains = {"believed": exact, "true": truth, "maximum entropy": variational}
    marginals = {name: chain.state_marginals() for name, chain in chains.items()}
    return {
        name: {"mean": np.asarray(each.mean)[:, 0], "deviation": np.sqrt(np.asarray(each.covariance)[:, 0, 0])}
        for name, each in marginals.items()
    }


def errors(row: Mapping[str, Any]) -> dict[str, float]:
    """Return what must be 0, or at most 0, relative to the numbers compared.

    `divergence` is the difference of both sides of (1), `bound` that of the bound and what its policy earns,
    `noiseless` the optimism without noise, `noise` and `cold` falls of the optimism as noise or 1/α grow, and `better`
    how much more the exact posterior's policy earns than the maximum-entropy one.
    """
    all_points = [*row["over_noise"], *row["over_temperature"]]
    noise = [point["optimism"] for point in row["over_noise"]]
    cold = [point["optimism"] for point in row["over_temperature"]][::-1]

    def scaled(difference: float, point: Mapping[str, float]) -> float:
        return difference / max(abs(point["evidence"]), abs(point["bound"]))

    return {
        "divergence": max(scaled(abs(each["optimism"] - each["divergence"]), each) for each in all_points),
        "bound": max(scaled(abs(each["bound"] - each["soft_variational"]), each) for each in all_points),
        "noiseless": scaled(abs(noise[0]), row["over_noise"][0]),
        "noise": float(-np.min(np.diff(noise)) / noise[-1]),
        "cold": float(-np.min(np.diff(cold)) / cold[-1]),
        "better": max(scaled(each["soft_exact"] - each["soft_variational"], each) for each in all_points),
    }


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    wrong = [max(errors(row).values()) for row in numbers["rows"]]
    grown = all(row["over_noise"][-1]["optimism"] > 0 for row in numbers["rows"])
    return decide(supported=max(wrong) <= CLOSE and grown, refuted=max(wrong) > WRONG or not grown)


def control() -> ControlResult:
    """Solve the scalar problem, whose gains and breakdown have closed forms.

    The gains are P/(1 + P) with P² = P + 1 of the maximum-entropy policy, and with P̃ = P/(1 + 2PW/α) in its place for
    the exact posterior. Without noise both must be the same, and an evidence without its constant must be seen to fail.
    """
    problem, alpha = scalar(FAR), 0.3
    exact, variational = gaussian_posterior(problem, alpha), gaussian_variational_posterior(problem, alpha)
    optimist, golden = 1.3237544710 - 1, (5**0.5 - 1) / 2  # P − 1 = P̃/(1 + P̃) is the gain
    gains = [float(each.policy.gain[0, 0, 0]) for each in (exact, variational)]
    broken = breakdown(problem, FAR)
    row = {"over_noise": [measure(with_noise(scalar(HORIZON), scale), alpha) for scale in NOISES]}
    row["over_temperature"] = [measure(scalar(HORIZON), each) for each in (alpha, 1.0)]
    wrong = {**row, "over_noise": [each | {"optimism": each["optimism"] + 0.1} for each in row["over_noise"]]}
    seen = max(abs(gains[0] - optimist), abs(gains[1] - golden)) < CLOSE and abs(broken / 0.8 - 1) < 1e-3
    seen = seen and judge({"rows": [row]}) == "supported" and judge({"rows": [wrong]}) == "refuted"
    return ControlResult(seen=seen, numbers={"gains": gains, "breakdown": broken})


STUDY = Study(
    name="lq-optimism",
    claim="In linear-quadratic problems the exact posterior is too optimistic, the more so with more noise and 1/α.",
    criterion=(
        "Random problems at several noises and temperatures. Supported if in each the optimism of the evidence is α "
        "times the divergence of the maximum-entropy trajectories from the exact posterior, is 0 without noise, never "
        "falls as noise or 1/α grow, and the exact posterior's policy never earns more soft return than the "
        f"maximum-entropy one, whose return is its bound; all with relative errors of at most {CLOSE:g}. Refuted if an "
        f"error is above {WRONG:g}, or there is no optimism at the largest noise."
    ),
    look=(
        "First, where the exact posterior believes that the state will be (blue), and where its policy takes it "
        "(red). Second, the optimism, which must grow from 0 with the noise; third, how it falls with the temperature, "
        "and the caution of the risk-averse twin, which is infinite left of the dotted line. Fourth, what is believed, "
        "and what both policies earn: the distance of the upper lines is the optimism, of the lower ones its price."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="The evidence exceeds its bound by α KL, which grows with the noise and with 1/α.",
        case=(
            "A = B = Q = R = 1, where the gains of both policies and the breakdown α = 4W have closed forms; an "
            "evidence with a wrong constant is seen to fail"
        ),
        control=control,
    ),
)
