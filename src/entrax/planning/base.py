"""What planners share: the plan as a carry, the shift from one decision to the next, and how to act.

Every decision improves the plan of the decision before, shifted by one step (warm start). A greedy decision takes the
plan's first action. Otherwise it draws one of the candidates in proportion to its weight: for path integral control
this is a draw from the soft-optimal policy, as the number of samples grows.

The noise of a greedy decision follows from `seed` and the number of the step, so that the same observations give the
same actions.
"""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Shaped

from entrax.planning.lookahead import Lookahead, Plan
from entrax.spec import Progress


class PlanCarry(NamedTuple):
    """A planner's carry: its plan [time, action] for the next step on, and the number of that step."""

    plan: Plan
    step: Int[Array, ""]


class Improved(NamedTuple):
    """The result of one decision.

    Attributes:
        plan: the new plan.
        candidates: first entries of plans, from which a decision that is not greedy draws.
        log_weights: their log-probabilities, up to a constant.
        info: numbers to report.
    """

    plan: Plan
    candidates: Float[Array, "samples action"]
    log_weights: Float[Array, " samples"]
    info: dict[str, Shaped[Array, ""]]


class Planner(eqx.Module):
    """A `Policy` that improves a plan at every step."""

    lookahead: eqx.AbstractVar[Lookahead]
    seed: eqx.AbstractVar[int]

    @abstractmethod
    def improve(self, plan: Plan, state: PyTree, key: PRNGKeyArray) -> Improved:
        """Improve a plan from a state of the model."""

    def initial_carry(self) -> PlanCarry:
        """Return a plan of zeros."""
        plan = jnp.zeros((self.lookahead.horizon, self.lookahead.action_size))
        return PlanCarry(plan=plan, step=jnp.zeros((), jnp.int32))

    def act(
        self, carry: PlanCarry, obs: Array, progress: Progress, key: PRNGKeyArray | None, greedy: bool
    ) -> tuple[Float[Array, " action"], PlanCarry, dict[str, Shaped[Array, ""]]]:
        """Act on one observation, as `Policy` says."""
        if key is None:
            key = jr.fold_in(jr.key(self.seed), carry.step)
        plan_key, draw_key = jr.split(key)
        state = in_dtype(self.lookahead.state_of(obs), carry.plan.dtype)
        improved = self.improve(carry.plan, state, plan_key)
        plan = improved.plan.astype(carry.plan.dtype)
        first = plan[0] if greedy else improved.candidates[jr.categorical(draw_key, improved.log_weights)]
        return self.lookahead.bounded(first), PlanCarry(plan=shifted(plan), step=carry.step + 1), improved.info


def shifted(plan: Plan) -> Plan:
    """Return the plan one step later; its last entry is repeated."""
    return jnp.concatenate([plan[1:], plan[-1:]])


def in_dtype(state: PyTree, dtype: jnp.dtype) -> PyTree:
    """Return the state with its floating-point numbers in the precision of the plan."""
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, state)
