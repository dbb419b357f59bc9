"""The graphical model of a finite problem, as JAX arrays: its equations are those of `messages`."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, ScalarLike

from entrax.errors import UsageError
from entrax.exact.finite_horizon import as_arrays
from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP, with_horizon

COLDEST = 1e-300  # so that 1/α is finite with room to multiply

ActionValue = Float[Array, "state action"]
Problem = FiniteMDP | FiniteHorizonMDP


class GraphicalModel(eqx.Module):
    """The distributions of one decision as JAX arrays in float64, with what padding holds replaced by harmless numbers.

    Distributions are normalised; no action is `allowed` in a terminal state. `outcome_reward` replaces `reward` in the
    exact posterior, if there is one. `initial`, `terminal`, `discount` and `temperature` are the same at all times.
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
    """The model of all T decisions. Made by `trajectory_model`."""

    problem: FiniteHorizonMDP
    first: GraphicalModel  # of the first decision

    @property
    def horizon(self) -> int:
        """T, the number of decisions."""
        return self.problem.horizon

    def stage(self, arrays: Mapping[str, Any]) -> GraphicalModel:
        """The model of one decision, given its slice of what varies in the problem."""
        if not self.problem.varying:
            return self.first
        return _graphical_model(self.problem.with_arrays(arrays), self.first.temperature)

    def at(self, t: int) -> GraphicalModel:
        """The model of decision t."""
        return self.stage({name: array[t] for name, array in self.problem.varying.items()})


def trajectory_model(mdp: Problem, temperature: ScalarLike, horizon: int | None) -> TrajectoryModel:
    """The model of a problem. Raises EntraxError in 32-bit mode and for a temperature or horizon that is no use."""
    if jnp.result_type(float) != jnp.float64:
        raise UsageError("Exact inference needs 64-bit floats: call it under jax.enable_x64(True).")
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
    if not COLDEST <= number < np.inf:
        raise UsageError(
            f"The posterior needs a finite temperature of at least {COLDEST:g}, not {number:g}; "
            "for hard optimality, temperature 0, use planning."
        )


def _normalised(weight: Array) -> Array:
    """Weights divided by their sum over the last axis; left at 0 where all are."""
    total = jnp.sum(weight, axis=-1, keepdims=True)
    return weight / jnp.where(total > 0, total, 1)


def _decisions(mdp: Problem, horizon: int | None) -> int:
    """The number of decisions T. Raises EntraxError when there is none or it is below 1."""
    horizon = mdp.horizon if horizon is None else horizon
    if horizon is None:
        raise UsageError("The posterior of a trajectory needs a horizon: give horizon=, the number of decisions.")
    if horizon < 1 or horizon != int(horizon):
        raise UsageError(f"A horizon is a whole number of decisions, at least 1, not {horizon}.")
    return int(horizon)
