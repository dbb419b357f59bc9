"""The learning side of training: a chunk's updates as one compiled call."""

from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree, Scalar

from entrax.agents.base import finite_part
from entrax.policies.controller import Scaling
from entrax.runs.directory import RunDirectory
from entrax.spec import Progress, Transition
from entrax.training.chunks import Chunk
from entrax.training.compiled import CompiledFunction
from entrax.training.devices import put
from entrax.training.pending import PendingUpdates, UpdateReport
from entrax.training.task import Task

INIT, UPDATE, ACT, SAMPLE, RANDOM = range(5)
"""A run's streams of random numbers: each is split off its seed by its own number, then by the chunk's."""


@jax.jit
def chunk_key(key: PRNGKeyArray, stream: int | Int[Array, ""], chunk: int | Int[Array, ""]) -> PRNGKeyArray:
    """Return the key of a chunk in one of these streams."""
    return jr.fold_in(jr.fold_in(key, stream), chunk)


@CompiledFunction
def update_many(
    agent: ModuleType,
    config: Any,
    state: PyTree,
    batches: Transition,
    scaling: Scaling | None,
    progress: Progress,
    key: PRNGKeyArray,
    count: Int[Array | np.ndarray, ""],
) -> tuple[PyTree, UpdateReport]:
    """Make `count` updates from the first of `batches` [update, batch, ...].

    Every length up to that of `batches` runs the same compiled program. After each update its info and the whole new
    state are checked: the optimiser's averages may overflow while every parameter is finite.
    """
    if scaling is not None:
        batches = batches._replace(obs=scaling(batches.obs), next_obs=scaling(batches.next_obs))

    def one(i: Array, carry: tuple[PyTree, UpdateReport]) -> tuple[PyTree, UpdateReport]:
        state, (total, broken) = carry
        batch = jax.tree.map(lambda x: x[i], batches)
        state, info = agent.update(config, state, batch, progress, jr.fold_in(key, i))
        finite = _finite((info, finite_part(agent, state)))
        broken = jnp.where((broken < 0) & ~finite, i, broken)
        return state, UpdateReport(info=jax.tree.map(lambda t, x: t + x, total, info), broken=broken)

    first = jax.tree.map(lambda x: x[0], batches)
    _, shapes = jax.eval_shape(lambda: agent.update(config, state, first, progress, key))
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.float32), shapes)
    nothing = UpdateReport(info=zero, broken=jnp.asarray(-1, jnp.int32))
    state, learned = jax.lax.fori_loop(0, count, one, (state, nothing))
    return state, learned._replace(info=jax.tree.map(lambda x: x / jnp.maximum(count, 1), learned.info))


def _finite(tree: PyTree) -> Bool[Array, ""]:
    """Return whether every number is finite."""
    return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]).all()


class Learner:
    """Makes a run's updates on a device, without waiting for their results."""

    def __init__(self, task: Task, run: RunDirectory, device: jax.Device):
        self.task = task
        self.config = put(task.config, device)
        self.key = put(jr.key(task.seed), device)
        self.pending = PendingUpdates(run)
        options = task.options
        self._updates_per_chunk = int(np.ceil(options.updates_per_step * options.chunk * options.envs)) + 1

    def batches(self, chunk: Chunk) -> int:
        """Return how many batches to draw for a chunk: always the same number, so that one program serves all."""
        return max(self._updates_per_chunk, chunk.updates)

    def update(
        self, state: Any, chunk: Chunk, batches: Transition, scaled: Transition, scaling: Scaling, progress: Progress
    ) -> tuple[Any, dict[str, Scalar]]:
        """Start the chunk's updates and return the state and mean info that will result.

        Args:
            state: the agent's State.
            chunk: the chunk.
            batches: as they were drawn [update, batch, ...], kept until the updates are known to be finite.
            scaled: the same with scaled rewards.
            scaling: of the observations.
            progress: of the schedules.
        """
        key = chunk_key(self.key, UPDATE, chunk.index)
        state, report = update_many(
            self.task.agent, self.config, state, scaled, scaling, progress, key, np.asarray(chunk.updates)
        )
        self.pending.add(chunk, batches, report)
        return state, report.info
