"""Path consistency learning (Nachum et al. 2017, arXiv:1702.08892).

At the soft optimum of a deterministic problem, value and policy are consistent along every path of any policy:

    C(s_t … s_{t+d}) = -V(s_t) + γ^d V(s_{t+d}) + Σ_{j<d} γ^j (r_{t+j} - τ log π(a_{t+j}|s_{t+j})) = 0      (1)

and a pair (V, π) that is consistent along all paths is the optimum. So half the mean square of C is minimised over
sub-sequences from replay, in the policy and in the value at both ends:

    J = ½ E C²,   with V = 0 in a terminal state                                                            (2)

With `unified`, one network Q gives both, for discrete actions (section 4.2 of the paper):

    V(s) = τ log Σ_a exp(Q(s, a)/τ),   π(a|s) = exp((Q(s, a) - V(s))/τ)                                     (3)

In a random problem the mean square of C contains the variance of the next state, and its minimum is not the optimum.

Departs from the paper:
- batches are drawn uniformly from replay; none is of the newest episode;
- paths start at every step of a window; those that reach the end of the window or of an episode are shorter than d.
  Truncation ends a path with V of the true successor;
- the optimiser is Adam, with one learning rate for the policy and one for the value.
"""

import math
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, Scalar

from entrax import fields
from entrax.agents.base import vectors_only
from entrax.errors import require
from entrax.estimators import n_step_return
from entrax.fields import POSITIVE, Settings, as_arrays, at_least, field
from entrax.nets import TanhMLP
from entrax.policies.base import Memoryless
from entrax.policies.choices import Choices, choices_of
from entrax.policies.masks import Masked, masked
from entrax.policies.stochastic import Stochastic, create_policy, create_value
from entrax.replay import Sequences
from entrax.spec import Progress, Spec, Transition


class Config(Settings):
    """Hyperparameters. The paper searches over most of them; the defaults are ours."""

    learning_rate: float = fields.learning_rate(1e-3, "of the policy, or of Q")
    value_learning_rate: float = fields.learning_rate(1e-3, "of a separate value")
    discount: float = fields.discount(0.99)
    temperature: float = field(0.1, "Weight of the entropy.", POSITIVE, symbol="τ")
    initial_log_std: float = fields.initial_log_std(0.0)
    unified: bool = field(False, "Take value and policy from one Q-function.", static=True)
    path_length: int = field(10, "Steps of a path whose consistency is learned.", at_least(1), symbol="d", static=True)
    window: int = field(20, "Steps of a sequence in which paths are laid.", at_least(1), static=True)
    batch_size: int = fields.batch_size(16, of="sequences")
    replay_size: int = fields.replay_size(100_000)
    hidden: tuple[int, ...] = fields.hidden((64, 64))
    joint_limit: int = fields.joint_limit(64)


class Unified(Memoryless):
    """Q(s, ·), read as π of equation 3."""

    q: TanhMLP | Masked
    temperature: Scalar
    choices: Choices = eqx.field(static=True)

    def __call__(self, obs: Float[Array, " obs"]) -> Float[Array, "choice option"]:
        """Q of every option."""
        return self.q(obs).reshape(self.choices.shape)

    def sample(
        self, obs: Float[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Int[Array, " action"], dict[str, Scalar]]:
        action, log_prob = self.choices.draw(self.choices.policy(self(obs), self.temperature), key)
        return action, {"log_prob": log_prob}

    def mode(self, obs: Float[Array, " obs"]) -> Int[Array, " action"]:
        return self.choices.best(self(obs))

    def value(self, obs: Float[Array, " obs"]) -> Scalar:
        """V of equation 3."""
        return self.choices.soft_max(self(obs), self.temperature)

    def log_prob(self, obs: Float[Array, " obs"], action: Int[Array, " action"]) -> Scalar:
        """log π of an action."""
        return (self.choices.q_of(self(obs), action) - self.value(obs)) / self.temperature

    def entropy(self, obs: Float[Array, " obs"]) -> Scalar:
        """Entropy in nats."""
        return self.choices.entropy(self.choices.policy(self(obs), self.temperature))


class Params(eqx.Module):
    policy: Any  # a Stochastic, or the network of Q
    value: TanhMLP | None  # of its own, unless Q gives it


class OptState(eqx.Module):
    policy: optax.OptState
    value: optax.OptState


class State(eqx.Module):
    params: Params
    opt_state: OptState
    choices: Choices | None = eqx.field(static=True)  # of Q


def resolve(config: Config, spec: Spec) -> Config:
    """Resolve the configuration. Raises UsageError for settings that contradict each other."""
    vectors_only(spec, "pcl")
    if config.unified:
        choices_of(spec, "pcl with `unified`", config.joint_limit)
    long_enough = config.window >= config.path_length
    require(long_enough, "window", f"at least `path_length`, {config.path_length}", config.window)
    return as_arrays(config)


def init(config: Config, spec: Spec, key: PRNGKeyArray) -> State:
    policy_key, value_key = jr.split(key)
    if config.unified:
        choices: Choices | None = choices_of(spec, "pcl", config.joint_limit)
        assert choices is not None
        network = TanhMLP(spec.obs_size, config.hidden, math.prod(choices.shape), 1.0, policy_key)
        params = Params(policy=masked(network, spec, choices), value=None)
    else:
        choices, log_std = None, jnp.asarray(config.initial_log_std)
        params = Params(
            policy=create_policy(spec, "pcl", config.hidden, config.joint_limit, log_std, policy_key),
            value=create_value(spec, config.hidden, value_key),
        )
    adam = optax.adam(config.learning_rate)
    opt_state = OptState(policy=adam.init(params.policy), value=adam.init(params.value))
    return State(params=params, opt_state=opt_state, choices=choices)


def policy(config: Config, state: State) -> Stochastic | Unified:
    return acting(config, state.params, state.choices)


def data(config: Config) -> Sequences:
    return Sequences(batch_size=config.batch_size, length=config.window, capacity=config.replay_size)


def loop_defaults(config: Config, spec: Spec) -> dict[str, int | bool]:
    """Eight environments, for paths from different episodes."""
    return {"envs": 8}


def acting(config: Config, params: Params, choices: Choices | None) -> Stochastic | Unified:
    """Return π, of its own network or of Q."""
    if choices is None:
        stochastic: Stochastic = params.policy
        return stochastic
    return Unified(q=params.policy, temperature=jnp.asarray(config.temperature), choices=choices)


def inconsistency(
    config: Config, params: Params, choices: Choices | None, window: Transition
) -> tuple[Float[Array, " time"], Float[Array, " time"]]:
    """Return C of equation 1 for the path from each step of a window [time, ...], and V at each step."""
    pi = acting(config, params, choices)
    v, v_next = value_of(pi, params, window.obs), value_of(pi, params, window.next_obs)
    soft = window.reward - config.temperature * jax.vmap(pi.log_prob)(window.obs, window.action)
    along = n_step_return(soft, v_next, window.terminated, window.truncated, config.discount, config.path_length)
    return along - v, v


def value_of(pi: Stochastic | Unified, params: Params, obs: Float[Array, "time obs"]) -> Float[Array, " time"]:
    """Return V, of its own network or of Q."""
    if isinstance(pi, Unified):
        return jax.vmap(pi.value)(obs)
    assert params.value is not None
    return jax.vmap(params.value)(obs)[:, 0]


def loss(
    params: Params, config: Config, choices: Choices | None, batch: Transition
) -> tuple[Scalar, dict[str, Scalar]]:
    """Return J of equation 2 over windows [batch, time, ...]."""
    c, v = jax.vmap(partial(inconsistency, config, params, choices))(batch)
    entropy = jax.vmap(jax.vmap(acting(config, params, choices).entropy))(batch.obs)
    j = 0.5 * jnp.mean(c**2)
    return j, {"path_loss": j, "value": jnp.mean(v), "entropy": jnp.mean(entropy)}


def update(
    config: Config, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one gradient step on J. `key` is not used."""
    p, opt = state.params, state.opt_state
    gradient, info = jax.grad(loss, has_aux=True)(p, config, state.choices, batch)
    step, policy_opt = optax.adam(config.learning_rate).update(gradient.policy, opt.policy)
    value_step, value_opt = optax.adam(config.value_learning_rate).update(gradient.value, opt.value)
    params = Params(policy=optax.apply_updates(p.policy, step), value=optax.apply_updates(p.value, value_step))
    return State(params=params, opt_state=OptState(policy=policy_opt, value=value_opt), choices=state.choices), info
