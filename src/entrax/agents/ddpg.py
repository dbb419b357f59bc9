"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971).

Maximises the expected sum of r with a deterministic policy μ: the hard counterpart of soft actor-critic, without
temperature and entropy. Algorithm 1:

    y   = r + γ (1 - terminated) Q̄(s', μ̄(s'))            (5)
    J_Q = ½ E (Q(s, a) - y)²                              (4)
    J_μ = -E Q(s, μ(s))                                   its gradient is (6)
    a   = μ(s) + σ ε, clipped to [-1, 1]                  (7)
    Q̄   ← Q̄ + τ (Q - Q̄),  μ̄ ← μ̄ + τ (μ - μ̄)             targets

Each loss is differentiated in its first argument only. The policy learns from the critic of the same update.

Departs from the paper:
- the noise ε is Gaussian and independent from step to step; an Ornstein-Uhlenbeck process was no better in Fujimoto et
  al. 2018. `noise_correlation` gives one, for heavy bodies, which average single steps out. The paper's process is
  `noise_correlation 0.85` with the stationary deviation `noise 0.38`. Only training explores with it;
- as in the stronger version of Fujimoto et al., the action enters the critic's first layer, there is no batch
  normalisation and no weight decay, both networks have one learning rate, and the targets move faster. The paper's
  constants are `learning_rate 1e-3`, `policy_learning_rate 1e-4`, `target_rate 1e-3`, `batch_size 64` and `noise 0.2`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from entrax import fields
from entrax.agents.base import continuous_size, vectors_only
from entrax.fields import DERIVED, Settings, resolved
from entrax.nets import MLP, adam_step, polyak_update
from entrax.policies.base import Policy
from entrax.policies.deterministic import DeterministicPolicy, noisy_policy
from entrax.replay import Uniform
from entrax.soft import soft_bellman_backup
from entrax.spec import Progress, Spec, Transition


class Config(Settings):
    """Hyperparameters; the defaults are those of the stronger version in Fujimoto et al. 2018, arXiv:1802.09477."""

    learning_rate: float = fields.learning_rate(1e-3, "of the critic")
    policy_learning_rate: float | None = fields.learning_rate(None, "of the policy", derived="the critic's")
    discount: float = fields.discount(0.99)
    target_rate: float = fields.target_rate(0.005)
    noise: float = fields.noise(0.1)
    noise_correlation: float | None = fields.noise_correlation()
    batch_size: int = fields.batch_size(256)
    replay_size: int = fields.replay_size(1_000_000)
    hidden: tuple[int, ...] = fields.hidden((400, 300))


class Resolved(Config):
    """`Config` with its derived settings."""

    policy_learning_rate: float = DERIVED


class Params(eqx.Module):
    policy: DeterministicPolicy
    critics: MLP  # one critic, of the observation and the action


class OptState(eqx.Module):
    policy: optax.OptState
    critics: optax.OptState


class State(eqx.Module):
    params: Params
    targets: Params
    opt_state: OptState


def resolve(config: Config, spec: Spec) -> Resolved:
    """Fill the policy's learning rate. Raises UsageError for an environment that the agent does not take."""
    vectors_only(spec, "ddpg")
    continuous_size(spec, "ddpg")
    policy_rate = config.learning_rate if config.policy_learning_rate is None else config.policy_learning_rate
    return resolved(Resolved, config, policy_learning_rate=policy_rate)


def init(config: Resolved, spec: Spec, key: PRNGKeyArray) -> State:
    policy_key, critic_key = jr.split(key)
    action_size = continuous_size(spec, "ddpg")
    params = Params(
        policy=DeterministicPolicy(spec.obs_size, action_size, config.hidden, policy_key),
        critics=MLP(spec.obs_size + action_size, config.hidden, 1, critic_key),
    )
    adam = optax.adam(config.learning_rate)
    opt_state = OptState(policy=adam.init(params.policy), critics=adam.init(params.critics))
    return State(params=params, targets=params, opt_state=opt_state)


def policy(config: Resolved, state: State) -> Policy:
    return noisy_policy(state.params.policy, config.noise, config.noise_correlation)


def data(config: Resolved) -> Uniform:
    return Uniform(batch_size=config.batch_size, capacity=config.replay_size)


def q_value(critic: MLP, obs: Float[Array, " obs"], action: Float[Array, " action"]) -> Scalar:
    """Return Q(s, a)."""
    return critic(jnp.concatenate([obs, action]))[0]


def td_target(config: Resolved, targets: Params, batch: Transition) -> Float[Array, " batch"]:
    """Return y of equation 5 for each transition."""
    v_next = jax.vmap(lambda s: q_value(targets.critics, s, targets.policy(s)))(batch.next_obs)
    backup = jax.vmap(soft_bellman_backup, (0, None, 0, 0))
    return backup(batch.reward, config.discount, v_next, batch.terminated)


def critic_loss(critic: MLP, batch: Transition, y: Float[Array, " batch"]) -> tuple[Scalar, Scalar]:
    """Return J_Q of equation 4, and the mean Q."""
    q = jax.vmap(q_value, (None, 0, 0))(critic, batch.obs, batch.action)
    return 0.5 * jnp.mean((q - y) ** 2), jnp.mean(q)


def policy_loss(policy: DeterministicPolicy, critic: MLP, obs: Float[Array, "batch obs"]) -> Scalar:
    """Return J_μ, whose gradient is equation 6."""
    return -jnp.mean(jax.vmap(lambda s: q_value(critic, s, policy(s)))(obs))


def update(
    config: Resolved, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one gradient step on J_Q, then one on J_μ; then update the targets. `key` is not used."""
    p, opt = state.params, state.opt_state
    y = td_target(config, state.targets, batch)
    (j_q, q), g_critics = jax.value_and_grad(critic_loss, has_aux=True)(p.critics, batch, y)
    critics, critics_opt = adam_step(config.learning_rate, p.critics, g_critics, opt.critics)
    g_policy = jax.grad(policy_loss)(p.policy, critics, batch.obs)
    policy, policy_opt = adam_step(config.policy_learning_rate, p.policy, g_policy, opt.policy)

    params = Params(policy=policy, critics=critics)
    state = State(
        params=params,
        targets=polyak_update(state.targets, params, config.target_rate),
        opt_state=OptState(policy=policy_opt, critics=critics_opt),
    )
    return state, {"critic_loss": j_q, "q": q}
