"""Without an entropy term a policy gradient misses the better reward.

A corridor has a small reward near its start and a large one at its far end. Softmax policies with random initial logits
ascend the exact gradient of the return, or of the return plus α · entropy with α annealed linearly to 0, in equally
many steps of the same size. There is no sampling noise, so that failures are due to the gradient itself. Both are
judged by the final return without entropy, from the same initial logits.

Source: Mnih et al. (2016), arXiv:1602.01783, on the entropy term; Mei et al. (2020), arXiv:2005.06392, on why softmax
gradients stall near corners and entropy helps.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from entrax.exact import evaluate, plan, policy_gradient
from entrax.problems import FiniteMDP, chain
from entrax.studies.power import MIN_PAIRS, ControlResult, Power, gained_share
from entrax.studies.study import Numbers, Study, Verdict, decide, summarise_seeds

LENGTH, NEAR_REWARD, DISCOUNT = 8, 0.2, 0.95
TEMPERATURES = (0.03, 0.1, 0.3, 1.0, 3.0)  # rewards are up to 1 a step
TEMPERATURE = 0.1  # the one that is judged
STEP = 1.0
NEARLY = 0.95  # of the optimal return: reached the optimum
RECORDS = 40


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Record entropy and return of ascents with and without the entropy term."""
    steps = 1_000 if quick else 10_000
    mdp = corridor()
    starts = jnp.asarray(np.random.default_rng(seeds.start).normal(size=(len(seeds), *mdp.reward.shape)))
    climb = jax.jit(jax.vmap(partial(course, mdp, steps), (0, None)))
    optimum = float(plan(mdp, 0.0).value @ mdp.initial)
    courses = {alpha: [np.asarray(each) for each in climb(starts, alpha)] for alpha in (0.0, *TEMPERATURES)}
    reached = {alpha: returns[:, -1] >= NEARLY * optimum for alpha, (_, returns) in courses.items()}
    return {
        "optimum": optimum,
        "steps": np.linspace(0, steps, RECORDS + 1),
        "rows": [
            {
                "temperature": alpha,
                "entropy": quartiles(entropy),
                "returns": quartiles(returns),
                "half_entropy": summarise_seeds(entropy[:, RECORDS // 2]),
                "reached": float(reached[alpha].mean()),
                "more_reached": paired_interval(reached[alpha].astype(float) - reached[0.0]),
            }
            for alpha, (entropy, returns) in courses.items()
        ],
    }


def quartiles(courses: Float[np.ndarray, "seed record"]) -> dict[str, Any]:
    """Return median and quartiles over seeds at every record."""
    low, median, high = np.percentile(courses, [25, 50, 75], axis=0)
    return {"low": low, "median": median, "high": high}


def corridor() -> FiniteMDP:
    """Return a chain that starts one step from the end with the small reward."""
    return chain(LENGTH, left_reward=NEAR_REWARD, right_reward=1.0, initial=1, discount=DISCOUNT)


def course(
    mdp: FiniteMDP, steps: int, logits: Float[Array, "state action"], alpha: Float[Array, ""] | float
) -> tuple[Float[Array, " record"], Float[Array, " record"]]:
    """Return entropy, weighted by visits, and return at even steps of one ascent."""

    def measure(logits: Array) -> tuple[Array, Array]:
        evaluation = evaluate(mdp, jax.nn.softmax(logits))
        visits = jnp.sum(evaluation.visits, axis=1)
        return jnp.sum(visits * evaluation.entropy) / jnp.sum(visits), evaluation.expected_return

    def ascend(logits: Array, step: Array) -> tuple[Array, None]:
        annealed = alpha * (1 - step / steps)
        return logits + STEP * policy_gradient(mdp, jax.nn.softmax(logits), annealed), None

    def record(logits: Array, numbers: Array) -> tuple[Array, tuple[Array, Array]]:
        logits = jax.lax.scan(ascend, logits, numbers)[0]
        return logits, measure(logits)

    first = measure(logits)
    _, later = jax.lax.scan(record, logits, jnp.arange(steps).reshape(RECORDS, -1))
    entropy, returns = (jnp.concatenate([start[None], rest]) for start, rest in zip(first, later, strict=True))
    return entropy, returns


def paired_interval(differences: Float[np.ndarray, " seed"]) -> dict[str, float]:
    """Return the mean difference over seeds with its 95 % bootstrap interval."""
    picks = np.random.default_rng(0).integers(len(differences), size=(2000, len(differences)))
    low, high = np.percentile(differences[picks].mean(axis=1), [2.5, 97.5])
    return {"mean": float(differences.mean()), "low": float(low), "high": float(high)}


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    hard, soft = (next(row for row in numbers["rows"] if row["temperature"] == alpha) for alpha in (0.0, TEMPERATURE))
    keeps = soft["half_entropy"]["low"] > hard["half_entropy"]["high"]
    more = soft["more_reached"]
    if len(soft["half_entropy"]["values"]) < MIN_PAIRS:
        return "undecided"
    return decide(supported=more["low"] > 0 and keeps, refuted=more["high"] < 0 or not keeps)


def control() -> ControlResult:
    """Ascend from logits that favour the near reward, with and without entropy."""
    mdp = corridor()
    optimum = float(plan(mdp, 0.0).value @ mdp.initial)
    logits = jnp.zeros(mdp.reward.shape).at[:, 0].set(2.0)
    ascend = jax.jit(jax.vmap(partial(course, mdp, 1_000), (None, 0)))
    hard, soft = (float(each[-1]) / optimum for each in ascend(logits, jnp.array([0.0, 1.0]))[1])
    return ControlResult(seen=soft >= NEARLY > hard, numbers={"hard": hard, "soft": soft})


STUDY = Study(
    name="entropy-collapse",
    claim="Without the entropy term a policy gradient loses its entropy early and misses better rewards.",
    criterion=(
        f"Supported if half-way the entropy with the term at temperature {TEMPERATURE:g} is above that without "
        f"(disjoint 95 % intervals), and in the end more of the same starts have {NEARLY:.0%} of the optimal return "
        "(95 % interval of the difference above 0). Refuted if fewer have, or the intervals of the entropies overlap. "
        f"Undecided with fewer than {MIN_PAIRS} starts."
    ),
    look=(
        "Left and middle: entropy and return along the ascent, with the entropy term and without; a policy whose "
        "entropy vanishes early can stay at the small reward. Right, the deciding panel: the share of starts that "
        f"reach the large one, red without the term. The bar at {TEMPERATURE:g} is judged, the others show what a "
        "warmer or colder start would do."
    ),
    run=run,
    judge=judge,
    power=Power(
        effect="With the entropy term more of the same starts reach the better reward, and entropy lasts longer.",
        detectable=gained_share,
        measure="the share of starts that reach the optimum with the entropy term only",
        assumption="starts are independent, and none reaches it without the term only",
        case="a start that favours the near reward, at temperature 1, which theory says leaves it",
        control=control,
    ),
    seeds=100,
)
