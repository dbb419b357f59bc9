"""A trained policy that acts step by step, in one environment or in several at once."""

from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Bool, Num, PyTree

from entrax.environments.observations import Flattener
from entrax.environments.spaces import as_env_actions
from entrax.errors import UsageError
from entrax.policies.controller import CompiledController
from entrax.training.precision import in_32_bits


class Player:
    """Acts on observations in the order in which an environment returns them; made by `run.player()`.

    A policy's carry, and the random draws of a sampled one, follow episode and step: call `reset` whenever an episode
    begins. With the same seed a sampled policy draws the actions that `run.evaluate` draws.
    """

    def __init__(self, compiled: CompiledController, flattener: Flattener, *, sample: bool, seed: int):
        self._compiled, self._flattener = compiled, flattener
        self._key = jr.key(seed) if sample else None
        self._begun = 0
        self._episodes = np.zeros(0, np.int32)
        self._t = np.zeros(0, np.int32)
        self._carry: PyTree = None

    def reset(self, ended: Bool[np.ndarray, " env"] | None = None) -> None:
        """Begin a new episode: in every environment, or in those where `ended` is true."""
        if ended is None:
            self._episodes = self._t = np.zeros(0, np.int32)
            return
        rows = np.flatnonzero(ended)
        if np.shape(ended) != self._t.shape:
            raise UsageError(
                f"`ended` must have one entry for each of {len(self._t)} environments, got shape {np.shape(ended)}."
            )
        self._episodes, self._t = self._episodes.copy(), self._t.copy()
        self._episodes[rows], self._t[rows] = self._begun + np.arange(len(rows)), 0
        self._begun += len(rows)

    @in_32_bits
    def act(self, obs: Any) -> Num[np.ndarray, "*batch_and_shape"]:
        """Return the action for an observation, or one for each of a batch of environments.

        Raises EntraxError for what does not fit the policy's observations, or is another number of them than before.
        """
        rows, single = flatten_rows(self._flattener, obs)
        if not len(self._t):
            self._begin(len(rows))
        elif len(rows) != len(self._t):
            raise UsageError(f"This player acts in {len(self._t)} environments, got {len(rows)}; reset() starts again.")
        action, self._carry = self._compiled(rows, self._carry, self._t, key=self._key, episodes=self._episodes)
        self._t = self._t + 1
        actions = as_env_actions(self._compiled.spec.action, action)
        return np.asarray(actions[0]) if single else actions

    def _begin(self, count: int) -> None:
        self._episodes = self._begun + np.arange(count, dtype=np.int32)
        self._begun += count
        self._t = np.zeros(count, np.int32)
        self._carry = self._compiled.initial_carries(count)


def flatten_rows(flattener: Flattener, obs: Any) -> tuple[Num[np.ndarray, "batch obs"], bool]:
    """Return the rows of one observation or of a batch, and whether it was one.

    Raises EntraxError when they do not fit.
    """
    try:
        return flattener.rows(obs)
    except ValueError as error:
        both = isinstance(obs, tuple) and len(obs) == 2 and isinstance(obs[1], dict)
        advice = " Of what `reset` returns, give it the first part." if both else ""
        raise UsageError(f"The policy was given {str(error).removeprefix('returned ')}.{advice}") from error
