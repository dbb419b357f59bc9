"""Learning: a chunk's updates as one compiled call."""

from types import ModuleType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree, Scalar

from entrax.policies.controller import Scaling
from entrax.spec import Progress, Transition
from entrax.training.compiled import Compiled

INIT, UPDATE, ACT, SAMPLE, RANDOM = range(5)
"""A run's streams of random numbers: each is split off its seed by its own number, then by the chunk's."""


class Learned(NamedTuple):
    """What updates reported: the mean of each info, and the number of the first that was not finite, or -1."""

    info: dict[str, Scalar]
    broken: Int[Array, ""]


@jax.jit
def chunk_key(key: PRNGKeyArray, stream: int | Int[Array, ""], chunk: int | Int[Array, ""]) -> PRNGKeyArray:
    """The key of a chunk in one of these streams."""
    return jr.fold_in(jr.fold_in(key, stream), chunk)


@Compiled
def update_many(
    agent: ModuleType,
    config: Any,
    state: PyTree,
    batches: Transition,
    scaling: Scaling | None,
    progress: Progress,
    key: PRNGKeyArray,
    count: Int[Array | np.ndarray, ""],
) -> tuple[PyTree, Learned]:
    """`count` updates from the first of `batches` [update, batch, ...].

    Every length up to that of `batches` runs the same compiled program. After each update its info and the whole new
    state are checked: the optimiser's averages may overflow while every parameter is finite.
    """
    if scaling is not None:
        batches = batches._replace(obs=scaling(batches.obs), next_obs=scaling(batches.next_obs))

    def one(i: Array, carry: tuple[PyTree, Learned]) -> tuple[PyTree, Learned]:
        state, (total, broken) = carry
        batch = jax.tree.map(lambda x: x[i], batches)
        state, info = agent.update(config, state, batch, progress, jr.fold_in(key, i))
        finite = _finite((info, state))
        broken = jnp.where((broken < 0) & ~finite, i, broken)
        return state, Learned(info=jax.tree.map(lambda t, x: t + x, total, info), broken=broken)

    first = jax.tree.map(lambda x: x[0], batches)
    _, shapes = jax.eval_shape(lambda: agent.update(config, state, first, progress, key))
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.float32), shapes)
    nothing = Learned(info=zero, broken=jnp.asarray(-1, jnp.int32))
    state, learned = jax.lax.fori_loop(0, count, one, (state, nothing))
    return state, learned._replace(info=jax.tree.map(lambda x: x / jnp.maximum(count, 1), learned.info))


def _finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether every number is finite."""
    return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]).all()
