"""REINFORCE (Williams 1992, doi:10.1007/BF00992696), its soft version, and the actor-critic it becomes.

After every rollout of T steps of each of N environments, one step of gradient ascent along

    ∇J ≈ 1/(T N) Σ_t ∇log π(a_t|s_t) (G_t - b_t)     an action counts for later rewards only            (1)
    ∇J ≈ 1/(T N) Σ_t ∇log π(a_t|s_t) (R - b_t)       `causal` false: each action gets the whole return  (2)

with the reward to go G_t = Σ_{k≥t} γ^{k-t} r_k up to the episode's end, and R that of the episode's first step. The
baseline b is

- none;
- mean: the mean of G (or R) over the steps of the *other* environments, which does not change the gradient's mean;
- learned: V(s_t), fitted to λ-returns after each use. The weight is then the generalised advantage (Schulman et al.
  2016, equation 16): at λ = 1 equation 1 with V bootstrapped where the rollout or the time ran out, at λ = 0 the
  one-step actor-critic of Sutton and Barto, section 13.5.

**Three objectives** (`objective`), and the common practice, which has none:

- usual: scores are not weighted by γ^t, which for γ < 1 is the gradient of no objective (Nota and Thomas 2020,
  arXiv:1906.07073);
- episodic: E Σ r_t, the same with γ = 1;
- discounted: E Σ γ^t r_t. The score of the t-th step of an episode is weighted by γ^t; steps of an episode that may
  have begun before the rollout are ignored;
- average: ρ, the reward per step, by the learned baseline with γ = 1 and rewards r_t - ρ: V is then the differential
  value, and ρ a running mean over the rollouts (Sutton and Barto, section 13.6). After termination V is 0 here too:
  Σ (r_t - ρ) over an episode has mean 0, which is the value of a new episode. At λ < 1 the gradient is exact if V is,
  up to a constant; rollouts are treated as samples of the steps that the policy takes in the long run.

**Where a rollout stops in the middle of an episode** a learned V estimates the rest. Without one, the return of a step
whose episode has not ended is not known, and the step is ignored (its weight is 0; `used` reports the share of the
others). Equation 2 also ignores steps of an episode that may have begun before the rollout. Long episodes are ignored
more often, so a rollout without a learned baseline should hold several. Truncation then ends an episode like
termination: the limit is part of the task.

**Soft.** With a `temperature` α > 0 the rewards are r_t - α log π(a_t|s_t): the maximum-entropy objective. The
derivative of that log π adds a constant -α, which is a baseline and changes no mean.

**Histories.** With a `memory`, policy and learned baseline see a recurrent network's summary of the episode so far,
which has that many numbers, instead of s_t (a recurrent policy gradient as in Wierstra et al. 2010,
doi:10.1093/jigpal/jzp049). The summary covers the episode from its start, or the last `context` rollouts if that is
less, in learning and acting alike, and is always computed with the current parameters: equations 1 and 2 hold for it
exactly. In evaluation it covers the episode from its start.

Departs from the papers:
- the optimiser is Adam, with a learning rate that falls linearly.
"""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Scalar, ScalarLike

from entrax import fields
from entrax.agents.base import vectors_only
from entrax.errors import UsageError, require
from entrax.estimators import differential_advantage, gae, likelihood_ratio_objective, reward_to_go, soft_reward
from entrax.fields import DERIVED, UNIT_ABOVE_0, Settings, at_least, field, one_of, resolved
from entrax.policies.recurrent import (
    Policy,
    Value,
    create_recurrent_policy,
    create_recurrent_value,
    seen,
    seen_next,
)
from entrax.policies.schedule import Anneal
from entrax.policies.stochastic import create_policy, create_value
from entrax.replay import Rollout, shared_by_envs
from entrax.spec import Progress, Spec, Transition

BASELINES = ("none", "mean", "learned")
OBJECTIVES = ("usual", "episodic", "discounted", "average")


class Config(Settings):
    """Hyperparameters. The papers give none; these are ours, for short runs."""

    learning_rate: float = fields.learning_rate(1e-2, "of the policy at the start")
    final_learning_rate: float = fields.final_learning_rate(0.0, "of the policy at the end of the run")
    value_learning_rate: float = fields.learning_rate(1e-2, "of the learned baseline")
    discount: float | None = fields.discount(None, derived="0.99; 1 where the objective has none")
    gae_lambda: float = fields.gae_lambda(0.95)
    temperature: float = field(0.0, "Weight of the entropy in the objective.", at_least(0), symbol="α")
    average_rate: float = field(
        0.1, "Least weight of a new rollout in the running mean of the reward.", UNIT_ABOVE_0
    )  # 1/k for the k-th rollout as long as that is more
    initial_log_std: float = fields.initial_log_std(0.0)
    objective: str = field("usual", "What is maximised.", one_of(*OBJECTIVES), static=True)
    baseline: str = field("learned", "What is subtracted from the returns.", one_of(*BASELINES), static=True)
    causal: bool = field(True, "Let an action's score count only the rewards after it.", static=True)
    value_steps: int = field(10, "Gradient steps of the learned baseline on each rollout.", at_least(1), static=True)
    rollout_steps: int = fields.rollout_steps(256)
    hidden: tuple[int, ...] = fields.hidden((64, 64))
    memory: int = field(
        0,
        "Numbers that the policy remembers of an episode; 0 is a policy of the observation.",
        at_least(0),
        static=True,
    )
    context: int = field(1, "Earlier rollouts that a policy with memory looks back on.", at_least(0), static=True)
    joint_limit: int = fields.joint_limit(64)


class Resolved(Config):
    """`Config` with its derived settings."""

    discount: float = DERIVED


class Params(eqx.Module):
    policy: Policy
    value: Value | None  # of the learned baseline


class OptState(eqx.Module):
    policy: optax.OptState
    value: optax.OptState


class State(eqx.Module):
    params: Params
    opt_state: OptState
    average_reward: Scalar | None  # ρ, of that objective


class Weights(NamedTuple):
    """The factor of each step's score [time, env], and the target of V."""

    weight: Float[Array, "time env"]
    used: Bool[Array, "time env"]
    target: Float[Array, "time env"]


def resolve(config: Config, spec: Spec) -> Resolved:
    """Fill the discount. Raises UsageError for settings that contradict each other."""
    vectors_only(spec, "reinforce")
    undiscounted = config.objective in ("episodic", "average")
    discount = config.discount
    if discount is None:
        discount = 1.0 if undiscounted else 0.99
    require(discount == 1 or not undiscounted, "discount", f"1 for the {config.objective} objective", discount)
    if config.objective == "average" and config.baseline != "learned":
        raise UsageError(f"The average reward's baseline is learned, the differential value, not {config.baseline!r}.")
    require(config.context == 1 or config.memory > 0, "context", "left alone without a `memory`", config.context)
    if config.baseline == "learned" and not config.causal:
        raise UsageError("A learned baseline stands for what follows a state: without causality take 'mean' or 'none'.")
    return resolved(Resolved, config, discount=discount)


def init(config: Resolved, spec: Spec, key: PRNGKeyArray) -> State:
    policy_key, value_key = jr.split(key)
    hidden, size, log_std = config.hidden, config.memory, jnp.asarray(config.initial_log_std)
    value: Value | None = None
    if size:
        policy: Policy = create_recurrent_policy(
            spec, "reinforce", size, hidden, config.joint_limit, log_std, policy_key
        )
    else:
        policy = create_policy(spec, "reinforce", hidden, config.joint_limit, log_std, policy_key)
    if config.baseline == "learned":
        value = create_recurrent_value(spec, size, hidden, value_key) if size else create_value(spec, hidden, value_key)
    params = Params(policy=policy, value=value)
    adam = optax.adam(config.learning_rate)
    opt_state = OptState(policy=adam.init(params.policy), value=adam.init(params.value))
    average = jnp.zeros(()) if config.objective == "average" else None
    return State(params=params, opt_state=opt_state, average_reward=average)


def policy(config: Resolved, state: State) -> Policy:
    return state.params.policy


def data(config: Resolved) -> Rollout:
    least_envs = 2 if config.baseline == "mean" else 1
    return Rollout(steps=config.rollout_steps, least_envs=least_envs, context=config.context if config.memory else None)


def loop_defaults(config: Resolved, spec: Spec) -> dict[str, int | bool]:
    """Take several environments if V estimates the rest of an episode; else the fewest, for whole episodes."""
    bootstraps = config.baseline == "learned" and config.memory == 0
    return {"envs": shared_by_envs(config.rollout_steps) if bootstraps else data(config).least_envs}


def returns(
    causal: bool, discount: Scalar, reward: Float[Array, " time"], ended: Bool[Array, " time"]
) -> tuple[Float[Array, " time"], Bool[Array, " time"]]:
    """Return G_t of equation 1 or R of equation 2 in one environment, and which are known."""
    to_go = reward_to_go(reward, discount, ended)
    ends = jnp.flip(jnp.cumsum(jnp.flip(ended))) > 0  # the episode ends inside the rollout
    if causal:
        return to_go, ends
    start, begins = beginnings(ended)
    return to_go[start], ends & begins


def beginnings(ended: Bool[Array, " time"]) -> tuple[Int[Array, " time"], Bool[Array, " time"]]:
    """Return where the episode of each step began in one environment, and whether the rollout shows that."""
    first = jnp.append(False, ended[:-1])
    return jax.lax.cummax(jnp.where(first, jnp.arange(len(ended)), 0)), jnp.cumsum(first) > 0


def from_the_start(discount: Scalar, w: Weights, ended: Bool[Array, "time env"]) -> Weights:
    """Multiply weights by γ^t, for the t-th step of an episode; ignore steps with an unknown t."""
    start, begins = jax.vmap(beginnings, 1, 1)(ended)
    power = jnp.asarray(discount) ** (jnp.arange(len(ended))[:, None] - start)
    return w._replace(weight=power * w.weight, used=w.used & begins)


def mean_of_others(g: Float[Array, "time env"], used: Bool[Array, "time env"]) -> Float[Array, " env"]:
    """Return, for each environment, the mean over the used steps of the others; 0 if there are none."""
    total, count = jnp.sum(jnp.where(used, g, 0.0), axis=0), jnp.sum(used, axis=0)
    return (jnp.sum(total) - total) / jnp.maximum(jnp.sum(count) - count, 1)


def own_steps(config: Resolved, batch: Transition) -> Transition:
    """Return the steps to learn from: a batch [time, env, ...] without its context."""
    times = len(batch.reward) // (1 + (data(config).context or 0))
    return jax.tree.map(lambda rows: rows[-times:], batch)


def log_probs(policy: Policy, batch: Transition, rollout: Transition) -> Float[Array, "time env"]:
    """Return log π of the actions of a rollout, the last part of the batch."""
    each = jax.vmap(jax.vmap(policy.log_prob))
    return each(seen(policy, batch, len(rollout.reward)), rollout.action)


def soft_rewards(config: Resolved, policy: Policy, batch: Transition, rollout: Transition) -> Float[Array, "time env"]:
    """Return r - α log π of the steps of a rollout, the last part of the batch."""
    log_prob = log_probs(policy, batch, rollout)
    return jax.vmap(soft_reward, (0, 0, None))(rollout.reward, log_prob, config.temperature)


def running_mean(config: Resolved, average: Scalar, reward: Float[Array, "time env"], progress: Progress) -> Scalar:
    """Return ρ after one more rollout."""
    rate = jnp.maximum(config.average_rate, reward.size / jnp.maximum(progress.step, reward.size))
    return jnp.asarray(average + rate * (jnp.mean(reward) - average))


def weights(config: Resolved, params: Params, batch: Transition, average: ScalarLike | None = None) -> Weights:
    """Return the weight of each score in the last rollout of a batch [time, env, ...]; `average` is ρ, or None."""
    rollout = own_steps(config, batch)
    ended = jnp.asarray(rollout.terminated | rollout.truncated)
    reward = soft_rewards(config, params.policy, batch, rollout)
    if params.value is not None:
        each, here = jax.vmap(jax.vmap(params.value)), seen(params.value, batch, len(rollout.reward))
        v, v_next = each(here)[..., 0], each(seen_next(params.value, here, rollout.next_obs))[..., 0]
        estimate = partial(gae, discount=config.discount)
        if average is not None:
            estimate = partial(differential_advantage, average_reward=average)
        along_time = jax.vmap(partial(estimate, trace=config.gae_lambda), 1, 1)
        advantage = along_time(reward, v, v_next, rollout.terminated, rollout.truncated)
        w = Weights(weight=advantage, used=jnp.ones(v.shape, bool), target=advantage + v)
    else:
        of_each = jax.vmap(partial(returns, config.causal, jnp.asarray(config.discount)), 1, 1)
        g, used = of_each(reward, ended)
        baseline = mean_of_others(g, used) if config.baseline == "mean" else 0.0
        w = Weights(weight=g - baseline, used=used, target=g)
    if config.objective == "discounted" and config.causal:  # R of equation 2 is discounted from the start already
        return from_the_start(jnp.asarray(config.discount), w, ended)
    return w


def policy_loss(policy: Policy, config: Resolved, batch: Transition, w: Weights) -> Scalar:
    """Return a number whose negative gradient is equation 1 or 2; its value has no meaning."""
    log_prob = log_probs(policy, batch, own_steps(config, batch))
    return -likelihood_ratio_objective(log_prob.ravel(), w.weight.ravel(), w.used.ravel()) / w.used.size


def value_loss(value: Value, batch: Transition, target: Float[Array, "time env"]) -> Scalar:
    """Return ½ E (V(s) - G^λ)²."""
    return 0.5 * jnp.mean((jax.vmap(jax.vmap(value))(seen(value, batch, len(target)))[..., 0] - target) ** 2)


def fit_value(
    config: Resolved, value: Value, opt_state: optax.OptState, batch: Transition, target: Float[Array, "time env"]
) -> tuple[Value, optax.OptState, Scalar]:
    """Fit V to one rollout. Return V, its optimiser's state, and the loss before."""

    def one(carry: tuple[Value, optax.OptState], _: None) -> tuple[tuple[Value, optax.OptState], Scalar]:
        value, opt_state = carry
        loss, gradient = jax.value_and_grad(value_loss)(value, batch, target)
        step, opt_state = optax.adam(config.value_learning_rate).update(gradient, opt_state)
        return (optax.apply_updates(value, step), opt_state), loss

    (value, opt_state), losses = jax.lax.scan(one, (value, opt_state), length=config.value_steps)
    return value, opt_state, losses[0]


def update(
    config: Resolved, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one step of the policy from a rollout [time, env, ...] and its context; then fit V. `key` is not used."""
    p, opt, average = state.params, state.opt_state, state.average_reward
    if average is not None:
        average = running_mean(
            config, average, soft_rewards(config, p.policy, batch, own_steps(config, batch)), progress
        )
    w = weights(config, p, batch, average)
    began = progress._replace(step=progress.step - w.used.size)
    rate = Anneal(start=config.learning_rate, end=config.final_learning_rate, fraction=1.0)(began)
    gradient = jax.grad(policy_loss)(p.policy, config, batch, w)
    step, policy_opt = optax.adam(rate).update(gradient, opt.policy)
    info = {
        "entropy": jnp.mean(jax.vmap(jax.vmap(p.policy.entropy))(seen(p.policy, batch, len(w.used)))),
        "used": jnp.mean(w.used),
        "gradient_norm": optax.tree.norm(gradient),
        "learning_rate": rate,
    }
    if average is not None:
        info["average_reward"] = average
    value, value_opt = p.value, opt.value
    if value is not None:
        value, value_opt, info["value_loss"] = fit_value(config, value, opt.value, batch, w.target)
    params = Params(policy=optax.apply_updates(p.policy, step), value=value)
    opt_state = OptState(policy=policy_opt, value=value_opt)
    return State(params=params, opt_state=opt_state, average_reward=average), info
