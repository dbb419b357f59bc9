"""Iterative LQR: a plan improved by exact solutions of the linear-quadratic problem around its trajectory.

From a plan u_t with states x_t, repeat:

    1. linearise f and expand the cost to second order around (x_t, u_t), in δx and δu                (`linearise`)
    2. add μ δuᵀδu to the cost and solve: δu = k_t − K_t δx, predicted change ΔJ                       (`riccati`)
    3. for s = 1, ½, ¼ …: run u_t + s k_t − K_t δx_t through f, and keep the cheapest plan
    4. if its cost is lower, accept it and reduce μ; otherwise increase μ

Step 2 is the regulator's own recursion, so that the result also has the maximum-entropy policy around the trajectory,

    π_t(u|x) = N(u; u_t + k_t − K_t (x − x_t), ½α M_t⁻¹)

where M includes the last valid μ. It is exact where the problem is linear-quadratic; one iteration then suffices.
Negative eigenvalues of the cost's second derivatives are set to 0 (`linearise`); second derivatives of f are ignored,
as in a Gauss-Newton method.

References:
    Li and Todorov (2004), Iterative linear quadratic regulator design for nonlinear biological movement systems.
    Tassa, Erez and Todorov (2012), Synthesis and stabilization of complex behaviors, for steps 3 and 4.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, ScalarLike

from entrax.errors import UsageError, require
from entrax.exact.checks import check_temperature
from entrax.exact.riccati import back_up, decision, over_decisions, policy_of, values_by_scan
from entrax.exact.small_matrices import cholesky
from entrax.planning.base import Improved, Planner
from entrax.planning.lookahead import Lookahead, Plan, Scalar, as_scalar
from entrax.planning.simulated import Simulated
from entrax.problems.linear_quadratic import LinearPolicy, LinearQuadratic
from entrax.problems.linearise import expanded

STEP_SIZES = 0.5 ** np.arange(11.0)
SMALLEST_MU, LARGEST_MU, MU_FACTOR = 1e-6, 1e10, 10.0

States = Float[Array, "time_1 state"]


class Trajectory(NamedTuple):
    """A plan with its states and its cost, −G."""

    states: States
    plan: Plan
    cost: Scalar


class Optimised(NamedTuple):
    """The result of `optimise`.

    Attributes:
        trajectory: the plan, its states and its cost.
        policy: the local policy in terms of δx: gain K, offset k and covariance Σ for each time.
        iterations: the number of iterations, including those that were not accepted.
        regularisation: the μ of the policy, the last one that gave a valid step.
        converged: whether an iteration changed the cost by no more than the tolerance times 1 + |cost|, and not because
            of a large μ.
    """

    trajectory: Trajectory
    policy: LinearPolicy
    iterations: Int[Array, ""]
    regularisation: Scalar
    converged: Bool[Array, ""]


class _Search(NamedTuple):
    """What one iteration hands to the next: the μ that it is to use, and the last one that gave a valid step."""

    trajectory: Trajectory
    mu: Scalar
    last_valid: Scalar
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


class IterativeLQR(Planner):
    """Iterative LQR as a `Policy`.

    A greedy decision takes the first action u_0 of the plan, others are draws from N(u_0, ½α M_0⁻¹). The info has
    `value`, the plan's return; `iterations`; and `converged`.

    Args:
        lookahead: a deterministic model that does not terminate, whose state is a vector, with bounds 'none': clipping
            has no derivative, and squashed actions leave M singular where they saturate. The environment's own bounds
            still limit what is executed; give actions a cost that keeps them small.
        temperature: α ≥ 0 of the local policy, in units of reward. It does not change the plan.
        iterations: a limit on the iterations of each decision.
        tolerance: see `optimise`.
        seed: unused: greedy decisions are deterministic.
    """

    lookahead: Lookahead
    temperature: Scalar
    tolerance: Scalar
    iterations: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    def __init__(
        self,
        lookahead: Lookahead,
        temperature: ScalarLike = 0.0,
        *,
        iterations: int = 10,
        tolerance: ScalarLike = 1e-6,
        seed: int = 0,
    ):
        check_temperature(temperature)
        require(iterations >= 1, "iterations", "at least 1", iterations)
        check_unbounded(lookahead)
        self.lookahead, self.temperature, self.tolerance = lookahead, as_scalar(temperature), as_scalar(tolerance)
        self.iterations, self.seed = iterations, seed

    def improve(self, plan: Plan, state: PyTree, key: PRNGKeyArray) -> Improved:
        """Optimise the plan, and draw from the local policy."""
        result = optimise(
            self.lookahead, state, plan, self.temperature, iterations=self.iterations, tolerance=self.tolerance
        )
        plan, warm = result.trajectory.plan, self.temperature > 0
        root = cholesky(jnp.where(warm, result.policy.at(0).covariance, jnp.eye(plan.shape[1])))
        drawn = plan[0] + jnp.where(warm, root @ jr.normal(key, plan[0].shape), 0.0)
        return Improved(
            plan=plan,
            candidates=drawn[None],
            log_weights=jnp.zeros(1),
            info={
                "value": -result.trajectory.cost,
                "iterations": result.iterations,
                "converged": result.converged,
            },
        )


def optimise(
    lookahead: Lookahead,
    state: PyTree,
    plan: Plan,
    temperature: ScalarLike = 0.0,
    *,
    iterations: int | Int[Array, ""] = 100,
    tolerance: ScalarLike = 1e-9,
) -> Optimised:
    """Improve a plan by iterative LQR.

    Args:
        lookahead: as for `IterativeLQR`.
        state: the first state, a vector.
        plan: the first plan.
        temperature: α of the local policy.
        iterations: a limit.
        tolerance: the relative change of the cost at which the search ends.

    Raises:
        UsageError: the lookahead bounds actions, or the state is no vector.
    """
    check_unbounded(lookahead)
    if not isinstance(state, jax.Array | np.ndarray) or state.ndim != 1:
        raise UsageError("Iterative LQR requires a state that is a vector. Use `state_of` to flatten it.")
    first = _Search(
        trajectory=rolled_out(lookahead, jnp.asarray(state), lambda x, u: u, plan),
        mu=jnp.zeros((), plan.dtype),
        last_valid=jnp.zeros((), plan.dtype),
        iterations=jnp.zeros((), jnp.int32),
        converged=jnp.asarray(False),
    )

    def going(search: _Search) -> Bool[Array, ""]:
        return ~search.converged & (search.iterations < iterations) & (search.mu <= LARGEST_MU)

    last = jax.lax.while_loop(going, lambda search: iterate(lookahead, search, tolerance), first)
    problem = local_problem(lookahead, last.trajectory, last.last_valid)
    return Optimised(
        trajectory=last.trajectory,
        policy=local_policy(problem, jnp.asarray(temperature, plan.dtype)),
        iterations=last.iterations,
        regularisation=last.last_valid,
        converged=last.converged,
    )


def iterate(lookahead: Lookahead, search: _Search, tolerance: ScalarLike) -> _Search:
    """Do steps 1 to 4 once."""
    old, mu = search.trajectory, search.mu
    policy = local_policy(local_problem(lookahead, old, mu), jnp.zeros_like(mu))
    tried = jax.vmap(lambda size: followed(lookahead, old, policy, size))(jnp.asarray(STEP_SIZES, mu.dtype))
    costs = jnp.where(jnp.isfinite(tried.cost), tried.cost, jnp.inf)
    best = jnp.argmin(costs)
    better = costs[best] < old.cost
    new = jax.tree.map(lambda each, before: jnp.where(better, each[best], before), tried, old)
    # without a better plan, the search has converged only if the full step was valid and changed next to nothing
    change = jnp.abs(jnp.where(better, costs[best], costs[0]) - old.cost)
    lower = jnp.where(mu <= SMALLEST_MU, 0.0, mu / MU_FACTOR)
    return _Search(
        trajectory=new,
        last_valid=jnp.where(jnp.isfinite(change), mu, search.last_valid),
        mu=jnp.where(better, lower, jnp.maximum(mu * MU_FACTOR, SMALLEST_MU)).astype(mu.dtype),
        iterations=search.iterations + 1,
        converged=(change <= tolerance * (1 + jnp.abs(old.cost))) & (~better | (mu <= SMALLEST_MU)),
    )


def local_problem(lookahead: Lookahead, around: Trajectory, mu: Scalar) -> LinearQuadratic:
    """Return the linear-quadratic problem of deviations from a trajectory, with the cost μ δuᵀδu."""
    step, cost, final_cost = smooth_functions(lookahead)
    entries = expanded(step, around.states, around.plan, cost, final_cost, project=True)
    m = around.plan.shape[1]
    regularised: dict[str, Any] = entries | {"R": entries["R"] + mu * jnp.eye(m)}
    return LinearQuadratic(**regularised, discount=jnp.asarray(lookahead.discount, around.plan.dtype))


def local_policy(problem: LinearQuadratic, temperature: Scalar) -> LinearPolicy:
    """Return the regulator's policy at each time, in terms of δx."""
    values = values_by_scan(problem, temperature, 0)

    def each(problem: LinearQuadratic, after: Float[Array, "_ _"]) -> LinearPolicy:
        result = back_up(decision(problem, temperature), after, 0)
        return policy_of(result.gain, result.M, temperature)

    policy: LinearPolicy = over_decisions(problem, each, values[1:])
    return policy


def rolled_out(
    lookahead: Lookahead, state: Float[Array, " state"], action: Callable[[Array, Any], Array], over_time: Any
) -> Trajectory:
    """Return the trajectory of the actions u_t = action(x_t, entry t of `over_time`), with its discounted cost."""
    key = jr.key(0)

    def forward(x: Array, each: Any) -> tuple[Array, tuple[Array, Array, Array]]:
        u = action(x, each)
        after, reward, _ = lookahead.model(x, u, key)
        return after, (x, u, jnp.asarray(reward))

    last, (states, plan, rewards) = jax.lax.scan(forward, state, over_time)
    factors = jnp.asarray(lookahead.discount, plan.dtype) ** jnp.arange(len(plan) + 1)
    cost = -jnp.sum(factors[:-1] * rewards) - factors[-1] * lookahead.final_reward(last)
    return Trajectory(states=jnp.concatenate([states, last[None]]), plan=plan, cost=cost)


def followed(lookahead: Lookahead, around: Trajectory, policy: LinearPolicy, size: Scalar) -> Trajectory:
    """Return the trajectory of u_t + s k_t − K_t δx_t."""

    def action(x: Array, each: Any) -> Array:
        x_bar, u_bar, gain, offset = each
        moved: Array = u_bar + size * offset - gain @ (x - x_bar)
        return moved

    over_time = (around.states[:-1], around.plan, policy.gain, policy.offset)
    return rolled_out(lookahead, around.states[0], action, over_time)


def smooth_functions(lookahead: Lookahead) -> Any:
    """Return dynamics, cost and final cost as functions of state and action."""
    key = jr.key(0)

    def step(x: Array, u: Array) -> Array:
        after: Array = lookahead.model(x, u, key)[0]
        return after

    def cost(x: Array, u: Array) -> Array:
        return -jnp.asarray(lookahead.model(x, u, key)[1])

    def final_cost(x: Array) -> Array:
        return -jnp.asarray(lookahead.final_reward(x))

    return step, cost, final_cost


def check_unbounded(lookahead: Lookahead) -> None:
    """Check that a lookahead has a model of JAX operations, and actions without bounds."""
    if isinstance(lookahead.model, Simulated):
        raise UsageError("Iterative LQR requires derivatives of the model, which a simulator does not have.")
    if lookahead.bounds != "none":
        raise UsageError(f"`bounds` must be none for iterative LQR, got {lookahead.bounds!r}.")
