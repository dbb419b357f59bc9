"""Soft optimality becomes hard optimality as the temperature falls, and in the same way as the reward grows.

Finite problems are solved exactly along falling temperatures α, and again at temperature 1 with rewards r/α. The two
must be one path: π of c r at α is π of r at α/c, and V scales by c. Along it the entropy convention has

    V_0 ≤ V_α ≤ V_0 + α log|A| / (1 − γ)                                                                     (1)

Source: Levine (2018), arXiv:1805.00909, section 2; (1) from 0 ≤ H(π) ≤ log|A| at every step.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from entrax.exact import evaluate, plan
from entrax.problems import FiniteMDP, garnet
from entrax.studies.study import Numbers, Study, Verdict, decided

COLDEST = 1e-3
SAME, DIFFERENT = 1e-6, 1e-3  # of the two paths: the largest difference of a probability
LEFT = 1e-3  # of the return that the uniform policy loses: what the coldest policy may lose
ROUNDING = 1e-8


def run(quick: bool, seeds: int, out: Path) -> dict[str, Any]:
    """Both paths on FrozenLake, and on as many random problems as seeds."""
    temperatures = np.geomspace(10.0, COLDEST, 9 if quick else 33)
    problems = {"FrozenLake": FiniteMDP.from_gymnasium("FrozenLake-v1", discount=0.99)}
    problems |= {f"random {seed}": garnet(40, 4, 3, seed=seed, discount=0.9) for seed in range(seeds)}
    return {
        "temperatures": temperatures,
        "problems": {name: along(mdp, temperatures) for name, mdp in problems.items()},
    }


def along(mdp: FiniteMDP, temperatures: np.ndarray) -> dict[str, Any]:
    """One problem at every temperature: how far from hard optimality, and how far the two ways are apart."""
    hard = plan(mdp, 0.0)
    uniform = np.full(mdp.reward.shape, 1 / mdp.actions)
    best = float(hard.value @ mdp.initial)
    spread = best - float(evaluate(mdp, uniform).expected_return)
    rows = [_at(mdp, float(alpha), np.asarray(hard.value)) for alpha in temperatures]
    found: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    found["bound"] = temperatures * np.log(mdp.actions) / (1 - float(mdp.discount))
    found["loss"] = [(best - value) / spread for value in found.pop("hard_return")]
    return found


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
    """See the criterion of `STUDY`."""
    found = list(numbers["problems"].values())
    apart = max(max(problem["policy_difference"]) for problem in found)
    bounded = all(
        least >= -ROUNDING and gap <= bound + ROUNDING
        for problem in found
        for least, gap, bound in zip(problem["least_gap"], problem["value_gap"], problem["bound"], strict=True)
    )
    monotone = all(np.all(np.diff(problem["value_gap"]) <= ROUNDING) for problem in found)
    reached = all(problem["loss"][-1] <= LEFT for problem in found)
    return decided(
        supported=apart <= SAME and bounded and monotone and reached,
        refuted=apart > DIFFERENT or not bounded or not monotone,
    )


STUDY = Study(
    name="temperature-limit",
    claim="Soft optimality becomes hard optimality as the temperature falls, and identically as the reward grows.",
    criterion=(
        f"Supported if on every problem no probability differs by more than {SAME:g} between falling temperature and "
        "growing reward, V falls monotonically to the hard V within α log|A|/(1−γ), and the coldest policy gives up at "
        f"most {LEFT:g} of what the uniform policy does. Refuted if probabilities differ by more than {DIFFERENT:g} "
        "or V leaves its bounds or does not fall."
    ),
    run=run,
    judge=judge,
)
