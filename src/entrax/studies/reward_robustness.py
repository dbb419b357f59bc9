"""Maximum entropy is robustness: the soft optimum is the best policy against an adversary who changes the rewards.

In every state the adversary may replace the rewards r by r̃, as long as

    C_s(r̃) = log 1/|A| Σ_a exp((r(s,a) − r̃(s,a))/α) ≤ 0                                                       (1)

The rewards r themselves have C = 0. To lower the reward of one action by x, the adversary must raise others, and no
action can lose more than α log|A|. For every x and distribution π, Σ_a π x ≤ log Σ_a exp x − H(π), hence

    min E_π Σ γ^t r̃ = E_π Σ γ^t r + α E_π Σ γ^t (H(π) − log|A|)     at r̃ = r − α log(|A| π)                    (2)

The right side is the entropy-regularised return, less a constant, so that the soft optimum has the largest worst case.
It is a saddle point: in its worst rewards no policy has a larger return. The minimum is the same if (1) bounds only the
mean of C along the policy's own episodes,

    E_π Σ γ^t C_{s_t}(r̃) ≤ 0                                                                                    (3)

which is the set of Eysenbach and Levine (2021), arXiv:2103.06257, up to log|A| and the discount, derived here.

Here a numerical optimiser plays the adversary. It knows the return and the constraint (1) or (3), not (2), and what it
finds is compared with (2). A deterministic policy's adversary reaches the minimum only as r̃ of other actions grows
without bound, so that the optimiser may raise a reward by `LARGEST` α at most. Changes of the dynamics are in
`entrax.studies.dynamics_robustness`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from entrax.exact import plan
from entrax.problems import FiniteMDP, garnet
from entrax.studies.controls import one_decision
from entrax.studies.dynamics_robustness import changed_dynamics, control_of_dynamics
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide

STATES, ACTIONS, BRANCHES, DISCOUNT = 6, 3, 3, 0.9
QUICK, FULL = (0.1, 0.3, 1.0), (0.03, 0.1, 0.3, 1.0, 3.0)
"""Temperatures."""
LARGEST = 30.0
PRECISE = {"ftol": 1e-11, "maxiter": 500}
CLOSE, WRONG = 1e-6, 1e-3
"""Errors of worst cases in units of α/(1 − γ), the worth of one nat in every step."""
SHIFTS = (0.1, 1.0)  # standard deviation of the changes of log π that perturb the soft optimum
SHOWN = 61  # points of a curve

Table = Float[np.ndarray, "state action"]


class WorstCase(NamedTuple):
    """Rewards that an adversary found, the policy's return with them, and the constraint, at most 0."""

    reward: Table
    expected_return: float
    constraint: float


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Let the adversary play against several policies in random problems at every temperature."""
    temperatures = QUICK if quick else FULL
    problems = {seed: garnet(STATES, ACTIONS, BRANCHES, seed=seed, discount=DISCOUNT) for seed in seeds}
    return {
        "temperatures": temperatures,
        "rows": [changed_rewards(problems[seed], alpha, seed) for seed in seeds for alpha in temperatures],
        "curves": worst_over_temperature(problems[seeds[0]]),
        "sets": [boundary(alpha) for alpha in temperatures],
        "dynamics": [changed_dynamics(seed) for seed in seeds],
    }


def changed_rewards(mdp: FiniteMDP, alpha: float, seed: int) -> dict[str, Any]:
    """Measure worst cases of several policies, by formula and as found, in units of the rewards."""
    scale = alpha / (1.0 - float(mdp.discount))
    result: dict[str, Any] = {"seed": seed, "alpha": alpha, "scale": scale, "policies": {}}
    for name, policy in policies_of(mdp, alpha, seed).items():
        nominal = returned(mdp, policy, np.asarray(mdp.reward))
        bounded, averaged = (find_worst(mdp, policy, alpha, averaged=each) for each in (False, True))
        result["policies"][name] = {
            "nominal": nominal,
            "formula": formula(mdp, policy, alpha),
            "found": bounded.expected_return,
            "found_averaged": averaged.expected_return,
            "constraint": max(bounded.constraint, averaged.constraint),
        }
    soft = np.asarray(plan(mdp, alpha).policy)
    worst = np.asarray(mdp.reward) - alpha * np.log(mdp.actions * soft)
    best = plan(replace(mdp, reward=worst, outcome_reward=None), 0.0)
    gain = float(np.asarray(best.value) @ mdp.initial) - formula(mdp, soft, alpha)
    return result | {"gain": gain / scale}


def policies_of(mdp: FiniteMDP, alpha: float, seed: int) -> dict[str, Table]:
    """Return the soft and the hard optimum, perturbed soft ones, and two policies that do not depend on α."""
    rng = np.random.default_rng(seed)
    soft, hard = (np.asarray(plan(mdp, each).policy) for each in (alpha, 0.0))
    noise, drawn = rng.normal(size=soft.shape), rng.dirichlet(np.ones(mdp.actions), mdp.states)
    near = {f"soft, shifted by {shift:g}": normalised(soft * np.exp(shift * noise)) for shift in SHIFTS}
    return {"soft": soft} | near | {"hard": hard, "uniform": np.full(soft.shape, 1 / mdp.actions), "drawn": drawn}


def normalised(weights: Table) -> Table:
    """Return weights divided by each state's sum."""
    return weights / weights.sum(axis=1, keepdims=True)


def visits_of(mdp: FiniteMDP, policy: Table) -> Float[np.ndarray, " state"]:
    """Return d(s) = Σ_t γ^t P(s_t = s), by solving d = p₀ + γ d P."""
    moves = np.zeros((mdp.states, mdp.states + 1))  # the last place is the end of the episode
    flow = policy[:, :, None] * np.asarray(mdp.probability)
    np.add.at(moves, (np.arange(mdp.states)[:, None, None], mdp.successor), flow)
    onward = np.eye(mdp.states) - float(mdp.discount) * moves[:, : mdp.states]
    return np.asarray(np.linalg.solve(onward.T, np.asarray(mdp.initial)))


def returned(mdp: FiniteMDP, policy: Table, reward: Table) -> float:
    """Return E_π Σ γ^t of these rewards."""
    return float(visits_of(mdp, policy) @ np.sum(policy * reward, axis=1))


def formula(mdp: FiniteMDP, policy: Table, alpha: float) -> float:
    """Return the right side of (2)."""
    logs = np.log(np.where(policy > 0.0, mdp.actions * policy, 1.0))
    return returned(mdp, policy, np.asarray(mdp.reward) - alpha * logs)


def find_worst(mdp: FiniteMDP, policy: Table, alpha: float, *, averaged: bool = False) -> WorstCase:
    """Minimise the policy's return over r̃ by sequential quadratic programming.

    Args:
        mdp: the problem with the rewards r.
        policy: π.
        alpha: α, the size of the set.
        averaged: whether (3) bounds the rewards, in place of (1).
    """
    own, shape = np.asarray(mdp.reward), policy.shape
    states = visits_of(mdp, policy)
    visits = states[:, None] * policy
    weight = states[None] if averaged else np.eye(len(own))

    def slack(reward: np.ndarray) -> np.ndarray:
        return -weight @ constraint(own - reward.reshape(shape), alpha)

    def slope(reward: np.ndarray) -> np.ndarray:
        by_state = normalised(np.exp((own - reward.reshape(shape)) / alpha)) / alpha
        return (weight[:, :, None] * by_state).reshape(len(weight), -1)

    found = minimize(
        lambda reward: visits.ravel() @ reward,
        own.ravel(),
        jac=lambda _: visits.ravel(),
        method="SLSQP",
        bounds=[(each - LARGEST * alpha, each + LARGEST * alpha) for each in own.ravel()],
        constraints={"type": "ineq", "fun": slack, "jac": slope},
        options=PRECISE,
    )
    reward = found.x.reshape(shape)
    result = returned(mdp, policy, reward)
    return WorstCase(reward=reward, expected_return=result, constraint=float(np.max(-slack(found.x))))


def constraint(less: Float[np.ndarray, "*batch action"], alpha: float) -> Float[np.ndarray, "*batch"]:
    """Return C of (1) for rewards that are lower by `less`."""
    return np.asarray(np.logaddexp.reduce(less / alpha, axis=-1) - np.log(less.shape[-1]))


def worst_over_temperature(mdp: FiniteMDP) -> dict[str, Any]:
    """Return the worst cases (2) of several policies over α, for the figure."""
    temperatures = np.geomspace(0.01, 10.0, SHOWN)
    fixed = {f"soft at {alpha:g}": np.asarray(plan(mdp, alpha).policy) for alpha in (0.1, 1.0)}
    fixed |= {"hard": np.asarray(plan(mdp, 0.0).policy), "uniform": np.full(mdp.reward.shape, 1 / mdp.actions)}
    own = [formula(mdp, np.asarray(plan(mdp, float(alpha)).policy), float(alpha)) for alpha in temperatures]
    others = {name: [formula(mdp, each, float(alpha)) for alpha in temperatures] for name, each in fixed.items()}
    return {"temperatures": temperatures, "worst": {"soft at α": own} | others}


def boundary(alpha: float) -> dict[str, Any]:
    """Return how far the second of two rewards can be lowered over how far the first is, and what the adversary finds.

    The policies of the second take the first action with probability 0.1, 0.3, 0.5, 0.7 and 0.9.
    """
    decision = one_decision([0.0, 0.0])
    first = np.linspace(-3.0, alpha * np.log(2.0) * (1.0 - 1e-9), 4 * SHOWN)
    second = alpha * np.log(2.0 - np.exp(first / alpha))
    found = [-find_worst(decision, np.array([[p, 1.0 - p]]), alpha).reward[0] for p in (0.1, 0.3, 0.5, 0.7, 0.9)]
    return {"alpha": alpha, "first": first, "second": second, "found": found}


def errors(row: Mapping[str, Any]) -> dict[str, float]:
    """Return what must be 0, or at most 0, in units of α/(1 − γ).

    `identity` is the largest difference between found and predicted worst cases, `better` how much another policy's
    found worst case is above the soft optimum's, `gain` how much can be gained in the soft optimum's worst rewards, and
    `constraint` how much the adversary's rewards violate their constraint.
    """
    policies, scale = row["policies"], row["scale"]
    found = {name: min(each["found"], each["found_averaged"]) for name, each in policies.items()}
    apart = [abs(each[key] - each["formula"]) for each in policies.values() for key in ("found", "found_averaged")]
    return {
        "identity": max(apart) / scale,
        "better": max(found[name] - found["soft"] for name in policies) / scale,
        "gain": abs(row["gain"]),
        "constraint": max(each["constraint"] for each in policies.values()),
    }


def proportion_error(rows: list[Mapping[str, Any]]) -> float:
    """Return the largest relative spread of (J − worst case)/α over α, for policies that do not depend on α.

    That loss is the size of the set in the direction of a policy's visits.
    """
    result = 0.0
    for seed in {row["seed"] for row in rows}:
        for name in ("hard", "drawn"):
            mine = [(row["alpha"], row["policies"][name]) for row in rows if row["seed"] == seed]
            losses = np.array([(each["nominal"] - each["found"]) / alpha for alpha, each in mine])
            result = max(result, float(np.ptp(losses) / losses.mean()))
    return result


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    wrong = [max(errors(row).values()) for row in numbers["rows"]]
    wrong.append(proportion_error(numbers["rows"]))
    wrong += [row[name] for row in numbers["dynamics"] for name in ("below", "better", "constraint")]
    return decide(supported=max(wrong) <= CLOSE, refuted=max(wrong) > WRONG)


def control() -> ControlResult:
    """Find the worst rewards of one decision, and the worst dynamics of a step with two outcomes.

    Both have closed forms. A formula at twice the temperature, and a bound without its constant, must be seen to fail.
    """
    mdp, policy, alpha = one_decision([1.0, 0.0]), np.array([[0.8, 0.2]]), 0.5
    by_hand = 0.8 - alpha * float(np.sum(policy * np.log(2.0 * policy)))
    found = find_worst(mdp, policy, alpha).expected_return
    apart, doubled = abs(found - by_hand), abs(found - formula(mdp, policy, 2.0 * alpha))
    dynamics = control_of_dynamics()
    seen = apart <= CLOSE and doubled > WRONG and dynamics["apart"] <= CLOSE and dynamics["without"] < -WRONG
    return ControlResult(seen=seen, numbers={"found": found, "by_hand": by_hand, "doubled": doubled} | dynamics)


STUDY = Study(
    name="reward-robustness",
    claim="The soft optimum is the best policy against the worst rewards of a set whose size is the temperature.",
    criterion=(
        "A numerical adversary lowers the returns of six policies in random problems. Supported if its worst case is "
        "the entropy-regularised return less α log|A|/(1−γ), no policy has a better one than the soft optimum, no "
        "policy gains in the soft optimum's worst rewards, losses are proportional to α, and no dynamics of the "
        "adversary bring a return below the maximum-entropy bound, which is largest for its soft optimum; all with "
        f"errors of at most {CLOSE:g}, in units of α/(1−γ) for rewards and relative for dynamics. Refuted if an error "
        f"is larger than {WRONG:g}."
    ),
    look=(
        "First, how far two rewards may be lowered together at each temperature, and what the adversary chooses; "
        "second, which decides, how far its worst cases are from the entropy-regularised return. Third, the worst "
        "return over the size of the set, where the soft optimum of that temperature is never below another policy. "
        "Fourth, the returns that changed dynamics leave, none of which may lie below the line."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="The worst return over the set of rewards is the entropy-regularised one, largest for the soft optimum.",
        case=(
            "one decision and one random step whose worst cases have closed forms; a formula at twice the temperature "
            "and a bound without its constant are seen to fail"
        ),
        control=control,
    ),
)
