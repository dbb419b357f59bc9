"""Equal advantages get equal probabilities, others odds of exp(ΔQ/α).

In these random problems the last action is a copy of the first with ε more reward. Both have the same successors, so
that ΔQ = ε for every policy, and the predicted odds of the copies are exp(ε/α). The odds are measured in two optima
computed independently: the exact soft plan, and the policy that numerical ascent of expected reward plus α · entropy
finds, which uses no exponential of Q. The hard plan gives all probability to the better copy, however small ε is.

Source: Ziebart (2010), chapter 5: the maximum-entropy policy takes actions of equal value with equal probability.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ScalarLike
from scipy.optimize import minimize

from entrax.exact import evaluate, plan
from entrax.problems import FiniteMDP, garnet
from entrax.studies.controls import one_decision
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide

STATES, ACTIONS = 6, 3  # the copy included
ADVANTAGES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # ε in units of α
VISIBLE = 0.01  # probability of both copies together, below which the ascent cannot distinguish them
PRECISE = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000}
CLOSE, WRONG = 0.01, 0.1  # of the logarithm of the odds


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure the odds of the copies by temperature, advantage and random problem."""
    temperatures = (0.1, 1.0) if quick else (0.03, 0.1, 0.3, 1.0, 3.0)
    optimise = jax.jit(jax.value_and_grad(_loss))
    rows = [
        odds(copied(seed, advantage * alpha), alpha, seed, optimise) | {"alpha": alpha, "advantage": advantage}
        for alpha in temperatures
        for advantage in ADVANTAGES
        for seed in seeds
    ]
    return {"rows": rows}


def copied(seed: int, epsilon: float) -> FiniteMDP:
    """Return a random problem whose last action copies the first, with ε more reward."""
    mdp = garnet(STATES, ACTIONS - 1, 3, seed=seed, discount=0.9)
    again = [np.concatenate([array, array[:, :1]], axis=1) for array in (mdp.successor, mdp.probability, mdp.reward)]
    again[2][:, -1] += epsilon
    return FiniteMDP(
        successor=again[0],
        probability=again[1],
        reward=again[2],
        initial=mdp.initial,
        terminal=mdp.terminal,
        discount=mdp.discount,
    )


def odds(mdp: FiniteMDP, alpha: float, seed: int, optimise: Callable[..., Any]) -> dict[str, Any]:
    """Return log(π(copy)/π(first)) in every state, by the plan and by ascent.

    Also the copy's share of the probability in the hard plan.
    """
    logits = np.random.default_rng(seed).normal(size=mdp.reward.size)
    for factor in (30, 10, 3, 1):  # annealed, so that no action vanishes before its value is known
        climb = partial(_descend, optimise=optimise, mdp=mdp, alpha=factor * alpha)
        logits = minimize(climb, logits, jac=True, method="L-BFGS-B", options=PRECISE).x
    by_ascent = jax.nn.log_softmax(logits.reshape(mdp.reward.shape))
    by_plan = np.log(np.asarray(plan(mdp, alpha).policy))
    hard = np.asarray(plan(mdp, 0.0).policy)
    taken = hard[:, 0] + hard[:, -1] > 0
    return {
        "planned": by_plan[:, -1] - by_plan[:, 0],
        "ascended": np.asarray(by_ascent[:, -1] - by_ascent[:, 0]),
        "hard_share": hard[taken, -1] / (hard[taken, 0] + hard[taken, -1]),
        "together": np.exp(by_plan[:, 0]) + np.exp(by_plan[:, -1]),
    }


def _descend(
    logits: np.ndarray, optimise: Callable[..., Any], mdp: FiniteMDP, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    value, slope = optimise(logits, mdp, alpha)
    return np.asarray(value), np.asarray(slope)


def _loss(logits: jax.Array, mdp: FiniteMDP, alpha: ScalarLike) -> jax.Array:
    policy = jax.nn.softmax(jnp.reshape(logits, mdp.reward.shape))
    return -evaluate(mdp, policy, alpha).expected_return / alpha


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    wrong = 0.0
    for row in numbers["rows"]:
        visible = np.asarray(row["together"]) >= VISIBLE
        log_odds = np.stack([row["planned"], row["ascended"]])[:, visible]
        wrong = max(wrong, float(np.max(np.abs(log_odds - row["advantage"]), initial=0.0)))
    return decide(supported=wrong <= CLOSE, refuted=wrong > WRONG)


def control() -> ControlResult:
    """Measure the odds in one decision, by plan and by ascent."""
    result = odds(one_decision([2.0, 0.0, 4.0]), 1.0, 0, jax.jit(jax.value_and_grad(_loss)))
    log_odds = [float(result[name][0]) for name in ("planned", "ascended")]
    return ControlResult(seen=max(abs(each - 2.0) for each in log_odds) <= CLOSE, numbers={"log_odds": log_odds})


STUDY = Study(
    name="ties",
    claim="Equal advantages get equal probabilities, and an advantage of ΔQ multiplies the odds by exp(ΔQ/α).",
    criterion=(
        f"Supported if, in every state where the two copies together have a probability of {VISIBLE:g}, their log-odds "
        f"are ε/α within {CLOSE:g}, by the exact plan and by numerical ascent of reward plus α · entropy. Refuted if "
        f"an error is larger than {WRONG:g}."
    ),
    look=(
        "Two actions differ in one thing, an advantage of ε. Left, the deciding panel: the log-odds that numerical "
        "ascent gives to the better one, which must lie on the line ε/α at every temperature. Right: the share of the "
        "better one, which jumps to 1 under the hard plan, however small ε is, and rises smoothly from one half under "
        "the soft plan."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="The log-odds of two actions are their difference of Q over α.",
        case="one decision between rewards 2, 0 and 4 at temperature 1: the log-odds of last to first are 2",
        control=control,
    ),
)
