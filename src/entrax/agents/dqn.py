"""Deep Q-learning, hard and soft (Mnih et al. 2015; Haarnoja et al. 2017, arXiv:1702.08165, for discrete actions).

One network estimates Q. With a temperature α > 0 it is the Q of the soft optimum, and actions are drawn from the
Boltzmann policy; with α = 0 it is that of the ordinary optimum, and actions are ε-greedy. The equations are the same:

    V(s) = α log Σ_a exp(Q̄(s, a)/α)          max_a Q̄(s, a) at α = 0              (1)
    y    = r + γ (1 - terminated) V(s')                                            (2)
    J    = ½ E (Q(s, a) - y)²                                                      (3)
    π(a|s) = (1 - ε) exp((Q(s, a) - V(s))/α) + ε / |A|                             (4)
    Q̄    ← Q̄ + τ (Q - Q̄) at every k-th update                                    targets

Double Q-learning (van Hasselt et al. 2016) selects actions by Q and evaluates them by Q̄: with π of equation 4 at ε = 0,

    V(s) = Σ_a π(a|s) Q̄(s, a) + α H(π(·|s))   Q̄(s, argmax_a Q(s, a)) at α = 0    (5)

replaces (1). α and ε may each be annealed linearly over the first part of the run.

With a prior policy π₀, which requires α > 0, its probabilities weight the sums of (1) and (4), and -KL(π ‖ π₀) replaces
H(π).

Departs from the papers:
- the errors are not clipped, Adam replaces RMSProp, and the targets move slowly (τ < 1, k = 1) as in later algorithms;
  `target_rate 1` with a `target_period` copies them at once, as published;
- the learning rate falls linearly: with a constant one the greedy policy keeps changing to the end;
- actions that tie at α = 0 share probability, also in (5);
- images are shifted at random by up to `augment` pixels (Kostrikov et al. 2020, arXiv:2004.13649), none by default;
- MultiDiscrete actions are allowed (`entrax.policies.choices`);
- with `dueling` the network has two streams (Wang et al. 2016);
- with `n_step` n > 1 the target sums n steps, or fewer where the episode ends, before it bootstraps:

    y_n  = Σ_{i<n} γ^i r_i + γ α H(π(·|s_1)) + … + γ^{n-1} α H(π(·|s_{n-1})) + γ^n V(s_n)              (6)

  The entropy of the states between counts, as in V. The actions between are those of replay, without correction for the
  current policy (Hessel et al. 2018). If α is 0 throughout, only s_0 and s_n are drawn: n steps cost the same as one.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray, Scalar

from entrax import fields
from entrax.errors import require
from entrax.estimators import n_step_return
from entrax.fields import DERIVED, UNIT, Settings, at_least, field, resolved
from entrax.nets import ActionValues, DuelingQ, Encoded, on_observations, polyak_update
from entrax.policies.base import Memoryless
from entrax.policies.choices import Choices, choices_of
from entrax.policies.composed import TablePart
from entrax.policies.controller import FINISHED, Scaling
from entrax.policies.images import augmented, check_augment
from entrax.policies.masks import Masked, masked, uniform
from entrax.policies.reference import check_prior, probabilities
from entrax.policies.schedule import Anneal
from entrax.replay import Sequences, Uniform
from entrax.soft import soft_bellman_backup
from entrax.spec import Progress, Spec, Transition

Network = ActionValues | DuelingQ | Encoded | Masked


class Config(Settings):
    """Hyperparameters. `resolve` fills what depends on the temperature."""

    learning_rate: float = fields.learning_rate(2e-3, "at the start")
    final_learning_rate: float | None = fields.final_learning_rate(
        None, "at the end of the run", derived="a tenth of the first"
    )
    discount: float = fields.discount(0.99)
    temperature: float = field(
        0.0, "Weight of the entropy at the start; 0 is hard Q-learning.", at_least(0), symbol="α"
    )
    final_temperature: float | None = field(
        None, "Temperature after annealing.", at_least(0), derived="the temperature: no annealing"
    )
    exploration: float | None = field(
        None, "Probability of a random action at the start.", UNIT, symbol="ε", derived="1 at temperature 0, else 0"
    )
    final_exploration: float | None = field(
        None, "Probability of a random action after annealing.", UNIT, derived="0.05 at final temperature 0, else 0"
    )
    anneal_fraction: float = field(0.2, "Part of the run in which temperature and exploration change.", UNIT)
    target_rate: float = fields.target_rate(0.005)
    target_period: int = field(
        1, "Updates between two updates of the target network.", at_least(1), symbol="k", static=True
    )
    double: bool | None = field(
        None, "Let the network choose and the target network judge.", derived="at temperature 0 only", static=True
    )
    dueling: bool = field(False, "Give the network two streams, of value and advantage.", static=True)
    n_step: int = field(
        1, "Rewards summed before the value of the state after them is added.", at_least(1), symbol="n", static=True
    )
    batch_size: int = fields.batch_size(64)
    replay_size: int = fields.replay_size(1_000_000)
    hidden: tuple[int, ...] = fields.hidden((128, 128))
    joint_limit: int = fields.joint_limit(64)
    augment: int = fields.augment(0)


class Resolved(Config):
    """`Config` with its derived settings."""

    final_learning_rate: float = DERIVED
    final_temperature: float = DERIVED
    exploration: float = DERIVED
    final_exploration: float = DERIVED
    double: bool = DERIVED


class Params(eqx.Module):
    critic: Network


class State(eqx.Module):
    params: Params
    targets: Network
    opt_state: optax.OptState
    updates: Int[Array, ""]
    choices: Choices = eqx.field(static=True)
    prior: Any = None  # π₀, a Prior that no update changes


class ValuePolicy(Memoryless):
    """π of equation 4: Boltzmann in Q, and with probability ε any action. Satisfies `Policy` and `Prior`."""

    critic: Network
    temperature: Anneal
    exploration: Anneal
    choices: Choices = eqx.field(static=True)
    prior: Any = None

    def __call__(self, obs: Num[Array, " obs"], progress: Progress) -> Float[Array, "choice option"]:
        epsilon = self.exploration(progress)
        q, pi_0 = self.critic(obs), probabilities(self.prior, obs)
        boltzmann = self.choices.policy(q, self.temperature(progress), pi_0)
        return (1.0 - epsilon) * boltzmann + epsilon * uniform(self.critic, self.choices, obs)

    def sample(
        self, obs: Num[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Int[Array, " action"], dict[str, Scalar]]:
        action, log_prob = self.choices.draw(self(obs, progress), key)
        return action, {"log_prob": log_prob}

    def mode(self, obs: Num[Array, " obs"]) -> Int[Array, " action"]:
        q = self.critic(obs)
        if self.prior is None:
            return self.choices.best(q)
        return self.choices.best(self.choices.policy(q, self.temperature.end, self.prior.probabilities(obs)))

    def probabilities(self, obs: Num[Array, " obs"]) -> Float[Array, "choice option"]:
        """π(·|s) at the end of the schedules."""
        return self(obs, FINISHED)


def resolve(config: Config, spec: Spec) -> Resolved:
    """Fill what depends on the temperature. Raises UsageError for an environment that the agent does not take."""
    choices_of(spec, "dqn", config.joint_limit)
    check_augment(config.augment, spec)
    final_rate = 0.1 * config.learning_rate if config.final_learning_rate is None else config.final_learning_rate
    final = config.temperature if config.final_temperature is None else config.final_temperature
    epsilon = float(config.temperature == 0) if config.exploration is None else config.exploration
    final_epsilon = 0.05 * (final == 0) if config.final_exploration is None else config.final_exploration
    double = bool(config.temperature == 0) if config.double is None else config.double
    return resolved(
        Resolved,
        config,
        final_learning_rate=final_rate,
        final_temperature=final,
        exploration=epsilon,
        final_exploration=final_epsilon,
        double=double,
    )


def init(config: Resolved, spec: Spec, key: PRNGKeyArray) -> State:
    choices = choices_of(spec, "dqn", config.joint_limit)

    def create(size: int, key: PRNGKeyArray) -> Network:
        if config.dueling:
            return DuelingQ(size, choices.sizes, config.hidden, key)
        return ActionValues(size, choices.shape, config.hidden, key)

    critic: Network = masked(on_observations(spec, create, key), spec, choices)
    params = Params(critic=critic)
    return State(
        params=params,
        targets=critic,
        opt_state=optax.adam(config.learning_rate).init(params),
        updates=jnp.zeros((), jnp.int32),
        choices=choices,
    )


def with_prior(config: Resolved, state: State, prior: Any) -> State:
    """Return the state with π₀. Raises UsageError if π₀ would have no effect, or is over other actions."""
    least = min(float(config.temperature), float(config.final_temperature))
    require(least > 0, "temperature", "positive for a prior to count", least)
    return replace(state, prior=check_prior(prior, policy(config, state)))


def policy(config: Resolved, state: State) -> ValuePolicy:
    return ValuePolicy(
        critic=state.params.critic,
        temperature=alpha_schedule(config),
        exploration=exploration(config),
        choices=state.choices,
        prior=state.prior,
    )


def data(config: Resolved) -> Uniform | Sequences:
    if config.n_step > 1:
        hard = bool(config.temperature == 0) and bool(config.final_temperature == 0)
        return Sequences(batch_size=config.batch_size, length=config.n_step, capacity=config.replay_size, ends=hard)
    return Uniform(batch_size=config.batch_size, capacity=config.replay_size)


def learning_rate(config: Resolved) -> Anneal:
    """Return the learning rate along the run."""
    return Anneal(start=config.learning_rate, end=config.final_learning_rate, fraction=1.0)


def alpha_schedule(config: Resolved) -> Anneal:
    """Return α along the run."""
    return Anneal(start=config.temperature, end=config.final_temperature, fraction=config.anneal_fraction)


def exploration(config: Resolved) -> Anneal:
    """Return ε along the run."""
    return Anneal(start=config.exploration, end=config.final_exploration, fraction=config.anneal_fraction)


def temperature(config: Resolved, state: State | None, progress: Progress) -> Scalar:
    """Return α at a point of the run."""
    return alpha_schedule(config)(progress)


def continued(config: Resolved, progress: Progress, final_temperature: float | None) -> dict[str, float | None]:
    """Hold ε, and hold α or anneal it over the new run."""
    alpha, epsilon = float(alpha_schedule(config)(progress)), float(exploration(config)(progress))
    held: dict[str, float | None] = {"temperature": alpha, "final_temperature": final_temperature}
    held |= {"exploration": epsilon, "final_exploration": epsilon}
    return held if final_temperature is None else held | {"anneal_fraction": 1.0}


def soft_q(config: Resolved, state: State, scaling: Scaling) -> TablePart:
    """Return Q, for composing."""
    return TablePart(scaling=scaling, critics=state.params.critic, choices=state.choices)


def next_value(config: Resolved, state: State, alpha: Scalar, obs: Num[Array, " obs"]) -> Scalar:
    """Return V of equation 1 or 5."""
    choices, q_bar, pi_0 = state.choices, state.targets(obs), probabilities(state.prior, obs)
    if not config.double:
        return choices.soft_max(q_bar, alpha, pi_0)  # (1)
    return choices.soft_value(q_bar, choices.policy(state.params.critic(obs), alpha, pi_0), alpha, pi_0)  # (5)


def entropy(state: State, q: Float[Array, "choice option"], alpha: Scalar, obs: Num[Array, " obs"]) -> Scalar:
    """Return H(π(·|s)) at ε = 0, or -KL(π ‖ π₀)."""
    pi_0 = probabilities(state.prior, obs)
    return state.choices.entropy(state.choices.policy(q, alpha, pi_0), pi_0)


def td_target(config: Resolved, state: State, batch: Transition, alpha: Scalar) -> Float[Array, " batch"]:
    """Return y of equation 2 for each transition."""
    backup = jax.vmap(soft_bellman_backup, (0, None, 0, 0))
    v_next = jax.vmap(partial(next_value, config, state, alpha))(batch.next_obs)
    return backup(batch.reward, config.discount, v_next, batch.terminated)


def n_step_target(config: Resolved, state: State, window: Transition, alpha: Scalar) -> Scalar:
    """Return y_n of equation 6 for the first step of a window [time, ...]; at α = 0, `next_obs` may hold s_n alone."""
    ended = (jnp.asarray(window.terminated) | jnp.asarray(window.truncated)).at[-1].set(True)
    if len(window.next_obs) == 1:
        reward, end = window.reward, window.next_obs[0]
    else:
        follows = jax.vmap(lambda obs: entropy(state, state.params.critic(obs), alpha, obs))(window.next_obs)
        reward = window.reward + jnp.where(ended, 0.0, config.discount * alpha * follows)
        end = window.next_obs[jnp.argmax(ended)]
    v_next = jnp.full_like(reward, next_value(config, state, alpha, end))
    return n_step_return(reward, v_next, window.terminated, window.truncated, config.discount, config.n_step)[0]


def critic_loss(
    params: Params, choices: Choices, batch: Transition, y: Float[Array, " batch"]
) -> tuple[Scalar, tuple[Scalar, Float[Array, "batch choice option"]]]:
    """Return J of equation 3, and the mean of Q(s, a) and Q(s, ·) of each transition."""
    q = jax.vmap(params.critic)(batch.obs)
    q_taken = jax.vmap(choices.q_of)(q, batch.action)
    return 0.5 * jnp.mean((q_taken - y) ** 2), (jnp.mean(q_taken), q)


def update(
    config: Resolved, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one gradient step on J, and update the targets when due. `key` is for the augmentation.

    `batch` holds transitions [batch, ...], or windows [batch, time, ...] of n steps.
    """
    alpha, choices = alpha_schedule(config)(progress), state.choices
    batch = augmented(batch, state.params.critic, config.augment, key)
    if config.n_step == 1:
        y = td_target(config, state, batch, alpha)
    else:
        y = jax.vmap(lambda window: n_step_target(config, state, window, alpha))(batch)
        batch = jax.tree.map(lambda x: x[:, 0], batch)
    gradient = jax.value_and_grad(critic_loss, has_aux=True)
    (loss, (q_taken, q)), g = gradient(state.params, choices, batch, y)
    step, opt_state = optax.adam(learning_rate(config)(progress)).update(g, state.opt_state)
    params, updates = optax.apply_updates(state.params, step), state.updates + 1

    rate = jnp.where(updates % config.target_period == 0, config.target_rate, 0.0)
    h = jnp.mean(jax.vmap(lambda q, obs: entropy(state, q, alpha, obs))(q, batch.obs))
    info = {
        "critic_loss": loss,
        "q": q_taken,
        **({"entropy": h} if state.prior is None else {"kl_to_prior": -h}),
        "temperature": alpha,
        "exploration": exploration(config)(progress),
    }
    targets = polyak_update(state.targets, params.critic, rate)
    return replace(state, params=params, targets=targets, opt_state=opt_state, updates=updates), info
