"""Z-learning: learn the desirability of a linearly solvable problem from samples.

After a step from i to j, sampled from a distribution b(j|i),

    ẑ(i) ← (1 − η) ẑ(i) + η e^{−q(i)/λ} w ẑ(j)^γ,   w = p(j|i) / b(j|i)                                    (1)

    Z-learning          b = p                          w = 1; p need not be known
    greedy Z-learning   b(j|i) ∝ p(j|i) ẑ(j)^γ         w ẑ(j)^γ = Σ_k p(k|i) ẑ(k)^γ for every j; needs p
    mixed               b = κ p + (1 − κ) greedy       w is at most 1/κ

The mean of the target is e^{−q/λ} Σ_j p ẑ^γ under any b, so (1) converges to z under the conditions of stochastic
approximation (`conditions`): every state is visited for ever, and the step sizes decrease. There is no action and no
maximum. Greedy samples spend their steps where control leads, and their target has no noise. Exits have their known z,
and an episode ends there; the next one starts in a random state.

The table holds log ẑ, and (1) is computed in logarithms, so that no ẑ underflows.

References:
    Todorov (2009), Efficient computation of optimal actions.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, ScalarLike
from numpy.typing import ArrayLike

from entrax.errors import UsageError
from entrax.problems.assemble import distribution
from entrax.problems.linearly_solvable import LinearlySolvable
from entrax.tabular.learner import CHUNK
from entrax.tabular.schedules import StepSize
from entrax.tabular.simulator import sample_index

Scalar = Float[Array, ""]
ByState = Float[Array, " state"]


class LearnedDesirability(eqx.Module):
    """The result of Z-learning.

    Attributes:
        log_desirability: log ẑ; 0 in states that were never visited, and −q/λ at exits.
        value: −λ log ẑ, in units of cost.
        visits: the number of updates of each state.
        history: the recorded `log_desirability`; the last one is the final one.
    """

    log_desirability: ByState
    value: ByState
    visits: Int[Array, " state"]
    history: Float[Array, "record state"]


class _Tables(eqx.Module):
    """The problem, with the K possible next states of each state; padding has log p = −∞."""

    successor: Int[Array, "state branch"]
    log_passive: Float[Array, "state branch"]
    cost: ByState  # q/λ
    ends: Array  # where an episode ends
    initial: ByState  # cumulative
    discount: Scalar
    share: Scalar  # κ
    step_size: StepSize


class _Carry(NamedTuple):
    state: Int[Array, ""]
    log_z: ByState
    visits: Int[Array, " state"]


def z_learning(
    problem: LinearlySolvable,
    temperature: ScalarLike,
    *,
    steps: int,
    key: PRNGKeyArray,
    passive_share: float | int = 1.0,
    step_size: StepSize | None = None,
    initial: ArrayLike | int | None = None,
    records: int = 1,
) -> LearnedDesirability:
    """Run Z-learning, equation (1).

    Args:
        problem: of the kind 'first-exit' or 'discounted'.
        temperature: λ > 0, in units of cost.
        steps: the number of transitions, rounded up to whole chunks of each record.
        key: the key of all random numbers.
        passive_share: κ in [0, 1], the share of passive samples: 1 for Z-learning, 0 for greedy Z-learning.
        step_size: η at the visits of a state; by default `StepSize()`.
        initial: the distribution of the first state of an episode, or one state; by default uniform over states that
            are neither exits nor forbidden.
        records: how many times the table is recorded, evenly spaced.

    Raises:
        UsageError: an argument is not valid.
    """
    if steps < 1 or records < 1:
        raise UsageError(f"`steps` and `records` must be at least 1, got {steps} and {records}.")
    if not 0 <= passive_share <= 1:
        raise UsageError(f"`passive_share` must lie in [0, 1], got {passive_share}.")
    if isinstance(temperature, int | float) and not 0 < temperature < np.inf:
        raise UsageError(f"`temperature` must be finite and above 0, got {temperature}.")
    if problem.kind not in ("first-exit", "discounted"):
        raise UsageError(f"Z-learning requires the kind first-exit or discounted, got {problem.kind}.")
    tables = _make_tables(problem, temperature, initial)
    # The numbers are converted to arrays, so that changing them does not recompile the loop.
    rest = jax.tree.map(lambda x: jnp.asarray(x, float), (passive_share, step_size or StepSize()))
    per_record = -(-steps // records)
    chunk = min(CHUNK, per_record)
    learner = _Tables(**tables, share=rest[0], step_size=rest[1])
    log_z, visits, history = _run(learner, key, (records, -(-per_record // chunk), chunk))
    return LearnedDesirability(
        log_desirability=log_z, value=-jnp.asarray(temperature, float) * log_z, visits=visits, history=history
    )


def _make_tables(
    problem: LinearlySolvable, temperature: ScalarLike, initial: ArrayLike | int | None
) -> dict[str, Array]:
    """Return the arrays of `_Tables` that follow from the problem."""
    passive, ends = problem.passive, problem.exits | problem.forbidden
    start = distribution(initial, ends)
    if np.any(start[ends] > 0) or abs(start.sum() - 1) > 1e-8 or np.any(start < 0):
        raise UsageError("`initial` must be a distribution over states that are neither exits nor forbidden.")
    count = np.diff(passive.indptr)
    row = np.repeat(np.arange(problem.states), count)
    entry = row, np.arange(len(row)) - passive.indptr[row]
    shape = (problem.states, max(1, int(count.max())))
    successor, log_passive = np.zeros(shape, np.int32), np.full(shape, -np.inf)
    successor[entry], log_passive[entry] = passive.indices, np.log(passive.data)
    return {
        "successor": jnp.asarray(successor),
        "log_passive": jnp.asarray(log_passive),
        "cost": jnp.asarray(problem.cost) / jnp.asarray(temperature, float),
        "ends": jnp.asarray(ends),
        "initial": jnp.asarray(start),
        "discount": jnp.asarray(problem.discount, float),
    }


@eqx.filter_jit
def _run(
    learner: _Tables, key: PRNGKeyArray, sizes: tuple[int, int, int]
) -> tuple[ByState, Int[Array, " state"], Float[Array, "record state"]]:
    records, chunks, chunk = sizes
    start_key, run_key = jr.split(key)
    carry = _Carry(
        state=sample_index(learner.initial, jr.uniform(start_key)),
        log_z=jnp.where(learner.ends, -learner.cost, 0.0),
        visits=jnp.zeros(learner.cost.shape, jnp.int32),
    )

    def one_step(carry: _Carry, random: tuple[Array, Scalar]) -> tuple[_Carry, None]:
        return _step(learner, carry, *random), None

    def one_chunk(carry: _Carry, key: PRNGKeyArray) -> tuple[_Carry, None]:
        uniform = jr.uniform(key, (2, chunk))
        cumulative = jnp.cumsum(learner.initial)
        restarts = jnp.searchsorted(cumulative, uniform[0] * cumulative[-1], side="right").astype(jnp.int32)
        restarts = jnp.minimum(restarts, jnp.max(jnp.where(learner.initial > 0, jnp.arange(cumulative.shape[0]), 0)))
        return jax.lax.scan(one_step, carry, (restarts.astype(jnp.int32), uniform[1]))[0], None

    def one_record(carry: _Carry, keys: Array) -> tuple[_Carry, ByState]:
        carry = jax.lax.scan(one_chunk, carry, keys)[0]
        return carry, carry.log_z

    carry, history = jax.lax.scan(one_record, carry, jr.split(run_key, (records, chunks)))
    return carry.log_z, carry.visits, history


def _step(learner: _Tables, carry: _Carry, restart: Int[Array, ""], uniform: Scalar) -> _Carry:
    """Sample a transition and update one entry of the table."""
    here = carry.state
    log_passive = learner.log_passive[here]
    ahead = learner.discount * carry.log_z[learner.successor[here]]
    log_greedy = log_passive + ahead
    total = jax.nn.logsumexp(log_greedy)
    known = total > -jnp.inf  # otherwise nothing is known about the way to an exit, and the sample is passive
    greedy = jnp.where(known, jnp.exp(log_greedy - jnp.where(known, total, 0.0)), jnp.exp(log_passive))
    sampled = learner.share * jnp.exp(log_passive) + (1 - learner.share) * greedy
    branch = sample_index(sampled, uniform)
    log_ratio = log_passive[branch] - jnp.log(sampled[branch])
    target = log_ratio + ahead[branch] - learner.cost[here]
    visit = carry.visits[here] + 1
    eta = learner.step_size(visit)
    log_z = jnp.logaddexp(jnp.log1p(-eta) + carry.log_z[here], jnp.log(eta) + target)
    next_state = learner.successor[here, branch]
    return _Carry(
        state=jnp.where(learner.ends[next_state], restart, next_state),
        log_z=carry.log_z.at[here].set(log_z),
        visits=carry.visits.at[here].set(visit),
    )
