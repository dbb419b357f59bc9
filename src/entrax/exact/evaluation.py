"""Exact evaluation of any policy of a finite problem: values, visits and return.

    V = Σ_a π (Q − α log π/π₀),  Q = r + γ P V                     the soft value                             (1)
    d(s) = p₀(s) + γ Σ_{s',a} d(s') π(a|s') p(s|s',a)              expected discounted visits                 (2)
    J = Σ_s p₀(s) V(s)                                             expected return                            (3)

For an average reward, V is relative to the gain g, d is the stationary distribution, and J = g. With a horizon all
quantities depend on time, see `finite_horizon`.

The **policy gradient** with respect to the logits θ of a table of softmax policies is, for each objective,

    ∂J/∂θ(s,a) = d(s) π(a|s) (Q(s,a) − α log π(a|s)/π₀(a|s) − V(s))                                           (4)

References:
    Sutton, McAllester, Singh and Mansour (2000), Policy gradient methods for reinforcement learning with function
        approximation.
    Schulman, Chen and Abbeel (2017), arXiv:1704.06440, for the entropy.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, ScalarLike

from entrax.errors import UsageError, require_one_of
from entrax.exact.bellman import (
    ByAction,
    ByState,
    Scalar,
    Sweep,
    action_values,
    make_sweep,
    policy_transitions,
    undiscounted,
)
from entrax.exact.checks import check_no_average, check_precision, check_temperature, is_traced
from entrax.exact.components import closed_classes
from entrax.exact.distance import graph_of, visited
from entrax.exact.finite_horizon import evaluate_over_time
from entrax.exact.finiteness import with_terminal
from entrax.exact.linear import solve_policy_by_scale, solve_policy_transposed, solve_relative, stationary
from entrax.problems.checks import check_horizon
from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP, with_horizon
from entrax.problems.graph import cannot_terminate

Policy = Float[Array | np.ndarray, "*time state action"]
Problem = FiniteMDP | FiniteHorizonMDP


class PolicyEvaluation(eqx.Module):
    """The result of `evaluate`; rewards are in the problem's units.

    With a horizon T the arrays have time as their first axis: T + 1 values, the last one for the end, and T of the
    others.

    Attributes:
        value: V(s). For an average reward it is 0 at the first state. Without a discount it is NaN in states that no
            episode visits and from which the policy may never end.
        q: Q(s,a); 0 in terminal states.
        entropy: H(π(·|s)) in nats.
        visits: d(s) π(a|s). The sum is at most 1/(1 − γ); without a discount it is the expected number of decisions
            before the episode ends or all later rewards are 0; for an average reward it is 1.
        expected_return: J.
    """

    value: Float[Array, "*time state"]
    q: Float[Array, "*steps state action"]
    entropy: Float[Array, "*steps state"]
    visits: Float[Array, "*steps state action"]
    expected_return: Scalar


def evaluate(
    mdp: Problem,
    policy: Policy,
    temperature: ScalarLike = 0.0,
    *,
    convention: str = "entropy",
    objective: str = "discounted",
    horizon: int | None = None,
) -> PolicyEvaluation:
    """Evaluate a policy by equations (1) to (3).

    The result is differentiable with respect to the policy and the problem.

    Args:
        mdp: the problem.
        policy: `policy[s, a]` = π(a|s), or `policy[t, s, a]` = π_t(a|s) with a horizon. Rows of terminal states are
            ignored.
        temperature: α ≥ 0, in units of reward; 0 for the value without entropy.
        convention: 'entropy', or 'kl' for −KL(π ‖ π₀) in place of the entropy.
        objective: 'discounted' or 'average'.
        horizon: the number of decisions; by default the problem's own, or the length of a policy that depends on time.

    Raises:
        UsageError: JAX is in 32-bit mode, a row of the policy is not a distribution over allowed actions, an
            undiscounted policy may never end, or the policy of an average reward has several closed classes.
    """
    check_precision()
    check_temperature(temperature)
    require_one_of("convention", convention, ("entropy", "kl"))
    require_one_of("objective", objective, ("discounted", "average"))
    kl, average = convention == "kl", objective == "average"
    alpha = jnp.asarray(temperature, jnp.float64)
    horizon = _horizon(mdp, policy, objective, horizon)
    if horizon is not None:
        return PolicyEvaluation(**evaluate_over_time(with_horizon(mdp, horizon), policy, alpha, kl))
    assert isinstance(mdp, FiniteMDP)
    sweep = make_sweep(mdp, kl)
    if is_traced((mdp, policy, temperature)):
        return _evaluate(*_chain(mdp, policy), sweep, alpha, average)
    _check(mdp, sweep, np.asarray(policy), objective)
    endless = _endless_states(mdp, sweep, np.asarray(policy), alpha, average)
    smaller = with_terminal(mdp, endless.zero_value | endless.undefined)
    evaluation = _evaluate(*_chain(smaller, policy), make_sweep(smaller, kl), alpha, average)
    return evaluation if smaller is mdp else _completed(mdp, sweep, policy, endless, evaluation)


def _chain(mdp: FiniteMDP, policy: Policy) -> tuple[Array, ByState, ByAction]:
    """Return terminal states, the initial distribution over others, and the policy."""
    terminal = jnp.asarray(mdp.terminal)
    first = (jnp.arange(mdp.actions) == 0)[:, None]
    pi = jnp.where(terminal, jnp.where(first, 1.0, 0.0), jnp.asarray(policy, jnp.float64).T)
    return terminal, jnp.where(terminal, 0.0, jnp.asarray(mdp.initial, jnp.float64)), pi


class _EndlessStates(NamedTuple):
    """States from which an undiscounted policy may never end.

    All rewards from `zero_value` states are 0. No episode visits `undefined` states.
    """

    zero_value: Bool[np.ndarray, " state"]
    undefined: Bool[np.ndarray, " state"]


def _endless_states(
    mdp: FiniteMDP, sweep: Sweep, policy: np.ndarray, temperature: Scalar, average: bool
) -> _EndlessStates:
    """Return the endless states; raise UsageError if an episode may not end."""
    none = np.zeros(mdp.states, bool)
    stuck = none.copy()
    if not average and float(mdp.discount) == 1.0:
        stuck[cannot_terminate(mdp, policy)] = True
    if not stuck.any():
        return _EndlessStates(zero_value=none, undefined=none)
    taken = (policy > 0) & ~np.asarray(mdp.terminal)[:, None]
    reward = np.asarray(mdp.reward) + float(temperature) * np.asarray(_soft_bonus(sweep, jnp.asarray(policy).T)).T
    successor = np.asarray(mdp.successor)
    edges = (np.asarray(mdp.probability) > 0) & taken[..., None] & (successor < mdp.states)
    forward = graph_of(successor, edges)
    backward = forward.T.tocsr()
    zero_value = stuck & ~visited(backward, np.any(taken & (reward != 0), axis=1))
    stuck[:] = False
    stuck[cannot_terminate(with_terminal(mdp, zero_value), policy)] = True
    undefined = visited(backward, stuck)
    bad = np.flatnonzero(undefined & visited(forward, np.asarray(mdp.initial) > 0))
    if len(bad):
        raise UsageError(
            f"`policy` may never end an episode from state {bad[0]}. Set `discount` below 1, or set `horizon`."
        )
    return _EndlessStates(zero_value=zero_value, undefined=undefined)


def _completed(
    mdp: FiniteMDP, sweep: Sweep, policy: Policy, endless: _EndlessStates, evaluation: PolicyEvaluation
) -> PolicyEvaluation:
    """Set Q and entropy of endless states, which were evaluated as terminal states."""
    undefined, pi = jnp.asarray(endless.undefined), _chain(mdp, policy)[2]
    q = jnp.where(jnp.asarray(mdp.terminal), 0.0, action_values(sweep, evaluation.value)).T
    return PolicyEvaluation(
        value=jnp.where(undefined, jnp.nan, evaluation.value),
        q=jnp.where(undefined[:, None], jnp.nan, q),
        entropy=jnp.sum(pi * _minus_log(pi), axis=0),
        visits=evaluation.visits,
        expected_return=evaluation.expected_return,
    )


@eqx.filter_jit
def _evaluate(
    terminal: Array, start: ByState, pi: ByAction, sweep: Sweep, temperature: Scalar, average: bool
) -> PolicyEvaluation:
    rows = policy_transitions(sweep, pi)
    bonus = _soft_bonus(sweep, pi)
    reward = jnp.sum(pi * (jnp.where(pi > 0, sweep.reward, 0.0) + temperature * bonus), axis=0)
    if average:
        sweep = undiscounted(sweep)
        value, gain = solve_relative(rows, reward)
        visits = stationary(rows)
        q, expected_return = action_values(sweep, value) - gain, gain
    else:
        value = solve_policy_by_scale(rows, sweep.discount, reward)
        visits = solve_policy_transposed(rows, sweep.discount, start)
        q, expected_return = action_values(sweep, value), jnp.sum(start * value)
    entropy = jnp.sum(pi * _minus_log(pi), axis=0)
    return PolicyEvaluation(
        value=value,
        q=jnp.where(terminal, 0.0, q).T,
        entropy=entropy,
        visits=(visits * pi).T,
        expected_return=expected_return,
    )


def policy_gradient(
    mdp: Problem,
    policy: Policy,
    temperature: ScalarLike = 0.0,
    *,
    convention: str = "entropy",
    objective: str = "discounted",
    horizon: int | None = None,
) -> Float[Array, "*time state action"]:
    """Compute ∂J/∂θ, equation (4), for π ∝ exp θ.

    The gradient with respect to other parameters is this one times ∂θ/∂parameters, where θ is log π up to a constant
    per state. Arguments and errors as for `evaluate`.

    Returns:
        The gradient, with the shape of the policy, in units of the expected return.
    """
    horizon = _horizon(mdp, policy, objective, horizon)
    if horizon is not None:
        return _gradient_over_time(mdp, policy, temperature, convention, horizon)
    evaluation = evaluate(mdp, policy, temperature, convention=convention, objective=objective)
    assert isinstance(mdp, FiniteMDP)
    sweep = make_sweep(mdp, convention == "kl")
    bonus = _soft_bonus(sweep, jnp.asarray(policy, jnp.float64).T).T
    taken = evaluation.visits > 0
    advantage = jnp.where(taken, evaluation.q + temperature * bonus - evaluation.value[:, None], 0.0)
    return jnp.where(jnp.asarray(mdp.terminal)[:, None], 0.0, evaluation.visits * advantage)


def _gradient_over_time(
    mdp: Problem, policy: Policy, temperature: ScalarLike, convention: str, horizon: int
) -> Float[Array, "*time state action"]:
    """Compute ∂J/∂θ = π (∂J/∂π − Σ_a π ∂J/∂π)."""

    def expected_return(policy: Policy) -> Scalar:
        return evaluate(mdp, policy, temperature, convention=convention, horizon=horizon).expected_return

    expected_return(policy)  # for its checks, which are skipped when traced
    policy = jnp.asarray(policy, jnp.float64)
    slope = jax.grad(expected_return)(policy)
    return policy * (slope - jnp.sum(policy * slope, axis=-1, keepdims=True))


def _horizon(mdp: Problem, policy: Policy, objective: str, horizon: int | None) -> int | None:
    """Return the number of decisions, or None for no limit."""
    check_horizon(horizon)
    horizon = mdp.horizon if horizon is None else horizon
    if horizon is None and np.ndim(policy) == 3:
        horizon = np.shape(policy)[0]
    check_no_average(objective, horizon)
    return horizon


def _soft_bonus(sweep: Sweep, pi: ByAction) -> ByAction:
    """Return −log π/π₀, and 0 where π is 0."""
    bonus = _minus_log(pi)
    if sweep.log_prior is None:
        return bonus
    return bonus + jnp.where((pi > 0) & jnp.isfinite(sweep.log_prior), sweep.log_prior, 0.0)


def _minus_log(pi: ByAction) -> ByAction:
    return jnp.where(pi > 0, -jnp.log(jnp.where(pi > 0, pi, 1.0)), 0.0)


def _check(mdp: FiniteMDP, sweep: Sweep, policy: np.ndarray, objective: str) -> None:
    if policy.shape != (mdp.states, mdp.actions):
        raise UsageError(f"`policy` must have shape {(mdp.states, mdp.actions)}, got {policy.shape}.")
    live = ~np.asarray(mdp.terminal)
    wrong = np.flatnonzero(live & ~((np.abs(policy.sum(1) - 1) <= 1e-8) & (policy >= 0).all(1)))
    if len(wrong):
        raise UsageError(f"`policy` of state {wrong[0]} must be a distribution, got {policy[wrong[0]].tolist()}.")
    excluded = ~np.asarray(jnp.isfinite(sweep.reward)).T & live[:, None] & (policy > 0)
    if excluded.any():
        s, a = np.argwhere(excluded)[0]
        raise UsageError(
            f"`policy` must not take action {a} in state {s}, which the mask, the prior or a reward of -inf excludes."
        )
    if objective == "average":
        closed_classes(mdp, policy > 0)
