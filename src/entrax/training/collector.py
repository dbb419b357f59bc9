"""Collecting: the environments in the middle of their episodes, and what happens to them step by step."""

from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from entrax.agents.controller import Scaling, to_bounds
from entrax.environments.pool import Pool
from entrax.environments.seeds import episode_seed
from entrax.replay import UniformReplay
from entrax.spec import Continuous, Progress, Transition


@eqx.filter_jit
def act(
    policy: Any,
    scaling: Scaling,
    action: Continuous,
    obs: Float[Array | np.ndarray, "env obs"],
    progress: Progress,
    key: PRNGKeyArray,
    t: Int[Array | np.ndarray, ""],
) -> tuple[Float[Array, "env action"], Float[Array, "env action"]]:
    """Drawn actions, in [-1, 1] and in the environment's bounds."""
    keys = jr.split(jr.fold_in(key, t), len(obs))
    unit, _ = jax.vmap(policy.sample, (0, None, 0))(scaling(obs), progress, keys)
    return unit, to_bounds(action, unit)


class Collector:
    """Steps every environment of a pool and stores the transitions; every episode has a seed of its own."""

    def __init__(self, pool: Pool, replay: UniformReplay, seed: int):
        self.pool, self.replay, self.seed = pool, replay, seed
        self.episode = [0] * pool.count
        self.returns = np.zeros(pool.count)
        self.lengths = np.zeros(pool.count, np.int64)
        self.ended: list[tuple[float, int]] = []
        """(return, length) of the episodes that ended since the list was last emptied, in step order."""
        self.obs = np.zeros((pool.count, pool.spec.obs_size), np.float32)
        self._reset(range(pool.count))

    def store(self, unit_action: Float[np.ndarray, "env action"], action: Float[np.ndarray, "env action"]) -> None:
        """One step of every environment with these actions."""
        step = self.pool.step(action)
        self.replay.append(
            Transition(
                obs=self.obs,
                action=unit_action,
                reward=step.reward,
                next_obs=step.next_obs,
                terminated=step.terminated,
                truncated=step.truncated,
            )
        )
        self.returns += step.reward
        self.lengths += 1
        self.obs = step.next_obs.copy()
        ended = np.flatnonzero(step.terminated | step.truncated)
        for i in ended:
            self.ended.append((float(self.returns[i]), int(self.lengths[i])))
            self.episode[i] += 1
        if len(ended):
            self._reset(ended)

    def _reset(self, indices: Any) -> None:
        seeds = {int(i): episode_seed(self.seed, int(i), self.episode[i], stream="training") for i in indices}
        for i, obs in self.pool.reset_many(seeds).items():
            self.obs[i] = obs
            self.returns[i] = self.lengths[i] = 0
