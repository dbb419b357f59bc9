"""Soft actor-critic for discrete actions (Christodoulou 2019, arXiv:1910.07207).

The critics and the policy have an output for every action, so that expectations over actions are sums:

    Q̂    = ½ (Q_1 + Q_2) - κ ½ |Q_1 - Q_2|                     min_i Q_i at κ = 1
    V(s) = Σ_a π(a|s) Q̂(s, a) + α H(π(·|s)), Q̂ of the targets  (10)
    y    = r + γ (1 - terminated) V(s')
    J_Q  = ½ E Σ_i (Q_i(s, a) - y)²
    J_π  = -E [Σ_a π(a|s) Q̂(s, a) + α H(π(·|s))]               (12)
    J_α  = α E [H(π(·|s)) - H̄]                                  (11)
    Q̄    ← Q̄ + τ (Q - Q̄)                                       targets

Each loss is differentiated in its first argument only.

**The target entropy** H̄ decides how random the policy is. No fixed share of the largest entropy suits every number of
actions: 0.98 log|A| fails on Atari's 18, and with two actions even 0.89 log|A| is far from greedy. By default H̄
therefore means the same for every |A|: the entropy of a policy that takes one action with probability 1 - `slip`, and
any other otherwise, h(slip) + slip log(|A| - 1), summed over the choices of a MultiDiscrete. It is annealed from
`initial_entropy_share` of the largest entropy, as in Xu et al. 2021, arXiv:2112.02852.

Where the environment observes an action mask, few options may be allowed. The default H̄ is then that of two options,
from the start.

**With a prior policy** π₀ the network's softmax is weighted by it, π = π₀ exp(f)/Σ π₀ exp(f), and -KL(π(·|s) ‖ π₀)
replaces H(π(·|s)). The temperature is then fixed, or learned for H̄ = -`target_kl`, a mean divergence in nats.

Departs from the paper:
- κ = 1 is published, and κ = 0 the default: the smaller of two estimates is low for rarely tried actions, and with few
  actions and no other noise nothing corrects that (Zhou et al. 2022, arXiv:2209.10081, also average);
- the gradients of one update are taken at the same parameters;
- the targets follow at every update, and the temperature is learned through its logarithm or held fixed;
- for images, the critics share one encoder, whose features the policy uses without training them (Yarats et al. 2021,
  arXiv:1910.01741). Images are shifted at random by up to `augment` pixels (Kostrikov et al. 2020, arXiv:2004.13649);
- MultiDiscrete actions are allowed (`entrax.policies.choices`); the critics are compared option by option.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray, Scalar

from entrax import fields
from entrax.errors import require
from entrax.fields import BETWEEN_0_AND_1, DERIVED, UNIT, Settings, at_least, field, resolved
from entrax.nets import ActionValues, Encoded, TwinActionValues, on_observations, polyak_update
from entrax.policies.base import Memoryless
from entrax.policies.choices import Choices, choices_of
from entrax.policies.composed import TablePart
from entrax.policies.controller import Scaling
from entrax.policies.images import augmented, check_augment, encoded_size, with_encoder
from entrax.policies.learned_temperature import initial_log_alpha
from entrax.policies.learned_temperature import temperature as temperature
from entrax.policies.learned_temperature import with_temperature as with_temperature
from entrax.policies.masks import Masked, masked
from entrax.policies.reference import check_prior, probabilities
from entrax.policies.schedule import Anneal
from entrax.replay import Uniform
from entrax.soft import soft_bellman_backup
from entrax.spec import Progress, Spec, Transition


class Config(Settings):
    """Hyperparameters. Entropies are in nats."""

    learning_rate: float = fields.learning_rate(1e-3, "of policy, critics and temperature", symbol="λ")
    discount: float = fields.discount(0.99)
    target_rate: float = fields.target_rate(0.005)
    temperature: float | str = fields.learned_temperature()
    initial_temperature: float = fields.initial_temperature(0.1)
    target_entropy: float | None = field(
        None,
        "Entropy in nats that a learned temperature holds after annealing.",
        at_least(0),
        symbol="H̄",
        derived="that of slip",
    )
    target_kl: float = field(0.0, "Divergence from the prior that a learned temperature holds.", at_least(0))
    pessimism: float = field(0.0, "Estimate by the critics: 0 uses their mean, 1 their minimum.", UNIT, symbol="κ")
    slip: float = field(
        0.1, "Probability of not taking the first choice that the target entropy stands for.", BETWEEN_0_AND_1
    )
    initial_entropy_share: float = field(0.98, "Target entropy at the start, as a share of the largest one.", UNIT)
    anneal_fraction: float = field(0.5, "Part of the run in which the target entropy changes.", UNIT)
    batch_size: int = fields.batch_size(64)
    replay_size: int = fields.replay_size(1_000_000)
    hidden: tuple[int, ...] = fields.hidden((128, 128))
    joint_limit: int = fields.joint_limit(64)
    augment: int = fields.augment(0)


class Resolved(Config):
    """`Config` with its derived settings."""

    target_entropy: float = DERIVED


Critics = TwinActionValues | Encoded | Masked
PolicyNetwork = ActionValues | Masked


class Params(eqx.Module):
    policy: PolicyNetwork  # of an image, on the critics' encoder
    critics: Critics
    log_alpha: Scalar


class State(eqx.Module):
    params: Params
    targets: Critics
    opt_state: optax.OptState
    choices: Choices = eqx.field(static=True)
    prior: Any = None  # π₀, a Prior that no update changes


class CategoricalPolicy(Memoryless):
    """π(a|s) = softmax of the network's outputs, weighed by π₀ if there is one. Satisfies `Policy` and `Prior`."""

    network: PolicyNetwork | Encoded
    choices: Choices = eqx.field(static=True)
    prior: Any = None

    def __call__(self, obs: Num[Array, " obs"]) -> Float[Array, "choice option"]:
        return self.choices.policy(self.network(obs), 1.0, probabilities(self.prior, obs))

    def probabilities(self, obs: Num[Array, " obs"]) -> Float[Array, "choice option"]:
        """π(·|s)."""
        return self(obs)

    def sample(
        self, obs: Num[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Int[Array, " action"], dict[str, Scalar]]:
        action, log_prob = self.choices.draw(self(obs), key)
        return action, {"log_prob": log_prob}

    def mode(self, obs: Num[Array, " obs"]) -> Int[Array, " action"]:
        return self.choices.best(self.network(obs) if self.prior is None else self(obs))


def default_target_entropy(sizes: Sequence[int], slip: float) -> float:
    """Return Σ_i h(slip) + slip log(n_i - 1), the entropy of taking another of n_i options with probability `slip`.

    A choice of n options is at most uniform, however large the slip.
    """
    total = 0.0
    for n in sizes:
        p = min(slip, 1.0 - 1.0 / n)
        spread = 0.0 if p == 0 else -p * math.log(p / (n - 1)) - (1.0 - p) * math.log1p(-p)
        total += spread
    return total


def resolve(config: Config, spec: Spec) -> Resolved:
    """Fill the target entropy. Raises UsageError for an environment that the agent does not take."""
    choices = choices_of(spec, "discrete-sac", config.joint_limit)
    check_augment(config.augment, spec)
    masked_out = spec.mask is not None and config.target_entropy is None
    sizes = [min(n, 2) for n in choices.sizes] if masked_out else choices.sizes
    target = default_target_entropy(sizes, config.slip) if config.target_entropy is None else config.target_entropy
    most = choices.most_entropy
    require(target <= most * (1 + 1e-6), "target_entropy", f"at most {most:.4g}, the greatest there is", target)
    share = 0.0 if masked_out else config.initial_entropy_share
    return resolved(Resolved, config, target_entropy=target, initial_entropy_share=share)


def init(config: Resolved, spec: Spec, key: PRNGKeyArray) -> State:
    policy_key, critics_key = jr.split(key)
    choices = choices_of(spec, "discrete-sac", config.joint_limit)
    critics = on_observations(
        spec, lambda size, k: TwinActionValues(size, choices.shape, config.hidden, k), critics_key
    )
    network = ActionValues(encoded_size(critics, spec), choices.shape, config.hidden, policy_key)
    params = Params(
        policy=masked(network, spec, choices),
        critics=masked(critics, spec, choices),
        log_alpha=initial_log_alpha(config),
    )
    opt_state = optax.adam(config.learning_rate).init(params)
    return State(params=params, targets=params.critics, opt_state=opt_state, choices=choices)


def with_prior(config: Resolved, state: State, prior: Any) -> State:
    """Return the state with π₀. Raises UsageError if π₀ would have no effect, or is over other actions."""
    if isinstance(config.temperature, str):
        need = "a number with a prior, unless there is a `target_kl` to learn it for"
        require(float(config.target_kl) > 0, "temperature", need, config.temperature)
    else:
        alpha = float(config.temperature)
        require(alpha > 0, "temperature", "positive for a prior to count", alpha)
        require(float(config.target_kl) == 0, "target_kl", "0 where the temperature is a number", config.target_kl)
    return replace(state, prior=check_prior(prior, policy(config, state)))


def policy(config: Resolved, state: State) -> CategoricalPolicy:
    p = state.params
    return CategoricalPolicy(network=with_encoder(p.policy, p.critics), choices=state.choices, prior=state.prior)


def data(config: Resolved) -> Uniform:
    return Uniform(batch_size=config.batch_size, capacity=config.replay_size)


def transferred_paths(config: Resolved, source: Resolved, keep_temperature: bool) -> tuple[str, ...]:
    """Carry over all that is learned; the temperature only if it is kept, and learned in the new run."""
    kept = ("params/log_alpha",) if keep_temperature and isinstance(config.temperature, str) else ()
    return "params/critics", "params/policy", "targets", *kept


def continued(config: Resolved, progress: Progress, final_temperature: float | None) -> dict[str, float]:
    """Keep the target entropy at its final value."""
    return {"initial_entropy_share": 0.0}


def soft_q(config: Resolved, state: State, scaling: Scaling) -> TablePart:
    """Return Q̂, for composing."""
    return TablePart(scaling=scaling, critics=state.params.critics, choices=state.choices, pessimism=config.pessimism)


def target_entropy(config: Resolved, state: State, progress: Progress) -> Scalar:
    """Return H̄ at this point of the run."""
    if state.prior is not None:
        return -jnp.asarray(config.target_kl)
    initial = jnp.maximum(config.initial_entropy_share * state.choices.most_entropy, config.target_entropy)
    return Anneal(start=initial, end=config.target_entropy, fraction=config.anneal_fraction)(progress)


def soft_value(
    config: Resolved, pi: CategoricalPolicy, critics: Critics, alpha: Scalar, obs: Num[Array, " obs"]
) -> tuple[Scalar, Scalar]:
    """Return V(s) of equation 10 for these critics and this policy, and H(π(·|s)), or -KL(π ‖ π₀)."""
    q_1, q_2 = critics(obs)
    q_hat = 0.5 * (q_1 + q_2 - config.pessimism * jnp.abs(q_1 - q_2))
    p, pi_0 = pi(obs), probabilities(pi.prior, obs)
    return pi.choices.soft_value(q_hat, p, alpha, pi_0), pi.choices.entropy(p, pi_0)


def td_target(config: Resolved, state: State, batch: Transition) -> Float[Array, " batch"]:
    """Return y for each transition."""
    pi, alpha = policy(config, state), jnp.exp(state.params.log_alpha)
    v_next, _ = jax.vmap(lambda s: soft_value(config, pi, state.targets, alpha, s))(batch.next_obs)
    backup = jax.vmap(soft_bellman_backup, (0, None, 0, 0))
    return backup(batch.reward, config.discount, v_next, batch.terminated)


def critic_loss(
    critics: Critics, choices: Choices, batch: Transition, y: Float[Array, " batch"]
) -> tuple[Scalar, Scalar]:
    """Return J_Q, and the mean Q."""

    def q_of_both(obs: Num[Array, " obs"], action: Int[Array, " action"]) -> Float[Array, " 2"]:
        return jax.vmap(choices.q_of, (0, None))(critics(obs), action)

    q = jax.vmap(q_of_both)(batch.obs, batch.action)  # [batch, 2]
    return 0.5 * jnp.mean(jnp.sum((q - y[:, None]) ** 2, axis=1)), jnp.mean(q)


def policy_loss(
    network: PolicyNetwork,
    config: Resolved,
    critics: Critics,
    choices: Choices,
    alpha: Scalar,
    obs: Num[Array, "batch obs"],
    prior: Any = None,
) -> tuple[Scalar, Scalar]:
    """Return J_π of equation 12, and the mean entropy."""
    pi = CategoricalPolicy(network=with_encoder(network, critics), choices=choices, prior=prior)
    value, entropy = jax.vmap(lambda s: soft_value(config, pi, critics, alpha, s))(obs)
    return -jnp.mean(value), jnp.mean(entropy)


def temperature_loss(log_alpha: Scalar, entropy: Scalar, target: Scalar) -> Scalar:
    """Return J_α of equation 11."""
    return jnp.exp(log_alpha) * (entropy - target)


def update(
    config: Resolved, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Take one gradient step on J_Q, J_π and J_α; then update the targets. `key` is for the augmentation."""
    batch = augmented(batch, state.params.critics, config.augment, key)
    p, choices = state.params, state.choices
    alpha = jnp.exp(p.log_alpha)
    y = td_target(config, state, batch)
    (j_q, q), g_critics = jax.value_and_grad(critic_loss, has_aux=True)(p.critics, choices, batch, y)
    g_policy, entropy = jax.grad(policy_loss, has_aux=True)(
        p.policy, config, p.critics, choices, alpha, batch.obs, state.prior
    )
    target = target_entropy(config, state, progress)
    if isinstance(config.temperature, str):
        g_alpha = jax.grad(temperature_loss)(p.log_alpha, entropy, target)
    else:
        g_alpha = jnp.zeros_like(p.log_alpha)

    # Adam is elementwise, so one Adam over Params is the paper's four.
    gradients = Params(policy=g_policy, critics=g_critics, log_alpha=g_alpha)
    steps, opt_state = optax.adam(config.learning_rate).update(gradients, state.opt_state)
    if not isinstance(config.temperature, str):  # Adam's averages of a source checkpoint would still move it
        steps = replace(steps, log_alpha=jnp.zeros_like(p.log_alpha))
    params = optax.apply_updates(p, steps)
    info = {"critic_loss": j_q, "q": q, "temperature": alpha}
    info |= {"entropy": entropy, "target_entropy": target} if state.prior is None else {"kl_to_prior": -entropy}
    targets = polyak_update(state.targets, params.critics, config.target_rate)
    return replace(state, params=params, targets=targets, opt_state=opt_state), info
