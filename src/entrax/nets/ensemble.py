"""A probabilistic ensemble: a learned model of an environment (Chua et al. 2018, arXiv:1805.12114).

Each of E networks maps an observation s and an action a to a Gaussian over the targets y = (s' − s, r), with a diagonal
covariance, and to the log-odds of termination. Inputs and targets are in units of their running deviations. With x the
output of a network for a log-variance,

    log σ² = x, softly clamped between `lowest` and `highest`, which are learned                            (1)

The ensemble predicts a mixture with equal weights of its elites, the best networks (Janner et al. 2019,
arXiv:1906.08253), in which each σ_i is multiplied by e^{c_i}. `entrax.nets.ensemble_fit` learns all of these.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Scalar, ScalarLike

from entrax.errors import UsageError
from entrax.nets.mlp import Linear
from entrax.spec import Transition

Targets = Float[Array, " target"]

FIRST_LOWEST, FIRST_HIGHEST = -10.0, 0.5
"""The bounds of log σ² before they are learned, in units of the targets' deviation; from the authors' code."""


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
    corrections: Targets  # c of equation (2) in ensemble_fit.py

    def predict(self, network: GaussianMLP, obs: Float[Array, " obs"], action: Float[Array, " action"]) -> Prediction:
        """Return what one of the networks predicts."""
        mean, log_variance, log_odds = network(self.inputs.standardised(jnp.concatenate([obs, action])))
        scale = self.targets.scale()
        std = scale * jnp.exp(0.5 * log_variance + self.corrections)
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
        corrections=jnp.zeros(obs_size + 1),
    )


def inputs_of(data: Transition) -> Float[Array, "*row input"]:
    """Return observation and action side by side."""
    return jnp.concatenate([data.obs, data.action], axis=-1)


def targets_of(data: Transition) -> Float[Array, "*row target"]:
    """Return the change of the observation, and the reward."""
    return jnp.concatenate([data.next_obs - data.obs, data.reward[..., None]], axis=-1)


class Mixture(NamedTuple):
    """The mixture of the elites beside data, in standardised units."""

    below: Float[Array, "row target"]
    """The distribution function at the targets."""
    log_density: Float[Array, "row target"]
    error: Float[Array, "row target"]

    def inside(self, share: float) -> Bool[Array, "row target"]:
        """Return which targets lie in the central interval of this probability."""
        return jnp.abs(self.below - 0.5) < 0.5 * share


def mixture(ensemble: Ensemble, data: Transition) -> Mixture:
    """Return the mixture of the elites at the targets of data, [row, ...]."""
    x, y = jax.vmap(ensemble.inputs.standardised)(inputs_of(data)), targets_of(data)
    y = jax.vmap(ensemble.targets.standardised)(y)
    mean, log_variance, _ = jax.vmap(lambda network: jax.vmap(network)(x))(ensemble.best())  # [elite, row, target]
    log_variance = log_variance + 2 * ensemble.corrections
    z = (y - mean) * jnp.exp(-0.5 * log_variance)
    log_density = -0.5 * (z**2 + log_variance + math.log(2 * math.pi))
    return Mixture(
        below=jnp.mean(jax.scipy.stats.norm.cdf(z), axis=0),
        log_density=jax.nn.logsumexp(log_density, axis=0) - math.log(len(z)),
        error=y - jnp.mean(mean, axis=0),
    )


def report(ensemble: Ensemble, data: Transition) -> dict[str, Scalar]:
    """Compare the mixture of the elites with data, [row, ...], entry by entry of the targets.

    Returns:
        The shares of entries inside the central 50 % and 90 % of the mixture, which are 0.5 and 0.9 for a calibrated
        model; the mean negative log-likelihood of an entry in nats, in standardised units; and the root of the mean
        square error of the mixture's mean, also in standardised units.
    """
    found = mixture(ensemble, data)
    return {
        "inside_50": jnp.mean(found.inside(0.5)),
        "inside_90": jnp.mean(found.inside(0.9)),
        "held_out_nll": -jnp.mean(found.log_density),
        "held_out_rmse": jnp.sqrt(jnp.mean(found.error**2)),
    }
