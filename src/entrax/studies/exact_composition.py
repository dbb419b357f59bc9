"""Composition of linearly solvable problems is exact; mixing their controls in a simpler way is not.

Problems on one map that differ in the costs of their exits have desirabilities z_k = exp(−v_k/λ). If the final
desirability is Σ_k w_k z_k at every exit, so is the solution in every state, and the optimal control mixes those of the
parts:

    u(j|i) = Σ_k m_k(i) u_k(j|i),   m_k(i) ∝ w_k z_k(i)                                                        (1)

Here the composed solution is compared with solving again, by the same solver and by `plan` on the finite form of the
problem. Its loss, and those of simpler ways to mix, are costs above the optimum's, as a share of what the passive
dynamics lose,

    Σ_i (v_u(i) − v(i)) / Σ_i (v_p(i) − v(i)),   v_u = q + λ KL(u ‖ p) + u v_u inside                            (2)

The simpler ways are (1) with the weights w_k in every state, the mean of costs Σ w_k v_k in place of the mean of
desirabilities, and the best one of the parts.

Source: Todorov (2009), Compositionality of optimal control laws.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import spsolve

from entrax.exact import compose, linearly_solvable, plan
from entrax.exact.linearly_solvable import OptimalControl
from entrax.problems import Layout, LinearlySolvable
from entrax.studies.mazes import random_layout
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide

SIDE, FREE, GOALS = 10, 75, 4
COST, LAMBDA = 0.1, 1.0  # of a step, and the temperature; above log 4 · LAMBDA wandering would be free
DEAREST = 8.0  # the largest cost of an exit
PARTS, QUICK, FULL = 3, 5, 50  # problems that are composed, and random weights of each map
CLOSE, WRONG = 1e-8, 1e-4
ENOUGH = 0.01  # the share that every simpler way must lose in the median composition
SIMPLER = ("same weights in every state", "mean of the costs", "best part alone")

ByState = Float[np.ndarray, " state"]


class Parts(NamedTuple):
    """Problems on one map that differ in the costs of their exits, and their solutions."""

    layout: Layout
    problem: LinearlySolvable
    solutions: list[OptimalControl]


def make_parts(seed: int) -> Parts:
    """Build and solve the problems of a random map, with random costs of the exits."""
    layout = random_layout(seed, SIDE, FREE, GOALS)
    problem = LinearlySolvable.grid(layout, COST)
    costs = np.random.default_rng([seed, 1]).uniform(0.0, DEAREST, (PARTS, GOALS))
    return Parts(layout, problem, [linearly_solvable(problem.with_final_cost(each), LAMBDA) for each in costs])


def cost_of(problem: LinearlySolvable, control: Any) -> ByState:
    """Return v_u of equation (2), with final costs at the exits."""
    inside = ~problem.exits
    u, p = sparse.csr_array(control), problem.passive
    divergence = np.zeros(problem.states)
    for i in np.flatnonzero(inside):
        row = u[[i]].toarray()[0]
        used = row > 0
        divergence[i] = np.sum(row[used] * np.log(row[used] / p[[i]].toarray()[0][used]))
    paid = np.where(inside, problem.cost + LAMBDA * divergence, problem.cost)
    onward = sparse.diags_array(inside.astype(float)) @ u
    return np.asarray(spsolve(sparse.csc_array(sparse.eye_array(problem.states) - onward), paid))


def tilted(problem: LinearlySolvable, value: ByState) -> Any:
    """Return the control in proportion to p(j|i) exp(−value(j)/λ)."""
    weights = problem.passive @ sparse.diags_array(np.exp(-(value - value.min()) / LAMBDA))
    total = np.asarray(weights.sum(axis=1)).ravel()
    return sparse.diags_array(1.0 / np.where(total > 0, total, 1.0)) @ weights


def measure(parts: Parts, weights: Float[np.ndarray, " part"]) -> dict[str, Any]:
    """Return the errors of the composition, and what every way to mix loses."""
    composed = compose(parts.solutions, weights)
    problem = composed.problem
    again = linearly_solvable(problem, LAMBDA)
    finite = plan(problem.to_finite(), LAMBDA, convention="kl")
    inside = ~problem.exits
    passive = cost_of(problem, problem.passive)
    share = weights / weights.sum()
    controls = {
        "composed": composed.policy,
        SIMPLER[0]: sum(w * part.policy for w, part in zip(share, parts.solutions, strict=True)),
        SIMPLER[1]: tilted(problem, sum(w * part.value for w, part in zip(share, parts.solutions, strict=True))),
    }
    lost = {name: loss(cost_of(problem, each), again.value, passive, inside) for name, each in controls.items()}
    alone = [loss(cost_of(problem, part.policy), again.value, passive, inside) for part in parts.solutions]
    return {
        "value_error": float(np.abs(composed.value - again.value).max()),
        "policy_error": float(np.abs((composed.policy - again.policy).toarray()).max()),
        "plan_error": float(np.abs(np.asarray(finite.value) + composed.value)[inside].max()),
        "loss": lost | {SIMPLER[2]: min(alone)},
    }


def loss(cost: ByState, best: ByState, passive: ByState, inside: Any) -> float:
    """Return equation (2)."""
    return float(np.sum((cost - best)[inside]) / np.sum((passive - best)[inside]))


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Compose the problems of a random map of every seed with random weights."""
    rows = []
    for seed in seeds:
        parts, rng = make_parts(seed), np.random.default_rng([seed, 2])
        rows += [measure(parts, rng.dirichlet(np.ones(PARTS))) for _ in range(QUICK if quick else FULL)]
    return {"rows": rows, "example": example(seeds[0])}


def example(seed: int) -> dict[str, Any]:
    """Return costs and mean steps of two goals and of their composition, for the figure."""
    layout = random_layout(seed, SIDE, FREE, GOALS)
    problem = LinearlySolvable.grid(layout, COST)
    wanted = np.where(np.eye(GOALS, dtype=bool), 0.0, DEAREST)[:2]
    solutions = [linearly_solvable(problem.with_final_cost(each), LAMBDA) for each in wanted]
    named = {"to one goal": solutions[0], "to another": solutions[1], "composed": compose(solutions, [0.5, 0.5])}
    return {
        "state": layout.state,
        "goals": layout.place[problem.exits],
        "places": layout.place,
        "maps": {
            name: {
                "cost": each.value,
                "step": np.where(problem.exits[:, None], 0.0, each.policy @ layout.place - layout.place),
            }
            for name, each in named.items()
        },
    }


def worst(rows: Sequence[Any]) -> float:
    """Return the largest error of the compositions, and of their loss, which must be 0."""
    return max(
        max(row["value_error"], row["policy_error"], row["plan_error"], abs(row["loss"]["composed"])) for row in rows
    )


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    rows = numbers["rows"]
    least = min(float(np.median([row["loss"][name] for row in rows])) for name in SIMPLER)
    return decide(
        supported=worst(rows) <= CLOSE and least >= ENOUGH, refuted=worst(rows) > WRONG or least < ENOUGH / 10
    )


def control() -> ControlResult:
    """Compose the two exits of a free walk, where z is linear; with other costs of steps composing must fail."""
    walk = LinearlySolvable.random_walk(10, 0.0)
    ends = [linearly_solvable(walk.with_final_cost(each), LAMBDA) for each in ([0.0, 60.0], [60.0, 0.0])]
    composed = compose(ends, [0.25, 0.75]).desirability
    linear = float(np.abs(composed - np.linspace(0.25, 0.75, 11)).max())
    costs = [linearly_solvable(LinearlySolvable.random_walk(10, each), LAMBDA).desirability for each in (0.1, 0.5)]
    middle = linearly_solvable(LinearlySolvable.random_walk(10, 0.3), LAMBDA).desirability
    steps = float(np.abs(np.mean(costs, axis=0) - middle).max())
    return ControlResult(seen=linear <= CLOSE and steps > WRONG, numbers={"linear": linear, "other costs": steps})


STUDY = Study(
    name="exact-composition",
    claim="Linearly solvable problems that differ in the costs of their exits compose exactly, by state.",
    criterion=(
        "Random compositions on random maps. Supported if in all of them values, controls and losses are those of "
        f"solving again, with errors of at most {CLOSE:g}, and in the median one each simpler way to mix loses at "
        f"least {ENOUGH:.0%} of what the passive dynamics lose. Refuted if an error is above {WRONG:g}, or a simpler "
        f"way loses less than {ENOUGH / 10:.1%}."
    ),
    look=(
        "The first two maps show the cost to one goal and to another, with the mean steps of their controls; the third "
        "is composed of them without solving, and leads to the nearer of both. On the right, which decides, what each "
        "way to mix loses: composing by state loses rounding errors, all others much more."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="The sum of desirabilities solves the composed problem, and no simpler mixture of controls does.",
        case=(
            "a walk whose desirability is linear between its exits; the mean of desirabilities for different costs of "
            "steps is seen not to be that of the mean cost"
        ),
        control=control,
    ),
)
