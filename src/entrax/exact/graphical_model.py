"""The graphical model of a finite problem; see `messages` for its equations."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, ScalarLike

from entrax.errors import UsageError
from entrax.exact.checks import check_precision
from entrax.exact.finite_horizon import as_arrays
from entrax.problems.checks import check_horizon
from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP, with_horizon

MIN_TEMPERATURE = 1e-300  # products with 1/α stay finite

ActionValue = Float[Array, "state action"]
Problem = FiniteMDP | FiniteHorizonMDP


class GraphicalModel(eqx.Module):
    """The distributions of one decision, as float64 JAX arrays with finite padding.

    Distributions are normalised, and no action is `allowed` in a terminal state. If there is an `outcome_reward`, the
    exact posterior uses it in place of `reward`. `initial`, `terminal`, `discount` and `temperature` are the same at
    all times.
    """

    initial: Float[Array, " state"]
    prior: ActionValue
    allowed: Bool[Array, "state action"]
    successor: Integer[Array, "state action branch"]
    probability: Float[Array, "state action branch"]
    reward: ActionValue
    outcome_reward: Float[Array, "state action branch"] | None
    terminal: Bool[Array, " state"]
    discount: Float[Array, ""]
    temperature: Float[Array, ""]


class TrajectoryModel(eqx.Module):
    """The model of all T decisions, built by `trajectory_model`."""

    problem: FiniteHorizonMDP
    first: GraphicalModel  # the model of the first decision

    @property
    def horizon(self) -> int:
        """T, the number of decisions."""
        return self.problem.horizon

    def stage(self, arrays: Mapping[str, Any]) -> GraphicalModel:
        """Return the model of one decision, given its slice of the varying arrays."""
        if not self.problem.varying:
            return self.first
        return _graphical_model(self.problem.with_arrays(arrays), self.first.temperature)

    def at(self, t: int) -> GraphicalModel:
        """Return the model of decision t."""
        return self.stage({name: array[t] for name, array in self.problem.varying.items()})


def trajectory_model(mdp: Problem, temperature: ScalarLike, horizon: int | None) -> TrajectoryModel:
    """Build the model of a problem.

    Raises:
        UsageError: JAX is in 32-bit mode, there is no horizon, or the temperature is not positive and finite.
    """
    check_precision()
    _check_temperature(temperature)
    problem = as_arrays(with_horizon(mdp, _decisions(mdp, horizon)))
    return TrajectoryModel(problem, _graphical_model(problem.stage(0), jnp.asarray(temperature, jnp.float64)))


@eqx.filter_jit
def _graphical_model(mdp: FiniteMDP, temperature: Float[Array, ""]) -> GraphicalModel:
    def array(values: Array | np.ndarray) -> Array:
        return jnp.asarray(values, jnp.float64)

    allowed = jnp.ones(mdp.reward.shape, bool) if mdp.mask is None else jnp.asarray(mdp.mask)
    allowed &= ~jnp.asarray(mdp.terminal)[:, None]
    probability = _normalised(jnp.where(allowed[..., None], array(mdp.probability), 0))
    outcome_reward = None
    if mdp.outcome_reward is not None:
        outcome_reward = jnp.where(probability > 0, array(mdp.outcome_reward), 0)
    return GraphicalModel(
        initial=_normalised(array(mdp.initial)),
        prior=_normalised(jnp.where(allowed, 1.0 if mdp.prior is None else array(mdp.prior), 0.0)),
        allowed=allowed,
        successor=jnp.asarray(mdp.successor),
        probability=probability,
        reward=jnp.where(allowed, array(mdp.reward), 0),
        outcome_reward=outcome_reward,
        terminal=jnp.asarray(mdp.terminal),
        discount=jnp.asarray(mdp.discount),
        temperature=temperature,
    )


def _check_temperature(temperature: ScalarLike) -> None:
    if isinstance(temperature, jax.core.Tracer):
        return
    number = float(np.asarray(temperature))
    if not MIN_TEMPERATURE <= number < np.inf:
        raise UsageError(
            f"`temperature` must be finite and at least {MIN_TEMPERATURE:g} for a posterior, got {number:g}. "
            "For temperature 0 use entrax.exact.plan."
        )


def _normalised(weight: Array) -> Array:
    """Divide weights by their sum over the last axis, unless all are 0."""
    total = jnp.sum(weight, axis=-1, keepdims=True)
    return weight / jnp.where(total > 0, total, 1)


def _decisions(mdp: Problem, horizon: int | None) -> int:
    """Return the number of decisions T; raise UsageError if it is unknown or invalid."""
    horizon = mdp.horizon if horizon is None else horizon
    if horizon is None:
        raise UsageError("`horizon` is required for a posterior: set it to the number of decisions.")
    check_horizon(horizon)
    return int(horizon)
