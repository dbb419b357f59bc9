"""Data sets of transitions, sampled from a finite problem, for batch learners."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from entrax.problems.finite import FiniteMDP
from entrax.spec import Transition
from entrax.tabular.simulator import SampledTransition, Simulator, check_policy, make_simulator, sample_index

Policy = Float[Array | np.ndarray, "state action"]


class _Sample(NamedTuple):
    state: Int[Array, " time"]
    action: Int[Array, " time"]
    outcome: SampledTransition


def sample_transitions(mdp: FiniteMDP, policy: Policy, *, steps: int, key: PRNGKeyArray) -> Transition:
    """Sample consecutive transitions of a policy.

    Args:
        mdp: a problem without a horizon.
        policy: `policy[s, a]`, the probability of action a in state s.
        steps: the number of transitions.
        key: the key of all random numbers.

    Returns:
        NumPy arrays in the order of time. `obs` and `next_obs` are states. If an episode terminates, `next_obs` is the
        terminal state, or the state before if the episode ended at index S; the next row starts another episode.

    Raises:
        UsageError: a row of the policy is not a distribution, or the problem has a horizon.
    """
    policy = np.asarray(policy, float)
    check_policy(mdp, policy)
    sample = _sample(make_simulator(mdp), jnp.asarray(mdp.successor), jnp.asarray(policy), key, steps)
    outcome = jax.tree.map(np.asarray, sample.outcome)
    return Transition(
        obs=np.asarray(sample.state),
        action=np.asarray(sample.action),
        reward=outcome.reward,
        next_obs=outcome.next_state,
        terminated=outcome.terminated,
        truncated=np.zeros(steps, bool),
    )


@eqx.filter_jit
def _sample(
    simulator: Simulator, successor: Int[Array, "state action branch"], policy: Policy, key: PRNGKeyArray, steps: int
) -> _Sample:
    first_key, walk_key = jr.split(key)

    def one(state: Int[Array, ""], uniform: Float[Array, "3"]) -> tuple[Int[Array, ""], _Sample]:
        action = sample_index(policy[state], uniform[0])
        outcome = simulator.step(state, action, uniform[1])
        following = jnp.where(outcome.terminated, simulator.start(uniform[2]), outcome.next_state)
        branch = simulator.branch(state, action, uniform[1])
        reached = successor[state, action, branch].astype(jnp.int32)
        outcome = outcome._replace(next_state=jnp.where(reached == successor.shape[0], state, reached))
        return following, _Sample(state=state, action=action, outcome=outcome)

    start = simulator.start(jr.uniform(first_key))
    return jax.lax.scan(one, start, jr.uniform(walk_key, (steps, 3)))[1]
