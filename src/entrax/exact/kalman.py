"""Linear-quadratic problems whose state is hidden: filtering, smoothing, and control by separation.

With y_t = C x_t + v_t observed before the decision u_t, beliefs about x_t are Gaussian:

    x_t | y_{<t} ~ N(μ, Π),   L = ΠCᵀ(CΠCᵀ + V)⁻¹                        predicted                               (1)
    x_t | y_{≤t} ~ N(μ + L(y − Cμ), (I − LC)Π(I − LC)ᵀ + LVLᵀ)            filtered                                (2)
    Π' = A Π_f Aᵀ + W                                                    the next prediction                     (3)
    log p(y) = Σ_t log N(y_t; Cμ_t, CΠ_tCᵀ + V)                          the log evidence                        (4)
    x_t | y_{<T} ~ N(μ + Πλ, Π − ΠΛΠ)                                    smoothed                                (5)

where λ and Λ are the score and the information of later observations: with S = CΠCᵀ + V and F = A(I − LC),
λ = CᵀS⁻¹(y − Cμ) + Fᵀλ' and Λ = CᵀS⁻¹C + FᵀΛ'F, from 0 at the end. Π may be singular.

**Duality.** (1) to (3) for Π are the Riccati equation of the regulator with A, B, Q, R replaced by Aᵀ, Cᵀ, W, V, so
`stationary_filter` is `regulator` of that problem, with its certificate. Smoothing is the exact posterior of a problem
without control whose cost is −α log p(y|x): the result of `smooth` equals the state marginals of that
`gaussian_posterior`.

**Separation.** With expected outcomes the best policy is that of the observed state at the filtered mean, and its
return is lower by Σ_t γᵗ tr(KᵀMKΠ_f), the cost of uncertainty. It holds for the variational form only: the exact
posterior believes in measurement noise that helps.

References:
    Kalman (1960), A new approach to linear filtering and prediction problems.
    Rauch, Tung and Striebel (1965), Maximum likelihood estimates of linear dynamic systems.
    Bryson and Frazier (1963), Smoothing for linear and nonlinear dynamic systems, for (5).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float, ScalarLike
from numpy.typing import ArrayLike

from entrax.errors import UsageError
from entrax.exact.checks import check_precision, is_traced
from entrax.exact.gaussian_posterior import Gaussian
from entrax.exact.regulator import DEFAULT_TOLERANCE, RegulatorSolution, regulator, with_horizon
from entrax.exact.riccati import Matrix, Scalar, as_arrays, symmetric
from entrax.exact.stationary_riccati import hidden_mode, square_root
from entrax.problems.linear_quadratic import LinearQuadratic


class Filtered(eqx.Module):
    """The result of `kalman_filter`.

    Attributes:
        predicted: x_t given the observations before t, t = 0 … T − 1.
        filtered: x_t given the observations up to t.
        log_evidence: log p(y_0 … y_{T−1}) in nats.
    """

    predicted: Gaussian
    filtered: Gaussian
    log_evidence: Scalar


class StationaryFilter(eqx.Module):
    """The filter after many observations.

    Attributes:
        predicted_covariance: Π.
        covariance: Π_f, of the filtered state.
        gain: L.
        error_bound: a certified bound on the error of Π in the spectral norm.
        converged: whether `error_bound` is at most the tolerance.
        problem: the problem.
    """

    predicted_covariance: Float[Array, "state state"]
    covariance: Float[Array, "state state"]
    gain: Float[Array, "state observation"]
    error_bound: Scalar
    converged: Any
    problem: LinearQuadratic

    def update(self, mean: ArrayLike, observation: ArrayLike) -> Float[Array, " state"]:
        """Return the filtered mean from the predicted mean and an observation."""
        mean, problem = jnp.asarray(mean, jnp.float64), self.problem
        assert problem.C is not None
        return mean + self.gain @ (jnp.asarray(observation) - problem.C @ mean)

    def predict(self, mean: ArrayLike, action: ArrayLike) -> Float[Array, " state"]:
        """Return the mean of the next state from the filtered mean and an action."""
        return (
            jnp.asarray(self.problem.A) @ jnp.asarray(mean) + self.problem.B @ jnp.asarray(action) + self.problem.drift
        )


class LQGSolution(eqx.Module):
    """The result of `lqg`.

    Attributes:
        control: the solution for an observed state; its policy is applied to the filtered mean.
        filter: the stationary filter; None with a horizon.
        covariances: Π_f at each decision; None without a horizon.
        cost_of_uncertainty: tr(KᵀMKΠ_f) of each decision, in units of reward.
        average_reward: with `objective=average`, the gain with a hidden state.
        expected_return: with a horizon, the expected return, entropies included, from the initial distribution.
    """

    control: RegulatorSolution
    filter: StationaryFilter | None
    covariances: Float[Array, "time state state"] | None
    cost_of_uncertainty: Float[Array, "*time"]
    average_reward: Scalar | None
    expected_return: Scalar | None


def kalman_filter(problem: LinearQuadratic, observations: ArrayLike, actions: ArrayLike | None = None) -> Filtered:
    """Compute the beliefs about the state, and the log evidence of observations.

    Args:
        problem: a problem with `C` and `V`.
        observations: y_t, shape (T, p).
        actions: u_t, applied after y_t, shape (T, m); by default 0. The last one is not used.

    Raises:
        UsageError: the problem has no observations, shapes do not fit, or JAX is in 32-bit mode.
    """
    return _filter(*_checked(problem, observations, actions))


def smooth(problem: LinearQuadratic, observations: ArrayLike, actions: ArrayLike | None = None) -> Gaussian:
    """Compute x_t given all observations, t = 0 … T − 1.

    Arguments and errors as for `kalman_filter`.
    """
    return _smooth(*_checked(problem, observations, actions))


def stationary_filter(problem: LinearQuadratic, *, tolerance: float = DEFAULT_TOLERANCE) -> StationaryFilter:
    """Compute the filter that the time-varying one tends to.

    Args:
        problem: a problem with `C` and `V` that does not change with time.
        tolerance: the largest `error_bound` at which the result has converged.

    Raises:
        UsageError: the problem has no observations, changes with time, or has a mode that does not decay and is not
            observed, or has no noise.
    """
    check_precision()
    _check_observed(problem)
    if problem.varying:
        raise UsageError("A stationary filter requires a problem that does not change with time. Use `kalman_filter`.")
    if not is_traced(problem):
        _check_filterable(problem)
    full: Any = as_arrays(with_horizon(problem, None))
    dual = LinearQuadratic(A=full.A.T, B=full.C.T, Q=full.W, R=full.V)
    solution = regulator(dual, 0.0, objective="average", tolerance=tolerance)
    gain, covariance, _ = _updated(solution.value.P, full.C, full.V)
    return StationaryFilter(
        predicted_covariance=solution.value.P,
        covariance=covariance,
        gain=gain,
        error_bound=solution.error_bound,
        converged=solution.converged,
        problem=full,
    )


def lqg(
    problem: LinearQuadratic,
    temperature: ScalarLike,
    *,
    objective: str = "discounted",
    horizon: int | np.integer | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
) -> LQGSolution:
    """Compute the soft-optimal control of a problem whose state is hidden, by separation.

    Arguments and errors as for `regulator` and `stationary_filter`.
    """
    _check_observed(problem)
    control = regulator(problem, temperature, objective=objective, horizon=horizon, tolerance=tolerance)
    horizon = problem.horizon if horizon is None else int(horizon)
    gain = jnp.asarray(control.policy.gain)
    weight = jnp.swapaxes(gain, -1, -2) @ control.curvature @ gain
    if horizon is None:
        steady = stationary_filter(problem, tolerance=tolerance)
        cost = jnp.sum(weight * steady.covariance)
        gained = None if control.average_reward is None else control.average_reward - cost
        return LQGSolution(
            control=control,
            filter=steady,
            covariances=None,
            cost_of_uncertainty=cost,
            average_reward=gained,
            expected_return=None,
        )
    full: Any = as_arrays(with_horizon(problem, horizon))
    nothing = jnp.zeros((horizon, problem.observations))
    covariances = _filter(full, nothing, jnp.zeros((horizon, full.actions))).filtered.covariance
    costs = jnp.sum(weight * covariances, axis=(1, 2))
    first, mean = control.value.at(0), full.initial_mean
    observed = first(mean) - jnp.sum(first.P * full.initial_covariance)
    discounts = jnp.asarray(full.discount) ** jnp.arange(horizon)
    return LQGSolution(
        control=control,
        filter=None,
        covariances=covariances,
        cost_of_uncertainty=costs,
        average_reward=None,
        expected_return=observed - jnp.sum(discounts * costs),
    )


def _checked(problem: LinearQuadratic, observations: ArrayLike, actions: ArrayLike | None) -> tuple[Any, Array, Array]:
    """Return the problem with a horizon, observations and actions as arrays."""
    check_precision()
    _check_observed(problem)
    y = jnp.asarray(observations, jnp.float64)
    if y.ndim != 2 or y.shape[1] != problem.observations or len(y) != (problem.horizon or max(1, len(y))):
        time = "T" if problem.horizon is None else problem.horizon
        raise UsageError(f"`observations` must have shape ({time}, {problem.observations}), got {y.shape}.")
    u = jnp.zeros((len(y), problem.actions)) if actions is None else jnp.asarray(actions, jnp.float64)
    if u.shape != (len(y), problem.actions):
        raise UsageError(f"`actions` must have shape {(len(y), problem.actions)}, got {u.shape}.")
    return as_arrays(with_horizon(problem, len(y))), y, u


def _check_observed(problem: LinearQuadratic) -> None:
    if problem.C is None:
        raise UsageError("The problem has no observations. Give `C` and `V`: y = C x + v with v ~ N(0, V).")


def _check_filterable(problem: LinearQuadratic) -> None:
    """Check that every mode that does not decay is observed, and is driven by noise."""
    a, c, w = (np.asarray(each) for each in (problem.A, problem.C, problem.W))
    if (mode := hidden_mode(a.T, c.T)) is not None:
        raise UsageError(
            f"The state cannot be estimated: no observation shows the mode of eigenvalue {mode} of A, which does not "
            "decay. Observe it, or use `kalman_filter`."
        )
    if (mode := hidden_mode(a, square_root(w))) is not None:
        raise UsageError(
            f"There is no stationary filter: the mode of eigenvalue {mode} of A does not decay and has no noise, so "
            "that the filter depends on the initial distribution. Give it noise, or use `kalman_filter`."
        )


def _updated(predicted: Matrix, c: Any, v: Any) -> tuple[Matrix, Matrix, Matrix]:
    """Return L, Π_f and the Cholesky factor of CΠCᵀ + V, equations (1) and (2)."""
    root = jnp.linalg.cholesky(symmetric(c @ predicted @ c.T + v))
    gain = cho_solve((root, True), c @ predicted).T
    rest = jnp.eye(len(predicted)) - gain @ c
    return gain, symmetric(rest @ predicted @ rest.T + gain @ v @ gain.T), root


@eqx.filter_jit
def _filter(problem: Any, y: Array, u: Array) -> Filtered:
    def step(now: Gaussian, over_time: tuple[Any, Array, Array]) -> tuple[Gaussian, tuple[Gaussian, Gaussian, Array]]:
        entries, y, u = over_time
        each = problem.with_entries(entries)
        gain, covariance, root = _updated(now.covariance, each.C, each.V)
        surprise = y - each.C @ now.mean
        scaled = solve_triangular(root, surprise, lower=True)
        log = -(jnp.sum(scaled**2) + len(y) * jnp.log(2 * jnp.pi)) / 2 - jnp.sum(jnp.log(jnp.diagonal(root)))
        here = Gaussian(mean=now.mean + gain @ surprise, covariance=covariance)
        return _predicted(each, here, u), (now, here, log)

    start = Gaussian(mean=jnp.asarray(problem.initial_mean), covariance=jnp.asarray(problem.initial_covariance))
    _, (predicted, filtered, log) = jax.lax.scan(step, start, (problem.varying, y, u))
    return Filtered(predicted=predicted, filtered=filtered, log_evidence=jnp.sum(log))


def _predicted(problem: Any, now: Gaussian, u: Array) -> Gaussian:
    """Return the belief about the next state, equation (3)."""
    mean = problem.A @ now.mean + problem.B @ u + problem.drift
    return Gaussian(mean=mean, covariance=symmetric(problem.A @ now.covariance @ problem.A.T + problem.W))


@eqx.filter_jit
def _smooth(problem: Any, y: Array, u: Array) -> Gaussian:
    """Return the smoothed beliefs, equation (5)."""
    n = problem.states

    def step(
        later: tuple[Array, Matrix], over_time: tuple[Any, Array, Gaussian]
    ) -> tuple[tuple[Array, Matrix], Gaussian]:
        (score, information), (entries, y, now) = later, over_time
        each = problem.with_entries(entries)
        gain, _, root = _updated(now.covariance, each.C, each.V)
        scaled = solve_triangular(root, jnp.column_stack([each.C, y - each.C @ now.mean]), lower=True)
        c, surprise = scaled[:, :n], scaled[:, n]
        passed = each.A @ (jnp.eye(n) - gain @ each.C)
        score = c.T @ surprise + passed.T @ score
        information = symmetric(c.T @ c + passed.T @ information @ passed)
        covariance = symmetric(now.covariance - now.covariance @ information @ now.covariance)
        return (score, information), Gaussian(mean=now.mean + now.covariance @ score, covariance=covariance)

    over_time = problem.varying, y, _filter(problem, y, u).predicted
    return jax.lax.scan(step, (jnp.zeros(n), jnp.zeros((n, n))), over_time, reverse=True)[1]
