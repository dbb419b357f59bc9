"""The log-likelihood of demonstrated actions, with a certified error."""

import numpy as np
from jaxtyping import Float

from entrax.exact import Solution
from entrax.exact.bellman import make_sweep
from entrax.inverse.sensitivity import Model, Table

_EPS = float(np.finfo(float).eps)


def certified_log_likelihood(
    model: Model, demonstrated: Table, reward: Float[np.ndarray, "state action"], solution: Solution
) -> tuple[float, float]:
    """Return Σ n log π in nats, and a bound on its error.

    log π = log π₀ + (Q − V)/α with Q = r + γ P V, so an error e of V changes it by at most (γ P e + e)/α. Bounds on e
    are those of `entrax.exact.plan`, which include rounding; to them come the roundings of Q, of the difference and of
    the sum.
    """
    alpha, value = model.temperature, np.asarray(solution.value)
    if solution.state_bound is None:
        bound = np.full(value.shape, float(solution.error_bound))
        bound[..., np.asarray(model.mdp.terminal)] = 0.0
    else:
        bound = np.asarray(solution.state_bound)
    finite = np.where(np.isfinite(value), value, 0.0)
    total, error, size, terms = 0.0, 0.0, 0.0, 0
    log_prior = np.zeros(reward.shape)
    if model.convention == "kl":
        prior = make_sweep(model.mdp, True).log_prior
        assert prior is not None
        log_prior = np.asarray(prior).T
    over_time = demonstrated if demonstrated.ndim == 3 else demonstrated[None]
    for t, n in enumerate(over_time):
        now, after = (t, t + 1) if demonstrated.ndim == 3 else (..., ...)
        taken = n > 0
        q = np.where(model.allowed, reward, 0.0) + model.discount * model.expectation(finite[after])
        log_policy = (q - finite[now][:, None]) / alpha + log_prior
        off = (model.discount * model.expectation(bound[after]) + bound[now][:, None]) / alpha
        numbers = np.abs(reward) + model.discount * model.expectation(np.abs(finite[after]))
        numbers = (model.mdp.branches + 6) * (numbers + np.abs(finite[now])[:, None]) / alpha + 4 * np.abs(log_prior)
        total += float(np.sum(n[taken] * log_policy[taken]))
        error += float(np.sum(n[taken] * (off + _EPS * numbers)[taken]))
        size += float(np.sum(n[taken] * np.abs(log_policy[taken])))
        terms += int(taken.sum())
    return total, (error + _EPS * (terms + 2) * size) * (1 + 8 * _EPS)
