"""Learning V of a given policy: TD(0), batch TD and Monte Carlo.

    TD(0)         V(s) ← V(s) + η (r − α log(π/π₀) + γ V(s') − V(s))                                         (1)
    batch TD      V ← V + η Σ_data (r + γ V(s') − V(s)) e_s, iterated to its fixed point                     (2)
    Monte Carlo   V(s) = the mean of the observed returns from s                                             (3)

(2) converges to the value of the model estimated from the data (certainty equivalence), which `FiniteMDP.from_data`
builds. (3) has the least squared error on the data and does not assume that states are Markov. On finite data the two
differ.

References:
    Sutton (1988), Learning to predict by the methods of temporal differences.
    Sutton and Barto (2018), Reinforcement learning, section 6.3.
"""

from typing import NamedTuple, Unpack

import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from entrax.errors import UsageError
from entrax.problems.finite import FiniteMDP
from entrax.soft import soft_bellman_backup
from entrax.spec import Transition
from entrax.tabular.learner import ErrorInputs, LearnedTable, LearnerOptions, learn
from entrax.tabular.schedules import EpsilonGreedy
from entrax.tabular.simulator import check_policy

Policy = Float[Array | np.ndarray, "state action"]
Scalar = Float[Array, ""]


class BatchSolution(NamedTuple):
    """The result of batch TD.

    Attributes:
        value: V of each state, in units of reward; NaN for states without data.
        iterations: the number of sweeps over the data.
        residual: the largest |mean δ| of a state.
        error_bound: a bound on the distance to the fixed point in the maximum norm, residual / (1 − γ); ∞ at γ = 1.
    """

    value: Float[np.ndarray, " state"]
    iterations: int
    residual: float
    error_bound: float


def td(
    mdp: FiniteMDP,
    policy: Policy,
    temperature: float = 0.0,
    *,
    steps: int,
    key: PRNGKeyArray,
    **options: Unpack[LearnerOptions],
) -> LearnedTable:
    """Run TD(0), equation (1), which learns the soft value of a policy.

    Args:
        mdp: a problem without a horizon.
        policy: `policy[s, a]`, the probability of action a in state s.
        temperature: α ≥ 0, in units of reward, the weight of the entropy, or of −KL(π ‖ π₀) in the 'kl' convention.
        steps: the number of transitions, rounded up to whole chunks of each record.
        key: the key of all random numbers.
        **options: see `LearnerOptions`; `behaviour` is ignored, because actions follow the policy.

    Returns:
        A table whose `value` is V and whose `q` has one column.

    Raises:
        UsageError: a row of the policy is not a distribution over allowed actions, or another argument is not valid.
    """
    convention = options.get("convention", "entropy")
    process = reward_process(mdp, policy, temperature, convention)
    settings = LearnerOptions(**{**options, "behaviour": EpsilonGreedy(1.0), "convention": "entropy"})
    return learn(process, _td_error, 0.0, steps=steps, key=key, **settings)


def reward_process(mdp: FiniteMDP, policy: Policy, temperature: float = 0.0, convention: str = "entropy") -> FiniteMDP:
    """Build the Markov reward process of a policy.

    It has one action, whose branches are those of all actions of `mdp`. Outcome rewards include −α log(π/π₀) of the
    action, so that the value of the process is the policy's soft value. Arguments and errors as for `td`.
    """
    policy = np.asarray(policy, float)
    check_policy(mdp, policy)
    live = ~np.asarray(mdp.terminal)
    possible = np.any(np.asarray(mdp.probability) > 0, axis=-1)
    if np.any(policy[live] > possible[live]):
        raise UsageError("`policy` must give probability 0 to actions that the problem does not allow.")
    weights = np.ones(policy.shape)
    if convention == "kl":
        weights = np.where(possible, 1.0 if mdp.prior is None else np.asarray(mdp.prior), 0)
        weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    taken = (policy > 0) & possible
    bonus = -temperature * np.log(np.where(taken, policy, 1) / np.where(taken, weights, 1))
    given = mdp.reward[..., None] if mdp.outcome_reward is None else mdp.outcome_reward
    probability = (np.asarray(mdp.probability) * (policy * live[:, None])[..., None]).reshape(mdp.states, 1, -1)
    outcome = np.broadcast_to(np.asarray(given) + bonus[..., None], np.asarray(mdp.successor).shape)
    outcome = np.where(probability > 0, outcome.reshape(mdp.states, 1, -1), 0)
    return FiniteMDP(
        successor=np.asarray(mdp.successor).reshape(mdp.states, 1, -1),
        probability=probability,
        reward=(probability * outcome).sum(axis=-1),
        outcome_reward=outcome,
        initial=np.asarray(mdp.initial),
        terminal=np.asarray(mdp.terminal),
        discount=mdp.discount,
    )


def batch_td(
    data: Transition, *, states: int, discount: float, tolerance: float = 1e-10, max_iterations: int = 1_000_000
) -> BatchSolution:
    """Run batch TD(0), equation (2).

    The step size is 1 over the largest number of visits of a state: the largest for which every sweep is a contraction
    if γ < 1. Successors without data have value 0.

    Args:
        data: transitions between state indices.
        states: S.
        discount: γ.
        tolerance: the largest |mean δ| of a state at convergence, in units of reward.
        max_iterations: the most sweeps over the data.

    Raises:
        UsageError: the data are empty or hold other states.
    """
    state, following, terminated = _checked(data, states)
    reward = np.asarray(data.reward, float)
    visits = np.bincount(state, minlength=states)
    value = np.zeros(states + 1)
    step = 1 / visits.max()
    iteration, residual = 0, np.inf
    while iteration < max_iterations and residual > tolerance:
        delta = reward + discount * np.where(terminated, 0, value[following]) - value[state]
        total = np.bincount(state, delta, minlength=states)
        residual = float(np.max(np.abs(total) / np.maximum(visits, 1)))
        value[:-1] += step * total
        iteration += 1
    bound = residual / (1 - discount) if discount < 1 else np.inf
    value = np.where(visits > 0, value[:-1], np.nan)
    return BatchSolution(value=value, iterations=iteration, residual=residual, error_bound=bound)


def batch_monte_carlo(data: Transition, *, states: int, discount: float) -> Float[np.ndarray, " state"]:
    """Compute equation (3) over every visit of each state.

    Args:
        data: transitions between state indices, in the order of time. An unfinished last episode is ignored.
        states: S.
        discount: γ.

    Returns:
        V of each state; NaN for states without data.

    Raises:
        UsageError: no episode ends, or the data hold other states.
    """
    state, _, terminated = _checked(data, states)
    ended = terminated | np.asarray(data.truncated)
    if not ended.any():
        raise UsageError("`data` must hold at least one whole episode; none ends.")
    last = int(np.flatnonzero(ended)[-1]) + 1
    returns, total = np.zeros(last), 0.0
    for time in range(last - 1, -1, -1):
        total = float(data.reward[time]) + (0.0 if ended[time] else discount * total)
        returns[time] = total
    visits = np.bincount(state[:last], minlength=states)
    return np.where(visits > 0, np.bincount(state[:last], returns, minlength=states) / np.maximum(visits, 1), np.nan)


def _td_error(step: ErrorInputs) -> Scalar:
    return soft_bellman_backup(step.reward, step.discount, step.next_q[0], step.terminated) - step.q[0]


def _checked(data: Transition, states: int) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, " sample"]]:
    """Return states, successors (S where terminated) and the terminated flags."""
    state, terminated = np.asarray(data.obs), np.asarray(data.terminated)
    following = np.where(terminated, states, np.asarray(data.next_obs))
    if state.size == 0 or state.min() < 0 or state.max() >= states or following.min() < 0 or following.max() > states:
        raise UsageError(f"`data` must hold at least one transition, with states from 0 to {states - 1}.")
    return state, following, terminated
