"""Objectives of inverse reinforcement learning with exact first and second derivatives.

With the soft value V, Q and policy π of a reward r at temperature α, both objectives have the form

    F(r) = (Σ_{s,a} m(s,a) r(s,a) + Σ_s c(s) V(s))/α                                                          (1)

and with a horizon the same with sums over time. With x = c + γ P_πᵀ x, the flow of c,

    ∂F/∂r(s,a) = (m(s,a) + x(s) π(a|s))/α                                                                     (2)

If r = Σ_k θ_k φ_k, let V_k = Σ_a π (φ_k + γ P V_k) be the value of feature k under π, and g_k = φ_k + γ P V_k − V_k its
advantage. Then ∂ log π/∂θ_k = g_k/α, and

    ∂²F/∂θ_k∂θ_l = Σ_{s,a} x(s) π(a|s) g_k(s,a) g_l(s,a)/α²                                                   (3)

(2) takes one linear solve, as reverse-mode differentiation of `entrax.exact.plan` does, and (3) one for each feature.

References:
    Ziebart, Bagnell and Dey (2010), Modeling interaction via the principle of maximum causal entropy.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import sparse

from entrax.errors import UsageError
from entrax.exact import Solution, plan
from entrax.exact.bellman import PolicyTransitions
from entrax.exact.krylov import bicgstab
from entrax.exact.linear import residual_operator, solve_policy_transposed
from entrax.inverse.demonstrations import UNKNOWN, Demonstrations, allowed_actions
from entrax.problems import FiniteMDP
from entrax.problems.graph import cannot_terminate

OBJECTIVES = ("likelihood", "moments")
_DENSE = 1500  # the most states for dense linear solves
_DIGITS = 1e-11  # of an iterative solve for the value of a feature, relative to the right-hand side
_MAX_PRODUCTS = 100_000

ByState = Float[np.ndarray, "*time state"]
Table = Float[np.ndarray, "*time state action"]


class Terms(NamedTuple):
    """m and c of equation (1), with time as their first axis if there is a horizon."""

    m: Table
    c: ByState


class Derivatives(NamedTuple):
    """Derivatives of F with respect to the weights of features.

    Attributes:
        gradient: ∂F/∂θ.
        hessian: ∂²F/∂θ².
        spread: the sum over demonstrated decisions of the mean of g gᵀ/α² over the allowed actions. A direction in its
            null space changes no policy in a demonstrated state.
    """

    gradient: Float[np.ndarray, " feature"]
    hessian: Float[np.ndarray, "feature feature"]
    spread: Float[np.ndarray, "feature feature"]


@dataclass(frozen=True)
class Model:
    """A problem whose reward is to be inferred, and how it is solved.

    Attributes:
        mdp: the problem. Episodes start where the demonstrations do; a reward of −∞ excludes an action.
        transition: P, one row for each (s, a), without the column of the end.
        allowed: True where an action is not excluded.
        temperature: α.
        convention: 'entropy' or 'kl'.
        tolerance: the largest error of V, in units of reward.
    """

    mdp: FiniteMDP
    transition: Any
    allowed: np.ndarray
    temperature: float
    convention: str
    tolerance: float

    @property
    def discount(self) -> float:
        return float(self.mdp.discount)

    def expectation(self, value: np.ndarray) -> np.ndarray:
        """Return E V(s') of each (s, a), for V with any further axes."""
        return np.asarray(self.transition @ value).reshape(self.mdp.states, self.mdp.actions, *value.shape[1:])


def make_model(mdp: FiniteMDP, demos: Demonstrations, temperature: float, convention: str, tolerance: float) -> Model:
    """Check demonstrations against a problem, and build the model."""
    demos.check(mdp)
    start = np.bincount(demos.state[demos.first], weights=demos.weight, minlength=mdp.states)
    states, actions, branches = np.shape(mdp.successor)
    row = np.repeat(np.arange(states * actions), branches)
    column, probability = np.ravel(mdp.successor), np.ravel(np.asarray(mdp.probability, float))
    inside = (column < states) & (probability > 0)
    entries = (probability[inside], (row[inside], column[inside]))
    return Model(
        mdp=replace(mdp, initial=start / start.sum(), outcome_reward=None),
        transition=sparse.csr_array(entries, shape=(states * actions, states)),
        allowed=allowed_actions(mdp),
        temperature=temperature,
        convention=convention,
        tolerance=tolerance,
    )


def count_decisions(model: Model, demos: Demonstrations, discount: float) -> Table:
    """Return Σ w γ^t over the demonstrated decisions (s, a), or (t, s, a) with a horizon."""
    shape: tuple[int, ...] = (model.mdp.states, model.mdp.actions)
    index: tuple[np.ndarray, ...] = (demos.state, demos.action)
    if model.mdp.horizon is not None:
        shape, index = (model.mdp.horizon, *shape), (demos.time, *index)
    counts = np.zeros(shape)
    np.add.at(counts, index, demos.weight[demos.trajectory] * discount**demos.time)
    return counts


def likelihood_terms(model: Model, demos: Demonstrations) -> Terms:
    """Return m and c of the log-likelihood Σ w log π(a_t|s_t): F = Σ n (Q − V)/α."""
    n = count_decisions(model, demos, 1.0)
    ahead = model.discount * np.asarray(n.reshape(*n.shape[:-2], -1) @ model.transition)
    if n.ndim == 3:
        ahead = np.concatenate([np.zeros_like(ahead[:1]), ahead[:-1]])
    return Terms(m=n, c=ahead - n.sum(-1))


def moment_terms(model: Model, demos: Demonstrations) -> Terms:
    """Return m and c of the dual of moment matching: F = Σ w (Σ_t γ^t r_t − V(s_0) + γ^T V(s_T))/α.

    The last term is that of a trajectory that was cut off; if its last outcome is unknown, it is the expected one.
    """
    states, discount, last = model.mdp.states, model.discount, demos.last
    c = np.zeros((model.mdp.horizon or 1, states))
    np.add.at(c, (0, demos.state[demos.first]), -demos.weight)
    length = demos.lengths
    tail = demos.weight * discount**length
    final = demos.next_state[last]
    when = length if model.mdp.horizon is not None else np.zeros_like(length)
    inside = when < len(c)
    known = inside & (final != UNKNOWN) & (final < states)
    np.add.at(c, (when[known], final[known]), tail[known])
    for i in np.flatnonzero(inside & (final == UNKNOWN)):
        row = demos.state[last[i]] * model.mdp.actions + demos.action[last[i]]
        c[when[i]] += tail[i] * model.transition[[row]].toarray()[0]
    c[:, np.asarray(model.mdp.terminal)] = 0.0
    return Terms(m=count_decisions(model, demos, discount), c=c if model.mdp.horizon is not None else c[0])


def solve(model: Model, reward: Float[np.ndarray, "state action"], start: Any = None) -> Solution | None:
    """Return the soft-optimal solution of a reward, or None if it has no finite value where episodes go."""
    mdp = replace(model.mdp, reward=np.where(model.allowed, reward, np.where(model.mdp.reward > -np.inf, 0.0, -np.inf)))
    usable = start is not None and mdp.horizon is None and np.all(np.isfinite(start))
    try:
        solution = plan(
            mdp,
            model.temperature,
            convention=model.convention,
            tolerance=model.tolerance,
            start=start if usable else None,
        )
    except UsageError:
        if float(mdp.discount) < 1.0 or mdp.horizon is not None:
            raise
        return None
    return solution if bool(jnp.isfinite(solution.error_bound)) else None


def objective_value(model: Model, terms: Terms, reward: np.ndarray, solution: Solution) -> float:
    """Return F of equation (1)."""
    value = np.asarray(solution.value)[: len(terms.c)]
    first = np.sum(np.where(terms.m != 0, terms.m * np.where(model.allowed, reward, 0.0), 0.0))
    second = np.sum(np.where(terms.c != 0, terms.c * value, 0.0))
    return float(first + second) / model.temperature


def policy_of(model: Model, solution: Solution) -> Table:
    """Return π, with rows of 0 in terminal states and where an undiscounted episode never ends."""
    policy = np.where(np.asarray(model.mdp.terminal)[:, None], 0.0, np.asarray(solution.policy))
    if model.discount == 1.0 and model.mdp.horizon is None:
        policy[cannot_terminate(model.mdp, policy)] = 0.0
    return np.where(np.isfinite(policy), policy, 0.0)


class Chain:
    """Linear systems of one policy, with or without a horizon."""

    def __init__(self, model: Model, policy: Table):
        self.model, self.policy = model, policy
        self.stationary = policy.ndim == 2
        states, actions = policy.shape[-2:]
        self._matrix: Any = None
        if self.stationary and states <= _DENSE:
            rows = np.arange(0, states * actions + 1, actions)
            weights = sparse.csr_array((policy.ravel(), np.arange(states * actions), rows))
            self._matrix = np.eye(states) - model.discount * (weights @ model.transition).toarray()

    def flow(self, c: ByState) -> ByState:
        """Return x = c + γ P_πᵀ x."""
        if not self.stationary:
            x = np.array(c)
            for t in range(len(x) - 1):
                moved = (x[t][:, None] * self.policy[t]).ravel() @ self.model.transition
                x[t + 1] += self.model.discount * moved
            return x
        if self._matrix is not None:
            return np.linalg.solve(self._matrix.T, c)
        return np.asarray(_flow_of_many(self._rows(), jnp.asarray(self.model.discount), jnp.asarray(c)))

    def value(self, b: Float[np.ndarray, "state feature"]) -> Float[np.ndarray, "state feature"]:
        """Return v = b + γ P_π v for each column of b, for a stationary policy."""
        if self._matrix is not None:
            return np.linalg.solve(self._matrix, b)
        return np.asarray(_values_of_many(self._rows(), jnp.asarray(self.model.discount), jnp.asarray(b.T))).T

    def _rows(self) -> PolicyTransitions:
        return _policy_transitions(self.model.mdp.successor, self.model.mdp.probability, self.policy)


@eqx.filter_jit
def _policy_transitions(successor: Any, probability: Any, policy: Any) -> PolicyTransitions:
    states = len(successor)
    weight = jnp.asarray(policy)[..., None] * jnp.asarray(probability)
    return PolicyTransitions(
        successor=jnp.asarray(successor).astype(jnp.int32).reshape(states, -1).T, weight=weight.reshape(states, -1).T
    )


@eqx.filter_jit
def _flow_of_many(rows: PolicyTransitions, discount: Array, c: Array) -> Array:
    return solve_policy_transposed(rows, discount, c)


@eqx.filter_jit
def _values_of_many(rows: PolicyTransitions, discount: Array, b: Array) -> Array:
    def solve_one(column: Array) -> Array:  # only the Hessian needs these, so they need fewer digits than the gradient
        tolerance = _DIGITS * jnp.max(jnp.abs(column))
        return bicgstab(lambda x: residual_operator(rows, discount, x), column, tolerance, _MAX_PRODUCTS).x

    return jax.lax.map(solve_one, b)


def reward_gradient(model: Model, terms: Terms, solution: Solution) -> Float[np.ndarray, "state action"]:
    """Return ∂F/∂r of equation (2), summed over time."""
    policy = policy_of(model, solution)
    slope = terms.m + Chain(model, policy).flow(terms.c)[..., None] * policy
    return slope.reshape(-1, *policy.shape[-2:]).sum(0) / model.temperature


def differentiate(
    model: Model, terms: Terms, demonstrated: Table, features: np.ndarray, solution: Solution
) -> Derivatives:
    """Return the derivatives with respect to the weights of features, equations (2) and (3).

    Args:
        model: the model.
        terms: m and c of the objective.
        demonstrated: the number of demonstrated decisions of each (s, a), or (t, s, a).
        features: φ(s,a), shape (S, A, F).
        solution: that of the reward at which the derivatives are taken.
    """
    policy = policy_of(model, solution)
    chain = Chain(model, policy)
    flow = chain.flow(terms.c)
    count = features.shape[-1]
    gradient = np.einsum(
        "sa,saf->f", (terms.m + flow[..., None] * policy).reshape(-1, *policy.shape[-2:]).sum(0), features
    )
    hessian, spread = np.zeros((count, count)), np.zeros((count, count))
    mean = model.allowed / np.maximum(model.allowed.sum(1, keepdims=True), 1)
    for x, pi, n, g in _advantages(chain, flow, policy, demonstrated.sum(-1), features):
        rows = g.reshape(-1, count)
        hessian += rows.T @ (rows * (x[:, None] * pi).reshape(-1, 1))
        spread += rows.T @ (rows * (n[:, None] * mean).reshape(-1, 1))
    square = model.temperature**2
    return Derivatives(gradient=gradient / model.temperature, hessian=hessian / square, spread=spread / square)


def _advantages(chain: Chain, flow: ByState, policy: Table, visited: ByState, features: np.ndarray) -> Any:
    """Yield flow, policy, demonstrated decisions and g of each decision, the last one first."""
    model = chain.model
    if chain.stationary:
        own = np.einsum("sa,saf->sf", policy, features)
        value = chain.value(own)
        q = features + model.discount * model.expectation(value)
        yield flow, policy, visited, q - value[:, None]
        return
    value = np.zeros((features.shape[0], features.shape[2]))
    for t in reversed(range(len(policy))):
        q = features + model.discount * model.expectation(value)
        value = np.einsum("sa,saf->sf", policy[t], q)
        yield flow[t], policy[t], visited[t], q - value[:, None]
