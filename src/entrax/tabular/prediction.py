"""Learning V of a given policy: TD(0) step by step, and batch TD and Monte Carlo from a fixed set of transitions.

    TD(0)         V(s) ← V(s) + η (r − α log(π/π₀) + γ V(s') − V(s))                                         (1)
    batch TD      V ← V + η Σ_data (r + γ V(s') − V(s)) e_s, again and again, to its fixed point             (2)
    Monte Carlo   V(s) = the mean of the returns seen from s on                                              (3)

(2) tends to the value of the model that the data estimate, the certainty equivalent: that of
`FiniteMDP.from_data`. (3) has the least squared error on the data, and makes no use of states being Markov. On finite
data they differ [Sutton 1988; Sutton and Barto 2018, section 6.3].
"""

from typing import NamedTuple, Unpack

import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from entrax.errors import UsageError
from entrax.problems.finite import FiniteMDP
from entrax.soft import soft_bellman_backup
from entrax.spec import Transition
from entrax.tabular.learner import Learned, Options, Step, learn
from entrax.tabular.schedules import EpsilonGreedy

Policy = Float[Array | np.ndarray, "state action"]
Scalar = Float[Array, ""]


class BatchSolution(NamedTuple):
    """`value[s]` in float64, NaN for states without data; `residual` is the largest |mean δ| of a state that has some.

    `error_bound` bounds, in the maximum norm, the distance to the fixed point: residual / (1 − γ), infinite at γ = 1.
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
    **options: Unpack[Options],
) -> Learned:
    """TD(0), equation (1), for `steps` transitions of `policy[s, a]`; V is in `value`, and `q` has one column.

    At a temperature above 0 V is the soft value of the policy, with its entropy; `options` as for the other learners,
    but for the behaviour, which is the policy, and with 'kl' as the convention −α KL(π ‖ π₀) in its place.
    """
    convention = options.get("convention", "entropy")
    process = reward_process(mdp, policy, temperature, convention)
    settled = Options(**{**options, "behaviour": EpsilonGreedy(1.0), "convention": "entropy"})
    return learn(process, _td_error, 0.0, steps=steps, key=key, **settled)


def reward_process(mdp: FiniteMDP, policy: Policy, temperature: float = 0.0, convention: str = "entropy") -> FiniteMDP:
    """The problem that is left when `policy` chooses: one action, whose branches are those of all actions.

    Its outcome rewards hold −α log(π/π₀) of the action taken, so its value is the policy's soft value.
    Raises EntraxError if a row of the policy is no distribution over allowed actions.
    """
    policy = np.asarray(policy, float)
    live = ~np.asarray(mdp.terminal)
    possible = np.any(np.asarray(mdp.probability) > 0, axis=-1)
    if policy.shape != mdp.reward.shape or np.any(np.abs(policy[live].sum(axis=1) - 1) > 1e-6):
        raise UsageError(f"The policy needs shape {mdp.reward.shape} and a distribution over actions in every state.")
    if np.any(policy < 0) or np.any(policy[live] > possible[live]):
        raise UsageError("The policy takes actions that the problem doesn't allow.")
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
    """Batch TD(0), equation (2): sweeps over the data until the mean δ of every state is below `tolerance`.

    The step is 1 over the most visits a state has, the largest for which every sweep is a contraction if γ < 1.
    Successors without data of their own are worth 0. Raises EntraxError for data that are no states of the problem.
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
    return BatchSolution(np.where(visits > 0, value[:-1], np.nan), iteration, residual, bound)


def batch_monte_carlo(data: Transition, *, states: int, discount: float) -> Float[np.ndarray, " state"]:
    """Equation (3), every visit counted, NaN for states without data. An unfinished last episode is left out.

    `data` are in the order of time. Raises EntraxError if no episode ends.
    """
    state, _, terminated = _checked(data, states)
    ended = terminated | np.asarray(data.truncated)
    if not ended.any():
        raise UsageError("Monte Carlo needs whole episodes: none ends in these data.")
    last = int(np.flatnonzero(ended)[-1]) + 1
    returns, total = np.zeros(last), 0.0
    for time in range(last - 1, -1, -1):
        total = float(data.reward[time]) + (0.0 if ended[time] else discount * total)
        returns[time] = total
    visits = np.bincount(state[:last], minlength=states)
    return np.where(visits > 0, np.bincount(state[:last], returns, minlength=states) / np.maximum(visits, 1), np.nan)


def _td_error(step: Step) -> Scalar:
    return soft_bellman_backup(step.reward, step.discount, step.next_q[0], step.terminated) - step.q[0]


def _checked(data: Transition, states: int) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, " sample"]]:
    """States and successors as indices (S where an episode ended), and the terminated flags."""
    state, terminated = np.asarray(data.obs), np.asarray(data.terminated)
    following = np.where(terminated, states, np.asarray(data.next_obs))
    if state.size == 0 or state.min() < 0 or state.max() >= states or following.min() < 0 or following.max() > states:
        raise UsageError(f"The data need at least one transition, with states from 0 to {states - 1}.")
    return state, following, terminated
