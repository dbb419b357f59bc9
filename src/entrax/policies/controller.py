"""A policy together with what stands between it and an environment: the normaliser and the action bounds."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, Num, PRNGKeyArray, PyTree

from entrax.policies.base import Policy
from entrax.spec import Continuous, Discrete, MultiDiscrete, Progress, Spec

Steps = Int[Array | np.ndarray, " batch"]
Act = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

FINISHED = Progress(step=np.asarray(1, np.int32), horizon=np.asarray(1, np.int32))
"""Where a trained policy stands: its schedules have run out."""


class Scaling(eqx.Module):
    """(obs - mean) / scale within ±clip; an image passes as it is, and has no mean and scale."""

    mean: Float[Array | np.ndarray, " obs"]
    scale: Float[Array | np.ndarray, " obs"]
    clip: Float[Array | np.ndarray, ""] = eqx.field(default_factory=lambda: np.asarray(np.inf, np.float32))

    def __call__(self, obs: Num[Array | np.ndarray, "*batch obs"]) -> Num[Array, "*batch obs"]:
        if obs.dtype == np.uint8:
            return jnp.asarray(obs)
        return jnp.clip((obs - self.mean) / self.scale, -self.clip, self.clip)


def identity_scaling(spec: Spec) -> Scaling:
    """Return the scaling that leaves observations as they are."""
    return Scaling(mean=jnp.zeros(spec.scaled_size), scale=jnp.ones(spec.scaled_size))


def to_bounds(
    action: Continuous | Discrete | MultiDiscrete, unit: Num[Array, "*batch action"]
) -> Float[Array, "*batch action"]:
    """Convert the agent's actions to the environment's, flat and in float32.

    Those in [-1, 1] are stretched to the bounds, exactly at both ends; the integers of discrete ones stay.
    """
    if not isinstance(action, Continuous):
        return unit.astype(jnp.float32)
    low, high = jnp.asarray(action.low, jnp.float32), jnp.asarray(action.high, jnp.float32)
    fraction = 0.5 * (unit + 1.0)
    return jnp.clip((1.0 - fraction) * low + fraction * high, low, high)


class Controller(eqx.Module):
    """Maps raw observations to actions within the environment's own bounds, for a batch."""

    policy: Any  # a Policy; protocols cannot be checked at run time on every field
    scaling: Scaling
    spec: Spec = eqx.field(static=True)


def initial_carries(policy: Policy, batch: int) -> PyTree:
    """Return the carries [batch, ...] of episodes that have not begun."""
    return _repeated(policy.initial_carry(), batch)


def _repeated(carry: PyTree, batch: int) -> PyTree:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (batch, *jnp.shape(x))), carry)


def restarted(policy: Policy, carry: PyTree, first: Bool[Array | np.ndarray, " batch"]) -> PyTree:
    """Return the carries [batch, ...], the initial one where an episode begins (`first`)."""

    def one(x: Array, start: Array) -> Array:
        return jnp.where(jnp.reshape(first, (-1, *[1] * (x.ndim - 1))), start, x)

    return jax.tree.map(one, carry, policy.initial_carry())


def act(
    policy: Policy,
    carry: PyTree,
    obs: Num[Array, "batch obs"],
    progress: Progress,
    keys: Key[Array, " batch"] | None,
) -> tuple[Num[Array, "batch action"], PyTree]:
    """Act in each of several episodes.

    Args:
        carry: of each episode, [batch, ...].
        obs: scaled.
        keys: None for greedy actions.

    Returns:
        The actions, and the carries of the next step.
    """
    one = partial(policy.act, greedy=keys is None)
    action, carry, _ = jax.vmap(one, (0, 0, None, 0))(carry, obs, progress, keys)
    return action, carry


def uses_carry(controller: Controller, greedy: bool) -> bool:
    """Return whether an action depends on the steps before: whether the policy changes its carry as it acts."""
    changed: list[bool] = []

    def step(policy: Policy, obs: Array, key: PRNGKeyArray | None) -> None:
        before = policy.initial_carry()
        _, after, _ = policy.act(before, obs, FINISHED, key, greedy)
        changed.extend(x is not y for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))

    if jax.tree.leaves(controller.policy.initial_carry()):
        spec = controller.spec
        obs = jax.ShapeDtypeStruct((spec.obs_size,), spec.obs_dtype)
        eqx.filter_eval_shape(step, controller.policy, obs, None if greedy else jr.key(0))
    return any(changed)


def _within_bounds(
    controller: Controller,
    carry: PyTree,
    obs: Num[Array | np.ndarray, "batch obs"],
    first: Bool[Array | np.ndarray, " batch"],
    keys: Key[Array, " batch"] | None,
) -> tuple[Float[Array, "batch action"], PyTree]:
    """Act as `act` does, on raw observations and within the environment's bounds, when the schedules have ended."""
    policy = controller.policy
    action, carry = act(policy, restarted(policy, carry, first), controller.scaling(obs), FINISHED, keys)
    return to_bounds(controller.spec.action, action), carry


def episode_keys(key: PRNGKeyArray, episodes: Steps, t: Steps) -> Key[Array, " batch"]:
    """Return a key for each step of each episode."""
    return jax.vmap(lambda e, t: jr.fold_in(jr.fold_in(key, e), t))(episodes, t)


@eqx.filter_jit
def _act(
    controller: Controller,
    carry: PyTree,
    obs: Num[Array | np.ndarray, "batch obs"],
    key: PRNGKeyArray | None,
    episodes: Steps,
    t: Steps,
) -> tuple[Float[Array, "batch action"], PyTree]:
    keys = None if key is None else episode_keys(key, episodes, t)
    return _within_bounds(controller, carry, obs, t == 0, keys)


def act_in_episodes(controller: Controller, *, sample: bool, seed: int) -> Act:
    """`act(obs, episodes, t) → actions` for evaluation; the draw depends on seed, episode and time only.

    A row holds one episode after another, each from its first step (t = 0) on.
    """
    key = jr.key(seed) if sample else None
    carry: PyTree = None

    def act(obs: np.ndarray, episodes: np.ndarray, t: np.ndarray) -> np.ndarray:
        nonlocal carry
        if carry is None or not t.any():
            carry = initial_carries(controller.policy, len(obs))
        action, carry = _act(controller, carry, obs, key, episodes, t)
        return np.asarray(action)

    return act


class CompiledController:
    """A controller for rows of flat observations, quick to call: its arrays are on one device, and in a plain list."""

    def __init__(self, controller: Controller, device: jax.Device):
        arrays, rest = eqx.partition(controller, lambda leaf: isinstance(leaf, jax.Array | np.ndarray))
        self.controller, self.spec = controller, controller.spec
        self.uses_carry = {greedy: uses_carry(controller, greedy) for greedy in (True, False)}
        self._arrays, tree = jax.tree.flatten(jax.device_put(arrays, device))
        self._initial_carry = controller.policy.initial_carry()

        def call(arrays: Any, carry: Any, obs: Any, key: Any, episodes: Any, t: Any) -> Any:
            whole = eqx.combine(jax.tree.unflatten(tree, arrays), rest)
            if key is None or episodes is None:
                keys = None if key is None else jr.split(key, len(obs))
            else:
                keys = episode_keys(key, episodes, t)
            return _within_bounds(whole, carry, obs, t == 0, keys)

        self._call = jax.jit(call)

    def initial_carries(self, batch: int) -> PyTree:
        """Return the carries [batch, ...] of episodes that have not begun."""
        return _repeated(self._initial_carry, batch)

    def __call__(
        self,
        obs: Num[np.ndarray, "batch obs"],
        carry: PyTree,
        t: Steps,
        *,
        key: PRNGKeyArray | None = None,
        episodes: Steps | None = None,
    ) -> tuple[Float[np.ndarray, "batch action"], PyTree]:
        """Act in each row; where `t` is 0 an episode begins.

        Args:
            obs: raw.
            carry: of each row, as `initial_carries` or the last call returned it.
            t: of each row's step within its episode.
            key: for drawn actions; None for greedy ones.
            episodes: the number of each row's episode, so that draws depend on `key`, episode and `t` only.
        """
        action, carry = self._call(self._arrays, carry, obs, key, episodes, t)
        return np.asarray(action), carry
