"""Planning with a finite horizon: T backward sweeps, nothing to converge."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from entrax.exact.bellman import (
    ByState,
    Scalar,
    Sweep,
    action_values,
    backup,
    rounding,
    soft_maximiser,
)
from entrax.exact.certificate import modulus
from entrax.exact.solution import Solution, Terminal, finish
from entrax.problems.finite import FiniteMDP


def solve_finite_horizon(mdp: FiniteMDP, sweep: Sweep, temperature: Scalar, horizon: int) -> Solution:
    """`value[t] = T value[t + 1]` from `value[horizon] = 0`. Differentiable by unrolling.

    The error bound adds up the rounding of the sweeps: e_t ≤ ε + β e_{t+1}. Memory grows as horizon · states · actions.
    """
    value, q, policy, bound = _backward(mdp.terminal, sweep, temperature, horizon)
    return Solution(
        value=value,
        q=q,
        policy=policy,
        iterations=jnp.asarray(horizon),
        residual=jnp.asarray(0.0),
        error_bound=bound,
        converged=jnp.asarray(True),
        method="backward-induction",
        error_norm="max over times and states",
    )


@eqx.filter_jit
def _backward(terminal: Terminal, sweep: Sweep, temperature: Scalar, horizon: int) -> tuple:
    beta = modulus(sweep)

    def step(carry: tuple[ByState, Scalar], _: None) -> tuple:
        v, error = carry
        q = action_values(sweep, v)
        policy = soft_maximiser(q, temperature, sweep.log_prior).T
        before = backup(sweep, temperature, v)
        return (before, beta * error + jnp.max(rounding(sweep, temperature, v))), (before, *finish(terminal, q, policy))

    last = jnp.zeros(sweep.reward.shape[1])
    start = (last, jnp.asarray(0.0))
    steps: tuple[Array, Array, Array]
    (_, error), steps = jax.lax.scan(step, start, length=horizon, reverse=True)
    values, q, policy = steps
    return jnp.concatenate([values, last[None]]), q, policy, error
