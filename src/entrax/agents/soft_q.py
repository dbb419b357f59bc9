"""Soft Q-learning with a learned sampler (Haarnoja et al. 2017, arXiv:1702.08165).

Learns Q of the maximum-entropy optimum, whose policy is π(a|s) ∝ exp(Q(s, a)/α) for actions a in the unit box, many
peaks and all. A network f turns noise ξ into draws of it, a = tanh u with u = f(ξ; s), following the Stein direction:

    V(s) = α log E_{a'~q} [exp(min_i Q̄_i(s, a')/α) / q(a')]              (10)
    y    = r + γ (1 - terminated) V(s')
    J_Q  = ½ E Σ_i (Q_i(s, a) - y)²                                      (11)
    Δf_k = E_{j≠k} [κ(u_j, u_k) ∇_u log p(u_j) + ∇_{u_j} κ(u_j, u_k)]    (13), `entrax.estimators.stein`
           log p(u) = min_i Q_i(s, tanh u)/α + Σ log(1 - tanh² u) + constant
    ∇J_f = -E [1/K Σ_k Δf_k ∂f(ξ_k; s)/∂φ]                               (14)
    Q̄    ← Q̄ + τ (Q - Q̄)                                                targets

The kernel κ is Gaussian in u; its width is that of the median distance between the K particles, or `bandwidth`.

V of M samples is biased low, by about α var(w)/2M for weights w of mean 1, so that M grows with the actions' entries
(`benchmarks/soft_q_bias.py` measures what is left). They are drawn from the uniform law, or from
the sampler: q is then a mixture of Gaussians in u around M of its draws, as wide as Silverman's rule has it, and a
share of the uniform law, so that weights are bounded. That density is q's own, so that V errs by M alone, however f
folds or misses a part of the box.

Departs from the paper:
- particles are driven in u with the log-determinant of tanh in their density. Driven by Q + Σ log(1 - a²) in a itself,
  as in the authors' code, they become draws of exp(Q/α) Π(1 - a²), which is not the policy in the backup;
- two critics whose minimum counts, after Fujimoto et al. 2018; `critics 1` is the paper's;
- targets follow slowly in place of a copy now and then, and the proposal's density is a mixture's in place of that
  from the Jacobian of f, which holds for an invertible f only;
- actions and noise enter the networks at the last hidden layer, which makes many of them in one state cheap;
- the temperature is given as it is, in place of a scale of the rewards. As with that scale the critics hold Q/α, so
  that rewards c r at temperature c α are learned as r at α are; networks that hold Q itself have first to reach its
  size, far from which their actions and states hardly interact.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, PRNGKeyArray, Scalar, ScalarLike

from entrax.agents.base import continuous_size, vectors_only
from entrax.estimators import stein_direction
from entrax.fields import POSITIVE, UNIT, UNIT_ABOVE_0, Settings, as_arrays, at_least, field, one_of
from entrax.nets import polyak_update
from entrax.nets.distributions import log_det_tanh
from entrax.nets.late_action import SharedTrunkMLP, SharedTrunkQ
from entrax.replay import Uniform
from entrax.soft import soft_bellman_backup
from entrax.spec import Progress, Spec, Transition

P = TypeVar("P")
Critics = Callable[[Array, Array], Array]
"""Values [critic] of an observation and an action."""

PROPOSALS = ("sampler", "uniform")
LEAST_DRAWS = 16  # of the soft value, as in the authors' code
SMALLEST_SPREAD = 0.05  # of the proposal's Gaussians, in u: a sampler that has come together still has a density


class Config(Settings):
    """Hyperparameters; the defaults are those of soft actor-critic where the two share them."""

    learning_rate: float = field(3e-4, "Adam's learning rate of sampler and critics.", POSITIVE)
    discount: float = field(0.99, "Weight of a reward for every step that it lies ahead.", UNIT, symbol="γ")
    target_rate: float = field(
        0.005, "Step of the target networks towards the networks, at each update.", UNIT_ABOVE_0, symbol="τ"
    )
    temperature: float = field(1.0, "Weight of the entropy, in units of the reward.", POSITIVE, symbol="α")
    bandwidth: float | None = field(
        None, "Bandwidth of the kernel between actions.", POSITIVE, symbol="h", derived="median² / log(particles + 1)"
    )
    proposal: str = field(
        "sampler", "Distribution that the soft value is estimated with.", one_of(*PROPOSALS), symbol="q"
    )
    uniform_share: float = field(0.1, "Share of uniform actions in the sampler's proposal.", UNIT)
    particles: int = field(32, "Actions drawn in a state to train the sampler.", at_least(2), symbol="K", static=True)
    value_particles: int | None = field(
        None,
        "Actions drawn in a state to estimate its soft value.",
        at_least(2),
        symbol="M",
        derived="4 for each entry of an action, rounded up to a power of 2, at least 16",
        static=True,
    )
    critics: int = field(2, "Number of critics, of which the smallest value counts.", at_least(1), static=True)
    batch_size: int = field(256, "Number of transitions in an update.", at_least(1), static=True)
    replay_size: int = field(1_000_000, "Number of transitions kept; the oldest are dropped.", at_least(1), static=True)
    hidden: tuple[int, ...] = field(
        (256, 256, 64), "Widths of the hidden layers; actions and noise enter at the last.", static=True
    )


class Sampler(eqx.Module):
    """u = f(ξ; s), as many numbers as an action has, of as many standard normal ones."""

    network: SharedTrunkMLP
    size: int = eqx.field(static=True)

    def __init__(self, obs_size: int, action_size: int, hidden: tuple[int, ...], key: PRNGKeyArray):
        self.network, self.size = SharedTrunkMLP(obs_size, action_size, hidden, action_size, key), action_size

    def __call__(self, obs: Float[Array, " obs"], noise: Float[Array, " action"]) -> Float[Array, " action"]:
        return self.network(obs, noise)

    def draw(self, obs: Float[Array, " obs"], count: int, key: PRNGKeyArray) -> Float[Array, "draw action"]:
        """`count` independent draws of u in one state."""
        return jax.vmap(self, (None, 0))(obs, jr.normal(key, (count, self.size)))


class EnergyPolicy(eqx.Module):
    """Acts with the sampler's draws; the mode is the best of `particles` of them, always of the same noise.

    The sampler has no density to report. Satisfies the `Policy` protocol.
    """

    sampler: Sampler
    critics: SharedTrunkQ
    particles: int = eqx.field(static=True)

    def sample(
        self, obs: Float[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Float[Array, " action"], dict[str, Scalar]]:
        return jnp.tanh(self.sampler.draw(obs, 1, key)[0]), {}

    def mode(self, obs: Float[Array, " obs"]) -> Float[Array, " action"]:
        actions = jnp.tanh(self.sampler.draw(obs, self.particles, jr.key(0)))
        return actions[jnp.argmax(lowest_q(self.critics, obs, actions))]


class Params(eqx.Module):
    policy: Sampler
    critics: SharedTrunkQ  # of Q/α


class OptState(eqx.Module):
    policy: optax.OptState
    critics: optax.OptState


class State(eqx.Module):
    params: Params
    targets: SharedTrunkQ
    opt_state: OptState


def resolve(config: Config, spec: Spec) -> Config:
    """Fills the number of draws; raises EntraxError for an environment that this agent does not take."""
    vectors_only(spec, "soft-q")
    size = continuous_size(spec, "soft-q")
    if config.value_particles is None:
        config = replace(config, value_particles=max(LEAST_DRAWS, 2 ** math.ceil(math.log2(4 * size))))
    return as_arrays(config)


def init(config: Config, spec: Spec, key: PRNGKeyArray) -> State:
    policy_key, critics_key = jr.split(key)
    action_size = continuous_size(spec, "soft-q")
    params = Params(
        policy=Sampler(spec.obs_size, action_size, config.hidden, policy_key),
        critics=SharedTrunkQ(spec.obs_size, action_size, config.hidden, config.critics, critics_key),
    )
    adam = optax.adam(config.learning_rate)
    opt_state = OptState(policy=adam.init(params.policy), critics=adam.init(params.critics))
    return State(params=params, targets=params.critics, opt_state=opt_state)


def policy(config: Config, state: State) -> EnergyPolicy:
    return EnergyPolicy(sampler=state.params.policy, critics=state.params.critics, particles=config.particles)


def data(config: Config) -> Uniform:
    return Uniform(batch_size=config.batch_size, capacity=config.replay_size)


def lowest_q(
    critics: Critics, obs: Float[Array, " obs"], actions: Float[Array, "draw action"]
) -> Float[Array, " draw"]:
    """min_i Q_i(s, a) of many actions in one state."""
    return jnp.min(jax.vmap(critics, (None, 0))(obs, actions), axis=1)


def uniform_draws(z: Float[Array, "draw u"]) -> tuple[Float[Array, "draw u"], Scalar]:
    """u of actions from the uniform law of the unit box, made of standard normal numbers, and their log density."""
    inside = 1.0 - jnp.finfo(z.dtype).epsneg
    action = jnp.clip(jax.lax.erf(z / math.sqrt(2.0)), -inside, inside)
    return jnp.arctanh(action), jnp.asarray(-z.shape[1] * math.log(2.0))


def sampler_draws(
    config: Config, sampler: Sampler, obs: Float[Array, " obs"], z: Float[Array, "draw u"], key: PRNGKeyArray
) -> tuple[Float[Array, "draw u"], Float[Array, " draw"]]:
    """u of actions from the mixture around as many of the sampler's, one from each part, and their log density.

    One draw from each part of a mixture, weighted by the whole mixture's density, leaves the mean of weights unbiased.
    """
    centre_key, choice_key = jr.split(key)
    count, size = z.shape
    centres = sampler.draw(obs, count, centre_key)
    silverman = (4.0 / ((size + 2) * count)) ** (1.0 / (size + 4))
    spread = jnp.maximum(silverman * jnp.std(centres, axis=0), SMALLEST_SPREAD)
    evenly, log_uniform = uniform_draws(z)
    u = jnp.where(jr.bernoulli(choice_key, config.uniform_share, (count, 1)), evenly, centres + spread * z)

    apart = (u.T[:, :, None] - centres.T[:, None, :]) / spread[:, None, None]  # [u, draw, centre]
    log_normal = -0.5 * jnp.sum(apart**2, axis=0) - jnp.sum(jnp.log(spread)) - 0.5 * size * math.log(2.0 * math.pi)
    log_gaussians = jax.nn.logsumexp(log_normal, axis=1) - math.log(count) - jnp.sum(jax.vmap(log_det_tanh)(u), axis=1)
    share = jnp.asarray(config.uniform_share)
    return u, jnp.logaddexp(jnp.log(share) + log_uniform, jnp.log1p(-share) + log_gaussians)


def log_integral(
    q: Float[Array, " draw"], log_density: Float[Array, "*draw"], alpha: ScalarLike
) -> tuple[Scalar, Float[Array, " draw"]]:
    """V of equation 10 from draws of the proposal with their log density, and the draws' normalised weights."""
    log_weight = q / alpha - log_density
    return jnp.asarray(alpha * (jax.nn.logsumexp(log_weight) - math.log(len(q)))), jax.nn.softmax(log_weight)


def soft_value(
    config: Config, sampler: Sampler, critics: Critics, obs: Float[Array, " obs"], key: PRNGKeyArray
) -> tuple[Scalar, dict[str, Scalar]]:
    """V(s) of equation 10; with the policy's entropy, (V - E_π Q)/α, and how many draws the weights are worth."""
    normal_key, sampler_key = jr.split(key)
    assert config.value_particles is not None
    z = jr.normal(normal_key, (config.value_particles, sampler.size))
    if config.proposal == "uniform":
        u, log_density = uniform_draws(z)
    else:
        u, log_density = sampler_draws(config, sampler, obs, z, sampler_key)
    q = lowest_q(critics, obs, jnp.tanh(u))
    value, weights = log_integral(q, log_density, config.temperature)
    entropy = (value - jnp.sum(weights * q)) / config.temperature
    return value, {"entropy": entropy, "effective_draws": 1.0 / jnp.sum(weights**2)}


def td_target(
    config: Config, state: State, batch: Transition, key: PRNGKeyArray
) -> tuple[Float[Array, " batch"], dict[str, Float[Array, " batch"]]]:
    """y for every transition, and what `soft_value` reports of its successor."""
    keys = jr.split(key, len(batch.reward))
    value = partial(soft_value, config, state.params.policy, state.targets)
    v_next, info = jax.vmap(value)(batch.next_obs, keys)
    backup = jax.vmap(soft_bellman_backup, (0, None, 0, 0))
    return backup(batch.reward, config.discount, v_next, batch.terminated), info


def critic_loss(critics: SharedTrunkQ, batch: Transition, y: Float[Array, " batch"]) -> tuple[Scalar, Scalar]:
    """J_Q of equation 11, summed over the critics, and the mean Q."""
    q = jax.vmap(critics)(batch.obs, batch.action)  # [batch, critic]
    return 0.5 * jnp.mean(jnp.sum((q - y[:, None]) ** 2, axis=1)), jnp.mean(q)


def direction(
    config: Config, critics: Critics, obs: Float[Array, " obs"], particles: Float[Array, "particle u"]
) -> Float[Array, "particle u"]:
    """Δf of equation 13 for every particle in one state, the expectation taken over the others.

    A particle's own share would be a pull of the score alone, and make the draws too narrow by about 1/K.
    """

    def log_density(u: Float[Array, "particle u"]) -> Scalar:
        return jnp.sum(lowest_q(critics, obs, jnp.tanh(u)) / config.temperature) + jnp.sum(log_det_tanh(u.ravel()))

    scores, count = jax.grad(log_density)(particles), len(particles)
    return (count * stein_direction(particles, scores, config.bandwidth) - scores) / (count - 1)


def sampler_gradient(
    config: Config, sampler: Sampler, critics: Critics, obs: Float[Array, "batch obs"], key: PRNGKeyArray
) -> Sampler:
    """∇J_f of equation 14: the directions of the particles, pulled back to the parameters."""
    noise = jr.normal(key, (len(obs), config.particles, sampler.size))
    particles, pull_back = jax.vjp(lambda f: jax.vmap(jax.vmap(f, (None, 0)))(obs, noise), sampler)
    directions = jax.vmap(partial(direction, config, critics))(obs, particles)
    (gradient,) = pull_back(-directions / (len(obs) * config.particles))
    return gradient


def adam_step(config: Config, params: P, gradient: P, opt_state: optax.OptState) -> tuple[P, optax.OptState]:
    step, opt_state = optax.adam(config.learning_rate).update(gradient, opt_state)
    return optax.apply_updates(params, step), opt_state


def update(
    config: Config, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """One gradient step on J_Q and one of the sampler, both from the same parameters; then the targets follow.

    All of it in units of the temperature, in which α is 1; `info` is in those of the reward.
    """
    value_key, particle_key = jr.split(key)
    alpha = jnp.asarray(config.temperature)
    config = eqx.tree_at(lambda c: c.temperature, config, jnp.ones(()))
    batch = batch._replace(reward=batch.reward / alpha)
    p, opt = state.params, state.opt_state
    y, value_info = td_target(config, state, batch, value_key)
    (j_q, q), g_critics = jax.value_and_grad(critic_loss, has_aux=True)(p.critics, batch, y)
    critics, critics_opt = adam_step(config, p.critics, g_critics, opt.critics)
    g_policy = sampler_gradient(config, p.policy, p.critics, batch.obs, particle_key)
    policy, policy_opt = adam_step(config, p.policy, g_policy, opt.policy)

    info = {"critic_loss": alpha**2 * j_q, "q": alpha * q, "temperature": alpha}
    state = State(
        params=Params(policy=policy, critics=critics),
        targets=polyak_update(state.targets, critics, config.target_rate),
        opt_state=OptState(policy=policy_opt, critics=critics_opt),
    )
    return state, info | jax.tree.map(jnp.mean, value_info)
