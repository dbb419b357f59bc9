"""Soft actor-critic with a learned temperature (Haarnoja et al. 2018b, arXiv:1812.05905).

Maximises the expected sum of r + α H(π(·|s)). With the soft value V(s) = E[min_i Q̄_i(s, a) - α log π(a|s)], a ~ π(·|s),
the critics regress on the soft Bellman backup, the policy is projected onto exp(Q/α), and α holds the entropy at H̄:

    y   = r + γ (1 - terminated) V(s')                      (3)
    J_Q = ½ E Σ_i (Q_i(s, a) - y)²                          (5)
    J_π = E [α log π(a|s) - min_i Q_i(s, a)],  a ~ π(·|s)   (7, 9)
    J_α = E [-α log π(a|s) - α H̄]                           (18)
    ψ̄   ← ψ̄ + τ (ψ - ψ̄)                                     targets

Each loss is differentiated in its first argument only.

Departs from the paper:
- the three gradients of one update are taken at the same parameters (Algorithm 1 leaves their order open), which lets
  them run side by side;
- the temperature is learned through its logarithm, as in the authors' own code;
- for images, the critics share one encoder, whose features the policy uses without training them (Yarats et al. 2021,
  arXiv:1910.01741): 50 numbers, or with `features` the points where filters respond (Levine et al. 2016,
  arXiv:1504.00702). Images are shifted at random by up to `augment` pixels (Kostrikov et al. 2020, arXiv:2004.13649);
- optionally the critics' hidden layers are normalised (`layer_norm`), the policy and the temperature learn at every
  `policy_delay`-th update only (Fujimoto et al. 2018), and the temperature may be held fixed.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray, Scalar

from entrax import fields
from entrax.agents.base import continuous_size
from entrax.fields import DERIVED, Settings, at_least, field, resolved
from entrax.nets import Encoded, TwinQ, adam_step, on_observations, polyak_update
from entrax.policies.gaussian import GaussianPolicy
from entrax.policies.images import augmented, check_augment, check_features, encoded_size, with_encoder
from entrax.policies.learned_temperature import initial_log_alpha
from entrax.policies.learned_temperature import temperature as temperature
from entrax.policies.learned_temperature import with_temperature as with_temperature
from entrax.replay import Uniform
from entrax.soft import soft_bellman_backup
from entrax.spec import Progress, Spec, Transition

Critics = TwinQ | Encoded
FEATURES = 50
"""Features of an image by default (Yarats et al. 2021, arXiv:1910.01741)."""


class Config(Settings):
    """Hyperparameters; the defaults are those of table 1 of the paper."""

    learning_rate: float = fields.learning_rate(3e-4, "of policy, critics and temperature", symbol="λ")
    discount: float = fields.discount(0.99)
    target_rate: float = fields.target_rate(0.005)
    temperature: float | str = fields.learned_temperature()
    initial_temperature: float = fields.initial_temperature(1.0)  # authors' code
    target_entropy: float | None = field(
        None,
        "Entropy in nats that a learned temperature holds.",
        symbol="H̄",
        derived="minus the number of action entries",
    )
    batch_size: int = fields.batch_size(256)
    replay_size: int = fields.replay_size(1_000_000)
    hidden: tuple[int, ...] = fields.hidden((256, 256))
    layer_norm: bool = field(False, "Normalise the critics' hidden layers.", static=True)
    policy_delay: int = field(1, "Critic updates for each update of policy and temperature.", at_least(1), static=True)
    augment: int = fields.augment(0)
    features: int | str | None = field(
        None,
        "Features of an observed image: their number, or 'points' for the places where filters respond.",
        at_least(1, word="points"),
        derived="50 for images",
        static=True,
    )


class Resolved(Config):
    """`Config` with its derived settings."""

    target_entropy: float = DERIVED


class Params(eqx.Module):
    policy: GaussianPolicy  # for images, its input is the critics' features
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
    updates: Int[Array, ""]


def resolve(config: Config, spec: Spec) -> Resolved:
    """Fill the target entropy. Raises UsageError for an environment that the agent does not take."""
    action_size = continuous_size(spec, "sac")
    check_augment(config.augment, spec)
    check_features(config.features, spec)
    entropy = -float(action_size) if config.target_entropy is None else config.target_entropy
    return resolved(Resolved, config, target_entropy=entropy)


def init(config: Resolved, spec: Spec, key: PRNGKeyArray) -> State:
    """Return the initial state; the targets equal the critics."""
    policy_key, critics_key = jr.split(key)

    def create(size: int, key: PRNGKeyArray) -> TwinQ:
        return TwinQ(size, spec.action.size, config.hidden, key, layer_norm=config.layer_norm)

    critics: Critics = on_observations(spec, create, critics_key, config.features or FEATURES)
    params = Params(
        policy=GaussianPolicy(encoded_size(critics, spec), spec.action.size, config.hidden, policy_key),
        critics=critics,
        log_alpha=initial_log_alpha(config),
    )
    adam = optax.adam(config.learning_rate)
    opt_state = OptState(
        policy=adam.init(params.policy), critics=adam.init(params.critics), log_alpha=adam.init(params.log_alpha)
    )
    return State(params=params, targets=params.critics, opt_state=opt_state, updates=jnp.zeros((), jnp.int32))


def policy(config: Resolved, state: State) -> GaussianPolicy | Encoded:
    """Return π, on the critics' encoder for images."""
    return with_encoder(state.params.policy, state.params.critics)


def data(config: Resolved) -> Uniform:
    """Return uniform batches of a replay."""
    return Uniform(batch_size=config.batch_size, capacity=config.replay_size)


def transferred_paths(config: Resolved, source: Resolved, keep_temperature: bool) -> tuple[str, ...]:
    """Carry over all that is learned; the temperature only if it is kept, and learned in the new run."""
    kept = ("params/log_alpha",) if keep_temperature and isinstance(config.temperature, str) else ()
    return "params/critics", "params/policy", "targets", *kept


def action_value(config: Resolved, state: State, obs: Num[Array, " obs"], action: Float[Array, " action"]) -> Scalar:
    """Return min_i Q_i(s, a)."""
    return jnp.min(state.params.critics(obs, action))


def soft_value(
    actor: GaussianPolicy | Encoded, critics: Critics, alpha: Scalar, obs: Num[Array, " obs"], key: PRNGKeyArray
) -> tuple[Scalar, Scalar]:
    """Return one draw of V(s) = min_i Q_i(s, a) - α log π(a|s), a ~ π(·|s), and of log π(a|s)."""
    action, log_pi = actor(obs).sample_and_log_prob(key)
    return jnp.min(critics(obs, action)) - alpha * log_pi, log_pi


def td_target(
    config: Resolved, state: State, batch: Transition, key: PRNGKeyArray
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """Return y of equation 3 for each transition, and log π(a'|s')."""
    alpha, keys = jnp.exp(state.params.log_alpha), jr.split(key, len(batch.reward))
    value = partial(soft_value, policy(config, state), state.targets, alpha)
    v_next, log_pi = jax.vmap(value)(batch.next_obs, keys)
    backup = jax.vmap(soft_bellman_backup, (0, None, 0, 0))
    return backup(batch.reward, config.discount, v_next, batch.terminated), log_pi


def critic_loss(critics: Critics, batch: Transition, y: Float[Array, " batch"]) -> tuple[Scalar, Scalar]:
    """Return J_Q of equation 5, and the mean Q."""
    q = jax.vmap(critics)(batch.obs, batch.action)  # [batch, 2]
    return 0.5 * jnp.mean(jnp.sum((q - y[:, None]) ** 2, axis=1)), jnp.mean(q)


def policy_loss(
    actor: GaussianPolicy, critics: Critics, alpha: Scalar, obs: Num[Array, "batch obs"], key: PRNGKeyArray
) -> tuple[Scalar, Scalar]:
    """Return J_π of equation 9, and an estimate of the entropy H(π) = -E log π."""
    value, log_pi = jax.vmap(partial(soft_value, with_encoder(actor, critics), critics, alpha))(
        obs, jr.split(key, len(obs))
    )
    return -jnp.mean(value), -jnp.mean(log_pi)


def temperature_loss(log_alpha: Scalar, entropy: Scalar, target_entropy: Scalar) -> Scalar:
    """Return J_α of equation 18."""
    return jnp.exp(log_alpha) * (entropy - target_entropy)


def update_policy_and_temperature(
    config: Resolved, state: State, obs: Num[Array, "batch obs"], key: PRNGKeyArray
) -> tuple[GaussianPolicy, Scalar, optax.OptState, optax.OptState]:
    """Take one gradient step on J_π and J_α. Return the policy, log α, and their optimisers' states."""
    p, opt = state.params, state.opt_state
    gradient = jax.grad(policy_loss, has_aux=True)
    g_policy, entropy = gradient(p.policy, p.critics, jnp.exp(p.log_alpha), obs, key)
    actor, policy_opt = adam_step(config.learning_rate, p.policy, g_policy, opt.policy)
    if not isinstance(config.temperature, str):
        return actor, p.log_alpha, policy_opt, opt.log_alpha
    g_alpha = jax.grad(temperature_loss)(p.log_alpha, entropy, config.target_entropy)
    log_alpha, alpha_opt = adam_step(config.learning_rate, p.log_alpha, g_alpha, opt.log_alpha)
    return actor, log_alpha, policy_opt, alpha_opt


def update(
    config: Resolved, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one gradient step on J_Q and, when due, on J_π and J_α; then update the targets."""
    if config.augment:
        key, augment_key = jr.split(key)
        batch = augmented(batch, state.params.critics, config.augment, augment_key)
    target_key, policy_key = jr.split(key)
    p, opt = state.params, state.opt_state
    y, log_pi = td_target(config, state, batch, target_key)
    (j_q, q), g_critics = jax.value_and_grad(critic_loss, has_aux=True)(p.critics, batch, y)
    critics, critics_opt = adam_step(config.learning_rate, p.critics, g_critics, opt.critics)

    unchanged = (p.policy, p.log_alpha, opt.policy, opt.log_alpha)
    improve = partial(update_policy_and_temperature, config, state, batch.obs, policy_key)
    if config.policy_delay == 1:
        actor, log_alpha, policy_opt, alpha_opt = improve()
    else:
        turn = state.updates % config.policy_delay == 0
        actor, log_alpha, policy_opt, alpha_opt = jax.lax.cond(turn, improve, lambda: unchanged)

    info = {"critic_loss": j_q, "q": q, "entropy": -jnp.mean(log_pi), "temperature": jnp.exp(p.log_alpha)}
    state = State(
        params=Params(policy=actor, critics=critics, log_alpha=log_alpha),
        targets=polyak_update(state.targets, critics, config.target_rate),
        opt_state=OptState(policy=policy_opt, critics=critics_opt, log_alpha=alpha_opt),
        updates=state.updates + 1,
    )
    return state, info
