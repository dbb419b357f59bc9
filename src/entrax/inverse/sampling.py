"""Demonstrations sampled from a policy in a finite problem."""

import numpy as np
from jaxtyping import Array, Float

from entrax.errors import UsageError
from entrax.inverse.demonstrations import Demonstrations
from entrax.problems import FiniteMDP


def demonstrate(
    mdp: FiniteMDP,
    policy: Float[Array | np.ndarray, "*time state action"],
    episodes: int,
    *,
    seed: int,
    steps: int = 1000,
) -> Demonstrations:
    """Sample episodes of a policy.

    Args:
        mdp: the problem. A discount does not end episodes.
        policy: π(a|s), or π_t(a|s) with time as the first axis, such as `plan(…).policy`.
        episodes: the number of trajectories, at least 1.
        seed: the seed of the random numbers.
        steps: the most decisions of an episode; the problem's horizon also limits it.

    Raises:
        UsageError: an argument is not valid, or episodes can start in a terminal state.
    """
    pi = np.asarray(policy, float)
    if pi.ndim not in (2, 3) or pi.shape[-2:] != (mdp.states, mdp.actions):
        raise UsageError(f"`policy` must have shape {(mdp.states, mdp.actions)}, got {pi.shape}.")
    if episodes < 1 or steps < 1:
        raise UsageError(f"`episodes` and `steps` must be at least 1, got {episodes} and {steps}.")
    terminal = np.append(np.asarray(mdp.terminal), True)
    if np.any(np.asarray(mdp.initial)[terminal[:-1]] > 0):
        raise UsageError("Episodes must not start in a terminal state, which has no decision to demonstrate.")
    longest = min(n for n in (steps, mdp.horizon, len(pi) if pi.ndim == 3 else None) if n is not None)
    rng = np.random.default_rng(seed)
    now = _draw(rng, np.broadcast_to(np.asarray(mdp.initial, float), (episodes, mdp.states)))
    visited, taken = [now], []
    for t in range(longest):
        live = ~terminal[now]
        if not live.any():
            break
        here = np.where(live, now, 0)
        action = _draw(rng, (pi if pi.ndim == 2 else pi[t])[here])
        branch = _draw(rng, np.asarray(mdp.probability, float)[here, action])
        now = np.where(live, np.asarray(mdp.successor)[here, action, branch], now)
        taken.append(np.where(live, action, -1))
        visited.append(now)
    states, actions = np.stack(visited, axis=1), np.stack(taken, axis=1)
    length = np.sum(actions >= 0, axis=1)
    return Demonstrations.from_trajectories(
        [(states[i, : length[i] + 1], actions[i, : length[i]]) for i in range(episodes)]
    )


def _draw(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    """Draw one index from each row of weights."""
    total = np.cumsum(weights, axis=1)
    drawn = np.sum(total <= rng.random(len(weights))[:, None] * total[:, -1:], axis=1)
    return np.asarray(np.minimum(drawn, weights.shape[1] - 1))
