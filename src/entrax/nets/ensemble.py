"""A probabilistic ensemble: a learned model of an environment (Chua et al. 2018, arXiv:1805.12114).

Each of E networks maps an observation s and an action a to a Gaussian over the targets y = (s' − s, r), with a diagonal
covariance, and to the log-odds l of termination. With inputs and targets in units of their running deviations, a
network has the loss

    log σ² = softly clamped between `lowest` and `highest`, which are learned                               (1)
    J = E Σ_i ½ [σ̄_i^(2β−2) (y_i − μ_i)² + (y_i − μ̄_i)²/σ_i² + log σ_i²]                                      (2)
      + E [softplus(l) − l · terminated] + w Σ_i (highest_i − lowest_i)

where bars mark what is held constant. With β = 0 the gradient is that of the likelihood: then the means of the targets
with the smallest deviations have such large gradients that others are hardly learned, which β = ½ avoids (after Seitzer
et al. 2022, arXiv:2203.09168, who weight the gradient of the variance, too).

The ensemble predicts a mixture with equal weights of its elites, the networks with the smallest running loss on a
held-out part of the data. Its quantiles are compared with that part (`calibration`).

Departs from the paper: β = ½ in (2); elites, from Janner et al. (2019, arXiv:1906.08253); the termination; and no
weight decay.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Scalar, ScalarLike

from entrax.errors import UsageError
from entrax.nets.mlp import Linear, adam_step
from entrax.spec import Transition

Targets = Float[Array, " target"]

FIRST_LOWEST, FIRST_HIGHEST = -10.0, 0.5
"""The bounds of log σ² before they are learned, in units of the targets' deviation; from the authors' code."""
BOUNDS_WEIGHT = 0.01
"""w of equation (2), from the authors' code."""
BETA = 0.5
"""β of equation (2)."""
SLOWEST = 0.01
"""The smallest weight of a batch in the running means and losses."""


class Moments(eqx.Module):
    """Running mean and variance of each entry."""

    mean: Float[Array, " size"]
    variance: Float[Array, " size"]

    def advanced(self, values: Float[Array, "row size"], weight: ScalarLike) -> "Moments":
        """Return the moments of the mixture with weight `weight` on these rows."""
        mean, variance = jnp.mean(values, axis=0), jnp.var(values, axis=0)
        apart = weight * (1 - weight) * (mean - self.mean) ** 2
        return Moments(
            mean=self.mean + weight * (mean - self.mean),
            variance=self.variance + weight * (variance - self.variance) + apart,
        )

    def scale(self) -> Float[Array, " size"]:
        """Return the deviation of each entry; 1 where it does not vary."""
        varies = self.variance > 1e-10 * (1 + self.mean**2)
        return jnp.where(varies, jnp.sqrt(jnp.where(varies, self.variance, 1.0)), 1.0)

    def standardised(self, values: Float[Array, " size"]) -> Float[Array, " size"]:
        """Return values in deviations from the mean."""
        return (values - self.mean) / self.scale()


def first_moments(size: int) -> Moments:
    """Return mean 0 and variance 1."""
    return Moments(mean=jnp.zeros(size), variance=jnp.ones(size))


class Prediction(NamedTuple):
    """The prediction of a network: mean and deviation of the targets, and the log-odds of termination."""

    mean: Targets
    std: Targets
    log_odds: Scalar


class Step(NamedTuple):
    """A step in each row, as the ensemble draws it."""

    next_obs: Float[Array, "row obs"]
    reward: Float[Array, " row"]
    log_odds: Float[Array, " row"]


class GaussianMLP(eqx.Module):
    """A network of an ensemble, in standardised units: layers with SiLU, then a linear one."""

    layers: tuple[Linear, ...]
    lowest: Targets
    highest: Targets

    def __init__(self, inputs: int, hidden: Sequence[int], targets: int, key: PRNGKeyArray):
        sizes = (inputs, *hidden, 2 * targets + 1)
        keys = jr.split(key, len(sizes) - 1)
        self.layers = tuple(Linear(i, o, k) for i, o, k in zip(sizes[:-1], sizes[1:], keys, strict=True))
        self.lowest, self.highest = jnp.full(targets, FIRST_LOWEST), jnp.full(targets, FIRST_HIGHEST)

    def __call__(self, x: Float[Array, " input"]) -> tuple[Targets, Targets, Scalar]:
        """Return mean and log σ² of the targets, and the log-odds of termination."""
        for layer in self.layers[:-1]:
            x = jax.nn.silu(layer(x))
        out = self.layers[-1](x)
        mean, raw = jnp.split(out[:-1], 2)
        return mean, soft_clamp(raw, self.lowest, self.highest), out[-1]


def soft_clamp(x: Targets, lowest: Targets, highest: Targets) -> Targets:
    """Limit x to [lowest, highest], smoothly; equation (1)."""
    x = highest - jax.nn.softplus(highest - x)
    return lowest + jax.nn.softplus(x - lowest)


class Ensemble(eqx.Module):
    """E networks, stacked: every array has a leading axis of members. Its units are those of the data."""

    networks: GaussianMLP
    inputs: Moments
    targets: Moments
    elites: Int[Array, " elite"]

    def predict(self, network: GaussianMLP, obs: Float[Array, " obs"], action: Float[Array, " action"]) -> Prediction:
        """Return what one of the networks predicts."""
        mean, log_variance, log_odds = network(self.inputs.standardised(jnp.concatenate([obs, action])))
        scale = self.targets.scale()
        std = scale * jnp.exp(0.5 * log_variance)
        return Prediction(mean=self.targets.mean + scale * mean, std=std, log_odds=log_odds)

    @property
    def action_size(self) -> int:
        """The number of entries of an action."""
        return len(self.inputs.mean) - len(self.targets.mean) + 1

    def best(self) -> GaussianMLP:
        """Return the networks of the elites, stacked."""
        if len(self.elites) == len(self.networks.lowest):
            return self.networks
        return jax.tree.map(lambda x: x[self.elites], self.networks)

    def step(
        self, obs: Float[Array, "row obs"], action: Float[Array, "row action"], key: PRNGKeyArray, *, deal: bool
    ) -> Step:
        """Draw the next step in each row.

        Args:
            obs: one observation for each row; as many rows for each elite.
            action: of each row.
            key: random.
            deal: whether the rows are dealt out to the elites at random. Otherwise the first rows are the first
                elite's, and so on.

        Returns:
            The next observations, which are drawn from the Gaussian; the mean rewards; and the log-odds of termination.
        """
        deal_key, noise_key = jr.split(key)
        count, elites = len(obs), len(self.elites)
        if count % elites:
            raise UsageError(f"The number of rows must be a multiple of the {elites} elites, got {count}.")
        order = jr.permutation(deal_key, count) if deal else jnp.arange(count)

        def grouped(x: Array) -> Array:
            return x[order].reshape(elites, count // elites, -1)

        predict = jax.vmap(jax.vmap(self.predict, (None, 0, 0)))
        predicted = predict(self.best(), grouped(obs), grouped(action))
        mean, std, log_odds = (jnp.zeros_like(x).at[order].set(x) for x in map(_joined, predicted))
        noise = jr.normal(noise_key, obs.shape, obs.dtype)
        return Step(next_obs=obs + mean[:, :-1] + std[:, :-1] * noise, reward=mean[:, -1], log_odds=log_odds)


def _joined(x: Float[Array, "elite part *rest"]) -> Float[Array, "row *rest"]:
    return x.reshape(-1, *x.shape[2:])


def create_ensemble(
    obs_size: int, action_size: int, *, members: int, elites: int, hidden: Sequence[int], key: PRNGKeyArray
) -> Ensemble:
    """Return an ensemble before any data; its elites are the first members."""

    def network(key: PRNGKeyArray) -> GaussianMLP:
        return GaussianMLP(obs_size + action_size, hidden, obs_size + 1, key)

    return Ensemble(
        networks=eqx.filter_vmap(network)(jr.split(key, members)),
        inputs=first_moments(obs_size + action_size),
        targets=first_moments(obs_size + 1),
        elites=jnp.arange(elites, dtype=jnp.int32),
    )


class Learning(eqx.Module):
    """An ensemble with what its fit needs besides: Adam's state, the running held-out losses, the number of fits."""

    params: Ensemble
    opt_state: optax.OptState
    losses: Float[Array, " member"]
    fits: Int[Array, ""]


def start_learning(ensemble: Ensemble) -> Learning:
    """Return the state before the first fit."""
    return Learning(
        params=ensemble,
        opt_state=optax.adam(1.0).init(ensemble.networks),
        losses=jnp.zeros(ensemble.networks.lowest.shape[0]),
        fits=jnp.zeros((), jnp.int32),
    )


def inputs_of(data: Transition) -> Float[Array, "*row input"]:
    """Return observation and action side by side."""
    return jnp.concatenate([data.obs, data.action], axis=-1)


def targets_of(data: Transition) -> Float[Array, "*row target"]:
    """Return the change of the observation, and the reward."""
    return jnp.concatenate([data.next_obs - data.obs, data.reward[..., None]], axis=-1)


def likelihood_loss(
    network: GaussianMLP,
    x: Float[Array, "row input"],
    y: Float[Array, "row target"],
    terminated: Bool[Array, " row"],
) -> Scalar:
    """Return the negative log-likelihood, without the constant, in standardised units."""
    mean, log_variance, log_odds = jax.vmap(network)(x)
    gaussian = 0.5 * jnp.sum((y - mean) ** 2 * jnp.exp(-log_variance) + log_variance, axis=1)
    return jnp.mean(gaussian + crossentropy(log_odds, terminated))


def training_loss(
    network: GaussianMLP,
    x: Float[Array, "row input"],
    y: Float[Array, "row target"],
    terminated: Bool[Array, " row"],
) -> Scalar:
    """Return J of equation (2), in standardised units."""
    mean, log_variance, log_odds = jax.vmap(network)(x)
    constant_mean, constant = jax.lax.stop_gradient((mean, log_variance))
    of_mean = (y - mean) ** 2 * jnp.exp((BETA - 1) * constant)
    of_variance = (y - constant_mean) ** 2 * jnp.exp(-log_variance) + log_variance
    gaussian = 0.5 * jnp.sum(of_mean + of_variance, axis=1)
    bounds = BOUNDS_WEIGHT * jnp.sum(network.highest - network.lowest)
    return jnp.mean(gaussian + crossentropy(log_odds, terminated)) + bounds


def crossentropy(log_odds: Float[Array, " row"], terminated: Bool[Array, " row"]) -> Float[Array, " row"]:
    """Return the negative log-likelihood of termination."""
    return jax.nn.softplus(log_odds) - log_odds * terminated


def fit(
    learning: Learning, training: Transition, held_out: Transition, rate: ScalarLike
) -> tuple[Learning, dict[str, Scalar]]:
    """Take one step of Adam on the loss of every member, then rank them.

    Args:
        learning: the state.
        training: a batch for each member, [member, row, ...].
        held_out: a batch that no member learns from, [row, ...].
        rate: Adam's learning rate.

    Returns:
        The next state, and the loss with the calibration on the held-out batch.
    """
    ensemble, weight = learning.params, jnp.maximum(1.0 / (learning.fits + 1.0), SLOWEST)
    x, y = inputs_of(training), targets_of(training)
    inputs = ensemble.inputs.advanced(x.reshape(-1, x.shape[-1]), weight)
    targets = ensemble.targets.advanced(y.reshape(-1, y.shape[-1]), weight)
    on_rows = jax.vmap(inputs.standardised), jax.vmap(targets.standardised)
    gradient = jax.vmap(jax.value_and_grad(training_loss))
    values, g = gradient(ensemble.networks, jax.vmap(on_rows[0])(x), jax.vmap(on_rows[1])(y), training.terminated)
    networks, opt_state = adam_step(rate, ensemble.networks, g, learning.opt_state)

    x, y = on_rows[0](inputs_of(held_out)), on_rows[1](targets_of(held_out))
    losses = jax.vmap(likelihood_loss, (0, None, None, None))(networks, x, y, held_out.terminated)
    losses = learning.losses + weight * (losses - learning.losses)
    elites = jax.lax.top_k(-losses, len(ensemble.elites))[1].astype(jnp.int32)
    ensemble = Ensemble(networks=networks, inputs=inputs, targets=targets, elites=elites)
    info = {"model_loss": jnp.mean(values)} | calibration(ensemble, held_out)
    return Learning(params=ensemble, opt_state=opt_state, losses=losses, fits=learning.fits + 1), info


def calibration(ensemble: Ensemble, data: Transition) -> dict[str, Scalar]:
    """Compare the mixture of the elites with data, [row, ...], entry by entry of the targets.

    Returns:
        The shares of entries inside the central 50 % and 90 % of the mixture, which are 0.5 and 0.9 for a calibrated
        model; the mean negative log-likelihood of an entry in nats, in standardised units; and the root of the mean
        square error of the mixture's mean, also in standardised units.
    """
    x, y = jax.vmap(ensemble.inputs.standardised)(inputs_of(data)), targets_of(data)
    y = jax.vmap(ensemble.targets.standardised)(y)
    mean, log_variance, _ = jax.vmap(lambda network: jax.vmap(network)(x))(ensemble.best())  # [elite, row, target]
    z = (y - mean) * jnp.exp(-0.5 * log_variance)
    below = jnp.mean(jax.scipy.stats.norm.cdf(z), axis=0)
    log_density = -0.5 * (z**2 + log_variance + math.log(2 * math.pi))
    mixture = jax.nn.logsumexp(log_density, axis=0) - math.log(len(z))
    return {
        "inside_50": jnp.mean(jnp.abs(below - 0.5) < 0.25),
        "inside_90": jnp.mean(jnp.abs(below - 0.5) < 0.45),
        "held_out_nll": -jnp.mean(mixture),
        "held_out_rmse": jnp.sqrt(jnp.mean((y - jnp.mean(mean, axis=0)) ** 2)),
    }
