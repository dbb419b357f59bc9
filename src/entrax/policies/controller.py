"""A policy together with what stands between it and an environment: the normaliser and the action bounds."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, Num, PRNGKeyArray

from entrax.policies.base import HistoryPolicy
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
    """Observations as they are."""
    return Scaling(mean=jnp.zeros(spec.scaled_size), scale=jnp.ones(spec.scaled_size))


def to_bounds(
    action: Continuous | Discrete | MultiDiscrete, unit: Num[Array, "*batch action"]
) -> Float[Array, "*batch action"]:
    """The agent's actions as environments take them, flat: those in [-1, 1] stretched to the bounds, exactly at both
    ends; the integers of discrete ones as they are, in float32.
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


def remember(
    policy: HistoryPolicy,
    memory: Float[Array, "batch memory"],
    obs: Num[Array, "batch obs"],
    first: Bool[Array | np.ndarray, " batch"],
) -> Float[Array, "batch memory"]:
    """What is remembered after one more observation of each of several episodes, anew where it is their first."""
    return jax.vmap(policy.remember)(jnp.where(first[:, None], policy.begin(), memory), obs)


def nothing_yet(policy: HistoryPolicy, batch: int) -> Float[Array, "batch memory"]:
    """What is remembered of episodes that have not begun."""
    begin = policy.begin()
    return jnp.broadcast_to(begin, (batch, *begin.shape))


def act(
    controller: Controller,
    memory: Float[Array, "batch memory"] | None,
    obs: Num[Array | np.ndarray, "batch obs"],
    first: Bool[Array | np.ndarray, " batch"] | None,
    keys: Key[Array, " batch"] | None,
) -> tuple[Float[Array, "batch action"], Float[Array, "batch memory"] | None]:
    """Actions, drawn where there are keys, and what is remembered after `obs`; None of a policy without memory."""
    seen = controller.scaling(obs)
    if memory is not None:
        assert first is not None
        seen = memory = remember(controller.policy, memory, seen, first)
    if keys is None:
        action = jax.vmap(controller.policy.mode)(seen)
    else:
        action, _ = jax.vmap(controller.policy.sample, (0, None, 0))(seen, FINISHED, keys)
    return to_bounds(controller.spec.action, action), memory


def episode_keys(key: PRNGKeyArray, episodes: Steps, t: Steps) -> Key[Array, " batch"]:
    """A key for each step of each episode."""
    return jax.vmap(lambda e, t: jr.fold_in(jr.fold_in(key, e), t))(episodes, t)


@eqx.filter_jit
def _act(
    controller: Controller,
    memory: Float[Array, "batch memory"] | None,
    obs: Num[Array | np.ndarray, "batch obs"],
    key: PRNGKeyArray | None,
    episodes: Steps,
    t: Steps,
) -> tuple[Float[Array, "batch action"], Float[Array, "batch memory"] | None]:
    keys = None if key is None else episode_keys(key, episodes, t)
    return act(controller, memory, obs, t == 0, keys)


def act_in_episodes(controller: Controller, *, sample: bool, seed: int) -> Act:
    """`act(obs, episodes, t) → actions` for evaluation; the draw depends on seed, episode and time only.

    With a policy over histories a row holds one episode after another, each from its first step (t = 0) on.
    """
    remembers, key = isinstance(controller.policy, HistoryPolicy), jr.key(seed) if sample else None
    memory: Array | None = None

    def act(obs: np.ndarray, episodes: np.ndarray, t: np.ndarray) -> np.ndarray:
        nonlocal memory
        if remembers and (memory is None or not t.any()):
            memory = nothing_yet(controller.policy, len(obs))
        action, memory = _act(controller, memory, obs, key, episodes, t)
        return np.asarray(action)

    return act


class Compiled:
    """A controller for rows of flat observations, quick to call: its arrays are on one device, and in a plain list."""

    def __init__(self, controller: Controller, device: jax.Device):
        arrays, rest = eqx.partition(controller, lambda leaf: isinstance(leaf, jax.Array | np.ndarray))
        self.policy, self.spec = controller.policy, controller.spec
        self.remembers = isinstance(controller.policy, HistoryPolicy)
        self._arrays, tree = jax.tree.flatten(jax.device_put(arrays, device))

        def call(arrays: Any, memory: Any, obs: Any, key: Any, episodes: Any, t: Any) -> Any:
            whole = eqx.combine(jax.tree.unflatten(tree, arrays), rest)
            if key is None or episodes is None:
                keys = None if key is None else jr.split(key, len(obs))
            else:
                keys = episode_keys(key, episodes, t)
            return act(whole, memory, obs, None if t is None else t == 0, keys)

        self._call = jax.jit(call)

    def __call__(
        self,
        obs: Num[np.ndarray, "batch obs"],
        *,
        memory: Float[Array, "batch memory"] | None = None,
        key: PRNGKeyArray | None = None,
        episodes: Steps | None = None,
        t: Steps | None = None,
    ) -> tuple[Float[np.ndarray, "batch action"], Float[Array, "batch memory"] | None]:
        """Actions and memory as `act` has them. With a key actions are drawn, by episode and time if they are given."""
        action, memory = self._call(self._arrays, memory, obs, key, episodes, t)
        return np.asarray(action), memory
