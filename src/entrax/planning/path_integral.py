"""Path integral control (MPPI): the mean of random plans, each weighted by the exponential of its return.

Let U = (u_0 … u_{T−1}) be a plan, Ū the plan so far, and G(U) its return. With ε ~ N(0, C ⊗ Σ), where C is the
covariance of the noise over time,

    U_i = Ū + ε_i
    w_i ∝ exp(Q_i/α),   Ū ← Σ_i w_i U_i                                                                         (1)
    V = α log (1/N) Σ_i exp(Q_i/α)                                                                              (2)

**Tied.** The action cost uᵀRu, without ½ and not part of the model's reward, determines the noise: Σ = ½α R⁻¹. With
this Σ, −α log of the reference policy π₀ = N(0, C ⊗ Σ) is the action cost up to a constant, and

    Q_i = G(U_i) + α log π₀(U_i)/q(U_i) = G(U_i) − 2 Ūᵀ(C⁻¹ ⊗ R)ε_i − Ūᵀ(C⁻¹ ⊗ R)Ū                              (3)

contains the ratio to the proposal q = N(Ū, C ⊗ Σ). The action cost is not discounted. So (1) is an importance-sampling
estimate of the posterior mean of U, and (2) of the soft value in the KL convention, from any Ū; the error falls as
N^−½. In the usual notation with cost ½uᵀR'u and temperature λ this is R' = λΣ⁻¹.

**Free.** With `std` the covariance is chosen freely, the model's reward contains all costs, and Q_i = G(U_i). The
reference is then the plan so far, and one decision is a step of mirror descent.

In the free form α → 0 selects the best sample and α → ∞ gives the mean of the proposals. If the model is deterministic,
the weighted samples of u_0 in the tied form are draws from the maximum-entropy policy.

References:
    Kappen (2005), Linear theory for control of nonlinear stochastic systems.
    Williams, Aldrich and Theodorou (2017), Model predictive path integral control.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, ScalarLike, Shaped

from entrax.errors import UsageError, require
from entrax.exact.checks import check_temperature, is_traced
from entrax.exact.small_matrices import cholesky, inverse
from entrax.planning.base import Improved, Planner
from entrax.planning.lookahead import Lookahead, Numbers, Plan, Scalar, as_scalar
from entrax.planning.noise import Noise, Splines, White, draw
from entrax.soft import soft_max, soft_policy

Samples = Float[Array, " samples"]

COLLAPSED = 0.999
"""The largest weight from which on a decision reports that it rests on one sample."""


class PathIntegral(Planner):
    """Path integral control as a `Policy`. Its info has

        value: V of equation (2), of the last iteration.
        effective_samples: 1/Σw², from 1 to the number of samples.
        collapsed: whether one sample has (nearly) all the weight: raise `temperature` or `samples`.
        finite: the share of samples with a finite return; others have weight 0.

    Args:
        lookahead: the model and the horizon.
        temperature: α ≥ 0, in units of reward; above 0 for the tied form, whose noise is proportional to it.
        samples: N.
        action_cost: R, [action, action], positive definite, or a number for R times the identity; for the tied form.
        std: the standard deviation of the noise, [action] or a number, in units of the plan; for the free form.
        noise: `White()`, `Coloured(exponent)` or `Splines(knots)`. The tied form requires one of the first two.
        iterations: the number of updates in each decision.
        seed: of the noise of greedy decisions.

    Raises:
        UsageError: an argument is not valid; or not exactly one of `action_cost` and `std` is given.
    """

    lookahead: Lookahead
    temperature: Scalar
    action_cost: Float[Array, "action action"] | None
    std: Float[Array, " action"] | None
    samples: int = eqx.field(static=True)
    noise: Any = eqx.field(static=True)
    iterations: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    def __init__(
        self,
        lookahead: Lookahead,
        temperature: ScalarLike,
        *,
        samples: int = 256,
        action_cost: Numbers | None = None,
        std: Numbers | None = None,
        noise: Noise = White(),  # noqa: B008  (immutable)
        iterations: int = 1,
        seed: int = 0,
    ):
        check_temperature(temperature)
        require(samples >= 1, "samples", "at least 1", samples)
        require(iterations >= 1, "iterations", "at least 1", iterations)
        if (action_cost is None) == (std is None):
            raise UsageError("Give either `action_cost`, which ties the noise to it, or `std`.")
        if action_cost is not None and not is_traced(temperature):
            require(float(np.asarray(temperature)) > 0, "temperature", "above 0 with `action_cost`", temperature)
        if action_cost is not None and isinstance(noise, Splines):
            raise UsageError("`action_cost` requires noise in every direction: use `White()`, `Coloured()`, or `std`.")
        self.lookahead, self.temperature = lookahead, as_scalar(temperature)
        m = lookahead.action_size
        self.action_cost = None if action_cost is None else cost_matrix(action_cost, m)
        self.std = None if std is None else deviations(std, m)
        self.samples, self.noise, self.iterations, self.seed = samples, noise, iterations, seed
        noise.basis(lookahead.horizon)

    def improve(self, plan: Plan, state: PyTree, key: PRNGKeyArray) -> Improved:
        """Update the plan by equation (1), `iterations` times."""

        def once(plan: Plan, key: PRNGKeyArray) -> tuple[Plan, Improved]:
            result = update(self, plan, state, key)
            return result.plan, result

        _, results = jax.lax.scan(once, plan, jr.split(key, self.iterations))
        return jax.tree.map(lambda each: each[-1], results)


def update(planner: PathIntegral, plan: Plan, state: PyTree, key: PRNGKeyArray) -> Improved:
    """Update a plan once, equations (1) to (3)."""
    lookahead, alpha = planner.lookahead, planner.temperature
    noise_key, model_key = jr.split(key)
    basis, root = planner.noise.basis(lookahead.horizon), scale(planner)
    unit = jax.vmap(lambda key: draw(basis, len(root), key))(jr.split(noise_key, planner.samples))
    noise = (unit @ root.T).astype(plan.dtype)
    proposals = plan + noise
    q = jax.vmap(lambda each: lookahead.returns(state, each, model_key))(proposals)
    if (cost := planner.action_cost) is not None:
        precise = precision(basis).astype(plan.dtype)
        q = q + jax.vmap(log_ratio, (None, 0, None, None))(plan, noise, precise, cost)
    q = jnp.where(jnp.isfinite(q), q, -jnp.inf)
    weights = soft_policy(q, alpha)
    # as a sum of differences, so that the plan stays if no return is finite
    averaged = plan + jnp.einsum("i,itm->tm", weights, jax.vmap(lookahead.feasible)(proposals) - plan)
    info = report(q, weights, alpha)
    candidates = jnp.where(jnp.any(weights > 0), proposals[:, 0], plan[0])
    return Improved(plan=averaged, candidates=candidates, log_weights=jnp.log(weights), info=info)


def log_ratio(
    plan: Plan, noise: Plan, precise: Float[Array, "time time"], cost: Float[Array, "action action"]
) -> Scalar:
    """Return α log π₀(Ū + ε)/q(Ū + ε) of equation (3), given C⁻¹ and R; in units of reward."""
    return -jnp.sum(plan * (precise @ (2 * noise + plan) @ cost))


def scale(planner: PathIntegral) -> Float[Array, "action action"]:
    """Return a square root of Σ."""
    if planner.std is not None:
        return jnp.diag(planner.std)
    return cholesky(planner.temperature / 2 * inverse(jnp.asarray(planner.action_cost)))


def precision(basis: Float[np.ndarray, "time rank"]) -> Float[Array, "time time"]:
    """Return C⁻¹ for C = L Lᵀ."""
    return jnp.asarray(np.linalg.inv(basis @ basis.T))


def report(q: Samples, weights: Samples, temperature: Scalar) -> dict[str, Shaped[Array, ""]]:
    """Return value, effective number of samples and warnings."""
    return {
        "value": soft_max(q, temperature, jnp.ones_like(q)),
        "effective_samples": effective_samples(weights),
        "collapsed": jnp.max(weights) > COLLAPSED if len(q) > 1 else jnp.asarray(False),
        "finite": jnp.mean(jnp.isfinite(q)),
    }


def effective_samples(weights: Samples) -> Scalar:
    """Return 1/Σw² of weights that add up to 1; 0 if all are 0."""
    square = jnp.sum(weights**2)
    return jnp.where(square > 0, 1 / jnp.where(square > 0, square, 1), 0.0)


def cost_matrix(cost: Numbers, size: int) -> Float[Array, "action action"]:
    """Return R as a matrix; raise UsageError if it is not symmetric and positive definite."""
    matrix = jnp.asarray(cost, float)
    matrix = matrix * jnp.eye(size) if matrix.ndim == 0 else matrix
    if matrix.shape != (size, size):
        raise UsageError(f"`action_cost` must have shape ({size}, {size}), got {matrix.shape}.")
    if not is_traced(matrix):
        given = np.asarray(matrix)
        definite = np.isfinite(given).all() and np.allclose(given, given.T) and np.linalg.eigvalsh(given)[0] > 0
        require(bool(definite), "action_cost", "symmetric and positive definite", given.tolist())
    return matrix


def deviations(std: Numbers, size: int) -> Float[Array, " action"]:
    """Return one standard deviation for each entry; raise UsageError if one is not positive."""
    if np.shape(std) not in ((), (size,)):
        raise UsageError(f"`std` must be a number or have shape ({size},), got shape {np.shape(std)}.")
    if not is_traced(std):
        given = np.asarray(std, float)
        require(bool(np.all((given > 0) & np.isfinite(given))), "std", "positive and finite", given.tolist())
    return jnp.broadcast_to(jnp.asarray(std, float), (size,))
