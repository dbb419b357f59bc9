"""Sampling of transitions of a `FiniteMDP` in compiled code."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from entrax.errors import UsageError
from entrax.problems.finite import FiniteMDP

Scalar = Float[Array, ""]
Index = Int[Array, ""]


class SampledTransition(NamedTuple):
    """The result of one step; if `terminated`, `next_state` has no meaning."""

    reward: Scalar
    next_state: Index
    terminated: Bool[Array, ""]


class Simulator(eqx.Module):
    """Tables for sampling from a finite problem, in JAX's default float type."""

    successor: Int[Array, "state action branch"]
    cumulative: Float[Array, "state action branch"]
    reward: Float[Array, "state action branch"]
    ends: Bool[Array, "state action branch"]
    initial: Float[Array, " state"]
    discount: Scalar

    def start(self, uniform: Scalar) -> Index:
        """Sample an initial state, from a uniform number in [0, 1)."""
        return jnp.searchsorted(self.initial, uniform, side="right").astype(jnp.int32)

    def branch(self, state: Index, action: Index, uniform: Scalar) -> Index:
        """Sample a branch, from a uniform number in [0, 1)."""
        return jnp.sum(uniform >= self.cumulative[state, action], dtype=jnp.int32)

    def step(self, state: Index, action: Index, uniform: Scalar) -> SampledTransition:
        """Sample a transition, from a uniform number in [0, 1)."""
        branch = self.branch(state, action, uniform)
        return SampledTransition(
            reward=self.reward[state, action, branch],
            next_state=self.successor[state, action, branch],
            terminated=self.ends[state, action, branch],
        )


def make_simulator(mdp: FiniteMDP) -> Simulator:
    """Build the simulator of a problem; its episodes end by termination only.

    Raises:
        UsageError: the problem has a horizon, a reward of −∞, or episodes that start in a terminal state.
    """
    if mdp.horizon is not None:
        raise UsageError(
            f"`horizon` must be None for tabular learners, whose values do not depend on time, got {mdp.horizon}."
        )
    terminal = np.append(np.asarray(mdp.terminal), True)
    probability = np.asarray(mdp.probability, float)
    if np.any(np.asarray(mdp.initial)[terminal[:-1]] > 0):
        raise UsageError("Terminal states must have probability 0 in `initial`.")
    successor = np.asarray(mdp.successor)
    reward = mdp.reward[..., None] if mdp.outcome_reward is None else mdp.outcome_reward
    if np.any(np.isneginf(np.asarray(reward))):
        raise UsageError("Rewards must be finite for tabular learners. Forbid actions by `mask` instead of -inf.")
    return Simulator(
        successor=jnp.asarray(np.where(terminal[successor], 0, successor), jnp.int32),
        cumulative=jnp.asarray(_thresholds(probability)),
        reward=jnp.asarray(np.broadcast_to(np.asarray(reward, float), successor.shape)),
        ends=jnp.asarray(terminal[successor]),
        initial=jnp.asarray(_thresholds(np.asarray(mdp.initial, float))),
        discount=jnp.asarray(mdp.discount, float),
    )


def allowed_actions(mdp: FiniteMDP) -> Bool[np.ndarray, "state action"]:
    """Return which actions are neither masked nor of prior 0 nor in terminal states."""
    allowed = np.any(np.asarray(mdp.probability) > 0, axis=-1)
    for weight in (mdp.mask, mdp.prior):
        if weight is not None:
            allowed = allowed & (np.asarray(weight) > 0)
    return allowed


def check_policy(mdp: FiniteMDP, policy: Float[np.ndarray, "state action"]) -> None:
    """Raise UsageError unless rows of live states are distributions over actions."""
    live = ~np.asarray(mdp.terminal)
    if policy.shape != mdp.reward.shape or np.any(policy < 0) or np.any(np.abs(policy[live].sum(axis=1) - 1) > 1e-6):
        raise UsageError(f"`policy` must have shape {mdp.reward.shape} and a distribution over actions in each row.")


def sample_index(probability: Float[Array, " index"], uniform: Scalar) -> Index:
    """Sample an index with these probabilities, from a uniform number in [0, 1)."""
    cumulative = jnp.cumsum(probability)
    threshold = jnp.minimum(uniform * cumulative[-1], jnp.nextafter(cumulative[-1], 0))
    return jnp.argmax(cumulative > threshold).astype(jnp.int32)


def _thresholds(probability: Float[np.ndarray, "*rows outcome"]) -> Float[np.ndarray, "*rows outcome"]:
    """Return cumulative probabilities, +∞ from the last possible outcome on.

    The number of thresholds ≤ u is the index of the sampled outcome.
    """
    cumulative = np.cumsum(probability, axis=-1)
    later = np.cumsum(probability[..., ::-1], axis=-1)[..., ::-1] - probability
    return np.where(later > 0, cumulative, np.inf)
