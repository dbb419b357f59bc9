"""Any policy of a finite problem, evaluated exactly: its values, its visits and what it earns.

    V = Σ_a π (Q − α log π/π₀),  Q = r + γ P V                     the soft value; α = 0 is the plain one     (1)
    d(s) = p₀(s) + γ Σ_{s',a} d(s') π(a|s') p(s|s',a)              expected discounted visits                 (2)
    J = Σ_s p₀(s) V(s)                                             expected return                            (3)

With an average reward V is relative to the gain g, d is the stationary distribution, and J = g. With a horizon all of
these depend on time, see `finite_horizon`.

The **policy gradient** by the logits θ of a table of softmax policies is, for each of the objectives,

    ∂J/∂θ(s,a) = d(s) π(a|s) (Q(s,a) − α log π(a|s)/π₀(a|s) − V(s))                                           (4)

Sources: Sutton, McAllester, Singh and Mansour (2000), Policy gradient methods for reinforcement learning with
function approximation; with the entropy, Schulman, Chen and Abbeel (2017), arXiv:1704.06440.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, ScalarLike

from entrax.errors import UsageError
from entrax.exact.bellman import ByAction, ByState, Scalar, Sweep, action_values, make_sweep, policy_rows, undiscounted
from entrax.exact.checks import check_choice, check_precision, check_temperature, is_traced
from entrax.exact.components import closed_classes
from entrax.exact.distance import graph_of, visited
from entrax.exact.finite_horizon import evaluate_over_time
from entrax.exact.finiteness import ended_at
from entrax.exact.linear import solve_policy_by_scale, solve_policy_transposed, solve_relative, stationary
from entrax.problems.checks import check_horizon
from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP, with_horizon
from entrax.problems.graph import cannot_terminate

Policy = Float[Array | np.ndarray, "*time state action"]
Problem = FiniteMDP | FiniteHorizonMDP


class Evaluation(eqx.Module):
    """What a policy is worth, see the module. `entropy` is H(π(·|s)) in nats, `visits` d(s) π(a|s).

    With a horizon T the arrays lead with time: T + 1 values, the last one for the end, and T of the others.
    Discounted visits sum to at most 1/(1 − γ), undiscounted ones to the expected length of an episode, and those of
    an average reward to 1. Without a discount an episode also ends where the policy earns nothing any more, and
    states that no episode visits and from which it may never end have value NaN. `expected_return` is J; `value` with
    an average reward is 0 at the first state.
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
) -> Evaluation:
    """Equations (1) to (3) for π(a|s) = `policy[s, a]`, or π_t(a|s) = `policy[t, s, a]` of a finite horizon.

    The horizon is the one given, else the problem's own, else the length of a policy that depends on time.
    Differentiable in the policy and the problem. The rows of terminal states are not looked at.

    Raises `EntraxError` in 32-bit mode, for rows that do not sum to 1 or take excluded actions, for an undiscounted
    problem in which the policy may never end, and for an average reward of a policy with several closed classes.
    """
    check_precision()
    check_temperature(temperature)
    check_choice("convention", convention, ("entropy", "kl"))
    check_choice("objective", objective, ("discounted", "average"))
    kl, average = convention == "kl", objective == "average"
    alpha = jnp.asarray(temperature, jnp.float64)
    horizon = _horizon(mdp, policy, objective, horizon)
    if horizon is not None:
        return Evaluation(**evaluate_over_time(with_horizon(mdp, horizon), policy, alpha, kl))
    assert isinstance(mdp, FiniteMDP)
    sweep = make_sweep(mdp, kl)
    if is_traced((mdp, policy, temperature)):
        return _evaluate(*_chain(mdp, policy), sweep, alpha, average)
    _check(mdp, sweep, np.asarray(policy), objective)
    endless = _endless(mdp, sweep, np.asarray(policy), alpha, average)
    smaller = ended_at(mdp, endless.quiet | endless.dropped)
    found = _evaluate(*_chain(smaller, policy), make_sweep(smaller, kl), alpha, average)
    return found if smaller is mdp else _completed(mdp, sweep, policy, endless, found)


def _chain(mdp: FiniteMDP, policy: Policy) -> tuple[Array, ByState, ByAction]:
    """Terminal states, the starts that are not, and the policy with actions first."""
    terminal = jnp.asarray(mdp.terminal)
    first = (jnp.arange(mdp.actions) == 0)[:, None]
    pi = jnp.where(terminal, jnp.where(first, 1.0, 0.0), jnp.asarray(policy, jnp.float64).T)
    return terminal, jnp.where(terminal, 0.0, jnp.asarray(mdp.initial, jnp.float64)), pi


class _Endless(NamedTuple):
    """States from which the policy may never end: `quiet` ones earn nothing, the `dropped` ones are not visited."""

    quiet: Bool[np.ndarray, " state"]
    dropped: Bool[np.ndarray, " state"]


def _endless(mdp: FiniteMDP, sweep: Sweep, policy: np.ndarray, temperature: Scalar, average: bool) -> _Endless:
    """Raises EntraxError where an undiscounted policy that never ends has no value that counts."""
    nowhere = np.zeros(mdp.states, bool)
    stuck = nowhere.copy()
    if not average and float(mdp.discount) == 1.0:
        stuck[cannot_terminate(mdp, policy)] = True
    if not stuck.any():
        return _Endless(nowhere, nowhere)
    taken = (policy > 0) & ~np.asarray(mdp.terminal)[:, None]
    pays = np.asarray(mdp.reward) + float(temperature) * np.asarray(_soft_bonus(sweep, jnp.asarray(policy).T)).T
    successor = np.asarray(mdp.successor)
    edges = (np.asarray(mdp.probability) > 0) & taken[..., None] & (successor < mdp.states)
    forward = graph_of(successor, edges)
    backward = forward.T.tocsr()
    quiet = stuck & ~visited(backward, np.any(taken & (pays != 0), axis=1))
    stuck[:] = False
    stuck[cannot_terminate(ended_at(mdp, quiet), policy)] = True
    dropped = visited(backward, stuck)
    lost = np.flatnonzero(dropped & visited(forward, np.asarray(mdp.initial) > 0))
    if len(lost):
        raise UsageError(
            f"without a discount a policy must end its episodes, and from state {lost[0]} this one may never do so."
        )
    return _Endless(quiet, dropped)


def _completed(mdp: FiniteMDP, sweep: Sweep, policy: Policy, endless: _Endless, found: Evaluation) -> Evaluation:
    """What was found with the endless states as terminal ones, with their own Q and entropy."""
    lost, pi = jnp.asarray(endless.dropped), _chain(mdp, policy)[2]
    q = jnp.where(jnp.asarray(mdp.terminal), 0.0, action_values(sweep, found.value)).T
    return Evaluation(
        value=jnp.where(lost, jnp.nan, found.value),
        q=jnp.where(lost[:, None], jnp.nan, q),
        entropy=jnp.sum(pi * _minus_log(pi), axis=0),
        visits=found.visits,
        expected_return=found.expected_return,
    )


@eqx.filter_jit
def _evaluate(
    terminal: Array, start: ByState, pi: ByAction, sweep: Sweep, temperature: Scalar, average: bool
) -> Evaluation:
    rows = policy_rows(sweep, pi)
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
    return Evaluation(
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
    """∂J/∂θ, equation (4), of the policy's shape, for π ∝ exp θ; arguments and errors as `evaluate`.

    The gradient by any other parameters is this one times ∂θ/∂parameters, θ being log π up to a constant per state.
    """
    horizon = _horizon(mdp, policy, objective, horizon)
    if horizon is not None:
        return _gradient_over_time(mdp, policy, temperature, convention, horizon)
    found = evaluate(mdp, policy, temperature, convention=convention, objective=objective)
    assert isinstance(mdp, FiniteMDP)
    sweep = make_sweep(mdp, convention == "kl")
    bonus = _soft_bonus(sweep, jnp.asarray(policy, jnp.float64).T).T
    taken = found.visits > 0
    advantage = jnp.where(taken, found.q + temperature * bonus - found.value[:, None], 0.0)
    return jnp.where(jnp.asarray(mdp.terminal)[:, None], 0.0, found.visits * advantage)


def _gradient_over_time(
    mdp: Problem, policy: Policy, temperature: ScalarLike, convention: str, horizon: int
) -> Float[Array, "*time state action"]:
    """∂J/∂θ = π (∂J/∂π − Σ_a π ∂J/∂π)."""

    def expected_return(policy: Policy) -> Scalar:
        return evaluate(mdp, policy, temperature, convention=convention, horizon=horizon).expected_return

    expected_return(policy)  # its checks, which differentiating cannot make
    policy = jnp.asarray(policy, jnp.float64)
    slope = jax.grad(expected_return)(policy)
    return policy * (slope - jnp.sum(policy * slope, axis=-1, keepdims=True))


def _horizon(mdp: Problem, policy: Policy, objective: str, horizon: int | None) -> int | None:
    """The number of decisions, None for no end."""
    check_horizon(horizon)
    horizon = mdp.horizon if horizon is None else horizon
    if horizon is None and np.ndim(policy) == 3:
        horizon = np.shape(policy)[0]
    if horizon is not None and objective == "average":
        raise UsageError(
            f"an average reward is one of a problem without a horizon, and this one has {horizon} decisions."
        )
    return horizon


def _soft_bonus(sweep: Sweep, pi: ByAction) -> ByAction:
    """−log π/π₀, and 0 where π is 0."""
    bonus = _minus_log(pi)
    if sweep.log_prior is None:
        return bonus
    return bonus + jnp.where((pi > 0) & jnp.isfinite(sweep.log_prior), sweep.log_prior, 0.0)


def _minus_log(pi: ByAction) -> ByAction:
    return jnp.where(pi > 0, -jnp.log(jnp.where(pi > 0, pi, 1.0)), 0.0)


def _check(mdp: FiniteMDP, sweep: Sweep, policy: np.ndarray, objective: str) -> None:
    if policy.shape != (mdp.states, mdp.actions):
        raise UsageError(f"the policy has shape {policy.shape}, not (states, actions) = {(mdp.states, mdp.actions)}.")
    live = ~np.asarray(mdp.terminal)
    wrong = np.flatnonzero(live & ~((np.abs(policy.sum(1) - 1) <= 1e-8) & (policy >= 0).all(1)))
    if len(wrong):
        raise UsageError(f"the policy's row of state {wrong[0]} is not a distribution: {policy[wrong[0]].tolist()}.")
    excluded = ~np.asarray(jnp.isfinite(sweep.reward)).T & live[:, None] & (policy > 0)
    if excluded.any():
        s, a = np.argwhere(excluded)[0]
        raise UsageError(f"the policy takes action {a} in state {s}, excluded by its mask, prior or reward of -inf.")
    if objective == "average":
        closed_classes(mdp, policy > 0)
