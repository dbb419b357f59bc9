"""Planning by search alone: random shooting, and the cross-entropy method.

Random shooting draws N plans around zero and takes the best. The cross-entropy method draws N plans from a Gaussian,
fits it to the best of them (the elites), and repeats:

    U_i = μ + σ ε_i,   E = the elites
    μ ← m μ + (1 − m) mean_E U,   σ ← m σ + (1 − m) std_E U      with momentum m                               (1)

References:
    Rubinstein and Kroese (2004), The cross-entropy method.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, ScalarLike

from entrax.errors import require
from entrax.exact.checks import is_traced
from entrax.planning.base import Improved, Planner
from entrax.planning.lookahead import Lookahead, Numbers, Plan, Scalar, as_scalar
from entrax.planning.noise import Noise, White, draw
from entrax.planning.path_integral import deviations


class RandomShooting(Planner):
    """The best of random plans, as a `Policy`; it ignores the plan of the decision before.

    Its info has `value`, the best return.

    Args:
        lookahead: the model and the horizon.
        samples: the number of plans.
        std: the standard deviation of the plans, [action] or a number.
        noise: `White()`, `Coloured(exponent)` or `Splines(knots)`.
        seed: of the noise of greedy decisions.
    """

    lookahead: Lookahead
    std: Float[Array, " action"]
    samples: int = eqx.field(static=True)
    noise: Any = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    def __init__(
        self,
        lookahead: Lookahead,
        *,
        samples: int = 256,
        std: Numbers = 1.0,
        noise: Noise = White(),  # noqa: B008  (immutable)
        seed: int = 0,
    ):
        require(samples >= 1, "samples", "at least 1", samples)
        self.lookahead, self.std = lookahead, deviations(std, lookahead.action_size)
        self.samples, self.noise, self.seed = samples, noise, seed
        noise.basis(lookahead.horizon)

    def improve(self, plan: Plan, state: PyTree, key: PRNGKeyArray) -> Improved:
        """Return the best of random plans."""
        spread = jnp.broadcast_to(self.std, plan.shape)
        proposals, returns = evaluated(self, jnp.zeros_like(plan), spread, state, key)
        best = jnp.argmax(returns)
        return Improved(
            plan=proposals[best],
            candidates=proposals[best][:1],
            log_weights=jnp.zeros(1),
            info={"value": returns[best]},
        )


class Fit(NamedTuple):
    """The Gaussian of the cross-entropy method, and its elites with their returns."""

    mean: Plan
    std: Plan
    elites: Float[Array, "elites time action"]
    returns: Float[Array, " elites"]


class CrossEntropy(Planner):
    """The cross-entropy method as a `Policy`, with the plan of the decision before as the first mean.

    A decision that is not greedy takes one of the last elites. Its info has `value`, the mean return of the last
    elites, and `spread`, the mean of σ.

    Args:
        lookahead: the model and the horizon.
        samples: N, of each iteration.
        elites: the number of plans that the Gaussian is fitted to.
        iterations: the number of fits in each decision.
        momentum: m in [0, 1).
        std: the first σ, [action] or a number; it is also that of the next decision.
        smallest_std: a lower limit of σ.
        noise: `White()`, `Coloured(exponent)` or `Splines(knots)`.
        seed: of the noise of greedy decisions.
    """

    lookahead: Lookahead
    momentum: Scalar
    std: Float[Array, " action"]
    smallest_std: Scalar
    samples: int = eqx.field(static=True)
    elites: int = eqx.field(static=True)
    iterations: int = eqx.field(static=True)
    noise: Any = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    def __init__(
        self,
        lookahead: Lookahead,
        *,
        samples: int = 128,
        elites: int = 16,
        iterations: int = 5,
        momentum: ScalarLike = 0.1,
        std: Numbers = 0.5,
        smallest_std: ScalarLike = 0.0,
        noise: Noise = White(),  # noqa: B008  (immutable)
        seed: int = 0,
    ):
        require(2 <= elites <= samples, "elites", f"from 2 to the {samples} samples", elites)
        require(iterations >= 1, "iterations", "at least 1", iterations)
        require(
            is_traced(momentum) or 0 <= float(np.asarray(momentum)) < 1, "momentum", "at least 0 and below 1", momentum
        )
        require(
            is_traced(smallest_std) or float(np.asarray(smallest_std)) >= 0, "smallest_std", "at least 0", smallest_std
        )
        self.lookahead, self.std = lookahead, deviations(std, lookahead.action_size)
        self.momentum, self.smallest_std = as_scalar(momentum), as_scalar(smallest_std)
        self.samples, self.elites, self.iterations, self.noise, self.seed = samples, elites, iterations, noise, seed
        noise.basis(lookahead.horizon)

    def improve(self, plan: Plan, state: PyTree, key: PRNGKeyArray) -> Improved:
        """Fit the Gaussian `iterations` times, from the plan and the first σ."""

        def once(carry: tuple[Plan, Plan], key: PRNGKeyArray) -> tuple[tuple[Plan, Plan], Fit]:
            fit = refit(self, *carry, state, key)
            return (fit.mean, fit.std), fit

        start = (plan, jnp.broadcast_to(self.std, plan.shape).astype(plan.dtype))
        _, fits = jax.lax.scan(once, start, jr.split(key, self.iterations))
        last = jax.tree.map(lambda each: each[-1], fits)
        return Improved(
            plan=last.mean,
            candidates=last.elites[:, 0],
            log_weights=jnp.zeros(self.elites),
            info={"value": jnp.mean(last.returns), "spread": jnp.mean(last.std)},
        )


def refit(planner: CrossEntropy, mean: Plan, std: Plan, state: PyTree, key: PRNGKeyArray) -> Fit:
    """Return the Gaussian after one iteration, equation (1)."""
    proposals, returns = evaluated(planner, mean, std, state, key)
    best, places = jax.lax.top_k(returns, planner.elites)
    elites, m = proposals[places], planner.momentum
    fitted = jnp.maximum(jnp.std(elites, axis=0), planner.smallest_std)
    return Fit(
        mean=(m * mean + (1 - m) * jnp.mean(elites, axis=0)).astype(mean.dtype),
        std=(m * std + (1 - m) * fitted).astype(std.dtype),
        elites=elites,
        returns=best,
    )


def evaluated(
    planner: RandomShooting | CrossEntropy, mean: Plan, std: Plan, state: PyTree, key: PRNGKeyArray
) -> tuple[Float[Array, "samples time action"], Float[Array, " samples"]]:
    """Draw plans within the bounds; return them and their returns, −∞ where one is not finite."""
    lookahead = planner.lookahead
    noise_key, model_key = jr.split(key)
    basis = planner.noise.basis(lookahead.horizon)
    unit = jax.vmap(lambda key: draw(basis, mean.shape[1], key))(jr.split(noise_key, planner.samples))
    proposals = jax.vmap(lookahead.feasible)((mean + std * unit).astype(mean.dtype))
    returns = jax.vmap(lambda plan: lookahead.returns(state, plan, model_key))(proposals)
    return proposals, jnp.where(jnp.isfinite(returns), returns, -jnp.inf)
