"""Soft actor-critic, the first version, with a state-value network (Haarnoja et al. 2018a, arXiv:1801.01290).

Algorithm 1, with parameters ψ (value), ψ̄ (its target), θ₁, θ₂ (critics) and φ (policy). Rewards are
multiplied by `reward_scale`, which acts as the inverse of the temperature; the entropy's weight is 1.

    J_V = E ½ (V_ψ(s) - E[min_i Q_i(s, a) - log π(a|s)])²,  a ~ π(·|s)    (5)
    Q̂   = scale · r + γ (1 - terminated) V_ψ̄(s')                          (8)
    J_Q = E ½ (Q_i(s, a) - Q̂)², i = 1, 2                                  (7)
    J_π = E [log π(a|s) - min_i Q_i(s, a)],  a ~ π(·|s)                   (12)
    ψ̄   ← τ ψ + (1 - τ) ψ̄

Each loss is differentiated in its first argument only.

Departs from the paper: the gradients of one update are taken at the same parameters and with the same draw of a ~ π.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from entrax import fields
from entrax.agents.base import continuous_size, vectors_only
from entrax.fields import POSITIVE, Settings, as_arrays, field
from entrax.nets import MLP, TwinQ, polyak_update
from entrax.policies.gaussian import GaussianPolicy
from entrax.replay import Uniform
from entrax.soft import soft_bellman_backup
from entrax.spec import Progress, Spec, Transition


class Config(Settings):
    """Hyperparameters; the defaults are those of table 1 of the paper, the reward scale that of most of its table 2."""

    learning_rate: float = fields.learning_rate(3e-4, "of all networks", symbol="λ")
    discount: float = fields.discount(0.99)
    target_rate: float = fields.target_rate(0.005)
    reward_scale: float = field(5.0, "Factor on the reward: the inverse of the temperature.", POSITIVE, symbol="1/α")
    batch_size: int = fields.batch_size(256)
    replay_size: int = fields.replay_size(1_000_000)
    hidden: tuple[int, ...] = fields.hidden((256, 256))


class Params(eqx.Module):
    value: MLP  # ψ
    critics: TwinQ  # θ₁, θ₂
    policy: GaussianPolicy  # φ


class State(eqx.Module):
    params: Params
    targets: MLP  # ψ̄
    opt_state: optax.OptState


def resolve(config: Config, spec: Spec) -> Config:
    """Resolve the configuration. Raises UsageError for an environment that the agent does not take."""
    vectors_only(spec, "sac-value")
    continuous_size(spec, "sac-value")
    return as_arrays(config)


def init(config: Config, spec: Spec, key: PRNGKeyArray) -> State:
    value_key, critics_key, policy_key = jr.split(key, 3)
    action_size = continuous_size(spec, "sac-value")
    params = Params(
        value=MLP(spec.obs_size, config.hidden, 1, value_key),
        critics=TwinQ(spec.obs_size, action_size, config.hidden, critics_key),
        policy=GaussianPolicy(spec.obs_size, action_size, config.hidden, policy_key),
    )
    return State(params=params, targets=params.value, opt_state=optax.adam(config.learning_rate).init(params))


def policy(config: Config, state: State) -> GaussianPolicy:
    return state.params.policy


def data(config: Config) -> Uniform:
    return Uniform(batch_size=config.batch_size, capacity=config.replay_size)


def value_loss(value: MLP, obs: Float[Array, "batch obs"], soft_value: Float[Array, " batch"]) -> Scalar:
    """Return J_V of equation 5; `soft_value` is min_i Q_i(s, a) - log π(a|s)."""
    return 0.5 * jnp.mean((jax.vmap(value)(obs)[:, 0] - soft_value) ** 2)


def critic_loss(critics: TwinQ, batch: Transition, q_hat: Float[Array, " batch"]) -> tuple[Scalar, Scalar]:
    """Return J_Q of equation 7, summed over both critics, and the mean Q."""
    q = jax.vmap(critics)(batch.obs, batch.action)  # [batch, 2]
    return 0.5 * jnp.mean(jnp.sum((q - q_hat[:, None]) ** 2, axis=1)), jnp.mean(q)


def policy_loss(
    policy: GaussianPolicy, critics: TwinQ, obs: Float[Array, "batch obs"], key: PRNGKeyArray
) -> tuple[Scalar, tuple[Float[Array, " batch"], Float[Array, " batch"]]]:
    """Return J_π of equation 12, and min_i Q_i(s, a) - log π(a|s) and log π(a|s) of each sample."""

    def draw(s: Float[Array, " obs"], k: PRNGKeyArray) -> tuple[Scalar, Scalar]:
        action, log_pi = policy(s).sample_and_log_prob(k)
        return jnp.min(critics(s, action)) - log_pi, log_pi

    soft_value, log_pi = jax.vmap(draw)(obs, jr.split(key, len(obs)))
    return -jnp.mean(soft_value), (soft_value, log_pi)


def update(
    config: Config, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one gradient step on J_V, J_Q and J_π; then update ψ̄."""
    p = state.params
    v_next = jax.vmap(state.targets)(batch.next_obs)[:, 0]
    backup = jax.vmap(soft_bellman_backup, (0, None, 0, 0))
    q_hat = backup(config.reward_scale * batch.reward, config.discount, v_next, batch.terminated)

    (j_q, q), g_critics = jax.value_and_grad(critic_loss, has_aux=True)(p.critics, batch, q_hat)
    g_policy, (soft_value, log_pi) = jax.grad(policy_loss, has_aux=True)(p.policy, p.critics, batch.obs, key)
    j_v, g_value = jax.value_and_grad(value_loss)(p.value, batch.obs, soft_value)

    # Adam is elementwise, so one Adam over Params is the paper's four.
    gradients = Params(value=g_value, critics=g_critics, policy=g_policy)
    steps, opt_state = optax.adam(config.learning_rate).update(gradients, state.opt_state)
    params = optax.apply_updates(p, steps)
    info = {
        "critic_loss": j_q,
        "value_loss": j_v,
        "q": q / config.reward_scale,
        "entropy": -jnp.mean(log_pi),
        "temperature": 1.0 / config.reward_scale,
    }
    targets = polyak_update(state.targets, params.value, config.target_rate)
    return State(params=params, targets=targets, opt_state=opt_state), info
