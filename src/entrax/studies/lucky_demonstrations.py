"""Lucky demonstrations: which reward explains behaviour, if its outcomes were partly luck.

A soft-optimal demonstrator in a random problem of few decisions has a reward with planted weights. Both models infer
the weights from the whole distribution of its trajectories, which is enumerated, so that no error is one of sampling:

    causal       π(a|s) ∝ exp(Q/α) with Q = r + E V(s'); outcomes follow the dynamics        `inverse.fit`
    not causal   P(τ) ∝ p(τ) exp(Σ r/α); outcomes are more probable if they are good          `inverse.fit_trajectories`

Every action leads to its first successor, or with a chance u to a second one. Without luck (u = 0) the models are the
same. With luck the second one explains the demonstrated successes as chosen, so that it infers another reward. What
that costs is the return that its reward earns when it is planned with, in the same problem.

Sources: Ziebart et al. (2008), Maximum entropy inverse reinforcement learning; Ziebart, Bagnell and Dey (2010),
Modeling interaction via the principle of maximum causal entropy, on why it must be causal.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.exact import evaluate, plan
from entrax.inverse import Demonstrations, fit, fit_trajectories, on_arrival
from entrax.problems import FiniteMDP, garnet
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide

STATES, ACTIONS, DECISIONS, FEATURES = 4, 2, 3, 2
CHANCES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
LUCKY = 0.1  # the chance from which the criterion asks for an error
CLOSE, WRONG = 1e-5, 1e-3  # relative errors of weights that count as none
FAR = 0.01  # relative errors that count as wrong weights

Weights = Float[np.ndarray, " feature"]


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Infer the planted weights by both models, in each random problem at each chance."""
    return {"chances": CHANCES, "rows": [infer(seed, chance) for seed in seeds for chance in CHANCES]}


def problem(seed: int, chance: float) -> tuple[FiniteMDP, Float[np.ndarray, "state action feature"], Weights]:
    """Return a random problem whose actions go astray with a `chance`, features, and planted weights."""
    mdp = garnet(STATES, ACTIONS, 2, seed=seed, horizon=DECISIONS)
    probability = np.broadcast_to([1 - chance, chance], mdp.probability.shape)
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=(STATES, ACTIONS, FEATURES))
    return replace(mdp, probability=np.array(probability)), phi, rng.normal(size=FEATURES)


def all_trajectories(mdp: FiniteMDP, policy: np.ndarray) -> Demonstrations:
    """Return every trajectory of a policy over time, weighted by its probability."""
    paths: list[tuple[tuple[int, ...], tuple[int, ...], float]] = [
        ((s,), (), float(p)) for s, p in enumerate(np.asarray(mdp.initial)) if p > 0
    ]
    for t in range(len(policy)):
        paths = [
            ((*states, int(mdp.successor[states[-1], a, k])), (*actions, a), p * policy[t, states[-1], a] * chance)
            for states, actions, p in paths
            for a in range(mdp.actions)
            for k, chance in enumerate(np.asarray(mdp.probability)[states[-1], a])
            if policy[t, states[-1], a] > 0 and chance > 0
        ]
    return Demonstrations.from_trajectories([path[:2] for path in paths], [path[2] for path in paths])


def infer(seed: int, chance: float) -> dict[str, Any]:
    """Return the weights that both models infer, their errors, and what planning with them earns."""
    mdp, phi, planted = problem(seed, chance)
    true = replace(mdp, reward=phi @ planted)
    policy = np.asarray(plan(true, 1.0, convention="kl").policy)
    demos = all_trajectories(mdp, policy)
    causal = fit(mdp, demos, phi, convention="kl")
    other = fit_trajectories(mdp, demos, phi)
    best = earned(true, plan(true, 0.0).policy)
    uniform = earned(true, np.full(policy.shape, 1 / ACTIONS))
    row: dict[str, Any] = {"seed": seed, "chance": chance, "planted": planted, "policy": policy}
    for name, weights in (("causal", causal.weights), ("not_causal", other.weights)):
        loss = best - earned(true, plan(replace(mdp, reward=phi @ weights), 0.0).policy)
        row |= {
            name: weights,
            f"{name}_error": float(np.linalg.norm(weights - planted) / np.linalg.norm(planted)),
            f"{name}_loss": float(loss / (best - uniform)),
        }
    believed = np.stack([np.asarray(other.posterior.policy(t)) for t in range(DECISIONS)])
    return row | {"causal_policy": np.asarray(causal.solution.policy), "not_causal_policy": believed}


def earned(mdp: FiniteMDP, policy: Any) -> float:
    """Return the expected return of a policy."""
    return float(evaluate(mdp, policy).expected_return)


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    rows = numbers["rows"]
    right = [row["causal_error"] for row in rows] + [row["not_causal_error"] for row in rows if row["chance"] == 0]
    lucky = [row["not_causal_error"] for row in rows if row["chance"] >= LUCKY]
    return decide(
        supported=max(right) <= CLOSE and min(lucky) > FAR,
        refuted=max(right) > WRONG or min(lucky) <= WRONG,
    )


def control() -> ControlResult:
    """Infer the weight of a bet of which the answers are known: winning adds 1 to the feature and losing takes 2.

    The mean of the feature is −½ if the bet is even: a demonstrator of weight 2 then bets with probability 1/(1 + e).
    """
    found = {}
    for name, chance in (("lucky", 0.5), ("certain", 0.0)):
        rows = [(0, 0, 1.0, 1, 0.0, False), (0, 1, 1 - chance, 2, 0.0, False), (0, 1, chance, 3, 0.0, False)]
        mdp = FiniteMDP.from_transitions(
            [row for row in rows if row[2] > 0], states=4, terminal=[1, 2, 3], initial=0, horizon=1
        )
        features = on_arrival(mdp, np.array([[0.0], [0.0], [1.0], [-2.0]]))
        bets = 1 / (1 + np.exp(-2 * (1 - 3 * chance)))
        demos = all_trajectories(mdp, np.tile([1 - bets, bets], (1, 4, 1)))
        found[name] = [
            float(fit(mdp, demos, features).weights[0]),
            float(fit_trajectories(mdp, demos, features).weights[0]),
        ]
    wrong = abs(found["lucky"][1] - 2)
    same = max(abs(found["lucky"][0] - 2), *(abs(weight - 2) for weight in found["certain"]))
    return ControlResult(seen=same <= CLOSE and wrong > 1, numbers=found)


STUDY = Study(
    name="lucky-demonstrations",
    claim="If outcomes are partly luck, maximum entropy must be causal to infer the demonstrator's reward.",
    criterion=(
        "Both models infer the planted weights of random problems from all trajectories of a soft-optimal "
        f"demonstrator. Supported if in each problem the causal weights have a relative error of at most {CLOSE:g} at "
        "every chance of going astray, the others without that chance, and the others an error above "
        f"{FAR:g} at every chance of {LUCKY:g} or more. Refuted if an error that should be none is above {WRONG:g}, or "
        f"one that should be there is at most {WRONG:g}."
    ),
    look=(
        "Left, the deciding panel: the error of the inferred weights over the chance that an action goes astray; the "
        "causal ones must lie at the bottom, and the others must rise from it. Middle: the return that is lost by "
        "planning with them. Right: the probabilities of actions that each model believes, over those of the "
        "demonstrator, at the largest chance."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="With luck, weights that are inferred without causality are wrong, with infinitely many demonstrations.",
        case=(
            "a bet on which a demonstrator of weight 2 is enumerated: the causal weight must be 2 and the other one "
            "not, and both must be 2 if the bet is certain"
        ),
        control=control,
    ),
)
