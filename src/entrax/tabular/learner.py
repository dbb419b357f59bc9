"""The loop that every tabular learner shares: act, look at one transition, move one entry of the table by η δ."""

from collections.abc import Callable
from typing import NamedTuple, TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer, PRNGKeyArray, ScalarLike

from entrax.errors import UsageError
from entrax.problems.finite import FiniteMDP
from entrax.soft import soft_max, soft_policy
from entrax.tabular.schedules import Behaviour, StepSize
from entrax.tabular.simulator import Simulator, allowed_actions, make_simulator

CHUNK = 1024  # steps whose random numbers are drawn at once

Table = Float[Array, "obs action"]
Row = Float[Array, " action"]
Scalar = Float[Array, ""]


class Options(TypedDict, total=False):
    """What every learner takes besides the problem, the number of transitions `steps` and a random `key`.

    `behaviour` chooses the actions; each learner names its default. `step_size` is `StepSize()` by default.
    `observation[s]`, shape (state,), is what the learner sees of state s, by default s itself: states that look alike
    share a row of the table. The table is kept `records` times, evenly spaced, in `Learned.history`. `convention` is as
    in `exact.plan`: 'entropy' counts the actions (by default), 'kl' takes the problem's prior, uniform if it has none.
    """

    behaviour: Behaviour
    step_size: StepSize
    observation: Integer[np.ndarray, " state"]
    records: int
    convention: str


class Learned(eqx.Module):
    """What a learner found, by observation; those are the states unless told otherwise. `history[-1]` is `q`.

    `value` and `policy` are the soft ones of `q` at the learner's temperature, which is 0 for the hard learners, and 0
    where no action is allowed, as in terminal states. Entries never visited hold 0, which `visits` tells.
    """

    q: Table
    visits: Int[Array, "obs action"]
    value: Float[Array, " obs"]
    policy: Table
    history: Float[Array, "record obs action"]


class Step(NamedTuple):
    """What an error δ may look at. `next_*` is of the state acted in next: of a new episode if `terminated`."""

    q: Row
    action: Int[Array, ""]
    reward: Scalar
    discount: Scalar
    terminated: Bool[Array, ""]
    next_q: Row
    next_action: Int[Array, ""]
    next_behaviour: Row
    temperature: Scalar
    prior: Row | None
    next_prior: Row | None
    allowed: Bool[Array, " action"]
    next_allowed: Bool[Array, " action"]


Error = Callable[[Step], Scalar]


class Task(eqx.Module):
    """A problem to learn: how it is sampled, what is seen of its states, and what is allowed in each observation."""

    simulator: Simulator
    observation: Int[Array, " state"]
    allowed: Bool[Array, "obs action"]
    prior: Table | None


class _Carry(NamedTuple):
    state: Int[Array, ""]
    action: Int[Array, ""]
    q: Table
    visits: Int[Array, "obs action"]


def learn(
    mdp: FiniteMDP,
    error: Error,
    temperature: ScalarLike,
    *,
    steps: int,
    key: PRNGKeyArray,
    behaviour: Behaviour,
    step_size: StepSize | None = None,
    observation: Integer[np.ndarray, " state"] | None = None,
    records: int = 1,
    convention: str = "entropy",
) -> Learned:
    """Run `error`'s learner for at least `steps` transitions, rounded up to whole chunks of each record.

    Raises EntraxError for a negative temperature, a problem with a horizon, or numbers of steps or records below 1.
    """
    if steps < 1 or records < 1:
        raise UsageError(f"A learner takes at least one step and one record, not {steps} and {records}.")
    if isinstance(temperature, int | float) and temperature < 0:
        raise UsageError(f"The temperature is {temperature}: it must be at least 0.")
    each = -(-steps // records)
    chunk = min(CHUNK, each)
    # As arrays the numbers are arguments of the compiled loop, so that another number doesn't compile it again.
    behaviour, step_size = jax.tree.map(lambda x: jnp.asarray(x, float), (behaviour, step_size or StepSize()))
    temperature = jnp.asarray(temperature, float)
    task = make_task(mdp, observation, convention)
    return _run(task, error, behaviour, step_size, temperature, key, (records, -(-each // chunk), chunk))


def make_task(
    mdp: FiniteMDP, observation: Integer[np.ndarray, " state"] | None = None, convention: str = "entropy"
) -> Task:
    """The problem with what is seen of it. Raises EntraxError if states that look alike differ in what is allowed."""
    prior = _prior(mdp, convention)
    seen = np.arange(mdp.states) if observation is None else np.asarray(observation)
    if seen.shape != (mdp.states,) or seen.min() < 0:
        raise UsageError(f"`observation` needs one index of at least 0 for each of the {mdp.states} states.")
    allowed = allowed_actions(mdp)
    live = np.flatnonzero(allowed.any(axis=1))
    first = np.zeros(seen.max() + 1, int)
    first[seen[live][::-1]] = live[::-1]  # the first state of each observation stands for all of them
    tables = [allowed] + ([] if prior is None else [prior])
    if any(np.any(table[live] != table[first[seen[live]]]) for table in tables):
        raise UsageError("States that look alike must allow the same actions, with the same prior.")
    met = np.isin(np.arange(seen.max() + 1), seen[live])
    return Task(
        simulator=make_simulator(mdp),
        observation=jnp.asarray(seen, jnp.int32),
        allowed=jnp.asarray(met[:, None] & allowed[first]),
        prior=None if prior is None else jnp.asarray(prior[first]),
    )


def _prior(mdp: FiniteMDP, convention: str) -> np.ndarray | None:
    """Weights of π₀ in the KL convention; None in the entropy convention, which counts the allowed actions."""
    if convention not in ("entropy", "kl"):
        raise UsageError(f"The convention is 'entropy' or 'kl', not {convention!r}.")
    if convention == "entropy":
        return None
    return np.ones(mdp.reward.shape) if mdp.prior is None else np.asarray(mdp.prior, float)


@eqx.filter_jit
def _run(
    task: Task,
    error: Error,
    behaviour: Behaviour,
    step_size: StepSize,
    temperature: Scalar,
    key: PRNGKeyArray,
    sizes: tuple[int, int, int],
) -> Learned:
    records, chunks, chunk = sizes
    start_key, run_key = jr.split(key)
    first, choice = jr.uniform(start_key, (2,))
    state = task.simulator.start(first)
    table = jnp.zeros(task.allowed.shape)
    carry = _Carry(state=state, action=jnp.int32(0), q=table, visits=jnp.zeros(table.shape, jnp.int32))
    obs = task.observation[state]
    prior = None if task.prior is None else task.prior[obs]
    carry = carry._replace(action=_act(behaviour(table[obs], carry.visits[obs], prior, task.allowed[obs]), choice))

    def one_chunk(carry: _Carry, key: PRNGKeyArray) -> tuple[_Carry, None]:
        uniform = jr.uniform(key, (3, chunk))
        drawn = (jax.vmap(task.simulator.start)(uniform[0]), uniform[1], uniform[2])
        return jax.lax.scan(one_step, carry, drawn)[0], None

    def one_step(carry: _Carry, drawn: tuple[Array, Scalar, Scalar]) -> tuple[_Carry, None]:
        return _advance(task, error, behaviour, step_size, temperature, carry, drawn), None

    def one_record(carry: _Carry, keys: Array) -> tuple[_Carry, Table]:
        carry = jax.lax.scan(one_chunk, carry, keys)[0]
        return carry, carry.q

    carry, history = jax.lax.scan(one_record, carry, jr.split(run_key, (records, chunks)))
    return _summary(task, carry, history, temperature)


def _advance(
    task: Task,
    error: Error,
    behaviour: Behaviour,
    step_size: StepSize,
    temperature: Scalar,
    carry: _Carry,
    drawn: tuple[Array, Scalar, Scalar],
) -> _Carry:
    restart, branch, choice = drawn
    outcome = task.simulator.step(carry.state, carry.action, branch)
    next_state = jnp.where(outcome.terminated, restart, outcome.next_state)
    obs, next_obs = task.observation[carry.state], task.observation[next_state]
    q, next_q = carry.q[obs], carry.q[next_obs]
    next_prior = None if task.prior is None else task.prior[next_obs]
    next_behaviour = behaviour(next_q, carry.visits[next_obs], next_prior, task.allowed[next_obs])
    next_action = _act(next_behaviour, choice)
    delta = error(
        Step(
            q=q,
            action=carry.action,
            reward=outcome.reward,
            discount=task.simulator.discount,
            terminated=outcome.terminated,
            next_q=next_q,
            next_action=next_action,
            next_behaviour=next_behaviour,
            temperature=temperature,
            prior=None if task.prior is None else task.prior[obs],
            next_prior=next_prior,
            allowed=task.allowed[obs],
            next_allowed=task.allowed[next_obs],
        )
    )
    visit = carry.visits[obs, carry.action] + 1
    return _Carry(
        state=next_state,
        action=next_action,
        q=carry.q.at[obs, carry.action].add(step_size(visit) * delta),
        visits=carry.visits.at[obs, carry.action].set(visit),
    )


def _act(probability: Row, uniform: Scalar) -> Int[Array, ""]:
    """The first action whose cumulative probability exceeds u; one of probability 0 never does."""
    cumulative = jnp.cumsum(probability)
    below = jnp.minimum(uniform * cumulative[-1], jnp.nextafter(cumulative[-1], 0))
    return jnp.argmax(cumulative > below).astype(jnp.int32)


def _summary(task: Task, carry: _Carry, history: Float[Array, "record obs action"], temperature: Scalar) -> Learned:
    live = jnp.any(task.allowed, axis=1)
    by_row = (0, None, None if task.prior is None else 0, 0)
    value = jax.vmap(soft_max, by_row)(carry.q, temperature, task.prior, task.allowed)
    policy = jax.vmap(soft_policy, by_row)(carry.q, temperature, task.prior, task.allowed)
    return Learned(
        q=carry.q,
        visits=carry.visits,
        value=jnp.where(live, value, 0),
        policy=jnp.where(live[:, None], policy, 0),
        history=history,
    )
