"""Soft optimality becomes hard optimality as the temperature falls.

Finite problems are solved exactly at falling temperatures α, and again at temperature 1 with rewards r/α. Both must
agree: π of c r at α is π of r at α/c, and V scales by c. In the entropy convention

    V_0 ≤ V_α ≤ V_0 + α log|A| / (1 − γ)                                                                     (1)

Source: Levine (2018), arXiv:1805.00909, section 2; (1) from 0 ≤ H(π) ≤ log|A| at every step.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from entrax.exact import evaluate, plan
from entrax.problems import FiniteMDP, garnet
from entrax.studies.controls import one_decision
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide

COLDEST = 1e-3
SAME, DIFFERENT = 1e-6, 1e-3  # largest difference of a probability between both ways
LOSS = 1e-3  # of the coldest policy, relative to the uniform policy's
ROUNDING = 1e-8


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Solve FrozenLake and a random problem of every seed in both ways."""
    temperatures = np.geomspace(10.0, COLDEST, 9 if quick else 33)
    problems = {"FrozenLake": FiniteMDP.from_gymnasium("FrozenLake-v1", discount=0.99)}
    problems |= {f"random {i}": garnet(40, 4, 3, seed=seed, discount=0.9) for i, seed in enumerate(seeds)}
    return {
        "temperatures": temperatures,
        "problems": {name: along(mdp, temperatures) for name, mdp in problems.items()},
    }


def along(mdp: FiniteMDP, temperatures: np.ndarray) -> dict[str, Any]:
    """Measure distances from hard optimality at every temperature, for one problem."""
    hard = plan(mdp, 0.0)
    uniform = np.full(mdp.reward.shape, 1 / mdp.actions)
    best = float(hard.value @ mdp.initial)
    spread = best - float(evaluate(mdp, uniform).expected_return)
    rows = [_at(mdp, float(alpha), np.asarray(hard.value)) for alpha in temperatures]
    result: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    result["bound"] = temperatures * np.log(mdp.actions) / (1 - float(mdp.discount))
    result["loss"] = [(best - value) / spread for value in result.pop("hard_return")]
    return result


def _at(mdp: FiniteMDP, alpha: float, hard: np.ndarray) -> dict[str, float]:
    soft = plan(mdp, alpha)
    grown = plan(replace(mdp, reward=np.asarray(mdp.reward) / alpha, outcome_reward=None), 1.0)
    gap = np.asarray(soft.value) - hard
    return {
        "value_gap": float(gap.max()),
        "least_gap": float(gap.min()),
        "policy_difference": float(np.abs(np.asarray(soft.policy - grown.policy)).max()),
        "value_difference": float(np.abs(np.asarray(soft.value - alpha * grown.value)).max()),
        "hard_return": float(evaluate(mdp, np.asarray(soft.policy)).expected_return),
    }


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    problems = list(numbers["problems"].values())
    apart = max(max(problem["policy_difference"]) for problem in problems)
    bounded = all(
        least >= -ROUNDING and gap <= bound + ROUNDING
        for problem in problems
        for least, gap, bound in zip(problem["least_gap"], problem["value_gap"], problem["bound"], strict=True)
    )
    monotone = all(np.all(np.diff(problem["value_gap"]) <= ROUNDING) for problem in problems)
    reached = all(problem["loss"][-1] <= LOSS for problem in problems)
    return decide(
        supported=apart <= SAME and bounded and monotone and reached,
        refuted=apart > DIFFERENT or not bounded or not monotone,
    )


def control() -> ControlResult:
    """Compare the value of one decision with its formula."""
    rewards, temperatures = np.array([1.0, 0.5, 0.0]), np.array([1.0, 0.1])
    formula = temperatures * np.log(np.exp((rewards - 1.0) / temperatures[:, None]).sum(axis=1))
    gaps = np.array(along(one_decision(rewards), temperatures)["value_gap"])
    return ControlResult(
        seen=bool(np.abs(gaps - formula).max() < ROUNDING and gaps[1] < gaps[0]), numbers={"gaps": gaps.tolist()}
    )


STUDY = Study(
    name="temperature-limit",
    claim="Soft optimality becomes hard optimality as the temperature falls, and identically as the reward grows.",
    criterion=(
        f"Supported if on every problem no probability differs by more than {SAME:g} between falling temperature and "
        "growing reward, V falls monotonically to the hard V within α log|A|/(1−γ), and the coldest policy loses at "
        f"most {LOSS:g} of the return that the uniform policy loses. Refuted if probabilities differ by more than "
        f"{DIFFERENT:g}, or V leaves its bounds or does not fall."
    ),
    look=(
        "Left: how far the soft value lies above the hard one as the temperature falls; it must fall too, below its "
        "dotted bound. Middle: the return that the soft policy loses, which must vanish at the coldest. Right: "
        "policies at temperature α against policies of rewards r/α; if they differ by no more than rounding does, "
        "cooling and larger rewards are the same."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="The soft value falls to the hard one as α → 0, within α log|A|/(1−γ).",
        case="one decision between rewards 1, 0.5 and 0, whose soft value is α log Σ exp(r/α)",
        control=control,
    ),
)
