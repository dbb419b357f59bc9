"""Soft Q-learning with a learned sampler (Haarnoja et al. 2017, arXiv:1702.08165).

Learns Q of the maximum-entropy optimum, whose policy is π(a|s) ∝ exp(Q(s, a)/α) for actions a in the unit box, with
several peaks if need be. A network f turns noise ξ into samples of it, a = tanh u with u = f(ξ; s), along the Stein
direction:

    V(s) = α log E_{a'~q} [exp(min_i Q̄_i(s, a')/α) / q(a')]              (10)
    y    = r + γ (1 - terminated) V(s')
    J_Q  = ½ E Σ_i (Q_i(s, a) - y)²                                      (11)
    Δf_k = E_{j≠k} [κ(u_j, u_k) ∇_u log p(u_j) + ∇_{u_j} κ(u_j, u_k)]    (13), `entrax.estimators.stein`
           log p(u) = min_i Q_i(s, tanh u)/α + Σ log(1 - tanh² u) + constant
    ∇J_f = -E [1/K Σ_k Δf_k ∂f(ξ_k; s)/∂φ]                               (14)
    Q̄    ← Q̄ + τ (Q - Q̄)                                                targets

The kernel κ is Gaussian in u; its width is that of the median distance between the K particles, or `bandwidth`.

V of M samples is biased low, by about α var(w)/2M for weights w of mean 1, so M grows with the size of an action
(`benchmarks/soft_q_bias.py` measures the rest). The samples come from the uniform distribution, or from the sampler: q
is then a mixture of Gaussians in u around M of its draws, with the width of Silverman's rule, and a share of the
uniform distribution, which bounds the weights. The density is exactly q's, so V errs by M alone, even where f folds or
misses a part of the box.

Departs from the paper:
- particles move in u, with the log-determinant of tanh in their density. Moved by Q + Σ log(1 - a²) in a itself, as in
  the authors' code, they become samples of exp(Q/α) Π(1 - a²), which is not the policy in the backup;
- the minimum of two critics counts, after Fujimoto et al. 2018; `critics 1` is the paper's;
- targets move slowly instead of being copied now and then, and the proposal's density is that of the mixture, not that
  from the Jacobian of f, which requires an invertible f;
- actions and noise enter the networks at the last hidden layer, which makes many of them in one state cheap;
- the temperature is a setting, instead of a scale of the rewards. As with such a scale, the critics hold Q/α, so that
  rewards c r at temperature c α are learned like r at α. Networks of Q itself would first have to grow to its size;
- the temperature may change linearly to a final one. The unit of the critics stays the first temperature, so that what
  they have learned keeps its meaning along the schedule: they hold Q/α₀, and (10) and (13) are at temperature α/α₀.
"""

import math
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from entrax import fields
from entrax.agents.base import continuous_size, vectors_only
from entrax.errors import UsageError, require
from entrax.estimators import stein_direction
from entrax.fields import DERIVED, POSITIVE, UNIT, Settings, at_least, field, one_of, resolved
from entrax.nets import adam_step, polyak_update
from entrax.nets.distributions import log_det_tanh, log_integral, uniform_draws
from entrax.nets.late_action import SharedTrunkMLP, SharedTrunkQ
from entrax.policies.base import Memoryless
from entrax.policies.composed import EnergyPart
from entrax.policies.controller import Scaling
from entrax.policies.schedule import Anneal
from entrax.replay import Uniform
from entrax.soft import soft_bellman_backup
from entrax.spec import Progress, Spec, Transition

Critics = Callable[[Array, Array], Array]
"""Values [critic] of an observation and an action."""

PROPOSALS = ("sampler", "uniform")
LEAST_DRAWS = 16  # of the soft value, as in the authors' code
SMALLEST_SPREAD = 0.05  # of the proposal's Gaussians, in u: a collapsed sampler still has a density


class Config(Settings):
    """Hyperparameters; the defaults are those of soft actor-critic where the two share them."""

    learning_rate: float = fields.learning_rate(3e-4, "of sampler and critics")
    discount: float = fields.discount(0.99)
    target_rate: float = fields.target_rate(0.005)
    temperature: float = field(1.0, "Weight of the entropy, in units of the reward.", POSITIVE, symbol="α")
    final_temperature: float | None = field(
        None, "Temperature after annealing.", POSITIVE, derived="the temperature: no annealing"
    )
    anneal_fraction: float = field(0.2, "Part of the run in which the temperature changes.", UNIT)
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
    batch_size: int = fields.batch_size(256)
    replay_size: int = fields.replay_size(1_000_000)
    hidden: tuple[int, ...] = fields.hidden((256, 256, 64), note="; actions and noise enter at the last")


class Resolved(Config):
    """`Config` with its derived settings."""

    final_temperature: float = DERIVED
    value_particles: int = DERIVED


class Sampler(eqx.Module):
    """u = f(ξ; s), where u and the standard normal ξ have the size of an action."""

    network: SharedTrunkMLP
    size: int = eqx.field(static=True)

    def __init__(self, obs_size: int, action_size: int, hidden: tuple[int, ...], key: PRNGKeyArray):
        self.network, self.size = SharedTrunkMLP(obs_size, action_size, hidden, action_size, key), action_size

    def __call__(self, obs: Float[Array, " obs"], noise: Float[Array, " action"]) -> Float[Array, " action"]:
        return self.network(obs, noise)

    def draw(self, obs: Float[Array, " obs"], count: int, key: PRNGKeyArray) -> Float[Array, "draw action"]:
        """Return `count` independent draws of u in one state."""
        return jax.vmap(self, (None, 0))(obs, jr.normal(key, (count, self.size)))


class EnergyPolicy(Memoryless):
    """Acts with the sampler's draws; the mode is the best of `particles` of them, always of the same noise.

    The sampler has no density to report.
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
    critics: SharedTrunkQ  # of Q/α₀, with α₀ the temperature at the start of the run


class OptState(eqx.Module):
    policy: optax.OptState
    critics: optax.OptState


class State(eqx.Module):
    params: Params
    targets: SharedTrunkQ
    opt_state: OptState


def resolve(config: Config, spec: Spec) -> Resolved:
    """Fill final temperature and number of draws. Raises UsageError for an environment that the agent does not take."""
    vectors_only(spec, "soft-q")
    size = continuous_size(spec, "soft-q")
    draws = config.value_particles or max(LEAST_DRAWS, 2 ** math.ceil(math.log2(4 * size)))
    final = config.temperature if config.final_temperature is None else config.final_temperature
    return resolved(Resolved, config, final_temperature=final, value_particles=draws)


def init(config: Resolved, spec: Spec, key: PRNGKeyArray) -> State:
    policy_key, critics_key = jr.split(key)
    action_size = continuous_size(spec, "soft-q")
    params = Params(
        policy=Sampler(spec.obs_size, action_size, config.hidden, policy_key),
        critics=SharedTrunkQ(spec.obs_size, action_size, config.hidden, config.critics, critics_key),
    )
    adam = optax.adam(config.learning_rate)
    opt_state = OptState(policy=adam.init(params.policy), critics=adam.init(params.critics))
    return State(params=params, targets=params.critics, opt_state=opt_state)


def policy(config: Resolved, state: State) -> EnergyPolicy:
    return EnergyPolicy(sampler=state.params.policy, critics=state.params.critics, particles=config.particles)


def data(config: Resolved) -> Uniform:
    return Uniform(batch_size=config.batch_size, capacity=config.replay_size)


def relative_temperature(config: Resolved, progress: Progress) -> Scalar:
    """Return α/α₀ at a point of the run: the temperature in the critics' unit."""
    end = config.final_temperature / config.temperature
    return Anneal(start=1.0, end=end, fraction=config.anneal_fraction)(progress)


def temperature(config: Resolved, state: State | None, progress: Progress) -> Scalar:
    """Return α at a point of the run."""
    return jnp.asarray(config.temperature * relative_temperature(config, progress))


def continued(config: Resolved, progress: Progress, final_temperature: float | None) -> dict[str, float]:
    """Hold α, or anneal it over the new run; the critics keep their unit. Raises UsageError if α has left that unit."""
    unit, alpha = float(config.temperature), float(temperature(config, None, progress))
    if final_temperature is None:
        held = {"temperature": unit, "final_temperature": alpha, "anneal_fraction": 0.0}
        return {} if float(config.final_temperature) == unit else held
    require(alpha == unit, "temperature_start", f"'keep', since the temperature has left {unit:.6g}", "anneal")
    return {"temperature": unit, "final_temperature": final_temperature, "anneal_fraction": 1.0}


def transferred_paths(config: Resolved, source: Resolved, keep_temperature: bool) -> tuple[str, ...]:
    """Carry over all that is learned. Raises UsageError at another temperature: it is the critics' unit."""
    if float(config.temperature) != float(source.temperature):
        raise UsageError(
            "The critics of soft-q are in units of its temperature: `temperature` must be "
            f"{float(source.temperature):.6g}, got {float(config.temperature):.6g}."
        )
    return "params", "targets"


def soft_q(config: Resolved, state: State, scaling: Scaling) -> EnergyPart:
    """Return Q, for composing."""
    p = state.params
    return EnergyPart(scaling=scaling, temperature=config.temperature, critics=p.critics, sampler=p.policy)


def action_value(config: Resolved, state: State, obs: Float[Array, " obs"], action: Float[Array, " action"]) -> Scalar:
    """Return min_i Q_i(s, a), in units of the reward."""
    return config.temperature * lowest_q(state.params.critics, obs, action[None])[0]


def lowest_q(
    critics: Critics, obs: Float[Array, " obs"], actions: Float[Array, "draw action"]
) -> Float[Array, " draw"]:
    """Return min_i Q_i(s, a) of many actions in one state."""
    return jnp.min(jax.vmap(critics, (None, 0))(obs, actions), axis=1)


def sampler_draws(
    config: Resolved, sampler: Sampler, obs: Float[Array, " obs"], z: Float[Array, "draw u"], key: PRNGKeyArray
) -> tuple[Float[Array, "draw u"], Float[Array, " draw"]]:
    """Draw u once from each part of the mixture around draws of the sampler; return them and their log density.

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


def soft_value(
    config: Resolved, sampler: Sampler, critics: Critics, obs: Float[Array, " obs"], key: PRNGKeyArray
) -> tuple[Scalar, dict[str, Scalar]]:
    """Return V(s) of equation 10, the policy's entropy (V - E_π Q)/α, and the effective number of draws."""
    normal_key, sampler_key = jr.split(key)
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
    config: Resolved, state: State, batch: Transition, key: PRNGKeyArray
) -> tuple[Float[Array, " batch"], dict[str, Float[Array, " batch"]]]:
    """Return y for each transition, and the report of `soft_value` on its successor."""
    keys = jr.split(key, len(batch.reward))
    value = partial(soft_value, config, state.params.policy, state.targets)
    v_next, info = jax.vmap(value)(batch.next_obs, keys)
    backup = jax.vmap(soft_bellman_backup, (0, None, 0, 0))
    return backup(batch.reward, config.discount, v_next, batch.terminated), info


def critic_loss(critics: SharedTrunkQ, batch: Transition, y: Float[Array, " batch"]) -> tuple[Scalar, Scalar]:
    """Return J_Q of equation 11, summed over the critics, and the mean Q."""
    q = jax.vmap(critics)(batch.obs, batch.action)  # [batch, critic]
    return 0.5 * jnp.mean(jnp.sum((q - y[:, None]) ** 2, axis=1)), jnp.mean(q)


def direction(
    config: Resolved, critics: Critics, obs: Float[Array, " obs"], particles: Float[Array, "particle u"]
) -> Float[Array, "particle u"]:
    """Return Δf of equation 13 for each particle in one state, the expectation taken over the others.

    With the particle itself in the expectation, its score would count too much, and draws would be too narrow by 1/K.
    """

    def log_density(u: Float[Array, "particle u"]) -> Scalar:
        return jnp.sum(lowest_q(critics, obs, jnp.tanh(u)) / config.temperature) + jnp.sum(log_det_tanh(u.ravel()))

    scores, count = jax.grad(log_density)(particles), len(particles)
    return (count * stein_direction(particles, scores, config.bandwidth) - scores) / (count - 1)


def sampler_gradient(
    config: Resolved, sampler: Sampler, critics: Critics, obs: Float[Array, "batch obs"], key: PRNGKeyArray
) -> Sampler:
    """Return ∇J_f of equation 14: the particles' directions, pulled back to the parameters."""
    noise = jr.normal(key, (len(obs), config.particles, sampler.size))
    particles, pull_back = jax.vjp(lambda f: jax.vmap(jax.vmap(f, (None, 0)))(obs, noise), sampler)
    directions = jax.vmap(partial(direction, config, critics))(obs, particles)
    (gradient,) = pull_back(-directions / (len(obs) * config.particles))
    return gradient


def update(
    config: Resolved, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one gradient step on J_Q and one of the sampler, from the same parameters; then update the targets.

    Computed in units of the first temperature, in which α is 1 without annealing; `info` is in units of the reward.
    """
    value_key, particle_key = jr.split(key)
    unit, relative = jnp.asarray(config.temperature), relative_temperature(config, progress)
    config = eqx.tree_at(lambda c: c.temperature, config, relative)
    batch = batch._replace(reward=batch.reward / unit)
    p, opt = state.params, state.opt_state
    y, value_info = td_target(config, state, batch, value_key)
    (j_q, q), g_critics = jax.value_and_grad(critic_loss, has_aux=True)(p.critics, batch, y)
    critics, critics_opt = adam_step(config.learning_rate, p.critics, g_critics, opt.critics)
    g_policy = sampler_gradient(config, p.policy, p.critics, batch.obs, particle_key)
    policy, policy_opt = adam_step(config.learning_rate, p.policy, g_policy, opt.policy)

    info = {"critic_loss": unit**2 * j_q, "q": unit * q, "temperature": unit * relative}
    state = State(
        params=Params(policy=policy, critics=critics),
        targets=polyak_update(state.targets, critics, config.target_rate),
        opt_state=OptState(policy=policy_opt, critics=critics_opt),
    )
    return state, info | jax.tree.map(jnp.mean, value_info)
