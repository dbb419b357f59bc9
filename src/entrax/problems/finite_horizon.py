"""A finite problem of T decisions that may change from one decision to the next, and what its last states are worth.

    V_T(s) = `final_value[s]`,   Q_t(s,a) = r_t(s,a) + γ Σ_k p_t(k|s,a) V_{t+1}(s'_k),   t = 0 … T−1            (1)

`FiniteMDP` with a horizon is the case in which nothing changes and V_T is 0.
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

from entrax.errors import EntraxError
from entrax.problems import checks
from entrax.problems.finite import FiniteMDP

VARYING = ("successor", "probability", "reward", "outcome_reward", "prior", "mask")
"""The arrays of a problem that may change with time."""

OverTime = Float[Array | np.ndarray, "time state action"]


class FiniteHorizonMDP(eqx.Module):
    """T decisions in `mdp`, some of whose arrays may be replaced at each decision.

    `successor`, `probability`, `reward`, `outcome_reward`, `prior` and `mask` are as in `FiniteMDP`, with one more
    axis in front: entry t is for decision t, whatever `mdp` holds. Successors and probabilities may have another
    number of branches than `mdp` if both are given. With outcome rewards, in `mdp` or here, `reward` is their
    expectation and must not be given. `final_value` is what each state is worth after the last decision, 0 by default
    and in terminal states.

    `horizon` is by default the length of the arrays, or the problem's own. EntraxError names the decision, state and
    action that are wrong.
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
        """One problem for each decision: they may differ in transitions, rewards, priors and masks."""
        if not stages:
            raise EntraxError("There are no stages: give one problem for each decision.")
        branches = max(stage.branches for stage in stages)
        first, *_ = stages = [_with_branches(stage, branches) for stage in stages]
        for t, stage in enumerate(stages):
            for name in ("initial", "terminal", "discount"):
                if _differ(getattr(stage, name), getattr(first, name)):
                    raise EntraxError(f"Stage {t} has another {name} than stage 0; it must be the same in all stages.")
        arrays = {}
        for name in VARYING:
            given = [getattr(stage, name) for stage in stages]
            if any((array is None) != (given[0] is None) for array in given):
                raise EntraxError(f"Some stages have {name} and others do not: give it to all or to none.")
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
        """The problem of decision t."""
        return self.with_arrays({name: array[t] for name, array in self.varying.items()})

    def with_arrays(self, arrays: Mapping[str, Any]) -> FiniteMDP:
        """The problem of one decision, given its slice of each array in `varying`."""
        arrays = dict(arrays)
        outcome = arrays.get("outcome_reward", self.mdp.outcome_reward)
        if outcome is not None and not arrays.keys().isdisjoint({"outcome_reward", "probability"}):
            probability = arrays.get("probability", self.mdp.probability)
            where = jnp.where if isinstance(outcome, jax.Array) or isinstance(probability, jax.Array) else np.where
            arrays["reward"] = (probability * where(probability > 0, outcome, 0.0)).sum(-1)
        return replace(self.mdp, **arrays, horizon=None)

    def _check(self) -> None:
        if self.reward is not None and (self.outcome_reward is not None or self.mdp.outcome_reward is not None):
            raise EntraxError(
                "reward is the expectation of outcome_reward where there is one: give outcome_reward alone, or a "
                "problem without it (dataclasses.replace(mdp, outcome_reward=None))."
            )
        _check_final_value(self.mdp, self.final_value)
        concrete = all(isinstance(array, np.ndarray) for array in self.varying.values())
        for t in range(self.horizon if concrete and self.varying else 1):
            try:
                self.stage(t)
            except EntraxError as error:
                raise EntraxError(f"At decision {t}: {error}") from error


def with_horizon(problem: FiniteMDP | FiniteHorizonMDP, horizon: int) -> FiniteHorizonMDP:
    """The problem with this number of decisions."""
    if isinstance(problem, FiniteMDP):
        return FiniteHorizonMDP(problem, horizon=horizon)
    return problem if problem.horizon == horizon else replace(problem, horizon=horizon)


def _array(given: ArrayLike | None, dtype: type | None) -> Any:
    """JAX arrays as they are, NumPy arrays of the type for anything else."""
    return given if given is None or isinstance(given, jax.Array) else np.asarray(given, dtype)


def _decisions(mdp: FiniteMDP, horizon: int | None, varying: Mapping[str, Array | np.ndarray]) -> int:
    """T, of which arrays, argument and problem must give the same, if any."""
    checks.check_horizon(horizon)
    lengths = {name: array.shape[0] if array.ndim else 0 for name, array in varying.items()}
    given = {"horizon": horizon, **lengths, "the problem's horizon": mdp.horizon}
    found = {name: int(length) for name, length in given.items() if length is not None}
    if not found:
        raise EntraxError("The number of decisions is not known: give horizon, or arrays that lead with time.")
    first, decisions = next(iter(found.items()))
    for name, length in found.items():
        if length != decisions and not (name == "the problem's horizon" and first == "horizon"):
            raise EntraxError(f"{name} has {length} decisions, and {first} has {decisions}: they must be the same.")
    checks.check_horizon(decisions)
    return decisions


def _check_final_value(mdp: FiniteMDP, value: Array | np.ndarray | None) -> None:
    if value is None:
        return
    if value.shape != (mdp.states,):
        raise EntraxError(f"final_value has shape {value.shape}: it must be {(mdp.states,)}, one entry for each state.")
    if not isinstance(value, np.ndarray):
        return
    if (bad := checks.first(~np.isfinite(value))) is not None:
        raise EntraxError(f"The final value of state {bad[0]} is {value[bad]}: it must be finite.")
    if (bad := checks.first(np.asarray(mdp.terminal) & (value != 0))) is not None:
        raise EntraxError(
            f"State {bad[0]} is terminal with final value {value[bad]}: it must be 0. Reward what leads there instead."
        )


def _with_branches(mdp: FiniteMDP, branches: int) -> FiniteMDP:
    """`mdp` with padding up to this number of branches."""
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
        raise EntraxError(
            f"The stages have {name} of shapes {sorted(shapes)}: they must have the same states and actions."
        )
    return (jnp if any(isinstance(array, jax.Array) for array in arrays) else np).stack(arrays)


def _differ(one: Any, other: Any) -> bool:
    if one is other or isinstance(one, jax.core.Tracer) or isinstance(other, jax.core.Tracer):
        return False
    return not np.array_equal(one, other)
