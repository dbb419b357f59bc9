"""Causality and baselines lower the variance of policy gradients, not the mean.

The random problems are so small that all trajectories can be enumerated: mean and variance of each estimator are exact
sums, and the exact gradient is the derivative of a backward recursion. Batches of sampled trajectories, whose baselines
exclude their own trajectory, are compared with the sums. With φ_t = ∇log π(a_t|s_t), γ = 1:

    whole            Σ φ_t R                        whole, mean      Σ φ_t (R − E R)
    whole, optimal   Σ φ_t (R − b*),  b* = E φ²R / E φ² for each parameter
    causal           Σ φ_t G_t                      causal, value    Σ φ_t (G_t − V_t(s_t))
    advantage        Σ φ_t (Q_t(s_t,a_t) − V_t(s_t))

In theory, for the sum over parameters, the variance of optimal is at most that of mean and of whole, and that of
advantage at most that of causal with value. Causality and a value baseline lower the variance usually, but not always.

Source: Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates.
"""

import itertools
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from entrax.estimators import likelihood_ratio_objective, mean_baseline, optimal_baseline, reinforce_objective
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide, summarise_seeds

STATES, ACTIONS, STEPS = 3, 2, 4
ESTIMATORS = ("whole", "whole, mean", "whole, optimal", "causal", "causal, value", "advantage")
MUST = (("whole, optimal", "whole"), ("whole, optimal", "whole, mean"), ("advantage", "causal, value"))
SHOULD = (("causal", "whole"), ("whole, mean", "whole"), ("causal, value", "causal"))
EXACT, BIASED = 1e-10, 1e-6  # of the mean, relative to the largest entry of the gradient
ERRORS = 5.0  # standard errors that a sampled mean may be off


class EnumeratedProblem(NamedTuple):
    """A random problem with all of its trajectories and their probabilities."""

    reward: Float[Array, "state action"]
    transition: Float[Array, "state action next"]
    logits: Float[Array, "state action"]
    states: Array
    actions: Array
    probability: Float[Array, " path"]


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Compute mean errors and variances by enumeration, and of one problem by samples."""
    results = [by_enumeration(make_problem(seed)) for seed in seeds]
    return {
        "mean_error": {name: [each["mean_error"][name] for each in results] for name in ESTIMATORS},
        "variance": {name: [each["variance"][name] for each in results] for name in ESTIMATORS},
        "sampled": by_samples(make_problem(seeds[0]), batches=500 if quick else 5_000, size=20),
        "ratios": {
            f"{low} / {high}": summarise_seeds([each["variance"][low] / each["variance"][high] for each in results])
            for low, high in (*MUST, *SHOULD)
        },
    }


def make_problem(seed: int) -> EnumeratedProblem:
    """Draw a random problem.

    Rewards are normal around 1, dynamics uniform on the simplex, logits normal.
    """
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(STATES), (STATES, ACTIONS))
    reward, logits = rng.normal(1.0, 1.0, (STATES, ACTIONS)), rng.normal(size=(STATES, ACTIONS))
    paths = list(itertools.product(*[range(STATES), range(ACTIONS)] * STEPS))
    states, actions = np.array([path[0::2] for path in paths]), np.array([path[1::2] for path in paths])
    moved = np.prod([transition[states[:, t], actions[:, t], states[:, t + 1]] for t in range(STEPS - 1)], axis=0)
    chosen = np.prod(np.asarray(jax.nn.softmax(logits))[states, actions], axis=1)
    return EnumeratedProblem(
        reward=jnp.asarray(reward),
        transition=jnp.asarray(transition),
        logits=jnp.asarray(logits),
        states=jnp.asarray(states),
        actions=jnp.asarray(actions),
        probability=jnp.asarray(moved * chosen / STATES),
    )


def values(
    problem: EnumeratedProblem, logits: Array
) -> tuple[Float[Array, "step state"], Float[Array, "step state action"]]:
    """Compute V_t and Q_t of the policy by backward recursion."""
    policy, v = jax.nn.softmax(logits), jnp.zeros(STATES)
    vs: list[Array] = []
    qs: list[Array] = []
    for _ in range(STEPS):
        q = problem.reward + problem.transition @ v
        v = jnp.sum(policy * q, axis=1)
        vs, qs = [v, *vs], [q, *qs]
    return jnp.stack(vs), jnp.stack(qs)


@partial(jax.jit, static_argnums=1)
def estimates(problem: EnumeratedProblem, name: str) -> Float[Array, "path param"]:
    """Return the estimate of the gradient of every trajectory.

    Estimates of "whole" with a baseline are combinations of these.
    """
    v, q = values(problem, problem.logits)

    def one(states: Array, actions: Array) -> Array:
        steps = jnp.arange(STEPS)
        reward = problem.reward[states, actions]

        def objective(logits: Array) -> Array:
            log_pi = jax.nn.log_softmax(logits)[states, actions]
            if name == "score":
                return jnp.sum(log_pi)
            if name == "advantage":
                return likelihood_ratio_objective(log_pi, q[steps, states, actions] - v[steps, states])
            baseline = v[steps, states] if name == "causal, value" else 0.0
            return reinforce_objective(log_pi, reward, 1.0, causal=name != "whole", baseline=baseline)

        return jnp.ravel(jax.grad(objective)(problem.logits))

    return jax.vmap(one)(problem.states, problem.actions)


def by_enumeration(problem: EnumeratedProblem) -> dict[str, Any]:
    """Return the largest error of the mean and the total variance of every estimator."""
    exact = jax.jit(jax.grad(lambda logits: jnp.mean(values(problem, logits)[0][0])))(problem.logits).ravel()
    weight, score = np.asarray(problem.probability), np.asarray(estimates(problem, "score"))
    total = np.asarray(jnp.sum(problem.reward[problem.states, problem.actions], axis=1))
    optimal = (weight @ (score**2 * total[:, None])) / (weight @ score**2)
    means, variances = {}, {}
    for name in ESTIMATORS:
        if name.startswith("whole, "):
            each = score * (total[:, None] - (weight @ total if name == "whole, mean" else optimal))
        else:
            each = np.asarray(estimates(problem, name))
        mean = weight @ each
        means[name] = float(np.abs(mean - exact).max() / np.abs(exact).max())
        variances[name] = float(np.sum(weight @ each**2 - mean**2))
    return {"mean_error": means, "variance": variances}


def by_samples(problem: EnumeratedProblem, batches: int, size: int) -> dict[str, Any]:
    """Return error and variance of every estimator, from sampled batches.

    The error is the largest of the mean, in standard errors; the variance is `size` times that of a batch's mean.
    """
    weight = np.asarray(problem.probability)
    picks = np.random.default_rng(0).choice(len(weight), size=(batches, size), p=weight / weight.sum())
    exact = weight @ np.asarray(estimates(problem, "causal"))
    score = estimates(problem, "score")[picks]
    total = jnp.sum(problem.reward[problem.states, problem.actions], axis=1)[picks]
    result = {}
    for name in ESTIMATORS:
        if name == "whole, mean":
            each = score * (total - jax.vmap(mean_baseline)(total))[..., None]
        elif name == "whole, optimal":
            each = score * (total[..., None] - jax.vmap(optimal_baseline)(score, total))
        else:
            each = estimates(problem, name)[picks]
        means = np.asarray(jnp.mean(each, axis=1))
        error = np.abs(means.mean(axis=0) - exact) / (means.std(axis=0, ddof=1) / np.sqrt(batches) + 1e-300)
        result[name] = {"errors": float(error.max()), "variance": float(size * means.var(axis=0, ddof=1).sum())}
    return result


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    bias = max(max(errors) for errors in numbers["mean_error"].values())
    off = max(each["errors"] for each in numbers["sampled"].values())
    must = all(max(numbers["ratios"][f"{low} / {high}"]["values"]) <= 1 + EXACT for low, high in MUST)
    should = [numbers["ratios"][f"{low} / {high}"]["median"] for low, high in SHOULD]
    enough = len(numbers["variance"]["whole"]) >= MIN_SEEDS
    return decide(
        supported=bias <= EXACT and off <= ERRORS and must and enough and max(should) < 1,
        refuted=bias > BIASED or not must or (enough and min(should) >= 1),
    )


def control() -> ControlResult:
    """Compare variances in a problem whose rewards have a large constant part."""
    problem = make_problem(0)
    found = by_enumeration(problem._replace(reward=problem.reward + 100.0))["variance"]
    ratio = found["whole, mean"] / found["whole"]
    return ControlResult(seen=ratio < 0.01 and found["causal"] < found["whole"], numbers={"ratio": ratio})


STUDY = Study(
    name="variance",
    claim="Causality and baselines keep the mean of policy-gradient estimators and lower their variance.",
    criterion=(
        f"Supported if every estimator's mean is the exact gradient to {EXACT:g} by enumeration and to {ERRORS:g} "
        "standard errors by samples; on every problem the variance of the optimal constant is the lowest of the "
        "constants, and that of the advantage is below that of the return with the value as baseline; and causality, "
        f"the mean and the value lower the variance in the median problem. Refuted if a mean is off by {BIASED:g}, one "
        "of these inequalities fails on a problem, or none of the three lowers the variance. "
        f"Medians are judged from {MIN_SEEDS} problems on."
    ),
    look=(
        "Left, the deciding panel: a dot is the variance of an estimator in one random problem, relative to that of "
        "the whole return, and a bar is the median. Bars to the left of 1 lower the variance, and the advantage must "
        "be the lowest of all. Right: the same variances from samples, which should lie on the diagonal; that the "
        "means agree is in the numbers and not drawn."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="The estimators have the same mean; causality and baselines lower the variance.",
        case="rewards with 100 more in every step, of which a mean as baseline removes nearly all the variance",
        control=control,
    ),
    seeds=20,
)
