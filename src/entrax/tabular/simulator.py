"""Sampling from a `FiniteMDP`: one transition from uniform numbers, by cumulative probability, inside compiled code."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from entrax.errors import UsageError
from entrax.problems.finite import FiniteMDP

Scalar = Float[Array, ""]
Index = Int[Array, ""]


class Outcome(NamedTuple):
    """Where a transition led. When `terminated`, `next_state` means nothing: the episode is over."""

    reward: Scalar
    next_state: Index
    terminated: Bool[Array, ""]


class Simulator(eqx.Module):
    """A finite problem as tables to sample from, in JAX's default floating-point type."""

    successor: Int[Array, "state action branch"]
    cumulative: Float[Array, "state action branch"]
    reward: Float[Array, "state action branch"]
    ends: Bool[Array, "state action branch"]
    initial: Float[Array, " state"]
    discount: Scalar

    def start(self, uniform: Scalar) -> Index:
        """A first state, from a number uniform in [0, 1)."""
        return jnp.searchsorted(self.initial, uniform, side="right").astype(jnp.int32)

    def branch(self, state: Index, action: Index, uniform: Scalar) -> Index:
        """Which branch is taken, from a number uniform in [0, 1)."""
        return jnp.sum(uniform >= self.cumulative[state, action], dtype=jnp.int32)

    def step(self, state: Index, action: Index, uniform: Scalar) -> Outcome:
        """A transition, from a number uniform in [0, 1)."""
        branch = self.branch(state, action, uniform)
        return Outcome(
            reward=self.reward[state, action, branch],
            next_state=self.successor[state, action, branch],
            terminated=self.ends[state, action, branch],
        )


def make_simulator(mdp: FiniteMDP) -> Simulator:
    """The simulator of a problem without a horizon; its episodes end by termination only.

    Raises EntraxError for a horizon (values would depend on time), or if an episode can start where it has ended.
    """
    if mdp.horizon is not None:
        raise UsageError(
            "Tabular learners keep one value for a state whatever the time: give a problem without horizon."
        )
    terminal = np.append(np.asarray(mdp.terminal), True)
    probability = np.asarray(mdp.probability, float)
    if np.any(np.asarray(mdp.initial)[terminal[:-1]] > 0):
        raise UsageError("An episode would start in a terminal state: give them probability 0 in `initial`.")
    successor = np.asarray(mdp.successor)
    reward = mdp.reward[..., None] if mdp.outcome_reward is None else mdp.outcome_reward
    if np.any(np.isneginf(np.asarray(reward))):
        raise UsageError("Tabular learners need finite rewards: forbid actions by a mask, not by a reward of -inf.")
    return Simulator(
        successor=jnp.asarray(np.where(terminal[successor], 0, successor), jnp.int32),
        cumulative=jnp.asarray(_thresholds(probability)),
        reward=jnp.asarray(np.broadcast_to(np.asarray(reward, float), successor.shape)),
        ends=jnp.asarray(terminal[successor]),
        initial=jnp.asarray(_thresholds(np.asarray(mdp.initial, float))),
        discount=jnp.asarray(mdp.discount, float),
    )


def allowed_actions(mdp: FiniteMDP) -> Bool[np.ndarray, "state action"]:
    """What can be taken: not what the mask or a prior of 0 excludes, and nothing in a terminal state."""
    allowed = np.any(np.asarray(mdp.probability) > 0, axis=-1)
    for also in (mdp.mask, mdp.prior):
        if also is not None:
            allowed = allowed & (np.asarray(also) > 0)
    return allowed


def _thresholds(probability: Float[np.ndarray, "*rows outcome"]) -> Float[np.ndarray, "*rows outcome"]:
    """Cumulative probabilities, +∞ from the last possible outcome on: as many as u reaches is the outcome's index."""
    cumulative = np.cumsum(probability, axis=-1)
    later = np.cumsum(probability[..., ::-1], axis=-1)[..., ::-1] - probability
    return np.where(later > 0, cumulative, np.inf)
