"""Policies and values over histories: a memory of the episode's observations, and a head that sees nothing else.

What is remembered is a function of the parameters and of the observations since the episode began. Nothing in the
likelihood-ratio gradient asks that the latest one tell the state: ∇log π(a_t|o_0 … o_t) takes the place of
∇log π(a_t|s_t), and differentiating it goes back through time.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Num, PRNGKeyArray, Scalar

from entrax.nets import Memory, TanhMLP
from entrax.policies.stochastic import Stochastic, create_policy, create_value
from entrax.spec import Progress, Spec, Transition


class RecurrentPolicy(eqx.Module):
    """π(a|o_0 … o_t). Satisfies the `Policy` protocol; the carry is the memory of o_0 … o_{t-1}."""

    memory: Memory
    head: Stochastic

    def initial_carry(self) -> Float[Array, " memory"]:
        return self.memory.begin()

    def act(
        self,
        carry: Float[Array, " memory"],
        obs: Float[Array, " obs"],
        progress: Progress,
        key: PRNGKeyArray | None,
        greedy: bool,
    ) -> tuple[Num[Array, " action"], Float[Array, " memory"], dict[str, Scalar]]:
        memory = self.memory(carry, obs)
        action, _, info = self.head.act((), memory, progress, key, greedy)
        return action, memory, info

    def log_prob(self, memory: Float[Array, " memory"], action: Num[Array, " action"]) -> Scalar:
        """log π of an action."""
        return self.head.log_prob(memory, action)

    def entropy(self, memory: Float[Array, " memory"]) -> Scalar:
        """Entropy in nats."""
        return self.head.entropy(memory)


class RecurrentValue(eqx.Module):
    """V(o_0 … o_t), an array of one number."""

    memory: Memory
    head: TanhMLP

    def __call__(self, memory: Float[Array, " memory"]) -> Float[Array, " 1"]:
        return self.head(memory)


Policy = Stochastic | RecurrentPolicy
Value = TanhMLP | RecurrentValue


def create_recurrent_policy(
    spec: Spec, agent: str, size: int, hidden: tuple[int, ...], joint_limit: int, log_std: Scalar, key: PRNGKeyArray
) -> RecurrentPolicy:
    """The policy that suits the actions, over a memory of `size` numbers; the rest as for `create_policy`."""
    memory_key, head_key = jr.split(key)
    head = create_policy(spec, agent, hidden, joint_limit, log_std, head_key, inputs=size)
    return RecurrentPolicy(memory=Memory(spec.obs_size, size, memory_key), head=head)


def create_recurrent_value(spec: Spec, size: int, hidden: tuple[int, ...], key: PRNGKeyArray) -> RecurrentValue:
    """V over a memory of `size` numbers."""
    memory_key, head_key = jr.split(key)
    head = create_value(spec, hidden, head_key, inputs=size)
    return RecurrentValue(memory=Memory(spec.obs_size, size, memory_key), head=head)


def seen(model: Policy | Value, rollout: Transition, times: int) -> Float[Array, "time env input"]:
    """What `model` is to be given for each of the last `times` steps of a rollout [time, env, ...].

    That is the observation, or the memory after it; the steps before are there to be remembered.
    """
    if not isinstance(model, RecurrentPolicy | RecurrentValue):
        return jnp.asarray(rollout.obs[-times:])
    return jax.vmap(model.memory.along, 1, 1)(rollout.obs, _first(rollout))[-times:]


def seen_next(
    model: Policy | Value, before: Float[Array, "time env input"], next_obs: Float[Array | np.ndarray, "time env obs"]
) -> Float[Array, "time env input"]:
    """What `model` is to be given at the true successors of steps at which it was given `before`."""
    if not isinstance(model, RecurrentPolicy | RecurrentValue):
        return jnp.asarray(next_obs)
    return jax.vmap(jax.vmap(model.memory))(before, jnp.asarray(next_obs))


def _first(rollout: Transition) -> Bool[Array, "time env"]:
    ended = jnp.asarray(rollout.terminated | rollout.truncated)
    return jnp.roll(ended, 1, axis=0).at[0].set(True)
