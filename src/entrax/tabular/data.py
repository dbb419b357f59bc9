"""Transitions of a finite problem, sampled once and kept: what batch learners learn from, whatever policy made them."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from entrax.errors import UsageError
from entrax.problems.finite import FiniteMDP
from entrax.spec import Transition
from entrax.tabular.simulator import Outcome, Simulator, make_simulator

Policy = Float[Array | np.ndarray, "state action"]


class _Drawn(NamedTuple):
    state: Int[Array, " time"]
    action: Int[Array, " time"]
    outcome: Outcome


def sample_transitions(mdp: FiniteMDP, policy: Policy, *, steps: int, key: PRNGKeyArray) -> Transition:
    """`steps` transitions of `policy[s, a]`, in the order of time, as NumPy arrays; `obs` and `next_obs` are states.

    Where an episode terminated `next_obs` is the terminal state it ended in, or the state it left if the problem names
    none; the next row is the first of another episode. Raises EntraxError if a row of the policy is no distribution,
    or for a horizon.
    """
    policy = np.asarray(policy, float)
    live = ~np.asarray(mdp.terminal)
    if policy.shape != mdp.reward.shape or np.any(policy < 0) or np.any(np.abs(policy[live].sum(axis=1) - 1) > 1e-6):
        raise UsageError(f"The policy needs shape {mdp.reward.shape} and a distribution over actions in every state.")
    drawn = _sample(make_simulator(mdp), jnp.asarray(mdp.successor), jnp.asarray(policy), key, steps)
    outcome = jax.tree.map(np.asarray, drawn.outcome)
    return Transition(
        obs=np.asarray(drawn.state),
        action=np.asarray(drawn.action),
        reward=outcome.reward,
        next_obs=outcome.next_state,
        terminated=outcome.terminated,
        truncated=np.zeros(steps, bool),
    )


@eqx.filter_jit
def _sample(
    simulator: Simulator, successor: Int[Array, "state action branch"], policy: Policy, key: PRNGKeyArray, steps: int
) -> _Drawn:
    cumulative = jnp.cumsum(policy, axis=1)
    first_key, walk_key = jr.split(key)

    def one(state: Int[Array, ""], uniform: Float[Array, "3"]) -> tuple[Int[Array, ""], _Drawn]:
        below = jnp.minimum(uniform[0] * cumulative[state, -1], jnp.nextafter(cumulative[state, -1], 0))
        action = jnp.argmax(cumulative[state] > below).astype(jnp.int32)
        outcome = simulator.step(state, action, uniform[1])
        following = jnp.where(outcome.terminated, simulator.start(uniform[2]), outcome.next_state)
        branch = simulator.branch(state, action, uniform[1])
        reached = successor[state, action, branch].astype(jnp.int32)
        outcome = outcome._replace(next_state=jnp.where(reached == successor.shape[0], state, reached))
        return following, _Drawn(state=state, action=action, outcome=outcome)

    start = simulator.start(jr.uniform(first_key))
    return jax.lax.scan(one, start, jr.uniform(walk_key, (steps, 3)))[1]
