"""Policies made of several soft Q-functions without learning (Haarnoja et al. 2018, arXiv:1803.06773).

Of Q_1 … Q_n, the soft optima of as many rewards at one temperature α, a composed policy is

    π(a|s) = exp((Q(s, a) - V(s))/α),    Q =  (1/n) Σ_i Q_i                  "mean": for the mean of the rewards
                                              Σ_i Q_i                        "sum": for their sum
                                              α log (1/n) Σ_i exp(Q_i/α)     "or": for any of the tasks

The mean keeps what all tasks agree on. With V_i and V the soft maxima of Q_i and Q, what is lost is the gap

    g(s) = (1/n) Σ_i V_i(s) - V(s) = -α log ∫ Π_i π_i(a|s)^(1/n) da ≥ 0

(for n = 2, α/2 times the Rényi divergence of order ½), and with it the composed policy's own soft value is known:
Q^π = Q - G for the mean reward, with G(s, a) = E_π [Σ_{t≥1} γ^t g(s_t)], since Q_i solve their Bellman equations. By
Hölder's inequality no policy has more than Q, and none has more soft value than V, so that π falls short of the best by
at most G, in Q as in E_π G in the value. The paper's lemma 1 and theorem 1 take a greatest value over actions, along
the worst path, where Jensen's inequality allows the mean over π's: G ≤ C*. The paper's D* bounds Q* - Q^π after a first
action only; a value's bound must count that action, too. G can be estimated from episodes of π. Where `gap` may be
negative, as for the sum of densities, there is no such bound. "or" is exact for deterministic dynamics without discount
where the tasks differ in their last reward only (Todorov 2009; van Niekerk et al. 2019).
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PRNGKeyArray, Scalar, ScalarLike

from entrax.nets.distributions import log_det_tanh
from entrax.policies.base import Memoryless
from entrax.policies.choices import Choices
from entrax.policies.controller import Scaling
from entrax.spec import Progress

COMBINATIONS = ("mean", "sum", "or")
SMALLEST_SPREAD = 0.05  # of the proposal's Gaussians, in u = arctanh(a)
UNIFORM_SHARE = 0.25  # of the proposal, so that no weight is without bound


def combined(combine: str, values: Float[Array, "part *shape"], temperature: ScalarLike) -> Float[Array, "*shape"]:
    """Q of Q_i, or V of V_i, by "mean", "sum" or "or"."""
    if combine == "mean":
        return jnp.mean(values, axis=0)
    if combine == "sum":
        return jnp.sum(values, axis=0)
    return jnp.asarray(temperature * (jax.nn.logsumexp(values / temperature, axis=0) - math.log(len(values))))


class TablePart(eqx.Module):
    """One run's action values for discrete actions, with its own scaling of observations."""

    scaling: Scaling
    critics: Any  # obs -> values [choice option], or [2, choice option] of two critics
    choices: Choices = eqx.field(static=True)
    pessimism: ScalarLike = 0.0  # of two critics: 0 is their mean, 1 their minimum

    def __call__(self, obs: Float[Array, " obs"]) -> Float[Array, "choice option"]:
        q = self.critics(self.scaling(obs))
        if q.ndim == 2:
            return q
        return 0.5 * (q[0] + q[1] - self.pessimism * jnp.abs(q[0] - q[1]))


class ComposedChoices(Memoryless):
    """The exact composed policy for discrete actions."""

    parts: tuple[TablePart, ...]
    temperature: ScalarLike
    choices: Choices = eqx.field(static=True)
    combine: str = eqx.field(static=True)

    def __call__(self, obs: Float[Array, " obs"]) -> Float[Array, "choice option"]:
        return self.choices.policy(self.q(obs), self.temperature)

    def q(self, obs: Float[Array, " obs"]) -> Float[Array, "choice option"]:
        """Q(s, ·)."""
        return combined(self.combine, jnp.stack([part(obs) for part in self.parts]), self.temperature)

    def gap(self, obs: Float[Array, " obs"], key: PRNGKeyArray) -> Scalar:
        """g(s), exactly; `key` is not used."""
        values = jnp.stack([self.choices.soft_max(part(obs), self.temperature) for part in self.parts])
        return combined(self.combine, values, self.temperature) - self.choices.soft_max(self.q(obs), self.temperature)

    def entropy(self, obs: Float[Array, " obs"], key: PRNGKeyArray) -> Scalar:
        """H(π(·|s)) in nats, exactly; `key` is not used."""
        return self.choices.entropy(self(obs))

    def sample(
        self, obs: Float[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Int[Array, " action"], dict[str, Scalar]]:
        action, log_prob = self.choices.draw(self(obs), key)
        return action, {"log_prob": log_prob}

    def mode(self, obs: Float[Array, " obs"]) -> Int[Array, " action"]:
        return self.choices.best(self.q(obs))


class EnergyPart(eqx.Module):
    """One run's action values in the unit box, min_i Q_i(s, a), with its sampler and its scaling of observations."""

    scaling: Scaling
    temperature: ScalarLike  # of the run
    critics: Any  # (obs, action) -> values [critic], in units of that temperature
    sampler: Any  # draw(obs, count, key) -> u [draw, action], actions before tanh

    def q(self, obs: Float[Array, " obs"], actions: Float[Array, "draw action"]) -> Float[Array, " draw"]:
        """Values of many actions in one state."""
        in_units = jnp.min(jax.vmap(self.critics, (None, 0))(self.scaling(obs), actions), axis=1)
        return jnp.asarray(self.temperature * in_units)


SoftQ = TablePart | EnergyPart
"""What can be composed: one run's soft Q-function, for discrete or for continuous actions."""


class ComposedEnergy(Memoryless):
    """The composed policy for actions in the unit box, by importance resampling.

    `candidates` actions, of a known density around the draws of all parts' samplers and uniform, are weighted by
    exp(Q/α) over that density, and one of them is drawn. The law of that one differs from exp(Q/α) by O(1/candidates);
    `effective_draws`, 1/Σ w² of the normalised weights, tells how many of them count in a state. The mode is the best
    candidate. Soft values are means of the same weights, biased low by about α/2 times 1/effective_draws.
    """

    parts: tuple[EnergyPart, ...]
    temperature: ScalarLike
    candidates: int = eqx.field(static=True)
    combine: str = eqx.field(static=True)

    def propose(
        self, obs: Float[Array, " obs"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "draw action"], Float[Array, " draw"]]:
        """Actions, and the log density that they have been drawn with."""
        *keys, normal_key, choice_key, uniform_key = jr.split(key, len(self.parts) + 3)
        each = -(-self.candidates // len(self.parts))
        drawn = [part.sampler.draw(part.scaling(obs), each, k) for part, k in zip(self.parts, keys, strict=True)]
        size = drawn[0].shape[1]
        silverman = (4.0 / ((size + 2) * each)) ** (1.0 / (size + 4))
        widths = [jnp.maximum(silverman * jnp.std(u, axis=0), SMALLEST_SPREAD) for u in drawn]
        centres = jnp.concatenate(drawn)
        spread = jnp.concatenate([jnp.broadcast_to(width, (each, size)) for width in widths])

        inside = 1.0 - jnp.finfo(centres.dtype).epsneg
        evenly = jnp.arctanh(jnp.clip(jr.uniform(uniform_key, centres.shape, minval=-1.0), -inside, inside))
        uniform = jr.bernoulli(choice_key, UNIFORM_SHARE, (len(centres), 1))
        u = jnp.where(uniform, evenly, centres + spread * jr.normal(normal_key, centres.shape))

        apart = (u[:, None] - centres) / spread  # [draw, centre, action]
        log_normal = -0.5 * jnp.sum(apart**2, axis=2) - jnp.sum(jnp.log(spread), axis=1)
        log_normal -= 0.5 * size * math.log(2.0 * math.pi)
        log_gaussians = jax.nn.logsumexp(log_normal, axis=1) - math.log(len(centres))
        log_gaussians -= jnp.sum(jax.vmap(log_det_tanh)(u), axis=1)
        log_uniform = math.log(UNIFORM_SHARE) - size * math.log(2.0)
        return jnp.tanh(u), jnp.logaddexp(log_uniform, math.log1p(-UNIFORM_SHARE) + log_gaussians)

    def weigh(
        self, obs: Float[Array, " obs"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "draw action"], Float[Array, "part draw"], Float[Array, " draw"], Float[Array, " draw"]]:
        """Candidates with Q_i and Q of each, and the log density they were drawn with."""
        actions, log_density = self.propose(obs, key)
        parts = jnp.stack([part.q(obs, actions) for part in self.parts])
        return actions, parts, combined(self.combine, parts, self.temperature), log_density

    def gap(self, obs: Float[Array, " obs"], key: PRNGKeyArray) -> Scalar:
        """An estimate of g(s); all soft values are of the same candidates, whose errors partly cancel."""
        _, parts, q, log_density = self.weigh(obs, key)

        values = jax.vmap(self._soft_max, (0, None))(parts, log_density)
        return combined(self.combine, values, self.temperature) - self._soft_max(q, log_density)

    def entropy(self, obs: Float[Array, " obs"], key: PRNGKeyArray) -> Scalar:
        """An estimate of H(π(·|s)) = (V - E_π Q)/α of actions in the unit box, in nats."""
        _, _, q, log_density = self.weigh(obs, key)
        weights = jax.nn.softmax(q / self.temperature - log_density)
        return (self._soft_max(q, log_density) - jnp.sum(weights * q)) / self.temperature

    def _soft_max(self, q: Float[Array, " draw"], log_density: Float[Array, " draw"]) -> Scalar:
        """α log ∫ exp(q/α), from draws of a known density."""
        log_mean = jax.nn.logsumexp(q / self.temperature - log_density) - math.log(len(log_density))
        return jnp.asarray(self.temperature * log_mean)

    def sample(
        self, obs: Float[Array, " obs"], progress: Progress, key: PRNGKeyArray
    ) -> tuple[Float[Array, " action"], dict[str, Scalar]]:
        propose_key, choose_key = jr.split(key)
        actions, _, q, log_density = self.weigh(obs, propose_key)
        log_weight = q / self.temperature - log_density
        weights = jax.nn.softmax(log_weight)
        return actions[jr.categorical(choose_key, log_weight)], {"effective_draws": 1.0 / jnp.sum(weights**2)}

    def mode(self, obs: Float[Array, " obs"]) -> Float[Array, " action"]:
        actions, _, q, _ = self.weigh(obs, jr.key(0))
        return actions[jnp.argmax(q)]
