"""A finite problem of T decisions, with arrays that may change over time.

    V_T(s) = `final_value[s]`,   Q_t(s,a) = r_t(s,a) + γ Σ_k p_t(k|s,a) V_{t+1}(s'_k),   t = 0 … T−1            (1)

A `FiniteMDP` with a horizon is the special case of constant arrays and V_T = 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer
from numpy.typing import ArrayLike

from entrax.errors import UsageError
from entrax.problems import checks
from entrax.problems.finite import FiniteMDP

VARYING = ("successor", "probability", "reward", "outcome_reward", "prior", "mask")
"""The arrays of a problem that may change with time."""

OverTime = Float[Array | np.ndarray, "time state action"]


class FiniteHorizonMDP(eqx.Module):
    """A problem of T decisions with arrays that may differ between decisions.

    Args:
        mdp: the problem whose arrays are used unless they are given here.
        horizon: T; by default the length of the arrays given here, or the problem's own horizon.
        successor: as in `FiniteMDP`, with time as a leading axis, like the other arrays: entry t is for decision t.
        probability: given together with `successor`, it may have another number of branches than `mdp`.
        reward: must be None if `mdp` or this problem has outcome rewards, since it is their mean.
        outcome_reward: r_t(s,a,k).
        prior: weights ≥ 0 of π₀(a|s) at each time.
        mask: True where an action is allowed at each time.
        final_value: V_T(s), the value of each state after the last decision, in units of reward; 0 by default. It
            must be 0 in terminal states.

    Raises:
        UsageError: the problem is not valid; the message names the decision, state and action.
    """

    mdp: FiniteMDP
    successor: Integer[Array | np.ndarray, "time state action branch"] | None
    probability: Float[Array | np.ndarray, "time state action branch"] | None
    reward: OverTime | None
    outcome_reward: Float[Array | np.ndarray, "time state action branch"] | None
    prior: OverTime | None
    mask: Bool[Array | np.ndarray, "time state action"] | None
    final_value: Float[Array | np.ndarray, " state"] | None
    horizon: int = eqx.field(static=True)

    def __init__(
        self,
        mdp: FiniteMDP,
        *,
        horizon: int | None = None,
        successor: ArrayLike | None = None,
        probability: ArrayLike | None = None,
        reward: ArrayLike | None = None,
        outcome_reward: ArrayLike | None = None,
        prior: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        final_value: ArrayLike | None = None,
    ):
        self.mdp = mdp
        self.successor = _array(successor, None)
        self.probability = _array(probability, float)
        self.reward = _array(reward, float)
        self.outcome_reward = _array(outcome_reward, float)
        self.prior = _array(prior, float)
        self.mask = _array(mask, None)
        self.final_value = _array(final_value, float)
        self.horizon = _decisions(mdp, horizon, self.varying)
        self._check()

    @classmethod
    def from_stages(cls, stages: Sequence[FiniteMDP], *, final_value: ArrayLike | None = None) -> "FiniteHorizonMDP":
        """Build a problem from one `FiniteMDP` for each decision.

        Args:
            stages: the problems. They may differ in transitions, rewards, priors and masks only.
            final_value: V_T(s), the value of each state after the last decision; 0 by default.

        Raises:
            UsageError: the stages do not fit together.
        """
        if not stages:
            raise UsageError("`stages` must have one problem for each decision, got none.")
        branches = max(stage.branches for stage in stages)
        first, *_ = stages = [_with_branches(stage, branches) for stage in stages]
        for t, stage in enumerate(stages):
            for name in ("initial", "terminal", "discount"):
                if _differ(getattr(stage, name), getattr(first, name)):
                    raise UsageError(f"`{name}` must be the same in all stages, but those of stages 0 and {t} differ.")
        arrays = {}
        for name in VARYING:
            given = [getattr(stage, name) for stage in stages]
            if any((array is None) != (given[0] is None) for array in given):
                raise UsageError(f"Either all stages or none must have `{name}`; only some have it.")
            if any(array is not given[0] for array in given):
                arrays[name] = _stacked(name, given)
        if first.outcome_reward is not None:
            arrays.pop("reward", None)
        return cls(replace(first, horizon=None), horizon=len(stages), final_value=final_value, **arrays)

    @property
    def states(self) -> int:
        """S, the number of states."""
        return self.mdp.states

    @property
    def actions(self) -> int:
        """A, the largest number of actions in a state."""
        return self.mdp.actions

    @property
    def varying(self) -> dict[str, Any]:
        """The arrays that change with time, by name."""
        return {name: getattr(self, name) for name in VARYING if getattr(self, name) is not None}

    def stage(self, t: int) -> FiniteMDP:
        """Return the problem of decision t."""
        return self.with_arrays({name: array[t] for name, array in self.varying.items()})

    def with_arrays(self, arrays: Mapping[str, Any]) -> FiniteMDP:
        """Return the problem of one decision, given its slice of each array in `varying`."""
        arrays = dict(arrays)
        outcome = arrays.get("outcome_reward", self.mdp.outcome_reward)
        if outcome is not None and not arrays.keys().isdisjoint({"outcome_reward", "probability"}):
            probability = arrays.get("probability", self.mdp.probability)
            where = jnp.where if isinstance(outcome, jax.Array) or isinstance(probability, jax.Array) else np.where
            arrays["reward"] = (probability * where(probability > 0, outcome, 0.0)).sum(-1)
        return replace(self.mdp, **arrays, horizon=None)

    def _check(self) -> None:
        if self.reward is not None and (self.outcome_reward is not None or self.mdp.outcome_reward is not None):
            raise UsageError(
                "`reward` must be None if there is an `outcome_reward`, since it is its mean. Give `outcome_reward` "
                "only, or a problem without it: dataclasses.replace(mdp, outcome_reward=None)."
            )
        _check_final_value(self.mdp, self.final_value)
        concrete = all(isinstance(array, np.ndarray) for array in self.varying.values())
        for t in range(self.horizon if concrete and self.varying else 1):
            try:
                self.stage(t)
            except UsageError as error:
                raise UsageError(f"At decision {t}: {error}") from error


def with_horizon(problem: FiniteMDP | FiniteHorizonMDP, horizon: int) -> FiniteHorizonMDP:
    """Return the problem with this number of decisions."""
    if isinstance(problem, FiniteMDP):
        return FiniteHorizonMDP(problem, horizon=horizon)
    return problem if problem.horizon == horizon else replace(problem, horizon=horizon)


def _array(given: ArrayLike | None, dtype: type | None) -> Any:
    """Convert to a NumPy array of the type, except for None and JAX arrays."""
    return given if given is None or isinstance(given, jax.Array) else np.asarray(given, dtype)


def _decisions(mdp: FiniteMDP, horizon: int | None, varying: Mapping[str, Array | np.ndarray]) -> int:
    """Return T from the argument, the arrays or the problem, which must agree.

    The argument `horizon` overrides the problem's own horizon.
    """
    checks.check_horizon(horizon)
    lengths = {f"`{name}`": array.shape[0] if array.ndim else 0 for name, array in varying.items()}
    given = {"`horizon`": horizon, **lengths, "`mdp.horizon`": mdp.horizon}
    known = {name: int(length) for name, length in given.items() if length is not None}
    if not known:
        raise UsageError("The number of decisions is unknown. Give `horizon`, or arrays whose first axis is time.")
    first, decisions = next(iter(known.items()))
    for name, length in known.items():
        if length != decisions and not (name == "`mdp.horizon`" and first == "`horizon`"):
            raise UsageError(
                f"{first} and {name} must have the same number of decisions, got {decisions} and {length}."
            )
    checks.check_horizon(decisions)
    return decisions


def _check_final_value(mdp: FiniteMDP, value: Array | np.ndarray | None) -> None:
    if value is None:
        return
    if value.shape != (mdp.states,):
        raise UsageError(f"`final_value` must have shape {(mdp.states,)}, one entry for each state, got {value.shape}.")
    if not isinstance(value, np.ndarray):
        return
    if (bad := checks.first(~np.isfinite(value))) is not None:
        raise UsageError(f"`final_value` of state {bad[0]} must be finite, got {value[bad]}.")
    if (bad := checks.first(np.asarray(mdp.terminal) & (value != 0))) is not None:
        raise UsageError(
            f"`final_value` of the terminal state {bad[0]} must be 0, got {value[bad]}. "
            "Reward the transitions that enter it instead."
        )


def _with_branches(mdp: FiniteMDP, branches: int) -> FiniteMDP:
    """Pad `mdp` to this number of branches."""
    more = branches - mdp.branches
    if more == 0:
        return mdp

    def padded(array: Any, fill: int) -> Any:
        pad = jnp.pad if isinstance(array, jax.Array) else np.pad
        return None if array is None else pad(array, ((0, 0), (0, 0), (0, more)), constant_values=fill)

    return replace(
        mdp,
        successor=padded(mdp.successor, mdp.states),
        probability=padded(mdp.probability, 0),
        outcome_reward=padded(mdp.outcome_reward, 0),
    )


def _stacked(name: str, arrays: Sequence[Any]) -> Array | np.ndarray:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise UsageError(f"All stages must have the same states and actions, but `{name}` has shapes {sorted(shapes)}.")
    return (jnp if any(isinstance(array, jax.Array) for array in arrays) else np).stack(arrays)


def _differ(one: Any, other: Any) -> bool:
    if one is other or isinstance(one, jax.core.Tracer) or isinstance(other, jax.core.Tracer):
        return False
    return not np.array_equal(one, other)
