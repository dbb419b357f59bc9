"""A policy together with what stands between it and an environment: the normaliser and the action bounds."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, Num, PRNGKeyArray

from entrax.agents.base import HistoryPolicy
from entrax.spec import Continuous, Discrete, MultiDiscrete, Progress, Spec

Steps = Int[Array | np.ndarray, " batch"]
Act = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

FINISHED = Progress(step=np.asarray(1, np.int32), horizon=np.asarray(1, np.int32))
"""Where a trained policy stands: its schedules have run out."""


class Scaling(eqx.Module):
    """(obs - mean) / scale; an image passes as it is, and has no mean and scale."""

    mean: Float[Array | np.ndarray, " obs"]
    scale: Float[Array | np.ndarray, " obs"]

    def __call__(self, obs: Num[Array | np.ndarray, "*batch obs"]) -> Num[Array, "*batch obs"]:
        if obs.dtype == np.uint8:
            return jnp.asarray(obs)
        return jnp.asarray((obs - self.mean) / self.scale)


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

    def mode(self, obs: Num[Array | np.ndarray, "batch obs"]) -> Float[Array, "batch action"]:
        """The deterministic actions."""
        return to_bounds(self.spec.action, jax.vmap(self.policy.mode)(self.scaling(obs)))

    def sample(
        self, obs: Num[Array | np.ndarray, "batch obs"], progress: Progress, keys: Key[Array, " batch"]
    ) -> Float[Array, "batch action"]:
        """Actions drawn from the policy, one key each."""
        action, _ = jax.vmap(self.policy.sample, (0, None, 0))(self.scaling(obs), progress, keys)
        return to_bounds(self.spec.action, action)


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


@eqx.filter_jit
def _mode(controller: Controller, obs: Num[Array | np.ndarray, "batch obs"]) -> Float[Array, "batch action"]:
    return controller.mode(obs)


@eqx.filter_jit
def _sample(
    controller: Controller,
    obs: Num[Array | np.ndarray, "batch obs"],
    key: PRNGKeyArray,
    episodes: Steps,
    t: Steps,
) -> Float[Array, "batch action"]:
    return controller.sample(obs, FINISHED, _keys(key, episodes, t))


def _keys(key: PRNGKeyArray, episodes: Steps, t: Steps) -> Key[Array, " batch"]:
    return jax.vmap(lambda e, t: jr.fold_in(jr.fold_in(key, e), t))(episodes, t)


@eqx.filter_jit
def _act_remembering(
    controller: Controller,
    memory: Float[Array, "batch memory"],
    obs: Num[Array | np.ndarray, "batch obs"],
    key: PRNGKeyArray | None,
    episodes: Steps,
    t: Steps,
) -> tuple[Float[Array, "batch action"], Float[Array, "batch memory"]]:
    memory = remember(controller.policy, memory, controller.scaling(obs), t == 0)
    if key is None:
        action = jax.vmap(controller.policy.mode)(memory)
    else:
        action, _ = jax.vmap(controller.policy.sample, (0, None, 0))(memory, FINISHED, _keys(key, episodes, t))
    return to_bounds(controller.spec.action, action), memory


def act_in_episodes(controller: Controller, *, sample: bool, seed: int) -> Act:
    """`act(obs, episodes, t) → actions` for evaluation; the draw depends on seed, episode and time only.

    With a policy over histories a row holds one episode after another, each from its first step (t = 0) on.
    """
    if isinstance(controller.policy, HistoryPolicy):
        return _act_on_histories(controller, jr.key(seed) if sample else None)
    if not sample:
        return lambda obs, episodes, t: np.asarray(_mode(controller, obs))
    key = jr.key(seed)

    def act(obs: np.ndarray, episodes: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.asarray(_sample(controller, obs, key, episodes, t))

    return act


def _act_on_histories(controller: Controller, key: PRNGKeyArray | None) -> Act:
    memory: Array | None = None

    def act(obs: np.ndarray, episodes: np.ndarray, t: np.ndarray) -> np.ndarray:
        nonlocal memory
        before = nothing_yet(controller.policy, len(obs)) if memory is None or not t.any() else memory
        action, memory = _act_remembering(controller, before, obs, key, episodes, t)
        return np.asarray(action)

    return act
