"""Models that are computed outside of JAX, by a simulator."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

Simulate = Callable[[PyTree, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Simulated(eqx.Module):
    """A model that is a function of whole plans, computed by NumPy or another program.

    Under `vmap`, as planners use it, all plans are simulated in one call. The function must return the same for the
    same arguments, unless the planner acts in between.

    Args:
        simulate: `simulate(states, actions, seeds) → (rewards, terminated)`: from the states [plan, …] and actions
            [plan, time, action], the reward of every step and whether it ends the episode, each [plan, time]. What
            follows an end is ignored. `seeds` [plan] are for models with noise. The simulators of
            `entrax.environments` are such functions.
    """

    simulate: Any = eqx.field(static=True)

    def rewards(
        self, state: PyTree, actions: Float[Array, "time action"], key: PRNGKeyArray
    ) -> tuple[Float[Array, " time"], Bool[Array, " time"]]:
        """Return rewards and ends of the steps of one plan."""
        like = jax.ShapeDtypeStruct(actions.shape[:1], actions.dtype), jax.ShapeDtypeStruct(actions.shape[:1], bool)
        words = jax.eval_shape(_as_words, like[0]), like[1]
        sent = jax.tree.map(_as_words, (state, actions)), jr.key_data(key)
        dtypes = jax.tree.map(lambda leaf: np.dtype(leaf.dtype), (state, actions))

        def call(sent: Any, seed: Any) -> tuple[np.ndarray, np.ndarray]:
            state, actions = jax.tree.map(_from_words, sent, dtypes)
            return self._all_plans(state, actions, np.asarray(seed))

        rewards, terminated = jax.pure_callback(call, words, *sent, vmap_method="expand_dims")
        if rewards.dtype != actions.dtype:
            rewards = jax.lax.bitcast_convert_type(rewards, actions.dtype)
        return rewards, terminated

    def _all_plans(self, state: PyTree, actions: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Simulate plans [..., time, action], whose leading axes `vmap` made."""
        own = words.astype(np.uint64)
        several = np.broadcast_shapes(actions.shape[:-2], words.shape[:-1])

        def flat(array: np.ndarray, axes: int) -> np.ndarray:
            """Return an array [plan, …], of which the last `axes` axes are not those of `vmap`."""
            kept = array.shape[array.ndim - axes :]
            return np.broadcast_to(array, (*several, *kept)).reshape(-1, *kept)

        states = jax.tree.map(lambda leaf: flat(leaf, leaf.ndim - (actions.ndim - 2)), state)
        seeds = flat((own[..., 0] << np.uint64(32)) | own[..., -1], 0)
        rewards, terminated = self.simulate(states, flat(actions, 2), seeds)
        shape = (*several, actions.shape[-2])
        numbers = np.ascontiguousarray(rewards, actions.dtype).reshape(shape)
        returned = numbers if numbers.itemsize < 8 else numbers.view(np.uint32).reshape(*shape, 2)
        return returned, np.asarray(terminated, bool).reshape(shape)


def _as_words(x: Array) -> Array:
    """Return an array of 64 bits as pairs of words [..., 2] of 32 bits; others unchanged.

    JAX calls back in a thread of its own, in which it may convert 64 bits to 32.
    """
    return x if x.dtype.itemsize < 8 else jax.lax.bitcast_convert_type(x, jnp.uint32)


def _from_words(x: Any, dtype: np.dtype) -> np.ndarray:
    """Undo `_as_words`."""
    array = np.ascontiguousarray(x)
    return array if dtype.itemsize < 8 else array.view(dtype)[..., 0]


def discounted(rewards: Float[Array, " time"], terminated: Bool[Array, " time"], discount: Any) -> Float[Array, ""]:
    """Return Σ_t γᵗ r_t up to the first end."""
    alive = jnp.concatenate([jnp.ones(1, bool), ~jnp.cumsum(terminated).astype(bool)[:-1]])
    factors = jnp.asarray(discount, rewards.dtype) ** jnp.arange(len(rewards))
    return jnp.sum(jnp.where(alive, factors * rewards, 0.0))
