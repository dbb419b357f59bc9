"""What a planner maximises: the return of a plan from a state, under a model that is handed in.

A model is a function `model(state, action, key) → (next_state, reward, terminated)` for one state and one action. The
state is any pytree. A deterministic model ignores the key. A model outside of JAX is a `Simulated` instead. A plan is
an array [time, action] of numbers without limits, which `bounded` maps to actions:

    none     the plan itself
    clip     each entry limited to [-1, 1]; what a planner averages are the limited entries
    squash   tanh of each entry; what a planner averages are the entries before tanh
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, ScalarLike

from entrax.errors import UsageError, require, require_one_of
from entrax.exact.checks import is_traced
from entrax.planning.simulated import Simulated, discounted
from entrax.problems import LinearQuadratic
from entrax.problems.checks import check_discount

Model = Callable[[PyTree, Array, PRNGKeyArray], tuple[PyTree, Array, Array]]
Plan = Float[Array, "time action"]
Scalar = Float[Array, ""]
Numbers = Any
"""An array, nested lists of numbers, or a number."""

BOUNDS = ("none", "clip", "squash")


def _whole(obs: Array) -> Array:
    return obs


def _nothing(state: PyTree) -> Scalar:
    return jnp.zeros(())


class Lookahead(eqx.Module):
    """The return of a plan: G = Σ_t γᵗ r_t + γᵀ final_reward(s_T), where rewards after termination are 0.

    Args:
        model: the dynamics and the reward, for one state and one action, of JAX operations only; or a `Simulated`.
        action_size: the number of entries of an action.
        horizon: T, the number of actions of a plan.
        discount: γ in [0, 1].
        final_reward: a function of the last state, such as a learned value; by default 0. A `Simulated` has none.
        state_of: the model's state from an observation; by default the observation itself.
        bounds: 'none', 'clip' or 'squash', see the module. The last two keep actions in [-1, 1].
        particles: the number of returns that are averaged for each plan. More than one is for models with noise: with
            one, a soft maximum over plans prefers those with lucky noise, as the exact posterior does.
    """

    model: Any
    action_size: int = eqx.field(static=True)
    horizon: int = eqx.field(static=True)
    discount: Any = 1.0
    final_reward: Any = _nothing
    state_of: Any = _whole
    bounds: str = eqx.field(static=True, default="clip")
    particles: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        require(self.action_size >= 1, "action_size", "at least 1", self.action_size)
        require(self.horizon >= 1, "horizon", "at least 1", self.horizon)
        require(self.particles >= 1, "particles", "at least 1", self.particles)
        require_one_of("bounds", self.bounds, BOUNDS)
        check_discount(self.discount)
        if isinstance(self.model, Simulated) and self.final_reward is not _nothing:
            raise UsageError("`final_reward` requires a model of JAX operations: a simulator returns no last state.")

    def bounded(self, plan: Float[Array, "*time action"]) -> Float[Array, "*time action"]:
        """Return the actions of a plan."""
        if self.bounds == "clip":
            return jnp.clip(plan, -1.0, 1.0)
        return jnp.tanh(plan) if self.bounds == "squash" else plan

    def feasible(self, plan: Plan) -> Plan:
        """Return the plan that a planner averages; it has the same actions."""
        return self.bounded(plan) if self.bounds == "clip" else plan

    def returns(self, state: PyTree, plan: Plan, key: PRNGKeyArray) -> Scalar:
        """Return G of one plan, averaged over the particles, in units of reward."""
        keys = jr.split(key, self.particles)
        return jnp.mean(jax.vmap(lambda key: self._return(state, plan, key))(keys))

    def _return(self, state: PyTree, plan: Plan, key: PRNGKeyArray) -> Scalar:
        if isinstance(self.model, Simulated):
            return discounted(*self.model.rewards(state, self.bounded(plan), key), self.discount)

        def step(carry: Any, each: tuple[Array, PRNGKeyArray]) -> tuple[Any, None]:
            state, alive, factor, total = carry
            state, reward, terminated = self.model(state, *each)
            total = total + jnp.where(alive, factor * reward, 0.0)
            return (state, alive & ~jnp.asarray(terminated, bool), factor * self.discount, total), None

        actions = self.bounded(plan)
        one, zero = jnp.ones((), plan.dtype), jnp.zeros((), plan.dtype)
        start = (state, jnp.asarray(True), one, zero)
        (state, alive, factor, total), _ = jax.lax.scan(step, start, (actions, jr.split(key, self.horizon)))
        return total + jnp.where(alive, factor * self.final_reward(state), 0.0)


def model_of(
    dynamics: Callable[[Array, Array], Array],
    cost: Callable[[Array, Array], Any],
    terminated: Callable[[Array], Any] | None = None,
) -> Model:
    """Return the deterministic model of a function of state and action, whose reward is −cost.

    Args:
        dynamics: x' = f(x, u).
        cost: l(x, u), of the state before the step.
        terminated: whether an episode ends in x'; by default never.
    """

    def model(x: Array, u: Array, key: PRNGKeyArray) -> tuple[Array, Array, Array]:
        after = dynamics(x, u)
        ended: Bool[Array, ""] = jnp.asarray(False if terminated is None else terminated(after))
        return after, -jnp.asarray(cost(x, u)), ended

    return model


def simulated_lookahead(simulate: Any, horizon: int, action_size: int, **options: Any) -> Lookahead:
    """Return the return of plans in a simulator that watches an environment.

    The planner ignores observations: its plans begin at the environment's present state.

    Args:
        simulate: the simulator, as `entrax.environments.simulator_of` makes it.
        horizon: the number of decisions.
        action_size: the number of entries of an action.
        **options: further arguments of `Lookahead`.
    """
    given = {"state_of": _no_state} | options
    return Lookahead(Simulated(simulate), action_size=action_size, horizon=horizon, **given)


def _no_state(obs: Array) -> tuple[()]:
    return ()


def linear_quadratic_lookahead(problem: LinearQuadratic, horizon: int, **options: Any) -> Lookahead:
    """Return the return of plans in a linear-quadratic problem, whose actions have no bounds.

    Args:
        problem: a problem that does not change with time. Its noise is the model's.
        horizon: the number of decisions.
        **options: further arguments of `Lookahead`.

    Raises:
        UsageError: the problem changes with time.
    """
    if problem.varying:
        raise UsageError("A planner's model must not change with time. Give a problem without a leading axis of time.")
    noise = _root(problem.W)

    def model(x: Array, u: Array, key: PRNGKeyArray) -> tuple[Array, Array, Array]:
        p = problem
        cost = x @ p.Q @ x + 2 * x @ p.N @ u + u @ p.R @ u + 2 * p.q @ x + 2 * p.r @ u + p.constant
        after = jnp.asarray(p.A @ x + p.B @ u + p.drift)
        if noise is not None:
            after = after + noise @ jr.normal(key, x.shape)
        return after, -cost, jnp.asarray(False)

    def final_reward(x: Array) -> Scalar:
        return -(x @ problem.final_Q @ x + 2 * problem.final_q @ x + problem.final_constant)

    given = {"bounds": "none", "discount": problem.discount, "final_reward": final_reward}
    return Lookahead(model, action_size=problem.actions, horizon=horizon, **(given | options))


def _root(covariance: Any) -> Any:
    """Return a square root of a covariance; None if it is 0."""
    if not is_traced(covariance) and not jnp.any(covariance):
        return None
    eigenvalues, vectors = jnp.linalg.eigh(covariance)
    return vectors * jnp.sqrt(jnp.maximum(eigenvalues, 0.0))


def as_scalar(value: ScalarLike) -> Scalar:
    """Return a 0-d array of floats, so that another value needs no compilation."""
    return jnp.asarray(value, float)
