"""The result of a planner, and Q and policy computed from a value."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from entrax.exact.bellman import ByAction, ByState, Scalar, Sweep, action_values, soft_maximiser

Terminal = Bool[Array | np.ndarray, " state"]


class Solution(eqx.Module):
    """The result of `plan`.

    With a horizon T the arrays have time as their first axis: T + 1 values, of which `value[t]` has T − t decisions
    left, and T of `q` and `policy`.

    Attributes:
        value: V(s), in units of reward. For an average reward it is the relative value, 0 at the first state. NaN in
            states that no episode visits and from which an undiscounted episode cannot end.
        q: Q(s,a); −∞ for excluded actions, 0 in terminal states.
        policy: π(a|s); 0 for excluded actions, uniform in terminal states.
        iterations: the number of sweeps or Newton steps.
        residual: max|T V − V| over the states that an episode can visit.
        error_bound: a certified bound, including rounding, on the error in the norm `error_norm`; ∞ if nothing could be
            certified.
        converged: whether `error_bound` is at most the tolerance. It is False if rewards are so large that 64-bit
            floats cannot meet the tolerance; `state_bound` then shows which states meet it.
        products: the number of applications of P, in sweeps and linear solves.
        average_reward: the gain, in units of reward per step; None for other objectives.
        state_bound: a certified bound on |value − V*| at each state, also for states that no episode visits; ∞ where
            nothing could be certified. None for a horizon and an average reward.
        method: the method used.
        error_norm: the norm of `error_bound`.
    """

    value: Float[Array, "*time state"]
    q: Float[Array, "*steps state action"]
    policy: Float[Array, "*steps state action"]
    iterations: Any
    residual: Scalar
    error_bound: Scalar
    converged: Any
    products: Any = None
    average_reward: Scalar | None = None
    state_bound: Float[Array, " state"] | None = None
    method: str = eqx.field(static=True, default="")
    error_norm: str = eqx.field(static=True, default="max over states that an episode can visit")


@eqx.filter_jit
def q_and_policy(
    terminal: Terminal, sweep: Sweep, temperature: Scalar, value: ByState
) -> tuple[Float[Array, "state action"], Float[Array, "state action"]]:
    """Return Q and the soft policy of V, each of shape (S, A), as in `Solution`."""
    q = action_values(sweep, value)
    return with_terminal_rows(terminal, q, soft_maximiser(q, temperature, sweep.log_prior).T)


def with_terminal_rows(
    terminal: Terminal, q: ByAction, policy: Float[Array, "state action"]
) -> tuple[Float[Array, "state action"], Float[Array, "state action"]]:
    """Return Q with the state first, and the policy, with rows of terminal states."""
    ended = jnp.asarray(terminal)[:, None]
    return jnp.where(ended, 0.0, q.T), jnp.where(ended, 1.0 / q.shape[0], policy)
