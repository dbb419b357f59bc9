"""Rewards that are networks of features, by either objective of `causal`.

The gradient with respect to the parameters is that of the table of rewards, which is exact, times that of the network.
Parameters of a network are not identified, so that there are no standard errors, and the maximum found is a local one.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.optimize import minimize

from entrax.errors import UsageError, require_one_of
from entrax.exact import CONVENTIONS
from entrax.exact.checks import check_precision
from entrax.inverse.demonstrations import Demonstrations
from entrax.inverse.features import checked_features
from entrax.inverse.result import Table, observe
from entrax.inverse.sensitivity import (
    OBJECTIVES,
    likelihood_terms,
    make_model,
    moment_terms,
    objective_value,
    reward_gradient,
    solve,
)
from entrax.inverse.settings import by_feature, check_positive
from entrax.problems import FiniteMDP

Network = TypeVar("Network", bound=eqx.Module)
_RELATIVE_TOLERANCE = 1e-10  # of values, in units of the temperature


@dataclass(frozen=True)
class NetworkReward:
    """The result of `fit_network`; the other fields are those of `InferredReward`.

    Attributes:
        network: the network with its fitted parameters.
        reward: r(s,a), in the units of the temperature; 0 for excluded actions.
        objective_value: the objective without penalty, in nats.
        log_likelihood: Σ w log π(a_t|s_t) in nats.
        log_likelihood_error: a certified bound on its error.
        demonstrated_visits: Σ w Σ_t γ^t of each (s, a).
        expected_visits: the same under the policy.
        converged: whether the optimiser met its tolerance.
        iterations: the number of its steps.
    """

    network: Any
    reward: Table
    objective_value: float
    log_likelihood: float
    log_likelihood_error: float
    demonstrated_visits: Table
    expected_visits: Table
    solution: Any
    converged: bool
    iterations: int


def fit_network(
    mdp: FiniteMDP,
    demos: Demonstrations,
    features: Any,
    network: Network,
    *,
    temperature: float | int = 1.0,
    objective: str = "likelihood",
    convention: str = "entropy",
    l2: float | int = 0.0,
    max_iterations: int = 500,
) -> NetworkReward:
    """Infer a reward that a network computes from features, by L-BFGS on exact gradients.

    Args:
        mdp: the problem, as for `fit`.
        demos: the demonstrations.
        features: shape (S, F), (S, A, F) or (S, A, K, F). With features of transitions the reward is the mean of the
            network's values.
        network: maps the features of one state, state-action or transition, shape (F,), to one number.
        temperature: α > 0.
        objective: 'likelihood' or 'moments'.
        convention: 'entropy' or 'kl'.
        l2: the precision of a normal prior on the parameters.
        max_iterations: the most steps.

    Raises:
        UsageError: as for `fit`, or an undiscounted value is not finite at some parameters.
    """
    check_precision()
    require_one_of("objective", objective, OBJECTIVES)
    require_one_of("convention", convention, CONVENTIONS)
    alpha, rate = check_positive("temperature", temperature), float(by_feature("l2", l2, 1)[0])
    inputs = jnp.asarray(checked_features(mdp, features), jnp.float64)
    model = make_model(mdp, demos, alpha, convention, _RELATIVE_TOLERANCE * alpha)
    terms = likelihood_terms(model, demos) if objective == "likelihood" else moment_terms(model, demos)
    parameters, static = eqx.partition(network, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), parameters))
    chance = jnp.asarray(mdp.probability)

    def rewards(theta: Array) -> Array:
        function = eqx.combine(unravel(theta), static)
        values = jax.vmap(lambda x: jnp.reshape(function(x), ()))(inputs.reshape(-1, inputs.shape[-1]))
        table = values.reshape(inputs.shape[:-1])
        if table.ndim == 3:
            table = jnp.sum(jnp.where(chance > 0, chance * table, 0.0), axis=-1)
        return jnp.broadcast_to(table if table.ndim == 2 else table[:, None], mdp.reward.shape)

    table_of = jax.jit(rewards)
    pull = jax.jit(lambda theta, slope: jax.vjp(rewards, theta)[1](slope)[0])
    nearby: list[Any] = [None]

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        reward = np.asarray(table_of(theta))
        solution = solve(model, reward, nearby[0])
        if solution is None:
            raise UsageError(
                "The undiscounted value is not finite at some parameters of the network. Set a `discount` below 1, a "
                "`horizon`, or a network whose rewards are negative enough."
            )
        nearby[0] = solution.value
        slope = np.asarray(pull(theta, jnp.asarray(reward_gradient(model, terms, solution))))
        value = objective_value(model, terms, reward, solution) - rate * float(theta @ theta) / 2
        return -value, rate * theta - slope

    found = minimize(
        loss,
        np.asarray(flat),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iterations, "maxfun": 10 * max_iterations, "ftol": 1e-13, "gtol": 1e-6},
    )
    reward = np.asarray(table_of(found.x))
    solution = solve(model, reward, nearby[0])
    assert solution is not None
    seen = observe(model, demos, np.zeros((*mdp.reward.shape, 1)), reward, solution)
    return NetworkReward(
        network=eqx.combine(unravel(jnp.asarray(found.x)), static),
        reward=np.where(model.allowed, reward, 0.0),
        objective_value=objective_value(model, terms, reward, solution),
        converged=bool(found.success),
        iterations=int(found.nit),
        **{name: value for name, value in seen.items() if not name.endswith("features")},
    )
