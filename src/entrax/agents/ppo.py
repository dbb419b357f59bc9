"""Proximal policy optimisation with a clipped surrogate (Schulman et al. 2017, arXiv:1707.06347).

A rollout of T steps of each of N environments is collected with π_old. Then, several times over, in minibatches:

    δ_t    = r_t + γ (1 - terminated) V(s_{t+1}) - V(s_t)                                      (12)
    Â_t    = Σ_{k≥t} (γλ)^{k-t} δ_k within the episode,   R̂_t = Â_t + V(s_t)                   (11)
    ρ_t    = π(a_t|s_t) / π_old(a_t|s_t)                                                       (6)
    L_clip = E min(ρ_t Â_t, clip(ρ_t, 1 - ε, 1 + ε) Â_t)                                       (7)
    L      = L_clip - c_1 ½ E (V(s_t) - R̂_t)² + c_2 E H(π(·|s_t)),  maximised                  (9)

Â, R̂ and π_old are computed once, before the first step. Truncation is no end: V of the true successor is bootstrapped,
also where the rollout stops.

**Two entropies.** The bonus c_2 H of (9) makes the policy random in each state, and does not look ahead. With a
`temperature` α > 0 the rewards become r_t - α log π_old(a_t|s_t): the maximum-entropy objective itself, in which
entropy later in an episode counts as well, and V is the soft value.

**With a prior policy** π₀ both are relative to it: rewards become r_t - α log(π_old(a_t|s_t)/π₀(a_t|s_t)), and the
bonus -c_2 E KL(π(·|s_t) ‖ π₀(·|s_t)), in closed form. A Gaussian's prior is a Gaussian.

Departs from the paper:
- advantages are normalised in each minibatch, gradients are clipped to a norm, Adam's ε is 1e-5, weights start
  orthogonal, and the learning rate falls linearly on every task, as in the authors' code (in the paper on Atari only);
- with continuous actions the training loop scales observations and rewards by their running deviation and clips both
  at 10, as in the authors' code; with discrete ones, or with a temperature, rewards keep their unit;
- ε is constant (in the paper it falls on Atari);
- policy and value share no layers, not even an image's encoder, so c_1 matters only through the common norm of their
  gradients;
- for discrete actions the defaults are ours, for short runs: the paper's are for millions of frames.
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Num, PRNGKeyArray, Scalar

from entrax import fields
from entrax.errors import require
from entrax.estimators import gae, soft_reward
from entrax.fields import DERIVED, POSITIVE, Settings, at_least, field, resolved
from entrax.nets import Encoded, TanhMLP
from entrax.policies.reference import check_prior, kl, log_probability
from entrax.policies.schedule import Anneal
from entrax.policies.stochastic import Stochastic, create_policy, create_value
from entrax.replay import Rollout, shared_by_envs
from entrax.spec import Continuous, Progress, Spec, Transition

BOX = {"learning_rate": 3e-4, "gae_lambda": 0.95, "epochs": 10, "batch_size": 64, "rollout_steps": 2048}  # table 3
DISCRETE = {"learning_rate": 1e-3, "gae_lambda": 0.95, "epochs": 10, "batch_size": 64, "rollout_steps": 512}  # ours


def _derived(name: str) -> str:
    """Return the derived default of a setting, in words."""
    box, discrete = BOX[name], DISCRETE[name]
    return f"{box}" if box == discrete else f"{box} for a Box, {discrete} for discrete actions"


class Config(Settings):
    """Hyperparameters. Derived defaults are those of table 3 for continuous actions, and ours for discrete ones."""

    learning_rate: float | None = fields.learning_rate(None, "at the start", derived=_derived("learning_rate"))
    final_learning_rate: float = fields.final_learning_rate(0.0, "at the end of the run")
    discount: float = fields.discount(0.99)
    gae_lambda: float | None = fields.gae_lambda(None, derived=_derived("gae_lambda"))
    clip: float = field(0.2, "Largest change of an action's probability ratio that is rewarded.", POSITIVE, symbol="ε")
    value_coefficient: float = field(1.0, "Weight of the value's loss.", at_least(0), symbol="c₁")
    entropy_coefficient: float = field(0.0, "Weight of an entropy bonus in the loss.", at_least(0), symbol="c₂")
    temperature: float = field(0.0, "Weight of the entropy in the maximum-entropy objective.", at_least(0), symbol="α")
    max_gradient_norm: float = field(
        0.5, "Largest norm of a gradient; longer ones are scaled.", POSITIVE
    )  # authors' code
    initial_log_std: float = fields.initial_log_std(0.0)
    epochs: int | None = field(None, "Passes over a rollout.", at_least(1), derived=_derived("epochs"), static=True)
    batch_size: int | None = field(
        None, "Number of steps in a minibatch.", at_least(1), derived=_derived("batch_size"), static=True
    )
    rollout_steps: int | None = fields.rollout_steps(None, derived=_derived("rollout_steps"))
    normalise_advantages: bool = field(True, "Normalise the advantages of a minibatch.", static=True)
    hidden: tuple[int, ...] = fields.hidden((64, 64))
    joint_limit: int = fields.joint_limit(64)


class Resolved(Config):
    """`Config` with its derived settings."""

    learning_rate: float = DERIVED
    gae_lambda: float = DERIVED
    epochs: int = DERIVED
    batch_size: int = DERIVED
    rollout_steps: int = DERIVED


class Params(eqx.Module):
    policy: Stochastic
    value: TanhMLP | Encoded


class State(eqx.Module):
    params: Params
    opt_state: optax.OptState
    prior: Any = None  # π₀, a Normal or a Prior that no update changes


class Examples(NamedTuple):
    """The inputs of the surrogate for each step of a rollout, [step, ...]."""

    obs: Num[Array, "step obs"]
    action: Num[Array, "step action"]
    log_prob: Float[Array, " step"]  # log π_old
    advantage: Float[Array, " step"]  # Â
    target: Float[Array, " step"]  # R̂


def resolve(config: Config, spec: Spec) -> Resolved:
    """Fill what depends on the kind of actions. Raises UsageError for settings that contradict each other."""
    defaults = BOX if isinstance(spec.action, Continuous) else DISCRETE
    filled = resolved(Resolved, config, **{k: v for k, v in defaults.items() if getattr(config, k) is None})
    least = 2 if config.normalise_advantages else 1
    require(filled.batch_size >= least, "batch_size", f"at least {least}", filled.batch_size)
    whole = filled.rollout_steps % filled.batch_size == 0
    require(whole, "rollout_steps", f"a multiple of `batch_size`, {filled.batch_size}", filled.rollout_steps)
    return filled


def init(config: Resolved, spec: Spec, key: PRNGKeyArray) -> State:
    policy_key, value_key = jr.split(key)
    log_std = jnp.asarray(config.initial_log_std)
    params = Params(
        policy=create_policy(spec, "ppo", config.hidden, config.joint_limit, log_std, policy_key),
        value=create_value(spec, config.hidden, value_key),
    )
    return State(params=params, opt_state=optimiser(config, jnp.zeros(())).init(params))


def with_prior(config: Resolved, state: State, prior: Any) -> State:
    """Return the state with π₀. Raises UsageError if π₀ would have no effect, or is over other actions."""
    weight = float(config.temperature) + float(config.entropy_coefficient)
    require(weight > 0, "temperature", "positive, or `entropy_coefficient`, for a prior to count", weight)
    return replace(state, prior=check_prior(prior, state.params.policy))


def policy(config: Resolved, state: State) -> Stochastic:
    return state.params.policy


def data(config: Resolved) -> Rollout:
    return Rollout(steps=config.rollout_steps)


def loop_defaults(config: Resolved, spec: Spec) -> dict[str, int | bool]:
    """Take eight environments. With continuous actions, observations and rewards are scaled as in the authors' code.

    With a temperature rewards keep their unit, which is the unit of the temperature.
    """
    continuous = isinstance(spec.action, Continuous)
    return {
        "envs": shared_by_envs(config.rollout_steps),
        "normalise_obs": continuous and spec.image is None,
        "normalise_rewards": continuous and float(config.temperature) == 0,
    }


def optimiser(config: Resolved, learning_rate: Scalar) -> optax.GradientTransformation:
    """Return Adam on gradients clipped to a norm."""
    return optax.chain(optax.clip_by_global_norm(config.max_gradient_norm), optax.adam(learning_rate, eps=1e-5))


def examples(config: Resolved, params: Params, rollout: Transition, prior: Any = None) -> Examples:
    """Return the steps of a rollout [time, env, ...] in one row, with equations 11 and 12."""
    each = jax.vmap(jax.vmap(params.value))
    log_prob = jax.vmap(jax.vmap(params.policy.log_prob))(rollout.obs, rollout.action)
    value, next_value = each(rollout.obs)[..., 0], each(rollout.next_obs)[..., 0]
    log_ratio = log_prob
    if prior is not None:
        log_ratio -= jax.vmap(jax.vmap(partial(log_probability, prior)))(rollout.obs, rollout.action)
    reward = jax.vmap(soft_reward, (0, 0, None))(rollout.reward, log_ratio, config.temperature)
    along_time = jax.vmap(partial(gae, discount=config.discount, trace=config.gae_lambda), 1, 1)
    advantage = along_time(reward, value, next_value, rollout.terminated, rollout.truncated)
    rows = Examples(
        obs=rollout.obs, action=rollout.action, log_prob=log_prob, advantage=advantage, target=advantage + value
    )
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)


def loss(params: Params, config: Resolved, batch: Examples, prior: Any = None) -> tuple[Scalar, dict[str, Scalar]]:
    """Return -L of equation 9."""
    log_ratio = jax.vmap(params.policy.log_prob)(batch.obs, batch.action) - batch.log_prob
    ratio, advantage = jnp.exp(log_ratio), batch.advantage
    if config.normalise_advantages:
        advantage = (advantage - jnp.mean(advantage)) / (jnp.std(advantage) + 1e-8)
    clipped = jnp.clip(ratio, 1.0 - config.clip, 1.0 + config.clip)
    l_clip = jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))  # (7)
    value_loss = 0.5 * jnp.mean((jax.vmap(params.value)(batch.obs)[:, 0] - batch.target) ** 2)
    entropy = jnp.mean(jax.vmap(params.policy.entropy)(batch.obs))
    info = {
        "policy_loss": -l_clip,
        "value_loss": value_loss,
        "entropy": entropy,
        "kl": jnp.mean(ratio - 1.0 - log_ratio),  # KL(π_old ‖ π), estimated without bias and never negative
        "clipped": jnp.mean(jnp.abs(ratio - 1.0) > config.clip),
    }
    if prior is not None:
        entropy = -jnp.mean(jax.vmap(partial(kl, params.policy, prior))(batch.obs))
        info["kl_to_prior"] = -entropy
    return -l_clip + config.value_coefficient * value_loss - config.entropy_coefficient * entropy, info


def update(
    config: Resolved, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Learn from one rollout [time, env, ...] for all epochs, with schedules as at its first step."""
    steps = batch.reward.size
    began = progress._replace(step=progress.step - steps)
    rate = Anneal(start=config.learning_rate, end=config.final_learning_rate, fraction=1.0)(began)
    rows, adam = examples(config, state.params, batch, state.prior), optimiser(config, rate)
    order = jax.vmap(lambda k: jr.permutation(k, steps))(jr.split(key, config.epochs)).reshape(-1, config.batch_size)

    def minibatch(state: State, chosen: Array) -> tuple[State, dict[str, Scalar]]:
        batch = jax.tree.map(lambda x: x[chosen], rows)
        gradient, info = jax.grad(loss, has_aux=True)(state.params, config, batch, state.prior)
        step, opt_state = adam.update(gradient, state.opt_state)
        return replace(state, params=optax.apply_updates(state.params, step), opt_state=opt_state), info

    state, info = jax.lax.scan(minibatch, state, order)
    return state, jax.tree.map(jnp.mean, info) | {"learning_rate": rate}
