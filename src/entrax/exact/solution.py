"""What a planner returns, and how Q and policy are read off a value."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from entrax.exact.bellman import ByAction, ByState, Scalar, Sweep, action_values, soft_maximiser

Terminal = Bool[Array | np.ndarray, " state"]


class Solution(eqx.Module):
    """The answer of `plan`.

    With a horizon T the arrays lead with time: `value[t]` has T − t decisions to go, t = 0, …, T; `q` and `policy`
    have t < T. For an average reward `value` is relative: 0 at the first state.

    `error_bound` is certified, rounding included: |value − exact| ≤ `error_bound` in the norm that `error_norm` names,
    in units of reward; +∞ when nothing could be certified. `converged` says that it is at most the tolerance, and
    nothing else. Where rewards are so large that 64-bit floats cannot meet the tolerance, it is False, however good
    the answer; `state_bound` then shows which states are as good as was asked, for it bounds the error at each state.
    A state that no episode visits counts for nothing in `error_bound`, and has a `state_bound` of its own.
    `products` counts applications of P, in sweeps and linear solves together; `residual` is max|T V − V| over the
    states that count.
    An excluded action has q = −∞ and probability 0; a terminal state has q = 0 and takes any action.
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
def read_off(
    terminal: Terminal, sweep: Sweep, temperature: Scalar, value: ByState
) -> tuple[Float[Array, "state action"], Float[Array, "state action"]]:
    """Q and the soft policy of V, each (S, A), as `Solution` has them."""
    q = action_values(sweep, value)
    return finish(terminal, q, soft_maximiser(q, temperature, sweep.log_prior).T)


def finish(
    terminal: Terminal, q: ByAction, policy: Float[Array, "state action"]
) -> tuple[Float[Array, "state action"], Float[Array, "state action"]]:
    """Q with the state first, and both with what is said of terminal states."""
    ended = jnp.asarray(terminal)[:, None]
    return jnp.where(ended, 0.0, q.T), jnp.where(ended, 1.0 / q.shape[0], policy)
