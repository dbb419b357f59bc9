"""The loop of all tabular learners, which changes one entry of a table per step."""

from collections.abc import Callable
from typing import NamedTuple, TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer, PRNGKeyArray, ScalarLike

from entrax.errors import UsageError, require_one_of
from entrax.problems.finite import FiniteMDP
from entrax.soft import soft_max, soft_policy
from entrax.tabular.schedules import Behaviour, StepSize
from entrax.tabular.simulator import SampledTransition, Simulator, allowed_actions, make_simulator, sample_index

CHUNK = 1024  # steps whose random numbers are sampled at once

Table = Float[Array, "obs action"]
Row = Float[Array, " action"]
Scalar = Float[Array, ""]


class LearnerOptions(TypedDict, total=False):
    """The optional arguments of every learner.

    Attributes:
        behaviour: chooses the actions; each learner documents its default.
        step_size: η; by default `StepSize()`.
        observation: `observation[s]` is the learner's observation of state s; by default s itself. States of the same
            observation share a row of the table.
        records: how many times the table is recorded, evenly spaced, in `LearnedTable.history`; by default 1.
        convention: as in `exact.plan`: 'entropy' (default) has π₀ = 1; 'kl' uses the problem's prior, or a uniform one.
    """

    behaviour: Behaviour
    step_size: StepSize
    observation: Integer[np.ndarray, " state"]
    records: int
    convention: str


class LearnedTable(eqx.Module):
    """The result of a tabular learner, indexed by observation (by default the state).

    Attributes:
        q: the table; 0 for entries that were never visited.
        visits: the number of visits of each entry.
        value: the soft value of `q` at the learner's temperature (0 for hard learners); 0 in terminal states.
        policy: the soft policy of `q` at the learner's temperature; 0 in terminal states.
        history: the recorded tables; the last one is `q`.
    """

    q: Table
    visits: Int[Array, "obs action"]
    value: Float[Array, " obs"]
    policy: Table
    history: Float[Array, "record obs action"]


class ErrorInputs(NamedTuple):
    """The inputs of a temporal-difference error δ.

    `next_*` belongs to the state of the next action, which is the start of a new episode if `terminated`.
    """

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


Error = Callable[[ErrorInputs], Scalar]


class ObservedProblem(eqx.Module):
    """A simulator with observations, and their allowed actions and priors."""

    simulator: Simulator
    observation: Int[Array, " state"]
    allowed: Bool[Array, "obs action"]
    prior: Table | None


class _Learner(eqx.Module):
    """A problem and a learner of it, which stay the same over a run."""

    problem: ObservedProblem
    error: Error
    behaviour: Behaviour
    step_size: StepSize
    temperature: Scalar

    def behave(self, carry: "_Carry", obs: Int[Array, ""]) -> Row:
        """Return the probabilities of the actions in an observation."""
        return self.behaviour(carry.q[obs], carry.visits[obs], self.prior(obs), self.problem.allowed[obs])

    def prior(self, obs: Int[Array, ""]) -> Row | None:
        """Return the weights of π₀ in an observation; None in the entropy convention."""
        return None if self.problem.prior is None else self.problem.prior[obs]


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
) -> LearnedTable:
    """Run the learner with temporal-difference error `error`.

    Args:
        mdp: a problem without a horizon.
        error: δ of one transition.
        temperature: α ≥ 0, in units of reward.
        steps: the number of transitions, rounded up to whole chunks of each record.
        key: the key of all random numbers.
        behaviour: see `LearnerOptions`, like the following arguments.
        step_size: by default `StepSize()`.
        observation: by default the state.
        records: at least 1.
        convention: 'entropy' or 'kl'.

    Raises:
        UsageError: the problem has a horizon, or an argument is not valid.
    """
    if steps < 1 or records < 1:
        raise UsageError(f"`steps` and `records` must be at least 1, got {steps} and {records}.")
    if isinstance(temperature, int | float) and temperature < 0:
        raise UsageError(f"`temperature` must be at least 0, got {temperature}.")
    per_record = -(-steps // records)
    chunk = min(CHUNK, per_record)
    # The numbers are converted to arrays, so that changing them does not recompile the loop.
    behaviour, step_size = jax.tree.map(lambda x: jnp.asarray(x, float), (behaviour, step_size or StepSize()))
    learner = _Learner(
        problem=observed_problem(mdp, observation, convention),
        error=error,
        behaviour=behaviour,
        step_size=step_size,
        temperature=jnp.asarray(temperature, float),
    )
    return _run(learner, key, (records, -(-per_record // chunk), chunk))


def observed_problem(
    mdp: FiniteMDP, observation: Integer[np.ndarray, " state"] | None = None, convention: str = "entropy"
) -> ObservedProblem:
    """Combine a problem with the observations of its states.

    Raises:
        UsageError: states of one observation differ in their allowed actions or prior.
    """
    prior = _prior(mdp, convention)
    observation = np.arange(mdp.states) if observation is None else np.asarray(observation)
    if observation.shape != (mdp.states,) or observation.min() < 0:
        raise UsageError(f"`observation` must have one index of at least 0 for each of the {mdp.states} states.")
    allowed = allowed_actions(mdp)
    live = np.flatnonzero(allowed.any(axis=1))
    count = observation.max() + 1
    first = np.zeros(count, int)
    first[observation[live][::-1]] = live[::-1]  # the first state of each observation represents all of them
    tables = [allowed] + ([] if prior is None else [prior])
    if any(np.any(table[live] != table[first[observation[live]]]) for table in tables):
        raise UsageError("States of the same `observation` must have the same allowed actions and prior.")
    occurs = np.isin(np.arange(count), observation[live])
    return ObservedProblem(
        simulator=make_simulator(mdp),
        observation=jnp.asarray(observation, jnp.int32),
        allowed=jnp.asarray(occurs[:, None] & allowed[first]),
        prior=None if prior is None else jnp.asarray(prior[first]),
    )


def _prior(mdp: FiniteMDP, convention: str) -> np.ndarray | None:
    """Return the weights of π₀ in the KL convention; None in the entropy convention."""
    require_one_of("convention", convention, ("entropy", "kl"))
    if convention == "entropy":
        return None
    return np.ones(mdp.reward.shape) if mdp.prior is None else np.asarray(mdp.prior, float)


@eqx.filter_jit
def _run(learner: _Learner, key: PRNGKeyArray, sizes: tuple[int, int, int]) -> LearnedTable:
    records, chunks, chunk = sizes
    start_key, run_key = jr.split(key)
    carry = _start(learner, start_key)

    def one_chunk(carry: _Carry, key: PRNGKeyArray) -> tuple[_Carry, None]:
        uniform = jr.uniform(key, (3, chunk))
        restarts = jax.vmap(learner.problem.simulator.start)(uniform[0])
        return jax.lax.scan(one_step, carry, (restarts, uniform[1], uniform[2]))[0], None

    def one_step(carry: _Carry, random: tuple[Array, Scalar, Scalar]) -> tuple[_Carry, None]:
        return _step(learner, carry, random), None

    def one_record(carry: _Carry, keys: Array) -> tuple[_Carry, Table]:
        carry = jax.lax.scan(one_chunk, carry, keys)[0]
        return carry, carry.q

    carry, history = jax.lax.scan(one_record, carry, jr.split(run_key, (records, chunks)))
    return _summary(learner.problem, carry, history, learner.temperature)


def _start(learner: _Learner, key: PRNGKeyArray) -> _Carry:
    """Return the initial state and action and a table of zeros."""
    first, choice = jr.uniform(key, (2,))
    state = learner.problem.simulator.start(first)
    table = jnp.zeros(learner.problem.allowed.shape)
    carry = _Carry(state=state, action=jnp.int32(0), q=table, visits=jnp.zeros(table.shape, jnp.int32))
    probability = learner.behave(carry, learner.problem.observation[state])
    return carry._replace(action=sample_index(probability, choice))


def _step(learner: _Learner, carry: _Carry, random: tuple[Array, Scalar, Scalar]) -> _Carry:
    """Make one transition, choose the next action and update one entry of the table."""
    restart, branch, choice = random
    outcome = learner.problem.simulator.step(carry.state, carry.action, branch)
    next_state = jnp.where(outcome.terminated, restart, outcome.next_state)
    obs, next_obs = learner.problem.observation[carry.state], learner.problem.observation[next_state]
    next_behaviour = learner.behave(carry, next_obs)
    next_action = sample_index(next_behaviour, choice)
    delta = learner.error(_error_inputs(learner, carry, outcome, (obs, next_obs), (next_action, next_behaviour)))
    visit = carry.visits[obs, carry.action] + 1
    return _Carry(
        state=next_state,
        action=next_action,
        q=carry.q.at[obs, carry.action].add(learner.step_size(visit) * delta),
        visits=carry.visits.at[obs, carry.action].set(visit),
    )


def _error_inputs(
    learner: _Learner,
    carry: _Carry,
    outcome: SampledTransition,
    observations: tuple[Array, Array],
    next_choice: tuple[Array, Row],
) -> ErrorInputs:
    (obs, next_obs), (next_action, next_behaviour) = observations, next_choice
    return ErrorInputs(
        q=carry.q[obs],
        action=carry.action,
        reward=outcome.reward,
        discount=learner.problem.simulator.discount,
        terminated=outcome.terminated,
        next_q=carry.q[next_obs],
        next_action=next_action,
        next_behaviour=next_behaviour,
        temperature=learner.temperature,
        prior=learner.prior(obs),
        next_prior=learner.prior(next_obs),
        allowed=learner.problem.allowed[obs],
        next_allowed=learner.problem.allowed[next_obs],
    )


def _summary(
    problem: ObservedProblem, carry: _Carry, history: Float[Array, "record obs action"], temperature: Scalar
) -> LearnedTable:
    live = jnp.any(problem.allowed, axis=1)
    by_row = (0, None, None if problem.prior is None else 0, 0)
    value = jax.vmap(soft_max, by_row)(carry.q, temperature, problem.prior, problem.allowed)
    policy = jax.vmap(soft_policy, by_row)(carry.q, temperature, problem.prior, problem.allowed)
    return LearnedTable(
        q=carry.q,
        visits=carry.visits,
        value=jnp.where(live, value, 0),
        policy=jnp.where(live[:, None], policy, 0),
        history=history,
    )
