"""Discrete actions as one or several independent choices, and the soft Bellman equations over them.

An environment's action is a vector of integers: of one entry for Discrete(n), of k for MultiDiscrete(n₁ … n_k). As long
as the combinations are few, an agent chooses among all of them at once, which loses nothing. Otherwise it makes one
choice for each entry, independently given the state, and values are sums over the entries,

    Q(s, a) = Σ_i Q_i(s, a_i)      hence      V(s) = Σ_i V_i(s),   π(a|s) = Π_i π_i(a_i|s),   H(π) = Σ_i H(π_i)

exactly, by the same equations for each choice (the sum as in value decomposition, Sunehag et al. 2018,
arXiv:1706.05296). What agents hand around is of shape [choice, option], with a mask where choices differ in length.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray, Scalar, ScalarLike

from entrax.errors import UsageError
from entrax.soft import entropy, kl_divergence, log_soft_policy, soft_max, soft_value
from entrax.spec import Continuous, Spec, options_of

Table = Float[Array | np.ndarray, "choice option"]


@dataclass(frozen=True)
class Choices:
    """`nvec`: options of each entry of the environment's action; `sizes`: options of each of the agent's choices."""

    nvec: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(choices, options of the longest one)."""
        return len(self.sizes), max(self.sizes)

    @property
    def mask(self) -> Bool[np.ndarray, "choice option"]:
        """True where an option exists."""
        return np.arange(max(self.sizes)) < np.array(self.sizes)[:, None]

    def allowed(self, mask: Num[Array | np.ndarray, " option_of_any_entry"]) -> Bool[Array, "choice option"]:
        """The options that an action mask allows, which has an entry for each option of each entry of the action.

        A combination is allowed if all its parts are. A choice of which nothing is allowed is free, as after an end.
        """
        allowed = jnp.all(jnp.asarray(mask)[self._parts()] > 0.5, axis=-1) & self.mask
        return jnp.where(jnp.any(allowed, axis=1, keepdims=True), allowed, self.mask)

    @property
    def most_entropy(self) -> float:
        """Entropy in nats of the uniform policy."""
        return math.fsum(math.log(n) for n in self.sizes)

    def to_action(self, chosen: Int[Array, " choice"]) -> Int[Array, " action"]:
        """The environment's vector of integers (each from 0) for the chosen options."""
        if len(self.sizes) == len(self.nvec):
            return chosen
        return (chosen[0] // self._strides()) % np.array(self.nvec, np.int32)

    def of_action(self, action: Int[Array | np.ndarray, " action"]) -> Int[Array, " choice"]:
        """The options that make up an action: the inverse of `to_action`."""
        if len(self.sizes) == len(self.nvec):
            return jnp.asarray(action)
        return jnp.sum(action * self._strides(), keepdims=True)

    def q_of(self, q: Table, action: Int[Array | np.ndarray, " action"]) -> Scalar:
        """Q(s, a) = Σ_i Q_i(s, a_i) of one action."""
        return jnp.sum(jnp.take_along_axis(jnp.asarray(q), self.of_action(action)[:, None], axis=1))

    def soft_max(self, q: Table, temperature: ScalarLike, prior: Table | None = None) -> Scalar:
        """V(s) = Σ_i α log Σ π₀ exp(Q_i/α), the maximum at temperature 0; π₀ = 1 without a prior."""
        return jnp.sum(jax.vmap(soft_max, (0, None, 0, 0))(q, temperature, prior, self.mask))

    def policy(self, q: Table, temperature: ScalarLike, prior: Table | None = None) -> Float[Array, "choice option"]:
        """π_i = π₀ exp((Q_i - V_i)/α); 0 for options that do not exist."""
        return jnp.exp(jax.vmap(log_soft_policy, (0, None, 0, 0))(q, temperature, prior, self.mask))

    def soft_value(self, q: Table, policy: Table, temperature: ScalarLike, prior: Table | None = None) -> Scalar:
        """V^π(s) = Σ_i E_π_i Q_i + α H(π_i), or - α KL(π_i ‖ π₀) with a prior."""
        return jnp.sum(jax.vmap(soft_value, (0, 0, None, 0))(q, policy, temperature, prior))

    def entropy(self, policy: Table, prior: Table | None = None) -> Scalar:
        """H(π) = Σ_i H(π_i) in nats; with a prior -KL(π ‖ π₀), which stands in its place."""
        if prior is not None:
            return -jnp.sum(jax.vmap(kl_divergence)(policy, prior))
        return jnp.sum(jax.vmap(entropy)(policy))

    def uniform(self) -> Float[np.ndarray, "choice option"]:
        """The policy that takes every action equally often."""
        return np.asarray(self.mask / np.array(self.sizes)[:, None], np.float32)

    def draw(self, policy: Table, key: PRNGKeyArray) -> tuple[Int[Array, " action"], Scalar]:
        """An action of the policy and its log-probability."""
        log_policy = jnp.log(policy)
        chosen = jr.categorical(key, log_policy, axis=1)
        return self.to_action(chosen), jnp.sum(jnp.take_along_axis(log_policy, chosen[:, None], axis=1))

    def best(self, q: Table) -> Int[Array, " action"]:
        """The action of the greatest Q, the first of those that tie."""
        return self.to_action(jnp.argmax(jnp.where(self.mask, q, -jnp.inf), axis=1))

    def _parts(self) -> Int[np.ndarray, "choice option part"]:
        """Where in an action mask each option has its parts."""
        starts = np.cumsum([0, *self.nvec[:-1]])
        if len(self.sizes) == len(self.nvec):
            within = np.minimum(np.arange(max(self.sizes)), np.array(self.sizes)[:, None] - 1)
            return (starts[:, None] + within)[..., None]
        return (starts + np.arange(self.sizes[0])[:, None] // self._strides() % np.array(self.nvec))[None]

    def _strides(self) -> Int[np.ndarray, " action"]:
        following = np.array([*self.nvec[1:], 1])
        return np.cumprod(following[::-1])[::-1].astype(np.int32)


def choices_of(spec: Spec, agent: str, joint_limit: int) -> Choices:
    """How `agent` chooses: among all combinations if there are at most `joint_limit`, else entry by entry.

    Raises EntraxError if the environment's actions are continuous.
    """
    if isinstance(spec.action, Continuous):
        raise UsageError(
            f"Agent {agent!r} needs discrete actions. For this environment's Box use an agent of `entrax agents`."
        )
    nvec = options_of(spec.action)
    combinations = math.prod(nvec)
    joint = len(nvec) > 1 and combinations <= joint_limit
    return Choices(nvec=nvec, sizes=(combinations,) if joint else nvec)
