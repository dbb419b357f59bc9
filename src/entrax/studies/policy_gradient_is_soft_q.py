"""The gradient of soft Q-learning is a policy gradient plus that of a value fit.

With Q a table, V = α log Σ exp(Q/α) and π = exp((Q − V)/α), for states from d and actions from a behaviour b,

    E ∇½(Q − y)²  =  −α E ∇log π (ŷ − V)  +  E ∇½(V − ŷ)²,    ŷ = y − α log π                                (1)

Policy gradients and soft Q-learning differ in two ways. The first is the value term of (1). The second is the target:
soft Q-learning has V(s') in y where actor-critic has the soft value of the next action, so that the two differ by

    V(s') − E_b [Q(s',·) − α log b]  =  α KL(b ‖ π)  at s'                                                   (2)

which vanishes on policy. If y is the soft Q of π, the first term is −α times the exact gradient of the soft return. All
of this is measured on random problems, at random tables and along a run of tabular soft Q-learning.

Source: Schulman, Chen and Abbeel (2017), arXiv:1704.06440, section 4.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from entrax.estimators import soft_q_gradient
from entrax.exact import evaluate, policy_gradient
from entrax.problems import FiniteMDP, garnet
from entrax.soft import kl_divergence, soft_max, soft_policy, soft_value
from entrax.studies.controls import one_decision
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide
from entrax.tabular import soft_q_learning

ALPHA, DISCOUNT = 0.5, 0.9
SAME, DIFFERENT = 1e-10, 1e-6  # relative to the largest entry compared
Table = Float[Array | np.ndarray, "state action"]


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure the terms at random tables and along training, on and off policy."""
    records = 12 if quick else 48
    problems = [garnet(8, 3, 3, seed=seed, discount=DISCOUNT) for seed in seeds]
    return {
        "at_random": [at_random(mdp, seed) for seed, mdp in zip(seeds, problems, strict=True)],
        "training": [training(mdp, seed, records) for seed, mdp in zip(seeds, problems, strict=True)],
    }


def at_random(mdp: FiniteMDP, seed: int) -> dict[str, Any]:
    """Measure all terms at a random table, also with the exact soft Q as target."""
    q = jnp.asarray(np.random.default_rng(seed).normal(size=mdp.reward.shape))
    policy = jax.vmap(soft_policy, (0, None))(q, ALPHA)
    evaluation = evaluate(mdp, policy, ALPHA)
    visits = jnp.sum(evaluation.visits, axis=1)
    score_term = expected_terms(q, evaluation.q, visits, policy)[1]
    exact = policy_gradient(mdp, policy, ALPHA) / ALPHA  # by the table itself: its logits are Q/α
    return {
        "gradient_error": float(_relative(score_term - exact, exact)),
        "on_policy": measure(mdp, q, on_policy=True),
        "off_policy": measure(mdp, q, on_policy=False),
    }


def training(mdp: FiniteMDP, seed: int, records: int) -> dict[str, Any]:
    """Measure the terms along a run of soft Q-learning."""
    learned = soft_q_learning(mdp, ALPHA, steps=records * 1024, key=jax.random.key(seed), records=records)
    tables = [jnp.asarray(table, float) for table in learned.history]
    return {
        name: [measure(mdp, table, on_policy=on) for table in tables]
        for name, on in (("on_policy", True), ("off_policy", False))
    }


def measure(mdp: FiniteMDP, q: Table, *, on_policy: bool) -> dict[str, float]:
    """Return norms of the terms of (1), and residuals of (1) and (2).

    Actions are drawn from π if `on_policy`, else uniformly.
    """
    dense = jnp.asarray(mdp.to_dense()[..., : mdp.states])
    return {name: float(x) for name, x in _measure(q, jnp.asarray(mdp.reward), dense, jnp.asarray(on_policy)).items()}


@jax.jit
def _measure(q: Table, reward: Table, dense: Array, on_policy: Array) -> dict[str, Array]:
    policy = jax.vmap(soft_policy, (0, None))(q, ALPHA)
    behaviour = jnp.where(on_policy, policy, 1 / q.shape[1])
    value = jax.vmap(soft_max, (0, None))(q, ALPHA)
    evenly = jnp.full(len(q), 1 / len(q))
    left, score, fit = expected_terms(q, reward + DISCOUNT * dense @ value, evenly, behaviour)
    behaved = jax.vmap(soft_value, (0, 0, None))(q, behaviour, ALPHA)
    divergence = ALPHA * jax.vmap(kl_divergence)(behaviour, policy)
    return {
        "identity_error": _relative(left - (-ALPHA * score + fit), left),
        "soft_q": jnp.linalg.norm(left),
        "policy_term": ALPHA * jnp.linalg.norm(score),
        "value_term": jnp.linalg.norm(fit),
        "target_difference": jnp.mean(value - behaved),
        "target_error": jnp.max(jnp.abs(value - behaved - divergence)),
    }


@jax.jit
def expected_terms(
    q: Table, target: Table, states: Float[Array, " state"], behaviour: Table
) -> tuple[Array, Array, Array]:
    """Return the expectations of (1) over `states` and actions of `behaviour`."""

    def one(state: Array, action: Array) -> Any:
        return soft_q_gradient(lambda table: table[state], q, action, target[state, action], ALPHA)

    each = jax.vmap(jax.vmap(one, (None, 0)), (0, None))(jnp.arange(q.shape[0]), jnp.arange(q.shape[1]))
    weight = states[:, None] * behaviour
    left, score, fit = (jnp.tensordot(weight, term, axes=2) for term in each)
    return left, score, fit


def _relative(difference: Array, whole: Array) -> Array:
    return jnp.max(jnp.abs(difference)) / jnp.max(jnp.abs(whole))


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    points = [point for run in numbers["training"] for points in run.values() for point in points]
    points += [start[name] for start in numbers["at_random"] for name in ("on_policy", "off_policy")]
    errors = [point[name] for point in points for name in ("identity_error", "target_error")]
    errors += [start["gradient_error"] for start in numbers["at_random"]]
    on_policy = [start["on_policy"] for start in numbers["at_random"]]
    on_policy += [point for run in numbers["training"] for point in run["on_policy"]]
    worst = max(*errors, *(abs(point["target_difference"]) for point in on_policy))
    apart = all(start["off_policy"]["target_difference"] > DIFFERENT for start in numbers["at_random"])
    return decide(supported=worst <= SAME and apart, refuted=worst > DIFFERENT)


def control() -> ControlResult:
    """Compare the difference of targets in one decision with its formula."""
    mdp, q = one_decision([0.0, 0.0]), jnp.array([[0.0, ALPHA]])
    formula = ALPHA * (np.log((1 + np.e) / 2) - 0.5)
    on, off = (measure(mdp, q, on_policy=each)["target_difference"] for each in (True, False))
    return ControlResult(
        seen=abs(off - formula) <= SAME and abs(on) <= SAME, numbers={"on_policy": on, "off_policy": off}
    )


STUDY = Study(
    name="policy-gradient-is-soft-q",
    claim="Soft Q-learning's gradient is the policy gradient plus that of a value fit; targets differ off policy only.",
    criterion=(
        f"Supported if at every table, random and in training, on policy and off, both sides agree to {SAME:g} of the "
        "largest entry, the policy term with exact soft values is the exact gradient, and the targets differ by "
        f"α KL(b ‖ π): by 0 on policy and by more off policy. Refuted if any of these fails by {DIFFERENT:g}."
    ),
    look=(
        "Left and middle: the size of soft Q-learning's gradient and of the two terms that add up to it, a policy "
        "gradient and a value fit, on policy and under uniform behaviour. Right, the deciding panel: one dot for the "
        "error of an identity at one table. All must be as small as rounding errors."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="Targets of soft Q-learning and of actor-critic differ by α KL(b ‖ π), which is 0 on policy.",
        case="one decision of two actions with Q = 0 and 0.5 at α = 0.5, where α KL of uniform behaviour is 0.0601",
        control=control,
    ),
)
