"""How a probabilistic ensemble learns: a step on the likelihood, the choice of elites, and calibration.

With targets y in units of their deviations, μ and σ² the outputs of a network and l its log-odds of termination, the
loss of a network is

    J = E Σ_i ½ [σ̄_i^(2β−2) (y_i − μ_i)² + (y_i − μ̄_i)²/σ_i² + log σ_i²]                                      (1)
      + E [softplus(l) − l · terminated] + w Σ_i (highest_i − lowest_i)

where bars mark what is held constant. With β = 0 the gradient is that of the likelihood: then the means of the targets
with the smallest deviations have such large gradients that others are hardly learned, which β = ½ avoids (after Seitzer
et al. 2022, arXiv:2203.09168, who weight the gradient of the variance, too).

A part of the data is held out. The elites are the networks with the smallest running loss on it. It also calibrates
the ensemble, whose deviations are multiplied by e^{c_i}, by temperature scaling (Guo et al. 2017, arXiv:1706.04599):

    c_i ← c_i − η g_i, where g_i = ∂/∂c_i of the held-out negative log-likelihood, limited to [−1, 1]       (2)

For a single Gaussian g_i = 1 − E [(y_i − μ_i)²/σ_i²]: the mean square error becomes as large as predicted. If errors
have heavier tails than a Gaussian, the central intervals are then too wide.

Departs from Chua et al. (2018, arXiv:1805.12114): β; elites, from Janner et al. (2019, arXiv:1906.08253); the
termination; the calibration; and no weight decay.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Scalar, ScalarLike

from entrax.nets.ensemble import Ensemble, GaussianMLP, inputs_of, mixture, report, targets_of
from entrax.nets.mlp import adam_step
from entrax.spec import Transition

BOUNDS_WEIGHT = 0.01
"""w of equation (1), from the authors' code."""
BETA = 0.5
"""β of equation (1)."""
CALIBRATION_RATE = 0.01
"""η of equation (2)."""
LARGEST_CORRECTION = 4.0
"""The largest |c_i|."""
SLOWEST = 0.01
"""The smallest weight of a batch in the running means and losses."""


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
    """Return J of equation (1), in standardised units."""
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
        The next state, and the loss with the report on the held-out batch, before that calibrates the ensemble.
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
    ensemble = Ensemble(
        networks=networks, inputs=inputs, targets=targets, elites=elites, corrections=ensemble.corrections
    )
    info = {"model_loss": jnp.mean(values)} | report(ensemble, held_out)
    ensemble = calibrated(ensemble, held_out)
    return Learning(params=ensemble, opt_state=opt_state, losses=losses, fits=learning.fits + 1), info


def calibrated(ensemble: Ensemble, data: Transition) -> Ensemble:
    """Return the ensemble after one step of equation (2)."""

    def loss(corrections: Float[Array, " target"]) -> Scalar:
        log_density = mixture(replace(ensemble, corrections=corrections), data).log_density
        return -jnp.sum(jnp.mean(log_density, axis=0))

    slope = jnp.clip(jax.grad(loss)(ensemble.corrections), -1.0, 1.0)
    moved = ensemble.corrections - CALIBRATION_RATE * slope
    return replace(ensemble, corrections=jnp.clip(moved, -LARGEST_CORRECTION, LARGEST_CORRECTION))
