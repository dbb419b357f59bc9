"""The exact and the variational posterior over trajectories of a linear-quadratic problem, given optimality.

This is the model of `messages` with linear dynamics, Gaussian noise and quadratic costs, O_t with the potential
exp(−cost_t/α), and exp(−final cost/α) for the last state. With V_t = −zᵀP_t z of the outcomes 'optimistic' of
`regulator`, and S = 2W/α, G = (I + SP_{t+1})⁻¹:

    π_t(u|x) = N(−Kx + k, Σ)                                  p(u_t | x_t, O_{t:T})                            (1)
    x' ~ N(G(Ax + Bu + d − S p_{t+1}), GW)                    p(x_{t+1} | x_t, u_t, O_{t:T})                   (2)
    log p(O) = log E_{p_0} exp(V_0/α) ≥ E_{p_0} V_0/α         the evidence, and its bound with V_0 of 'expected' (3)
    optimism_t(x) = V_t(x) optimistic − V_t(x) expected ≥ 0                                                    (4)

The variational posterior has the policy of the outcomes 'expected' and the true dynamics. Without a prior the actions
have the Lebesgue measure, which is not a distribution: the posterior exists, and the evidence is relative to that
measure.

A discount makes the posterior a mixture, because it may end an episode at every decision; it is refused.

References:
    Levine (2018), arXiv:1805.00909, sections 2.4 and 3.1.
    Toussaint (2009), Robot trajectory optimization using approximate inference.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike

from entrax.errors import UsageError
from entrax.exact.checks import is_traced
from entrax.exact.graphical_model import MIN_TEMPERATURE
from entrax.exact.regulator import QuadraticValue, regulator, with_horizon
from entrax.exact.riccati import Decision, after_noise, as_arrays, decision, over_decisions, symmetric
from entrax.exact.small_matrices import inverse
from entrax.problems.linear_quadratic import LinearPolicy, LinearQuadratic


class Gaussian(eqx.Module):
    """A normal distribution, or one for each time."""

    mean: Float[Array, "*time size"]
    covariance: Float[Array, "*time size size"]


class LinearDynamics(eqx.Module):
    """x' ~ N(A x + B u + drift, W), one for each decision."""

    A: Float[Array, "*time state state"]
    B: Float[Array, "*time state action"]
    drift: Float[Array, "*time state"]
    W: Float[Array, "*time state state"]


class GaussianPosterior(eqx.Module):
    """The posterior over trajectories, a Gaussian Markov chain.

    Attributes:
        value: V_t, t = 0 … T, in units of reward; the last one is the final value.
        policy: π_t, equation (1).
        dynamics: the dynamics that the posterior believes in, equation (2); the true ones if variational.
        initial: p(x_0 | O); p_0 if variational.
        log_evidence: log p(O) in nats, or its lower bound for the variational posterior.
        exact: whether this is the exact posterior.
    """

    value: QuadraticValue
    policy: LinearPolicy
    dynamics: LinearDynamics
    initial: Gaussian
    log_evidence: Float[Array, ""]
    exact: bool = eqx.field(static=True)

    def state_marginals(self) -> Gaussian:
        """Return p(x_t | O), t = 0 … T."""
        return _state_marginals(self)

    def action_marginals(self) -> Gaussian:
        """Return p(u_t | O), t = 0 … T − 1."""
        states = self.state_marginals()
        gain = jnp.asarray(self.policy.gain)
        mean = jnp.asarray(self.policy.offset) - (gain @ states.mean[:-1, :, None])[..., 0]
        spread = gain @ states.covariance[:-1] @ jnp.swapaxes(gain, -1, -2)
        return Gaussian(mean=mean, covariance=symmetric(spread + self.policy.covariance))


def gaussian_posterior(
    problem: LinearQuadratic, temperature: ScalarLike, horizon: int | None = None
) -> GaussianPosterior:
    """Compute the exact posterior p(τ | O).

    Args:
        problem: the problem, with discount 1.
        temperature: α > 0, in units of reward.
        horizon: T, the number of decisions; by default the problem's own.

    Raises:
        UsageError: JAX is in 32-bit mode, there is no horizon, the temperature is not positive, or the discount is not
            1.
    """
    return _infer(problem, temperature, horizon, exact=True)


def gaussian_variational_posterior(
    problem: LinearQuadratic, temperature: ScalarLike, horizon: int | None = None
) -> GaussianPosterior:
    """Compute the best posterior with the true dynamics: the maximum-entropy policy.

    Arguments and errors as for `gaussian_posterior`.
    """
    return _infer(problem, temperature, horizon, exact=False)


def gaussian_optimism(problem: LinearQuadratic, temperature: ScalarLike, horizon: int | None = None) -> QuadraticValue:
    """Compute the optimism of the exact posterior at each time, equation (4), as a function of the state.

    Arguments and errors as for `gaussian_posterior`.
    """
    exact, variational = (_infer(problem, temperature, horizon, exact=each).value for each in (True, False))
    return jax.tree.map(lambda a, b: a - b, exact, variational)


def _infer(problem: LinearQuadratic, temperature: ScalarLike, horizon: int | None, exact: bool) -> GaussianPosterior:
    horizon = problem.horizon if horizon is None else horizon
    if horizon is None:
        raise UsageError("`horizon` is required for a posterior: set it to the number of decisions.")
    if not is_traced(problem.discount) and float(problem.discount) != 1:
        raise UsageError(f"`discount` must be 1 for a Gaussian posterior, got {problem.discount}.")
    if not is_traced(temperature) and not float(np.asarray(temperature)) >= MIN_TEMPERATURE:
        raise UsageError(f"`temperature` must be above 0 for a posterior, got {temperature}. For 0 use `regulator`.")
    solution = regulator(problem, temperature, outcomes="optimistic" if exact else "expected", horizon=horizon)
    full, alpha = as_arrays(with_horizon(problem, int(horizon))), jnp.asarray(temperature, jnp.float64)
    dynamics, initial, log_evidence = _chain(full, alpha, solution.value, exact)
    return GaussianPosterior(
        value=solution.value,
        policy=solution.policy,
        dynamics=dynamics,
        initial=initial,
        log_evidence=log_evidence,
        exact=exact,
    )


@eqx.filter_jit
def _chain(problem: LinearQuadratic, alpha: Array, value: QuadraticValue, exact: bool) -> Any:
    """Return believed dynamics, p(x_0 | O) and the log evidence or its bound."""
    after = jax.tree.map(lambda a: a[1:], value)

    def believed(each: LinearQuadratic, after: QuadraticValue) -> LinearDynamics:
        drift, w = jnp.asarray(each.drift), jnp.asarray(each.W)
        if not exact:
            return LinearDynamics(A=jnp.asarray(each.A), B=jnp.asarray(each.B), drift=drift, W=w)
        tilt = inverse(jnp.eye(len(w)) + 2 / alpha * w @ after.P)
        return LinearDynamics(
            A=tilt @ each.A, B=tilt @ each.B, drift=tilt @ (drift - 2 / alpha * w @ after.p), W=symmetric(tilt @ w)
        )

    first = value.at(0)
    start = Gaussian(mean=jnp.asarray(problem.initial_mean), covariance=jnp.asarray(problem.initial_covariance))
    if not exact:
        expected = first(start.mean) - jnp.sum(first.P * start.covariance)
        return over_decisions(problem, believed, after), start, expected / alpha
    tilt = inverse(jnp.eye(len(start.mean)) + 2 / alpha * start.covariance @ first.P)
    initial = Gaussian(
        mean=tilt @ (start.mean - 2 / alpha * start.covariance @ first.p), covariance=symmetric(tilt @ start.covariance)
    )
    return over_decisions(problem, believed, after), initial, _log_evidence(problem, alpha, first, start)


def _log_evidence(problem: LinearQuadratic, alpha: Array, first: QuadraticValue, start: Gaussian) -> Array:
    """Return equation (3), the backup of V_0 by the noise of x_0."""
    n = problem.states
    p = jnp.block([[first.P, first.p[:, None]], [first.p, first.c]])
    now: Decision = decision(problem.with_entries(jax.tree.map(lambda a: a[0], problem.varying)), alpha)
    drawn = eqx.tree_at(lambda d: d.W, now, jnp.zeros((n + 1, n + 1)).at[:n, :n].set(start.covariance))
    _, tilted, constant = after_noise(drawn, p, 1)
    z = jnp.append(start.mean, 1.0)
    return -(z @ tilted @ z + constant) / alpha


@eqx.filter_jit
def _state_marginals(posterior: GaussianPosterior) -> Gaussian:
    def step(now: Gaussian, over_time: tuple[LinearPolicy, LinearDynamics]) -> tuple[Gaussian, Gaussian]:
        policy, dynamics = over_time
        closed = dynamics.A - dynamics.B @ policy.gain
        spread = closed @ now.covariance @ closed.T + dynamics.B @ policy.covariance @ dynamics.B.T + dynamics.W
        mean = closed @ now.mean + dynamics.B @ policy.offset + dynamics.drift
        return Gaussian(mean=mean, covariance=symmetric(spread)), now

    last, before = jax.lax.scan(step, posterior.initial, (posterior.policy, posterior.dynamics))
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), before, last)
