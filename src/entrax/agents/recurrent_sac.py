"""Soft actor-critic over histories: a memory of the episode, learned from windows of the replay.

What is observed need not tell the state. A recurrent network remembers the episode before a step,

    m_0 = 0,   m_{t+1} = GRU(m_t, (o_t, a_t)),      and      h_t = (m_t, o_t)

takes the state's place in soft actor-critic (Haarnoja et al. 2018b, arXiv:1812.05905, equations 3 to 18):

    y_t = r_t + γ (1 - terminated) [min_i Q̄_i(h̄_{t+1}, a') - α log π(a'|h_{t+1})],  a' ~ π(·|h_{t+1})
    J_Q = ½ E Σ_i (Q_i(h_t, a_t) - y_t)²
    J_π = E [α log π(a|h_t) - min_i Q_i(h_t, a)],  a ~ π(·|h_t)
    J_α = E [-α log π(a|h_t) - α H̄]
    ψ̄   ← ψ̄ + τ (ψ - ψ̄)                                     targets, the memory's too

m belongs to the critics: J_Q goes back through time, and the policy takes m as it is. h̄ is of the targets' memory.

**Stored carry and burn-in** (R2D2: Kapturowski et al. 2019, openreview.net/forum?id=r1lyTjAqYX, section 3). A window of
the replay begins in the middle of an episode. Its m at the first step is the one that the policy had there, which is
stored with every transition and is by older parameters. From it the present parameters go through the first `burn_in`
steps without a loss and without a gradient; the `length` steps after those are learned from. Where an episode ends
inside a window, m begins at 0 again.

Departs from the papers:
- from R2D2, which learns Q-values of discrete actions: no priorities, no n-step returns, no rescaling of values; a
  window may begin at any step, and goes over the ends of episodes;
- m takes actions but no rewards, and one memory serves policy and critics, as one encoder of images does in `sac`;
- the three gradients of one update are taken at the same parameters; the temperature is learned through its logarithm.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Scalar

from entrax import fields
from entrax.agents.base import continuous_size, vectors_only
from entrax.fields import DERIVED, Settings, at_least, field, resolved
from entrax.nets import Memory, TwinQ, adam_step, polyak_update
from entrax.policies.gaussian import GaussianPolicy
from entrax.policies.learned_temperature import initial_log_alpha
from entrax.policies.learned_temperature import temperature as temperature
from entrax.policies.learned_temperature import with_temperature as with_temperature
from entrax.replay import Sequences
from entrax.soft import soft_bellman_backup
from entrax.spec import Progress, Spec, Transition


class Config(Settings):
    """Hyperparameters: those of soft actor-critic by table 1 of its paper, and our own for windows and memory."""

    learning_rate: float = fields.learning_rate(3e-4, "of policy, critics and temperature", symbol="λ")
    discount: float = fields.discount(0.99)
    target_rate: float = fields.target_rate(0.005)
    temperature: float | str = fields.learned_temperature()
    initial_temperature: float = fields.initial_temperature(1.0)
    target_entropy: float | None = field(
        None,
        "Entropy in nats that a learned temperature holds.",
        symbol="H̄",
        derived="minus the number of action entries",
    )
    memory: int = field(64, "Numbers that are remembered of an episode.", at_least(1), static=True)
    length: int = field(16, "Steps of a window that are learned from.", at_least(1), static=True)
    burn_in: int = field(8, "Steps before each window that only update the memory.", at_least(0), static=True)
    batch_size: int = fields.batch_size(32, of="windows")
    replay_size: int = fields.replay_size(1_000_000)
    hidden: tuple[int, ...] = fields.hidden((256, 256))


class Resolved(Config):
    """`Config` with its derived settings."""

    target_entropy: float = DERIVED


class RecurrentGaussian(eqx.Module):
    """π(a|h_t). Satisfies the `Policy` protocol; the carry is m_t."""

    memory: Memory
    head: GaussianPolicy

    def initial_carry(self) -> Float[Array, " memory"]:
        return self.memory.begin()

    def act(
        self,
        carry: Float[Array, " memory"],
        obs: Float[Array, " obs"],
        progress: Progress,
        key: PRNGKeyArray | None,
        greedy: bool,
    ) -> tuple[Float[Array, " action"], Float[Array, " memory"], dict[str, Scalar]]:
        action, _, info = self.head.act((), jnp.concatenate([carry, obs]), progress, key, greedy)
        return action, self.memory(carry, jnp.concatenate([obs, action])), info


class Critics(eqx.Module):
    """Q_i(h, a), and the memory that h is made of."""

    memory: Memory
    q: TwinQ


class Params(eqx.Module):
    policy: GaussianPolicy  # of h
    critics: Critics
    log_alpha: Scalar


class OptState(eqx.Module):
    policy: optax.OptState
    critics: optax.OptState
    log_alpha: optax.OptState


class State(eqx.Module):
    params: Params
    targets: Critics
    opt_state: OptState


def resolve(config: Config, spec: Spec) -> Resolved:
    """Fill the target entropy. Raises UsageError for an environment that the agent does not take."""
    action_size = continuous_size(spec, "recurrent-sac")
    vectors_only(spec, "recurrent-sac")
    entropy = -float(action_size) if config.target_entropy is None else config.target_entropy
    return resolved(Resolved, config, target_entropy=entropy)


def init(config: Resolved, spec: Spec, key: PRNGKeyArray) -> State:
    policy_key, memory_key, critics_key = jr.split(key, 3)
    action_size = continuous_size(spec, "recurrent-sac")
    seen = config.memory + spec.obs_size
    params = Params(
        policy=GaussianPolicy(seen, action_size, config.hidden, policy_key),
        critics=Critics(
            memory=Memory(spec.obs_size + action_size, config.memory, memory_key),
            q=TwinQ(seen, action_size, config.hidden, critics_key),
        ),
        log_alpha=initial_log_alpha(config),
    )
    adam = optax.adam(config.learning_rate)
    opt_state = OptState(
        policy=adam.init(params.policy), critics=adam.init(params.critics), log_alpha=adam.init(params.log_alpha)
    )
    return State(params=params, targets=params.critics, opt_state=opt_state)


def policy(config: Resolved, state: State) -> RecurrentGaussian:
    return RecurrentGaussian(memory=state.params.critics.memory, head=state.params.policy)


def data(config: Resolved) -> Sequences:
    length = config.burn_in + config.length
    return Sequences(config.batch_size, length=length, capacity=config.replay_size, carry=config.memory)


def transferred_paths(config: Resolved, source: Resolved, keep_temperature: bool) -> tuple[str, ...]:
    """Carry over all that is learned; the temperature only if it is kept, and learned in the new run."""
    kept = ("params/log_alpha",) if keep_temperature and isinstance(config.temperature, str) else ()
    return "params/critics", "params/policy", "targets", *kept


def remembered(
    memory: Memory, window: Transition, start: Float[Array, " memory"]
) -> tuple[Float[Array, "time memory"], Float[Array, "time memory"], Float[Array, " memory"]]:
    """m before every step of a window [time, ...], m after it in the same episode, and m before what comes next."""

    def step(
        m: Float[Array, " memory"], now: tuple[Float[Array, " in"], Bool[Array, ""]]
    ) -> tuple[Float[Array, " memory"], tuple[Float[Array, " memory"], Float[Array, " memory"]]]:
        taken, ended = now
        after = memory(m, taken)
        return jnp.where(ended, memory.begin(), after), (m, after)

    taken = jnp.concatenate([window.obs, window.action], axis=1)
    following, (before, after) = jax.lax.scan(step, start, (taken, window.terminated | window.truncated))
    return before, after, following


def burned_in(memory: Memory, windows: Transition, steps: int) -> Float[Array, "batch memory"]:
    """m after the first `steps` of every window [batch, time, ...], from its stored one."""
    first = jax.tree.map(lambda x: x[:, :steps], windows)
    return jax.vmap(partial(remembered, memory))(first, windows.carry[:, 0])[2]


def histories(
    memory: Memory, windows: Transition, start: Float[Array, "batch memory"]
) -> tuple[Float[Array, "batch time seen"], Float[Array, "batch time seen"]]:
    """h of every step of windows [batch, time, ...], and of its true successor."""
    before, after, _ = jax.vmap(partial(remembered, memory))(windows, start)
    return jnp.concatenate([before, windows.obs], axis=2), jnp.concatenate([after, windows.next_obs], axis=2)


def td_target(
    config: Resolved,
    state: State,
    windows: Transition,
    h_next: Float[Array, "batch time seen"],
    h_target: Float[Array, "batch time seen"],
    key: PRNGKeyArray,
) -> tuple[Float[Array, "batch time"], Float[Array, "batch time"]]:
    """y of every step, and log π(a'|h'); h' is by the memory and by the targets'."""
    alpha = jnp.exp(state.params.log_alpha)

    def target(
        reward: Scalar, terminated: Bool[Array, ""], h: Array, h_target: Array, key: PRNGKeyArray
    ) -> tuple[Scalar, Scalar]:
        action, log_pi = state.params.policy(h).sample_and_log_prob(key)
        value = jnp.min(state.targets.q(h_target, action)) - alpha * log_pi
        return soft_bellman_backup(reward, config.discount, value, terminated), log_pi

    keys = jr.split(key, windows.reward.shape)
    return jax.vmap(jax.vmap(target))(windows.reward, windows.terminated, h_next, h_target, keys)


def critic_loss(
    critics: Critics, windows: Transition, start: Float[Array, "batch memory"], y: Float[Array, "batch time"]
) -> tuple[Scalar, Scalar]:
    """J_Q, and the mean Q."""
    h, _ = histories(critics.memory, windows, start)
    q = jax.vmap(jax.vmap(critics.q))(h, windows.action)  # [batch, time, 2]
    return 0.5 * jnp.mean(jnp.sum((q - y[..., None]) ** 2, axis=-1)), jnp.mean(q)


def policy_loss(
    policy: GaussianPolicy, critics: TwinQ, alpha: Scalar, h: Float[Array, "batch time seen"], key: PRNGKeyArray
) -> tuple[Scalar, Scalar]:
    """J_π, and an estimate of the entropy H(π) = -E log π."""

    def value(h: Array, key: PRNGKeyArray) -> tuple[Scalar, Scalar]:
        action, log_pi = policy(h).sample_and_log_prob(key)
        return jnp.min(critics(h, action)) - alpha * log_pi, log_pi

    values, log_pi = jax.vmap(jax.vmap(value))(h, jr.split(key, h.shape[:2]))
    return -jnp.mean(values), -jnp.mean(log_pi)


def temperature_loss(log_alpha: Scalar, entropy: Scalar, target_entropy: Scalar) -> Scalar:
    """J_α."""
    return jnp.exp(log_alpha) * (entropy - target_entropy)


def update(
    config: Resolved, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """One gradient step on J_Q, J_π and J_α from windows [batch, time, ...]; then the targets follow."""
    target_key, policy_key = jr.split(key)
    p, opt = state.params, state.opt_state
    start, target_start = (burned_in(c.memory, batch, config.burn_in) for c in (p.critics, state.targets))
    windows = jax.tree.map(lambda x: x[:, config.burn_in :], batch._replace(carry=None))
    h, h_next = histories(p.critics.memory, windows, start)
    _, h_target = histories(state.targets.memory, windows, target_start)

    y, log_pi = td_target(config, state, windows, h_next, h_target, target_key)
    (j_q, q), g_critics = jax.value_and_grad(critic_loss, has_aux=True)(p.critics, windows, start, y)
    critics, critics_opt = adam_step(config.learning_rate, p.critics, g_critics, opt.critics)

    alpha = jnp.exp(p.log_alpha)
    g_policy, entropy = jax.grad(policy_loss, has_aux=True)(p.policy, p.critics.q, alpha, h, policy_key)
    policy, policy_opt = adam_step(config.learning_rate, p.policy, g_policy, opt.policy)
    log_alpha, alpha_opt = p.log_alpha, opt.log_alpha
    if isinstance(config.temperature, str):
        g_alpha = jax.grad(temperature_loss)(p.log_alpha, entropy, config.target_entropy)
        log_alpha, alpha_opt = adam_step(config.learning_rate, p.log_alpha, g_alpha, opt.log_alpha)

    info = {"critic_loss": j_q, "q": q, "entropy": -jnp.mean(log_pi), "temperature": alpha}
    state = State(
        params=Params(policy=policy, critics=critics, log_alpha=log_alpha),
        targets=polyak_update(state.targets, critics, config.target_rate),
        opt_state=OptState(policy=policy_opt, critics=critics_opt, log_alpha=alpha_opt),
    )
    return state, info
