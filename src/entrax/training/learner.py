"""Learning: a chunk's updates as one compiled call."""

from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, PyTree, Scalar

from entrax.agents.controller import Scaling
from entrax.spec import Progress, Transition


@eqx.filter_jit
def update_many(
    agent: ModuleType,
    config: Any,
    state: PyTree,
    batches: Transition,
    scaling: Scaling | None,
    progress: Progress,
    key: PRNGKeyArray,
    count: Int[Array | np.ndarray, ""],
) -> tuple[PyTree, dict[str, Scalar]]:
    """`count` updates from the first of `batches` [update, batch, ...]: the new state and the mean of each info.

    Every length up to that of `batches` runs the same compiled program.
    """
    if scaling is not None:
        batches = batches._replace(obs=scaling(batches.obs), next_obs=scaling(batches.next_obs))

    def one(i: Array, carry: tuple[PyTree, dict[str, Scalar]]) -> tuple[PyTree, dict[str, Scalar]]:
        state, total = carry
        batch = jax.tree.map(lambda x: x[i], batches)
        state, info = agent.update(config, state, batch, progress, jr.fold_in(key, i))
        return state, jax.tree.map(lambda t, x: t + x, total, info)

    first = jax.tree.map(lambda x: x[0], batches)
    _, shapes = jax.eval_shape(lambda: agent.update(config, state, first, progress, key))
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.float32), shapes)
    state, total = jax.lax.fori_loop(0, count, one, (state, zero))
    return state, jax.tree.map(lambda x: x / jnp.maximum(count, 1), total)
