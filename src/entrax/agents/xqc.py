"""XQC: soft actor-critic with a well-conditioned critic (Palenicek et al. 2025, arXiv:2509.25174).

The objective is that of `sac`. Three parts keep the critics' curvature small and their gradients bounded: batch
normalisation of inputs and hidden layers, weights whose columns have norm 1, and a distribution over atoms z in place
of Q, trained by cross-entropy. With π_ψ and critics p_i(s, a) over the atoms, Q_i = Σ_z z p_i(z):

    y(z) = r + γ (1 - terminated) (z - α log π(a'|s')),  a' ~ π(·|s')
    J_Q  = -E Σ_i Σ_z [Φ p̄_k(s', a')]_z log p_i(z|s, a),  k = argmin_i Q̄_i(s', a')
    J_π  = E [α log π(a|s) - min_i Q_i(s, a)],  a ~ π(·|s)
    J_α  = E [-α log π(a|s) - α H̄]
    ψ̄    ← ψ̄ + τ (ψ - ψ̄)

Φ projects the mass at y(z) onto the atoms. Critics and targets see (s, a) and (s', a') as one batch, so that both are
normalised by the same moments (Bhatt et al. 2024, arXiv:1902.05605). The policy's loss takes the critics with their
running statistics, and is normalised by its own batch. After each step the columns of the weights are divided by their
norms. Rewards are scaled by the training option `normalise_rewards`, which is on by default.

With `atoms=1` critics regress on y = r + γ (1 - terminated) (min_i Q̄_i - α log π), as in `sac`. CrossQ is this file
with `atoms=1, target_network=False, normalisation="renorm", warm_up=100_000, unit_weights=False, hidden=(256, 256),
critic_hidden=(2048, 2048), learning_rate=1e-3, final_learning_rate=1e-3, initial_temperature=1.0`, a `target_entropy`
of minus the action's size, `normalise_rewards=False` and `updates_per_step=1`; its own code normalises after the ReLUs
and has Adam's β₁ at 0.5.

Departs from the paper, or from the authors' code:
- in that code the learning rates of policy and temperature fall to 2.1e-4 only, by the number of their own steps;
- the running statistics of the policy move only when it learns, by 1 - m^d, not at every update by 1 - m;
- the targets have running statistics of their own, for `normalisation="renorm"` and `joint_batch=False`, both ours;
- the policy's mean and deviation leave one layer, whose weights start alike; inputs have a gain, but no offset;
- scaled rewards are clipped at ±10, and their divisor is at least a fifth of the return's mean;
- γ is 0.99 where the length of episodes is unknown.
"""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, Scalar, ScalarLike

from entrax import fields
from entrax.agents.base import continuous_size, vectors_only
from entrax.estimators import discount_for
from entrax.fields import DERIVED, FROM_0_BELOW_1, POSITIVE, Settings, at_least, field, one_of, resolved
from entrax.nets import adam_step, polyak_update
from entrax.nets.categorical import atoms_of, mean_of, project
from entrax.nets.distributions import draw_each
from entrax.nets.normalised import (
    KINDS,
    Normalise,
    NormalisedMLP,
    Running,
    in_ensemble,
    in_evaluation,
    in_training,
    with_unit_weights,
)
from entrax.policies.gaussian import NormalisedGaussian, in_batch
from entrax.policies.learned_temperature import initial_log_alpha
from entrax.policies.learned_temperature import temperature as temperature
from entrax.policies.learned_temperature import with_temperature as with_temperature
from entrax.policies.schedule import Anneal
from entrax.replay import Uniform
from entrax.soft import soft_bellman_backup
from entrax.spec import Progress, Spec, Transition

CRITICS = 2


class Config(Settings):
    """Hyperparameters; the defaults are those of the paper and its code."""

    learning_rate: float = fields.learning_rate(3e-4, "of policy, critics and temperature at the start")
    final_learning_rate: float = fields.final_learning_rate(3e-5, "at the end of the run")
    discount: float | None = fields.discount(
        None, derived="1 − 5/T for episodes of T steps, from 0.95 to 0.995; 0.99 if T is unknown"
    )
    target_network: bool = field(True, "Bootstrap from target networks instead of the critics.", static=True)
    target_rate: float = fields.target_rate(0.005)
    temperature: float | str = fields.learned_temperature()
    initial_temperature: float = fields.initial_temperature(0.01)
    target_entropy: float | None = field(
        None,
        "Entropy in nats that a learned temperature holds.",
        symbol="H̄",
        derived="minus half the number of action entries",
    )
    batch_size: int = fields.batch_size(256)
    replay_size: int = fields.replay_size(1_000_000)
    hidden: tuple[int, ...] = fields.hidden((256, 256, 256, 256), note=" of the policy")
    critic_hidden: tuple[int, ...] | None = field(
        None, "Widths of the hidden layers of the critics.", derived="twice the policy's", static=True
    )
    joint_batch: bool = field(
        True, "Normalise (s, a) and (s', a') as one batch; else the latter by running statistics.", static=True
    )
    normalisation: str = field(
        "batch", "Normalise each layer by the batch, by batch renormalisation, or not.", one_of(*KINDS), static=True
    )
    momentum: float = field(0.99, "Share of the running statistics that an update keeps.", FROM_0_BELOW_1, symbol="m")
    warm_up: int = field(300, "Updates before renormalisation, by the batch alone.", at_least(0), static=True)
    ratio_limit: float = field(3.0, "Largest ratio of deviations in renormalisation.", at_least(1), symbol="r")
    shift_limit: float = field(5.0, "Largest shift of a mean in renormalisation, in deviations.", POSITIVE, symbol="d")
    unit_weights: bool = field(True, "Give every column of the weights norm 1 after each step.", static=True)
    atoms: int = field(101, "Atoms of a critic; 1 for a number with a squared loss.", at_least(1), static=True)
    support: float = field(5.0, "Largest atom, in units of the scaled reward; minus this is the smallest.", POSITIVE)
    policy_delay: int = field(3, "Critic updates for each update of policy and temperature.", at_least(1), static=True)


class Resolved(Config):
    """`Config` with its derived settings."""

    discount: float = DERIVED
    target_entropy: float = DERIVED
    critic_hidden: tuple[int, ...] = DERIVED


class Params(eqx.Module):
    policy: NormalisedMLP
    critics: NormalisedMLP  # [critic, ...]
    log_alpha: Scalar


class Statistics(eqx.Module):
    """Running statistics of the networks."""

    policy: Running
    critics: Running
    targets: Running


class OptState(eqx.Module):
    policy: optax.OptState
    critics: optax.OptState
    log_alpha: optax.OptState


class State(eqx.Module):
    params: Params
    targets: NormalisedMLP | None
    statistics: Statistics
    opt_state: OptState
    updates: Int[Array, ""]


def resolve(config: Config, spec: Spec) -> Resolved:
    """Fill the derived settings. Raises UsageError for an environment that the agent does not take."""
    action_size = continuous_size(spec, "xqc")
    vectors_only(spec, "xqc")
    derived = {
        "discount": discount_for(spec.time_limit),
        "target_entropy": -0.5 * action_size,
        "critic_hidden": tuple(2 * width for width in config.hidden),
    }
    return resolved(Resolved, config, **{k: v for k, v in derived.items() if getattr(config, k) is None})


def init(config: Resolved, spec: Spec, key: PRNGKeyArray) -> State:
    """Return the initial state; the targets equal the critics."""
    policy_key, critics_key = jr.split(key)
    obs_size, action_size = spec.obs_size, continuous_size(spec, "xqc")

    def critic(key: PRNGKeyArray) -> NormalisedMLP:
        return constrained(config, NormalisedMLP(obs_size + action_size, config.critic_hidden, config.atoms, key))

    critics = eqx.filter_vmap(critic)(jr.split(critics_key, CRITICS))
    params = Params(
        policy=constrained(config, NormalisedMLP(obs_size, config.hidden, 2 * action_size, policy_key)),
        critics=critics,
        log_alpha=initial_log_alpha(config),
    )
    running = critics.initial_running()
    adam = optax.adam(config.learning_rate)
    opt_state = OptState(
        policy=adam.init(params.policy), critics=adam.init(params.critics), log_alpha=adam.init(params.log_alpha)
    )
    return State(
        params=params,
        targets=critics if config.target_network else None,
        statistics=Statistics(policy=params.policy.initial_running(), critics=running, targets=running),
        opt_state=opt_state,
        updates=jnp.zeros((), jnp.int32),
    )


def policy(config: Resolved, state: State) -> NormalisedGaussian:
    """Return π with its running statistics."""
    return NormalisedGaussian(state.params.policy, state.statistics.policy, config.normalisation)


def data(config: Resolved) -> Uniform:
    """Return uniform batches of a replay."""
    return Uniform(batch_size=config.batch_size, capacity=config.replay_size)


def loop_defaults(config: Resolved, spec: Spec) -> dict[str, int | float | bool]:
    """Make two updates per step, and scale rewards, in whose unit the temperature then is."""
    return {"updates_per_step": 2.0, "normalise_rewards": True}


def transferred_paths(config: Resolved, source: Resolved, keep_temperature: bool) -> tuple[str, ...]:
    """Carry over all that is learned; the temperature only if it is kept, and learned in the new run."""
    kept = ("params/log_alpha",) if keep_temperature and isinstance(config.temperature, str) else ()
    return "params/critics", "params/policy", "statistics", *(["targets"] if config.target_network else []), *kept


def constrained(config: Resolved, network: NormalisedMLP) -> NormalisedMLP:
    """Return the network with columns of norm 1, if they must have it."""
    return with_unit_weights(network) if config.unit_weights else network


def training(config: Resolved, updates: Int[Array, ""], kept: ScalarLike) -> Normalise:
    """Return how networks are normalised when they learn; `kept` is the share of running statistics that stays."""
    early = updates < config.warm_up
    return in_training(config.normalisation, 1.0 - kept, config.ratio_limit, config.shift_limit, early)


def td_target(
    config: Resolved, outputs: Float[Array, "critic batch atom"], batch: Transition, bonus: Float[Array, " batch"]
) -> Float[Array, "batch atom"]:
    """Return Φ p̄_k, or y for critics of one output, from the targets' `outputs` for (s', a') and -α log π(a'|s')."""
    q = mean_of(outputs, config.support)
    lowest = jnp.where((q[0] <= q[1])[:, None], outputs[0], outputs[1])
    z = lowest if config.atoms == 1 else atoms_of(config.atoms, config.support)
    backup = jax.vmap(jax.vmap(soft_bellman_backup, (None, None, 0, None)), (0, None, 0, 0))
    y = backup(batch.reward, config.discount, z + bonus[:, None], batch.terminated)
    return y if config.atoms == 1 else jax.vmap(project, (0, 0, None))(jax.nn.softmax(lowest), y, config.support)


def both_outputs(
    critics: NormalisedMLP, config: Resolved, state: State, pairs: Float[Array, "two_batches pair"]
) -> tuple[Float[Array, "critic batch atom"], Float[Array, "critic batch atom"], Statistics]:
    """Return the critics' outputs for (s, a), the targets' for (s', a'), and the next running statistics."""
    normalise, s = training(config, state.updates, config.momentum), state.statistics
    bootstrap, before = (state.params.critics, s.critics) if state.targets is None else (state.targets, s.targets)
    if not config.joint_batch:
        pairs, next_pairs = jnp.split(pairs, 2)
        now, running = in_ensemble(critics, s.critics, pairs, normalise)
        following, _ = in_ensemble(bootstrap, before, next_pairs, in_evaluation(config.normalisation))
        return now, following, replace(s, critics=running, targets=polyak_update(before, running, config.target_rate))
    outputs, running = in_ensemble(critics, s.critics, pairs, normalise)
    now, following = jnp.split(outputs, 2, axis=1)
    after = s.targets
    if state.targets is not None:
        outputs, after = in_ensemble(bootstrap, before, pairs, normalise)
        following = jnp.split(outputs, 2, axis=1)[1]
    return now, following, replace(s, critics=running, targets=after)


def critic_loss(
    critics: NormalisedMLP,
    config: Resolved,
    state: State,
    batch: Transition,
    pairs: Float[Array, "two_batches pair"],
    bonus: Float[Array, " batch"],
) -> tuple[Scalar, tuple[Scalar, Statistics]]:
    """Return J_Q, the mean Q, and the next running statistics; `pairs` holds all (s, a), then all (s', a')."""
    now, following, after = both_outputs(critics, config, state, pairs)
    y = jax.lax.stop_gradient(td_target(config, following, batch, bonus))
    losses = 0.5 * (now - y) ** 2 if config.atoms == 1 else -y * jax.nn.log_softmax(now)
    return jnp.sum(losses) / len(bonus), (jnp.mean(mean_of(now, config.support)), after)


def policy_loss(
    network: NormalisedMLP, config: Resolved, state: State, obs: Float[Array, "batch obs"], key: PRNGKeyArray
) -> tuple[Scalar, tuple[Scalar, Running]]:
    """Return J_π, an estimate of the entropy H(π) = -E log π, and the policy's next running statistics."""
    p, s = state.params, state.statistics
    normalise = training(config, state.updates, config.momentum**config.policy_delay)
    actor, running = in_batch(network, s.policy, obs, normalise)
    action, log_pi = draw_each(actor, key)
    pairs = jnp.concatenate([obs, action], axis=1)
    outputs, _ = in_ensemble(p.critics, s.critics, pairs, in_evaluation(config.normalisation))
    q, entropy = jnp.min(mean_of(outputs, config.support), axis=0), -jnp.mean(log_pi)
    return -jnp.exp(p.log_alpha) * entropy - jnp.mean(q), (entropy, running)


def update_critics(
    config: Resolved, state: State, batch: Transition, rate: Scalar, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one gradient step on J_Q, and move the targets."""
    p = state.params
    actor, _ = in_batch(p.policy, state.statistics.policy, batch.next_obs, in_evaluation(config.normalisation))
    next_action, log_pi = draw_each(actor, key)
    pairs = jnp.block([[batch.obs, batch.action], [batch.next_obs, next_action]])
    gradient = jax.value_and_grad(critic_loss, has_aux=True)
    (j_q, (q, statistics)), g = gradient(p.critics, config, state, batch, pairs, -jnp.exp(p.log_alpha) * log_pi)
    critics, opt = adam_step(rate, p.critics, g, state.opt_state.critics)
    critics = constrained(config, critics)
    state = replace(
        state,
        params=replace(p, critics=critics),
        targets=None if state.targets is None else polyak_update(state.targets, critics, config.target_rate),
        statistics=statistics,
        opt_state=replace(state.opt_state, critics=opt),
    )
    return state, {"critic_loss": j_q, "q": q, "entropy": -jnp.mean(log_pi)}


def update_policy_and_temperature(
    config: Resolved, state: State, obs: Float[Array, "batch obs"], rate: Scalar, key: PRNGKeyArray
) -> tuple[NormalisedMLP, Running, Scalar, optax.OptState, optax.OptState]:
    """Take one gradient step on J_π and J_α. Return the policy, its statistics, log α, and their optimisers' states."""
    p, opt = state.params, state.opt_state
    g, (entropy, running) = jax.grad(policy_loss, has_aux=True)(p.policy, config, state, obs, key)
    actor, policy_opt = adam_step(rate, p.policy, g, opt.policy)
    actor = constrained(config, actor)
    if not isinstance(config.temperature, str):
        return actor, running, p.log_alpha, policy_opt, opt.log_alpha
    g_alpha = jax.grad(lambda log_alpha: jnp.exp(log_alpha) * (entropy - config.target_entropy))(p.log_alpha)  # J_α
    log_alpha, alpha_opt = adam_step(rate, p.log_alpha, g_alpha, opt.log_alpha)
    return actor, running, log_alpha, policy_opt, alpha_opt


def update(
    config: Resolved, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one gradient step on J_Q; then, when due, on J_π, with the new critics, and on J_α."""
    critics_key, policy_key = jr.split(key)
    rate = Anneal(start=config.learning_rate, end=config.final_learning_rate, fraction=1.0)(progress)
    state, info = update_critics(config, state, batch, rate, critics_key)
    p, opt = state.params, state.opt_state

    unchanged = (p.policy, state.statistics.policy, p.log_alpha, opt.policy, opt.log_alpha)
    improve = partial(update_policy_and_temperature, config, state, batch.obs, rate, policy_key)
    turn = state.updates % config.policy_delay == 0
    after = improve() if config.policy_delay == 1 else jax.lax.cond(turn, improve, lambda: unchanged)
    actor, running, log_alpha, policy_opt, alpha_opt = after
    state = State(
        params=Params(policy=actor, critics=p.critics, log_alpha=log_alpha),
        targets=state.targets,
        statistics=replace(state.statistics, policy=running),
        opt_state=OptState(policy=policy_opt, critics=opt.critics, log_alpha=alpha_opt),
        updates=state.updates + 1,
    )
    return state, info | {"temperature": jnp.exp(p.log_alpha), "learning_rate": rate}
