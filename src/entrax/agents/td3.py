"""Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477).

The deterministic actor-critic with three remedies against overestimated values: the smaller of two critics, target
actions smoothed by clipped noise, and a policy that is updated less often than the critics. Algorithm 1:

    a'  = μ̄(s') + clip(σ̃ ε, -c, c), clipped to [-1, 1]     section 5.3
    y   = r + γ (1 - terminated) min_i Q̄_i(s', a')         (10)
    J_Q = ½ E Σ_i (Q_i(s, a) - y)²
    every d-th update:
    J_μ = -E Q_1(s, μ(s))
    Q̄_i ← Q̄_i + τ (Q_i - Q̄_i),  μ̄ ← μ̄ + τ (μ - μ̄)        targets

Training explores with μ(s) + σ ε, clipped to [-1, 1]. With a `noise_correlation` ρ, ε is an Ornstein-Uhlenbeck
process in training: ε_t = ρ ε_{t-1} + √(1 - ρ²) N(0, 1). Each loss is differentiated in its first argument only. The
policy learns from the critics of the same update.

Departs from the paper: batches have 256 transitions, as in the authors' later code, where the paper has 100.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, Scalar

from entrax import fields
from entrax.agents.base import continuous_size, vectors_only
from entrax.fields import Settings, as_arrays, at_least, field
from entrax.nets import TwinQ, adam_step, polyak_update
from entrax.policies.base import Policy
from entrax.policies.deterministic import DeterministicPolicy, noisy_policy
from entrax.replay import Uniform
from entrax.soft import soft_bellman_backup
from entrax.spec import Progress, Spec, Transition


class Config(Settings):
    """Hyperparameters; the defaults are the paper's. Noise is a share of half the range of an action."""

    learning_rate: float = fields.learning_rate(1e-3, "of policy and critics")
    discount: float = fields.discount(0.99)
    target_rate: float = fields.target_rate(0.005)
    noise: float = fields.noise(0.1)
    noise_correlation: float | None = fields.noise_correlation()
    target_noise: float = field(
        0.2, "Standard deviation of the noise on the target policy's actions.", at_least(0), symbol="σ̃"
    )
    target_noise_clip: float = field(0.5, "Largest noise on the target policy's actions.", at_least(0), symbol="c")
    policy_delay: int = field(2, "Critic updates for each policy update.", at_least(1), symbol="d", static=True)
    batch_size: int = fields.batch_size(256)
    replay_size: int = fields.replay_size(1_000_000)
    hidden: tuple[int, ...] = fields.hidden((400, 300))


class Params(eqx.Module):
    policy: DeterministicPolicy
    critics: TwinQ


class OptState(eqx.Module):
    policy: optax.OptState
    critics: optax.OptState


class State(eqx.Module):
    params: Params
    targets: Params
    opt_state: OptState
    updates: Int[Array, ""]


def resolve(config: Config, spec: Spec) -> Config:
    """Resolve the configuration. Raises UsageError for an environment that the agent does not take."""
    vectors_only(spec, "td3")
    continuous_size(spec, "td3")
    return as_arrays(config)


def init(config: Config, spec: Spec, key: PRNGKeyArray) -> State:
    policy_key, critics_key = jr.split(key)
    action_size = continuous_size(spec, "td3")
    params = Params(
        policy=DeterministicPolicy(spec.obs_size, action_size, config.hidden, policy_key),
        critics=TwinQ(spec.obs_size, action_size, config.hidden, critics_key),
    )
    adam = optax.adam(config.learning_rate)
    opt_state = OptState(policy=adam.init(params.policy), critics=adam.init(params.critics))
    return State(params=params, targets=params, opt_state=opt_state, updates=jnp.zeros((), jnp.int32))


def policy(config: Config, state: State) -> Policy:
    return noisy_policy(state.params.policy, config.noise, config.noise_correlation)


def data(config: Config) -> Uniform:
    return Uniform(batch_size=config.batch_size, capacity=config.replay_size)


def smoothed_action(
    config: Config, policy: DeterministicPolicy, obs: Float[Array, " obs"], key: PRNGKeyArray
) -> Float[Array, " action"]:
    """Return a', the target policy's action with clipped noise."""
    action = policy(obs)
    noise = config.target_noise * jr.normal(key, action.shape)
    return jnp.clip(action + jnp.clip(noise, -config.target_noise_clip, config.target_noise_clip), -1.0, 1.0)


def td_target(config: Config, targets: Params, batch: Transition, key: PRNGKeyArray) -> Float[Array, " batch"]:
    """Return y of equation 10 for each transition."""

    def value(obs: Float[Array, " obs"], key: PRNGKeyArray) -> Scalar:
        return jnp.min(targets.critics(obs, smoothed_action(config, targets.policy, obs, key)))

    v_next = jax.vmap(value)(batch.next_obs, jr.split(key, len(batch.reward)))
    backup = jax.vmap(soft_bellman_backup, (0, None, 0, 0))
    return backup(batch.reward, config.discount, v_next, batch.terminated)


def critic_loss(critics: TwinQ, batch: Transition, y: Float[Array, " batch"]) -> tuple[Scalar, Scalar]:
    """Return J_Q, and the mean Q."""
    q = jax.vmap(critics)(batch.obs, batch.action)  # [batch, 2]
    return 0.5 * jnp.mean(jnp.sum((q - y[:, None]) ** 2, axis=1)), jnp.mean(q)


def policy_loss(policy: DeterministicPolicy, critics: TwinQ, obs: Float[Array, "batch obs"]) -> Scalar:
    """Return J_μ, by the first critic."""
    first = jax.tree.map(lambda x: x[0], critics.networks)
    return -jnp.mean(jax.vmap(lambda s: first(jnp.concatenate([s, policy(s)]))[0])(obs))


def improve_policy(
    config: Config, state: State, critics: TwinQ, obs: Float[Array, "batch obs"]
) -> tuple[DeterministicPolicy, optax.OptState, Params]:
    """Take one gradient step on J_μ. Return the policy, its optimiser's state, and the updated targets."""
    gradient = jax.grad(policy_loss)(state.params.policy, critics, obs)
    policy, policy_opt = adam_step(config.learning_rate, state.params.policy, gradient, state.opt_state.policy)
    targets = polyak_update(state.targets, Params(policy=policy, critics=critics), config.target_rate)
    return policy, policy_opt, targets


def update(
    config: Config, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one gradient step on J_Q; at every d-th update also one on J_μ, then update the targets."""
    p, opt, updates = state.params, state.opt_state, state.updates + 1
    y = td_target(config, state.targets, batch, key)
    (j_q, q), g_critics = jax.value_and_grad(critic_loss, has_aux=True)(p.critics, batch, y)
    critics, critics_opt = adam_step(config.learning_rate, p.critics, g_critics, opt.critics)

    improve = partial(improve_policy, config, state, critics, batch.obs)
    unchanged = (p.policy, opt.policy, state.targets)
    policy, policy_opt, targets = jax.lax.cond(updates % config.policy_delay == 0, improve, lambda: unchanged)

    state = State(
        params=Params(policy=policy, critics=critics),
        targets=targets,
        opt_state=OptState(policy=policy_opt, critics=critics_opt),
        updates=updates,
    )
    return state, {"critic_loss": j_q, "q": q}
