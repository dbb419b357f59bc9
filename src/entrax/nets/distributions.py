"""Distributions over actions."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, Scalar, ScalarLike


def log_det_tanh(u: Float[Array, " n"]) -> Float[Array, " n"]:
    """Compute log d tanh(u)/du = log(1 - tanh²u) without cancellation or underflow for large |u|.

    1 - tanh²u = 4 / (eᵘ + e⁻ᵘ)², hence 2 (log 2 - u - softplus(-2u)).
    """
    return 2.0 * (math.log(2.0) - u - jax.nn.softplus(-2.0 * u))


class TanhGaussian(eqx.Module):
    """The distribution of a = tanh(u), u ~ N(mean, diag exp(2 log_std)) (Haarnoja et al. 2018b, appendix C)."""

    mean: Float[Array, "*batch action"]
    log_std: Float[Array, "*batch action"]

    def sample_and_log_prob(self, key: PRNGKeyArray) -> tuple[Float[Array, " action"], Float[Array, ""]]:
        """Draw a reparameterised action in [-1, 1]; return it and its log density, computed from u, not from a ≈ ±1."""
        noise = jr.normal(key, self.mean.shape, self.mean.dtype)
        u = self.mean + jnp.exp(self.log_std) * noise
        return jnp.tanh(u), jnp.sum(self._log_normal(noise) - log_det_tanh(u))

    def log_prob(self, action: Float[Array, " action"]) -> Float[Array, ""]:
        """Return the log density of an action in (-1, 1). An entry of ±1 counts as the nearest number inside."""
        inside = 1.0 - jnp.finfo(action.dtype).epsneg
        u = jnp.arctanh(jnp.clip(action, -inside, inside))
        noise = (u - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(self._log_normal(noise) - log_det_tanh(u))

    def mode(self) -> Float[Array, " action"]:
        """Return tanh(mean), the median of each entry, which the papers call the deterministic action."""
        return jnp.tanh(self.mean)

    def _log_normal(self, noise: Float[Array, " action"]) -> Float[Array, " action"]:
        return -0.5 * noise**2 - self.log_std - 0.5 * math.log(2.0 * math.pi)


def draw_each(
    distributions: TanhGaussian, key: PRNGKeyArray
) -> tuple[Float[Array, "batch action"], Float[Array, " batch"]]:
    """Draw an action of each distribution in a batch [batch, ...]; return them and their log densities."""
    return jax.vmap(TanhGaussian.sample_and_log_prob)(distributions, jr.split(key, len(distributions.mean)))


def uniform_draws(z: Float[Array, "draw u"]) -> tuple[Float[Array, "draw u"], Scalar]:
    """Turn standard normal numbers into u of uniform actions in the unit box; return them and their log density."""
    inside = 1.0 - jnp.finfo(z.dtype).epsneg
    action = jnp.clip(jax.lax.erf(z / math.sqrt(2.0)), -inside, inside)
    return jnp.arctanh(action), jnp.asarray(-z.shape[1] * math.log(2.0))


def log_integral(
    q: Float[Array, " draw"], log_density: Float[Array, "*draw"], alpha: ScalarLike
) -> tuple[Scalar, Float[Array, " draw"]]:
    """Return α log ∫ exp(q/α) from draws of a known log density, and the draws' normalised weights."""
    log_weight = q / alpha - log_density
    return jnp.asarray(alpha * (jax.nn.logsumexp(log_weight) - math.log(len(q)))), jax.nn.softmax(log_weight)
